//! What is wrong with a configuration: every fault, with its key and its place.
//!
//! A fault names keys, variables and files. It never quotes a value, because any value may be a secret that
//! was put in the wrong place.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration; never empty.
///
/// Displayed one fault per line: those of the file first, in its order, then those of the environment, then
/// those that have no place.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Faults {
    file: Option<PathBuf>,
    faults: Vec<Fault>,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where the value stands, or where it should.
    pub place: Place,
    /// The path of the key, such as `accounts[1] (globex).api_key`; empty when no key is concerned.
    pub key: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Where a faulty value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
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
    Nowhere,
}

impl Faults {
    pub(super) fn new(file: Option<&Path>, mut faults: Vec<Fault>) -> Self {
        faults.sort();
        Self { file: file.map(Path::to_owned), faults }
    }

    /// The faults, in the order in which they are displayed.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.faults.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { place, key, problem }) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (place, &self.file) {
                (Place::Line { line, .. }, Some(file)) => write!(f, "{}:{line}:", file.display())?,
                (Place::Line { line, .. }, None) => write!(f, "line {line}:")?,
                (Place::Variable(name), _) => write!(f, "{}:", name.escape_debug())?,
                (Place::Nowhere, Some(file)) => write!(f, "{}:", file.display())?,
                (Place::Nowhere, None) => f.write_str("configuration:")?,
            }
            match place {
                Place::Line { column, .. } if *column > 0 => write!(f, "{column}: ")?,
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
