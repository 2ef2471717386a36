//! Shutdown, with faults of the disk, the log and the sockets.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};
use std::time::Duration;

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{Parameter, SendMessageRequest, StartPosition, TemplateMessage, parameter};
use switchboard::sandbox::{Fault, FaultRule, Operation, Options, Sandbox};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::binary::{API_KEY, Home, Server, post};
use crate::support::cli::path_str;
use crate::support::faults::{Call, Effect, On, Rule};
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{reason, received, text, text_of, within};

/// After a failed sync of the final checkpoint, the pages that it moved may not be on disk, and closing the database does
/// not move them again. Only the write-ahead log still has them, so it must stay.
#[tokio::test(flavor = "multi_thread")]
async fn failed_final_checkpoint_leaves_the_log_for_the_next_start() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "kept").await, Some(200));
    host.faults.set(&[Rule::once(Call::Sync(On::Database), Effect::Broken)]);
    assert!(server.terminate(), "every acknowledged event is on disk");
    let trace = host.faults.trace();
    let failed =
        trace.iter().position(|seen| seen.is_sync_of(".db") && seen.result < 0).expect("a failed sync");
    let after: Vec<_> = trace[failed + 1..].iter().filter(|seen| seen.call != "request").collect();
    assert!(after.is_empty(), "the server touched the files after the failure: {after:?}");

    host.faults.set(&[]);
    let server = host.start();
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    assert_eq!(text_of(&events.event().await), "kept");
    assert!(server.terminate(), "graceful shutdown");
}

/// A refused connection makes the provider retry at once or elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_closes_the_webhook_port_while_sends_complete() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    let slow = FaultRule::once(Fault::Latency(Duration::from_secs(5))).on(Operation::SendMessage);
    sandbox.connectly().set_fault(slow).await;
    let mut messages = MessageServiceClient::new(server.channel().await);
    let in_flight = within(messages.send_message(keyed_text("slow")));
    let refused = async {
        within(async {
            while sandbox.connectly().arrivals(Operation::SendMessage) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("`kill` is installed").success());
        within(async {
            while TcpStream::connect(server.webhook).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        std::time::Instant::now()
    };
    let ended = async {
        in_flight.await.expect("accepted");
        std::time::Instant::now()
    };
    let (refused, ended) = tokio::join!(refused, ended);
    assert!(refused < ended, "the port closes before the process ends");
    assert!(server.wait_for_exit().await.0.success());
}

/// The list of templates is read in the background. At Connectly, a send waits for it only for a short time.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_template_list_does_not_delay_the_shutdown() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    let hanging = FaultRule::always(Fault::Latency(Duration::from_secs(60))).on(Operation::ListTemplates);
    sandbox.connectly().set_fault(hanging).await;
    let mut messages = MessageServiceClient::new(server.channel().await);
    let template = TemplateMessage {
        name: "order_update".to_owned(),
        language: "en".to_owned(),
        body: ["Ada", "77"].map(text_parameter).to_vec(),
        ..TemplateMessage::default()
    };
    let request = SendMessageRequest { content: Some(Content::Template(template)), ..keyed_text("template") };
    within(messages.send_message(request)).await.expect("accepted without the list");
    assert_eq!(sandbox.connectly().arrivals(Operation::ListTemplates), 1, "the read is still in flight");
    drop(messages);
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("`kill` is installed").success());
    let (status, log) = server.wait_for_exit().await;
    assert!(status.success());
    assert!(!log.contains("grace period exceeded"), "{log}");
}

fn text_parameter(text: &str) -> Parameter {
    Parameter { name: String::new(), value: Some(parameter::Value::Text(text.to_owned())) }
}

/// Runs a command whose standard output is a closed pipe.
fn run_with_closed_stdout(arguments: &[&str]) -> (bool, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(arguments).env("GLOBEX_API_KEY", API_KEY).stdout(writer).stderr(Stdio::piped());
    let output = command.output().expect("the binary starts");
    (output.status.success(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn command_succeeds_with_a_closed_standard_output() {
    let home = Home::new("http://127.0.0.1:1");
    let config = home.config();
    let (store, backup) =
        (home.folder.path().join("switchboard.db"), home.folder.path().join("switchboard.backup"));
    let server = Server::start(home.command());
    for arguments in [
        &["reference"][..],
        &["check", "--config", path_str(&config)],
        &["backup", "--store", path_str(&store), "--to", path_str(&backup)],
        &["restore", "--store", path_str(&home.folder.path().join("other.db")), "--from", path_str(&backup)],
    ] {
        assert_eq!(run_with_closed_stdout(arguments), (true, String::new()), "{arguments:?}");
    }
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_with_a_closed_log_pipe_keeps_serving() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    server.close_log();
    // The store logs each failed write. The first line is read, the second one meets a closed pipe.
    for id in ["log-open", "log-closed"] {
        host.faults.set(&[Rule::once(Call::Write(On::Log), Effect::Full)]);
        assert_eq!(host.post(&server, id).await, Some(503));
        host.post_until_accepted(&server, "between").await;
        within(server.log_closed()).await;
    }
    assert_eq!(host.post(&server, "after").await, Some(200));
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    for text in ["before", "between", "after"] {
        assert_eq!(text_of(&events.event().await), text);
    }
    assert!(server.terminate(), "graceful shutdown");
}

/// The provider refuses each send, and each refusal is a line in the log. A pipe holds 64 KiB.
#[tokio::test(flavor = "multi_thread")]
async fn server_whose_log_is_not_read_keeps_serving_and_stops() {
    let sandbox = Sandbox::start(Options::instant()).await.expect("starts");
    let home = Home::new(sandbox.connectly().base_url().as_str());
    let mut command = home.command();
    command.env("SWITCHBOARD__ACCOUNTS__GLOBEX__GATE__CALLS_PER_SECOND", "100000");
    let server = Server::start(command);
    server.stop_reading_log();
    let channel = server.channel().await;
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..800 {
        let mut messages = MessageServiceClient::new(channel.clone());
        sends.spawn(async move { within(messages.send_message(text("globex", "hi"))).await });
    }
    while let Some(sent) = sends.join_next().await {
        assert_ne!(reason(&sent.expect("no panic").expect_err("refused")), "");
    }
    let livez = within(reqwest::get(format!("http://{}/livez", server.admin))).await.expect("answers");
    assert_eq!(livez.status(), 200);
    assert_eq!(post(&reqwest::Client::new(), server.webhook, received("M1", "hi")).await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
}

fn signal(server: &Server, name: &str) {
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("`kill` is installed").success());
}

async fn readyz(server: &Server) -> u16 {
    within(reqwest::get(format!("http://{}/readyz", server.admin))).await.expect("answers").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_not_ready_and_serves_for_the_delay_after_sigterm() {
    let home = Home::new("http://127.0.0.1:1");
    let mut command = home.command();
    // Longer than the test: the second signal ends the process.
    command.env("SWITCHBOARD__SHUTDOWN__DELAY", "5m");
    let server = Server::start(command);
    let mut health = HealthClient::new(server.channel().await);
    assert_eq!(readyz(&server).await, 200);
    signal(&server, "TERM");
    within(async {
        while readyz(&server).await == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let request = HealthCheckRequest { service: String::new() };
    within(async {
        loop {
            let reply = health.check(request.clone()).await.expect("answers").into_inner();
            if reply.status() == ServingStatus::NotServing {
                return;
            }
        }
    })
    .await;
    assert_eq!(post(&reqwest::Client::new(), server.webhook, received("M1", "hi")).await, Some(200));
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    assert_eq!(text_of(&events.event().await), "hi");
    signal(&server, "TERM");
    assert_eq!(server.wait_for_exit().await.0.code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_is_logged_and_the_server_keeps_serving() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command());
    signal(&server, "HUP");
    within(async {
        while !server.log.lock().expect("unpoisoned").contains("SIGHUP ignored") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(post(&reqwest::Client::new(), server.webhook, received("M1", "hi")).await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_states_what_starts_and_ends_with_stopped() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command());
    assert_eq!(post(&reqwest::Client::new(), server.webhook, received("M1", "hi")).await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
    let server = Server::start(home.command());
    let start = server.log.lock().expect("unpoisoned").clone();
    let fields = |message: &str| {
        let lines = start.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let fields = lines.map(|line| line["fields"].clone());
        fields.into_iter().find(|fields| fields["message"] == message).expect("logged")
    };
    let starting = fields("starting");
    assert_eq!(starting["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(starting["config"], path_str(&home.config()));
    assert_eq!(starting["store"], path_str(&home.folder.path().join("switchboard.db")));
    assert_eq!(starting["accounts"], "globex");
    assert_eq!(fields("serving")["newest_sequence"], 1);
    signal(&server, "TERM");
    let (status, log) = server.wait_for_exit().await;
    assert!(status.success());
    let last = log.rfind("\"message\"").map(|at| &log[at..]).expect("a line");
    assert!(last.starts_with(r#""message":"stopped""#), "{last}");
}

#[test]
fn failure_at_the_start_has_the_format_of_the_log() {
    let home = Home::new("http://127.0.0.1:1");
    std::fs::create_dir(home.folder.path().join("switchboard.db.lock")).expect("created");
    let output =
        home.command().env("GLOBEX_API_KEY", API_KEY).stdout(Stdio::null()).output().expect("starts");
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).expect("UTF-8");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let error = last["fields"]["error"].as_str().expect("an error");
    assert!(error.contains("cannot open the journal") && error.contains("switchboard.db.lock"), "{error}");
}
