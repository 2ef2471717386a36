//! The log's own thread. A reader of the log that stops reading must not stop the server.
//!
//! **Invariant.** Writing a log line never waits for standard error. Lines wait in a queue that is limited in bytes. If it
//! is full, new lines are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tracing_subscriber::fmt::MakeWriter;

use super::metrics::LOG_LINES_DROPPED;

/// The maximum size of the lines that wait to be written.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;

/// How long the end of the process waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Queues log lines.
#[derive(Clone, Debug)]
pub(super) struct LogWriter(Arc<Shared>);

/// Writes the queued lines when it is dropped, unless that takes too long.
#[derive(Debug)]
#[must_use = "the last lines of the log are lost without it"]
pub struct FlushOnDrop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread is writing lines that it has taken.
    writing: bool,
}

impl LogWriter {
    /// Starts the thread that writes the lines to `out`.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, FlushOnDrop)> {
        let shared = Arc::new(Shared::default());
        let queue = Arc::clone(&shared);
        std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || queue.write_to(out))?;
        Ok((Self(Arc::clone(&shared)), FlushOnDrop(shared)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes + line.len() > MAX_QUEUED_BYTES {
            drop(queue);
            counter!(LOG_LINES_DROPPED).increment(1);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        self.changed.notify_all();
    }

    /// Writes lines until the process ends.
    fn write_to(&self, mut out: impl Write) {
        loop {
            let waiting = self.changed.wait_while(self.lock(), |queue| queue.lines.is_empty());
            let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
            let lines = std::mem::take(&mut queue.lines);
            queue.writing = true;
            drop(queue);
            for line in lines {
                // If standard error is closed, there is no other place to report it.
                if out.write_all(&line).is_err() {
                    counter!(LOG_LINES_DROPPED).increment(1);
                }
                // A line leaves the queue's size only when it is written, so a blocked write cannot hold more.
                self.lock().bytes -= line.len();
            }
            let _ = out.flush();
            self.lock().writing = false;
            self.changed.notify_all();
        }
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let is_pending = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        let _ = self.0.changed.wait_timeout_while(self.0.lock(), FLUSH_TIMEOUT, is_pending);
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &LogWriter {
    /// Queues one line: the formatter writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// A reader that is not reading yet.
    struct Blocked {
        released: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An error means that the test has released all writes.
            let _ = self.released.recv();
            self.written.lock().expect("unpoisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_over_the_limit_are_dropped_and_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let (release, released) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let out = Blocked { released, written: Arc::clone(&written) };
        let (writer, flush_on_drop) = LogWriter::start(out).expect("starts");
        let line = [b'x'; 1024];
        for _ in 0..1_024 + 7 {
            (&writer).write_all(&line).expect("never fails");
        }
        let dropped = format!("{LOG_LINES_DROPPED} 7\n");
        assert!(page.render().contains(&dropped), "{}", page.render());
        drop(release);
        drop(flush_on_drop);
        assert_eq!(written.lock().expect("unpoisoned").len(), MAX_QUEUED_BYTES);
    }
}
