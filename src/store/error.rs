//! Errors of opening, reading and writing a store.

use std::path::PathBuf;
use std::sync::Arc;

/// An error of the storage engine. Callers log it, and decide only by the variant of [`Error`].
pub type EngineError = Arc<dyn std::error::Error + Send + Sync>;

/// Why a store cannot be opened, read or written.
///
/// Cheap to clone, because a failed commit returns its error to every caller that had an op in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, or it is not a store.
    #[error("cannot open the store {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: EngineError,
    },
    /// A file of the store cannot be created or opened.
    #[error("cannot use {path}")]
    Folder {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Another process has the store open.
    #[error("the store {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is another program's database.
    #[error("{path} is another program's database")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote the file.
    #[error(
        "the store has format {found}, and this version reads up to format {known}: run the newer version"
    )]
    TooNew {
        /// The file's format.
        found: i64,
        /// The newest format that this version reads.
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
    /// The file is a backup, not a store.
    #[error("{path} is a backup, not a store: create a store from it with `switchboard restore`")]
    IsBackup {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a backup.
    #[error("{path} is not a backup: create one with `switchboard backup`")]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// The file already exists. It is never overwritten.
    #[error("{path} already exists: move or delete it first")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is damaged.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The disk has no space left.
    #[error("the store's disk is full")]
    Full(#[source] EngineError),
    /// An fsync failed, or the file's content is not what was written. The store must be reopened.
    #[error("the store's disk failed")]
    DiskFailed(#[source] EngineError),
    /// Any other error of the engine.
    #[error("the store failed")]
    Failed(#[source] EngineError),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// A store that was reopened after a disk failure did not pass verification.
    #[error("the store did not pass verification: {0}")]
    VerificationFailed(String),
    /// A backup or a restored store cannot be written.
    #[error("cannot write {path}")]
    NotWritten {
        /// The file to be created.
        path: PathBuf,
        /// The cause.
        #[source]
        source: EngineError,
    },
    /// A row holds a value that this version does not write.
    #[error("the store contains an invalid row: {0}")]
    Corrupt(String),
}
