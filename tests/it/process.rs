//! The real binary: kills, a full disk, its log, and its configuration.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use switchboard::pb::v1::StartPosition;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::sandbox::{Fault, FaultRule, Options, Sandbox};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::support::binary::{API_KEY, Home, SECRET, Server, post};
use crate::support::gateway::{CUSTOMER, metadata, reason, received, text, text_of, within};

/// The process is killed several times while many clients post webhooks and a subscriber reads. Every event whose webhook
/// was answered 200 must be stored, events must arrive in order and once, and earlier cursors must still work.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_webhook_answered_200() {
    let home = Home::new("http://127.0.0.1:1");
    let mut answered = Vec::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    for round in 0..4 {
        let server = Server::start(home.command());
        let client = reqwest::Client::new();
        let start = match seen.last() {
            Some((_, cursor)) => From::AfterCursor(cursor.clone()),
            None => From::Position(StartPosition::Earliest.into()),
        };
        let mut subscriber = server.subscribe(start).await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut posters = tokio::task::JoinSet::new();
        for poster in 0..16 {
            let (client, webhook, sender) = (client.clone(), server.webhook, sender.clone());
            posters.spawn(async move {
                for n in 0.. {
                    let id = format!("{round}-{poster}-{n}");
                    match post(&client, webhook, received(&id, &id)).await {
                        Some(200) => sender.send(id).expect("the receiver is open"),
                        _ => return,
                    }
                }
            });
        }
        drop(sender);
        // The kill comes while the subscriber reads and after hundreds of webhooks were answered.
        for event in subscriber.events(200 + 150 * round).await {
            seen.push((text_of(&event).to_owned(), event.cursor));
        }
        server.kill();
        while let Some(id) = within(receiver.recv()).await {
            answered.push(id);
        }
        while posters.join_next().await.is_some() {}
    }

    let server = Server::start(home.command());
    let mut rest = server.subscribe(From::AfterCursor(seen.last().expect("events").1.clone())).await;
    assert_eq!(post(&reqwest::Client::new(), server.webhook, received("end", "end")).await, Some(200));
    loop {
        let event = rest.event().await;
        match text_of(&event) {
            "end" => break,
            text => seen.push((text.to_owned(), event.cursor)),
        }
    }
    let texts: Vec<&str> = seen.iter().map(|(text, _)| text.as_str()).collect();
    let distinct: std::collections::HashSet<&str> = texts.iter().copied().collect();
    assert_eq!(distinct.len(), texts.len(), "an event arrived twice");
    let missing: Vec<&String> = answered.iter().filter(|id| !distinct.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "answered 200 and lost: {missing:?}");
    assert!(answered.len() > 800, "too little load: {}", answered.len());

    // A stream from the start delivers the same events in the same order with the same cursors.
    let mut replay = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    for (text, cursor) in &seen {
        let event = replay.event().await;
        assert_eq!((text_of(&event), &event.cursor), (text.as_str(), cursor));
    }
    assert!(server.terminate(), "graceful shutdown");
}

/// A file size limit simulates a full disk. `prlimit` then lifts it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn webhook_is_answered_503_on_a_full_disk_until_space_returns() {
    let home = Home::new("http://127.0.0.1:1");
    // The limit is in blocks of 1024 bytes.
    let server = Server::start(home.command_with_ulimit("-S -f 600"));
    let client = reqwest::Client::new();
    let padding = "x".repeat(10_000);
    let mut kept = Vec::new();
    let refused = loop {
        let id = format!("M{}", kept.len());
        match post(&client, server.webhook, received(&id, &format!("{id} {padding}"))).await {
            Some(200) => kept.push(id),
            other => break other,
        }
        assert!(kept.len() < 500, "600 KiB cannot hold this");
    };
    assert_eq!(refused, Some(503));
    assert!(!kept.is_empty());

    let pid = server.child.id().to_string();
    let freed = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited:"])
        .status()
        .expect("`prlimit` is installed");
    assert!(freed.success());
    // The provider retries, and the server accepts the webhook.
    let again = format!("M{}", kept.len());
    assert_eq!(
        post(&client, server.webhook, received(&again, &format!("{again} {padding}"))).await,
        Some(200)
    );
    kept.push(again);

    let mut subscriber = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    for id in &kept {
        assert!(
            text_of(&subscriber.event().await).starts_with(&format!("{id} ")),
            "{id} is missing or out of order"
        );
    }
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn log_contains_no_secret_and_no_message_text() {
    let sandbox = Sandbox::start(Options::instant()).await.expect("starts");
    let home = Home::new(sandbox.connectly().base_url().as_str());
    let mut command = home.command();
    command.env("SWITCHBOARD__LOG__FILTER", "trace");
    // The API key is not the sandbox's, so the provider refuses every send and the server logs it.
    let server = Server::start(command);
    let message = "words-between-two-people";
    let mut messages =
        switchboard::pb::v1::message_service_client::MessageServiceClient::new(server.channel().await);
    for account in ["globex", "unknown-account"] {
        let error = within(messages.send_message(text(account, message))).await.expect_err("refused");
        assert!(!format!("{error:?}").contains(message));
    }
    let client = reqwest::Client::new();
    assert_eq!(post(&client, server.webhook, received("M1", message)).await, Some(200));
    assert_eq!(post(&client, server.webhook, format!("{{{message}")).await, Some(200));
    let forged = client
        .post(format!("http://{}/webhooks/globex", server.webhook))
        .header("x-connectly-hmac-sha256", "AAAA")
        .body(message);
    assert_eq!(forged.send().await.expect("answers").status(), 401);
    let mut subscriber = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    assert_eq!(text_of(&subscriber.event().await), message);

    let log = Arc::clone(&server.log);
    assert!(server.terminate());
    let log = log.lock().expect("unpoisoned");
    assert!(log.contains("send not accepted") && log.contains("webhook rejected"), "{log}");
    for secret in [message, SECRET, API_KEY, CUSTOMER, &CUSTOMER[1..]] {
        assert!(!log.contains(secret), "the log holds {secret:?}");
    }
}

/// A provider may quote the message, or the credentials of the call, in any text of an error.
#[tokio::test(flavor = "multi_thread")]
async fn provider_text_reaches_clients_only_and_masked() {
    use switchboard::pb::v1;

    let sandbox = Sandbox::start(Options::instant()).await.expect("starts");
    let home = Home::new(sandbox.connectly().base_url().as_str());
    let mut command = home.command();
    command.env("SWITCHBOARD__LOG__FILTER", "trace");
    let server = Server::start(command);
    let marker = "words-that-the-provider-quotes";
    let error = format!(
        r#"{{"message":"{marker}","type":"ERROR_TYPE_X","code":"ERROR_CODE_X","userTitle":"{marker}","userMessage":"used {API_KEY}","details":{{"signed":"{SECRET}"}}}}"#
    );
    let masked = error.replace(API_KEY, "***").replace(SECRET, "***");
    let joined = format!(r#"{marker}; used ***; {{"signed":"***"}}"#);
    let status = |status| Fault::Status { status, retry_after: None, body: Some(error.clone()) };

    let channel = server.channel().await;
    let mut messages = v1::message_service_client::MessageServiceClient::new(channel.clone());
    let mut templates = v1::template_service_client::TemplateServiceClient::new(channel.clone());
    let assert_text = |status: &tonic::Status, expected: &str| {
        assert_eq!(
            (reason(status).as_str(), metadata(status, "provider_message")),
            (expected, joined.clone())
        );
        assert!(!status.message().contains(marker), "{}", status.message());
        assert_eq!(metadata(status, "raw_json"), "");
    };
    let assert_failure = |failure: &v1::Failure| {
        assert_eq!((&failure.provider_message, &failure.raw_json), (&joined, &masked));
        assert!(!failure.message.contains(marker), "{}", failure.message);
        assert!(!failure.metadata.contains_key("provider_message"), "{:?}", failure.metadata);
    };

    sandbox.connectly().set_fault(FaultRule::once(status(400))).await;
    let refused = within(messages.send_message(text("globex", "hi"))).await.expect_err("refused");
    assert_text(&refused, "PROVIDER_REFUSED");

    sandbox.connectly().set_fault(FaultRule::once(status(400))).await;
    let list = v1::ListTemplatesRequest { account: "globex".to_owned(), ..Default::default() };
    let read = within(templates.list_templates(list)).await.expect_err("refused");
    assert_text(&read, "PROVIDER_REFUSED");

    sandbox.connectly().set_fault(FaultRule::once(status(500))).await;
    let request = v1::SendMessageRequest { request_id: "r1".to_owned(), ..text("globex", "hi") };
    let unknown = within(messages.send_message(request.clone())).await.expect_err("unknown");
    assert_text(&unknown, "SEND_OUTCOME_UNKNOWN");
    // A retry with the same key gets the stored outcome.
    let joined_later = within(messages.send_message(request)).await.expect_err("unknown");
    assert_text(&joined_later, "SEND_OUTCOME_UNKNOWN");
    let get = v1::GetMessageRequest {
        account: "globex".to_owned(),
        key: Some(v1::get_message_request::Key::RequestId("r1".to_owned())),
    };
    let stored = within(messages.get_message(get)).await.expect("stored").into_inner();
    assert_failure(&stored.message.and_then(|message| message.failure).expect("a failure"));

    let webhook = format!(
        r#"{{"topic":"delivery_status","timestamp":"1700000010","statusUpdate":{{"id":"S1","status":"delivery_failed","error":{error}}}}}"#
    );
    assert_eq!(post(&reqwest::Client::new(), server.webhook, webhook).await, Some(200));
    let mut subscriber = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let event = subscriber.event().await;
    let Some(v1::event::Payload::MessageStatus(status)) = event.payload else { panic!("{event:?}") };
    assert_failure(&status.failure.expect("a failure"));

    let metrics = within(reqwest::get(format!("http://{}/metrics", server.admin))).await.expect("answers");
    let metrics = within(metrics.text()).await.expect("a page");
    let log = Arc::clone(&server.log);
    assert!(server.terminate());
    let log = log.lock().expect("unpoisoned");
    assert!(log.contains("send not accepted"), "{log}");
    let cause = "the provider refused: other, HTTP status 400, code ERROR_CODE_X";
    assert!(log.contains(cause), "an operator finds the cause: {log}");
    for secret in [marker, API_KEY, SECRET] {
        assert!(!log.contains(secret), "the log contains {secret:?}");
        assert!(!metrics.contains(secret), "the metrics contain {secret:?}");
    }
}

fn run_check(config: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["check", "--config"])
        .arg(config)
        .output()
        .expect("the binary starts");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn check_prints_every_configuration_error_and_no_secret() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("switchboard.toml");
    let invalid = "[grpc]\nlisten = \"0.0.0.0:50051\"\n[jurnal]\n[[accounts]]\nid = \"Acme\"\nprovider = \"connectby\"\n\
                  secret_key = \"top secret key\\u0007\"\nbase_url = \"http://api.example\"\n";
    std::fs::write(&config, invalid).expect("written");
    let (valid, output) = run_check(&config);
    assert!(!valid);
    for key in ["grpc.listen", "jurnal", "accounts[0].id", "secret_key", "base_url"] {
        assert!(output.contains(key), "{key} is missing in:\n{output}");
    }
    assert!(!output.contains("top secret"), "{output}");

    std::fs::write(&config, "[[accounts]]\nid = \"acme\"\nprovider = \"connectby\"\nsecret_key = \"k\"\n")
        .expect("written");
    let (valid, output) = run_check(&config);
    assert!(valid, "{output}");
}

#[test]
fn serve_fails_on_an_invalid_configuration() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("switchboard.toml");
    std::fs::write(&config, "[grpc]\nlisten = \"0.0.0.0:50051\"\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .expect("the binary starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("grpc.listen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_exist_before_their_first_event() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command());
    let page = within(reqwest::get(format!("http://{}/metrics", server.admin))).await.expect("answers");
    let page = within(page.text()).await.expect("a page");
    for series in [
        r#"sends_total{account="globex",outcome="unknown"}"#,
        r#"rejected_calls_total{account="globex",reason="circuit_open"}"#,
        r#"unrecorded_total{account="globex"}"#,
        r#"webhooks_total{account="globex",result="rejected"}"#,
        r#"webhooks_total{account="",result="no_account"}"#,
        r#"events_total{account="globex",type="message.received"}"#,
        "subscribers",
        "log_lines_dropped_total",
    ] {
        assert!(page.contains(&format!("switchboard_{series} 0\n")), "{series} is missing in {page}");
    }
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_command_succeeds_only_while_the_server_serves() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command());
    let address = server.grpc.to_string();
    let health = |service: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(["health", "--service", service, "--config"]).arg(home.config());
        command.env("GLOBEX_API_KEY", API_KEY).env("SWITCHBOARD__GRPC__LISTEN", &address);
        command.output().expect("the binary starts")
    };
    for service in ["", "switchboard.v1.EventService"] {
        let output = health(service);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!health("switchboard.v1.NoSuchService").status.success());
    assert!(server.terminate(), "graceful shutdown");
    let output = health("");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("no server responds at {address}")));
}
