//! What is wrong with a configuration: every fault, with its key and its location.
//!
//! A fault names keys, variables and files. It never quotes a value, because any value may be a secret that
//! was put in the wrong location.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration; never empty.
///
/// Displayed one fault per line: those of the file first, in its order, then those of the environment, then
/// those that have no location.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    errors: Vec<ConfigError>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigError {
    /// Where the value stands, or where it should.
    pub location: SourceLocation,
    /// The path of the key, such as `accounts[1] (globex).api_key`; empty when no key is concerned.
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Where a faulty value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// In the file.
    Line {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1; 0 where only the line matters.
        column: usize,
    },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: it is missing, or the file as a whole is concerned.
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
