//! The one table that says what an answer (or its absence) proves about a write.

use std::fmt;
use std::str::FromStr;

use super::ProviderFault;

/// Why nobody can tell whether a write was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum UnknownReason {
    /// No reply in time.
    TimedOut,
    /// The connection broke before a reply.
    ConnectionLost,
    /// The reply broke off.
    ReplyCutOff,
    /// The reply was longer than any real one.
    ReplyTooLarge,
    /// The reply said that all was well, in a form that proves nothing.
    ReplyUnreadable,
    /// The provider said that something went wrong on its side.
    ProviderFailed,
    /// The reply pointed to another address, which is never followed: `base_url` or a route is wrong.
    Redirected,
    /// This server ended, or broke off, while the write was under way.
    ServerFailed,
    /// The store was restored from a backup: what was written after that is not known any more.
    Restored,
}

impl UnknownReason {
    /// The reason's name in error metadata and in the store.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a write of which nobody can tell whether it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOutcome {
    /// Why nobody can tell.
    pub cause: UnknownReason,
    /// What the provider said, if it said anything readable.
    pub fault: Option<ProviderFault>,
}

/// A row of the outcome table that an operator may move, for one account.
///
/// Written `status:<HTTP status>` or `code:<provider's error code>` in configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OverrideKey {
    /// An HTTP status other than 2xx: `status:503`.
    Status(u16),
    /// A provider's own error code, compared as text: `code:131000`, `code:ERROR_CODE_UNSPECIFIED`.
    Code(String),
}

/// What a row proves about the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeOverride {
    /// The provider said no: nothing was done and a repeat is the caller's choice.
    Refused,
    /// Nobody can tell whether the write was done.
    Unknown,
}

/// Why a string is not a [`OverrideKey`] or a [`OutcomeOverride`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a row.
    #[error("must be `status:<100 to 599, not 2xx>` or `code:<the provider's error code>`")]
    OverrideKey,
    /// Not a verdict.
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
