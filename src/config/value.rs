//! Readers of single values: from TOML or from an environment variable, into the final type.
//!
//! If a value is wrong, a reader returns a text that states what is allowed. The text never quotes the value.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;
use url::{Host, Url};

/// A value as it was found.
#[derive(Clone)]
pub(super) enum Raw<'a> {
    /// From the file or the defaults.
    Toml(&'a DeValue<'a>),
    /// From an environment variable. The key's type determines how the text is read.
    Text(String),
    /// Missing. A reader returns what is allowed.
    Absent,
}

impl Raw<'_> {
    /// The text, if the value is a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
            Self::Absent => None,
        }
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                let integer = value.as_integer()?;
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Text(text) => text.parse().ok(),
            Self::Absent => None,
        }
    }
}

/// Reads a text that parses into `T`. The error of `T` states what is allowed and does not quote the text.
pub(super) fn parsed<T: FromStr<Err: Display>>(raw: &Raw<'_>) -> Result<T, String> {
    // No type parses from an empty text, so "" produces the error that states what is allowed.
    raw.text().unwrap_or_default().parse().map_err(|error: T::Err| error.to_string())
}

/// Reads a whole number within `range`.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl FnOnce(&Raw<'_>) -> Result<u64, String> {
    move |raw| {
        raw.integer()
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// Reads a duration such as `10s` or `1h 30m` within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&Raw<'_>) -> Result<Duration, String> {
    move |raw| {
        raw.text()
            .and_then(|text| humantime::parse_duration(text).ok())
            .filter(|duration| range.contains(duration))
            .ok_or_else(|| {
                let [min, max] = [*range.start(), *range.end()].map(humantime::format_duration);
                format!("must be a duration from `{min}` to `{max}`, such as `1h 30m`")
            })
    }
}

/// Reads an address to listen on.
pub(super) fn address(raw: &Raw<'_>) -> Result<SocketAddr, String> {
    raw.text().and_then(|text| text.parse().ok()).ok_or_else(|| {
        "must be an IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`".to_owned()
    })
}

/// Reads an address to listen on that only this host can reach.
pub(super) fn loopback_address(raw: &Raw<'_>) -> Result<SocketAddr, String> {
    let address = address(raw)?;
    if address.ip().to_canonical().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address such as `127.0.0.1` until clients can authenticate".to_owned())
    }
}

/// Reads the path of a file.
pub(super) fn path(raw: &Raw<'_>) -> Result<PathBuf, String> {
    raw.text()
        .filter(|text| !text.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| "must be the path of a file".to_owned())
}

/// Reads a URL to which a path can be appended.
pub(super) fn url(raw: &Raw<'_>) -> Result<Url, String> {
    raw.text()
        .and_then(|text| Url::parse(text).ok())
        .filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        })
        .ok_or_else(|| "must be an http or https URL without user, password, query and fragment".to_owned())
}

/// Reads a URL to which credentials are sent.
pub(super) fn base_url(raw: &Raw<'_>) -> Result<Url, String> {
    let url = url(raw)?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || loopback {
        Ok(url)
    } else {
        Err("must be https, because http would send the credentials in the clear; http is allowed for loopback \
             hosts only"
            .to_owned())
    }
}
