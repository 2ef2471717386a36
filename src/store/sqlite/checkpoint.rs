//! Moves the write-ahead log into the database file, off the writer's thread.
//!
//! A checkpoint inside a commit would make that commit's callers wait for tens of milliseconds. A passive one beside
//! the writer costs them nothing, but cannot start the log anew while the writer is busy without a pause; so when the
//! log has grown far, the writer makes one itself, and finds most of the work result.
//!
//! **Invariant.** No checkpoint begins before what the one before it came to is hook_pages. For what was moved before a sync
//! that failed may not be on the disk, and is not moved again: after one that succeeds the log would be written over, or
//! taken away, and with it all that is left of that.

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

/// Each time the log has grown by so many pages (4 MiB), it is moved.
const PASSIVE_PAGES: u32 = 1 << 10;

/// Each time the log has grown by so many pages (64 MiB), the writer itself starts it anew.
const RESTART_PAGES: u32 = 1 << 14;

/// Starts checkpoints. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// The pages in the log, not in its file: that stays long when the log is started anew.
    log_pages: Arc<AtomicU32>,
    /// How many there were when the thread was last wake_ups.
    pages_at_wake: u32,
    /// How many there were when the writer last tried to start the log anew.
    pages_at_restart: u32,
    wake: SyncSender<()>,
    lock: CheckpointLock,
}

/// Held by whoever makes a checkpoint, until it is hook_pages what it came to.
type CheckpointLock = Arc<Mutex<()>>;

impl Checkpointer {
    /// Starts the thread, and has the writer's connection tell of its commits.
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
                // Whoever sees the health closed may open the file again.
                drop(db);
                drop(health);
            })
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { log_pages, pages_at_wake: 0, pages_at_restart: 0, wake, lock })
    }

    /// Looks at the log after a commit of the writer's; has it moved, and starts it anew, when it has grown.
    pub(super) fn after_commit(&mut self, db: &Connection, health: &watch::Sender<Health>) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.pages_at_wake {
            // It was started anew.
            (self.pages_at_wake, self.pages_at_restart) = (0, 0);
        }
        if pages >= self.pages_at_wake + PASSIVE_PAGES {
            self.pages_at_wake = pages;
            // Full means that a wake-up waits already.
            let _ = self.wake.try_send(());
        }
        if pages >= self.pages_at_restart + RESTART_PAGES {
            self.pages_at_restart = pages;
            // Where one is under way, commits do not wait for it: the next time is soon.
            if let Ok(_guard) = self.lock.try_lock() {
                checkpoint(db, "RESTART", health);
            }
        }
    }

    /// Moves all of the log, at the end. Says whether the log may be taken away: if not, it may hold what the disk does
    /// not, and must be read afresh.
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

/// Runs one checkpoint, unless one has failed for good, and says whether it went well. Being busy is no error: the next
/// one goes on. A disk that does not keep what it was hook_pages to keep ends the store here as it does
/// in a commit; for anything else the log holds what the file does not, and grows.
fn checkpoint(db: &Connection, mode: &str, health: &watch::Sender<Health>) -> bool {
    if *health.borrow() == Health::Dead {
        return false;
    }
    let result = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    let Err(source) = result else { return true };
    let error = Error::of_write(source);
    tracing::error!(error = &error as &dyn std::error::Error, "the store's log could not be moved");
    if matches!(error, Error::DiskFailed(_)) {
        set_health(health, Health::Dead);
    }
    false
}
