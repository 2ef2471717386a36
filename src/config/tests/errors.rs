//! The errors of wrong configurations, and their texts.

use super::*;

#[test]
fn all_errors_are_shown_at_once_in_file_order() {
    let text = "[journal]
retention = '1s'
[webhok]
[[accounts]]
id = 'acme'
provider = 'connectby'
secret_key = 7
[accounts.limits]
text_characters = 0
[[accounts]]
id = 'globex'
provider = 'connectly'
busines_id = 'b'
webhook_secrets = ['a', '']
";
    let source = env([("SWITCHBOARD__LOG__FORMAT", "xml"), ("SWITCHBOARD__LOG__FLITER", "info")]);
    let shown = errors_in(text, &source);
    let starts = [
        "line 2: journal.retention: must be a duration from `1h`",
        "line 3: webhok: is not a key: did you mean `webhook`?",
        "line 7: accounts[0] (acme).secret_key: must be `{ env",
        "line 9: accounts[0] (acme).limits.text_characters: must be a whole number from 1 to 65536",
        "line 10: accounts[1] (globex).api_key: is missing: must be `{ env",
        "line 10: accounts[1] (globex).business_id: is missing: must be ASCII letters",
        "line 13: accounts[1] (globex).busines_id: is not a key: did you mean `business_id`?",
        "line 14: accounts[1] (globex).webhook_secrets[1]: must not be empty",
        "SWITCHBOARD__LOG__FLITER: matches no account or key: did you mean `SWITCHBOARD__LOG__FILTER`?",
        "SWITCHBOARD__LOG__FORMAT: log.format: must be `text` or `json`",
    ];
    assert_eq!(shown.lines().count(), starts.len(), "{shown}");
    for (line, start) in shown.lines().zip(starts) {
        assert!(line.starts_with(start), "{line} should start with {start}");
    }
}

#[test]
fn value_out_of_range_is_an_error() {
    for (text, key) in [
        ("[grpc]\nlisten = 'localhost:1'", "grpc.listen: must be an IP address and a port"),
        ("[grpc]\nweb_origins = ['https://a.example/']", "grpc.web_origins[0]: must be an origin"),
        ("[grpc]\nweb_origins = ['https://a.example:443']", "grpc.web_origins[0]: must be an origin"),
        ("[grpc]\nweb_origins = ['https://a.example', '*']", "grpc.web_origins[1]: must be an origin"),
        ("[grpc]\nweb_origins = ['ftp://a.example']", "grpc.web_origins[0]: must be an origin"),
        ("[webhook]\nlisten = 8080", "webhook.listen: must be an IP address"),
        (
            "[webhook]\nmax_body_bytes = 1023",
            "webhook.max_body_bytes: must be a whole number from 1024 to 1310720",
        ),
        ("[webhook]\nmax_body_bytes = 1_310_721", "webhook.max_body_bytes"),
        ("[webhook]\nmax_body_bytes = -1", "webhook.max_body_bytes"),
        ("[webhook]\nread_timeout = 10", "webhook.read_timeout: must be a duration from `1s` to `1m`"),
        ("[webhook]\nidle_timeout = '500ms'", "webhook.idle_timeout: must be a duration from `1s` to `1h`"),
        (
            "[webhook]\nmax_connections = 15",
            "webhook.max_connections: must be a whole number from 16 to 65536",
        ),
        ("[webhook]\nmax_connections = 65_537", "webhook.max_connections"),
        ("[webhook]\npublic_url = 'hooks.example.com'", "webhook.public_url: must be an http or https URL"),
        ("[webhook]\npublic_url = 'ftp://hooks.example.com'", "webhook.public_url"),
        ("[journal]\npath = ''", "journal.path: must be the path of a file"),
        ("[journal]\nretention = '59m'", "journal.retention"),
        (
            "[journal]\nretention_bytes = 16_777_215",
            "journal.retention_bytes: must be a whole number from 16777216 to 1152921504606846976",
        ),
        ("[journal]\nretention_bytes = '1GiB'", "journal.retention_bytes: must be a whole number"),
        ("[journal]\nretention_bytes = 1_152_921_504_606_846_977", "journal.retention_bytes"),
        ("[journal]\nsubscription_retention = '3651d'", "journal.subscription_retention: must be a duration"),
        (
            "[journal]\nsubscription_retention = '6d'",
            "journal.subscription_retention: must not be shorter than `retention`",
        ),
        (
            "[sends]\nrequest_id_retention = '31d'",
            "sends.request_id_retention: must be a duration from `1s` to `30days`",
        ),
        ("[sends]\nretention = '1ms'", "sends.retention: must be a duration from `1s` to"),
        ("[sends]\nretention = '23h'", "sends.retention: must not be shorter than `request_id_retention`"),
        ("[shutdown]\ndelay = '301s'", "shutdown.delay: must be a duration from `0s` to `5m`"),
        ("[shutdown]\ngrace = 'soon'", "shutdown.grace: must be a duration from `0s` to `10m`"),
        ("[log]\nformat = 'yaml'", "log.format: must be `text` or `json`"),
        ("[log]\nfilter = 'switchboard=loud'", "log.filter: must be directives"),
        ("log = 'info'", "log: must be a table"),
    ] {
        assert_error(&format!("{text}\n{ACME}"), &[key]);
    }
    for (keys, part) in [
        ("connect_timeout = '99ms'", "connect_timeout: must be a duration from `100ms` to `1m`"),
        ("request_timeout = '6m'", "request_timeout: must be a duration from `1s` to `5m`"),
        ("upload_timeout = '10m'", "upload_timeout: must be a duration from `1s` to `9m`"),
        ("idle_timeout = '0s'", "idle_timeout: must be a duration from `1s` to `5m`"),
        ("limits = 4", "limits: must be a table"),
        (
            "limits = { image_bytes = 1023 }",
            "limits.image_bytes: must be a whole number from 1024 to 104857600",
        ),
        ("limits = { document_bytes = 104857601 }", "limits.document_bytes: must be a whole number"),
        ("gate = { calls_per_second = 0 }", "gate.calls_per_second: must be a whole number from 1 to 100000"),
        ("gate = { calls_in_flight = 4097 }", "gate.calls_in_flight: must be a whole number from 1 to 4096"),
        (
            "gate = { max_queue_wait = '99ms' }",
            "gate.max_queue_wait: must be a duration from `100ms` to `10m`",
        ),
        (
            "gate = { breaker_failures = 1001 }",
            "gate.breaker_failures: must be a whole number from 0 to 1000",
        ),
        ("gate = { speed = 1 }", "gate.speed: is not a key"),
        ("outcomes = ['status:503']", "outcomes: must be a table"),
        ("outcomes = { 'status:200' = 'refused' }", "outcomes: has a faulty key, which must be `status:"),
        (
            "outcomes = { 'status:503' = 'accepted' }",
            "outcomes: has a faulty value for `status:503`, which must",
        ),
        (
            "outcomes = { 'status:503' = 'refused', 'status:0503' = 'refused' }",
            "must have `status:503` only once",
        ),
        ("api_key = 'x'", "api_key: is not a key: known keys are `id`, `provider`"),
        ("routes = { send_text = 'SEND /x' }", "routes.send_text: must be `METHOD /path`"),
        ("routes = { update_contact = 'PUT /contacts' }", "routes.update_contact: must have one `{id}`"),
        ("routes = { delete_contact = 'PUT /{id}/{id}' }", "routes.delete_contact: must have one `{id}`"),
        ("routes = { send_text = 'POST /{id}' }", "routes.send_text: must not have `{id}`"),
        ("routes = { send_txt = 'POST /' }", "routes.send_txt: is not a key: did you mean `send_text`?"),
        ("'odd key' = 1", "accounts[0] (acme).\"odd key\": is not a key"),
    ] {
        assert_account_error(keys, &["line 6: accounts[0] (acme).", part]);
    }
    for (keys, part) in [
        ("numbers = ['0155501000']", "numbers[0]: must be a phone number"),
        ("numbers = ['+15550100001', '+1 555']", "numbers[1]: must be a phone number"),
        ("numbers = '+15550100001'", "numbers: must be a list"),
        ("routes = {}", "routes: is not a key"),
    ] {
        assert_error(&format!("{GLOBEX}{keys}"), &["line 8: accounts[0] (globex-eu).", part]);
    }
    assert_error(&GLOBEX.replace("biz_01", "biz/01"), &["business_id: must be ASCII letters"]);
}

#[test]
fn base_url_must_be_https_or_loopback() {
    for bad in [
        "http://api.connectby.io",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://127.0.0.1.nip.io",
    ] {
        assert_account_error(&format!("base_url = '{bad}'"), &["base_url: must be https", "in the clear"]);
    }
    for bad in [
        "https://me:s3cr3t@host",
        "https://me@host",
        "https://host/?a=s3cr3t",
        "https://host/?",
        "https://host/#",
        "file:///a",
        "host",
    ] {
        assert_account_error(
            &format!("base_url = '{bad}'"),
            &["base_url: must be an http or https URL without"],
        );
    }
    for good in [
        "https://host/prefix/",
        "http://localhost:1",
        "http://127.1.2.3",
        "http://[::1]:1",
        "http://[::ffff:127.0.0.1]",
    ] {
        parse(&format!("{ACME}base_url = '{good}'"));
    }
}

#[test]
fn only_webhook_listener_may_leave_loopback() {
    for section in ["grpc", "admin"] {
        for address in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1", "[2001:db8::1]:1"] {
            let text = format!("[{section}]\nlisten = '{address}'\n{ACME}");
            assert_error(&text, &[section, "listen: must be a loopback", "until clients can authenticate"]);
        }
    }
    parse(&format!("[webhook]\nlisten = '[::]:1'\n[grpc]\nlisten = '[::ffff:127.0.0.1]:2'\n{ACME}"));
}

#[test]
fn listeners_with_the_same_address_are_an_error() {
    let text = format!("[grpc]\nlisten = '127.0.0.1:8080'\n{ACME}");
    assert_error(&text, &["line 2: grpc.listen: must differ from webhook.listen"]);
    let text = format!("[webhook]\nlisten = '0.0.0.0:9090'\n{ACME}");
    assert_error(&text, &["line 2: webhook.listen: must differ from admin.listen"]);
    let zero = "listen = '127.0.0.1:0'";
    parse(&format!("[grpc]\n{zero}\n[webhook]\n{zero}\n[admin]\n{zero}\n{ACME}"));
}

#[test]
fn missing_or_duplicate_accounts_are_an_error() {
    assert_error("", &["configuration: accounts: is missing: there must be at least one account"]);
    assert_error("accounts = []", &["line 1: accounts: is missing"]);
    assert_error("[accounts]", &["line 1: accounts: must be tables, each under a line `[[accounts]]`"]);
    assert_error("accounts = [1]", &["line 1: accounts: must be tables"]);
    assert_error(
        &format!("{ACME}{ACME}"),
        &["line 8: accounts[1] (acme).id: must differ from that of accounts[0] (acme)"],
    );
    assert_error(&ACME.replace("'acme'", "'Acme'"), &["line 3: accounts[0].id: must be lower-case letters"]);
    assert_error(
        &ACME.replace("id = 'acme'", ""),
        &["line 2: accounts[0].id: is missing: must be lower-case"],
    );
    // Without a provider, the allowed keys are unknown, in the file and in the environment.
    let mut source = globex_env();
    source.extend(env([("SWITCHBOARD__ACCOUNTS__ACME__SECRET_KEY", "x")]));
    let shown = errors_in(&ACME.replace("connectby", "connectable"), &source);
    assert_eq!(shown, "line 4: accounts[0] (acme).provider: must be `connectby` or `connectly`");
}

#[test]
fn unknown_variable_is_an_error() {
    for (name, part) in [
        ("SWITCHBOARD__JOURNAL", "matches no account or key"),
        ("SWITCHBOARD__JOURNAL__PATHS", "did you mean `SWITCHBOARD__JOURNAL__PATH`?"),
        ("SWITCHBOARD__journal__path", "matches no account or key"),
        ("SWITCHBOARD__ACCOUNTS__GLOBEX__API_KEY", "matches no account or key"),
        ("SWITCHBOARD__ACCOUNTS__ACME__ID", "matches no account or key"),
        ("SWITCHBOARD__ACCOUNTS__ACME__API_KEY", "matches no account or key"),
        ("SWITCHBOARD__ACCOUNTS__ACME__ROUTES__SEND", "matches no account or key"),
    ] {
        let shown = errors_in(ACME, &env([(name, "a-s3cr3t")]));
        assert!(shown.starts_with(&format!("{name}: ")) && shown.contains(part), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }
    // A variable that holds a secret is known.
    let text = ACME.replace("'acme-key-s3cr3t'", "{ env = 'SWITCHBOARD__ACME' }");
    Config::parse(&text, &env([("SWITCHBOARD__ACME", "x")])).expect("good");
}

#[test]
fn variable_that_is_not_utf_8_is_an_error() {
    struct Broken;
    impl Source for Broken {
        fn get(&self, _: &str) -> Option<String> {
            None
        }
        fn names(&self) -> Vec<String> {
            ["SWITCHBOARD__JOURNAL__PATH", "KEY", "OTHER"].map(str::to_owned).into()
        }
    }
    let text = ACME.replace("'acme-key-s3cr3t'", "{ env = 'KEY' }");
    assert_eq!(
        errors_in(&text, &Broken),
        "line 5: accounts[0] (acme).secret_key: the environment variable `KEY` must be UTF-8\n\
         SWITCHBOARD__JOURNAL__PATH: must be UTF-8"
    );
}

#[test]
fn secret_is_read_from_variable_file_or_text() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("key");
    let from_file = |content: &str| {
        std::fs::write(&file, content).expect("written");
        ACME.replace("'acme-key-s3cr3t'", &format!("{{ file = '{}' }}", file.display()))
    };
    let config = parse(&from_file("filed-s3cr3t\r\n"));
    let connectby = config.accounts[0].upstream.get::<ConnectBy>().expect("its settings");
    assert_eq!(connectby.secret_key.expose_secret(), "filed-s3cr3t");

    let path = file.display().to_string();
    assert_error(&from_file("\n"), &["secret_key", &path, "must not be empty"]);
    assert_error(&from_file("s3cr3t s3cr3t"), &["secret_key", "must be of visible ASCII"]);
    assert_error(
        &from_file("x").replace("/key'", "/nokey'"),
        &["secret_key", "/nokey", "cannot be read: No such"],
    );
    for (value, parts) in [
        ("''", &["secret_key: must not be empty"][..]),
        ("'s3cr3t\u{e9}'", &["must be of visible ASCII"]),
        ("{ env = 'NOT_SET' }", &["variable `NOT_SET` is not set"]),
        ("{ env = 'sk_live_s3cr3t' }", &["the environment variable that `env` names is not set"]),
        ("{ env = 'S3CR3T' }", &["the environment variable that `env` names is not set"]),
        ("{ file = 'sk_live_s3cr3t' }", &["the path in `file` cannot be read: No such"]),
        ("{ file = '/s3cr3t/s3cr3t+=' }", &["the path in `file` cannot be read: No such"]),
        ("{ env = 'EMPTY' }", &["variable `EMPTY` must not be empty"]),
        ("{ env = 's3cr3t/+' }", &["`env` must be the name"]),
        ("{ s3cr3t = 'env' }", &["must be `{ env = \"NAME\" }`"]),
        ("{ env = 'A', file = 'b' }", &["must be `{ env = \"NAME\" }`"]),
        ("{}", &["must be `{ env = \"NAME\" }`"]),
        ("['s3cr3t']", &["must be `{ env = \"NAME\" }`"]),
    ] {
        let shown = errors_in(&ACME.replace("'acme-key-s3cr3t'", value), &env([("EMPTY", "")]));
        for part in ["accounts[0] (acme).secret_key: "].iter().chain(parts) {
            assert!(shown.contains(part), "{shown} lacks {part}");
        }
        assert!(!shown.to_lowercase().contains("s3cr3t"), "{shown}");
    }
    let overridden = env([("SWITCHBOARD__ACCOUNTS__ACME__SECRET_KEY", "a s3cr3t")]);
    let shown = errors_in(ACME, &overridden);
    assert!(
        shown.starts_with(
            "SWITCHBOARD__ACCOUNTS__ACME__SECRET_KEY: accounts[0] (acme).secret_key: must be of"
        )
    );
}

#[test]
fn text_that_is_not_toml_is_one_located_error() {
    assert_error("[grpc]\nlisten = = 's3cr3t'\n[grpc", &["line 2:10: is not TOML: "]);
    assert_error("secret_key = 's3cr3t", &["line 1:", "is not TOML: "]);
    assert_error("[log]\nformat = 'text'\nformat = 's3cr3t'", &["line 3:1: is not TOML: duplicate key"]);
}

#[test]
fn connect_timeout_must_be_below_request_timeout() {
    let error = "connect_timeout: must be shorter than `request_timeout`";
    assert_account_error("request_timeout = '2s'\nconnect_timeout = '2s'", &[error]);
    let config = parse(&format!("{ACME}request_timeout = '4s'\n"));
    assert_eq!(config.accounts[0].connect_timeout.as_secs(), 2, "half of request_timeout by default");
}

const TWO_BUSINESSES: &str = "
[[accounts]]
id = 'globex'
provider = 'connectly'
business_id = 'b1'
api_key = 'k'
webhook_secrets = ['the first long secret', 'a shared long s3cr3t']
[[accounts]]
id = 'initech'
provider = 'connectly'
business_id = 'b2'
api_key = 'k'
webhook_secrets = ['a shared long s3cr3t']
";

#[test]
fn webhook_secret_shared_between_businesses_is_an_error() {
    assert_error(
        TWO_BUSINESSES,
        &["accounts: must not share a webhook secret between businesses: globex and initech do"],
    );
    assert_eq!(parse(&TWO_BUSINESSES.replace("'b2'", "'b1'")).accounts.len(), 2);
}

#[test]
fn short_secret_and_readable_files_are_warnings() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("folder");
    let with_mode = |name: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, "a-key").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        path
    };
    let warnings = |mode| {
        let (file, store, key) = (with_mode("c", mode), with_mode("db", mode), with_mode("key", mode));
        let text = format!(
            "[journal]\npath = '{}'\n{}",
            store.display(),
            TWO_BUSINESSES
                .replace("'a shared long s3cr3t']\n[", "'fifteen bytes !']\n[")
                .replace("api_key = 'k'", &format!("api_key = {{ file = '{}' }}", key.display()))
        );
        parse(&text).warnings(&file)
    };
    let private = warnings(0o640);
    assert_eq!(private.len(), 1, "{private:?}");
    assert!(private[0].starts_with("a webhook secret of globex is shorter than 16 bytes"), "{private:?}");
    let open = warnings(0o644);
    for name in ["/c:", "/db:", "/key:"] {
        assert!(open.iter().any(|warning| warning.contains(name)), "{name}: {open:?}");
    }
}
