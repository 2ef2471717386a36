//! Tests of the configuration: helpers, and valid configurations.

mod errors;
mod reference;

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use crate::domain::outcome::{OutcomeOverride, OverrideKey};
use crate::domain::{Provider, RateLimits, UploadLimits};

use super::*;

/// The smallest valid file.
const ACME: &str = "
[[accounts]]
id = 'acme'
provider = 'connectby'
secret_key = 'acme-key-s3cr3t'
";

const GLOBEX: &str = "
[[accounts]]
id = 'globex-eu'
provider = 'connectly'
business_id = 'biz_01'
api_key = { env = 'GLOBEX_API_KEY' }
webhook_secrets = ['hook-1-s3cr3t', { env = 'GLOBEX_HOOK' }]
";

fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

fn globex_env() -> BTreeMap<String, String> {
    env([("GLOBEX_API_KEY", "globex-key-s3cr3t"), ("GLOBEX_HOOK", "hook-2-s3cr3t")])
}

fn parse(text: &str) -> Config {
    Config::parse(text, &globex_env()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of a file without environment, one per line.
fn errors(text: &str) -> String {
    errors_in(text, &globex_env())
}

fn errors_in(text: &str, source: &dyn Source) -> String {
    let errors = Config::parse(text, source).expect_err("should be refused");
    assert!(errors.iter().next().is_some());
    let shown = errors.to_string();
    assert_eq!(shown.lines().count(), errors.iter().count(), "{shown}");
    for text in [&shown, &format!("{errors:?}")] {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
    shown
}

/// Asserts that `keys`, added to ConnectBy's account, cause one error, and that it contains all `parts`.
fn assert_account_error(keys: &str, parts: &[&str]) {
    assert_error(&format!("{ACME}{keys}"), parts);
}

fn assert_error(text: &str, parts: &[&str]) {
    let shown = errors(text);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    for part in parts {
        assert!(shown.contains(part), "{shown} lacks {part}");
    }
}

#[test]
fn defaults_and_one_account_are_a_configuration() {
    let config = parse(ACME);
    assert_eq!(config.grpc.listen.to_string(), "127.0.0.1:50051");
    assert_eq!(config.webhook.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.webhook.public_url, None);
    assert_eq!(config.webhook.max_body_bytes, 1 << 20);
    assert_eq!(config.webhook.read_timeout.as_secs(), 10);
    assert_eq!(config.webhook.idle_timeout.as_secs(), 180);
    assert_eq!(config.webhook.max_connections, 1024);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.journal.path.to_str(), Some("switchboard.db"));
    assert_eq!(config.journal.retention.as_secs(), 7 * 24 * 3600);
    assert_eq!(config.journal.retention_bytes, None);
    assert_eq!(config.journal.subscription_retention.as_secs(), 30 * 24 * 3600);
    assert_eq!(config.sends.request_id_retention.as_secs(), 24 * 3600);
    assert_eq!(config.sends.retention.as_secs(), 30 * 24 * 3600);
    assert_eq!((config.shutdown.delay.as_secs(), config.shutdown.grace.as_secs()), (5, 10));
    assert_eq!(config.log.format, Format::Text);
    assert_eq!(config.log.filter, "info,h2=error");
    let [account] = &config.accounts[..] else { panic!("one account") };
    assert_eq!(account.provider, Provider::CONNECTBY);
    assert_eq!(account.limits.text_characters, Some(1024));
    let upload = UploadLimits { image_bytes: 5 << 20, video_bytes: 16 << 20, document_bytes: 16 << 20 };
    assert_eq!(account.limits.upload, Some(upload));
    let gate = RateLimits {
        calls_per_second: 80,
        calls_in_flight: 256,
        max_queue_wait: std::time::Duration::from_secs(30),
        breaker_failures: 5,
    };
    assert_eq!(account.gate, gate);
    assert_eq!(parse(GLOBEX).accounts[0].gate, RateLimits { calls_per_second: 200, ..gate });
    assert_eq!(account.connect_timeout.as_secs(), 5);
    assert_eq!(account.request_timeout.as_secs(), 30);
    assert_eq!((account.upload_timeout.as_secs(), account.idle_timeout.as_secs()), (300, 20));
    assert!(account.outcomes.is_empty());
    let connectby = account.upstream.get::<ConnectBy>().expect("its settings");
    assert_eq!(connectby.base_url.as_str(), "https://api.connectby.io/");
    assert_eq!(connectby.secret_key.expose_secret(), "acme-key-s3cr3t");
    assert_eq!(connectby.routes, Routes::default());
}

#[test]
fn long_retention_raises_default_subscription_retention() {
    let config = parse(&format!("[journal]\nretention = '60d'\n{ACME}"));
    assert_eq!(config.journal.subscription_retention.as_secs(), 60 * 24 * 3600);
}

#[test]
fn file_and_environment_override_the_defaults() {
    let text =
        format!("[journal]\npath = 'file.db'\nretention = '2h'\n[log]\nformat = 'json'\n{ACME}{GLOBEX}");
    let mut source = globex_env();
    source.extend(env([
        ("SWITCHBOARD__JOURNAL__PATH", "env.db"),
        ("SWITCHBOARD__JOURNAL__RETENTION_BYTES", "16777216"),
        ("SWITCHBOARD__JOURNAL__SUBSCRIPTION_RETENTION", "2h"),
        ("SWITCHBOARD__GRPC__LISTEN", "[::1]:0"),
        ("SWITCHBOARD__WEBHOOK__LISTEN", "0.0.0.0:80"),
        ("SWITCHBOARD__WEBHOOK__MAX_BODY_BYTES", "2048"),
        ("SWITCHBOARD__WEBHOOK__IDLE_TIMEOUT", "1m 15s"),
        ("SWITCHBOARD__WEBHOOK__MAX_CONNECTIONS", "65536"),
        ("SWITCHBOARD__WEBHOOK__PUBLIC_URL", "https://hooks.example.com/a"),
        ("SWITCHBOARD__ACCOUNTS__ACME__BASE_URL", "http://127.0.0.1:4010"),
        ("SWITCHBOARD__ACCOUNTS__ACME__SECRET_KEY", "other-s3cr3t"),
        ("SWITCHBOARD__ACCOUNTS__ACME__LIMITS__TEXT_CHARACTERS", "4096"),
        ("SWITCHBOARD__ACCOUNTS__ACME__LIMITS__VIDEO_BYTES", "1024"),
        ("SWITCHBOARD__ACCOUNTS__ACME__GATE__CALLS_PER_SECOND", "1"),
        ("SWITCHBOARD__ACCOUNTS__GLOBEX_EU__GATE__BREAKER_FAILURES", "0"),
        ("SWITCHBOARD__SENDS__RETENTION", "2d"),
        ("SWITCHBOARD__ACCOUNTS__ACME__ROUTES__SEND_TEXT", "PATCH /send?to=1"),
        ("SWITCHBOARD__ACCOUNTS__ACME__OUTCOMES", "status:503=refused, code:a=b=unknown"),
        ("SWITCHBOARD__ACCOUNTS__GLOBEX_EU__WEBHOOK_SECRETS", "one, two"),
        ("SWITCHBOARD__ACCOUNTS__GLOBEX_EU__NUMBERS", ""),
        ("SWITCHBOARD_CONFIG", "is not ours"),
    ]));
    let config = Config::parse(&text, &source).expect("good");
    assert_eq!(config.journal.path.to_str(), Some("env.db"));
    assert_eq!(config.journal.retention.as_secs(), 7200);
    assert_eq!(config.journal.retention_bytes, Some(16 << 20));
    assert_eq!(config.journal.subscription_retention.as_secs(), 7200);
    assert_eq!(config.log.format, Format::Json);
    assert_eq!(config.grpc.listen.to_string(), "[::1]:0");
    assert_eq!(config.webhook.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.webhook.max_body_bytes, 2048);
    assert_eq!(config.webhook.idle_timeout.as_secs(), 75);
    assert_eq!(config.webhook.max_connections, 65_536);
    assert_eq!(config.webhook.public_url.expect("set").as_str(), "https://hooks.example.com/a");
    let [acme, globex] = &config.accounts[..] else { panic!("two accounts") };
    assert_eq!(config.sends.retention.as_secs(), 2 * 24 * 3600);
    assert_eq!((acme.gate.calls_per_second, globex.gate.calls_per_second), (1, 200));
    assert_eq!((acme.gate.breaker_failures, globex.gate.breaker_failures), (5, 0));
    assert_eq!(acme.limits.text_characters, Some(4096));
    assert_eq!(acme.limits.upload.map(|limits| limits.video_bytes), Some(1024));
    assert_eq!(globex.limits.upload, None);
    assert_eq!(acme.outcomes.get(&OverrideKey::Status(503)), Some(&OutcomeOverride::Refused));
    assert_eq!(acme.outcomes.get(&OverrideKey::Code("a=b".to_owned())), Some(&OutcomeOverride::Unknown));
    let connectby = acme.upstream.get::<ConnectBy>().expect("its settings");
    assert_eq!(connectby.base_url.as_str(), "http://127.0.0.1:4010/");
    assert_eq!(connectby.secret_key.expose_secret(), "other-s3cr3t");
    assert_eq!(connectby.routes.send_text.to_string(), "PATCH /send?to=1");
    let connectly = globex.upstream.get::<Connectly>().expect("its settings");
    assert_eq!(globex.limits.text_characters, None);
    let secrets: Vec<&str> = connectly.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["one", "two"]);
    assert!(connectly.numbers.is_empty());
}

#[test]
fn printed_configuration_contains_no_secrets() {
    let shown = format!("{:#?}", parse(&format!("{ACME}{GLOBEX}")));
    assert!(shown.contains("REDACTED") && shown.contains("globex-eu"), "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn errors_of_a_loaded_file_name_it() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("switchboard.toml");
    let load = || Config::load(Some(&file), &globex_env());
    let shown = load().expect_err("no file").to_string();
    assert!(shown.starts_with(&format!("{}: cannot be read: ", file.display())), "{shown}");
    std::fs::write(&file, "[grpc]\nport = 1").expect("written");
    let shown = load().expect_err("errors").to_string();
    assert!(shown.starts_with(&format!("{}:2: grpc.port: is not a key", file.display())), "{shown}");
    std::fs::write(&file, GLOBEX).expect("written");
    assert_eq!(load().expect("good").accounts[0].id.as_str(), "globex-eu");
    let shown = Config::load(None, &Environment).expect_err("no account").to_string();
    assert!(shown.contains("configuration: accounts: is missing"), "{shown}");
}
