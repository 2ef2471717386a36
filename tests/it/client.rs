//! The Rust client: against the real server, and against servers that fail on purpose.

mod events;
mod examples;
mod scripted;

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use switchboard::client::Client;
use switchboard::pb::v1::{
    Contact, CreateContactRequest, GetMessageRequest, ListAccountsRequest, MediaHeader, SendMediaRequest,
    SendMessageRequest, UpdateContactRequest, get_message_request,
};
use tonic::{Code, Status};

use self::scripted::Scripted;
use crate::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Start, text, within};

#[tokio::test]
async fn a_read_is_tried_again_while_the_server_is_not_there_and_after_nothing_else() {
    let server = Scripted::start([Status::unavailable("starting"), Status::unavailable("starting")]).await;
    let client = server.client().await;
    within(client.call(ListAccountsRequest {})).await.expect("the third try is answered");
    assert_eq!(server.calls().len(), 3);

    for code in
        [Code::Internal, Code::Unknown, Code::Aborted, Code::ResourceExhausted, Code::DeadlineExceeded]
    {
        let server = Scripted::start([Status::new(code, "no")]).await;
        let failed = within(server.client().await.call(ListAccountsRequest {})).await.expect_err("once");
        assert_eq!((failed.code(), server.calls().len()), (code, 1));
    }
    let server = Scripted::start(std::iter::repeat_n(Status::unavailable("gone"), 9)).await;
    let failed = within(server.client().await.call(ListAccountsRequest {})).await.expect_err("four times");
    assert_eq!((failed.code(), server.calls().len()), (Code::Unavailable, 4));
}

#[tokio::test]
async fn a_write_is_tried_again_with_its_one_request_id_and_without_one_never() {
    let server = Scripted::start(std::iter::repeat_n(Status::unavailable("starting"), 2)).await;
    let client = server.client().await;
    within(client.call(text(CONNECTLY, "Hello!"))).await.expect("sent");
    let ids: Vec<String> = server
        .calls()
        .iter()
        .map(|(_, body)| SendMessageRequest::decode(body.clone()).expect("readable").request_id)
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    // Another call is another write, and an id that was given stays.
    within(client.call(text(CONNECTLY, "Hello!"))).await.expect("sent");
    let given = SendMessageRequest { request_id: "order-77".to_owned(), ..text(CONNECTLY, "Hello!") };
    within(client.call(given)).await.expect("sent");
    let id =
        |at: usize| SendMessageRequest::decode(server.calls()[at].1.clone()).expect("readable").request_id;
    assert_ne!(id(3), ids[0]);
    assert_eq!(id(4), "order-77");

    let server = Scripted::start([Status::unavailable("starting")]).await;
    let update = UpdateContactRequest { account: CONNECTBY.to_owned(), ..UpdateContactRequest::default() };
    let failed = within(server.client().await.call(update)).await.expect_err("once");
    assert_eq!((failed.code(), server.calls().len()), (Code::Unavailable, 1));
}

#[tokio::test]
async fn an_upload_is_tried_again_whole() {
    let server = Scripted::start([Status::unavailable("starting")]).await;
    let file = Bytes::from(vec![7; 2_500_000]);
    let header = MediaHeader { account: CONNECTBY.to_owned(), ..MediaHeader::default() };
    within(server.client().await.send_media(header, file.clone())).await.expect("sent");
    let calls = server.streams::<SendMediaRequest>();
    assert_eq!(calls.len(), 2);
    let ids: Vec<_> = calls
        .iter()
        .map(|messages| {
            assert!(messages[1..].iter().all(|message| message.header.is_none()));
            let whole: Vec<u8> = messages.iter().flat_map(|message| message.chunk.clone()).collect();
            assert!(whole == file, "the whole file");
            messages[0].header.as_ref().expect("the first").request_id.clone()
        })
        .collect();
    assert!(!ids[0].is_empty() && ids[0] == ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_failure_shows_what_the_gateway_says() {
    let gateway = Start::quiet().start().await;
    let client = Client::connect(format!("http://{}", gateway.at.grpc)).await.expect("connects");
    let failed = within(client.call(SendMessageRequest { to: "nobody".to_owned(), ..text(CONNECTLY, "") }))
        .await
        .expect_err("faulty");
    assert_eq!((failed.code(), failed.reason()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(failed.domain(), "switchboard");
    let fields: Vec<_> = failed.violations().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["to", "text.body"]);
    assert_eq!(failed.violations()[1].reason, "REQUIRED");
    assert!(failed.status().is_some());
    assert!(failed.to_string().contains("REQUEST_INVALID") && failed.to_string().contains("text.body"));

    let key = Some(get_message_request::Key::RequestId("none".to_owned()));
    let none = GetMessageRequest { account: CONNECTLY.to_owned(), key };
    let failed = within(client.call(none)).await.expect_err("none");
    assert_eq!(failed.reason(), "MESSAGE_NOT_FOUND");
    assert_eq!(failed.metadata()["account"], CONNECTLY);

    let told = switchboard::pb::v1::Error {
        reason: "ACCOUNT_BUSY".to_owned(),
        code: Code::ResourceExhausted.into(),
        retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
        ..Default::default()
    };
    let told = switchboard::client::Error::from(told);
    assert_eq!((told.code(), told.reason()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    assert_eq!(told.retry_delay(), Some(Duration::from_millis(1_500)));
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over() {
    let server = Scripted::silent().await;
    let client = Client::builder(server.address()).timeout(Duration::from_millis(200)).connect().await;
    let failed = within(client.expect("connects").call(ListAccountsRequest {})).await.expect_err("late");
    assert_eq!(failed.code(), Code::DeadlineExceeded);

    // Waiting for the next try counts too.
    let server = Scripted::start(std::iter::repeat_n(Status::unavailable("gone"), 99)).await;
    let client = Client::builder(server.address()).timeout(Duration::from_millis(250)).attempts(50).connect();
    let failed =
        within(client.await.expect("connects").call(ListAccountsRequest {})).await.expect_err("late");
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(server.calls().len() < 5);
}

#[tokio::test]
async fn a_token_goes_with_every_call_over_tls() {
    let server = Scripted::over_tls().await;
    let connect = |token: Option<&str>, tls| {
        let mut builder = Client::builder(server.address()).tls(tls).attempts(1);
        if let Some(token) = token {
            builder = builder.token(token);
        }
        builder.connect()
    };
    let client = connect(Some("t0ken"), server.trusting()).await.expect("connects");
    within(client.call(ListAccountsRequest {})).await.expect("answered");
    within(client.call(text(CONNECTLY, "Hello!"))).await.expect("answered");
    assert_eq!(server.tokens(), ["Bearer t0ken", "Bearer t0ken"]);
    within(connect(None, server.trusting()).await.expect("connects").call(ListAccountsRequest {}))
        .await
        .expect("answered");
    assert_eq!(server.tokens().len(), 2);
    // Whoever does not know the authority does not talk to the server.
    let stranger = connect(Some("t0ken"), tonic::transport::ClientTlsConfig::new()).await;
    assert_eq!(stranger.expect_err("not trusted").code(), Code::Unavailable);
    assert_eq!(server.tokens().len(), 2);
}

#[tokio::test]
async fn one_client_calls_every_service_of_the_gateway() {
    let gateway = Start::quiet().start().await;
    let client = Client::connect(format!("http://{}", gateway.at.grpc)).await.expect("connects");
    let listed = within(client.call(ListAccountsRequest {})).await.expect("answered");
    assert_eq!(listed.accounts.len(), 2);
    let sent = within(client.call(text(CONNECTLY, "Hello!"))).await.expect("sent");
    assert!(!sent.replayed);
    let contact = Contact {
        name: "Ada".to_owned(),
        country_code: "91".to_owned(),
        phone_number: "9812345670".to_owned(),
        ..Contact::default()
    };
    let create = CreateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: Some(contact),
        ..CreateContactRequest::default()
    };
    within(client.call(create)).await.expect("made");
    let header = MediaHeader {
        account: CONNECTBY.to_owned(),
        to: CUSTOMER.to_owned(),
        file_name: "a.txt".to_owned(),
        ..MediaHeader::default()
    };
    within(client.send_media(header, Bytes::from_static(b"Hello!\n"))).await.expect("sent");
    // What it does not wrap, the generated clients do.
    let key = Some(get_message_request::Key::MessageId(sent.message.expect("sent").message_id));
    let request = GetMessageRequest { account: CONNECTLY.to_owned(), key };
    within(client.messages().get_message(request)).await.expect("known");
}

/// The client's table of calls against the contract: what has one answer and is no upload can be called.
#[test]
fn every_call_with_one_answer_is_in_the_clients_table() {
    use prost_types::FileDescriptorSet;
    let table = include_str!("../../src/client/call.rs");
    let files = FileDescriptorSet::decode(switchboard::pb::FILE_DESCRIPTOR_SET).expect("readable");
    let mut unary = 0;
    for service in
        files.file.iter().filter(|file| file.package() == "switchboard.v1").flat_map(|file| &file.service)
    {
        for method in &service.method {
            if method.client_streaming() || method.server_streaming() {
                continue;
            }
            unary += 1;
            let entry = format!("({}Request) -> {}Response ", method.name(), method.name());
            assert!(table.contains(&entry), "{}.{} is not in the table", service.name(), method.name());
            let reads = ["Get", "List", "Verify"].iter().any(|word| method.name().starts_with(word));
            let kind = if reads { "read;" } else { "" };
            assert!(table.contains(&format!("{entry}{kind}")), "{} reads or not", method.name());
        }
    }
    assert_eq!(table.lines().filter(|line| line.contains("Request) -> ")).count(), unary);
}
