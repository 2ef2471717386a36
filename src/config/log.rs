//! `[log]`: what is written to standard error, and how.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use super::table::Table;
use super::value::{Raw, parsed};

/// The log.
#[derive(Clone, Debug)]
pub struct Log {
    /// The format of a line. Default [`Format::Text`].
    pub format: Format,
    /// Selects the lines that are written: directives of `tracing_subscriber::EnvFilter`, such as
    /// `info,switchboard::webhook=debug`. Default `info,h2=error`.
    pub filter: String,
}

/// The format of a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: `text`.
    Text,
    /// For machines, one object per line: `json`.
    Json,
}

/// The error for a string that is not a [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `text` or `json`")]
pub struct UnknownFormat;

impl Log {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let format = table.required("format", parsed);
        let filter = table.required("filter", filter);
        Some(Self { format: format?, filter: filter? })
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

fn filter(raw: &Raw<'_>) -> Result<String, String> {
    raw.text()
        .filter(|text| !text.trim().is_empty() && EnvFilter::builder().parse(text).is_ok())
        .map(str::to_owned)
        .ok_or_else(|| "must be directives such as `info` or `info,switchboard::webhook=debug`".to_owned())
}
