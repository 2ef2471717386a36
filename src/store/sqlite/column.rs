//! Values of the house in columns of the file, and back.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use super::super::Error;
use super::json_columns::Column;
use crate::domain::MessageState;

/// A column that does not hold what this version writes. Says which, and not what stands there.
pub(super) fn corrupt(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

/// Reads a text that is the text of a value.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    optional_parsed(row, column)?.ok_or_else(|| corrupt(column, "there must be a value"))
}

/// As [`parsed`], where there may be none.
pub(super) fn optional_parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null().map_err(|_| corrupt(column, "not a text"))? {
        Some(text) => text.parse().map(Some).map_err(|_| corrupt(column, "not what is kept there")),
        None => Ok(None),
    }
}

/// Reads a value that is kept as JSON.
pub(super) fn optional_json<T: Column>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null().map_err(|_| corrupt(column, "not a text"))? {
        Some(text) => T::from_text(text).map(Some).ok_or_else(|| corrupt(column, "not the JSON kept there")),
        None => Ok(None),
    }
}

/// A state's word in the file.
pub(super) const fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "pending",
        MessageState::Unknown => "unknown",
        MessageState::Accepted => "accepted",
        MessageState::Sent => "sent",
        MessageState::Failed => "failed",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
    }
}

/// Reads a state, where there may be none.
pub(super) fn optional_state(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<MessageState>> {
    use MessageState::{Accepted, Delivered, Failed, Pending, Read, Sent, Unknown};
    match row.get_ref(column)?.as_str_or_null().map_err(|_| corrupt(column, "not a text"))? {
        Some(word) => [Pending, Unknown, Accepted, Sent, Failed, Delivered, Read]
            .into_iter()
            .find(|&state| state_name(state) == word)
            .map(Some)
            .ok_or_else(|| corrupt(column, "not a message's state")),
        None => Ok(None),
    }
}

impl Error {
    /// Sorts what the engine said about a read.
    pub(super) fn of_read(source: rusqlite::Error) -> Self {
        match source {
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                Self::Corrupt(source.to_string())
            }
            source => Self::Failed(std::sync::Arc::new(source)),
        }
    }
}
