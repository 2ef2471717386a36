//! Values of the house in columns of the file, and back.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use super::super::Error;
use super::json_columns::Column;

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
