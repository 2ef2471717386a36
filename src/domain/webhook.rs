//! Webhook registrations: which events a provider delivers to which URL.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The maximum length of a URL, in characters.
const MAX_ADDRESS_CHARACTERS: usize = 2_048;

/// A kind of event that a provider delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Messages from customers.
    Messages,
    /// Status changes of sent messages.
    DeliveryStatus,
    /// Completed reports.
    Report,
}

/// The id of a registration. It contains only characters that are safe in a URL path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationId(String);

/// Why a string is not a [`RegistrationId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be letters, digits, `_` and `-`, at most 128 characters")]
pub struct RegistrationIdMalformed;

impl RegistrationId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistrationId {
    type Err = RegistrationIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let valid = (1..=128).contains(&s.len()) && s.bytes().all(allowed);
        if valid { Ok(Self(s.to_owned())) } else { Err(RegistrationIdMalformed) }
    }
}

/// A URL that a provider may deliver webhooks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Url);

/// Why a string is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an https URL (http is for loopback hosts only) without user, password and fragment, at most 2048 \
     characters"
)]
pub struct AddressMalformed;

impl Address {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Address {
    type Err = AddressMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(s).map_err(|_| AddressMalformed)?;
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
            None => false,
        };
        let valid = (url.scheme() == "https" || url.scheme() == "http" && loopback)
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && s.len().max(url.as_str().len()) <= MAX_ADDRESS_CHARACTERS;
        if valid { Ok(Self(url)) } else { Err(AddressMalformed) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The details of a registration. An absent or empty field means the provider's default; in a change, it means
/// unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Whether messages from the account's own numbers are delivered too.
    pub echo: Option<bool>,
    /// The networks whose messages are delivered, as the provider names them.
    pub channel_types: Vec<String>,
    /// Filters that select the events to deliver.
    pub filters: Vec<Filter>,
}

impl Configuration {
    /// Whether no field is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This configuration with the fields that `change` sets replaced.
    #[must_use]
    pub fn changed_by(self, change: Self) -> Self {
        Self {
            echo: change.echo.or(self.echo),
            channel_types: non_empty_or(change.channel_types, self.channel_types),
            filters: non_empty_or(change.filters, self.filters),
        }
    }
}

fn non_empty_or<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}

/// Selects events by one of their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The field, as the provider names it.
    pub field: String,
    /// The expression that the field must match.
    pub expression: String,
}

/// A registration to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRegistration {
    /// The topic to deliver.
    pub topic: Topic,
    /// The URL to deliver to.
    pub address: Address,
    /// The details.
    pub configuration: Configuration,
}

/// A change to a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The new URL; if absent, it stays unchanged.
    pub address: Option<Address>,
    /// The details to change.
    pub configuration: Configuration,
}

/// A registration as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The provider's id, not validated.
    pub id: String,
    /// The topic, if the provider's value is a known one.
    pub topic: Option<Topic>,
    /// The provider's value, verbatim.
    pub provider_topic: String,
    /// The URL, not validated.
    pub address: String,
    /// The details.
    pub configuration: Configuration,
    /// The provider's JSON, byte for byte. Empty if the registration does not come from the provider's list.
    pub raw_json: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registration_id_accepts_only_url_safe_characters() {
        for good in ["a", "01J0-_z", &"x".repeat(128)] {
            assert!(good.parse::<RegistrationId>().is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "a?b", "ü", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<RegistrationId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn address_requires_https_and_rejects_credentials() {
        for good in [
            "https://gw.example.org/hook?x=1",
            "https://gw.example.org",
            "http://127.0.0.1:8080/hook",
            "http://localhost/hook",
            "http://[::1]:1/hook",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "gw.example.org/hook",
            "http://gw.example.org/hook",
            "http://127.0.0.1.example.org/hook",
            "ftp://127.0.0.1/hook",
            "https://user@gw.example.org/",
            "https://:word@gw.example.org/",
            "https://gw.example.org/#part",
            "https://",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let long = |length: usize| format!("https://gw.example.org/{}", "x".repeat(length - 23));
        assert!(long(2_048).parse::<Address>().is_ok() && long(2_049).parse::<Address>().is_err());
    }

    #[test]
    fn change_keeps_fields_that_it_does_not_set() {
        let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let own = Configuration { echo: Some(true), channel_types: strings(&["sms"]), filters: Vec::new() };
        assert_eq!(own.clone().changed_by(Configuration::default()), own);
        let change = Configuration { echo: Some(false), ..Configuration::default() };
        let changed = own.changed_by(change);
        assert_eq!((changed.echo, changed.channel_types), (Some(false), strings(&["sms"])));
    }
}
