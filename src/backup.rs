//! `switchboard backup` and `switchboard restore`: what they are given, and what they say.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::config::{Config, Environment};
use crate::store::{self, LogRange, Restored};
use crate::telemetry::print_line;

/// For how long request_ids are remembered where no configuration says it.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Which store.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct StoreFile {
    /// The store of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store itself, where there is no configuration at hand.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl StoreFile {
    /// Where it is, and for how long it remembers requests.
    fn found(self) -> Result<(PathBuf, Duration), Box<dyn Error>> {
        if let Some(path) = self.store {
            return Ok((path, REMEMBERED));
        }
        let config = Config::load(self.config.as_deref(), &Environment)?;
        Ok((config.journal.path, config.sends.request_id_retention))
    }
}

/// Backs a store up, also while a server has it open.
///
/// # Errors
///
/// When it cannot be read, or the backup cannot be written.
pub fn back_up(store: StoreFile, to: &Path) -> Result<(), Box<dyn Error>> {
    let (path, _) = store.found()?;
    let log_range = store::back_up(&path, to)?;
    say_what_is_there(&log_range, to);
    Ok(())
}

/// Makes a store out of a backup.
///
/// # Errors
///
/// When the backup is none, or the store cannot be made.
pub fn restore(store: StoreFile, from: &Path, accept_repeats: bool) -> Result<(), Box<dyn Error>> {
    let (path, remembered) = store.found()?;
    let Restored { log_range, backed_up, replay_guard_until } =
        store::restore(from, &path, (!accept_repeats).then_some(remembered))?;
    say_what_is_there(&log_range, &path);
    // It is done, whether it can be said or not.
    let _ = print_line(format_args!(
        "what was received after {} is not: whoever goes on behind an earlier cursor, or by a subscription, is not told",
        backed_up.to_rfc3339()
    ));
    let _ = match replay_guard_until {
        Some(until) => print_line(format_args!(
            "until {}, a request_id that is not known is answered SEND_OUTCOME_UNKNOWN: it may have been used after \
             the backup",
            until.to_rfc3339()
        )),
        None => print_line("what was sent after the backup may be sent again"),
    };
    Ok(())
}

fn say_what_is_there(LogRange { oldest, newest }: &LogRange, path: &Path) {
    let events = newest + 1 - oldest;
    let _ = print_line(format_args!("{events} events, up to number {newest}, are in {}", path.display()));
}
