//! Moves the write-ahead log into the database file, off the writer's thread.
//!
//! A checkpoint inside a commit would make that commit's callers wait for tens of milliseconds. A passive one beside
//! the writer costs them nothing, but cannot start the log anew while the writer is busy without a pause; so when the
//! log has grown far, the writer makes one itself, and finds most of the work done.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rusqlite::Connection;

/// From this size of the log on, it is moved.
const PASSIVE_BYTES: u64 = 4 << 20;

/// From this size on, the writer itself starts the log anew.
const RESTART_BYTES: u64 = 64 << 20;

/// Starts checkpoints. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    log: PathBuf,
    wake: SyncSender<()>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (wake, woken) = sync_channel(1);
        thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&db, &woken))
            .map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
        Ok(Self { log: log.into(), wake })
    }

    /// Looks at the log after a commit; says whether the writer should start it anew itself.
    pub(super) fn after_commit(&self) -> bool {
        let bytes = fs::metadata(&self.log).map_or(0, |log| log.len());
        if bytes >= PASSIVE_BYTES {
            // Full means that a wake-up waits already.
            let _ = self.wake.try_send(());
        }
        bytes >= RESTART_BYTES
    }
}

fn run(db: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        if let Err(error) = checkpoint(db, "PASSIVE") {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store's log could not be moved");
        }
    }
}

/// Runs one checkpoint. Being busy is no error: the next one goes on.
pub(super) fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<()> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}
