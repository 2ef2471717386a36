//! The errors of a configuration, each with its key and its location.
//!
//! An error names keys, variables and files. It never quotes a value, because any value may be a secret in the wrong
//! place.

use std::fmt;
use std::path::{Path, PathBuf};

/// All errors of a configuration; never empty.
///
/// Displayed as one error per line: first those of the file, in its order, then those of the environment, then those
/// without a location.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    errors: Vec<ConfigError>,
}

/// One error of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// The location of the value. If the value is missing, the location of its table.
    pub location: SourceLocation,
    /// The path of the key, such as `accounts[1] (globex).api_key`. Empty if the error is not about one key.
    pub key: String,
    /// What is wrong, and which values are allowed.
    pub problem: String,
}

/// The location of a wrong value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// In the file.
    Line {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1; 0 if only the line is known.
        column: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// No location: the value is missing, or the error is about the whole file.
    Unlocated,
}

impl ConfigErrors {
    pub(super) fn new(file: Option<&Path>, mut errors: Vec<ConfigError>) -> Self {
        errors.sort();
        Self { file: file.map(Path::to_owned), errors }
    }

    /// The errors, in the order in which they are displayed.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ConfigError { location, key, problem }) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (location, &self.file) {
                (SourceLocation::Line { line, .. }, Some(file)) => write!(f, "{}:{line}:", file.display())?,
                (SourceLocation::Line { line, .. }, None) => write!(f, "line {line}:")?,
                (SourceLocation::Variable(name), _) => write!(f, "{}:", name.escape_debug())?,
                (SourceLocation::Unlocated, Some(file)) => write!(f, "{}:", file.display())?,
                (SourceLocation::Unlocated, None) => f.write_str("configuration:")?,
            }
            match location {
                SourceLocation::Line { column, .. } if *column > 0 => write!(f, "{column}: ")?,
                _ => f.write_str(" ")?,
            }
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            f.write_str(problem)?;
        }
        Ok(())
    }
}
