//! `[shutdown]`: how the service stops.

use std::time::Duration;

use super::table::Table;
use super::value;

/// How the service stops.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long the service reports not ready and still serves before it stops; 0 s to 5 min. Default 5 s.
    pub delay: Duration,
    /// How long running calls and sends may take to finish before they are cut off; 0 s to 10 min. Default 10 s.
    pub grace: Duration,
}

impl Shutdown {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let delays = Duration::ZERO..=Duration::from_secs(300);
        let delay = table.required("delay", value::duration(delays));
        let range = Duration::ZERO..=Duration::from_secs(600);
        let grace = table.required("grace", value::duration(range));
        Some(Self { delay: delay?, grace: grace? })
    }
}
