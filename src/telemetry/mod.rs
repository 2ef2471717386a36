//! Logs and metrics. All parts may use this module. It uses only its own section of the configuration.

pub(crate) mod log_throttle;
pub mod metrics;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config;

/// Writes log lines to standard error. Does nothing if a subscriber is already installed.
pub fn log_to_stderr(config: &config::Log) {
    let filter = EnvFilter::try_new(&config.filter).expect("the configuration accepts only valid filters");
    // If standard error is closed, an internal error must not be logged there either, because that would panic.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let _ = match config.format {
        config::Format::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        config::Format::Json => subscriber.json().try_init(),
    };
}
