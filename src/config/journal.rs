//! `[journal]`: where events are stored, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::table::Table;
use super::value;

const HOUR: Duration = Duration::from_secs(60 * 60);
const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The durable log of events.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The database file. A relative path starts at the working directory. Default `switchboard.db`.
    pub path: PathBuf,
    /// How long events can be read; 1 hour to 3650 days. Default 7 days.
    pub retention: Duration,
    /// The maximum size of all events in bytes, acknowledged or not; 16 MiB to 1 EiB. No default, and then no limit.
    pub retention_bytes: Option<u64>,
    /// The maximum time for which an event is stored that a subscription has not acknowledged; up to 3650 days, and not
    /// shorter than `retention`. Default 30 days, or `retention` if that is longer.
    pub subscription_retention: Duration,
}

impl JournalConfig {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let path = table.required("path", value::path);
        let retention = table.required("retention", value::duration(HOUR..=3650 * DAY));
        let retention_bytes = table.optional("retention_bytes", value::integer(16 * MIB..=1 << 60));
        let key = "subscription_retention";
        let mut subscriptions = table.required(key, value::duration(HOUR..=3650 * DAY));
        if let (Some(retention), Some(subscription_retention)) = (retention, &mut subscriptions)
            && *subscription_retention < retention
        {
            if table.is_default(key) {
                *subscription_retention = retention;
            } else {
                table.report(key, "must not be shorter than `retention`");
            }
        }
        Some(Self {
            path: path?,
            retention: retention?,
            retention_bytes,
            subscription_retention: subscriptions?,
        })
    }
}
