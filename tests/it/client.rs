//! The Rust client: against the real server, and against servers that fail on purpose.

#[path = "../../clients/rust/tests/client/event_stream.rs"]
mod broken;
mod events;
mod examples;
#[path = "../../clients/rust/tests/client/proxy.rs"]
mod proxy;
#[path = "../../clients/rust/tests/client/scripted.rs"]
mod scripted;
mod services;
#[path = "../../clients/rust/tests/client/tls.rs"]
mod tls;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use switchboard::client::Client;
use switchboard::pb::v1::{
    GetMessageRequest, ListAccountsRequest, MediaHeader, SendMediaRequest, SendMessageRequest,
    UpdateContactRequest, UploadTemplateMediaHeader, UploadTemplateMediaRequest, get_message_request,
};
use tokio::net::TcpSocket;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use self::scripted::{Act, Scripted};
use crate::gateway::{CONNECTBY, CONNECTLY, Start, text, within};

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
    let server = Scripted::start([Act::Hang]).await;
    let client = Client::builder(server.address()).timeout(Duration::from_secs(2)).connect().await;
    let failed = within(client.expect("connects").call(ListAccountsRequest {})).await.expect_err("late");
    assert_eq!(failed.code(), Code::DeadlineExceeded);
    // The gateway was told, and has stopped.
    assert_eq!(server.headers("grpc-timeout").len(), 1);
    server.given_up(1).await;

    // The generated clients have a clock of the transport's.
    let server = Scripted::start([Act::Hang]).await;
    let mut request = tonic::Request::new(ListAccountsRequest {});
    request.set_timeout(Duration::from_millis(200));
    let status = within(server.client().await.accounts().list_accounts(request)).await.expect_err("late");
    assert_eq!(switchboard::client::Error::from(status).code(), Code::DeadlineExceeded);

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
async fn a_call_that_nobody_waits_for_any_more_is_cancelled() {
    let server = Scripted::start([Act::Hang]).await;
    let client = server.client().await;
    tokio::select! {
        answer = client.call(text(CONNECTLY, "Hello!")) => panic!("nobody answers: {answer:?}"),
        () = server.called(1) => {}
    }
    server.given_up(1).await;
    // The connection stays.
    within(client.call(ListAccountsRequest {})).await.expect("answered");
    assert_eq!(server.proxy().opened(), 1);
}

#[tokio::test]
async fn a_call_whose_connection_breaks_is_unavailable_and_tried_again_where_that_is_safe() {
    let server = Scripted::start([Act::Cut, Act::Cut]).await;
    let client = server.client().await;
    within(client.call(ListAccountsRequest {})).await.expect("the third try is answered");
    assert_eq!((server.calls().len(), server.proxy().opened()), (3, 3));

    let server = Scripted::start([Act::Cut]).await;
    within(server.client().await.call(text(CONNECTLY, "Hello!"))).await.expect("the second is answered");
    let ids = server.calls().into_iter().map(|(_, body)| SendMessageRequest::decode(body).expect("readable"));
    let ids: HashSet<String> = ids.map(|request| request.request_id).collect();
    assert_eq!((server.calls().len(), ids.len()), (2, 1));

    let server = Scripted::start([Act::Cut]).await;
    let file = Bytes::from(vec![7; 2_500_000]);
    let header = MediaHeader { account: CONNECTBY.to_owned(), ..MediaHeader::default() };
    within(server.client().await.send_media(header, file)).await.expect("the second is answered");
    assert_eq!(server.calls().len(), 2);

    let server = Scripted::start([Act::Cut]).await;
    let update = UpdateContactRequest { account: CONNECTBY.to_owned(), ..UpdateContactRequest::default() };
    let failed = within(server.client().await.call(update)).await.expect_err("once");
    assert_eq!((failed.code(), failed.reason(), server.calls().len()), (Code::Unavailable, "", 1));
    assert!(std::error::Error::source(&failed).is_some());
}

#[tokio::test]
async fn the_gateways_delay_is_waited_for_unless_it_is_long() {
    let after = |delay| {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::Unavailable, "later", details)
    };
    let delay = Duration::from_millis(1_200);
    let server = Scripted::start([after(delay)]).await;
    let before = Instant::now();
    within(server.client().await.call(ListAccountsRequest {})).await.expect("the second is answered");
    assert!(before.elapsed() >= delay, "{:?}", before.elapsed());

    let delay = Duration::from_secs(31);
    let server = Scripted::start([after(delay)]).await;
    let failed = within(server.client().await.call(ListAccountsRequest {})).await.expect_err("at once");
    assert_eq!((failed.retry_delay(), server.calls().len()), (Some(delay), 1));
}

#[tokio::test]
async fn a_failure_tells_the_request_id_that_was_made_up() {
    let failing = || Scripted::start([Status::internal("no")]);
    let server = failing().await;
    let failed = within(server.client().await.call(text(CONNECTLY, "Hello!"))).await.expect_err("once");
    let sent = SendMessageRequest::decode(server.calls()[0].1.clone()).expect("readable");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let server = failing().await;
    let upload = server.client().await;
    let failed = within(upload.send_media(MediaHeader::default(), &b"Hello!"[..])).await.expect_err("once");
    let sent = server.streams::<SendMediaRequest>()[0][0].header.clone().expect("the first");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let server = failing().await;
    let upload = server.client().await;
    let header = UploadTemplateMediaHeader::default();
    let failed = within(upload.upload_template_media(header, &b"Hello!"[..])).await.expect_err("once");
    let sent = server.streams::<UploadTemplateMediaRequest>()[0][0].header.clone().expect("the first");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let failed = within(failing().await.client().await.call(ListAccountsRequest {})).await.expect_err("once");
    assert_eq!(failed.request_id(), "");
}

#[tokio::test]
async fn why_no_connection_came_about_is_told() {
    // A port that is taken, and at which nobody listens. A name that is too long to be asked for.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    let closed = format!("http://{}", socket.local_addr().expect("bound"));
    let nameless = format!("http://{}.invalid:1", "x".repeat(64));
    for (address, said) in [(&closed, "refused"), (&nameless, "dns")] {
        let failed = within(Client::connect(address)).await.expect_err("nobody is there");
        assert_eq!(failed.code(), Code::Unavailable);
        assert!(failed.message().contains(said), "{failed}");
        let lazy = Client::builder(address).attempts(1).connect_lazy().expect("usable");
        let failed = within(lazy.call(ListAccountsRequest {})).await.expect_err("nobody is there");
        assert_eq!(failed.code(), Code::Unavailable);
        assert!(failed.message().contains(said), "{failed}");
    }
}

/// The client's table of calls against the contract: what has one answer and is no upload can be called.
#[test]
fn every_call_with_one_answer_is_in_the_clients_table() {
    use prost_types::FileDescriptorSet;
    let table = include_str!("../../clients/rust/src/call.rs");
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
            let request = format!("{}Request", method.name());
            let mut messages = files.file.iter().flat_map(|file| &file.message_type);
            let message = messages.find(|message| message.name() == request).expect("in the contract");
            // A request_id among others is a key to look something up by.
            let has_id =
                message.field.iter().any(|field| field.name() == "request_id" && field.oneof_index.is_none());
            let reads = ["Get", "List", "Verify"].iter().any(|word| method.name().starts_with(word));
            let kind = match (reads, has_id) {
                (true, false) => "read",
                (false, true) => "keyed",
                (false, false) => "write",
                (true, true) => panic!("{request} reads, and has a request_id"),
            };
            let entry = format!("({request}) -> {}Response {kind};", method.name());
            assert!(table.contains(&entry), "not in the table: {}.{entry}", service.name());
        }
    }
    assert_eq!(table.lines().filter(|line| line.contains("Request) -> ")).count(), unary);
}
