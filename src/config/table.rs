//! The typed reader: one table of the configuration, seen through all layers.
//!
//! A key is looked up in the environment, then in the file, then in the defaults. The reader remembers what
//! it was asked for; whatever the file or the environment holds beyond that is a fault. So the code that reads
//! a section is also the list of its keys.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, SourceLocation};
use super::source::Source;
use super::suggest::nearest;
use super::value::Raw;

/// What every variable of ours begins with.
const PREFIX: &str = "SWITCHBOARD";
/// What stands between the parts of a variable's name.
const SEPARATOR: &str = "__";

/// One reading of a configuration: what its tables share.
pub(super) struct TableReader<'a> {
    pub(super) source: &'a dyn Source,
    text: &'a str,
    faults: RefCell<Vec<ConfigError>>,
    variables: RefCell<BTreeSet<String>>,
    abandoned: RefCell<Vec<String>>,
}

/// One table, through all layers.
pub(super) struct Table<'a> {
    reading: &'a TableReader<'a>,
    path: String,
    /// `None` where the environment does not reach.
    variable: Option<String>,
    place: SourceLocation,
    file: Option<&'a DeTable<'a>>,
    defaults: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
}

impl<'a> TableReader<'a> {
    /// Starts a reading of the file with this text.
    pub(super) fn new(text: &'a str, source: &'a dyn Source) -> Self {
        Self {
            source,
            text,
            faults: RefCell::default(),
            variables: RefCell::default(),
            abandoned: RefCell::default(),
        }
    }

    /// Marks a variable as one that means something.
    pub(super) fn knows(&self, variable: &str) {
        self.variables.borrow_mut().insert(variable.to_owned());
    }

    /// The variables that mean something, as far as was read.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<String> {
        self.variables.borrow().iter().cloned().collect()
    }

    /// Ends the reading: adds the faults of variables that nobody asked for, and hands all faults out.
    pub(super) fn finish(self) -> Vec<ConfigError> {
        let known = self.variables.into_inner();
        let abandoned = self.abandoned.into_inner();
        let mut faults = self.faults.into_inner();
        for name in self.source.names() {
            if !name.starts_with(&variable_of(PREFIX, "")) || abandoned.iter().any(|a| name.starts_with(a)) {
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
            faults.push(ConfigError { place: SourceLocation::Variable(name), key: String::new(), problem });
        }
        faults
    }

    fn line_of<T>(&self, value: &Spanned<T>) -> SourceLocation {
        let before = self.text.get(..value.span().start).unwrap_or_default();
        SourceLocation::Line { line: before.matches('\n').count() + 1, column: 0 }
    }
}

impl<'a> Table<'a> {
    /// The whole configuration.
    pub(super) fn root(
        reading: &'a TableReader<'a>,
        file: &'a DeTable<'a>,
        defaults: &'a DeTable<'a>,
    ) -> Self {
        Self {
            reading,
            path: String::new(),
            variable: Some(PREFIX.to_owned()),
            place: SourceLocation::Nowhere,
            file: Some(file),
            defaults: Some(defaults),
            asked: Vec::new(),
        }
    }

    /// Reads a key that may be missing. A faulty value is reported and counts as missing.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, place) = self.find(key)?;
        read(&raw).map_err(|problem| self.fault_at(place, key, problem)).ok()
    }

    /// Reads a key that must be there. `None` means that the fault is reported.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let (raw, place) = self.find(key).unwrap_or_else(|| (Raw::Absent, self.place.clone()));
        let missing = if matches!(raw, Raw::Absent) { "is missing: " } else { "" };
        read(&raw).map_err(|problem| self.fault_at(place, key, format!("{missing}{problem}"))).ok()
    }

    /// Reads a list; in the environment its items are separated by commas. A faulty item is left out.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Raw<'a>) -> Result<T, String>,
    ) -> Vec<T> {
        let items: Vec<(Raw<'a>, SourceLocation)> = match self.find(key) {
            None => Vec::new(),
            Some((Raw::Toml(DeValue::Array(items)), _)) => {
                items.iter().map(|item| (Raw::Toml(item.get_ref()), self.reading.line_of(item))).collect()
            }
            Some((Raw::Text(text), place)) => {
                parts(&text).map(|part| (Raw::Text(part.to_owned()), place.clone())).collect()
            }
            Some((_, place)) => {
                self.fault_at(place, key, "must be a list, in square brackets");
                Vec::new()
            }
        };
        let read = |(index, (raw, place)): (usize, (Raw<'a>, SourceLocation))| {
            read(&raw).map_err(|problem| self.fault_at(place, &format!("{key}[{index}]"), problem)).ok()
        };
        items.into_iter().enumerate().filter_map(read).collect()
    }

    /// Reads a table whose keys are the operator's; in the environment, `key=value` separated by commas.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<(String, Raw<'a>, SourceLocation)> {
        match self.find(key) {
            None => Vec::new(),
            Some((Raw::Toml(DeValue::Table(pairs)), _)) => pairs
                .iter()
                .map(|(k, v)| (k.get_ref().to_string(), Raw::Toml(v.get_ref()), self.reading.line_of(k)))
                .collect(),
            Some((Raw::Text(text), place)) => parts(&text)
                .map(|part| match part.rsplit_once('=') {
                    Some((k, v)) => (k.trim().to_owned(), Raw::Text(v.trim().to_owned()), place.clone()),
                    None => (part.to_owned(), Raw::Absent, place.clone()),
                })
                .collect(),
            Some((_, place)) => {
                self.fault_at(place, key, "must be a table");
                Vec::new()
            }
        }
    }

    /// The table under `key`, empty where there is none.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'a> {
        self.asked.push(key);
        let found = self.file.and_then(|file| file.get(key));
        let file = found.and_then(|value| value.get_ref().as_table());
        let place = found.map_or_else(|| self.place.clone(), |value| self.reading.line_of(value));
        if found.is_some() && file.is_none() {
            self.fault_at(place.clone(), key, "must be a table");
        }
        Table {
            reading: self.reading,
            path: self.path_of(key),
            variable: self.variable.as_ref().map(|prefix| variable_of(prefix, key)),
            place,
            file,
            defaults: self.defaults.and_then(|defaults| defaults.get(key)?.get_ref().as_table()),
            asked: Vec::new(),
        }
    }

    /// The tables in the file's array under `key`. The environment does not reach them until they are
    /// [named](Self::name). `None` means that the fault is reported.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Table<'a>>> {
        self.asked.push(key);
        let Some(found) = self.file.and_then(|file| file.get(key)) else { return Some(Vec::new()) };
        let tables = found.get_ref().as_array().and_then(|items| {
            let table = |(index, item): (usize, &'a Spanned<DeValue<'a>>)| {
                Some(Table {
                    reading: self.reading,
                    path: format!("{}[{index}]", self.path_of(key)),
                    variable: None,
                    place: self.reading.line_of(item),
                    file: Some(item.get_ref().as_table()?),
                    defaults: None,
                    asked: Vec::new(),
                })
            };
            items.iter().enumerate().map(table).collect::<Option<Vec<_>>>()
        });
        if tables.is_none() {
            let place = self.reading.line_of(found);
            self.fault_at(place, key, format!("must be tables, each under a line `[[{key}]]`"));
        }
        tables
    }

    /// Gives a table of an array its name: faults show it, and variables can reach it under `parent`.
    pub(super) fn name(&mut self, parent: &str, name: &str) {
        self.path = format!("{} ({name})", self.path);
        self.variable = Some(variable_of(&variable_of(PREFIX, parent), name));
    }

    /// The path of the table, as faults show it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The reading that this table belongs to.
    pub(super) fn reading(&self) -> &'a TableReader<'a> {
        self.reading
    }

    /// Where the value of `key` stands, or the table itself where the value is missing or a default.
    pub(super) fn place(&self, key: &str) -> SourceLocation {
        match (self.set_variable(key), self.file.and_then(|file| file.get(key))) {
            (Some((name, _)), _) => SourceLocation::Variable(name),
            (None, Some(value)) => self.reading.line_of(value),
            (None, None) => self.place.clone(),
        }
    }

    /// Whether neither the file nor the environment sets `key`.
    pub(super) fn is_default(&self, key: &str) -> bool {
        self.set_variable(key).is_none() && self.file.is_none_or(|file| file.get(key).is_none())
    }

    /// Reports a fault at `key`.
    pub(super) fn fault(&self, key: &str, problem: impl Into<String>) {
        self.fault_at(self.place(key), key, problem);
    }

    /// Reports a fault at `key`, whose value stands at `place`.
    pub(super) fn fault_at(&self, place: SourceLocation, key: &str, problem: impl Into<String>) {
        let fault = ConfigError { place, key: self.path_of(key), problem: problem.into() };
        self.reading.faults.borrow_mut().push(fault);
    }

    /// Ends the table: whatever the file holds that nobody asked for is a fault.
    pub(super) fn finish(self) {
        for (key, _) in self.file.into_iter().flatten() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let meant = match nearest(name, self.asked.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here are `{}`", self.asked.join("`, `")),
            };
            self.fault_at(self.reading.line_of(key), name, format!("is not a key: {meant}"));
        }
    }

    /// Ends the table without a look at the other keys, for nobody can tell which ones it may have.
    pub(super) fn abandon(self) {
        let prefix = self.variable.map(|prefix| variable_of(&prefix, ""));
        self.reading.abandoned.borrow_mut().extend(prefix);
    }

    fn find(&mut self, key: &'static str) -> Option<(Raw<'a>, SourceLocation)> {
        self.asked.push(key);
        if let Some(prefix) = &self.variable {
            self.reading.knows(&variable_of(prefix, key));
        }
        if let Some((name, text)) = self.set_variable(key) {
            return Some((Raw::Text(text), SourceLocation::Variable(name)));
        }
        if let Some(value) = self.file.and_then(|file| file.get(key)) {
            return Some((Raw::Toml(value.get_ref()), self.reading.line_of(value)));
        }
        let value = self.defaults.and_then(|defaults| defaults.get(key))?;
        Some((Raw::Toml(value.get_ref()), SourceLocation::Nowhere))
    }

    fn set_variable(&self, key: &str) -> Option<(String, String)> {
        let name = variable_of(self.variable.as_ref()?, key);
        let text = self.reading.source.get(&name)?;
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

/// The parts of a comma-separated text; none when it is blank.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let empty = text.trim().is_empty();
    text.split(',').map(str::trim).filter(move |_| !empty)
}
