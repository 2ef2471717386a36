//! Where environment variables come from: the process in production, a map in tests.

use std::collections::BTreeMap;

/// A set of environment variables.
///
/// Configuration is read through this trait and never asks the process itself, so that tests share a
/// process without sharing variables.
pub trait Source {
    /// The value of the variable, or `None` when it is not set or is not UTF-8.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that are set, also of those whose value is not UTF-8.
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
        // A name that is not UTF-8 stays recognisable, and `get` does not find it: a fault, if it is ours.
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
