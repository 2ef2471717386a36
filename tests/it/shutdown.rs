//! Shutdown, with faults of the disk, the log and the sockets.
#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};
use std::time::Duration;

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{Parameter, SendMessageRequest, StartPosition, TemplateMessage, parameter};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tokio::net::TcpStream;

use crate::support::binary::{API_KEY, Home, Server};
use crate::support::cli::path_str;
use crate::support::faults::{Call, Effect, On, Rule};
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{text_of, within};

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
