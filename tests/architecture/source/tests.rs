//! Tests of the token reader.

use super::{SourceFile, is_sql};

fn imports_of(path: &str, source: &str) -> Vec<String> {
    SourceFile::read(path, source)
        .imports
        .into_iter()
        .map(|reference| format!("{}:{}", reference.name, reference.line))
        .collect()
}

fn libraries_of(source: &str) -> Vec<String> {
    SourceFile::read("src/journal/mod.rs", source)
        .libraries
        .into_iter()
        .map(|reference| reference.name)
        .collect()
}

#[test]
fn every_form_of_import_is_recorded() {
    let source = "use crate::store::{self, Stored};\n\
        use crate::{provider::Account, telemetry};\n\
        use {crate::api, std::fmt};\n\
        fn f() -> crate::dispatch::Failure { g(crate::webhook::X) }\n\
        pub(in crate::config) struct S;\n\
        macro_rules! m { () => { $crate::pb::v1 } }\n\
        type T = Vec<super::domain::Event>;\n\
        mod inner { use super::super::admin::A; fn f() { counter!(super::super::demo::B) } }\n\
        use crate::*;\n";
    assert_eq!(
        imports_of("src/journal/mod.rs", source),
        [
            "store:1",
            "provider:2",
            "telemetry:2",
            "api:3",
            "dispatch:4",
            "webhook:4",
            "config:5",
            "pb:6",
            "domain:7",
            "admin:8",
            "demo:8",
            "*:9"
        ]
    );
    assert_eq!(
        imports_of("src/store/sqlite/reader.rs", "use super::super::super::{journal::Journal, api};"),
        ["journal:1", "api:1"]
    );
    assert_eq!(
        imports_of("src/main.rs", "use switchboard::app::App;\nuse switchboard::{demo, config};"),
        ["app:1", "demo:2", "config:2"]
    );
}

#[test]
fn comments_strings_tests_and_local_paths_are_ignored() {
    let source = "//! [`crate::api`]\n\
        /* crate::api /* crate::api */ */\n\
        /// [x](crate::api::X)\n\
        #[doc = \"crate::api\"]\n\
        const A: &str = r#\"crate::api \"tonic::Status\" select 1 from x\"#;\n\
        use super::Error; use self::inner::X; pub(super) fn f<'a>(_: &'a str) { super::g::h() }\n\
        #[cfg(test)]\n#[allow(unused)]\nuse crate::api::{Api, Other};\n\
        #[cfg(test)] const ALL: &[crate::api::X] = &[];\n\
        #[cfg(test)] fn only() { crate::api::x() }\n\
        #[cfg(test)] mod tests { use crate::api; }\n\
        #[cfg(test)] mod more;\n\
        #[cfg(all(test, unix))] mod most { use crate::api; }\n";
    let file = SourceFile::read("src/journal/reader.rs", source);
    assert_eq!(file.imports, []);
    assert_eq!(file.test_modules, [["journal", "reader", "more"]]);
    assert!(file.libraries.iter().all(|reference| reference.name != "tonic"));
}

#[test]
fn code_after_a_test_item_is_recorded() {
    let source = "#[cfg(test)] mod tests;\nuse crate::api;\n#[cfg(not(test))]\nuse crate::pb;";
    assert_eq!(imports_of("src/store/mod.rs", source), ["api:2", "pb:4"]);
}

#[test]
fn names_of_providers_are_recorded() {
    let source = "use a::connectby::B; fn f(c: &Connectly) { m!(P::CONNECTBY) } /* Connectly */\n\
        #[cfg(test)] mod tests { use connectly::X; }";
    let file = SourceFile::read("src/api/x.rs", source);
    let names: Vec<&str> = file.providers.iter().map(|reference| reference.name.as_str()).collect();
    assert_eq!(names, ["connectby", "Connectly", "CONNECTBY"]);
}

#[test]
fn libraries_secrets_and_sql_are_recorded() {
    let source = "fn r() -> ::tonic_types::X {} use ::tonic::Status; use {axum::Router, hyper}; use rusqlite as sql;\n\
        fn f(_: &reqwest::Client) -> Result<::prost::Message, x::tonic_types::Y> { m!(tonic_health::Z) }\n\
        #[derive(prost_types::W)] struct S;";
    assert_eq!(
        libraries_of(source),
        [
            "tonic_types",
            "tonic",
            "axum",
            "hyper",
            "rusqlite",
            "reqwest",
            "prost",
            "x",
            "tonic_health",
            "prost_types"
        ]
    );
    let source = "use secrecy::{ExposeSecret as _, SecretString};\nfn f() { s.expose_secret(); }";
    assert_eq!(SourceFile::read("src/app.rs", source).exposed_secrets.len(), 2);
    for sql in
        ["\"SELECT a FROM b\"", "r#\"\n  insert into x\"#", "\"PRAGMA user_version\"", "\"create table x\""]
    {
        assert!(is_sql(sql), "{sql}");
    }
    for text in ["\"select one\"", "\"update\"", "\"DELETE /v1.0/contacts\"", "\"create an account\"", "'x'"]
    {
        assert!(!is_sql(text), "{text}");
    }
}
