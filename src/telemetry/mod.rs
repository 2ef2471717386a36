//! Logs and metrics. Known by all, knows nobody but its own section of the configuration.

pub(crate) mod log_throttle;
pub mod metrics;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config;

/// Sends log lines to standard error. Does nothing when somebody else has taken them already.
pub fn log_to_stderr(config: &config::Log) {
    let filter =
        EnvFilter::try_new(&config.filter).expect("the configuration lets only good filters through");
    // That nobody takes the log any more is no reason to panic, which telling of it on the same way would be.
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let _ = match config.format {
        config::Format::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        config::Format::Json => lines.json().try_init(),
    };
}
