//! `switchboard backup` and `switchboard restore`, against the real binary under load.

use std::path::Path;
use std::process::{Command, Output};

use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    ExpiredPolicy, ListEventsRequest, SendMessageRequest, StartPosition, SubscribeRequest,
    list_events_request, subscribe_response,
};
use switchboard::sandbox::{Operation, Options, Sandbox};
use tonic::{Code, Status};

use crate::binary::{API_KEY, BUSINESS, Home, SECRET, Server};
use crate::gateway::{Subscriber, metadata, reason, received, subscribe, text, text_of, within};
use crate::process::post;

const ACCOUNT: &str = "globex";

async fn provider() -> Sandbox {
    let mut options = Options::instant();
    options.connectly.auto_reply = false;
    options.connectly.auto_status = false;
    options.connectly.api_key = API_KEY.to_owned();
    options.connectly.business_id = BUSINESS.to_owned();
    options.connectly.webhook_secret = SECRET.to_owned();
    Sandbox::start(options).await.expect("starts")
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(arguments).env("GLOBEX_API_KEY", API_KEY).output().expect("the binary starts")
}

pub(crate) fn done(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(arguments);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

pub(crate) fn refused(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = run(arguments);
    assert!(!status.success());
    String::from_utf8(stderr).expect("text")
}

pub(crate) fn text_path(path: &Path) -> &str {
    path.to_str().expect("plain paths")
}

/// Lets the store go up in smoke.
pub(crate) fn burn(home: &Home) {
    for name in ["switchboard.db", "switchboard.db-wal", "switchboard.db-shm"] {
        let _ = std::fs::remove_file(home.folder.path().join(name));
    }
}

async fn deliver(server: &Server, ids: impl IntoIterator<Item = String>) {
    let client = reqwest::Client::new();
    for id in ids {
        assert_eq!(post(&client, server.webhook, received(&id, &id)).await, Some(200));
    }
}

async fn send(server: &Server, id: &str, resend_after_attempt: u32) -> Result<bool, Status> {
    let request =
        SendMessageRequest { request_id: id.to_owned(), resend_after_attempt, ..text(ACCOUNT, "Hello!") };
    let sent = within(MessageServiceClient::new(server.channel().await).send_message(request)).await?;
    Ok(sent.into_inner().replayed)
}

async fn lost(server: &Server, cursor: &str) -> String {
    let start = Some(From::AfterCursor(cursor.to_owned()));
    let request = SubscribeRequest { start, ..Default::default() };
    let status = subscribe(server.channel().await, request).await.err().expect("lost");
    assert_eq!((status.code(), reason(&status)), (Code::OutOfRange, "CURSOR_LOST".to_owned()));
    metadata(&status, "newest_cursor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_restored_from_a_backup_made_under_load_goes_on_and_says_what_is_lost() {
    let sandbox = provider().await;
    let home = Home::new(sandbox.connectly().base_url().as_str());
    let config = home.config();
    let backup = home.folder.path().join("switchboard.backup");
    let server = Server::start(home.command());
    deliver(&server, (0..20).map(|n| format!("before-{n}"))).await;
    assert!(!send(&server, "sent-before", 0).await.expect("accepted"));
    let mut reader: Subscriber = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut cursors = Vec::new();
    let mut before = Default::default();
    for event in reader.events(21).await {
        cursors.push(event.cursor);
        before = event.receive_time.expect("always");
    }

    // The backup is made while webhooks come in.
    let told = {
        let (to, config) = (backup.clone(), config.clone());
        let backing_up = tokio::task::spawn_blocking(move || {
            done(&["backup", "--config", text_path(&config), "--to", text_path(&to)])
        });
        deliver(&server, (0..50).map(|n| format!("meanwhile-{n}"))).await;
        within(backing_up).await.expect("no panic")
    };
    assert!(told.contains("events, up to sequence number "), "{told}");
    deliver(&server, (0..5).map(|n| format!("after-{n}"))).await;
    assert!(!send(&server, "sent-after", 0).await.expect("accepted"));
    let last = reader.events(56).await.pop().expect("56 of them").cursor;
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 2);
    server.kill();
    burn(&home);

    let told = done(&["restore", "--config", text_path(&config), "--from", text_path(&backup)]);
    assert!(told.contains("SEND_OUTCOME_UNKNOWN"), "{told}");
    let server = Server::start(home.command());

    // What was read before goes on where it was, and what came after the backup is known as lost.
    let mut again = server.subscribe(From::AfterCursor(cursors[9].clone())).await;
    assert_eq!(text_of(&again.event().await), "before-10");
    let mut newest = lost(&server, &last).await;
    let place = Some(list_events_request::Place::BeforeCursor(last));
    let request = ListEventsRequest { place, ..ListEventsRequest::default() };
    let listed = within(EventServiceClient::new(server.channel().await).list_events(request)).await;
    assert_eq!(reason(&listed.expect_err("lost")), "CURSOR_LOST");
    deliver(&server, ["anew".to_owned()]).await;
    let mut on = server.subscribe(From::AfterCursor(newest.clone())).await;
    let anew = on.event().await;
    assert_eq!(text_of(&anew), "anew");
    // Since a time from before, not all that was received is there.
    let since = SubscribeRequest { start: Some(From::Since(before)), ..SubscribeRequest::default() };
    let told = subscribe(server.channel().await, since.clone()).await.err().expect("lost");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    let skipping = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..since };
    let mut skipping = subscribe(server.channel().await, skipping).await.expect("a stream");
    assert!(matches!(skipping.next().await, Ok(Some(subscribe_response::Response::Gap(_)))));
    let mut on = server.subscribe(From::Since(anew.receive_time.expect("always"))).await;
    assert_eq!(on.event().await.cursor, anew.cursor);

    // What is known is answered; what is not may have been sent after the backup, and was.
    assert!(send(&server, "sent-before", 0).await.expect("known"));
    for _ in 0..2 {
        let unknown = send(&server, "sent-after", 0).await.expect_err("may have been sent");
        assert_eq!(unknown.code(), Code::FailedPrecondition);
        assert_eq!(reason(&unknown), "SEND_OUTCOME_UNKNOWN");
        assert_eq!(metadata(&unknown, "cause"), "RESTORED");
        assert_eq!(metadata(&unknown, "attempt"), "1");
    }
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 2, "nothing went out");
    assert!(!send(&server, "sent-after", 1).await.expect("as asked for"));
    assert!(send(&server, "sent-after", 1).await.expect("known"));
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 3);
    // Whoever gives no id takes the risk.
    assert!(!send(&server, "", 0).await.expect("accepted"));
    server.kill();

    // Once more, and this time whoever restores takes the risk for all.
    burn(&home);
    done(&["restore", "--config", text_path(&config), "--from", text_path(&backup), "--accept-repeats"]);
    let server = Server::start(home.command());
    assert!(!send(&server, "sent-after", 0).await.expect("taken for new"));
    let in_common = cursors.pop().expect("read before");
    newest = server.subscribe(From::AfterCursor(in_common)).await.started.newest_cursor;
    assert!(!newest.is_empty());
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_command_writes_over_anything_and_each_says_what_is_in_its_way() {
    let home = Home::new("http://127.0.0.1:1");
    let config = home.config();
    let (backup, store) =
        (home.folder.path().join("switchboard.backup"), home.folder.path().join("switchboard.db"));
    let told = refused(&["backup", "--config", text_path(&config), "--to", text_path(&backup)]);
    assert!(told.contains("cannot open the store"), "{told}");
    assert!(!store.exists() && !backup.exists());

    let server = Server::start(home.command());
    deliver(&server, ["M1".to_owned()]).await;
    done(&["backup", "--store", text_path(&store), "--to", text_path(&backup)]);
    let told = refused(&["backup", "--store", text_path(&store), "--to", text_path(&backup)]);
    assert!(told.contains("already exists"), "{told}");
    let told = refused(&["restore", "--store", text_path(&store), "--from", text_path(&backup)]);
    assert!(told.contains("in use by another process"), "{told}");
    assert!(server.terminate());
    let told = refused(&["restore", "--store", text_path(&store), "--from", text_path(&backup)]);
    assert!(told.contains("already exists: move or delete it"), "{told}");
    let other = home.folder.path().join("other.db");
    let told = refused(&["restore", "--store", text_path(&other), "--from", text_path(&store)]);
    assert!(told.contains("is not a backup"), "{told}");
    let told = refused(&["backup", "--to", text_path(&backup)]);
    assert!(told.contains("--config"), "{told}");

    // A backup that is put where a store should be is refused, with the way out.
    burn(&home);
    std::fs::copy(&backup, &store).expect("copied");
    let told = refused(&["serve", "--config", text_path(&config)]);
    assert!(told.contains("switchboard restore"), "{told}");
}
