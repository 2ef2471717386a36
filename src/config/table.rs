//! The typed reader: one table of the configuration, read through all layers.
//!
//! A key is looked up in the environment, then in the file, then in the defaults. The reader records every key that it
//! is asked for. Every other key in the file, and every other variable with the prefix, is an error. The code that
//! reads a section is therefore also the list of its keys.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, SourceLocation};
use super::secret::credential;
use super::source::Source;
use super::suggest::nearest;
use super::value::Raw;

/// The prefix of every variable.
const PREFIX: &str = "SWITCHBOARD";
/// The separator of the parts of a variable's name.
const SEPARATOR: &str = "__";

/// The state that all tables of one configuration share while it is read.
pub(super) struct TableReader<'a> {
    pub(super) source: &'a dyn Source,
    text: &'a str,
    errors: RefCell<Vec<ConfigError>>,
    variables: RefCell<BTreeSet<String>>,
    skipped_prefixes: RefCell<Vec<String>>,
    secret_files: RefCell<Vec<PathBuf>>,
    has_plain_secrets: Cell<bool>,
}

/// One table, through all layers.
pub struct Table<'a> {
    reader: &'a TableReader<'a>,
    path: String,
    /// `None` if no variable can set keys of this table.
    variable: Option<String>,
    location: SourceLocation,
    file: Option<&'a DeTable<'a>>,
    defaults: Option<&'a DeTable<'a>>,
    known_keys: Vec<&'static str>,
}

impl fmt::Debug for Table<'_> {
    /// Prints only the path: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.path)
    }
}

impl<'a> TableReader<'a> {
    /// Creates a reader for the file with this text.
    pub(super) fn new(text: &'a str, source: &'a dyn Source) -> Self {
        Self {
            source,
            text,
            errors: RefCell::default(),
            variables: RefCell::default(),
            skipped_prefixes: RefCell::default(),
            secret_files: RefCell::default(),
            has_plain_secrets: Cell::default(),
        }
    }

    /// Marks a variable as known.
    pub(super) fn mark_known(&self, variable: &str) {
        self.variables.borrow_mut().insert(variable.to_owned());
    }

    /// Records that a secret was read from this file.
    pub(super) fn mark_secret_file(&self, path: &str) {
        self.secret_files.borrow_mut().push(path.into());
    }

    /// Records that the configuration file itself contains a secret.
    pub(super) fn mark_plain_secret(&self) {
        self.has_plain_secrets.set(true);
    }

    /// The files that secrets were read from, and whether the configuration file itself contains one.
    pub(super) fn secret_files(&self) -> (Vec<PathBuf>, bool) {
        (self.secret_files.borrow().clone(), self.has_plain_secrets.get())
    }

    /// The known variables among those that were read.
    #[cfg(test)]
    pub(super) fn known_variables(&self) -> Vec<String> {
        self.variables.borrow().iter().cloned().collect()
    }

    /// Consumes the reader: adds an error for every unknown variable, and returns all errors.
    pub(super) fn finish(self) -> Vec<ConfigError> {
        let known = self.variables.into_inner();
        let skipped_prefixes = self.skipped_prefixes.into_inner();
        let mut errors = self.errors.into_inner();
        for name in self.source.names() {
            if !name.starts_with(&variable_of(PREFIX, ""))
                || skipped_prefixes.iter().any(|a| name.starts_with(a))
            {
                continue;
            }
            let problem = if !known.contains(&name) {
                let meant = nearest(&name, known.iter().map(String::as_str));
                let meant = meant.map(|meant| format!(": did you mean `{meant}`?"));
                format!("matches no account or key{}", meant.unwrap_or_default())
            } else if self.source.get(&name).is_none() {
                "must be UTF-8".to_owned()
            } else {
                continue;
            };
            errors.push(ConfigError {
                location: SourceLocation::Variable(name),
                key: String::new(),
                problem,
            });
        }
        errors
    }

    fn line_of<T>(&self, value: &Spanned<T>) -> SourceLocation {
        let before = self.text.get(..value.span().start).unwrap_or_default();
        SourceLocation::Line { line: before.matches('\n').count() + 1, column: 0 }
    }
}

impl<'a> Table<'a> {
    /// The root table of the configuration.
    pub(super) fn root(
        reader: &'a TableReader<'a>,
        file: &'a DeTable<'a>,
        defaults: &'a DeTable<'a>,
    ) -> Self {
        Self {
            reader,
            path: String::new(),
            variable: Some(PREFIX.to_owned()),
            location: SourceLocation::Unlocated,
            file: Some(file),
            defaults: Some(defaults),
            known_keys: Vec::new(),
        }
    }

    /// Reads a required credential: visible ASCII, as a text or as `{ env = "NAME" }`.
    pub fn credential(&mut self, key: &'static str) -> Option<SecretString> {
        let reader = self.reader();
        self.required(key, credential(reader))
    }

    /// Reads an optional key. A malformed value is reported and counts as missing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, location) = self.find(key)?;
        read(&raw).map_err(|problem| self.report_at(location, key, problem)).ok()
    }

    /// Reads a required key. `None` means that an error was reported.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, location) = self.find(key).unwrap_or_else(|| (Raw::Absent, self.location.clone()));
        let missing = if matches!(raw, Raw::Absent) { "is missing: " } else { "" };
        read(&raw).map_err(|problem| self.report_at(location, key, format!("{missing}{problem}"))).ok()
    }

    /// Reads a list. In the environment, commas separate its items. A malformed item is reported and left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Raw<'a>) -> Result<T, String>,
    ) -> Vec<T> {
        let items: Vec<(Raw<'a>, SourceLocation)> = match self.find(key) {
            None => Vec::new(),
            Some((Raw::Toml(DeValue::Array(items)), _)) => {
                items.iter().map(|item| (Raw::Toml(item.get_ref()), self.reader.line_of(item))).collect()
            }
            Some((Raw::Text(text), location)) => {
                parts(&text).map(|part| (Raw::Text(part.to_owned()), location.clone())).collect()
            }
            Some((_, location)) => {
                self.report_at(location, key, "must be a list, in square brackets");
                Vec::new()
            }
        };
        let read = |(index, (raw, location)): (usize, (Raw<'a>, SourceLocation))| {
            read(&raw).map_err(|problem| self.report_at(location, &format!("{key}[{index}]"), problem)).ok()
        };
        items.into_iter().enumerate().filter_map(read).collect()
    }

    /// Reads a table whose keys the operator chooses. In the environment, it is written as `key=value`, separated by
    /// commas.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<(String, Raw<'a>, SourceLocation)> {
        match self.find(key) {
            None => Vec::new(),
            Some((Raw::Toml(DeValue::Table(pairs)), _)) => pairs
                .iter()
                .map(|(k, v)| (k.get_ref().to_string(), Raw::Toml(v.get_ref()), self.reader.line_of(k)))
                .collect(),
            Some((Raw::Text(text), location)) => parts(&text)
                .map(|part| match part.rsplit_once('=') {
                    Some((k, v)) => (k.trim().to_owned(), Raw::Text(v.trim().to_owned()), location.clone()),
                    None => (part.to_owned(), Raw::Absent, location.clone()),
                })
                .collect(),
            Some((_, location)) => {
                self.report_at(location, key, "must be a table");
                Vec::new()
            }
        }
    }

    /// Returns the table under `key`. It is empty if there is none.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'a> {
        self.known_keys.push(key);
        let found = self.file.and_then(|file| file.get(key));
        let file = found.and_then(|value| value.get_ref().as_table());
        let location = found.map_or_else(|| self.location.clone(), |value| self.reader.line_of(value));
        if found.is_some() && file.is_none() {
            self.report_at(location.clone(), key, "must be a table");
        }
        Table {
            reader: self.reader,
            path: self.path_of(key),
            variable: self.variable.as_ref().map(|prefix| variable_of(prefix, key)),
            location,
            file,
            defaults: self.defaults.and_then(|defaults| defaults.get(key)?.get_ref().as_table()),
            known_keys: Vec::new(),
        }
    }

    /// Returns the tables in the file's array under `key`. Variables do not apply to them before
    /// [`set_name`](Self::set_name). `None` means that an error was reported.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Table<'a>>> {
        self.known_keys.push(key);
        let Some(found) = self.file.and_then(|file| file.get(key)) else { return Some(Vec::new()) };
        let tables = found.get_ref().as_array().and_then(|items| {
            let table = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
                Some(Table {
                    reader: self.reader,
                    path: format!("{}[{index}]", self.path_of(key)),
                    variable: None,
                    location: self.reader.line_of(item),
                    file: Some(item.get_ref().as_table()?),
                    defaults: None,
                    known_keys: Vec::new(),
                })
            };
            items.iter().enumerate().map(table).collect::<Option<Vec<_>>>()
        });
        if tables.is_none() {
            let location = self.reader.line_of(found);
            self.report_at(location, key, format!("must be tables, each under a line `[[{key}]]`"));
        }
        tables
    }

    /// Names a table of an array. Errors show the name, and variables under `parent` apply to the table.
    pub(super) fn set_name(&mut self, parent: &str, name: &str) {
        self.path = format!("{} ({name})", self.path);
        self.variable = Some(variable_of(&variable_of(PREFIX, parent), name));
    }

    /// The path of the table, as errors show it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The reader that this table belongs to.
    pub(super) fn reader(&self) -> &'a TableReader<'a> {
        self.reader
    }

    /// The location of the value of `key`. If the value is missing or a default, the location of the table.
    pub(super) fn location(&self, key: &str) -> SourceLocation {
        match (self.set_variable(key), self.file.and_then(|file| file.get(key))) {
            (Some((name, _)), _) => SourceLocation::Variable(name),
            (None, Some(value)) => self.reader.line_of(value),
            (None, None) => self.location.clone(),
        }
    }

    /// Whether neither the file nor the environment sets `key`.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.set_variable(key).is_none() && self.file.is_none_or(|file| file.get(key).is_none())
    }

    /// Reports an error at `key`.
    pub(super) fn report(&self, key: &str, problem: impl Into<String>) {
        self.report_at(self.location(key), key, problem);
    }

    /// Reports an error at `key`, whose value is at `location`.
    pub(super) fn report_at(&self, location: SourceLocation, key: &str, problem: impl Into<String>) {
        let error = ConfigError { location, key: self.path_of(key), problem: problem.into() };
        self.reader.errors.borrow_mut().push(error);
    }

    /// Consumes the table, and reports every key of the file that was not read.
    pub(super) fn finish(self) {
        for (key, _) in self.file.into_iter().flatten() {
            let name: &str = key.get_ref();
            if self.known_keys.contains(&name) {
                continue;
            }
            let meant = match nearest(name, self.known_keys.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys are `{}`", self.known_keys.join("`, `")),
            };
            self.report_at(self.reader.line_of(key), name, format!("is not a key: {meant}"));
        }
    }

    /// Consumes the table and accepts all other keys, because which keys it may have is unknown.
    pub(super) fn skip_unknown_keys(self) {
        let prefix = self.variable.map(|prefix| variable_of(&prefix, ""));
        self.reader.skipped_prefixes.borrow_mut().extend(prefix);
    }

    fn find(&mut self, key: &'static str) -> Option<(Raw<'a>, SourceLocation)> {
        self.known_keys.push(key);
        if let Some(prefix) = &self.variable {
            self.reader.mark_known(&variable_of(prefix, key));
        }
        if let Some((name, text)) = self.set_variable(key) {
            return Some((Raw::Text(text), SourceLocation::Variable(name)));
        }
        if let Some(value) = self.file.and_then(|file| file.get(key)) {
            return Some((Raw::Toml(value.get_ref()), self.reader.line_of(value)));
        }
        let value = self.defaults.and_then(|defaults| defaults.get(key))?;
        Some((Raw::Toml(value.get_ref()), SourceLocation::Unlocated))
    }

    fn set_variable(&self, key: &str) -> Option<(String, String)> {
        let name = variable_of(self.variable.as_ref()?, key);
        let text = self.reader.source.get(&name)?;
        Some((name, text))
    }

    fn path_of(&self, key: &str) -> String {
        let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'[' | b']'));
        let key = if bare && !key.is_empty() { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

/// The variable for `key` below `prefix`: upper case, `_` for `-`.
fn variable_of(prefix: &str, key: &str) -> String {
    format!("{prefix}{SEPARATOR}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// The parts of a comma-separated text; none if it is blank.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let empty = text.trim().is_empty();
    text.split(',').map(str::trim).filter(move |_| !empty)
}
