//! The configuration: the operator's settings, one section per file.
//!
//! There are three layers. Each one overrides the layers before it:
//!
//! 1. `default.toml`, which is also the reference of every key.
//! 2. The operator's file.
//! 3. The environment. `SWITCHBOARD__JOURNAL__PATH` sets `path` in `[journal]`, and
//!    `SWITCHBOARD__ACCOUNTS__ACME_EU__BASE_URL` sets `base_url` of the account `acme-eu`.
//!
//! Every value is parsed into its final type at once. [`ConfigErrors`] holds all errors, not only the first one.
//!
//! **Invariant:** no secret is ever shown, neither by `Debug` nor in an error. An error quotes no value at all.
//!
//! **Invariant:** no key is ignored. A key or variable that no reader knows is an error, in the file and in the
//! environment.

mod account;
mod admin;
mod connectby;
mod connectly;
mod error;
mod gate;
mod grpc;
mod journal;
mod log;
mod provider;
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
mod warnings;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use account::{Account, Limits};
pub use admin::Admin;
pub use connectby::ConnectBy;
pub use connectly::Connectly;
pub use error::{ConfigError, ConfigErrors, SourceLocation};
pub use grpc::Grpc;
pub use journal::JournalConfig;
pub use log::{Format, Log, UnknownFormat};
pub use provider::{ProviderSection, Upstream};
pub use route::{MalformedRoute, Route, Routes};
pub use sends::Sends;
pub use shutdown::Shutdown;
pub use source::{Environment, Source};
pub use table::Table;
pub use webhook::Webhook;

use table::TableReader;

/// The lowest layer, and the commented reference of every key. Operators can start from a copy of it.
pub const REFERENCE: &str = include_str!("default.toml");

/// The providers whose accounts the file may have.
const PROVIDERS: &[&ProviderSection] = &[ConnectBy::SECTION, Connectly::SECTION];

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[grpc]`: the gRPC listener.
    pub grpc: Grpc,
    /// `[webhook]`: the listener for the providers' webhooks.
    pub webhook: Webhook,
    /// `[admin]`: the listener for metrics and health.
    pub admin: Admin,
    /// `[journal]`: where events are stored, and for how long.
    pub journal: JournalConfig,
    /// `[sends]`: how long requests and messages are remembered.
    pub sends: Sends,
    /// `[shutdown]`: how the service stops.
    pub shutdown: Shutdown,
    /// `[log]`: what is written to standard error.
    pub log: Log,
    /// `[[accounts]]`: at least one, in the file's order. Their ids are unique.
    pub accounts: Vec<Account>,
    /// The files that secrets were read from.
    secret_files: Vec<PathBuf>,
    /// Whether the configuration file itself contains a secret.
    has_plain_secrets: bool,
}

impl Config {
    /// Loads the configuration from the file, if one is given, and from the environment.
    pub fn load(file: Option<&Path>, source: &dyn Source) -> Result<Self, ConfigErrors> {
        let text = match file.map(std::fs::read_to_string).transpose() {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                return Err(ConfigErrors::new(file, vec![file_error(format!("cannot be read: {error}"))]));
            }
        };
        Self::layered(&text, source, PROVIDERS).map_err(|errors| ConfigErrors::new(file, errors))
    }

    /// Reads the configuration from the text of a file and from the environment.
    pub fn parse(text: &str, source: &dyn Source) -> Result<Self, ConfigErrors> {
        Self::parse_with(PROVIDERS, text, source)
    }

    /// Like [`parse`](Self::parse), with these providers instead of those of this library.
    pub fn parse_with(
        providers: &[&ProviderSection],
        text: &str,
        source: &dyn Source,
    ) -> Result<Self, ConfigErrors> {
        Self::layered(text, source, providers).map_err(|errors| ConfigErrors::new(None, errors))
    }

    fn layered(
        text: &str,
        source: &dyn Source,
        providers: &[&ProviderSection],
    ) -> Result<Self, Vec<ConfigError>> {
        let file = DeTable::parse(text).map_err(|error| vec![toml_error(text, &error)])?;
        let defaults = DeTable::parse(REFERENCE).expect("a test parses the reference");
        let reader = TableReader::new(text, source);
        let mut root = Table::root(&reader, file.get_ref(), defaults.get_ref());
        let config = Self::read(&mut root, providers);
        root.finish();
        let mut errors = reader.finish();
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            Some(_) => Err(errors),
            None => {
                // A reader that returns nothing has reported an error. If one does not, report this instead of nothing.
                if errors.is_empty() {
                    errors.push(file_error("cannot be used".to_owned()));
                }
                Err(errors)
            }
        }
    }

    fn read(root: &mut Table<'_>, providers: &[&ProviderSection]) -> Option<Self> {
        let mut tables =
            ["grpc", "webhook", "admin", "journal", "sends", "shutdown", "log"].map(|key| root.table(key));
        let [at_grpc, at_webhook, at_admin, at_journal, at_sends, at_shutdown, at_log] = &mut tables;
        // All sections are read before the first `?` below, so all errors are found.
        let grpc = Grpc::read(at_grpc);
        let webhook = Webhook::read(at_webhook);
        let admin = Admin::read(at_admin);
        let journal = JournalConfig::read(at_journal);
        let sends = Sends::read(at_sends);
        let shutdown = Shutdown::read(at_shutdown);
        let log = Log::read(at_log);
        let accounts = Account::read_all(root, providers);
        check_distinct_addresses(&[
            (at_grpc, grpc.as_ref().map(|grpc| grpc.listen)),
            (at_webhook, webhook.as_ref().map(|webhook| webhook.listen)),
            (at_admin, admin.as_ref().map(|admin| admin.listen)),
        ]);
        for table in tables {
            table.finish();
        }
        let (secret_files, has_plain_secrets) = root.reader().secret_files();
        Some(Self {
            grpc: grpc?,
            webhook: webhook?,
            admin: admin?,
            journal: journal?,
            sends: sends?,
            shutdown: shutdown?,
            log: log?,
            accounts: accounts?,
            secret_files,
            has_plain_secrets,
        })
    }
}

/// Reports listeners whose addresses conflict.
fn check_distinct_addresses(listeners: &[(&Table<'_>, Option<SocketAddr>)]) {
    let key = "listen";
    for (index, (later, b)) in listeners.iter().enumerate() {
        for (earlier, a) in &listeners[..index] {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let meet = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            if a.port() == 0 || a.port() != b.port() || !meet {
                continue;
            }
            // If one of the two is a default, the operator has to change the other one.
            let (at, other) = if later.location(key) == SourceLocation::Unlocated {
                (earlier, later)
            } else {
                (later, earlier)
            };
            at.report(
                key,
                format!("must differ from {}.{key}, which has the same address and port", other.path()),
            );
        }
    }
}

/// An error of the file as a whole.
fn file_error(problem: String) -> ConfigError {
    ConfigError { location: SourceLocation::Unlocated, key: String::new(), problem }
}

/// The error of a text that is not TOML. The error's own display would quote the line, which may hold a secret.
fn toml_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let location = error.span().map_or(SourceLocation::Unlocated, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        SourceLocation::Line { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    });
    ConfigError { location, key: String::new(), problem: format!("is not TOML: {}", error.message()) }
}
