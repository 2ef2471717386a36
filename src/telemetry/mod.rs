//! Logs and metrics. All parts may use this module. It uses only its own section of the configuration.

pub(crate) mod log_throttle;
mod log_writer;
pub mod metrics;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config;

pub use log_writer::FlushOnDrop;
use log_writer::LogWriter;

/// Writes log lines to standard error, on a thread of its own. Does nothing if a subscriber is already installed.
///
/// # Errors
///
/// If the system cannot start a thread.
pub fn log_to_stderr(config: &config::Log) -> io::Result<FlushOnDrop> {
    let filter = EnvFilter::try_new(&config.filter).expect("the configuration accepts only valid filters");
    // If standard error is closed, an internal error must not be logged there either, because that would panic.
    let (writer, flush_on_drop) = LogWriter::start(io::stderr())?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let _ = match config.format {
        config::Format::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        config::Format::Json => subscriber.json().try_init(),
    };
    Ok(flush_on_drop)
}
