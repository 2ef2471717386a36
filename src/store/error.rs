//! Why a store does not open, write or read.

use std::path::PathBuf;
use std::sync::Arc;

/// Why a store does not open, write or read.
///
/// Cheap to clone: one failed commit is told to every caller whose op was in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or is no store.
    #[error("cannot open the store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The folder cannot be used.
    #[error("cannot use the store's folder for {path}")]
    Folder {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another process has the store open.
    #[error("the store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is somebody else's database.
    #[error("{path} is a database of another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("the store has schema {found}, and this version reads up to {known}: run the newer version")]
    TooNew {
        /// The file's schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// An older version wrote the file. There is no migration before 1.0.
    #[error(
        "{path} has format {found}, and this version reads only format {required}: start with a new store, or run the version that wrote it"
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: i64,
        /// The only format that this version reads.
        required: i64,
    },
    /// The file is a backup.
    #[error("{path} is a backup, and no store: make a store of it with `switchboard restore`")]
    IsBackup {
        /// The file.
        path: PathBuf,
    },
    /// The file is no backup.
    #[error("{path} is no backup: make one with `switchboard backup`")]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already, and it is not written over.
    #[error("{path} exists already: move it away first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// There is no room to write.
    #[error("the store's disk is full")]
    Full(#[source] Arc<rusqlite::Error>),
    /// The disk did not keep what it was told to keep.
    #[error("the store's disk failed")]
    DiskFailed(#[source] Arc<rusqlite::Error>),
    /// Anything else that the engine said.
    #[error("the store failed")]
    Failed(#[source] Arc<rusqlite::Error>),
    /// The writer is gone.
    #[error("the store is closed")]
    Closed,
    /// The file does not hold what it should.
    #[error("the store does not hold what it should: {0}")]
    VerificationFailed(String),
    /// A backup, or a store made of one, cannot be written.
    #[error("cannot write {path}")]
    NotWritten {
        /// The file that was to be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A row cannot be what this version wrote.
    #[error("the store holds a row that cannot be read: {0}")]
    Corrupt(String),
}
