//! Which events are wanted.

use super::{AccountId, EventType};

/// Chooses events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of these accounts. None means all.
    pub accounts: Vec<AccountId>,
    /// Those of these types. None means all.
    pub types: Vec<EventType>,
}

impl Filter {
    /// Whether an event of that account and type is wanted.
    pub fn matches(&self, account: &AccountId, event_type: EventType) -> bool {
        (self.accounts.is_empty() || self.accounts.contains(account))
            && (self.types.is_empty() || self.types.contains(&event_type))
    }
}
