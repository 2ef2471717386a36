//! Subscriptions: named consumers whose position the server stores.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::account::is_name;
use super::{Filter, UnixMillis};

/// The client's name for a subscription. The rules of account ids apply. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(Arc<str>);

/// Why a string is not a [`SubscriptionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be lower-case letters, digits and single hyphens between them, 1 to 63 characters, like `billing` or `billing-eu-2`"
)]
pub struct SubscriptionIdMalformed;

impl SubscriptionId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubscriptionId {
    type Err = SubscriptionIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if is_name(s) { Ok(Self(s.into())) } else { Err(SubscriptionIdMalformed) }
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The client's labels of a subscription. The server stores them and does not interpret them.
pub type Labels = BTreeMap<String, String>;

/// The stored state of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The subscription's name.
    pub id: SubscriptionId,
    /// The events that the subscription selects.
    pub filter: Filter,
    /// The client's labels.
    pub labels: Labels,
    /// All events up to and including this sequence number are acknowledged, or were trimmed without matching the
    /// filter.
    pub sequence: u64,
    /// The sequence number of the last seek or acknowledgement. `sequence` is greater if trimming has advanced the
    /// subscription past events that its filter does not match.
    pub acknowledged: u64,
    /// Changes each time the filter or the position is set. The new value is greater than any that any subscription had
    /// before.
    pub generation: u64,
    /// When the subscription was created.
    pub create_time: UnixMillis,
    /// When the filter, the labels or the position were last set to other values.
    pub update_time: UnixMillis,
    /// When an acknowledgement last moved the position.
    pub acknowledge_time: Option<UnixMillis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscription_id_follows_the_rules_of_account_ids() {
        for good in ["a", "billing-eu-2", &"a".repeat(63)] {
            assert_eq!(good.parse::<SubscriptionId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a--b", "Billing", "a_b", &"a".repeat(64)] {
            assert_eq!(bad.parse::<SubscriptionId>(), Err(SubscriptionIdMalformed), "{bad:?}");
        }
    }
}
