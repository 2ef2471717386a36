//! Registrations of webhooks: where a provider delivers what.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The most characters of an address.
const MAX_ADDRESS: usize = 2_048;

/// What a provider delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// What customers write.
    Messages,
    /// What becomes of messages.
    DeliveryStatus,
    /// Finished reports.
    Report,
}

/// The id of a registration: what may stand in a path.
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
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let good = (1..=128).contains(&s.len()) && s.bytes().all(fits);
        if good { Ok(Self(s.to_owned())) } else { Err(RegistrationIdMalformed) }
    }
}

/// An address that a provider may deliver to.
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
    /// The address as text.
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
        let good = (url.scheme() == "https" || url.scheme() == "http" && loopback)
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && s.len().max(url.as_str().len()) <= MAX_ADDRESS;
        if good { Ok(Self(url)) } else { Err(AddressMalformed) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is delivered in detail. What is absent or empty is the provider's default or, in a change, stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Whether messages from our own numbers are delivered too.
    pub echo: Option<bool>,
    /// The networks whose messages are delivered, in the provider's words.
    pub channel_types: Vec<String>,
    /// Which events are delivered.
    pub filters: Vec<Filter>,
}

impl Configuration {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This configuration with what `change` says in place of its own.
    #[must_use]
    pub fn changed_by(self, change: Self) -> Self {
        Self {
            echo: change.echo.or(self.echo),
            channel_types: either(change.channel_types, self.channel_types),
            filters: either(change.filters, self.filters),
        }
    }
}

fn either<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}

/// Chooses events by one of their fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The field, in the provider's word.
    pub field: String,
    /// What it must look like.
    pub expression: String,
}

/// A registration to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRegistration {
    /// What is to be delivered.
    pub topic: Topic,
    /// Where to.
    pub address: Address,
    /// What in detail.
    pub configuration: Configuration,
}

/// What is to change in a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The new address; absent: as it is.
    pub address: Option<Address>,
    /// What changes in detail.
    pub configuration: Configuration,
}

/// A registration as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The provider's id, whatever it looks like.
    pub id: String,
    /// What is delivered, where the provider's word is one we know.
    pub topic: Option<Topic>,
    /// The provider's word.
    pub provider_topic: String,
    /// Where to, whatever it looks like.
    pub address: String,
    /// What in detail.
    pub configuration: Configuration,
    /// The provider's JSON, byte for byte. Empty when the provider did not list it.
    pub raw_json: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_stand_in_a_path() {
        for good in ["a", "01J0-_z", &"x".repeat(128)] {
            assert!(good.parse::<RegistrationId>().is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "a?b", "ü", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<RegistrationId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_is_https_and_names_nobody() {
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
    fn a_change_leaves_what_it_does_not_name() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let own = Configuration { echo: Some(true), channel_types: words(&["sms"]), filters: Vec::new() };
        assert_eq!(own.clone().changed_by(Configuration::default()), own);
        let change = Configuration { echo: Some(false), ..Configuration::default() };
        let changed = own.changed_by(change);
        assert_eq!((changed.echo, changed.channel_types), (Some(false), words(&["sms"])));
    }
}
