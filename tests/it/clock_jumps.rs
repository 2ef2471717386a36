//! A wall clock that is set wrong and right again, beneath the real binary.
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
    assert!(server.terminate(), "stops in order");
    let server = host.start();
    assert_eq!(host.post(&server, "3").await, Some(200));
    host.faults.set_clock(Clock { realtime: DAY, monotonic: 0 });
    assert_eq!(host.post(&server, "4").await, Some(200));
    host.faults.set_clock(Clock::default());
    assert_eq!(host.post(&server, "5").await, Some(200));
    let events = from_the_start(&server, 5).await;
    let times: Vec<_> = events
        .iter()
        .map(|event| event.receive_time.map(|time| (time.seconds, time.nanos)).expect("there"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times[0], times[2], "behind the newest time stands still");
    assert!(times[3].0 - times[0].0 >= DAY / 1_000, "the clock did jump: {times:?}");
    assert!(server.terminate(), "stops in order");
}

/// The id of the oldest event.
async fn first(server: &Server) -> String {
    from_the_start(server, 1).await.remove(0).id
}

/// Ten days ahead, all is too old; but nothing is forgotten before the jump has lasted for an hour.
#[tokio::test(flavor = "multi_thread")]
async fn brief_clock_jump_ahead_expires_no_event_and_no_request_id() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    let server = host.start();
    assert_eq!(host.post(&server, "old").await, Some(200));
    let mut messages = MessageServiceClient::new(server.channel().await);
    within(messages.send_message(keyed_text("r"))).await.expect("accepted");
    // What is too old is looked for every minute.
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

    // When it lasts, it is the time.
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 6 * MINUTE });
    assert_eq!(host.post(&server, "new").await, Some(200));
    let old = first(&server).await;
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 90 * MINUTE });
    // A thread that sleeps by the clock that was moved ahead is woken by what comes.
    within(async {
        let mut n = 0;
        while first(&server).await == old {
            host.post(&server, &format!("tick {n}")).await;
            n += 1;
        }
    })
    .await;
    assert!(server.terminate(), "stops in order");
}

/// What a restored store does not know stays in doubt for a day, and not until a clock says for a moment that it is over.
#[tokio::test(flavor = "multi_thread")]
async fn brief_clock_jump_ahead_keeps_restored_outcomes_unknown() {
    let (host, sandbox) = FaultyHost::with_provider().await;
    assert!(host.start().terminate(), "there is a store");
    let store = host.home.folder.path().join("switchboard.db");
    let backup = host.home.folder.path().join("switchboard.backup");
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    host.home.delete_store();
    succeeds(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    let server = host.start();
    let mut messages = MessageServiceClient::new(server.channel().await);
    host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: 2 * MINUTE });
    // What it receives has that time.
    assert_eq!(host.post(&server, "ahead").await, Some(200));
    for clock in [10 * DAY, 0] {
        host.faults.set_clock(Clock { realtime: clock, monotonic: 2 * MINUTE });
        let error = within(messages.send_message(keyed_text("lost"))).await.expect_err("may have been sent");
        assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN");
    }
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 0);

    // When it lasts, it is the time.
    within(async {
        let mut minutes = 4;
        while messages.send_message(keyed_text("lost")).await.is_err() {
            host.faults.set_clock(Clock { realtime: 10 * DAY, monotonic: minutes * MINUTE });
            minutes += 5;
            // What idles for five minutes is closed: one that is sent just then may break off.
            host.post(&server, &format!("tick {minutes}")).await;
        }
    })
    .await;
    assert_eq!(sandbox.connectly().arrivals(Operation::SendMessage), 1);
    assert!(server.terminate(), "stops in order");
}
