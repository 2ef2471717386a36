//! Webhook registrations: which events a provider delivers to which URL.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::Channel;

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

/// The details of a registration. An absent or empty field means the provider's default.
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
    /// The change that sets the fields that are set here.
    #[must_use]
    pub fn set_fields(self) -> ConfigurationChange {
        ConfigurationChange {
            echo: self.echo,
            channel_types: Some(self.channel_types).filter(|list| !list.is_empty()),
            filters: Some(self.filters).filter(|list| !list.is_empty()),
        }
    }

    /// This configuration after `change`.
    #[must_use]
    pub fn changed_by(self, change: ConfigurationChange) -> Self {
        Self {
            echo: change.echo.or(self.echo),
            channel_types: change.channel_types.unwrap_or(self.channel_types),
            filters: change.filters.unwrap_or(self.filters),
        }
    }
}

/// A change to the details of a registration. An absent field stays unchanged. An empty list is sent as empty, to clear
/// the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationChange {
    /// Whether messages from the account's own numbers are delivered too.
    pub echo: Option<bool>,
    /// The networks whose messages are delivered, as the provider names them.
    pub channel_types: Option<Vec<String>>,
    /// Filters that select the events to deliver.
    pub filters: Option<Vec<Filter>>,
}

/// The provider's name for a network in [`Configuration::channel_types`].
pub const fn channel_type(channel: Channel) -> &'static str {
    match channel {
        Channel::WhatsApp => "whatsapp",
        Channel::Sms => "sms",
    }
}

/// The network with this name in [`Configuration::channel_types`]. `None` if the name is unknown.
pub fn parse_channel_type(name: &str) -> Option<Channel> {
    match name {
        "whatsapp" => Some(Channel::WhatsApp),
        "sms" => Some(Channel::Sms),
        _ => None,
    }
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
    pub configuration: ConfigurationChange,
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
        assert_eq!(own.clone().changed_by(Configuration::default().set_fields()), own);
        let change = Configuration { echo: Some(false), ..Configuration::default() };
        let changed = own.clone().changed_by(change.set_fields());
        assert_eq!((changed.echo, changed.channel_types), (Some(false), strings(&["sms"])));
        let clearing = ConfigurationChange { channel_types: Some(Vec::new()), ..Default::default() };
        let cleared = own.changed_by(clearing);
        assert_eq!((cleared.echo, cleared.channel_types), (Some(true), Vec::new()));
    }

    #[test]
    fn channel_type_names_round_trip() {
        for channel in [Channel::WhatsApp, Channel::Sms] {
            assert_eq!(parse_channel_type(channel_type(channel)), Some(channel));
        }
        for unknown in ["", "WhatsApp", "rcs"] {
            assert_eq!(parse_channel_type(unknown), None, "{unknown:?}");
        }
    }
}
