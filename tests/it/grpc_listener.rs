//! The gRPC listener against peers that do not speak, that are too many, or that keep streams open at a stop.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::process::Command;

use switchboard::pb::v1::account_service_client::AccountServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{ListAccountsRequest, StartPosition};
use switchboard::sandbox::connectly::sign;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::binary::{Home, SECRET, Server};
use crate::support::gateway::{reason, received, text_of, within};

const NO_PROVIDER: &str = "http://127.0.0.1:1";

async fn connect(address: SocketAddr) -> TcpStream {
    within(TcpStream::connect(address)).await.expect("connects")
}

/// Waits until the server closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 64];
    // A reset closes the connection too.
    while within(stream.read(&mut buffer)).await.is_ok_and(|read| read > 0) {}
}

fn send_sigterm(server: &Server) {
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("`kill` is installed").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_without_a_preface_is_closed() {
    let home = Home::new(NO_PROVIDER);
    let server = Server::start(home.command());
    let mut silent = connect(server.grpc).await;
    let mut half = connect(server.grpc).await;
    half.write_all(b"PRI * HTTP/2.0\r\n").await.expect("written");
    closed(&mut silent).await;
    closed(&mut half).await;
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn open_health_reflection_and_silent_peers_do_not_delay_a_stop() {
    let home = Home::new(NO_PROVIDER);
    let server = Server::start(home.command());
    let _silent = connect(server.grpc).await;
    let watch = HealthCheckRequest { service: "switchboard.v1.EventService".to_owned() };
    let mut health =
        within(HealthClient::new(server.channel().await).watch(watch)).await.expect("watches").into_inner();
    let first = within(health.message()).await.expect("open").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);

    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    // The client leaves its side of the stream open.
    let requests = tokio_stream::StreamExt::chain(tokio_stream::once(list), tokio_stream::pending());
    let mut reflection =
        within(ServerReflectionClient::new(server.channel().await).server_reflection_info(requests))
            .await
            .expect("reflects")
            .into_inner();
    within(reflection.message()).await.expect("open").expect("a list");

    send_sigterm(&server);
    let last = within(health.message()).await.expect("open").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
    let ended = [
        within(health.message()).await.map(drop).expect_err("the stop ends it"),
        within(reflection.message()).await.map(drop).expect_err("the stop ends it"),
    ];
    for status in ended {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    }
    let (status, log) = server.wait_for_exit().await;
    assert!(status.success());
    assert!(!log.contains("grace period exceeded"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_above_the_limit_is_closed_at_once() {
    let home = Home::new(NO_PROVIDER);
    let mut command = home.command();
    command.env("SWITCHBOARD__GRPC__MAX_CONNECTIONS", "16");
    let server = Server::start(command);
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = AccountServiceClient::new(server.channel().await);
        within(client.list_accounts(ListAccountsRequest::default())).await.expect("listed");
        clients.push(client);
    }
    closed(&mut connect(server.grpc).await).await;
    for client in &mut clients {
        within(client.list_accounts(ListAccountsRequest::default())).await.expect("it keeps its connection");
    }
    clients.pop();
    // The server notices the end of the connection a moment later.
    within(async {
        loop {
            let Ok(endpoint) = tonic::transport::Endpoint::new(format!("http://{}", server.grpc)) else {
                unreachable!("an address is a URL")
            };
            let mut client = AccountServiceClient::new(endpoint.connect_lazy());
            if client.list_accounts(ListAccountsRequest::default()).await.is_ok() {
                return;
            }
        }
    })
    .await;
    assert!(server.log.lock().expect("unpoisoned").contains("connection limit reached"));
    drop(clients);
    assert!(server.terminate());
}

/// The process may open fewer files than the connections that the configuration allows.
#[tokio::test(flavor = "multi_thread")]
async fn crowd_on_the_grpc_port_leaves_descriptors_to_webhooks() {
    let home = Home::new(NO_PROVIDER);
    let serve = home.command();
    let mut limited = Command::new("bash");
    limited.arg("-c").arg("ulimit -n 128; exec \"$@\"").arg("bash").arg(serve.get_program());
    limited.args(serve.get_args());
    let server = Server::start(limited);
    assert!(server.log.lock().expect("unpoisoned").contains("so only 32 gRPC connections are accepted"));
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(connect(server.grpc).await);
    }
    for id in ["M1", "M2", "M3"] {
        let body = received(id, id);
        let posted = reqwest::Client::new()
            .post(format!("http://{}/webhooks/globex", server.webhook))
            .header("x-connectly-hmac-sha256", sign(SECRET, body.as_bytes()))
            .body(body)
            .send();
        assert_eq!(within(posted).await.expect("answers").status(), 200);
    }
    drop(crowd);
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    for text in ["M1", "M2", "M3"] {
        assert_eq!(text_of(&events.event().await), text);
    }
    drop(events);
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let home = Home::new(NO_PROVIDER);
    let serve = home.command();
    let mut limited = Command::new("bash");
    limited.arg("-c").arg("ulimit -Sn 256; exec \"$@\"").arg("bash").arg(serve.get_program());
    limited.args(serve.get_args());
    let server = Server::start(limited);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).expect("readable");
    let limit = limits.lines().find(|line| line.starts_with("Max open files")).expect("there");
    let values: Vec<_> = limit.split_whitespace().skip(3).take(2).collect();
    assert_eq!(values[0], values[1], "{limit}");
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_signal_does_not_end_the_server() {
    let home = Home::new(NO_PROVIDER);
    let server = Server::start(home.command());
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("`kill` is installed").success());
    within(async {
        while !server.log.lock().expect("unpoisoned").contains("SIGHUP") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut client = AccountServiceClient::new(server.channel().await);
    within(client.list_accounts(ListAccountsRequest::default())).await.expect("still serving");
    drop(client);
    assert!(server.terminate());
}
