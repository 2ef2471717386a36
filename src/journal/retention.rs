//! Lets old events, requests and messages go.

use std::time::Duration;

use tokio::time::{self, MissedTickBehavior};

use super::steady::Steady;
use crate::domain::UnixMillis;
use crate::store::{Done, Health, Op, Store, Trim};

/// How often old events are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// How often a store that cannot write is tried, so that its health does not wait for the next webhook.
const PROBE: Duration = Duration::from_secs(1);

/// The most events in one step: small, for the writer does nothing else meanwhile.
const STEP: u32 = 200;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Events, after they were received.
    pub events: Duration,
    /// Requests that can be repeated, after their attempt ended.
    pub requests: Duration,
    /// Messages, after they were made, and when a customer last wrote.
    pub messages: Duration,
}

/// Trims the store by age, by a clock whose jumps ahead must last.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    keep: Keep,
}

impl Retention {
    /// What must be run for old things to go.
    pub fn new(store: Store, keep: Keep) -> Self {
        Self { store, keep }
    }

    /// Runs until it is dropped, or the store has closed.
    pub async fn run(self) {
        let mut health = self.store.health();
        let mut due = time::interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nothing that is kept is from later than that, so nothing is too old before it.
        let newest = self.store.ends().await.ok().flatten().map_or(UnixMillis(0), |ends| ends.newest);
        let mut clock = Steady::starting_at(newest);
        loop {
            let failing = *health.borrow_and_update() == Health::Failing;
            tokio::select! {
                _ = due.tick() => {}
                () = time::sleep(PROBE), if failing => {}
                changed = health.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            self.trim(clock.now(UnixMillis::now())).await;
        }
    }

    /// Trims, in small steps. A failure is known to the store's health, and told there.
    async fn trim(&self, now: UnixMillis) {
        let most = STEP;
        let events = || Op::Trim(Trim::older_than(now.minus(self.keep.events), most));
        let records = || Op::Forget {
            requests: now.minus(self.keep.requests),
            messages: now.minus(self.keep.messages),
            most,
        };
        for op in [&events as &(dyn Fn() -> Op + Sync), &records] {
            loop {
                let more = match self.store.commit(vec![op()]).await.as_deref() {
                    Ok([Done::Trimmed(trimmed)]) => trimmed.more,
                    Ok([Done::Forgotten(rows)]) => *rows == u64::from(STEP),
                    _ => false,
                };
                if !more {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
