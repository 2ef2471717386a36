//! When a call that was not done is made again, and when not.

use std::time::Duration;

use tokio::time::Instant;

use super::gate::Class;
use crate::provider::Error as ProviderError;

/// The tries at one call.
#[derive(Debug)]
pub(super) struct Tries {}

impl Tries {
    /// None was made yet, and none is begun after the deadline.
    pub(super) fn new(_class: Class) -> Self {
        Self {}
    }

    /// How long to wait before the call is made again after it ended like this. None when it must not be, or when the
    /// deadline would pass.
    pub(super) fn after(&mut self, _error: &ProviderError, _until: Instant) -> Option<Duration> {
        None
    }
}
