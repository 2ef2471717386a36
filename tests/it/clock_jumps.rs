//! A wall clock that jumps and is corrected, under the real binary.
#![cfg(target_os = "linux")]

use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{Event, StartPosition};
use switchboard::sandbox::Operation;

use crate::support::binary::Server;
use crate::support::cli::{path_str, succeeds};
use crate::support::faults::Clock;
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{reason, text_of, within};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

async fn from_the_start(server: &Server, events: usize) -> Vec<Event> {
    server.subscribe(From::Position(StartPosition::Earliest.into())).await.events(events).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_jumps_back_never_decreases_receive_times() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "1").await, Some(200));
    host.faults.set_clock(Clock { realtime: -DAY, monotonic: 0 });
    assert_eq!(host.post(&server, "2").await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
    let server = host.start();
    assert_eq!(host.post(&server, "3").await, Some(200));
    host.faults.set_clock(Clock { realtime: DAY, monotonic: 0 });
    assert_eq!(host.post(&server, "4").await, Some(200));
    host.faults.set_clock(Clock::default());
    assert_eq!(host.post(&server, "5").await, Some(200));
    let events = from_the_start(&server, 5).await;
    let times: Vec<_> = events
        .iter()
        .map(|event| event.receive_time.map(|time| (time.seconds, time.nanos)).expect("present"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0], times[2], "time does not advance while the clock is behind the newest event");
    assert!(times[3].0 - times[0].0 >= DAY / 1_000, "the clock jumped: {times:?}");
    assert!(server.terminate(), "graceful shutdown");
}

/// The id of the oldest event.
async fn first(server: &Server) -> String {
    from_the_start(server, 1).await.remove(0).event_id
}

/// Ten days ahead, every record exceeds its retention. The server deletes none before the jump has lasted one hour.
#[tokio::test(flavor = "multi_thread")]
async fn brief_clock_jump_ahead_expires_no_event_and_no_request_id() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    assert_eq!(host.post(&server, "old").await, Some(200));
    let mut messages = MessageServiceClient::new(server.channel().await);
    within(messages.send_message(keyed_text("r"))).await.expect("accepted");
    // The server looks for expired records every minute.
    for minutes in [2, 4] {
        host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: minutes * MINUTE });
        for n in 0..5 {
            assert_eq!(host.post(&server, &format!("{minutes} {n}")).await, Some(200));
        }
    }
    host.faults.set_clock(Clock::default());
    assert_eq!(text_of(&from_the_start(&server, 1).await[0]), "old");
    let mut messages = MessageServiceClient::new(server.channel().await);
    let again = within(messages.send_message(keyed_text("r"))).await.expect("known");
    assert!(again.into_inner().replayed);
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 1);

    // A jump that lasts is accepted as the time.
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 6 * MINUTE });
    assert_eq!(host.post(&server, "new").await, Some(200));
    let old = first(&server).await;
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 90 * MINUTE });
    // A thread that sleeps by the shifted clock wakes up for new work only.
    within(async {
        let mut n = 0;
        while first(&server).await == old {
            host.post(&server, &format!("tick {n}")).await;
            n += 1;
        }
    })
    .await;
    assert!(server.terminate(), "graceful shutdown");
}

/// After a restore, an unrecorded request is unknown for 24 hours. A brief clock jump does not end that period.
#[tokio::test(flavor = "multi_thread")]
async fn brief_clock_jump_ahead_keeps_restored_outcomes_unknown() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    assert!(host.start().terminate(), "the store exists");
    let store = host.home.folder.path().join("switchboard.db");
    let backup = host.home.folder.path().join("switchboard.backup");
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    host.home.delete_store();
    succeeds(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    let server = host.start();
    let mut messages = MessageServiceClient::new(server.channel().await);
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 2 * MINUTE });
    // The received event has the time of the shifted clock.
    assert_eq!(host.post(&server, "ahead").await, Some(200));
    for clock in [10 * DAY, 0] {
        host.faults.set_clock(Clock { realtime: clock, monotonic: 2 * MINUTE });
        let error = within(messages.send_message(keyed_text("lost"))).await.expect_err("outcome unknown");
        assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN");
    }
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 0);

    // A jump that lasts is accepted as the time.
    within(async {
        let mut minutes = 4;
        while messages.send_message(keyed_text("lost")).await.is_err() {
            host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: minutes * MINUTE });
            minutes += 5;
            // The server closes connections that are idle for five minutes, so this post may fail.
            host.post(&server, &format!("tick {minutes}")).await;
        }
    })
    .await;
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 1);
    assert!(server.terminate(), "graceful shutdown");
}
