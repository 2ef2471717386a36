//! `[journal]`: where events are kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::table::Table;
use super::value;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The durable log of events.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The database file; a relative path starts at the working directory. Default `switchboard.db`.
    pub path: PathBuf,
    /// For how long events can be read again; 1 hour to 3650 days. Default 7 days.
    pub retention: Duration,
}

impl Journal {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let path = table.required("path", value::path);
        let retention = table.required("retention", value::duration(HOUR..=3650 * DAY));
        Some(Self { path: path?, retention: retention? })
    }
}
