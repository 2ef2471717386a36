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
mod checker;
#[path = "../it/faults.rs"]
mod faults;
mod ledger;
mod lister;
mod proxy;
mod publisher;
mod reader;
mod record;
mod round;
mod summary;
mod trouble;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use checker::Broken;
use round::{Outcome, Plan, Retention, play};

/// For how long faults fall in a round: about enough for each to strike.
const FAULTS: Duration = Duration::from_secs(16);

/// The same, where there are fewer of them.
const FEWER_FAULTS: Duration = Duration::from_secs(6);

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
        for (retention, faults) in [(Retention::Long, FAULTS), (Retention::Short, FEWER_FAULTS)] {
            println!("a round with {retention:?} retention: SWITCHBOARD_PROOF_SEED={seed}");
            hold(Plan { seed, faults, retention }, play(Plan { seed, faults, retention }).await);
        }
        if seconds.is_none_or(|seconds| began.elapsed() >= Duration::from_secs(seconds)) {
            return;
        }
    }
}

/// Holds what came of a round against the promises.
fn hold(plan: Plan, outcome: Outcome) {
    println!("{}", outcome.summary);
    let mut verdict = String::new();
    for Broken { promise, told } in checker::check(&outcome.records) {
        let _ = writeln!(verdict, "BROKEN {promise}: {told}");
    }
    let too_little = outcome.summary.too_little(plan.retention);
    for wrong in outcome.wrong.iter().chain(&outcome.summary.too_much()) {
        let _ = writeln!(verdict, "WRONG {wrong}");
    }
    for little in too_little {
        let _ = writeln!(verdict, "TOO LITTLE {little}");
    }
    if verdict.is_empty() {
        println!("all {} promises were kept", checker::promises());
        return;
    }
    let records = format!("{verdict}\n{}\n{:#?}\n", outcome.summary, outcome.records);
    let folder = outcome.keep();
    std::fs::write(folder.join("records.txt"), records).expect("written");
    panic!("SWITCHBOARD_PROOF_SEED={}\n{verdict}kept in {}", plan.seed, folder.display());
}
