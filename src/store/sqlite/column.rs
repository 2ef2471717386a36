//! Conversions between domain values and columns.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

use super::super::Error;
use super::json_columns::Column;
use crate::domain::{CustomerHash, EventCustomer};

/// An error for a column with a value that this version does not write. It names the column and never includes the
/// value.
pub(super) fn corrupt(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

/// Parses a text column.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    optional_parsed(row, column)?.ok_or_else(|| corrupt(column, "value missing"))
}

/// Like [`parsed`], for a nullable column.
pub(super) fn optional_parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null().map_err(|_| corrupt(column, "not text"))? {
        Some(text) => text.parse().map(Some).map_err(|_| corrupt(column, "not a valid value")),
        None => Ok(None),
    }
}

/// Reads a nullable JSON column.
pub(super) fn optional_json<T: Column>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)?.as_str_or_null().map_err(|_| corrupt(column, "not text"))? {
        Some(text) => {
            T::from_text(text).map(Some).ok_or_else(|| corrupt(column, "not valid JSON for this column"))
        }
        None => Ok(None),
    }
}

/// Reads the customer of an event from three columns: the customer, then the aliases.
pub(super) fn customer(row: &Row<'_>, column: usize) -> rusqlite::Result<EventCustomer> {
    let hash = |column| {
        let bytes = row.get_ref(column)?.as_blob_or_null().map_err(|_| corrupt(column, "not a blob"))?;
        bytes.map(CustomerHash::try_from).transpose().map_err(|_| corrupt(column, "not a hash"))
    };
    Ok(EventCustomer { customer: hash(column)?, aliases: [hash(column + 1)?, hash(column + 2)?] })
}

impl Error {
    /// Classifies an SQLite error of a read.
    pub(super) fn of_read(source: rusqlite::Error) -> Self {
        match source {
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) => {
                Self::Corrupt(source.to_string())
            }
            source => Self::Failed(std::sync::Arc::new(source)),
        }
    }
}
