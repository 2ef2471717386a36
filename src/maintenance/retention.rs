//! Retention: deletes old events, requests and messages, and the oldest events if events exceed their size limit.
//!
//! **Invariants.** Retention works in small steps. A step starts after the previous one is durable, so an append waits
//! for at most one step. Steps grow in proportion to what was appended meanwhile, so the journal stays within its
//! limits at any rate of appends. Each time a subscription loses events, this is logged and counted once. It is logged
//! again at the next start, because the process may have ended before it was logged.

use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use super::clock::JumpTolerantClock;
use crate::domain::{SubscriptionId, UnixMillis};
use crate::store::{Health, LogRange, Op, OpResult, Store, SubscriptionPosition, Trim, Trimmed};
use crate::telemetry::metrics::{SUBSCRIPTIONS_EXPIRED, subscriptions};

/// How often retention by age runs.
const INTERVAL: Duration = Duration::from_secs(60);

/// How often a failing store is tried. It can become healthy before the next webhook arrives.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum number of rows per step while little is appended. It is small because the writer does nothing else
/// during a step.
const STEP_ROWS: u32 = 200;

/// The maximum number of bytes of events per step while little is appended.
const STEP_BYTES: u64 = 1 << 20;

/// A step deletes this many times what was appended meanwhile, so the journal shrinks.
const GROWTH_FACTOR: u32 = 2;

/// How many bytes above the limit start a trim. Trimming every single event would make a commit for each.
const SIZE_SLACK: u64 = 1 << 20;

/// How long data is kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionPolicy {
    /// The age of events since they were received.
    pub events: Duration,
    /// The age of events that a subscription has not acknowledged, since they were received.
    pub unacknowledged_events: Duration,
    /// The maximum number of bytes of events, acknowledged or not.
    pub event_bytes: Option<u64>,
    /// The age of request records since their attempt finished.
    pub requests: Duration,
    /// The age of messages since they were created, and of conversations since the customer last wrote.
    pub messages: Duration,
}

/// The limits of the next step. They grow with what was appended since the previous measurement.
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

    /// Measures again after a step that deleted `trimmed`. Growth counts from the previous measurement and not from the
    /// start of the step, so no append between two steps is missed.
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

/// Trims the store by age and by size.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    policy: RetentionPolicy,
}

impl Retention {
    /// Makes the task. Data expires while [`run`](Self::run) runs.
    pub fn new(store: Store, policy: RetentionPolicy) -> Self {
        Self { store, policy }
    }

    /// Runs until it is dropped or the store has closed.
    pub async fn run(self) {
        let mut health = self.store.health();
        let mut bytes = self.store.bytes();
        let trim_above = self.policy.event_bytes.map_or(u64::MAX, |max| max.saturating_add(SIZE_SLACK));
        let mut ticks = time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // No stored event was received after this time, so the clock may trust it.
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

    /// Commits one step. Returns whether another step would find more. A failure also ends the steps. The store logs it
    /// and reports it in its health.
    pub(super) async fn step(&self, clock: &mut JumpTolerantClock, limits: &mut StepLimits) -> bool {
        let now = clock.now(UnixMillis::now());
        let trim = Trim {
            before: now.minus(self.policy.events),
            force_before: now.minus(self.policy.unacknowledged_events),
            max_bytes: self.policy.event_bytes,
            step_events: limits.events,
            step_bytes: limits.bytes,
        };
        let expire = Op::Expire {
            now,
            requests: now.minus(self.policy.requests),
            messages: now.minus(self.policy.messages),
            max_rows: STEP_ROWS,
        };
        let Some((trimmed, expired_rows)) = self.commit_step(trim, expire).await else { return false };
        report_expired(&trimmed.expired);
        limits.adapt(&self.store, &trimmed);
        trimmed.more || expired_rows >= u64::from(STEP_ROWS)
    }

    /// Logs the subscriptions that have lost events before this start.
    async fn log_expired(&self) {
        let Ok(subscription_positions) = self.store.subscription_positions().await else { return };
        let LogRange { oldest, .. } = self.store.log_range();
        for SubscriptionPosition { id, sequence, .. } in subscription_positions {
            if sequence + 1 < oldest {
                tracing::error!(
                    subscription = %id,
                    "subscription is expired: events that it had not acknowledged were trimmed"
                );
            }
        }
    }

    /// Commits one step together with the next commit of another caller, or alone after a short wait. Returns the
    /// result of the trim and the largest number of rows that expired of any one kind.
    async fn commit_step(&self, trim: Trim, expire: Op) -> Option<(Trimmed, u64)> {
        let pending = self.store.submit(vec![Op::Trim(trim), expire]).await.ok()?;
        match <[OpResult; 2]>::try_from(pending.durable().await.ok()?) {
            Ok([OpResult::Trimmed(trimmed), OpResult::Expired(rows)]) => Some((trimmed, rows)),
            _ => unreachable!("each op has a result of its kind"),
        }
    }
}

/// Logs and counts the subscriptions that have lost events now.
fn report_expired(expired: &[SubscriptionId]) {
    for id in expired {
        tracing::error!(
            subscription = %id,
            "subscription expired: events that it had not acknowledged exceeded the retention time or size and were trimmed"
        );
        metrics::with_local_recorder(subscriptions(), || {
            counter!(SUBSCRIPTIONS_EXPIRED, "subscription" => id.to_string()).increment(1);
        });
    }
}

/// Waits until events take more than `max` bytes. Returns false if the store has closed.
async fn wait_until_above(bytes: &mut watch::Receiver<u64>, max: u64) -> bool {
    bytes.wait_for(|bytes| *bytes > max).await.is_ok()
}
