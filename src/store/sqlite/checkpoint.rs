//! Checkpoints: moves the write-ahead log into the database file, off the writer's thread.
//!
//! A checkpoint inside a commit would delay that commit's callers by tens of milliseconds. A passive checkpoint on
//! another thread costs them nothing, but cannot restart the log while the writer is always busy. When the log has
//! grown large, the writer makes a checkpoint itself, and finds most of the work done.
//!
//! **Invariant.** No checkpoint begins before the result of the previous one is published. After a failed fsync,
//! pages that were moved may not be on disk, and SQLite does not move them again. A later checkpoint that succeeds
//! would overwrite or truncate the log, which may hold the only copy.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::Connection;
use tokio::sync::watch;

use super::super::{Error, Health};
use super::schema;
use super::writer::set_health;

/// A passive checkpoint runs each time the log has grown by this many pages (4 MiB).
const PASSIVE_PAGES: u32 = 1 << 10;

/// The writer restarts the log each time it has grown by this many pages (64 MiB).
const RESTART_PAGES: u32 = 1 << 14;

/// Triggers checkpoints. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// The number of pages in the log. The log's file can be longer, because a restart does not shrink it.
    log_pages: Arc<AtomicU32>,
    /// The log's size when the thread was last woken.
    pages_at_wake: u32,
    /// The log's size when the writer last tried to restart the log.
    pages_at_restart: u32,
    wake: SyncSender<()>,
    lock: CheckpointLock,
}

/// Locked during a checkpoint, until its result is published.
type CheckpointLock = Arc<Mutex<()>>;

impl Checkpointer {
    /// Starts the thread, and installs a commit hook on the writer's connection.
    pub(super) fn start(
        path: &Path,
        writer: &mut Connection,
        health: Arc<watch::Sender<Health>>,
    ) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let hook_pages = Arc::clone(&log_pages);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            hook_pages.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        let db = Connection::open(path)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        schema::disable_checkpoint_on_close(&db)?;
        let (wake, wake_ups) = sync_channel(1);
        let lock = CheckpointLock::default();
        let thread_lock = Arc::clone(&lock);
        thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                run(&db, &wake_ups, &thread_lock, &health);
                // Close the connection first: the file may be reopened once the health channel is closed.
                drop(db);
                drop(health);
            })
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { log_pages, pages_at_wake: 0, pages_at_restart: 0, wake, lock })
    }

    /// Called after each commit of the writer. If the log has grown, it triggers a checkpoint or restarts the log.
    pub(super) fn after_commit(&mut self, db: &Connection, health: &watch::Sender<Health>) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.pages_at_wake {
            // The log was restarted.
            (self.pages_at_wake, self.pages_at_restart) = (0, 0);
        }
        if pages >= self.pages_at_wake + PASSIVE_PAGES {
            self.pages_at_wake = pages;
            // If the channel is full, a wake-up is already pending.
            let _ = self.wake.try_send(());
        }
        if pages >= self.pages_at_restart + RESTART_PAGES {
            self.pages_at_restart = pages;
            // If a checkpoint is running, do not make commits wait for it. The writer tries again soon.
            if let Ok(_guard) = self.lock.try_lock() {
                checkpoint(db, "RESTART", health);
            }
        }
    }

    /// Runs the final checkpoint. Returns whether the log may be deleted. If not, it may hold pages that the disk
    /// does not, and must be read again.
    pub(super) fn on_close(&self, db: &Connection, health: &watch::Sender<Health>) -> bool {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint(db, "TRUNCATE", health)
    }
}

fn run(db: &Connection, wake_ups: &Receiver<()>, lock: &CheckpointLock, health: &watch::Sender<Health>) {
    while wake_ups.recv().is_ok() {
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint(db, "PASSIVE", health);
    }
}

/// Runs one checkpoint, unless the store is dead, and returns whether it succeeded. A busy database is not an error,
/// because the next checkpoint continues. A failed fsync makes the store dead, as in a commit. After any other error,
/// the log keeps what the file lacks, and grows.
fn checkpoint(db: &Connection, mode: &str, health: &watch::Sender<Health>) -> bool {
    if *health.borrow() == Health::Dead {
        return false;
    }
    let result = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    let Err(source) = result else { return true };
    let error = Error::of_write(source);
    tracing::error!(error = &error as &dyn std::error::Error, "checkpoint failed");
    if matches!(error, Error::DiskFailed(_)) {
        set_health(health, Health::Dead);
    }
    false
}
