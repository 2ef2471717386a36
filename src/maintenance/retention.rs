//! Lets old events, requests and messages go, and the oldest events when they take too much.
//!
//! **Invariants.** The store is asked in small steps, each after the one before is on disk, so that whoever appends waits
//! for one step at most. What comes meanwhile makes steps longer, in proportion to it: the journal does not outgrow its
//! bounds because much comes. That a subscription lost events is logged and counted once for each time; and logged again at
//! the next start, for the process may have ended in between.

use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use super::clock::JumpTolerantClock;
use crate::domain::{SubscriptionId, UnixMillis};
use crate::store::{Health, LogRange, Op, OpResult, Store, SubscriptionPosition, Trim, Trimmed};
use crate::telemetry::metrics::SUBSCRIPTIONS_EXPIRED;

/// How often old events are looked for.
const INTERVAL: Duration = Duration::from_secs(60);

/// How often a store that cannot write is tried, so that its health does not wait for the next webhook.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The most rows in one step, where not more than that comes meanwhile: few, for the writer does nothing else.
const STEP_ROWS: u32 = 200;

/// The most bytes of events in one step, where not more than that comes meanwhile.
const STEP_BYTES: u64 = 1 << 20;

/// How many times more than came meanwhile a step takes, so that the journal gets shorter.
const GROWTH_FACTOR: u32 = 2;

/// How many bytes too many make events go at once. Not each single one: each step is a commit.
const SIZE_SLACK: u64 = 1 << 20;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionPolicy {
    /// Events, after they were received.
    pub events: Duration,
    /// Events that a subscription has not acknowledged, after they were received.
    pub unacknowledged_events: Duration,
    /// The most bytes of events, whoever has not acknowledged them.
    pub event_bytes: Option<u64>,
    /// Requests that can be repeated, after their attempt ended.
    pub requests: Duration,
    /// Messages, after they were made, and when a customer last wrote.
    pub messages: Duration,
}

/// The limits of the next step. They grow with what was appended since the previous step was measured.
#[derive(Debug)]
pub(super) struct StepLimits {
    events: u32,
    bytes: u64,
    /// The newest sequence number at the last measurement.
    newest: u64,
    /// The bytes of all events at the last measurement.
    journal_bytes: u64,
}

impl StepLimits {
    pub(super) fn new(store: &Store) -> Self {
        let (newest, journal_bytes) = measure(store);
        Self { events: STEP_ROWS, bytes: STEP_BYTES, newest, journal_bytes }
    }

    /// Measures again after a step that deleted `trimmed`. It counts from the previous measurement and not from the
    /// start of the step, so that no append between two steps is missed.
    fn adapt(&mut self, store: &Store, trimmed: &Trimmed) {
        let (newest, journal_bytes) = measure(store);
        let events = u32::try_from(newest - self.newest).unwrap_or(u32::MAX);
        let bytes = (journal_bytes + trimmed.bytes).saturating_sub(self.journal_bytes);
        self.events = STEP_ROWS.max(events.saturating_mul(GROWTH_FACTOR));
        self.bytes = STEP_BYTES.max(bytes.saturating_mul(GROWTH_FACTOR.into()));
        (self.newest, self.journal_bytes) = (newest, journal_bytes);
    }
}

/// Returns the newest sequence number and the bytes of all events.
fn measure(store: &Store) -> (u64, u64) {
    (store.log_range().newest, *store.bytes().borrow())
}

/// Trims the store by age, by a clock whose jumps ahead must last, and by size.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    policy: RetentionPolicy,
}

impl Retention {
    /// What must be run for old things to go.
    pub fn new(store: Store, policy: RetentionPolicy) -> Self {
        Self { store, policy }
    }

    /// Runs until it is dropped, or the store has closed.
    pub async fn run(self) {
        let mut health = self.store.health();
        let mut bytes = self.store.bytes();
        let trim_above = self.policy.event_bytes.map_or(u64::MAX, |max| max.saturating_add(SIZE_SLACK));
        let mut ticks = time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nothing that is kept is from later than that, so nothing is too old before it.
        let newest_receive_time =
            self.store.time_range().await.ok().flatten().map_or(UnixMillis(0), |range| range.newest);
        let mut clock = JumpTolerantClock::starting_at(newest_receive_time);
        self.log_expired().await;
        loop {
            let (writable, failing) = match *health.borrow_and_update() {
                Health::Writable => (true, false),
                Health::Failing => (false, true),
                Health::Dead => (false, false),
            };
            tokio::select! {
                _ = ticks.tick() => {}
                () = time::sleep(PROBE_INTERVAL), if failing => {}
                changed = health.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                open = wait_until_above(&mut bytes, trim_above), if writable => if !open {
                    return;
                },
            }
            self.expire_old_data(&mut clock).await;
        }
    }

    /// Deletes everything that exceeds a limit, in small steps.
    async fn expire_old_data(&self, clock: &mut JumpTolerantClock) {
        let mut limits = StepLimits::new(&self.store);
        while self.step(clock, &mut limits).await {}
    }

    /// Commits one step. Returns whether another step would find more. A failure also ends the steps; the store's
    /// health reports it and the store logs it.
    pub(super) async fn step(&self, clock: &mut JumpTolerantClock, limits: &mut StepLimits) -> bool {
        let now = clock.now(UnixMillis::now());
        let trim = Trim {
            before: now.minus(self.policy.events),
            held_before: now.minus(self.policy.unacknowledged_events),
            most_bytes: self.policy.event_bytes,
            step_events: limits.events,
            step_bytes: limits.bytes,
        };
        let expire = Op::Expire {
            now,
            requests: now.minus(self.policy.requests),
            messages: now.minus(self.policy.messages),
            most: STEP_ROWS,
        };
        let Some((trimmed, expired_rows)) = self.commit_step(trim, expire).await else { return false };
        report_expired(&trimmed.expired);
        limits.adapt(&self.store, &trimmed);
        trimmed.more || expired_rows >= u64::from(STEP_ROWS)
    }

    /// Tells of the subscriptions that have lost events before.
    async fn log_expired(&self) {
        let Ok(subscription_positions) = self.store.subscription_positions().await else { return };
        let LogRange { oldest, .. } = self.store.log_range();
        for SubscriptionPosition { id, sequence, .. } in subscription_positions {
            if sequence + 1 < oldest {
                tracing::error!(
                    subscription = %id,
                    "a subscription is expired: events that it had not acknowledged were let go"
                );
            }
        }
    }

    /// Has one step written, and does not hurry it: what others commit takes it along, or it waits a moment for them.
    /// Says how many rows were forgotten, of the kind of which there were most.
    async fn commit_step(&self, trim: Trim, expire: Op) -> Option<(Trimmed, u64)> {
        let pending = self.store.submit(vec![Op::Trim(trim), expire]).await.ok()?;
        match <[OpResult; 2]>::try_from(pending.durable().await.ok()?) {
            Ok([OpResult::Trimmed(trimmed), OpResult::Expired(rows)]) => Some((trimmed, rows)),
            _ => unreachable!("what was asked for is answered"),
        }
    }
}

/// Tells of subscriptions that have lost events now.
fn report_expired(expired: &[SubscriptionId]) {
    for id in expired {
        tracing::error!(
            subscription = %id,
            "a subscription has expired: events that it had not acknowledged were let go, for they were too old or took too much"
        );
        counter!(SUBSCRIPTIONS_EXPIRED, "subscription" => id.to_string()).increment(1);
    }
}

/// Waits until events take more than so many bytes. False when the store has closed.
async fn wait_until_above(bytes: &mut watch::Receiver<u64>, max: u64) -> bool {
    bytes.wait_for(|bytes| *bytes > max).await.is_ok()
}
