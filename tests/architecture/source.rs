//! Reads sources as tokens and collects what they reference: imported modules, libraries, exposed secrets and SQL.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The names of the providers, in lower case.
const PROVIDERS: [&str; 2] = ["connectby", "connectly"];

/// All sources under `src/`, without files that are compiled only for tests.
pub(crate) struct Sources {
    pub(crate) files: Vec<SourceFile>,
}

/// One source file and what it references.
#[derive(Debug, Default)]
pub(crate) struct SourceFile {
    /// Path from the project root, with `/`.
    pub(crate) path: String,
    /// Module path: `["store", "sqlite"]`. Empty for `lib.rs`, `["main"]` for the program.
    module: Vec<String>,
    /// Imported top-level modules.
    pub(crate) imports: Vec<Reference>,
    /// First path segments that are not modules of this crate: libraries, or imported names.
    pub(crate) libraries: Vec<Reference>,
    pub(crate) exposed_secrets: Vec<Reference>,
    pub(crate) sql: Vec<Reference>,
    /// Identifiers that contain the name of a provider.
    pub(crate) providers: Vec<Reference>,
    /// Paths of submodules that are compiled only for tests, such as `["store", "sqlite", "tests"]`.
    test_modules: Vec<Vec<String>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    line: usize,
}

impl Sources {
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        find_sources(&root.join("src"), &mut paths);
        paths.sort();
        let mut files: Vec<SourceFile> = paths
            .iter()
            .map(|path| {
                let source = fs::read_to_string(path).expect("the source is readable UTF-8");
                let relative = path.strip_prefix(root).expect("the path is in the project");
                let segments: Vec<_> = relative.iter().map(|segment| segment.to_string_lossy()).collect();
                SourceFile::read(&segments.join("/"), &source)
            })
            .collect();
        let tests: Vec<Vec<String>> = files.iter().flat_map(|file| file.test_modules.clone()).collect();
        files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
        assert!(files.len() > 50, "found only {} sources", files.len());
        Self { files }
    }

    /// The locations in which `uses` holds for no file.
    pub(crate) fn unused<'a>(
        &self,
        locations: &'a [&'a str],
        uses: impl Fn(&SourceFile) -> bool,
    ) -> Vec<&'a str> {
        let is_used = |location: &str| self.files.iter().any(|file| file.is_in(&[location]) && uses(file));
        locations.iter().copied().filter(|location| !is_used(location)).collect()
    }

    /// Describes each reference of a kind outside `locations`.
    pub(crate) fn outside(
        &self,
        locations: &[&str],
        references: impl Fn(&SourceFile) -> &[Reference],
        describe: impl Fn(String, &Reference) -> String,
    ) -> Vec<String> {
        let files = self.files.iter().filter(|file| !file.is_in(locations));
        files
            .flat_map(|file| references(file).iter().map(|found| describe(file.location(found), found)))
            .collect()
    }
}

fn find_sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            find_sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

impl SourceFile {
    fn read(path: &str, source: &str) -> Self {
        let module_path = path
            .strip_prefix("src/")
            .and_then(|path| path.strip_suffix(".rs"))
            .expect("the path has the form src/….rs");
        let mut module: Vec<String> = module_path.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        let tokens: TokenStream =
            source.parse().unwrap_or_else(|error| panic!("{path} cannot be tokenized: {error}"));
        let mut file = Self { path: path.to_owned(), module: module.clone(), ..Self::default() };
        file.scan(&tokens.into_iter().collect::<Vec<_>>(), &module);
        file
    }

    /// The top-level module of the file; `lib` for the crate root.
    pub(crate) fn top_module(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// Whether the file imports a top-level module.
    pub(crate) fn imports_module(&self, module: &str) -> bool {
        self.imports.iter().any(|import| import.name == module)
    }

    /// Whether the file is one of `locations`, or in a folder among them.
    pub(crate) fn is_in(&self, locations: &[&str]) -> bool {
        locations.iter().any(|location| {
            self.path == *location || (location.ends_with('/') && self.path.starts_with(location))
        })
    }

    /// `path:line` of a reference in this file.
    pub(crate) fn location(&self, reference: &Reference) -> String {
        format!("{}:{}", self.path, reference.line)
    }

    /// Collects the references in `tokens`. `module` is their module path, including inline modules.
    fn scan(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            if is_attribute(tokens, at) {
                let attribute = &tokens[at + 1];
                at += 2;
                if is_test_only(attribute) {
                    at = self.skip_item(tokens, at, module);
                } else if !is_doc(attribute) {
                    self.scan_group(attribute, module);
                }
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(_))) =
                        (tokens.get(at + 1), tokens.get(at + 2))
                    {
                        let nested: Vec<String> = module.iter().cloned().chain([name.to_string()]).collect();
                        self.scan_group(&tokens[at + 2], &nested);
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = tokens[at..]
                        .iter()
                        .position(|token| is_punct(token, ';'))
                        .map_or(tokens.len(), |length| at + length);
                    self.scan_use(&tokens[at + 1..end], module);
                    self.scan_idents(&tokens[at + 1..end]);
                    at = end;
                    continue;
                }
                TokenTree::Ident(_) => {
                    if !follows_path_separator(tokens, at) {
                        at = self.scan_path(tokens, at, module);
                        continue;
                    }
                    self.record_ident(&tokens[at]);
                }
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if is_sql(&text) {
                        self.sql.push(Reference { name: text, line: literal.span().start().line });
                    }
                }
                group @ TokenTree::Group(_) => self.scan_group(group, module),
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    fn scan_group(&mut self, group: &TokenTree, module: &[String]) {
        if let TokenTree::Group(group) = group {
            self.scan(&group.stream().into_iter().collect::<Vec<_>>(), module);
        }
    }

    /// Records an identifier that exposes a secret or names a provider, in any position.
    fn record_ident(&mut self, token: &TokenTree) {
        let TokenTree::Ident(ident) = token else { return };
        let name = ident.to_string();
        if name == "ExposeSecret" || name == "expose_secret" {
            self.exposed_secrets.push(reference(token));
        }
        if PROVIDERS.iter().any(|provider| name.to_ascii_lowercase().contains(provider)) {
            self.providers.push(reference(token));
        }
    }

    fn scan_idents(&mut self, tokens: &[TokenTree]) {
        for token in tokens {
            self.record_ident(token);
            if let TokenTree::Group(group) = token {
                self.scan_idents(&group.stream().into_iter().collect::<Vec<_>>());
            }
        }
    }

    /// Reads a path outside of `use`: `crate::store::Health`, `super::super::x`, `reqwest::Client`. Returns the index
    /// after the part that it read.
    fn scan_path(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        self.record_ident(&tokens[at]);
        if !is_path_separator(tokens, at + 1) {
            return at + 1;
        }
        self.record_path_start(tokens, at, module)
    }

    /// Records the module or library that a path of several segments starts with.
    fn record_path_start(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let word = tokens[at].to_string();
        let mut next = at + 3;
        match word.as_str() {
            // The program is a separate crate that uses the library crate.
            "crate" if self.path == "src/main.rs" => {}
            "switchboard" if self.path == "src/main.rs" => self.record_modules(tokens, next),
            "crate" => self.record_modules(tokens, next),
            "self" | "super" => {
                let mut depth = module.len() - usize::from(word == "super");
                while is_ident(tokens.get(next), "super") {
                    depth -= 1;
                    if !is_path_separator(tokens, next + 1) {
                        return next + 1;
                    }
                    next += 3;
                }
                if depth == 0 {
                    self.record_modules(tokens, next);
                }
            }
            _ => self.libraries.push(reference(&tokens[at])),
        }
        next
    }

    /// Records the modules after `crate::`: one, or several in braces.
    fn record_modules(&mut self, tokens: &[TokenTree], at: usize) {
        match tokens.get(at) {
            Some(token @ TokenTree::Ident(_)) => self.imports.push(reference(token)),
            Some(TokenTree::Group(group)) => {
                for branch in split_at_commas(&group.stream().into_iter().collect::<Vec<_>>()) {
                    self.record_modules(&branch, 0);
                }
            }
            // `crate::*` may import every module.
            Some(token) => self.imports.push(Reference { name: "*".to_owned(), ..reference(token) }),
            None => {}
        }
    }

    /// Reads the tokens after `use`.
    fn scan_use(&mut self, tokens: &[TokenTree], module: &[String]) {
        let start = if is_path_separator(tokens, 0) { 2 } else { 0 };
        match tokens.get(start) {
            Some(TokenTree::Group(group)) => {
                for branch in split_at_commas(&group.stream().into_iter().collect::<Vec<_>>()) {
                    self.scan_use(&branch, module);
                }
            }
            Some(TokenTree::Ident(_)) if is_path_separator(tokens, start + 1) => {
                self.record_path_start(tokens, start, module);
            }
            // `use reqwest;` or `use reqwest as http;`.
            Some(token @ TokenTree::Ident(_)) => self.libraries.push(reference(token)),
            _ => {}
        }
    }

    /// Skips an item that is compiled only for tests, and records it if it is a module in its own file. Returns the
    /// index after the item.
    fn skip_item(&mut self, tokens: &[TokenTree], mut at: usize, module: &[String]) -> usize {
        while is_attribute(tokens, at) {
            at += 2;
        }
        // These items end with a semicolon and may contain braces. All others end with a semicolon or a closing brace.
        let statement =
            ["use", "static", "type", "let", "extern"].iter().any(|word| is_ident(tokens.get(at), word))
                || (is_ident(tokens.get(at), "const") && !is_ident(tokens.get(at + 1), "fn"));
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let (Some(name), Some(end)) = (tokens.get(at), tokens.get(at + 1))
                        && is_punct(end, ';')
                    {
                        self.test_modules.push(module.iter().cloned().chain([name.to_string()]).collect());
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

fn reference(token: &TokenTree) -> Reference {
    Reference { name: token.to_string(), line: token.span().start().line }
}

pub(crate) fn is_punct(token: &TokenTree, expected: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == expected)
}

pub(crate) fn is_ident(token: Option<&TokenTree>, expected: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == expected)
}

/// Whether `::` is at this index.
fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([first, second]) if is_punct(first, ':') && is_punct(second, ':'))
}

/// Whether an identifier is a later segment of a path. In a path that starts with `::`, the first segment is a library.
fn follows_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    at >= 3
        && is_path_separator(tokens, at - 2)
        && match &tokens[at - 3] {
            TokenTree::Ident(ident) => ident != "in" && ident != "return" && ident != "as",
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
    matches!(attribute, TokenTree::Group(group) if is_ident(group.stream().into_iter().next().as_ref(), "doc"))
}

/// Whether an attribute is `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_test_only(attribute: &TokenTree) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}

/// Splits tokens at commas.
fn split_at_commas(tokens: &[TokenTree]) -> Vec<Vec<TokenTree>> {
    tokens
        .split(|token| is_punct(token, ','))
        .filter(|branch| !branch.is_empty())
        .map(<[TokenTree]>::to_vec)
        .collect()
}

/// Whether a string literal is an SQL statement.
fn is_sql(literal: &str) -> bool {
    let text =
        literal.trim_start_matches(|c: char| c.is_whitespace() || "rb#\"\\".contains(c)).to_ascii_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let followed_by = |later: &[&str]| words.iter().skip(1).any(|word| later.contains(word));
    match words.first() {
        Some(&"select" | &"delete") => followed_by(&["from"]),
        Some(&"insert") => followed_by(&["into"]),
        Some(&"update") => followed_by(&["set"]),
        Some(&"create" | &"drop" | &"alter") => followed_by(&["table", "index", "view", "trigger"]),
        Some(&"pragma") => words.len() > 1,
        _ => false,
    }
}

mod tests;
