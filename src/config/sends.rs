//! `[sends]`: how long requests and messages are remembered.

use std::time::Duration;

use super::error::SourceLocation;
use super::table::Table;
use super::value;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long sends and other writes are remembered.
#[derive(Clone, Debug)]
pub struct Sends {
    /// How long a `request_id` is remembered after its attempt ended; 1 s to 30 days. Default 24 hours.
    pub request_id_retention: Duration,
    /// How long a message is stored after it was created; 1 s to 365 days, and not shorter than `request_id_retention`.
    /// Default 30 days.
    pub retention: Duration,
}

impl Sends {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let requests = table.required("request_id_retention", value::duration(SECOND..=30 * DAY));
        let messages = table.required("retention", value::duration(SECOND..=365 * DAY));
        if let (Some(requests), Some(messages)) = (requests, messages)
            && messages < requests
        {
            // A retry returns the message of the first attempt, so the message must be stored as long. If one of the
            // two is a default, the operator has to change the other one.
            if table.location("retention") == SourceLocation::Unlocated {
                table.report("request_id_retention", "must not be longer than `retention`");
            } else {
                table.report("retention", "must not be shorter than `request_id_retention`");
            }
        }
        Some(Self { request_id_retention: requests?, retention: messages? })
    }
}
