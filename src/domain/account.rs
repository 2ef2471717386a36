//! Accounts and their providers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One of the two REST APIs that Switchboard calls.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Provider {
    /// ConnectBy, `https://api.connectby.io`.
    ConnectBy,
    /// Connectly, `https://api.connectly.ai`.
    Connectly,
}

impl Provider {
    /// The provider's name in configuration, metrics and error metadata.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The operator's name for one set of credentials at one provider.
///
/// Lower-case letters, digits and single hyphens between them, at most 63 characters. Such a name needs no escaping in
/// a URL, a metric label or an environment variable. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

/// Why a string is not an [`AccountId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be lower-case letters, digits and single hyphens between them, 1 to 63 characters, like `acme` or `acme-eu-2`"
)]
pub struct AccountIdMalformed;

/// The maximum length of a name, in characters.
const MAX_NAME_CHARACTERS: usize = 63;

/// Whether `s` is a valid name for an account or a subscription.
pub(super) fn is_name(s: &str) -> bool {
    let segment =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    s.len() <= MAX_NAME_CHARACTERS && s.split('-').all(segment)
}

impl AccountId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = AccountIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if is_name(s) { Ok(Self(s.into())) } else { Err(AccountIdMalformed) }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_id_accepts_lowercase_words_joined_by_single_hyphens() {
        for good in ["a", "acme", "acme-eu-2", "0", &"a".repeat(63)] {
            assert_eq!(good.parse::<AccountId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-", "a-", "-a", "a--b", "Acme", "a_b", "a b", "é", "a/b", &"a".repeat(64)] {
            assert_eq!(bad.parse::<AccountId>(), Err(AccountIdMalformed), "{bad:?}");
        }
    }
}
