//! `switchboard backup` and `switchboard restore`, with the real binary under load.

use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    ExpiredPolicy, ListEventsRequest, SendMessageRequest, StartPosition, SubscribeRequest,
    list_events_request, subscribe_response,
};
use switchboard::sandbox::Operation;
use tonic::{Code, Status};

use crate::support::binary::{ACCOUNT, Home, Server, post};
use crate::support::cli::{fails, path_str, succeeds};
use crate::support::gateway::{Subscriber, metadata, reason, received, subscribe, text, text_of, within};
use crate::support::provider;

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

async fn assert_cursor_lost(server: &Server, cursor: &str) -> String {
    let start = Some(From::AfterCursor(cursor.to_owned()));
    let request = SubscribeRequest { start, ..Default::default() };
    let status = subscribe(server.channel().await, request).await.err().expect("cursor lost");
    assert_eq!((status.code(), reason(&status)), (Code::OutOfRange, "CURSOR_LOST".to_owned()));
    metadata(&status, "newest_cursor")
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_store_serves_and_reports_lost_cursors_and_sends() {
    let sandbox = provider::start().await;
    let home = Home::new(sandbox.connectly().base_url().as_str());
    let config = home.config();
    let backup = home.folder.path().join("switchboard.backup");
    let server = Server::start(home.command());
    deliver(&server, (0..20).map(|n| format!("before-{n}"))).await;
    assert!(!send(&server, "sent-before", 0).await.expect("accepted"));
    let mut stream: Subscriber = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut cursors = Vec::new();
    let mut before = Default::default();
    for event in stream.events(21).await {
        cursors.push(event.cursor);
        before = event.receive_time.expect("always");
    }

    // The backup runs while webhooks arrive.
    let output = {
        let (to, config) = (backup.clone(), config.clone());
        let backing_up = tokio::task::spawn_blocking(move || {
            succeeds(&["backup", "--config", path_str(&config), "--to", path_str(&to)])
        });
        deliver(&server, (0..50).map(|n| format!("meanwhile-{n}"))).await;
        within(backing_up).await.expect("no panic")
    };
    assert!(output.contains("events, up to sequence number "), "{output}");
    deliver(&server, (0..5).map(|n| format!("after-{n}"))).await;
    assert!(!send(&server, "sent-after", 0).await.expect("accepted"));
    let last = stream.events(56).await.pop().expect("56 events").cursor;
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 2);
    server.kill();
    home.delete_store();

    let output = succeeds(&["restore", "--config", path_str(&config), "--from", path_str(&backup)]);
    assert!(output.contains("SEND_OUTCOME_UNKNOWN"), "{output}");
    let server = Server::start(home.command());

    // A cursor from before the backup still works. A cursor from after it is lost.
    let mut again = server.subscribe(From::AfterCursor(cursors[9].clone())).await;
    assert_eq!(text_of(&again.event().await), "before-10");
    let mut newest = assert_cursor_lost(&server, &last).await;
    let position = Some(list_events_request::Anchor::BeforeCursor(last));
    let request = ListEventsRequest { anchor: position, ..ListEventsRequest::default() };
    let listed = within(EventServiceClient::new(server.channel().await).list_events(request)).await;
    assert_eq!(reason(&listed.expect_err("lost")), "CURSOR_LOST");
    deliver(&server, ["anew".to_owned()]).await;
    let mut resumed = server.subscribe(From::AfterCursor(newest.clone())).await;
    let anew = resumed.event().await;
    assert_eq!(text_of(&anew), "anew");
    // Events received since a time before the backup are incomplete.
    let since = SubscribeRequest { start: Some(From::Since(before)), ..SubscribeRequest::default() };
    let error = subscribe(server.channel().await, since.clone()).await.err().expect("cursor lost");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"));
    let skipping = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..since };
    let mut skipping = subscribe(server.channel().await, skipping).await.expect("a stream");
    assert!(matches!(skipping.next().await, Ok(Some(subscribe_response::Response::Gap(_)))));
    let mut resumed = server.subscribe(From::Since(anew.receive_time.expect("always"))).await;
    assert_eq!(resumed.event().await.cursor, anew.cursor);

    // A send in the backup is replayed. A send after the backup is unknown to the store, so it may have been sent.
    assert!(send(&server, "sent-before", 0).await.expect("known"));
    for _ in 0..2 {
        let unknown = send(&server, "sent-after", 0).await.expect_err("outcome unknown");
        assert_eq!(unknown.code(), Code::FailedPrecondition);
        assert_eq!(reason(&unknown), "SEND_OUTCOME_UNKNOWN");
        assert_eq!(metadata(&unknown, "cause"), "RESTORED");
        assert_eq!(metadata(&unknown, "attempt"), "1");
    }
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 2, "nothing was sent");
    assert!(!send(&server, "sent-after", 1).await.expect("resent"));
    assert!(send(&server, "sent-after", 1).await.expect("known"));
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 3);
    // A send without an idempotency key is sent.
    assert!(!send(&server, "", 0).await.expect("accepted"));
    server.kill();

    // With --accept-repeats, the operator accepts duplicates of such sends.
    home.delete_store();
    succeeds(&["restore", "--config", path_str(&config), "--from", path_str(&backup), "--accept-repeats"]);
    let server = Server::start(home.command());
    assert!(!send(&server, "sent-after", 0).await.expect("accepted as new"));
    let in_common = cursors.pop().expect("read before");
    newest = server.subscribe(From::AfterCursor(in_common)).await.started.newest_cursor;
    assert!(!newest.is_empty());
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_and_restore_never_overwrite_and_name_the_obstacle() {
    let home = Home::new("http://127.0.0.1:1");
    let config = home.config();
    let (backup, store) =
        (home.folder.path().join("switchboard.backup"), home.folder.path().join("switchboard.db"));
    let output = fails(&["backup", "--config", path_str(&config), "--to", path_str(&backup)]);
    assert!(output.contains("cannot open the store"), "{output}");
    assert!(!store.exists() && !backup.exists());

    let server = Server::start(home.command());
    deliver(&server, ["M1".to_owned()]).await;
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    let output = fails(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    assert!(output.contains("already exists"), "{output}");
    let output = fails(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    assert!(output.contains("in use by another process"), "{output}");
    assert!(server.terminate());
    let output = fails(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    assert!(output.contains("already exists: move or delete it"), "{output}");
    let other = home.folder.path().join("other.db");
    let output = fails(&["restore", "--store", path_str(&other), "--from", path_str(&store)]);
    assert!(output.contains("is not a backup"), "{output}");
    let output = fails(&["backup", "--to", path_str(&backup)]);
    assert!(output.contains("--config"), "{output}");

    // `serve` rejects a backup in the place of a store, and names the command to use.
    home.delete_store();
    std::fs::copy(&backup, &store).expect("copied");
    let output = fails(&["serve", "--config", path_str(&config)]);
    assert!(output.contains("switchboard restore"), "{output}");
}

#[test]
fn backup_to_standard_output_is_refused() {
    let home = Home::new("http://127.0.0.1:1");
    let error = fails(&["backup", "--config", path_str(&home.config()), "--to", "-"]);
    assert!(error.contains("name a file"), "{error}");
}
