//! Outcomes of writes: why an outcome can be unknown, and how an operator overrides the outcome table.

use std::fmt;
use std::str::FromStr;

use super::ProviderFault;

/// Why the outcome of a write is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum UnknownReason {
    /// No reply arrived before the timeout.
    TimedOut,
    /// The connection broke before a reply arrived.
    ConnectionLost,
    /// The reply was truncated.
    ReplyCutOff,
    /// The reply exceeded the size limit, which is larger than any real reply.
    ReplyTooLarge,
    /// The reply indicated success, but not in a form that proves it.
    ReplyUnreadable,
    /// The provider reported an error on its side.
    ProviderFailed,
    /// The provider replied with a redirect, which Switchboard never follows: `base_url` or a route is wrong.
    Redirected,
    /// Switchboard stopped or crashed while the write was in progress.
    ServerFailed,
    /// The store was restored from a backup, so writes made after the backup are not known.
    Restored,
}

impl UnknownReason {
    /// The reason's name in error metadata and in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// What is known about a write whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOutcome {
    /// Why the outcome is unknown.
    pub cause: UnknownReason,
    /// The provider's error, if the reply contained a readable one.
    pub fault: Option<ProviderFault>,
}

/// The key of an outcome table row that an operator can override for one account.
///
/// Written `status:<HTTP status>` or `code:<provider's error code>` in configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OverrideKey {
    /// An HTTP status other than 2xx: `status:503`.
    Status(u16),
    /// A provider's own error code, compared as text: `code:131000`, `code:ERROR_CODE_UNSPECIFIED`.
    Code(String),
}

/// The outcome that a row assigns to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeOverride {
    /// The provider refused: it did nothing, and the client decides whether to retry.
    Refused,
    /// The outcome is unknown.
    Unknown,
}

/// Why a string is not an [`OverrideKey`] or an [`OutcomeOverride`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a row key.
    #[error("must be `status:<100 to 599, not 2xx>` or `code:<the provider's error code>`")]
    OverrideKey,
    /// Not an outcome.
    #[error("must be `refused` or `unknown`")]
    OutcomeOverride,
}

impl FromStr for OverrideKey {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.split_once(':') {
            Some(("status", status)) => match status.parse::<u16>() {
                Ok(status @ (100..=199 | 300..=599)) => Ok(Self::Status(status)),
                _ => Err(Malformed::OverrideKey),
            },
            Some(("code", code)) if !code.is_empty() => Ok(Self::Code(code.to_owned())),
            _ => Err(Malformed::OverrideKey),
        }
    }
}

impl fmt::Display for OverrideKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status:{status}"),
            Self::Code(code) => write!(f, "code:{code}"),
        }
    }
}

impl FromStr for OutcomeOverride {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "refused" => Ok(Self::Refused),
            "unknown" => Ok(Self::Unknown),
            _ => Err(Malformed::OutcomeOverride),
        }
    }
}
