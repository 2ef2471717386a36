//! Every RPC goes through the adapter in `src/api/service.rs`, which makes the `Call` that its handler gets.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::source::{Sources, is_ident, is_punct};

/// The only file that implements the generated service traits.
const ADAPTERS: &str = "src/api/service.rs";

/// What the adapter of an RPC does, and nothing else.
const ADAPTER: &str = "
    $(type $stream = $response;)?
    async fn $rpc(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
        $handler(self, Call::from(request)).await.map(Response::new)
    }
";

type Services = BTreeMap<String, BTreeSet<String>>;

#[test]
fn adapters_cover_the_rpcs_of_the_contract() {
    assert_eq!(adapted(&tokens(&read(ADAPTERS))), contract());
}

#[test]
fn no_handler_bypasses_the_adapter() {
    let services = contract();
    let sources = Sources::read();
    let files: Vec<_> = sources.files.iter().filter(|file| file.is_in(&["src/api/"])).collect();
    assert!(files.iter().any(|file| file.path == ADAPTERS), "{ADAPTERS} does not exist");
    let found: Vec<String> =
        files.iter().flat_map(|file| bypasses(&file.path, &read(&file.path), &services)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn handler_that_bypasses_the_adapter_is_found() {
    let services = contract();
    let found = |path, source: &str| bypasses(path, source, &services).len();
    let by_hand = "impl AccountService for Api { async fn get_account(&self) {} }";
    assert_eq!(found("src/api/account.rs", by_hand), 1);
    assert_eq!(found("src/api/account.rs", "use crate::api::served::v1::x as y;"), 1);
    assert_eq!(found("src/api/account.rs", "fn get(request: tonic::Request<X>) {}"), 1);
    assert_eq!(found("src/api/account.rs", "/// `AccountService`.\nfn get(api: &Api, call: Call<X>) {}"), 0);

    let adapters = read(ADAPTERS);
    assert_eq!(found(ADAPTERS, &adapters), 0);
    assert!(found(ADAPTERS, &format!("{adapters}\n{by_hand}")) > 0);
    let changed = adapters.replace(".await.map(", ".await.inspect(log).map(");
    assert_ne!(changed, adapters);
    assert_eq!(found(ADAPTERS, &changed), 1);
}

/// Describes each place in a source that handles an RPC in another way than by the adapter.
fn bypasses(path: &str, source: &str, services: &Services) -> Vec<String> {
    let tokens = tokens(source);
    let words = flat(&tokens);
    if path == ADAPTERS {
        let mut found = Vec::new();
        if !flat(&tokens).join(" ").contains(&flat(&self::tokens(ADAPTER)).join(" ")) {
            found.push(format!("{path}: the adapter must be only {ADAPTER}"));
        }
        if words.iter().filter(|word| *word == "impl").count() != 1 {
            found.push(format!("{path}: only `serve!` may implement a trait"));
        }
        return found;
    }
    let mut forbidden: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    if path != "src/api/mod.rs" {
        // `mod.rs` includes the generated code and registers the servers.
        forbidden.insert("served");
    }
    let mut found: Vec<String> = words
        .iter()
        .filter(|word| forbidden.contains(word.as_str()))
        .map(|word| format!("{path}: `{word}` may be named only in {ADAPTERS}"))
        .collect();
    let is_transport = path.starts_with("src/api/transport/") || path == "src/api/call.rs";
    if !is_transport && (names_request(&tokens) || words.join(" ").contains("Call : : from")) {
        found.push(format!("{path}: only {ADAPTERS} may make a call from the transport's request"));
    }
    found
}

/// Whether a source names `tonic::Request`, in an import or a path.
fn names_request(tokens: &[TokenTree]) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(ident) if ident == "tonic" => {
            let path = tokens[at + 1..].iter().take(3).cloned().collect::<Vec<_>>();
            let path = flat(&path);
            path.starts_with(&[":".to_owned(), ":".to_owned()]) && path.iter().any(|word| word == "Request")
        }
        TokenTree::Group(group) => names_request(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => false,
    })
}

/// The services that `serve!` implements, and their RPCs.
fn adapted(tokens: &[TokenTree]) -> Services {
    let mut services = Services::new();
    for at in 0..tokens.len() {
        if let Some([name, mark, TokenTree::Group(service)]) = tokens.get(at..at + 3)
            && is_ident(Some(name), "serve")
            && is_punct(mark, '!')
        {
            let service: Vec<TokenTree> = service.stream().into_iter().collect();
            let Some(TokenTree::Group(rpcs)) = service.last() else { panic!("serve! without RPCs") };
            let rpcs: Vec<TokenTree> = rpcs.stream().into_iter().collect();
            let rpcs = rpcs.split(|token| is_punct(token, ';')).filter_map(|rpc| rpc.first());
            services.insert(service[0].to_string(), rpcs.map(ToString::to_string).collect());
        }
    }
    services
}

/// The services of the contract, and the names that the generated traits give to their RPCs.
fn contract() -> Services {
    let set = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET)
        .expect("the build writes a valid descriptor set");
    let files = set.file.into_iter().filter(|file| file.package().starts_with("switchboard"));
    let services = files.flat_map(|file| file.service);
    services
        .map(|service| {
            let rpcs = service.method.iter().map(|method| snake_case(method.name())).collect();
            (service.name().to_owned(), rpcs)
        })
        .collect()
}

fn snake_case(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).expect("the source is readable")
}

fn tokens(source: &str) -> Vec<TokenTree> {
    source.parse::<TokenStream>().expect("the source can be tokenized").into_iter().collect()
}

/// All tokens in order, with those of groups, without delimiters.
fn flat(tokens: &[TokenTree]) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                words.extend(flat(&group.stream().into_iter().collect::<Vec<_>>()));
            }
            token => words.push(token.to_string()),
        }
    }
    words
}
