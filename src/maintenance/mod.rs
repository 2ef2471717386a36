//! Background work on the store: retention of events, requests and messages, and the gauges that operators watch.

mod clock;
mod gauges;
mod retention;
#[cfg(test)]
mod tests;

pub use gauges::Gauges;
pub use retention::{Retention, RetentionPolicy};
