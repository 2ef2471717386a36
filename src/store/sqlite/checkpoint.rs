//! Moves the write-ahead log into the database file, off the writer's thread.
//!
//! A checkpoint inside a commit would make that commit's callers wait for tens of milliseconds. A passive one beside
//! the writer costs them nothing, but cannot start the log anew while the writer is busy without a pause; so when the
//! log has grown far, the writer makes one itself, and finds most of the work done.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
    /// How many there were when the thread was last woken.
    woken_at: u32,
    /// How many there were when the writer last tried to start the log anew.
    tried_at: u32,
    wake: SyncSender<()>,
}

impl Checkpointer {
    /// Starts the thread, and has the writer's connection tell of its commits.
    pub(super) fn start(
        path: &Path,
        writer: &mut Connection,
        health: Arc<watch::Sender<Health>>,
    ) -> rusqlite::Result<Self> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&log_pages);
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(u32::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        }))?;
        let db = Connection::open(path)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        schema::keep_log(&db)?;
        let (wake, woken) = sync_channel(1);
        thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                run(&db, &woken, &health);
                // Whoever sees the health closed may open the file again.
                drop(db);
                drop(health);
            })
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { log_pages, woken_at: 0, tried_at: 0, wake })
    }

    /// Looks at the log after a commit; says whether the writer should start it anew itself.
    pub(super) fn after_commit(&mut self) -> bool {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.woken_at {
            // It was started anew.
            (self.woken_at, self.tried_at) = (0, 0);
        }
        if pages >= self.woken_at + PASSIVE_PAGES {
            self.woken_at = pages;
            // Full means that a wake-up waits already.
            let _ = self.wake.try_send(());
        }
        let restart = pages >= self.tried_at + RESTART_PAGES;
        if restart {
            self.tried_at = pages;
        }
        restart
    }
}

fn run(db: &Connection, woken: &Receiver<()>, health: &watch::Sender<Health>) {
    while woken.recv().is_ok() {
        note(checkpoint(db, "PASSIVE"), health);
    }
}

/// Tells of a checkpoint that failed. A disk that does not keep what it was told to keep ends the store here as it does
/// in a commit; for anything else the log holds what the file does not, and grows.
pub(super) fn note(result: rusqlite::Result<()>, health: &watch::Sender<Health>) {
    let Err(source) = result else { return };
    let error = Error::of_write(source);
    tracing::error!(error = &error as &dyn std::error::Error, "the store's log could not be moved");
    if matches!(error, Error::Broken(_)) {
        set_health(health, Health::Dead);
    }
}

/// Runs one checkpoint. Being busy is no error: the next one goes on.
pub(super) fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<()> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}
