//! The nemesis distinguishes faults with and without effect, and detects a server that does not recover.

use std::time::Duration;

use super::{Nemesis, ServerFault, ShuffledCycle, exited_in_sync, was_injected};
use crate::binary::{Home, Server};
use crate::faults::Seen;
use crate::recorder::Recorder;

const FAILED: &str = "error: exited after the first failed fsync";
const HUNG: &str = "error: neither served nor exited";

async fn server() -> Server {
    Server::start(Home::new("retention = \"30d\"")).await
}

/// A nemesis with a short time limit.
fn nemesis<'a>(faults: &'static [ServerFault], recorder: &'a Recorder) -> Nemesis<'a> {
    let timeout_limit = Duration::from_millis(300);
    Nemesis { timeout_limit, ..Nemesis::new(faults, fastrand::Rng::with_seed(1), recorder) }
}

fn seen(call: &str, file: &str, result: i64) -> Seen {
    Seen { call: call.to_owned(), file: file.to_owned(), result }
}

#[test]
fn item_put_back_is_drawn_before_the_cycle_restarts() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut cycle = ShuffledCycle::new(&[1, 2, 3]);
    let first = cycle.draw(&mut random);
    cycle.put_back(first);
    let mut next = [cycle.draw(&mut random), cycle.draw(&mut random)];
    next.sort_unstable();
    assert!(!next.contains(&first) && next[0] != next[1], "{first}, {next:?}");
    assert_eq!(cycle.draw(&mut random), first);
}

#[tokio::test]
async fn fault_without_effect_is_not_counted() {
    let mut server = server().await;
    // A stopped process makes no calls, so no rule has an effect.
    server.pause();
    let recorder = Recorder::new();
    for faults in [&[ServerFault::FailedSync], &[ServerFault::IntermittentWrites], &[ServerFault::SlowSync]] {
        nemesis(faults, &recorder).next(&mut server).await;
    }
    let counts: Vec<String> = recorder.counts().into_keys().collect();
    assert_eq!(
        counts,
        ["FailedSync", "IntermittentWrites", "SlowSync"].map(|name| format!("no effect: {name}"))
    );
}

#[tokio::test]
async fn trace_shows_injected_faults_and_none_on_a_good_disk() {
    let server = server().await;
    let trace = server.faults.trace();
    assert!(trace.iter().any(|seen| seen.call == "write" && seen.file.ends_with("-wal")), "{trace:?}");
    assert_eq!(trace.iter().find(|seen| was_injected(seen)), None);
    for affected in [
        seen("fdatasync", "switchboard.db", -5),
        seen("write", "switchboard.db-wal", -28),
        seen("write", "switchboard.db-wal", 2048),
        seen("write", "switchboard.db-wal", 12),
    ] {
        assert!(was_injected(&affected), "{affected:?}");
    }
}

#[test]
fn exit_after_complete_sync_is_not_an_exit_in_sync() {
    let (write, sync) =
        (seen("write", "switchboard.db-wal", 4096), seen("fdatasync", "switchboard.db-wal", 0));
    let answer = seen("answer", "200", 0);
    assert!(exited_in_sync(&[sync.clone(), write.clone(), answer.clone()]));
    assert!(!exited_in_sync(&[write, sync, answer]));
    assert!(!exited_in_sync(&[]));
}

#[tokio::test]
async fn server_that_neither_serves_nor_exits_is_reported() {
    let mut server = server().await;
    let recorder = Recorder::new();
    server.pause();
    nemesis(&[], &recorder).await_recovery(&mut server, 0).await;
    assert!(recorder.has_counted(HUNG), "{:?}", recorder.counts());
    assert!(server.exited(Duration::ZERO).await.is_none(), "the nemesis must start a new process");
    // A process that serves as if no fsync had failed.
    let recorder = Recorder::new();
    nemesis(&[], &recorder).await_recovery(&mut server, 0).await;
    assert!(recorder.has_counted(HUNG), "{:?}", recorder.counts());
}

#[tokio::test]
async fn server_that_exits_after_first_failed_fsync_is_reported() {
    let mut server = server().await;
    for (reopened_before, counter) in [(false, FAILED), (true, "server exited by itself")] {
        let recorder = Recorder::new();
        let mut nemesis = Nemesis { has_reopened: reopened_before, ..nemesis(&[], &recorder) };
        server.kill().await;
        let trace = server.faults.trace().len();
        nemesis.await_recovery(&mut server, trace).await;
        assert!(recorder.has_counted(counter), "{:?}", recorder.counts());
        assert!(!nemesis.has_reopened, "a new process has not reopened its store");
    }
}

#[tokio::test]
async fn power_cut_without_response_or_after_exit_has_no_effect() {
    let mut server = server().await;
    let recorder = Recorder::new();
    // Without publishers, no webhook response triggers the rule.
    nemesis(&[ServerFault::PowerCutAtResponse], &recorder).next(&mut server).await;
    let counts: Vec<String> = recorder.counts().into_keys().collect();
    assert_eq!(counts, ["no effect: PowerCutAtResponse", "server restarts"]);
    assert!(server.terminate().await.success());
    nemesis(&[ServerFault::PowerCutAtResponse], &recorder).next(&mut server).await;
    let error = "error: the process exited before the power cut: exit status: 0";
    assert!(recorder.has_counted(error), "{:?}", recorder.counts());
    assert!(!recorder.has_counted(&ServerFault::PowerCutAtResponse.to_string()), "{:?}", recorder.counts());
}
