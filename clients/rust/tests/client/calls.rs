//! Unary calls: retries, deadlines, tokens and failures.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use switchboard_client::v1::{
    ListAccountsRequest, MediaHeader, SendMediaRequest, SendMessageRequest, SubscribeRequest, Text,
    UpdateContactRequest, UploadTemplateMediaHeader, UploadTemplateMediaRequest, send_message_request,
};
use switchboard_client::{Client, Error};
use tokio::net::TcpSocket;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fake_server::{Action, FakeServer};
use crate::within;

fn text(body: &str) -> SendMessageRequest {
    SendMessageRequest {
        account: "demo-connectly".to_owned(),
        to: "+15550100001".to_owned(),
        content: Some(send_message_request::Content::Text(Text { body: body.to_owned() })),
        ..SendMessageRequest::default()
    }
}

fn update_contact() -> UpdateContactRequest {
    UpdateContactRequest { account: "demo-connectby".to_owned(), ..UpdateContactRequest::default() }
}

#[tokio::test]
async fn read_is_retried_after_unavailable_only() {
    let server = FakeServer::start([Status::unavailable("starting"), Status::unavailable("starting")]).await;
    let client = server.client().await;
    within(client.call(ListAccountsRequest::default())).await.expect("the third attempt succeeds");
    assert_eq!(server.calls().len(), 3);

    for code in
        [Code::Internal, Code::Unknown, Code::Aborted, Code::ResourceExhausted, Code::DeadlineExceeded]
    {
        let server = FakeServer::start([Status::new(code, "no")]).await;
        let failed = within(server.client().await.call(ListAccountsRequest::default()))
            .await
            .expect_err("not retried");
        assert_eq!((failed.code(), server.calls().len()), (code, 1));
    }
    // Only time limits the attempts, unless the program does.
    let server = FakeServer::start(std::iter::repeat_n(Status::unavailable("down"), 5)).await;
    within(server.client().await.call(ListAccountsRequest::default())).await.expect("the sixth succeeds");
    assert_eq!(server.calls().len(), 6);
    let server = FakeServer::start(std::iter::repeat_n(Status::unavailable("down"), 9)).await;
    let client = Client::builder(server.address()).attempts(4).connect().await.expect("connects");
    let failed = within(client.call(ListAccountsRequest::default())).await.expect_err("four attempts");
    assert_eq!((failed.code(), server.calls().len()), (Code::Unavailable, 4));
}

#[tokio::test]
async fn write_is_retried_only_with_request_id() {
    let server = FakeServer::start(std::iter::repeat_n(Status::unavailable("starting"), 2)).await;
    let client = server.client().await;
    within(client.call(text("Hello!"))).await.expect("sent");
    let ids: Vec<String> = server
        .calls()
        .iter()
        .map(|(_, body)| SendMessageRequest::decode(body.clone()).expect("decodes").request_id)
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    // Another call has another id, and an id that the program sets is kept.
    within(client.call(text("Hello!"))).await.expect("sent");
    let given = SendMessageRequest { request_id: "order-77".to_owned(), ..text("Hello!") };
    within(client.call(given)).await.expect("sent");
    let id =
        |at: usize| SendMessageRequest::decode(server.calls()[at].1.clone()).expect("decodes").request_id;
    assert_ne!(id(3), ids[0]);
    assert_eq!(id(4), "order-77");

    let server = FakeServer::start([Status::unavailable("starting")]).await;
    let failed = within(server.client().await.call(update_contact())).await.expect_err("not retried");
    assert_eq!((failed.code(), server.calls().len()), (Code::Unavailable, 1));
}

#[tokio::test]
async fn call_fails_after_its_timeout() {
    let server = FakeServer::start([Action::Hang]).await;
    let client = Client::builder(server.address()).timeout(Duration::from_secs(2)).connect().await;
    let failed =
        within(client.expect("connects").call(ListAccountsRequest::default())).await.expect_err("too late");
    assert_eq!(failed.code(), Code::DeadlineExceeded);
    // The server received the deadline, and the call was cancelled.
    assert_eq!(server.headers("grpc-timeout").len(), 1);
    server.cancelled(1).await;

    // For the generated clients, the transport keeps the deadline.
    let server = FakeServer::start([Action::Hang]).await;
    let mut request = tonic::Request::new(ListAccountsRequest::default());
    request.set_timeout(Duration::from_millis(200));
    let status = within(server.client().await.accounts().list_accounts(request)).await.expect_err("too late");
    assert_eq!(Error::from(status).code(), Code::DeadlineExceeded);

    // The delay before the next attempt counts too.
    let server = FakeServer::start(std::iter::repeat_n(Status::unavailable("down"), 99)).await;
    let client = Client::builder(server.address()).timeout(Duration::from_millis(250)).attempts(50).connect();
    let failed = within(client.await.expect("connects").call(ListAccountsRequest::default()))
        .await
        .expect_err("too late");
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(server.calls().len() < 5);
}

#[tokio::test]
async fn token_is_sent_with_each_call_over_tls() {
    let server = FakeServer::over_tls().await;
    let connect = |token: Option<&str>, tls| {
        let mut builder = Client::builder(server.address()).tls(tls).attempts(1);
        if let Some(token) = token {
            builder = builder.token(token);
        }
        builder.connect()
    };
    let client = connect(Some("t0ken"), server.trusting()).await.expect("connects");
    within(client.call(ListAccountsRequest::default())).await.expect("succeeds");
    within(client.call(text("Hello!"))).await.expect("succeeds");
    assert_eq!(server.tokens(), ["Bearer t0ken", "Bearer t0ken"]);
    within(connect(None, server.trusting()).await.expect("connects").call(ListAccountsRequest::default()))
        .await
        .expect("succeeds");
    assert_eq!(server.tokens().len(), 2);
    // A client that does not trust the authority sends nothing.
    let untrusting = connect(Some("t0ken"), tonic::transport::ClientTlsConfig::new()).await;
    assert_eq!(untrusting.expect_err("not trusted").code(), Code::Unavailable);
    assert_eq!(server.tokens().len(), 2);
}

#[tokio::test]
async fn each_connection_sends_user_agent_with_version() {
    let server = FakeServer::start([] as [Action; 0]).await;
    let client = server.client().await;
    within(client.call(ListAccountsRequest::default())).await.expect("succeeds");
    let mut events = client.subscribe(SubscribeRequest::default());
    tokio::select! {
        item = events.next() => panic!("unexpected item: {item:?}"),
        () = server.called(2) => {}
    }
    let agents = server.headers("user-agent");
    let expected = concat!("switchboard-client/", env!("CARGO_PKG_VERSION"), " ");
    assert!(agents.len() == 2 && agents.iter().all(|agent| agent.starts_with(expected)), "{agents:?}");
}

#[tokio::test]
async fn dropped_call_is_cancelled() {
    let server = FakeServer::start([Action::Hang]).await;
    let client = server.client().await;
    tokio::select! {
        response = client.call(text("Hello!")) => panic!("unexpected response: {response:?}"),
        () = server.called(1) => {}
    }
    server.cancelled(1).await;
    // The connection stays open.
    within(client.call(ListAccountsRequest::default())).await.expect("succeeds");
    assert_eq!(server.proxy().opened(), 1);
}

#[tokio::test]
async fn broken_connection_is_unavailable_and_retried_if_safe() {
    let server = FakeServer::start([Action::Cut, Action::Cut]).await;
    let client = server.client().await;
    within(client.call(ListAccountsRequest::default())).await.expect("the third attempt succeeds");
    assert_eq!((server.calls().len(), server.proxy().opened()), (3, 3));

    let server = FakeServer::start([Action::Cut]).await;
    within(server.client().await.call(text("Hello!"))).await.expect("the second attempt succeeds");
    let ids = server.calls().into_iter().map(|(_, body)| SendMessageRequest::decode(body).expect("decodes"));
    let ids: HashSet<String> = ids.map(|request| request.request_id).collect();
    assert_eq!((server.calls().len(), ids.len()), (2, 1));

    let server = FakeServer::start([Action::Cut]).await;
    let file = Bytes::from(vec![7; 2_500_000]);
    let header = MediaHeader { account: "demo-connectby".to_owned(), ..MediaHeader::default() };
    within(server.client().await.send_media(header, file)).await.expect("the second attempt succeeds");
    assert_eq!(server.calls().len(), 2);

    let server = FakeServer::start([Action::Cut]).await;
    let failed = within(server.client().await.call(update_contact())).await.expect_err("not retried");
    assert_eq!((failed.code(), failed.reason(), server.calls().len()), (Code::Unavailable, "", 1));
    assert!(std::error::Error::source(&failed).is_some());
}

#[tokio::test]
async fn requested_delay_is_awaited_up_to_limit() {
    let after = |delay| {
        let details = ErrorDetails::with_retry_info(Some(delay));
        Status::with_error_details(Code::Unavailable, "later", details)
    };
    let delay = Duration::from_millis(1_200);
    let server = FakeServer::start([after(delay)]).await;
    let before = Instant::now();
    within(server.client().await.call(ListAccountsRequest::default()))
        .await
        .expect("the second attempt succeeds");
    assert!(before.elapsed() >= delay, "{:?}", before.elapsed());

    let delay = Duration::from_secs(31);
    let server = FakeServer::start([after(delay)]).await;
    let failed =
        within(server.client().await.call(ListAccountsRequest::default())).await.expect_err("not retried");
    assert_eq!((failed.retry_delay(), server.calls().len()), (Some(delay), 1));
}

#[tokio::test]
async fn failure_reports_generated_request_id() {
    let failing = || FakeServer::start([Status::internal("no")]);
    let server = failing().await;
    let failed = within(server.client().await.call(text("Hello!"))).await.expect_err("not retried");
    let sent = SendMessageRequest::decode(server.calls()[0].1.clone()).expect("decodes");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let server = failing().await;
    let upload = server.client().await;
    let failed =
        within(upload.send_media(MediaHeader::default(), &b"Hello!"[..])).await.expect_err("not retried");
    let sent = server.streams::<SendMediaRequest>()[0][0].header.clone().expect("the first");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let server = failing().await;
    let upload = server.client().await;
    let header = UploadTemplateMediaHeader::default();
    let failed = within(upload.upload_template_media(header, &b"Hello!"[..])).await.expect_err("not retried");
    let sent = server.streams::<UploadTemplateMediaRequest>()[0][0].header.clone().expect("the first");
    assert!(!sent.request_id.is_empty());
    assert_eq!(failed.request_id(), sent.request_id);

    let failed = within(failing().await.client().await.call(ListAccountsRequest::default()))
        .await
        .expect_err("not retried");
    assert_eq!(failed.request_id(), "");
}

#[tokio::test]
async fn connection_failure_reports_its_cause() {
    // A port that is bound without a listener, and a name that is too long for a lookup.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    let closed = format!("http://{}", socket.local_addr().expect("bound"));
    let unresolvable = format!("http://{}.invalid:1", "x".repeat(64));
    for (address, cause) in [(&closed, "refused"), (&unresolvable, "dns")] {
        let failed = within(Client::connect(address)).await.expect_err("no server");
        assert_eq!(failed.code(), Code::Unavailable);
        assert!(failed.message().contains(cause), "{failed}");
        let lazy = Client::builder(address).attempts(1).connect_lazy().expect("is valid");
        let failed = within(lazy.call(ListAccountsRequest::default())).await.expect_err("no server");
        assert_eq!(failed.code(), Code::Unavailable);
        assert!(failed.message().contains(cause), "{failed}");
    }
}
