//! The log.
//!
//! **Invariant:** writing a line never waits. A thread of its own writes to standard error. If nobody reads that, the
//! thread stops and its queue fills. Then lines are dropped and counted, and the server goes on.

use std::io::{self, IsTerminal as _};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::config;

/// The maximum number of lines that wait to be written.
const MAX_QUEUED_LINES: usize = 8_192;

/// The longest time that the end of the process waits for the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

static DROPPED_LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// Keeps the log open. When it is dropped, the lines in the queue are written.
#[derive(Debug)]
#[must_use = "lines are lost without it"]
pub struct LogGuard(Option<WorkerGuard>);

impl Drop for LogGuard {
    fn drop(&mut self) {
        // The guard of the crate prints to standard output if the thread does not answer, which may block too.
        let guard = self.0.take();
        let (flushed, done) = mpsc::channel();
        let flushing = std::thread::Builder::new().name("log-flush".to_owned()).spawn(move || {
            drop(guard);
            let _ = flushed.send(());
        });
        if flushing.is_ok() {
            let _ = done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// Writes log lines to standard error. Does nothing if a subscriber is already installed.
pub fn log_to_stderr(config: &config::Log) -> LogGuard {
    let filter = EnvFilter::try_new(&config.filter).expect("the configuration accepts only valid filters");
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_QUEUED_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    // If standard error is closed, an internal error must not be logged there either, because that would panic.
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let installed = match config.format {
        config::Format::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        config::Format::Json => subscriber.json().try_init(),
    };
    if installed.is_ok() {
        let _ = DROPPED_LINES.set(dropped);
    }
    LogGuard(Some(guard))
}

/// The number of lines that were dropped because standard error was not read fast enough.
pub(super) fn dropped_lines() -> u64 {
    DROPPED_LINES.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}
