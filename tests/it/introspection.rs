//! What tools read: accounts, health, admin pages, reflection.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::{GetAccountRequest, ListAccountsRequest, ListContactsRequest, Provider};
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, assert_malformed_page_token, assert_page_size_out_of_range,
    read_in_pages, within,
};

#[tokio::test]
async fn accounts_report_their_capabilities() {
    let gateway = Start::quiet().start().await;
    let listed = gateway
        .accounts()
        .list_accounts(ListAccountsRequest::default())
        .await
        .expect("listed")
        .into_inner()
        .accounts;
    let ids: Vec<&str> = listed.iter().map(|account| account.account.as_str()).collect();
    assert_eq!(ids, [CONNECTBY, CONNECTLY]);
    for account in &listed {
        let request = GetAccountRequest { account: account.account.clone() };
        let got = gateway.accounts().get_account(request).await.expect("present").into_inner().account;
        assert_eq!(got.as_ref(), Some(account));
    }
    let capabilities = |at: usize| listed[at].capabilities.clone().expect("present");
    assert_eq!((listed[0].provider(), listed[1].provider()), (Provider::Connectby, Provider::Connectly));
    assert_eq!(capabilities(0).contents, ["text", "template"]);
    assert_eq!(capabilities(1).contents, ["text", "template", "media", "location"]);
    assert!(
        !capabilities(0).reports_statuses
            && !capabilities(0).receives_messages
            && !capabilities(0).chooses_sender
    );
    for at in 0..2 {
        for rpc in [
            "MessageService.SendMessage",
            "MessageService.SendMessages",
            "MessageService.GetMessage",
            "MessageService.ListMessages",
            "MessageService.WatchMessage",
            "ConversationService.GetConversation",
        ] {
            assert!(capabilities(at).rpcs.contains(&rpc.to_owned()), "{rpc}");
        }
    }
    let rpcs: BTreeSet<_> = (0..2).flat_map(|at| capabilities(at).rpcs).collect();
    assert_eq!(rpcs, rpcs_of_an_account());
    assert!(
        capabilities(1).reports_statuses
            && capabilities(1).receives_messages
            && capabilities(1).chooses_sender
    );
}

/// The RPCs of the contract whose request names an account, without those that work with every account.
fn rpcs_of_an_account() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET).expect("a set").file;
    let files: Vec<_> = files.into_iter().filter(|file| file.package() == "switchboard.v1").collect();
    let fields_of = |message: &str| {
        let name = message.rsplit('.').next().expect("never empty");
        let messages = files.iter().flat_map(|file| &file.message_type);
        messages
            .filter(|message| message.name() == name)
            .flat_map(|message| &message.field)
            .collect::<Vec<_>>()
    };
    // An upload names the account in its header, and a stream of sends in each send.
    let names_account = |message: &str| {
        fields_of(message).iter().any(|field| {
            field.name() == "account"
                || (["header", "request"].contains(&field.name())
                    && fields_of(field.type_name()).iter().any(|inner| inner.name() == "account"))
        })
    };
    let services = files.iter().flat_map(|file| &file.service);
    let rpcs = services.flat_map(|service| service.method.iter().map(move |method| (service, method)));
    rpcs.filter(|(_, method)| names_account(method.input_type()))
        .map(|(service, method)| format!("{}.{}", service.name(), method.name()))
        .filter(|rpc| {
            !["AccountService.GetAccount", "WebhookRegistrationService.VerifyWebhookSignature"]
                .contains(&rpc.as_str())
        })
        .collect()
}

#[tokio::test]
async fn accounts_are_the_same_for_each_page_size() {
    let gateway = Start::quiet().start().await;
    let page = async |page_size, page_token| {
        let request = ListAccountsRequest { page_size, page_token };
        within(gateway.accounts().list_accounts(request)).await.map(tonic::Response::into_inner)
    };
    for page_size in [1, 2, 1_000] {
        let accounts = read_in_pages(page_size, async |token| {
            let page = page(page_size, token).await.expect("listed");
            (page.accounts, page.next_page_token)
        });
        let ids: Vec<String> = accounts.await.into_iter().map(|account| account.account).collect();
        assert_eq!(ids, [CONNECTBY, CONNECTLY], "{page_size}");
    }
    assert_page_size_out_of_range(&page(1_001, String::new()).await.expect_err("too large"));

    let request = ListContactsRequest { account: CONNECTBY.to_owned(), ..Default::default() };
    let client = &mut ContactServiceClient::new(gateway.channel.clone());
    let contacts = within(client.list_contacts(request)).await.expect("listed").into_inner();
    let error = page(1, contacts.next_page_token).await.expect_err("the token of another list");
    assert_malformed_page_token(&error);
}

async fn health(gateway: &Gateway, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = within(HealthClient::new(gateway.channel.clone()).check(request)).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

const SERVICES: [&str; 9] = [
    "switchboard.v1.AccountService",
    "switchboard.v1.MessageService",
    "switchboard.v1.EventService",
    "switchboard.v1.ContactService",
    "switchboard.v1.FlowService",
    "switchboard.v1.TemplateService",
    "switchboard.v1.SubscriptionService",
    "switchboard.v1.ConversationService",
    "switchboard.v1.WebhookRegistrationService",
];

#[tokio::test]
async fn health_is_reported_per_service_and_watchers_see_shutdown() {
    let gateway = Start::quiet().start().await;
    for service in SERVICES.into_iter().chain([""]) {
        assert_eq!(health(&gateway, service).await, Ok(ServingStatus::Serving), "{service}");
    }
    assert_eq!(health(&gateway, "no.such.Service").await, Err(Code::NotFound));
    let request = HealthCheckRequest { service: SERVICES[2].to_owned() };
    let mut watch =
        HealthClient::new(gateway.channel.clone()).watch(request).await.expect("watching").into_inner();
    let mut seen = async || within(watch.next()).await.map(|answer| answer.map(|answer| answer.status()));
    assert!(matches!(seen().await, Some(Ok(ServingStatus::Serving))));
    gateway.begin_shutdown();
    assert!(matches!(seen().await, Some(Ok(ServingStatus::NotServing))));
}

#[tokio::test]
async fn admin_pages_answer() {
    let gateway = Start::quiet().start().await;
    for (page, word) in [("livez", "alive"), ("readyz", "ready"), ("metrics", "switchboard_store_writable")] {
        let answer = reqwest::get(format!("http://{}/{page}", gateway.at.admin)).await.expect("answers");
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.expect("a page").contains(word), "{page}");
    }
}

/// Queries one version of reflection for all services, and for the files of each symbol.
macro_rules! reflect {
    ($gateway:expr, $version:ident, $symbols:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

        let ask = async |request: MessageRequest| {
            let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
            let mut client = ServerReflectionClient::new($gateway.channel.clone());
            let answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("answers");
            let answer = within(answers.into_inner().next()).await.expect("an answer").expect("no fault");
            answer.message_response.expect("never empty")
        };
        let services: BTreeSet<String> = match ask(MessageRequest::ListServices(String::new())).await {
            MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
            other => panic!("{other:?}"),
        };
        let mut files = Vec::new();
        for symbol in $symbols {
            match ask(MessageRequest::FileContainingSymbol(symbol.to_string())).await {
                MessageResponse::FileDescriptorResponse(found) => {
                    for file in found.file_descriptor_proto {
                        files.push(FileDescriptorProto::decode(file.as_slice()).expect("a descriptor"));
                    }
                }
                other => panic!("{symbol}: {other:?}"),
            }
        }
        (services, files)
    }};
}

const SYMBOLS: [&str; 13] = [
    "switchboard.v1.ContactService",
    "switchboard.v1.FlowService",
    "switchboard.v1.AccountService",
    "switchboard.v1.MessageService",
    "switchboard.v1.EventService",
    "switchboard.v1.TemplateService",
    "switchboard.v1.SubscriptionService",
    "switchboard.v1.ConversationService",
    "switchboard.v1.WebhookRegistrationService",
    "switchboard.sandbox.v1.SandboxService",
    "grpc.health.v1.Health",
    "google.rpc.ErrorInfo",
    "google.rpc.Status",
];

fn check(services: &BTreeSet<String>, files: &[FileDescriptorProto], version: &str) {
    let expected: BTreeSet<String> = SYMBOLS[..11]
        .iter()
        .map(|name| (*name).to_owned())
        .chain([format!("grpc.reflection.{version}.ServerReflection")])
        .collect();
    assert_eq!(*services, expected);
    let details: Vec<&str> = files.iter().filter(|f| f.package() == "google.rpc").map(|f| f.name()).collect();
    assert_eq!(details, ["google/rpc/error_details.proto", "google/rpc/status.proto"]);
    // Reflection returns every comment of the source.
    let source = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET).expect("a set");
    let comments = |file: &FileDescriptorProto| {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        locations.filter(|at| at.leading_comments.is_some()).count()
    };
    for file in files.iter().filter(|file| file.package().starts_with("switchboard")) {
        let original = source.file.iter().find(|known| known.name() == file.name()).expect("ours");
        assert!(comments(file) > 5, "{}", file.name());
        assert_eq!(comments(file), comments(original), "{}", file.name());
    }
}

#[tokio::test]
async fn reflection_v1_lists_services_with_comments() {
    let gateway = Start::quiet().start().await;
    let (services, files) = reflect!(gateway, v1, SYMBOLS);
    check(&services, &files, "v1");
}

#[tokio::test]
async fn reflection_v1alpha_lists_services_with_comments() {
    let gateway = Start::quiet().start().await;
    let (services, files) = reflect!(gateway, v1alpha, SYMBOLS);
    check(&services, &files, "v1alpha");
}

/// The owner of a web page can point a host name at this machine, and the page's scripts could read the answers.
#[tokio::test]
async fn admin_pages_are_forbidden_for_a_foreign_host_name() {
    let gateway = Start::quiet().start().await;
    let client = reqwest::Client::new();
    let status = async |host: &str| {
        let request = client.get(format!("http://{}/metrics", gateway.at.admin)).header("host", host);
        within(request.send()).await.expect("answers").status().as_u16()
    };
    for host in ["127.0.0.1:9090", "localhost", "LOCALHOST:9090", "[::1]:9090", "10.0.0.7"] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    for host in ["rebound.example", "127.0.0.1.rebound.example:9090", "localhost.rebound.example", "a b"] {
        assert_eq!(status(host).await, 403, "{host}");
    }
}
