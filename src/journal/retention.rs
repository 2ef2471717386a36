//! Lets old events, requests and messages go, and the oldest events when they take too much.
//!
//! **Invariants.** The store is asked in small steps, each after the one before is on disk, so that whoever appends waits
//! for one step at most. That a subscription lost events is logged and counted, once for each time.

use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use super::steady::Steady;
use crate::domain::UnixMillis;
use crate::store::{Done, Health, Op, Store, Trim, Trimmed};
use crate::telemetry::metrics::SUBSCRIPTIONS_EXPIRED;

/// How often old events are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// How often a store that cannot write is tried, so that its health does not wait for the next webhook.
const PROBE: Duration = Duration::from_secs(1);

/// The most rows in one step: few, for the writer does nothing else meanwhile.
const STEP: u32 = 200;

/// The most bytes of events in one step.
const STEP_BYTES: u64 = 1 << 20;

/// How many bytes too many make events go at once. Not each single one: each step is a commit.
const SLACK: u64 = 1 << 20;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Events, after they were received.
    pub events: Duration,
    /// Events that a subscription has not acknowledged, after they were received.
    pub held_events: Duration,
    /// The most bytes of events, whoever has not acknowledged them.
    pub event_bytes: Option<u64>,
    /// Requests that can be repeated, after their attempt ended.
    pub requests: Duration,
    /// Messages, after they were made, and when a customer last wrote.
    pub messages: Duration,
}

/// Trims the store by age, by a clock whose jumps ahead must last, and by size.
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
        let mut bytes = self.store.bytes();
        let too_much = self.keep.event_bytes.map_or(u64::MAX, |most| most.saturating_add(SLACK));
        let mut due = time::interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nothing that is kept is from later than that, so nothing is too old before it.
        let newest = self.store.ends().await.ok().flatten().map_or(UnixMillis(0), |ends| ends.newest);
        let mut clock = Steady::starting_at(newest);
        loop {
            let (writable, failing) = match *health.borrow_and_update() {
                Health::Writable => (true, false),
                Health::Failing => (false, true),
                Health::Dead => (false, false),
            };
            tokio::select! {
                _ = due.tick() => {}
                () = time::sleep(PROBE), if failing => {}
                changed = health.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                open = grown_beyond(&mut bytes, too_much), if writable => match open {
                    true => {
                        self.trim_events(clock.now(UnixMillis::now())).await;
                        continue;
                    }
                    false => return,
                },
            }
            let now = clock.now(UnixMillis::now());
            self.trim_events(now).await;
            self.forget(now).await;
        }
    }

    /// Trims events, in small steps. A failure is known to the store's health, and told there.
    async fn trim_events(&self, now: UnixMillis) {
        let trim = Trim {
            before: now.minus(self.keep.events),
            held_before: now.minus(self.keep.held_events),
            most_bytes: self.keep.event_bytes,
            step_events: STEP,
            step_bytes: STEP_BYTES,
        };
        while let Some(Done::Trimmed(Trimmed { more, expired, .. })) = self.step(Op::Trim(trim)).await {
            for id in expired {
                tracing::error!(
                    subscription = %id,
                    "a subscription has expired: events that it had not acknowledged were let go, for they were too old or took too much"
                );
                counter!(SUBSCRIPTIONS_EXPIRED, "subscription" => id.to_string()).increment(1);
            }
            if !more {
                break;
            }
        }
    }

    async fn forget(&self, now: UnixMillis) {
        let forget = || Op::Forget {
            now,
            requests: now.minus(self.keep.requests),
            messages: now.minus(self.keep.messages),
            most: STEP,
        };
        while let Some(Done::Forgotten(rows)) = self.step(forget()).await
            && rows == u64::from(STEP)
        {}
    }

    /// Has one op written, and does not hurry it: what others commit takes it along, or it waits a moment for them.
    async fn step(&self, op: Op) -> Option<Done> {
        let handed_over = self.store.hand_over(vec![op]).await.ok()?;
        handed_over.durable().await.ok()?.pop()
    }
}

/// Waits until events take more than so many bytes. False when the store has closed.
async fn grown_beyond(bytes: &mut watch::Receiver<u64>, most: u64) -> bool {
    bytes.wait_for(|bytes| *bytes > most).await.is_ok()
}
