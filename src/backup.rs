//! The commands `switchboard backup` and `switchboard restore`: their arguments and their output.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::cli::say;
use crate::config::{Config, Environment};
use crate::store::{self, LogRange, Restored};

/// How long Switchboard remembers a `request_id`, if no configuration is given.
const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Selects a store.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct StoreFile {
    /// The store of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store file itself, if no configuration is available.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl StoreFile {
    /// Returns the store's path, and how long it remembers requests.
    fn locate(self) -> Result<(PathBuf, Duration), Box<dyn Error>> {
        if let Some(path) = self.store {
            return Ok((path, DEFAULT_RETENTION));
        }
        let config = Config::load(self.config.as_deref(), &Environment)?;
        Ok((config.journal.path, config.sends.request_id_retention))
    }
}

/// Backs up a store. A server may have it open.
///
/// # Errors
///
/// If the store cannot be read, or the backup cannot be written.
pub fn back_up(store: StoreFile, to: &Path) -> Result<(), Box<dyn Error>> {
    if to == Path::new("-") {
        return Err("a backup cannot be written to standard output: name a file".into());
    }
    let (path, _) = store.locate()?;
    let log_range = store::back_up(&path, to)?;
    print_summary(&log_range, to);
    Ok(())
}

/// Creates a store from a backup.
///
/// # Errors
///
/// If the file is not a backup, or the store cannot be created.
pub fn restore(store: StoreFile, from: &Path, accept_repeats: bool) -> Result<(), Box<dyn Error>> {
    let (path, retention) = store.locate()?;
    let Restored { log_range, backup_time, replay_guard_until } =
        store::restore(from, &path, (!accept_repeats).then_some(retention))?;
    print_summary(&log_range, &path);
    // The restore is complete, so a failed print is ignored.
    let _ = say(format_args!(
        "events received after {} are missing; subscriptions, and clients that resume from an earlier cursor, are not \
         notified of the loss",
        backup_time.to_rfc3339()
    ));
    let _ = match replay_guard_until {
        Some(until) => say(format_args!(
            "until {}, a send with an unknown request_id fails with SEND_OUTCOME_UNKNOWN, because the request_id may \
             have been used after the backup",
            until.to_rfc3339()
        )),
        None => say("messages sent after the backup may be sent again"),
    };
    Ok(())
}

fn print_summary(LogRange { oldest, newest }: &LogRange, path: &Path) {
    let events = newest + 1 - oldest;
    let _ = say(format_args!("{events} events, up to sequence number {newest}, are in {}", path.display()));
}
