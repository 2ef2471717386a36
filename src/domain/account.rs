//! Accounts and their providers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One of the REST APIs that Switchboard calls, identified by its name in configuration, metrics, error metadata and the
/// store.
///
/// The set is open: a name is 1 to 16 lower-case ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Provider {
    /// The name, with zeros after its end.
    name: [u8; Self::MAX_NAME_BYTES],
}

/// Why a string is not the name of a [`Provider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 16 lower-case letters and digits")]
pub struct ProviderMalformed;

impl Provider {
    /// ConnectBy, `https://api.connectby.io`.
    pub const CONNECTBY: Self = Self::new("connectby");
    /// Connectly, `https://api.connectly.ai`.
    pub const CONNECTLY: Self = Self::new("connectly");

    const MAX_NAME_BYTES: usize = 16;

    /// The provider of this name, for constants.
    ///
    /// # Panics
    ///
    /// If it is no valid name. In a constant, this is a compile error.
    pub const fn new(name: &str) -> Self {
        match Self::parse(name.as_bytes()) {
            Some(provider) => provider,
            None => panic!("a provider's name is 1 to 16 lower-case letters and digits"),
        }
    }

    const fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > Self::MAX_NAME_BYTES {
            return None;
        }
        let mut name = [0; Self::MAX_NAME_BYTES];
        let mut at = 0;
        while at < text.len() {
            if !(text[at].is_ascii_lowercase() || text[at].is_ascii_digit()) {
                return None;
            }
            name[at] = text[at];
            at += 1;
        }
        Some(Self { name })
    }

    /// The provider's name.
    pub fn as_str(&self) -> &str {
        let length = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        std::str::from_utf8(&self.name[..length]).expect("a name is ASCII")
    }
}

impl FromStr for Provider {
    type Err = ProviderMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s.as_bytes()).ok_or(ProviderMalformed)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({self})")
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
    fn provider_accepts_short_lowercase_names() {
        for good in ["connectby", "a", "2chat", &"a".repeat(16)] {
            assert_eq!(good.parse::<Provider>().map(|provider| provider.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "Connectly", "a-b", "é", "a\0", &"a".repeat(17)] {
            assert_eq!(bad.parse::<Provider>(), Err(ProviderMalformed), "{bad:?}");
        }
    }

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
