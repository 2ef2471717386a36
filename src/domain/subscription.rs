//! Named readers whose place the server keeps.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::account::is_name;
use super::{Filter, UnixMillis};

/// The caller's name for a subscription, by the rule of account ids. Cheap to clone.
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

/// A named reader, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub id: SubscriptionId,
    /// Which events it is about.
    pub filter: Filter,
    /// The number of the event up to which all is acknowledged, or gone without having been wanted.
    pub sequence: u64,
    /// Where its place was last set or acknowledged. Its number is another one where it has moved on from there by
    /// itself, with events that it did not want.
    pub acknowledged: u64,
    /// Another one each time that its filter or place is set: greater than any that any subscription had before.
    pub generation: u64,
    /// When it was made.
    pub create_time: UnixMillis,
    /// When its filter or place was last set.
    pub update_time: UnixMillis,
    /// When an acknowledgement last moved its place.
    pub acknowledge_time: Option<UnixMillis>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_id_follows_the_rule_of_account_ids() {
        for good in ["a", "billing-eu-2", &"a".repeat(63)] {
            assert_eq!(good.parse::<SubscriptionId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "a--b", "Billing", "a_b", &"a".repeat(64)] {
            assert_eq!(bad.parse::<SubscriptionId>(), Err(SubscriptionIdMalformed), "{bad:?}");
        }
    }
}
