//! Architecture rules that the compiler does not enforce: which modules a module may import, in which files a library
//! may be used, where secrets are exposed, where SQL is written, and how an RPC reaches its handler.
//!
//! The tests read each source as tokens ([`source`]), so comments, doc links and string contents do not count. Code
//! under `#[cfg(test)]` is exempt.

mod services;
mod source;

use std::collections::BTreeSet;

use source::{Reference, SourceFile, Sources};

/// Modules that each module may import, in addition to itself. `ARCHITECTURE.md` gives the reasons for the layering.
/// A new entry is a decision and changes that page.
///
/// `domain` imports no module. `config` has one section for each part. Only `api` imports `pb`, so that a new
/// version of the contract changes no other module. `sandbox` imports no module, so it shares no type with
/// `provider`: if both ends of the wire shared a type, no test would notice an error in it.
const ALLOWED_IMPORTS: &[(&str, &[&str])] = &[
    ("admin", &["store"]),
    (
        "api",
        &[
            "config",
            "dispatch",
            "domain",
            "journal",
            "messages",
            "pb",
            "provider",
            "sandbox",
            "store",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "api",
            "config",
            "dispatch",
            "domain",
            "journal",
            "listener",
            "maintenance",
            "messages",
            "provider",
            "sandbox",
            "store",
            "telemetry",
            "webhook",
        ],
    ),
    ("backup", &["cli", "config", "store"]),
    ("cli", &[]),
    ("config", &["domain"]),
    ("demo", &["app", "config", "sandbox"]),
    ("dispatch", &["domain", "provider", "store", "telemetry"]),
    ("domain", &[]),
    ("journal", &["domain", "store"]),
    ("listener", &["telemetry"]),
    ("maintenance", &["domain", "store", "telemetry"]),
    ("messages", &["dispatch", "domain", "provider", "store"]),
    ("main", &["app", "backup", "cli", "config", "demo", "sandbox", "telemetry"]),
    ("pb", &[]),
    ("provider", &["config", "domain"]),
    ("sandbox", &[]),
    ("store", &["domain"]),
    ("telemetry", &["config"]),
    ("webhook", &["config", "domain", "journal", "provider", "store", "telemetry"]),
];

/// Allowed imports that are limited to some files of the module: module, import, files.
const LIMITED_IMPORTS: &[(&str, &str, &[&str])] = &[
    // The service that controls the sandbox's fake providers, and the file that registers it.
    ("api", "sandbox", &["src/api/mod.rs", "src/api/sandbox.rs"]),
];

/// Files in which libraries may be used: libraries, and files or folders. A folder ends with `/`.
const LIBRARY_LOCATIONS: &[(&[&str], &[&str])] = &[
    // gRPC. The generated code that `pb` includes is not checked.
    (
        &["tonic", "tonic_health", "tonic_prost", "tonic_reflection", "tonic_types"],
        &["src/api/", "src/app/", "src/listener/incoming.rs"],
    ),
    (&["prost", "prost_types"], &["src/api/"]),
    // HTTP clients and servers, and classification of their connection errors.
    (&["reqwest"], &["src/provider/", "src/sandbox/"]),
    (
        &["axum"],
        &["src/admin.rs", "src/api/transport/grpc_web.rs", "src/app/", "src/listener/", "src/webhook/"],
    ),
    (
        &["hyper", "hyper_util"],
        &[
            "src/api/transport/end_at_stop.rs",
            "src/api/transport/truncated_body.rs",
            "src/listener/",
            "src/provider/",
            "src/sandbox/",
        ],
    ),
    // SQLite. The store's rules and its interface do not depend on the engine.
    (&["rusqlite"], &["src/store/sqlite/"]),
];

/// Files and folders in which secrets may be exposed: validation and use.
const SECRET_LOCATIONS: &[&str] = &["src/config/secret.rs", "src/provider/"];

/// Files and folders in which SQL may be written.
const SQL_LOCATIONS: &[&str] = &["src/store/sqlite/"];

/// Files and folders that may name a provider. All other code knows the traits of `provider` only, so a new provider
/// does not change it.
const PROVIDER_LOCATIONS: &[&str] = &[
    "src/api/sandbox.rs",
    "src/config/",
    "src/demo.rs",
    "src/domain/account.rs",
    "src/provider/",
    "src/sandbox/",
];

fn allowed_imports(module: &str) -> &'static [&'static str] {
    ALLOWED_IMPORTS.iter().find(|(name, _)| *name == module).map_or(&[], |(_, imports)| imports)
}

fn assert_no_violations(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn modules_import_only_allowed_modules() {
    let sources = Sources::read();
    let mut violations = Vec::new();
    for file in &sources.files {
        let module = file.top_module();
        for import in file.imports.iter().filter(|import| import.name != module) {
            let location = file.location(import);
            if !allowed_imports(module).contains(&import.name.as_str()) {
                violations.push(format!(
                    "{location}: `{module}` must not import `{}` (ALLOWED_IMPORTS)",
                    import.name
                ));
            }
            for (_, _, files) in
                LIMITED_IMPORTS.iter().filter(|(name, other, _)| *name == module && *other == import.name)
            {
                if !files.contains(&file.path.as_str()) {
                    violations.push(format!(
                        "{location}: in `{module}`, only {files:?} may import `{}` (LIMITED_IMPORTS)",
                        import.name
                    ));
                }
            }
        }
    }
    assert_no_violations(&violations);
}

#[test]
fn allowed_imports_list_every_module() {
    let sources = Sources::read();
    let existing: BTreeSet<&str> =
        sources.files.iter().map(SourceFile::top_module).filter(|&module| module != "lib").collect();
    let listed: BTreeSet<&str> = ALLOWED_IMPORTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(existing.difference(&listed).collect::<Vec<_>>(), [] as [&&str; 0], "not in ALLOWED_IMPORTS");
    assert_eq!(
        listed.difference(&existing).collect::<Vec<_>>(),
        [] as [&&str; 0],
        "in ALLOWED_IMPORTS, but not in src/"
    );
    for (name, imports) in ALLOWED_IMPORTS {
        assert!(imports.is_sorted(), "`{name}`: {imports:?} is not sorted");
    }
}

/// An unused permission would allow a new dependency without a decision.
#[test]
fn every_permission_is_used() {
    let sources = Sources::read();
    let mut unused = Vec::new();
    for (module, imports) in ALLOWED_IMPORTS {
        for import in *imports {
            if !sources.files.iter().any(|file| file.top_module() == *module && file.imports_module(import)) {
                unused.push(format!("`{module}` does not import `{import}` (ALLOWED_IMPORTS)"));
            }
        }
    }
    for (_, import, files) in LIMITED_IMPORTS {
        for path in *files {
            if !sources.files.iter().any(|file| file.path == *path && file.imports_module(import)) {
                unused.push(format!("{path} does not import `{import}` (LIMITED_IMPORTS)"));
            }
        }
    }
    for (libraries, locations) in LIBRARY_LOCATIONS {
        let uses = |file: &SourceFile| {
            file.libraries.iter().any(|library| libraries.contains(&library.name.as_str()))
        };
        for location in sources.unused(locations, uses) {
            unused.push(format!("{location} uses none of {libraries:?} (LIBRARY_LOCATIONS)"));
        }
    }
    for location in sources.unused(SECRET_LOCATIONS, |file| !file.exposed_secrets.is_empty()) {
        unused.push(format!("{location} exposes no secret (SECRET_LOCATIONS)"));
    }
    for location in sources.unused(SQL_LOCATIONS, |file| !file.sql.is_empty()) {
        unused.push(format!("{location} contains no SQL (SQL_LOCATIONS)"));
    }
    for location in sources.unused(PROVIDER_LOCATIONS, |file| !file.providers.is_empty()) {
        unused.push(format!("{location} names no provider (PROVIDER_LOCATIONS)"));
    }
    assert_no_violations(&unused);
}

#[test]
fn providers_are_named_only_where_allowed() {
    let sources = Sources::read();
    let violations = sources.outside(
        PROVIDER_LOCATIONS,
        |file| &file.providers,
        |location, name: &Reference| {
            format!("{location}: `{}` names a provider, allowed only in {PROVIDER_LOCATIONS:?}", name.name)
        },
    );
    assert_no_violations(&violations);
}

#[test]
fn libraries_are_used_only_where_allowed() {
    let sources = Sources::read();
    let mut violations = Vec::new();
    for file in &sources.files {
        for library in &file.libraries {
            for (libraries, locations) in LIBRARY_LOCATIONS {
                if libraries.contains(&library.name.as_str()) && !file.is_in(locations) {
                    violations.push(format!(
                        "{}: `{}` may be used only in {locations:?} (LIBRARY_LOCATIONS)",
                        file.location(library),
                        library.name
                    ));
                }
            }
        }
    }
    assert_no_violations(&violations);
}

#[test]
fn secrets_are_exposed_only_where_allowed() {
    let sources = Sources::read();
    let violations = sources.outside(
        SECRET_LOCATIONS,
        |file| &file.exposed_secrets,
        |location, _| format!("{location}: secrets may be exposed only in {SECRET_LOCATIONS:?}"),
    );
    assert_no_violations(&violations);
}

#[test]
fn sql_is_written_only_in_the_store() {
    let sources = Sources::read();
    let in_store = sources.files.iter().filter(|file| file.is_in(SQL_LOCATIONS));
    let statements: usize = in_store.map(|file| file.sql.len()).sum();
    assert!(
        statements > 5,
        "found only {statements} SQL statements in {SQL_LOCATIONS:?}: is_sql() misses some"
    );
    let violations = sources.outside(
        SQL_LOCATIONS,
        |file| &file.sql,
        |location, sql: &Reference| {
            format!("{location}: SQL may be written only in {SQL_LOCATIONS:?}: {}", sql.name)
        },
    );
    assert_no_violations(&violations);
}
