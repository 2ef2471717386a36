//! The words of the house as plain Rust: ids, phone numbers, messages, events, cursors.
//!
//! Everybody may know this module and it knows nobody: no wire format, no storage, no network.

pub mod account;
pub mod outcome;

pub use account::{AccountId, Provider};
