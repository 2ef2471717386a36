//! `default.toml` agrees with the code.

use std::collections::BTreeSet;

use super::*;

/// `default.toml` with every commented-out key activated.
fn whole_reference() -> String {
    let switch_on = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
        _ => line,
    };
    REFERENCE.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

#[test]
fn reference_has_every_key_with_its_default() {
    let whole = whole_reference();
    let source = env([("ACME_SECRET_KEY", "x"), ("GLOBEX_API_KEY", "x"), ("GLOBEX_WEBHOOK_SECRET", "x")]);

    // The defaults of accounts are in the code. The reference must show the same values.
    let said = Config::parse(&whole, &source).expect("the whole reference is a configuration");
    let least = "
        [[accounts]]
        id = 'acme'
        provider = 'connectby'
        secret_key = 'x'
        [[accounts]]
        id = 'globex'
        provider = 'connectly'
        business_id = '00000000-0000-0000-0000-000000000000'
        api_key = 'x'
        webhook_secrets = ['x']
        numbers = ['+15550100001']
    ";
    assert_eq!(format!("{:?}", said.accounts), format!("{:?}", parse(least).accounts));

    // Every key that the code reads is in the reference. The id is not a known variable, because no variable can change
    // it.
    let tree: toml::Table = whole.parse().expect("TOML");
    let defaults = DeTable::parse(REFERENCE).expect("TOML");
    let file = DeTable::parse(&whole).expect("TOML");
    let reader = TableReader::new(&whole, &source);
    let _ = Config::read(&mut Table::root(&reader, file.get_ref(), defaults.get_ref()), PROVIDERS);
    let known: Vec<String> =
        reader.known_variables().into_iter().filter(|name| name.starts_with("SWITCHBOARD__")).collect();
    assert!(known.len() > 30, "{known:?}");
    // Both accounts have these keys, and the reference shows them once.
    let shown_once = [
        "connect_timeout",
        "request_timeout",
        "upload_timeout",
        "idle_timeout",
        "outcomes",
        "text_characters",
        "calls_per_second",
        "calls_in_flight",
        "max_queue_wait",
        "breaker_failures",
    ];
    for name in known {
        let lower = name.to_lowercase();
        let parts: Vec<&str> = lower.split("__").skip(1).collect();
        let (table, keys) = match &parts[..] {
            ["accounts", id, keys @ ..] => {
                if *id == "globex" && shown_once.contains(&keys[keys.len() - 1]) {
                    continue;
                }
                let index = if *id == "acme" { 0 } else { 1 };
                (&tree["accounts"][index], keys)
            }
            [section, keys @ ..] => (&tree[*section], keys),
            [] => panic!("{name}"),
        };
        let found = keys.iter().try_fold(table, |table, key| table.get(key));
        assert!(found.is_some(), "default.toml lacks {name}");
    }
}

#[test]
fn reference_has_all_known_sections() {
    let tree: toml::Table = whole_reference().parse().expect("TOML");
    let sections: BTreeSet<&str> = tree.keys().map(String::as_str).collect();
    let known = ["accounts", "admin", "grpc", "journal", "log", "sends", "shutdown", "webhook"];
    assert_eq!(sections, BTreeSet::from(known));
}
