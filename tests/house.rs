//! The rules of the house that no compiler keeps: which module may know which, which library may be named where, and
//! what every file of the contract must have.
//!
//! Sources are read as the compiler's own tokens, so that a comment, a link in a doc comment or a word in a string
//! counts for nothing. Code under `#[cfg(test)]` may know whom it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet, FileOptions,
};

/// Who may know whom, beside itself. An edge that is not here is a decision: `ARCHITECTURE.md` says why the house is
/// built like this, and a new edge changes it.
///
/// `domain` is known by all and knows nobody. `config` gives each part its own section. `pb` stays in `api`, so that a
/// new version of the contract never reaches further. `sandbox` knows neither `provider` nor any type of it: what both
/// sides of the wire got from one type, no test could catch.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("admin", &["store"]),
    ("api", &["config", "dispatch", "domain", "journal", "pb", "provider", "sandbox", "store", "telemetry"]),
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
            "provider",
            "sandbox",
            "store",
            "telemetry",
            "webhook",
        ],
    ),
    ("backup", &["cli", "config", "store"]),
    ("cli", &[]),
    ("client", &["pb"]),
    ("config", &["domain"]),
    ("demo", &["app", "config", "sandbox"]),
    ("dispatch", &["domain", "journal", "provider", "store", "telemetry"]),
    ("domain", &[]),
    ("journal", &["domain", "store", "telemetry"]),
    ("listener", &["telemetry"]),
    ("main", &["app", "backup", "cli", "config", "demo", "sandbox", "telemetry"]),
    ("pb", &[]),
    ("provider", &["config", "domain", "telemetry"]),
    ("sandbox", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("telemetry", &["config"]),
    ("webhook", &["config", "domain", "journal", "provider", "store", "telemetry"]),
];

/// A module's right that holds in some of its files only.
const ONLY_IN: &[(&str, &str, &[&str])] = &[
    // The one service that steers the imitated providers, and the place that adds it.
    ("api", "sandbox", &["src/api/mod.rs", "src/api/sandbox.rs"]),
];

/// Which libraries may be named where: by files, or folders with a `/` at their end.
const LIBRARIES: &[(&[&str], &[&str])] = &[
    // The gRPC face.
    (
        &["tonic", "tonic_health", "tonic_prost", "tonic_reflection", "tonic_types"],
        &["src/api/", "src/app.rs", "src/client/", "src/pb.rs"],
    ),
    (&["prost", "prost_types"], &["src/api/", "src/client/", "src/pb.rs"]),
    // HTTP: clients, servers, and connections that misbehave.
    (&["reqwest"], &["src/provider/", "src/sandbox/"]),
    (&["axum"], &["src/admin.rs", "src/api/web.rs", "src/app.rs", "src/listener/", "src/webhook/"]),
    (&["hyper", "hyper_util"], &["src/api/unbroken.rs", "src/listener/", "src/provider/", "src/sandbox/"]),
    // The engine. The store's error carries the engine's as its source.
    (&["rusqlite"], &["src/store/error.rs", "src/store/sqlite/"]),
];

/// Where a secret may be taken out of its wrapping: where it is checked, and where it is used.
const SECRETS_OPEN_IN: &[&str] = &["src/config/secret.rs", "src/provider/"];

/// Where SQL may be written.
const SQL_IN: &[&str] = &["src/store/sqlite/"];

#[test]
fn modules_know_only_whom_they_may_know() {
    let house = House::read();
    let mut broken = Vec::new();
    for file in &house.files {
        let module = file.top();
        for known in file.knows.iter().filter(|known| known.word != module) {
            let allowed = MAY_KNOW.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, may)| may);
            let place = file.at(known);
            if !allowed.contains(&known.word.as_str()) {
                broken.push(format!("{place}: `{module}` must not know `{}` (MAY_KNOW)", known.word));
            }
            for (_, _, files) in ONLY_IN.iter().filter(|(who, whom, _)| *who == module && *whom == known.word)
            {
                if !files.contains(&file.path.as_str()) {
                    broken.push(format!(
                        "{place}: in `{module}`, only {files:?} may know `{}` (ONLY_IN)",
                        known.word
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// A table that speaks of modules that are gone, or passes over new ones, guards nothing.
#[test]
fn the_table_names_every_module() {
    let house = House::read();
    let there: BTreeSet<&str> = house.files.iter().map(File::top).filter(|&top| top != "lib").collect();
    let named: BTreeSet<&str> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    assert_eq!(there.difference(&named).collect::<Vec<_>>(), [] as [&&str; 0], "not in MAY_KNOW");
    // The Rust client is a module to come.
    let gone: Vec<_> = named.difference(&there).filter(|&&name| name != "client").collect();
    assert_eq!(gone, [] as [&&str; 0], "in MAY_KNOW, but not in src/");
    for (name, may) in MAY_KNOW {
        assert!(
            may.iter().all(|other| named.contains(other)),
            "`{name}` may know what is no module: {may:?}"
        );
        assert!(may.is_sorted(), "`{name}`: {may:?} is not sorted");
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    let house = House::read();
    let mut broken = Vec::new();
    for file in &house.files {
        for named in &file.libraries {
            for (libraries, places) in LIBRARIES {
                if libraries.contains(&named.word.as_str()) && !file.is_in(places) {
                    broken.push(format!(
                        "{}: `{}` belongs to {places:?} (LIBRARIES)",
                        file.at(named),
                        named.word
                    ));
                }
            }
        }
        for opened in file.opens_secrets.iter().filter(|_| !file.is_in(SECRETS_OPEN_IN)) {
            broken.push(format!("{}: secrets are opened in {SECRETS_OPEN_IN:?} only", file.at(opened)));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn sql_is_written_in_the_engine_alone() {
    let house = House::read();
    let sql = |file: &File| file.sql.len();
    let written: usize = house.files.iter().filter(|file| file.is_in(SQL_IN)).map(sql).sum();
    assert!(written > 5, "no SQL was found where there must be some: does this test still see it?");
    let mut broken = Vec::new();
    for file in house.files.iter().filter(|file| !file.is_in(SQL_IN)) {
        for written in &file.sql {
            broken.push(format!("{}: SQL belongs to {SQL_IN:?}: {}", file.at(written), written.word));
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

/// Generators of other languages take these from the files; all files of a package must agree, and none may lack one.
#[test]
fn all_files_of_a_package_have_the_same_options() {
    let mut of_package: BTreeMap<String, (String, FileOptions)> = BTreeMap::new();
    for file in contract() {
        let options = file.options.clone().unwrap_or_default();
        for (option, value) in [
            ("csharp_namespace", &options.csharp_namespace),
            ("go_package", &options.go_package),
            ("java_package", &options.java_package),
            ("objc_class_prefix", &options.objc_class_prefix),
            ("php_namespace", &options.php_namespace),
            ("ruby_package", &options.ruby_package),
        ] {
            assert!(value.as_ref().is_some_and(|value| !value.is_empty()), "{}: no {option}", file.name());
        }
        assert_eq!(options.java_multiple_files, Some(true), "{}: java_multiple_files", file.name());
        assert_eq!(options.java_package(), file.package(), "{}: java_package", file.name());
        let (first, expected) = of_package
            .entry(file.package().to_owned())
            .or_insert_with(|| (file.name().to_owned(), options.clone()));
        assert_eq!(&options, expected, "{} and {first} have different options", file.name());
    }
    let packages: Vec<&str> = of_package.keys().map(String::as_str).collect();
    assert_eq!(packages, ["switchboard.sandbox.v1", "switchboard.v1"]);
}

/// Python's generated code uses the names as they are: `message.from` is a syntax error there.
#[test]
fn nothing_in_the_contract_is_a_keyword_of_python() {
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
        "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in",
        "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let mut names = Vec::new();
    for file in contract() {
        file.message_type.iter().for_each(|message| names_in_message(message, &mut names));
        file.enum_type.iter().for_each(|values| names_in_enum(values, &mut names));
        for service in &file.service {
            names.push(service.name().to_owned());
            names.extend(service.method.iter().map(|method| method.name().to_owned()));
        }
    }
    assert!(names.len() > 100, "the contract has more names than {}", names.len());
    let bad: Vec<_> = names.iter().filter(|name| KEYWORDS.contains(&name.as_str())).collect();
    assert!(bad.is_empty(), "keywords of Python: {bad:?}");
}

fn names_in_message(message: &DescriptorProto, names: &mut Vec<String>) {
    names.push(message.name().to_owned());
    names.extend(message.field.iter().map(|field| field.name().to_owned()));
    names.extend(message.oneof_decl.iter().map(|oneof| oneof.name().to_owned()));
    message.nested_type.iter().for_each(|nested| names_in_message(nested, names));
    message.enum_type.iter().for_each(|values| names_in_enum(values, names));
}

fn names_in_enum(values: &EnumDescriptorProto, names: &mut Vec<String>) {
    names.push(values.name().to_owned());
    names.extend(values.value.iter().map(|value| value.name().to_owned()));
}

/// Our own files of the contract, without those that they import from elsewhere.
fn contract() -> Vec<FileDescriptorProto> {
    let mut set = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET).expect("part of the build");
    set.file.retain(|file| file.package().starts_with("switchboard"));
    assert!(!set.file.is_empty());
    set.file
}

/// All sources, without what is compiled for tests alone.
struct House {
    files: Vec<File>,
}

/// What one source file names.
#[derive(Debug, Default)]
struct File {
    /// From the root of the project, with `/`.
    path: String,
    /// Its place among the modules: `["store", "sqlite"]`. Empty for `lib.rs`, `["main"]` for the program.
    module: Vec<String>,
    /// Modules at the top that it names.
    knows: Vec<Named>,
    /// First segments of paths that are no module of ours: libraries, or what was imported.
    libraries: Vec<Named>,
    opens_secrets: Vec<Named>,
    sql: Vec<Named>,
    /// Modules below it, as `["store", "sqlite", "tests"]`, that are compiled for tests alone.
    tests: Vec<Vec<String>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Named {
    word: String,
    line: usize,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        sources(&root.join("src"), &mut paths);
        paths.sort();
        let mut files: Vec<File> = paths
            .iter()
            .map(|path| {
                let source = fs::read_to_string(path).expect("a readable source");
                let inside = path.strip_prefix(root).expect("inside of the project");
                let segments: Vec<_> = inside.iter().map(|segment| segment.to_string_lossy()).collect();
                File::read(&segments.join("/"), &source)
            })
            .collect();
        let tests: Vec<Vec<String>> = files.iter().flat_map(|file| file.tests.clone()).collect();
        files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
        assert!(files.len() > 50, "only {} sources were found", files.len());
        Self { files }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl File {
    fn read(path: &str, source: &str) -> Self {
        let inside = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).expect("src/….rs");
        let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        let tokens: TokenStream =
            source.parse().unwrap_or_else(|error| panic!("{path} does not consist of tokens: {error}"));
        let mut file = Self { path: path.to_owned(), module: module.clone(), ..Self::default() };
        file.walk(&tokens.into_iter().collect::<Vec<_>>(), &module);
        file
    }

    /// The module at the top that it belongs to; `lib` for the root.
    fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }

    fn at<'a>(&'a self, named: &'a Named) -> impl fmt::Display + 'a {
        format!("{}:{}", self.path, named.line)
    }

    /// Takes note of what tokens name. `module` is where they stand, inline modules included.
    fn walk(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            if is_attribute(tokens, at) {
                let attribute = &tokens[at + 1];
                at += 2;
                if is_test_only(attribute) {
                    at = self.skip_item(tokens, at, module);
                } else if !is_doc(attribute) {
                    self.walk_group(attribute, module);
                }
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(_))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        let inside: Vec<String> = module.iter().cloned().chain([name.to_string()]).collect();
                        self.walk_group(&tokens[at + 2], &inside);
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end = tokens[at..]
                        .iter()
                        .position(|token| is_punct(token, ';'))
                        .map_or(tokens.len(), |length| at + length);
                    self.imports(&tokens[at + 1..end], module, None);
                    self.walk_words(&tokens[at + 1..end]);
                    at = end;
                    continue;
                }
                TokenTree::Ident(_) => {
                    if !comes_behind_colons(tokens, at) {
                        at = self.path_expression(tokens, at, module);
                        continue;
                    }
                    self.word(&tokens[at]);
                }
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if is_sql(&text) {
                        self.sql.push(Named { word: text, line: literal.span().start().line });
                    }
                }
                group @ TokenTree::Group(_) => self.walk_group(group, module),
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    fn walk_group(&mut self, group: &TokenTree, module: &[String]) {
        if let TokenTree::Group(group) = group {
            self.walk(&group.stream().into_iter().collect::<Vec<_>>(), module);
        }
    }

    /// Words that mean something wherever they stand.
    fn word(&mut self, token: &TokenTree) {
        if let TokenTree::Ident(word) = token
            && (word == "ExposeSecret" || word == "expose_secret")
        {
            self.opens_secrets.push(named(token));
        }
    }

    fn walk_words(&mut self, tokens: &[TokenTree]) {
        for token in tokens {
            self.word(token);
            if let TokenTree::Group(group) = token {
                self.walk_words(&group.stream().into_iter().collect::<Vec<_>>());
            }
        }
    }

    /// Reads a path outside of `use`: `crate::store::Health`, `super::super::x`, `reqwest::Client`. Gives the place
    /// behind the part that was read.
    fn path_expression(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        self.word(&tokens[at]);
        if !is_colons(tokens, at + 1) {
            return at + 1;
        }
        self.first_segment(tokens, at, module)
    }

    /// Takes note of where a path starts that has more than one segment.
    fn first_segment(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let word = tokens[at].to_string();
        let mut next = at + 3;
        match word.as_str() {
            // The program is a crate of its own, to which the house is a library.
            "crate" if self.path == "src/main.rs" => {}
            "switchboard" if self.path == "src/main.rs" => self.behind_root(tokens, next),
            "crate" => self.behind_root(tokens, next),
            "self" | "super" => {
                let mut depth = module.len() - usize::from(word == "super");
                while is_word(tokens.get(next), "super") {
                    depth -= 1;
                    if !is_colons(tokens, next + 1) {
                        return next + 1;
                    }
                    next += 3;
                }
                if depth == 0 {
                    self.behind_root(tokens, next);
                }
            }
            _ => self.libraries.push(named(&tokens[at])),
        }
        next
    }

    /// Takes note of the modules that are named behind `crate::`: one, or several in braces.
    fn behind_root(&mut self, tokens: &[TokenTree], at: usize) {
        match tokens.get(at) {
            Some(token @ TokenTree::Ident(_)) => self.knows.push(named(token)),
            Some(TokenTree::Group(group)) => {
                for branch in branches(&group.stream().into_iter().collect::<Vec<_>>()) {
                    self.behind_root(&branch, 0);
                }
            }
            // `crate::*` could be anything.
            Some(token) => self.knows.push(Named { word: "*".to_owned(), ..named(token) }),
            None => {}
        }
    }

    /// Reads what stands behind `use`. `library` is the first segment when the path already has one.
    fn imports(&mut self, tokens: &[TokenTree], module: &[String], library: Option<&Named>) {
        let start = if is_colons(tokens, 0) { 2 } else { 0 };
        match tokens.get(start) {
            Some(TokenTree::Group(group)) if library.is_none() => {
                for branch in branches(&group.stream().into_iter().collect::<Vec<_>>()) {
                    self.imports(&branch, module, None);
                }
            }
            Some(TokenTree::Ident(_)) if is_colons(tokens, start + 1) => {
                self.first_segment(tokens, start, module);
            }
            // `use reqwest;` and `use reqwest as http;`.
            Some(token @ TokenTree::Ident(_)) => self.libraries.push(named(token)),
            _ => {}
        }
    }

    /// Gives the place behind an item that is compiled for tests alone, and takes note when it is a module in a file.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize, module: &[String]) -> usize {
        while is_attribute(tokens, at) {
            at += 2;
        }
        // These end with a semicolon, and may have braces before it; all else ends with either.
        let statement =
            ["use", "static", "type", "let", "extern"].iter().any(|word| is_word(tokens.get(at), word))
                || (is_word(tokens.get(at), "const") && !is_word(tokens.get(at + 1), "fn"));
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(word) if word == "mod" => {
                    if let (Some(name), Some(end)) = (tokens.get(at), tokens.get(at + 1))
                        && is_punct(end, ';')
                    {
                        self.tests.push(module.iter().cloned().chain([name.to_string()]).collect());
                    }
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !statement => return at,
                token if is_punct(token, ';') || (is_punct(token, ',') && !statement) => return at,
                _ => {}
            }
        }
        at
    }
}

fn named(token: &TokenTree) -> Named {
    Named { word: token.to_string(), line: token.span().start().line }
}

fn is_punct(token: &TokenTree, expected: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == expected)
}

fn is_word(token: Option<&TokenTree>, expected: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == expected)
}

/// Whether `::` stands there.
fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([first, second]) if is_punct(first, ':') && is_punct(second, ':'))
}

/// Whether a word is a later segment of a path. A path that starts with `::` starts with a library.
fn comes_behind_colons(tokens: &[TokenTree], at: usize) -> bool {
    at >= 3
        && is_colons(tokens, at - 2)
        && match &tokens[at - 3] {
            TokenTree::Ident(word) => word != "in" && word != "return" && word != "as",
            // `Vec::<T>::new` and `<T as Trait>::new`, but not `-> ::tonic::Status`.
            token => is_punct(token, '>') && !(at >= 4 && is_punct(&tokens[at - 4], '-')),
        }
}

fn is_attribute(tokens: &[TokenTree], at: usize) -> bool {
    matches!(
        tokens.get(at..at + 2),
        Some([hash, TokenTree::Group(group)]) if is_punct(hash, '#') && group.delimiter() == Delimiter::Bracket
    )
}

fn is_doc(attribute: &TokenTree) -> bool {
    matches!(attribute, TokenTree::Group(group) if is_word(group.stream().into_iter().next().as_ref(), "doc"))
}

/// Whether an attribute is `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_only(attribute: &TokenTree) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}

/// The parts between commas.
fn branches(tokens: &[TokenTree]) -> Vec<Vec<TokenTree>> {
    tokens
        .split(|token| is_punct(token, ','))
        .filter(|branch| !branch.is_empty())
        .map(<[TokenTree]>::to_vec)
        .collect()
}

/// Whether a string is a statement for a database.
fn is_sql(literal: &str) -> bool {
    let text =
        literal.trim_start_matches(|c: char| c.is_whitespace() || "rb#\"\\".contains(c)).to_ascii_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let then = |later: &[&str]| words.iter().skip(1).any(|word| later.contains(word));
    match words.first() {
        Some(&"select" | &"delete") => then(&["from"]),
        Some(&"insert") => then(&["into"]),
        Some(&"update") => then(&["set"]),
        Some(&"create" | &"drop" | &"alter") => then(&["table", "index", "view", "trigger"]),
        Some(&"pragma") => words.len() > 1,
        _ => false,
    }
}

/// The reader itself: what it must see, and what it must not.
mod reader {
    use super::*;

    fn knows(path: &str, source: &str) -> Vec<String> {
        File::read(path, source)
            .knows
            .into_iter()
            .map(|named| format!("{}:{}", named.word, named.line))
            .collect()
    }

    fn libraries(source: &str) -> Vec<String> {
        File::read("src/journal/mod.rs", source).libraries.into_iter().map(|named| named.word).collect()
    }

    #[test]
    fn sees_every_way_to_name_a_module() {
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
            knows("src/journal/mod.rs", source),
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
            knows("src/store/sqlite/reader.rs", "use super::super::super::{journal::Journal, api};"),
            ["journal:1", "api:1"]
        );
        assert_eq!(
            knows("src/main.rs", "use switchboard::app::App;\nuse switchboard::{demo, config};"),
            ["app:1", "demo:2", "config:2"]
        );
    }

    #[test]
    fn sees_nothing_in_comments_strings_tests_and_paths_of_its_own() {
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
        let file = File::read("src/journal/reader.rs", source);
        assert_eq!(file.knows, []);
        assert_eq!(file.tests, [["journal", "reader", "more"]]);
        assert!(file.libraries.iter().all(|named| named.word != "tonic"));
    }

    #[test]
    fn sees_code_behind_a_test() {
        let source = "#[cfg(test)] mod tests;\nuse crate::api;\n#[cfg(not(test))]\nuse crate::pb;";
        assert_eq!(knows("src/store/mod.rs", source), ["api:2", "pb:4"]);
    }

    #[test]
    fn sees_libraries_secrets_and_sql() {
        let source = "fn r() -> ::tonic_types::X {} use ::tonic::Status; use {axum::Router, hyper}; use rusqlite as sql;\n\
            fn f(_: &reqwest::Client) -> Result<::prost::Message, x::tonic_types::Y> { m!(tonic_health::Z) }\n\
            #[derive(prost_types::W)] struct S;";
        assert_eq!(
            libraries(source),
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
        assert_eq!(File::read("src/app.rs", source).opens_secrets.len(), 2);
        for sql in [
            "\"SELECT a FROM b\"",
            "r#\"\n  insert into x\"#",
            "\"PRAGMA user_version\"",
            "\"create table x\"",
        ] {
            assert!(is_sql(sql), "{sql}");
        }
        for text in
            ["\"select one\"", "\"update\"", "\"DELETE /v1.0/contacts\"", "\"create an account\"", "'x'"]
        {
            assert!(!is_sql(text), "{text}");
        }
    }
}
