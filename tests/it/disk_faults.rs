//! Disk faults under the real binary. The server keeps everything that it acknowledged and delivers nothing that it
//! lost.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::time::Duration;

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{
    ClosingReason, Event, GetMessageRequest, MessageState, StartPosition, SubscribeRequest,
    get_message_request::Key,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::Code;

use crate::support::binary::{ACCOUNT, Server};
use crate::support::faults::{Call, Effect, On, Rule, Seen};
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{metadata, reason, subscribe, text_of, within};

/// The metric that counts how often the server reopened the store.
async fn reopened_metric(server: &Server) -> String {
    let page = within(reqwest::get(format!("http://{}/metrics", server.admin))).await;
    let page = page.expect("answers").text().await.expect("a text");
    let line =
        page.lines().find(|line| line.starts_with("switchboard_store_reopened_total ")).expect("the metric");
    line.to_owned()
}

/// The texts of all events from the oldest up to one.
async fn texts_up_to(server: &Server, last: &str) -> Vec<String> {
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        texts.push(text_of(&events.event().await).to_owned());
    }
    texts
}

fn assert_complete(acknowledged: &[String], stored: &[String]) {
    let distinct: BTreeSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len(), "an event is stored twice");
    let missing: Vec<&str> = acknowledged
        .iter()
        .filter(|text| !distinct.contains(text))
        .map(|text| &text[..text.len().min(20)])
        .collect();
    assert!(missing.is_empty(), "answered 200 and lost: {missing:?}");
    // Events that were posted one after the other keep their order.
    let order: Vec<&String> = stored.iter().filter(|text| acknowledged.contains(text)).collect();
    assert_eq!(order, acknowledged.iter().collect::<Vec<_>>(), "wrong order");
}

/// Each traced call with the number of writes to the write-ahead log that no sync had covered before it.
fn unsynced_writes(trace: Vec<Seen>) -> impl Iterator<Item = (Seen, usize)> {
    trace.into_iter().scan(0, |unsynced, seen| {
        let before = *unsynced;
        if seen.call == "write" && seen.file.ends_with("-wal") {
            *unsynced += 1;
        } else if seen.is_sync_of("-wal") && seen.result == 0 {
            *unsynced = 0;
        }
        Some((seen, before))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_is_answered_200_only_after_its_event_is_synced() {
    let host = FaultyHost::new();
    let server = host.start();
    for id in ["M1", "M2", "M3"] {
        assert_eq!(host.post(&server, id).await, Some(200));
    }
    let trace = host.faults.trace();
    assert!(trace.iter().any(|seen| seen.call == "write" && seen.file.ends_with("-wal")));
    let answers: Vec<_> = unsynced_writes(trace).filter(|(seen, _)| seen.call == "answer").collect();
    assert_eq!(answers.len(), 3);
    for (answer, unsynced) in answers {
        assert_eq!((answer.file.as_str(), unsynced), ("200", 0));
    }
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_with_request_id_starts_after_its_attempt_is_synced() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    let mut messages = MessageServiceClient::new(server.channel().await);
    for id in ["r1", "r2", "r3"] {
        within(messages.send_message(keyed_text(id))).await.expect("accepted");
    }
    let trace = host.faults.trace();
    let mut last = 0;
    let mut requests = 0;
    for (place, (seen, unsynced)) in unsynced_writes(trace.clone()).enumerate() {
        if seen.call == "request" {
            assert_eq!(unsynced, 0, "{seen:?}");
            let syncs =
                trace[last..place].iter().filter(|seen| seen.is_sync_of("-wal") && seen.result == 0).count();
            assert!(syncs > 0, "its attempt was synced");
            last = place;
            requests += 1;
        }
    }
    assert_eq!(requests, 3);
    drop(sandbox);
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_commit_sync_loses_no_event_and_streams_resume() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    let mut stream = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let before = stream.event().await;

    host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    // The stream closes with the cursor of its last event. The rejected event was not delivered.
    let closing = loop {
        match within(stream.next()).await.expect("open").expect("a closing message") {
            Response::Closing(closing) => break closing,
            Response::Heartbeat(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((closing.reason(), &closing.cursor), (ClosingReason::Shutdown, &before.cursor));
    assert_eq!(within(stream.next()).await.expect_err("the stream fails").code(), Code::Unavailable);

    // Calls to the same addresses wait until the server has verified the store.
    host.post_until_accepted(&server, "after").await;
    assert_eq!(reopened_metric(&server).await, "switchboard_store_reopened_total 1");
    let mut stream = server.subscribe(From::AfterCursor(before.cursor)).await;
    let mut next = stream.event().await;
    // The rejected event may be stored, because its pages may have reached the disk. The provider retries it anyway.
    if text_of(&next) == "refused" {
        next = stream.event().await;
    }
    assert_eq!(text_of(&next), "after");
    assert_eq!(host.post(&server, "refused").await, Some(200));
    assert_complete(&["before".to_owned(), "after".to_owned()], &first_texts(&server, 3).await);
    assert!(server.log.lock().expect("unpoisoned").contains("store verified"));
    assert!(server.terminate(), "graceful shutdown");
}

/// The texts of the oldest events.
async fn first_texts(server: &Server, events: usize) -> Vec<String> {
    let mut stream = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    stream.events(events).await.iter().map(|event: &Event| text_of(event).to_owned()).collect()
}

/// SQLite syncs the database file only after it has checkpointed the whole write-ahead log, and counts earlier pages as
/// checkpointed. After a failed sync those pages are readable but not on disk. The server therefore rewrites every page.
/// The power cut at the end proves it.
#[tokio::test(flavor = "multi_thread")]
async fn failed_checkpoint_sync_rewrites_every_page() {
    let host = FaultyHost::new();
    let server = host.start();
    let is_sync = |seen: &Seen| seen.is_sync_of(".db");
    let synced = host.faults.trace().into_iter().filter(is_sync).count();
    // A write during the checkpoint prevents the sync of the pages that it moves.
    host.faults.set(&[Rule::once(Call::Write(On::Database), Effect::Late(Duration::from_secs(1)))]);
    host.post_large(&server, "a").await;
    assert_eq!(host.post(&server, "b").await, Some(200));
    host.traced(|seen| seen.call == "write" && seen.file.ends_with(".db")).await;
    // The next checkpoint syncs all of them, and that sync fails.
    host.faults.set(&[Rule::once(Call::Sync(On::Database), Effect::Broken)]);
    host.post_large(&server, "c").await;
    host.traced(|seen| is_sync(seen) && seen.result < 0).await;
    let syncs: Vec<i64> =
        host.faults.trace().iter().filter(|seen| is_sync(seen)).map(|seen| seen.result).collect();
    assert_eq!(syncs.get(synced), Some(&-5), "a sync succeeded before: {syncs:?}");

    host.post_until_accepted(&server, "after").await;
    assert_eq!(reopened_metric(&server).await, "switchboard_store_reopened_total 1");
    let texts = ids_up_to(&server, "after").await;
    assert_eq!(texts, EXPECTED_IDS[..8]);

    host.faults.cut_power(0);
    assert!(!server.wait_for_exit().await.0.success());
    host.faults.set(&[]);
    let server = host.start();
    assert_eq!(host.post(&server, "end").await, Some(200));
    assert_eq!(ids_up_to(&server, "end").await, EXPECTED_IDS);
    assert!(server.terminate(), "graceful shutdown");
}

const EXPECTED_IDS: [&str; 9] = ["a0", "a1", "a2", "b", "c0", "c1", "c2", "after", "end"];

/// The ids of all events: the first word of each text.
async fn ids_up_to(server: &Server, last: &str) -> Vec<String> {
    let first = |text: String| text.split(' ').next().unwrap_or_default().to_owned();
    texts_up_to(server, last).await.into_iter().map(first).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_failed_sync_ends_the_process_and_logs_why() {
    let host = FaultyHost::new();
    let server = host.start();
    host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
    assert_eq!(host.post(&server, "first").await, Some(503));
    host.post_until_accepted(&server, "kept").await;
    host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
    assert_eq!(host.post(&server, "second").await, Some(503));
    let (status, log) = server.wait_for_exit().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("the store's disk failed for the second time"), "{log}");

    host.faults.set(&[]);
    let server = host.start();
    assert_eq!(host.post(&server, "end").await, Some(200));
    assert_complete(&["kept".to_owned()], &texts_up_to(&server, "end").await);
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_that_fails_during_reopen_ends_the_process() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "kept").await, Some(200));
    host.faults.set(&[Rule::always(Call::Sync(On::Any), Effect::Broken)]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    let (status, log) = server.wait_for_exit().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("could not be opened again and verified"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn process_is_live_but_not_ready_while_the_store_is_verified() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "kept").await, Some(200));
    host.faults.set(&[
        Rule::once(Call::Sync(On::Log), Effect::Broken),
        Rule::once(Call::SyncAll(On::Database), Effect::Late(Duration::from_secs(5))),
    ]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    host.logged(&server, "reopening the store").await;
    for (page, status, word) in [("livez", 200, "alive"), ("readyz", 503, "verified"), ("metrics", 200, "")] {
        let answer = reqwest::get(format!("http://{}/{page}", server.admin));
        let answer = within(answer).await.expect("answers");
        assert_eq!(answer.status(), status, "{page}");
        assert!(answer.text().await.expect("a text").contains(word), "{page}");
    }
    assert!(
        !server.log.lock().expect("unpoisoned").contains("store verified"),
        "every page answered during the verification"
    );
    let mut stream = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    assert_eq!(text_of(&stream.event().await), "kept");
    assert!(server.log.lock().expect("unpoisoned").contains("store verified"));
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_disk_delays_webhook_replies_and_nothing_else() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    host.faults.set(&[Rule::always(Call::Sync(On::Log), Effect::Late(Duration::from_secs(4)))]);
    let mut posting = Box::pin(host.post(&server, "late"));
    let others = async {
        let request = SubscribeRequest {
            start: Some(From::Position(StartPosition::Earliest.into())),
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..SubscribeRequest::default()
        };
        let mut stream = subscribe(server.channel().await, request).await.expect("subscribed");
        assert_eq!(text_of(&stream.event().await), "before");
        let heartbeat = stream.next().await.expect("open");
        assert!(matches!(heartbeat, Some(Response::Heartbeat(_))), "{heartbeat:?}");
        stream
    };
    let mut stream = tokio::select! {
        answer = &mut posting => panic!("answered before it was durable: {answer:?}"),
        stream = others => stream,
    };
    assert_eq!(posting.await, Some(200));
    host.faults.set(&[]);
    assert_eq!(text_of(&stream.event().await), "late");
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_or_short_write_is_retried_without_a_reopen() {
    let host = FaultyHost::new();
    let server = host.start();
    let mut kept = Vec::new();
    for (n, effect) in [Effect::Full, Effect::Broken].into_iter().enumerate() {
        host.faults.set(&[Rule::always(Call::Write(On::Log), effect)]);
        assert_eq!(host.post(&server, &format!("refused {n}")).await, Some(503), "{effect:?}");
        host.faults.set(&[Rule::times(8, Call::Write(On::Log), Effect::Short)]);
        kept.push(format!("kept {n}"));
        assert_eq!(host.post(&server, &kept[n]).await, Some(200), "{effect:?}");
    }
    assert_eq!(texts_up_to(&server, "kept 1").await, kept);
    assert_eq!(reopened_metric(&server).await, "switchboard_store_reopened_total 0");
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_sync_stops_new_sends_and_leaves_others_unknown() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    let channel = server.channel().await;
    let send = |id: &str| {
        let (channel, request) = (channel.clone(), keyed_text(id));
        async move { within(MessageServiceClient::new(channel).send_message(request)).await }
    };
    // The call is in flight when the disk fails, so the store cannot record its outcome.
    let slow = FaultRule::once(Fault::Latency(Duration::from_secs(2))).on(Operation::SendMessage);
    sandbox.connectly().set_fault(slow).await;
    let (in_flight, refused) = tokio::join!(send("in-flight"), async {
        within(async {
            while sandbox.connectly().arrivals(Operation::SendMessage) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
        send("refused").await
    });
    assert!(in_flight.is_ok(), "the provider accepted it and the client gets the reply: {in_flight:?}");
    let refused = refused.expect_err("not sent");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));

    let channel = server.channel().await;
    let key = Some(Key::RequestId("in-flight".to_owned()));
    let find = GetMessageRequest { account: ACCOUNT.to_owned(), key };
    let found = within(MessageServiceClient::new(channel.clone()).get_message(find)).await.expect("known");
    assert_eq!(found.into_inner().message.expect("present").state(), MessageState::Unknown);
    let again = within(MessageServiceClient::new(channel).send_message(keyed_text("in-flight"))).await;
    let again = again.expect_err("outcome unknown");
    assert_eq!(
        (reason(&again).as_str(), metadata(&again, "attempt").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "1")
    );
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 1, "one call was made");
    assert!(server.terminate(), "graceful shutdown");
}

/// After the kernel drops its page cache, reads return the pages on disk. The rejected event is not among them.
#[tokio::test(flavor = "multi_thread")]
async fn lost_pages_of_a_rejected_commit_are_never_delivered() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    host.faults.set(&[
        Rule::once(Call::Sync(On::Log), Effect::Broken),
        Rule::always(Call::SyncAll(On::Any), Effect::Forget),
    ]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    host.post_until_accepted(&server, "after").await;
    assert_eq!(reopened_metric(&server).await, "switchboard_store_reopened_total 1");
    assert_eq!(texts_up_to(&server, "after").await, ["before", "after"]);
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_store_verification() {
    let host = FaultyHost::new();
    let server = host.start();
    host.faults.set(&[
        Rule::once(Call::Sync(On::Log), Effect::Broken),
        Rule::always(Call::SyncAll(On::Any), Effect::Late(Duration::from_secs(600))),
    ]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    host.logged(&server, "reopening the store").await;
    assert!(!server.terminate(), "the disk failed and the store is not verified");
}
