//! `[[accounts]]`: one set of credentials at one provider each.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::outcome::{OutcomeOverride, OverrideKey};
use crate::domain::{AccountId, Provider, RateLimits, UploadLimits};

use super::gate;
use super::provider::{ProviderSection, Upstream};
use super::secret::any_shared;
use super::table::Table;
use super::value::{self, Raw, parsed};

const KEY: &str = "accounts";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The operator's id for it. Ids are unique. Required.
    pub id: AccountId,
    /// The provider (`provider` in the file). Required.
    pub provider: Provider,
    /// The provider's own settings.
    pub upstream: Upstream,
    /// The limits that Switchboard checks before it sends.
    pub limits: Limits,
    /// The gate: limits for the calls to the provider. Default: 200 calls per second at Connectly and 80 at ConnectBy,
    /// 256 concurrent writes, a queue wait of at most 30 s, and an open circuit breaker after 5 consecutive failures.
    pub gate: RateLimits,
    /// The timeout for connecting to the provider, TLS included; 100 ms to 1 min, and shorter than `request_timeout`.
    /// Default 5 s, or half of `request_timeout` if that is less.
    pub connect_timeout: Duration,
    /// The timeout for a request until its reply has been read; 1 s to 5 min. Default 30 s.
    pub request_timeout: Duration,
    /// The timeout for a request that uploads a file, until its reply has been read; 1 s to 9 min. Default 5 min.
    pub upload_timeout: Duration,
    /// How long a connection to the provider may be idle before it is closed; 1 s to 5 min. Default 20 s, which is
    /// shorter than the idle timeout of common load balancers. A request on a connection that the provider is closing
    /// has an unknown outcome.
    pub idle_timeout: Duration,
    /// Overrides of rows of the outcome table for this account. Default: none.
    pub outcomes: BTreeMap<OverrideKey, OutcomeOverride>,
}

/// The limits that Switchboard checks before it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of characters (Unicode code points) of a text, 1 to 65536. `None` is no limit. Default 1024
    /// at ConnectBy, none at Connectly.
    pub text_characters: Option<u32>,
    /// The maximum size of an uploaded file in bytes (`image_bytes`, `video_bytes` and `document_bytes` in the file), 1
    /// KiB to 100 MiB each. Default 5, 16 and 16 MiB at ConnectBy. `None` at Connectly, which accepts no uploads.
    pub upload: Option<UploadLimits>,
}

impl Account {
    /// Reads all accounts.
    ///
    /// No variable can mean two accounts: an id has neither capitals nor `_`, so different ids are also different as
    /// parts of a variable's name.
    pub(super) fn read_all(root: &mut Table<'_>, providers: &[&ProviderSection]) -> Option<Vec<Self>> {
        let tables = root.tables(KEY)?;
        if tables.is_empty() {
            root.report(KEY, "is missing: there must be at least one account, under a line `[[accounts]]`");
        }
        let mut paths = BTreeMap::new();
        let mut accounts = Vec::new();
        for mut table in tables {
            let id: Option<AccountId> = table.required("id", parsed);
            if let Some(id) = &id {
                table.set_name(KEY, id.as_str());
                let path = table.path().to_owned();
                if let Some(earlier) = paths.insert(id.clone(), path) {
                    table.report("id", format!("must differ from that of {earlier}"));
                }
            }
            accounts.push(Self::read(table, id, providers));
        }
        let accounts: Vec<Self> = accounts.into_iter().collect::<Option<_>>()?;
        check_distinct_secrets(root, &accounts);
        Some(accounts)
    }

    fn read(mut table: Table<'_>, id: Option<AccountId>, providers: &[&ProviderSection]) -> Option<Self> {
        let section = table.required("provider", |raw: &Raw<'_>| section(raw, providers));
        let request_timeout = table
            .optional("request_timeout", value::duration(Duration::from_secs(1)..=Duration::from_secs(300)))
            .unwrap_or(REQUEST_TIMEOUT);
        let range = value::duration(Duration::from_millis(100)..=Duration::from_secs(60));
        let connect_timeout = match table.optional("connect_timeout", range) {
            Some(given) => {
                if given >= request_timeout {
                    // Otherwise a failed connection attempt could end as a request with an unknown outcome.
                    table.report("connect_timeout", "must be shorter than `request_timeout`");
                }
                given
            }
            None => CONNECT_TIMEOUT.min(request_timeout / 2),
        };
        let upload_timeouts = value::duration(Duration::from_secs(1)..=Duration::from_secs(9 * 60));
        let upload_timeout = table.optional("upload_timeout", upload_timeouts).unwrap_or(UPLOAD_TIMEOUT);
        let idle_timeouts = value::duration(Duration::from_secs(1)..=Duration::from_secs(300));
        let idle_timeout = table.optional("idle_timeout", idle_timeouts).unwrap_or(IDLE_TIMEOUT);
        let outcomes = outcomes(&mut table);
        let limits = Limits::read(&mut table, section);
        let gate = gate::read(&mut table, section);
        // Without a provider, the allowed keys are unknown.
        let Some(section) = section else {
            table.skip_unknown_keys();
            return None;
        };
        let upstream = (section.read)(&mut table);
        table.finish();
        let provider = section.provider;
        Some(Self {
            id: id?,
            provider,
            upstream: upstream?,
            limits,
            gate,
            connect_timeout,
            request_timeout,
            upload_timeout,
            idle_timeout,
            outcomes,
        })
    }
}

/// Reports accounts of different businesses that share a webhook secret: a webhook for one of them would also be valid for
/// the other.
fn check_distinct_secrets(root: &Table<'_>, accounts: &[Account]) {
    let connectly = accounts
        .iter()
        .filter_map(|account| Some((&account.id, account.upstream.get::<super::connectly::Connectly>()?)));
    let connectly: Vec<_> = connectly.collect();
    for (index, (later, b)) in connectly.iter().enumerate() {
        for (earlier, a) in &connectly[..index] {
            if a.business_id != b.business_id && any_shared(&a.webhook_secrets, &b.webhook_secrets) {
                root.report(
                    KEY,
                    format!("must not share a webhook secret between businesses: {earlier} and {later} do"),
                );
            }
        }
    }
}

impl Limits {
    fn read(account: &mut Table<'_>, section: Option<&ProviderSection>) -> Self {
        let mut table = account.table("limits");
        let text_characters = table
            .optional("text_characters", value::integer(1..=65_536))
            .and_then(|characters| u32::try_from(characters).ok())
            .or(section.and_then(|section| section.text_characters));
        let upload = match section {
            Some(section) => section.upload.map(|defaults| upload(&mut table, defaults)),
            // The keys are valid at some provider.
            None => Some(upload(&mut table, UploadLimits::default())),
        };
        table.finish();
        Self { text_characters, upload }
    }
}

fn upload(limits: &mut Table<'_>, defaults: UploadLimits) -> UploadLimits {
    let mut bytes = |key| limits.optional(key, value::integer(1 << 10..=100 << 20));
    UploadLimits {
        image_bytes: bytes("image_bytes").unwrap_or(defaults.image_bytes),
        video_bytes: bytes("video_bytes").unwrap_or(defaults.video_bytes),
        document_bytes: bytes("document_bytes").unwrap_or(defaults.document_bytes),
    }
}

fn section<'p>(raw: &Raw<'_>, providers: &[&'p ProviderSection]) -> Result<&'p ProviderSection, String> {
    providers.iter().copied().find(|section| raw.text() == Some(section.provider.as_str())).ok_or_else(|| {
        let names: Vec<String> = providers.iter().map(|section| format!("`{}`", section.provider)).collect();
        format!("must be {}", names.join(" or "))
    })
}

fn outcomes(table: &mut Table<'_>) -> BTreeMap<OverrideKey, OutcomeOverride> {
    let key = "outcomes";
    let mut outcomes = BTreeMap::new();
    for (row, outcome, location) in table.pairs(key) {
        let read = row.parse::<OverrideKey>().map_err(|error| format!("has a faulty key, which {error}"));
        let read = read.and_then(|row| match parsed::<OutcomeOverride>(&outcome) {
            Ok(outcome) if outcomes.insert(row.clone(), outcome).is_none() => Ok(()),
            Ok(_) => Err(format!("must have `{row}` only once")),
            Err(problem) => Err(format!("has a faulty value for `{row}`, which {problem}")),
        });
        if let Err(problem) = read {
            table.report_at(location, key, problem);
        }
    }
    outcomes
}
