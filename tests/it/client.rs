//! The Rust client against the real server. Its own tests, in `clients/rust`, use a server that fails on purpose.

mod events;
mod examples;
#[expect(dead_code, reason = "only the crate's own tests cut connections")]
#[path = "../../clients/rust/tests/client/proxy.rs"]
mod proxy;
mod services;

use std::time::Duration;

use prost::Message as _;
use switchboard_client::v1::{
    self, Event, GetMessageRequest, SendMessageRequest, Text, get_message_request, send_message_request,
};
use switchboard_client::{Client, Error, Reason, parse_reason};
use tonic::Code;

use crate::support::gateway::{CONNECTLY, CUSTOMER, Gateway, Start, within};

async fn connect(gateway: &Gateway) -> Client {
    Client::connect(gateway.at.grpc.to_string()).await.expect("connects")
}

/// The request of a text message.
fn text(account: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest {
        account: account.to_owned(),
        to: CUSTOMER.to_owned(),
        content: Some(send_message_request::Content::Text(Text { body: body.to_owned() })),
        ..SendMessageRequest::default()
    }
}

/// An event as the server's own generated code has it.
fn of_server(event: &Event) -> switchboard::pb::v1::Event {
    switchboard::pb::v1::Event::decode(&*event.encode_to_vec()).expect("decodes")
}

/// The text of a received message.
fn text_of(event: &Event) -> String {
    crate::support::gateway::text_of(&of_server(event)).to_owned()
}

#[tokio::test]
async fn failure_contains_details_of_server() {
    let gateway = Start::quiet().start().await;
    let client = connect(&gateway).await;
    let failed = within(client.call(SendMessageRequest { to: "nobody".to_owned(), ..text(CONNECTLY, "") }))
        .await
        .expect_err("the request is not valid");
    assert_eq!((failed.code(), failed.reason()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(parse_reason(failed.reason()), Reason::RequestInvalid);
    assert_eq!(failed.domain(), "switchboard");
    let fields: Vec<_> = failed.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["to", "text.body"]);
    assert_eq!(failed.violations()[1].reason, "REQUIRED");
    assert!(failed.status().is_some());
    assert!(failed.to_string().contains("REQUEST_INVALID") && failed.to_string().contains("text.body"));

    let key = Some(get_message_request::Key::RequestId("none".to_owned()));
    let none = GetMessageRequest { account: CONNECTLY.to_owned(), key };
    let failed = within(client.call(none)).await.expect_err("no such message");
    assert_eq!(failed.reason(), "MESSAGE_NOT_FOUND");
    assert_eq!(failed.metadata()["account"], CONNECTLY);

    let failure = v1::Failure {
        reason: "ACCOUNT_BUSY".to_owned(),
        code: Code::ResourceExhausted.into(),
        retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
        ..Default::default()
    };
    let error = Error::from(failure);
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    assert_eq!(error.retry_delay(), Some(Duration::from_millis(1_500)));
}

#[test]
fn client_has_every_unary_call_of_contract() {
    use prost_types::FileDescriptorSet;
    let table = include_str!("../../clients/rust/src/call.rs");
    let files = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET).expect("decodes");
    let mut unary = 0;
    for service in
        files.file.iter().filter(|file| file.package() == "switchboard.v1").flat_map(|file| &file.service)
    {
        for method in &service.method {
            if method.client_streaming() || method.server_streaming() {
                continue;
            }
            unary += 1;
            let request = format!("{}Request", method.name());
            let mut messages = files.file.iter().flat_map(|file| &file.message_type);
            let message = messages.find(|message| message.name() == request).expect("in the contract");
            // A `request_id` in a oneof is a lookup key, not an idempotency key.
            let has_id =
                message.field.iter().any(|field| field.name() == "request_id" && field.oneof_index.is_none());
            let reads = ["Get", "List", "Verify"].iter().any(|word| method.name().starts_with(word));
            let kind = match (reads, has_id) {
                (true, false) => "read",
                (false, true) => "keyed",
                (false, false) => "write",
                (true, true) => panic!("{request} is a read with a request_id"),
            };
            let entry = format!("({request}) -> {}Response {kind};", method.name());
            assert!(
                table.contains(&entry),
                "missing in clients/rust/src/call.rs: {}.{entry}",
                service.name()
            );
        }
    }
    assert_eq!(table.lines().filter(|line| line.contains("Request) -> ")).count(), unary);
}
