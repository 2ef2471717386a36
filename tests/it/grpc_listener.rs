//! The gRPC listener with clients that send many small frames, cancel many calls, or send nothing.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::Request;
use switchboard::pb::v1::{SendMessagesRequest, StartPosition, SubscribeRequest, subscribe_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::binary::{Home, Server, post};
use crate::support::gateway::{CONNECTLY, Gateway, Start, connect, reason, received, text, text_of, within};

/// The first bytes that an HTTP/2 client sends.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A message with its gRPC prefix.
fn frame(message: &impl prost::Message) -> Bytes {
    let length = u32::try_from(message.encoded_len()).expect("small");
    let mut bytes = BytesMut::new();
    bytes.extend_from_slice(&[0]);
    bytes.extend_from_slice(&length.to_be_bytes());
    message.encode(&mut bytes).expect("a buffer that grows");
    bytes.freeze()
}

fn call(method: &str) -> Request<()> {
    Request::post(format!("http://switchboard/switchboard.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

/// grpc-go, grpcio and grpc-js write each message in a DATA frame of its own. tonic's client does not, so this test
/// writes the frames itself.
#[tokio::test]
async fn thousands_of_tiny_frames_leave_the_connection_open() {
    const COUNT: usize = 5_000;
    let gateway =
        Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "100000").start().await;
    let stream = within(TcpStream::connect(gateway.at.grpc)).await.expect("connects");
    // The bystander reads its events late, and must not use up the connection's window meanwhile.
    let mut client = h2::client::Builder::new();
    client.initial_connection_window_size(16 * 1024 * 1024);
    let (requests, connection) = within(client.handshake(stream)).await.expect("an HTTP/2 server");
    let mut connection = Box::pin(connection);

    let exchange = async {
        let mut requests = requests.ready().await.expect("open");
        let (bystander, mut body) =
            requests.send_request(call("EventService/Subscribe"), false).expect("open");
        body.send_data(frame(&SubscribeRequest::default()), true).expect("open");
        let mut bystander = bystander.await.expect("started").into_body();
        bystander.data().await.expect("`started`").expect("open");

        let (answers, mut body) =
            requests.send_request(call("MessageService/SendMessages"), false).expect("open");
        for tag in 0..COUNT {
            let request = SendMessagesRequest { tag: tag.to_string(), request: Some(text(CONNECTLY, "hi")) };
            body.send_data(frame(&request), tag + 1 == COUNT).expect("open");
        }
        let mut answers = answers.await.expect("headers").into_body();
        let (mut received_bytes, mut count) = (BytesMut::new(), 0);
        while let Some(data) = answers.data().await {
            let data = data.expect("the connection stays open");
            answers.flow_control().release_capacity(data.len()).expect("released");
            received_bytes.extend_from_slice(&data);
            while received_bytes.len() >= 5 {
                let length =
                    u32::from_be_bytes(received_bytes[1..5].try_into().expect("four bytes")) as usize;
                if received_bytes.len() < 5 + length {
                    break;
                }
                let _ = received_bytes.split_to(5 + length);
                count += 1;
            }
        }
        assert_eq!(count, COUNT);

        gateway.deliver(&received("later", "for the bystander")).await;
        bystander.data().await.expect("an event").expect("the connection stays open");
    };
    tokio::select! {
        () = async { tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("in time") } => {}
        ended = poll_fn(|cx| connection.as_mut().poll(cx)) => panic!("the connection ended: {ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_of_cancelled_calls_leave_the_connection_open() {
    let gateway = Start::quiet().start().await;
    let mut bystander = gateway.subscribe(SubscribeRequest::default()).await.expect("opens");
    for round in 0..20 {
        let calls = join_all((0..200).map(|_| {
            let mut events = gateway.events();
            async move { events.subscribe(SubscribeRequest::default()).await }
        }));
        // A part of the calls has been opened, and all of them are dropped at once.
        let _ = tokio::time::timeout(Duration::from_millis(round % 5), calls).await;
    }
    gateway.deliver(&received("later", "for the bystander")).await;
    assert_eq!(text_of(&bystander.event().await), "for the bystander");
}

async fn silent(to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut peer = within(TcpStream::connect(to)).await.expect("connects");
    within(peer.write_all(first)).await.expect("sent");
    peer
}

/// Waits until the server has closed the connection. A reset counts as closed.
async fn closed(mut peer: TcpStream) {
    let _ = within(peer.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn connection_without_a_complete_preface_is_closed() {
    for origins in ["", "https://app.example.com"] {
        let gateway = Start::quiet()
            .with("GRPC__HANDSHAKE_TIMEOUT", "1s")
            .with("GRPC__WEB_ORIGINS", origins)
            .start()
            .await;
        let started = Instant::now();
        let (nothing, half) =
            (silent(gateway.at.grpc, b"").await, silent(gateway.at.grpc, &PREFACE[..10]).await);
        closed(nothing).await;
        closed(half).await;
        assert!(started.elapsed() >= Duration::from_millis(900), "closed after {:?}", started.elapsed());
        gateway
            .subscribe(SubscribeRequest::default())
            .await
            .expect("a client that speaks keeps its connection");
    }
}

#[tokio::test]
async fn silent_connections_make_room_for_clients() {
    let gateway = Start::quiet().with("GRPC__MAX_CONNECTIONS", "16").start().await;
    let mut peers = Vec::new();
    for _ in 0..40 {
        peers.push(silent(gateway.at.grpc, b"").await);
    }
    let mut subscriber =
        crate::support::gateway::subscribe(connect(gateway.at).await, SubscribeRequest::default())
            .await
            .expect("a client replaces a silent connection");
    gateway.deliver(&received("one", "here")).await;
    assert_eq!(text_of(&subscriber.event().await), "here");
    closed(peers.remove(0)).await;
}

#[tokio::test]
async fn connection_above_the_limit_is_closed_at_once() {
    let gateway = Start::quiet().with("GRPC__MAX_CONNECTIONS", "16").start().await;
    let mut subscribers = Vec::new();
    for _ in 0..16 {
        // The gateway's own channel is the first of the 16 connections.
        let channel =
            if subscribers.is_empty() { gateway.channel.clone() } else { connect(gateway.at).await };
        subscribers.push(
            crate::support::gateway::subscribe(channel, SubscribeRequest::default()).await.expect("opens"),
        );
    }
    closed(silent(gateway.at.grpc, b"").await).await;
    gateway.deliver(&received("one", "here")).await;
    for subscriber in &mut subscribers {
        assert_eq!(text_of(&subscriber.event().await), "here");
    }
}

#[tokio::test]
async fn stop_does_not_wait_for_watches_reflection_or_silence() {
    let gateway: Gateway = Start::quiet().with("SHUTDOWN__GRACE", "15s").start().await;
    let mut watch = HealthClient::new(gateway.channel.clone())
        .watch(HealthCheckRequest::default())
        .await
        .expect("opens")
        .into_inner();
    watch.next().await.expect("a status").expect("open");
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(gateway.channel.clone())
        .server_reflection_info(tokio_stream::iter([list]).chain(tokio_stream::pending()))
        .await
        .expect("opens")
        .into_inner();
    reflection.next().await.expect("an answer").expect("open");
    let _silent = silent(gateway.at.grpc, b"").await;

    gateway.begin_shutdown();
    let started = Instant::now();
    let ended = async {
        let last = watch.next().await.expect("a last status").expect("NOT_SERVING");
        assert_eq!(last.status(), tonic_health::ServingStatus::NotServing.into());
        for status in [
            watch.next().await.expect("an end").expect_err("the server stops"),
            reflection.next().await.expect("an end").expect_err("the server stops"),
        ] {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
        }
    };
    within(ended).await;
    gateway.stop().await;
    assert!(started.elapsed() < Duration::from_secs(5), "stopped after {:?}", started.elapsed());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn crowd_on_the_grpc_port_leaves_descriptors_to_webhooks() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command_with_ulimit("-n 128"));
    assert!(server.log.lock().expect("unpoisoned").contains("so only 32 gRPC connections are accepted"));
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(silent(server.grpc, b"").await);
    }
    let client = reqwest::Client::new();
    for id in ["M1", "M2", "M3"] {
        assert_eq!(within(post(&client, server.webhook, received(id, id))).await, Some(200));
    }
    drop(crowd);
    let start = subscribe_request::Start::Position(StartPosition::Earliest.into());
    let mut events = server.subscribe(start).await;
    for text in ["M1", "M2", "M3"] {
        assert_eq!(text_of(&events.event().await), text);
    }
    drop(events);
    assert!(server.terminate());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command_with_ulimit("-Sn 256"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).expect("readable");
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).expect("there");
    let values: Vec<_> = limit.split_whitespace().skip(3).take(2).collect();
    assert_eq!(values[0], values[1], "{limit}");
    assert!(server.terminate());
}
