//! Logs and metrics. All parts may use this module. It uses only its own section of the configuration.

mod log;
pub(crate) mod log_throttle;
pub mod metrics;

pub use log::{LogGuard, log_to_stderr};
