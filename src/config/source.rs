//! Sources of environment variables: the process in production, a map in tests.

use std::collections::BTreeMap;

/// A set of environment variables.
///
/// The configuration is read only through this trait. Tests therefore share a process without sharing variables.
pub trait Source {
    /// The value of the variable, or `None` if it is not set or is not UTF-8.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that are set, including those whose value is not UTF-8.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment;

impl Source for Environment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self) -> Vec<String> {
        // A name that is not UTF-8 is included, and `get` does not find it. With Switchboard's prefix, it is an error.
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl Source for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
