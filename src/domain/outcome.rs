//! The one table that says what an answer (or its absence) proves about a write.

use std::fmt;
use std::str::FromStr;

/// A row of the outcome table that an operator may move, for one account.
///
/// Written `status:<HTTP status>` or `code:<provider's error code>` in configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// An HTTP status other than 2xx: `status:503`.
    Status(u16),
    /// A provider's own error code, compared as text: `code:131000`, `code:ERROR_CODE_UNSPECIFIED`.
    Code(String),
}

/// What a row proves about the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The provider said no: nothing was done and a repeat is the caller's choice.
    Refused,
    /// Nobody can tell whether the write was done.
    Unknown,
}

/// Why a string is not a [`Row`] or a [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a row.
    #[error("must be `status:<100 to 599, not 2xx>` or `code:<the provider's error code>`")]
    Row,
    /// Not a verdict.
    #[error("must be `refused` or `unknown`")]
    Verdict,
}

impl FromStr for Row {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.split_once(':') {
            Some(("status", status)) => match status.parse::<u16>() {
                Ok(status @ (100..=199 | 300..=599)) => Ok(Self::Status(status)),
                _ => Err(Malformed::Row),
            },
            Some(("code", code)) if !code.is_empty() => Ok(Self::Code(code.to_owned())),
            _ => Err(Malformed::Row),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status:{status}"),
            Self::Code(code) => write!(f, "code:{code}"),
        }
    }
}

impl FromStr for Verdict {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "refused" => Ok(Self::Refused),
            "unknown" => Ok(Self::Unknown),
            _ => Err(Malformed::Verdict),
        }
    }
}
