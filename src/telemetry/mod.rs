//! Logs and metrics. Known by all, knows nobody but its own section of the configuration.

pub(crate) mod log_throttle;
pub mod metrics;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

use crate::config;

/// Sends log lines to standard error. Does nothing when somebody else has taken them already.
pub fn log_to_stderr(config: &config::Log) {
    let filter =
        EnvFilter::try_new(&config.filter).expect("the configuration lets only good filters through");
    // That nobody takes the log any more is no reason to panic, which telling of it on the same way would be.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let _ = match config.format {
        config::Format::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        config::Format::Json => subscriber.json().try_init(),
    };
}

/// Says something to whoever runs a command. That nobody listens any more is no failure.
///
/// # Errors
///
/// When it cannot be written.
pub fn print_line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
