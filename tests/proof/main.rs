//! The proof: the promises of the streams, held against what readers saw of the real server while faults fell on it.
//!
//! A *round* ([`round`]) is a server with a journal of its own, which is killed, stopped, cut off from its disk and set
//! back in time, by a schedule that is drawn from a seed ([`trouble`]); publishers that deliver webhooks as a provider
//! does ([`publisher`]); readers of all kinds, behind lines that break ([`reader`], [`lister`], [`proxy`]). Each writes
//! down what it saw ([`record`]). Then all settles, one reader reads the whole journal, and the [`checker`] holds the
//! records against every promise by its name. `docs/proof.md` says more.
//!
//! | variable | what it says | when absent |
//! |---|---|---|
//! | `SWITCHBOARD_PROOF_SEED` | the seed of the first round | random |
//! | `SWITCHBOARD_PROOF_SECONDS` | for how long rounds are begun | one round of each kind |
#![cfg(target_os = "linux")]

mod binary;
mod cast;
mod checker;
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "../it/support/faults.rs"]
mod faults;
mod ledger;
mod lister;
mod proxy;
mod publisher;
mod reader;
mod record;
mod round;
mod subscription;
mod summary;
mod trouble;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use checker::Broken;
use round::{Act, Kind, Outcome, Plan, play};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_of_the_streams_holds_under_faults() {
    let seconds = number("SWITCHBOARD_PROOF_SECONDS");
    let first = number("SWITCHBOARD_PROOF_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let began = Instant::now();
    for round in 0.. {
        let seed = first.wrapping_add(round);
        println!("SWITCHBOARD_PROOF_SEED={seed}");
        let plan = |kind| Plan { seed, kind };
        // Beside each other: most of the time, each waits.
        let (strict, kept, expiring) =
            tokio::join!(play(plan(Kind::Strict)), play(plan(Kind::Held)), play(plan(Kind::Expiring)));
        for outcome in [strict, kept, expiring] {
            hold(seed, outcome);
        }
        if seconds.is_none_or(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            return;
        }
    }
}

/// Holds what came of a round against the promises.
fn hold(seed: u64, outcome: Outcome) {
    let (mut verdict, mut told) = (String::new(), String::new());
    for Act { kind, records, summary } in &outcome.acts {
        println!("a round of {kind:?}:\n{summary}");
        let _ = writeln!(told, "{kind:?}\n{summary}\n{records:#?}");
        for Broken { promise, told } in checker::check(records) {
            let _ = writeln!(verdict, "{kind:?}: BROKEN {promise}: {told}");
        }
        if let Some(wrong) = summary.too_much() {
            let _ = writeln!(verdict, "{kind:?}: WRONG {wrong}");
        }
        for little in summary.too_little(*kind) {
            let _ = writeln!(verdict, "{kind:?}: TOO LITTLE {little}");
        }
    }
    for wrong in &outcome.wrong {
        let _ = writeln!(verdict, "WRONG {wrong}");
    }
    if verdict.is_empty() {
        println!("all {} promises were kept", checker::promises());
        return;
    }
    let folder = outcome.keep();
    std::fs::write(folder.join("records.txt"), format!("{verdict}\n{told}")).expect("written");
    panic!("SWITCHBOARD_PROOF_SEED={seed}\n{verdict}kept in {}", folder.display());
}
