//! Configuration: what the operator decides, one section per file.
//!
//! Three layers, the later over the earlier: `default.toml`, which is also the reference of every key; the
//! operator's file; the environment, where `SWITCHBOARD__JOURNAL__PATH` stands for `path` in `[journal]` and
//! `SWITCHBOARD__ACCOUNTS__ACME_EU__BASE_URL` for `base_url` of the account `acme-eu`. Everything is parsed
//! into its final type at once, and [`ConfigErrors`] holds all that is wrong, not the first.
//!
//! **Invariant:** no secret is ever shown, be it by `Debug` or in a fault. A fault quotes no value at all.
//!
//! **Invariant:** no key is ignored. What nobody asked for, in the file or in the environment, is a fault.

mod account;
mod admin;
mod connectby;
mod connectly;
mod error;
mod gate;
mod grpc;
mod journal;
mod log;
mod route;
mod secret;
mod sends;
mod shutdown;
mod source;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;

pub use account::{Account, Limits, Upstream};
pub use admin::Admin;
pub use connectby::ConnectBy;
pub use connectly::Connectly;
pub use error::{ConfigError, ConfigErrors, SourceLocation};
pub use grpc::Grpc;
pub use journal::JournalConfig;
pub use log::{Format, Log, UnknownFormat};
pub use route::{MalformedRoute, Route, Routes};
pub use sends::Sends;
pub use shutdown::Shutdown;
pub use source::{Environment, Source};
pub use webhook::Webhook;

use table::{Table, TableReader};

/// The lowest layer, and the commented reference of every key: a file to start from.
pub const REFERENCE: &str = include_str!("default.toml");

/// Everything the operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[grpc]`: where callers dial in.
    pub grpc: Grpc,
    /// `[webhook]`: where providers deliver.
    pub webhook: Webhook,
    /// `[admin]`: where the operator looks in.
    pub admin: Admin,
    /// `[journal]`: where events are kept.
    pub journal: JournalConfig,
    /// `[sends]`: how long requests and messages are remembered.
    pub sends: Sends,
    /// `[shutdown]`: how the service ends.
    pub shutdown: Shutdown,
    /// `[log]`: what is written to standard error.
    pub log: Log,
    /// `[[accounts]]`: at least one, in the file's order, each with an id of its own.
    pub accounts: Vec<Account>,
}

impl Config {
    /// Loads the configuration from the file, if there is one, and the environment over it.
    pub fn load(file: Option<&Path>, source: &dyn Source) -> Result<Self, ConfigErrors> {
        let text = match file.map(std::fs::read_to_string).transpose() {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                return Err(ConfigErrors::new(file, vec![file_error(format!("cannot be read: {error}"))]));
            }
        };
        Self::layered(&text, source).map_err(|errors| ConfigErrors::new(file, errors))
    }

    /// Reads the configuration from the text of a file and the environment over it.
    pub fn parse(text: &str, source: &dyn Source) -> Result<Self, ConfigErrors> {
        Self::layered(text, source).map_err(|errors| ConfigErrors::new(None, errors))
    }

    fn layered(text: &str, source: &dyn Source) -> Result<Self, Vec<ConfigError>> {
        let file = DeTable::parse(text).map_err(|error| vec![toml_error(text, &error)])?;
        let defaults = DeTable::parse(REFERENCE).expect("a test parses the reference");
        let reader = TableReader::new(text, source);
        let mut root = Table::root(&reader, file.get_ref(), defaults.get_ref());
        let config = Self::read(&mut root);
        root.finish();
        let mut errors = reader.finish();
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            Some(_) => Err(errors),
            None => {
                // A reader that gives nothing has said why; if one forgot, better this than silence.
                if errors.is_empty() {
                    errors.push(file_error("cannot be used".to_owned()));
                }
                Err(errors)
            }
        }
    }

    fn read(root: &mut Table<'_>) -> Option<Self> {
        let mut tables =
            ["grpc", "webhook", "admin", "journal", "sends", "shutdown", "log"].map(|key| root.table(key));
        let [at_grpc, at_webhook, at_admin, at_journal, at_sends, at_shutdown, at_log] = &mut tables;
        // All sections are read before the first `?` below, so that all errors are found.
        let grpc = Grpc::read(at_grpc);
        let webhook = Webhook::read(at_webhook);
        let admin = Admin::read(at_admin);
        let journal = JournalConfig::read(at_journal);
        let sends = Sends::read(at_sends);
        let shutdown = Shutdown::read(at_shutdown);
        let log = Log::read(at_log);
        let accounts = Account::read_all(root);
        check_distinct_addresses(&[
            (at_grpc, grpc.as_ref().map(|grpc| grpc.listen)),
            (at_webhook, webhook.as_ref().map(|webhook| webhook.listen)),
            (at_admin, admin.as_ref().map(|admin| admin.listen)),
        ]);
        for table in tables {
            table.finish();
        }
        Some(Self {
            grpc: grpc?,
            webhook: webhook?,
            admin: admin?,
            journal: journal?,
            sends: sends?,
            shutdown: shutdown?,
            log: log?,
            accounts: accounts?,
        })
    }
}

/// Reports listeners that cannot both have their address.
fn check_distinct_addresses(listeners: &[(&Table<'_>, Option<SocketAddr>)]) {
    let key = "listen";
    for (index, (later, b)) in listeners.iter().enumerate() {
        for (earlier, a) in &listeners[..index] {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let meet = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            if a.port() == 0 || a.port() != b.port() || !meet {
                continue;
            }
            // Where one of the two is a default, the other is the one to change.
            let (at, other) = if later.location(key) == SourceLocation::Unlocated {
                (earlier, later)
            } else {
                (later, earlier)
            };
            at.report(
                key,
                format!("must be unlike {}.{key}, which has the same address and port", other.path()),
            );
        }
    }
}

/// A fault of the file as a whole.
fn file_error(problem: String) -> ConfigError {
    ConfigError { location: SourceLocation::Unlocated, key: String::new(), problem }
}

/// A text that is not TOML. The error's own display would quote the line, which may hold a secret.
fn toml_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let location = error.span().map_or(SourceLocation::Unlocated, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        SourceLocation::Line { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    });
    ConfigError { location, key: String::new(), problem: format!("is not TOML: {}", error.message()) }
}
