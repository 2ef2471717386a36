//! What struck is told from what did not, and a server that does not come through from one that does.

use std::time::Duration;

use super::{Bag, Fault, Troubles, ended_in_sync, is_struck};
use crate::binary::{Home, Server};
use crate::faults::Seen;
use crate::ledger::Ledger;

const FAILED: &str = "wrong: ended at the first sync that failed";
const HANGS: &str = "wrong: neither served nor ended";

async fn server() -> Server {
    Server::start(Home::new("retention = \"30d\"")).await
}

/// Of those that wait for no long time.
fn troubles<'a>(faults: &'static [Fault], ledger: &'a Ledger) -> Troubles<'a> {
    let max_queue_wait = Duration::from_millis(300);
    Troubles { max_queue_wait, ..Troubles::new(faults, fastrand::Rng::with_seed(1), ledger) }
}

fn seen(call: &str, file: &str, result: i64) -> Seen {
    Seen { call: call.to_owned(), file: file.to_owned(), result }
}

#[test]
fn one_that_is_put_back_comes_again_before_all_do() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bag = Bag::new(&[1, 2, 3]);
    let first = bag.draw(&mut random);
    bag.put_back(first);
    let mut next = [bag.draw(&mut random), bag.draw(&mut random)];
    next.sort_unstable();
    assert!(!next.contains(&first) && next[0] != next[1], "{first}, {next:?}");
    assert_eq!(bag.draw(&mut random), first);
}

#[tokio::test]
async fn a_fault_that_strikes_nothing_is_not_counted() {
    let mut server = server().await;
    // What does nothing is not struck.
    server.pause();
    let ledger = Ledger::new();
    for faults in [&[Fault::FailedSync], &[Fault::PatchyDisk], &[Fault::SlowSync]] {
        troubles(faults, &ledger).next(&mut server).await;
    }
    let counts: Vec<String> = ledger.counts().into_keys().collect();
    assert_eq!(
        counts,
        ["FailedSync", "PatchyDisk", "SlowSync"].map(|name| format!("struck nothing: {name}"))
    );
}

#[tokio::test]
async fn what_struck_is_seen_and_a_good_disk_is_not_struck() {
    let server = server().await;
    let trace = server.faults.trace();
    assert!(trace.iter().any(|seen| seen.call == "write" && seen.file.ends_with("-wal")), "{trace:?}");
    assert_eq!(trace.iter().find(|seen| is_struck(seen)), None);
    for struck in [
        seen("fdatasync", "switchboard.db", -5),
        seen("write", "switchboard.db-wal", -28),
        seen("write", "switchboard.db-wal", 2048),
        seen("write", "switchboard.db-wal", 12),
    ] {
        assert!(is_struck(&struck), "{struck:?}");
    }
}

#[test]
fn a_process_that_ends_with_nothing_under_way_did_not_end_in_a_sync() {
    let (write, sync) =
        (seen("write", "switchboard.db-wal", 4096), seen("fdatasync", "switchboard.db-wal", 0));
    let answer = seen("answer", "200", 0);
    assert!(ended_in_sync(&[sync.clone(), write.clone(), answer.clone()]));
    assert!(!ended_in_sync(&[write, sync, answer]));
    assert!(!ended_in_sync(&[]));
}

#[tokio::test]
async fn a_server_that_neither_serves_nor_ends_is_told() {
    let mut server = server().await;
    let ledger = Ledger::new();
    server.pause();
    troubles(&[], &ledger).come_through(&mut server, 0).await;
    assert!(ledger.has(HANGS), "{:?}", ledger.counts());
    assert!(server.ended(Duration::ZERO).await.is_none(), "the round goes on with another process");
    // One that serves on as if nothing had failed.
    let ledger = Ledger::new();
    troubles(&[], &ledger).come_through(&mut server, 0).await;
    assert!(ledger.has(HANGS), "{:?}", ledger.counts());
}

#[tokio::test]
async fn a_server_that_ends_at_the_first_sync_that_fails_is_told() {
    let mut server = server().await;
    for (again, told) in [(false, FAILED), (true, "server ended by itself")] {
        let ledger = Ledger::new();
        let mut troubles = Troubles { opened_again: again, ..troubles(&[], &ledger) };
        server.kill().await;
        let trace = server.faults.trace().len();
        troubles.come_through(&mut server, trace).await;
        assert!(ledger.has(told), "{:?}", ledger.counts());
        assert!(!troubles.opened_again, "another process has another chance");
    }
}

#[tokio::test]
async fn power_that_is_cut_by_hand_struck_no_answer_and_a_server_that_ended_is_no_cut() {
    let mut server = server().await;
    let ledger = Ledger::new();
    // Nobody publishes.
    troubles(&[Fault::PowerCutAtAnswer], &ledger).next(&mut server).await;
    let counts: Vec<String> = ledger.counts().into_keys().collect();
    assert_eq!(counts, ["server restarts", "struck nothing: PowerCutAtAnswer"]);
    assert!(server.terminate().await.success());
    troubles(&[Fault::PowerCutAtAnswer], &ledger).next(&mut server).await;
    let told = "wrong: ended by itself where the power was to be cut: exit status: 0";
    assert!(ledger.has(told), "{:?}", ledger.counts());
    assert!(!ledger.has(&Fault::PowerCutAtAnswer.to_string()), "{:?}", ledger.counts());
}
