//! Robustness test of event streams: checks the guarantees of the real server under injected faults.
//!
//! A *round* ([`round`]) runs one server with its own journal. A nemesis ([`nemesis`]) injects faults from a seeded
//! schedule: it kills and stops the process, makes disk operations fail, and moves the clocks. Publishers deliver
//! webhooks as a provider does ([`publisher`]). Subscribers and listers read through proxies with faulty connections
//! ([`subscriber`], [`lister`], [`proxy`]). All of them record what they observe ([`history`]). After the faults the
//! server drains, one reader reads the whole journal, and the [`checker`] checks the history against every guarantee.
//! `docs/robustness.md` has the details.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `SWITCHBOARD_ROBUSTNESS_SEED` | seed of the first round | random |
//! | `SWITCHBOARD_ROBUSTNESS_SECONDS` | new rounds start until this many seconds have passed | one round of each scenario |
#![cfg(target_os = "linux")]

mod binary;
mod checker;
mod coverage;
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "../it/support/faults.rs"]
mod faults;
mod history;
mod lister;
mod nemesis;
mod proxy;
mod publisher;
mod recorder;
mod round;
mod subscriber;
mod subscription_manager;
mod workload;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use checker::Violation;
use round::{JournalRun, Plan, RoundResult, Scenario, run_round};

fn env_number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_guarantees_hold_under_faults() {
    let seconds = env_number("SWITCHBOARD_ROBUSTNESS_SECONDS");
    let first = env_number("SWITCHBOARD_ROBUSTNESS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let began = Instant::now();
    for round in 0.. {
        let seed = first.wrapping_add(round);
        println!("SWITCHBOARD_ROBUSTNESS_SEED={seed}");
        let plan = |scenario| Plan { seed, scenario };
        // Concurrently: a round spends most of its time waiting.
        let (strict, held, expiring) = tokio::join!(
            run_round(plan(Scenario::Strict)),
            run_round(plan(Scenario::Held)),
            run_round(plan(Scenario::Expiring))
        );
        for result in [strict, held, expiring] {
            assert_round_passed(seed, result);
        }
        if seconds.is_none_or(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            return;
        }
    }
}

/// Checks a round's histories and coverage. On a failure, saves the files of the round and panics.
fn assert_round_passed(seed: u64, result: RoundResult) {
    let (mut failures, mut dump) = (String::new(), String::new());
    for JournalRun { scenario, history, summary } in &result.runs {
        println!("scenario {scenario:?}:\n{summary}");
        let _ = writeln!(dump, "{scenario:?}\n{summary}\n{history:#?}");
        for Violation { check, detail } in checker::violations(history) {
            let _ = writeln!(failures, "{scenario:?}: violation of {check}: {detail}");
        }
        if let Some(excess) = summary.excess_memory() {
            let _ = writeln!(failures, "{scenario:?}: error: {excess}");
        }
        for missing in summary.insufficient_coverage(*scenario) {
            let _ = writeln!(failures, "{scenario:?}: insufficient coverage: {missing}");
        }
    }
    for error in &result.errors {
        let _ = writeln!(failures, "error: {error}");
    }
    if failures.is_empty() {
        println!("all {} checks passed", checker::check_count());
        return;
    }
    let folder = result.keep_files();
    std::fs::write(folder.join("history.txt"), format!("{failures}\n{dump}"))
        .expect("history.txt must be writable");
    panic!("SWITCHBOARD_ROBUSTNESS_SEED={seed}\n{failures}files saved in {}", folder.display());
}
