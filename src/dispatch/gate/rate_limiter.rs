//! The rate limiter of an account: a token bucket with a first-in, first-out queue, and a pause for each class of calls.
//!
//! **Invariants.** In the queue, no call overtakes another. Only the head of the queue waits for a token; the others wait
//! for the head. A call whose class is paused is not in the queue, so a throttled read never delays a send. After a
//! pause, the calls that waited for its end join the queue in any order.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Class;

/// The bucket holds the tokens of one second divided by this.
const BURST_DIVISOR: u32 = 10;

/// A token bucket with a queue.
#[derive(Debug)]
pub(super) struct TokenBucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>,
    clock: Clock,
    interval: Duration,
    burst: usize,
    /// Held by the head of the queue. Tokio's mutex serves its waiters in order.
    head: tokio::sync::Mutex<()>,
    queue_length: AtomicUsize,
    /// Tokens that were returned unused.
    returned_tokens: AtomicUsize,
    /// When the head of the queue expects its token.
    head_ready_at: Mutex<Instant>,
    pauses: [Pause; Class::ALL.len()],
}

/// The pause that the provider has asked for, for one class of calls.
#[derive(Debug)]
struct Pause {
    until: watch::Sender<Instant>,
    /// The calls that wait for its end.
    waiting: AtomicUsize,
}

impl Pause {
    fn until(&self) -> Instant {
        *self.until.borrow()
    }

    fn is_over(&self) -> bool {
        self.until() <= Instant::now()
    }
}

/// Time as the tokio runtime measures it, so tests can pause it.
#[derive(Clone, Debug)]
struct Clock {
    start: Instant,
}

impl clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Keeps a counter incremented until it is dropped.
#[derive(Debug)]
pub(super) struct CountGuard<'a>(&'a AtomicUsize);

impl<'a> CountGuard<'a> {
    pub(super) fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for CountGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TokenBucket {
    /// Makes a full bucket with an empty queue.
    pub(super) fn new(calls_per_second: u32) -> Self {
        let rate = NonZeroU32::new(calls_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(rate.get() / BURST_DIVISOR).unwrap_or(NonZeroU32::MIN);
        let clock = Clock { start: Instant::now() };
        Self {
            limiter: RateLimiter::direct_with_clock(
                Quota::per_second(rate).allow_burst(burst),
                clock.clone(),
            ),
            interval: Duration::from_secs(1) / rate.get(),
            burst: burst.get() as usize,
            head: tokio::sync::Mutex::new(()),
            queue_length: AtomicUsize::new(0),
            returned_tokens: AtomicUsize::new(0),
            head_ready_at: Mutex::new(clock.start),
            pauses: Class::ALL
                .map(|_| Pause { until: watch::Sender::new(clock.start), waiting: AtomicUsize::new(0) }),
            clock,
        }
    }

    fn pause_of(&self, class: Class) -> &Pause {
        &self.pauses[class as usize]
    }

    /// Estimates when a call that arrives now gets its token, after all calls in the queue and `before` more.
    pub(super) fn estimate(&self, class: Class, before: usize) -> Instant {
        let pause = self.pause_of(class);
        let ahead = self.queue_length.load(Ordering::Relaxed) + before;
        let now = Instant::now();
        let (from, ahead) = if !pause.is_over() {
            // The bucket fills during the pause, so the first calls after it form a burst.
            let ahead = pause.waiting.load(Ordering::Relaxed);
            (pause.until(), (ahead + 1).saturating_sub(self.burst))
        } else if ahead > 0 {
            (self.head_ready_at().max(now), ahead)
        } else {
            (now, 0)
        };
        from + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    /// Waits until the class is not paused.
    pub(super) async fn wait_for_pause(&self, class: Class) {
        let pause = self.pause_of(class);
        if !pause.is_over() {
            let _counted = CountGuard::new(&pause.waiting);
            while !pause.is_over() {
                sleep_until(pause.until()).await;
            }
        }
    }

    /// Waits for a token, after all calls that came before. Returns false if the class was paused meanwhile.
    ///
    /// # Errors
    ///
    /// If the token would come after `until`: how long it would take.
    pub(super) async fn acquire(&self, class: Class, until: Instant) -> Result<bool, Duration> {
        let _counted = CountGuard::new(&self.queue_length);
        let _head = self.head.lock().await;
        loop {
            if !self.pause_of(class).is_over() {
                return Ok(false);
            }
            let now = Instant::now();
            let ready_at = match self.take() {
                Ok(()) => return Ok(true),
                Err(wait) => now + wait,
            };
            *self.head_ready_at.lock().unwrap_or_else(PoisonError::into_inner) = ready_at;
            if ready_at > until {
                return Err(ready_at.saturating_duration_since(now));
            }
            sleep_until(ready_at).await;
        }
    }

    /// Takes a token if the queue is empty, the class is not paused, and a token is there.
    pub(super) fn try_acquire(&self, class: Class) -> bool {
        let pause = self.pause_of(class);
        self.queue_length.load(Ordering::Relaxed) == 0
            && pause.waiting.load(Ordering::Relaxed) == 0
            && pause.is_over()
            && self.take().is_ok()
    }

    /// Returns a token that was not used. The bucket keeps at most one burst of them.
    pub(super) fn return_token(&self) {
        let increment = |tokens| (tokens < self.burst).then_some(tokens + 1);
        let _ = self.returned_tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment);
    }

    /// Takes a token, or returns how long until there is one.
    fn take(&self) -> Result<(), Duration> {
        let decrement = |tokens: usize| tokens.checked_sub(1);
        if self.returned_tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok() {
            return Ok(());
        }
        self.limiter.check().map_err(|not_until| not_until.wait_time_from(clock::Clock::now(&self.clock)))
    }

    /// Hands out no token to the class before `until`. A pause never shortens an earlier one.
    pub(super) fn pause(&self, class: Class, until: Instant) {
        self.pause_of(class).until.send_if_modified(|paused_until| {
            let later = until > *paused_until;
            *paused_until = until.max(*paused_until);
            later
        });
    }

    /// Waits until the class has a pause that ends after `until`, and returns its remaining length.
    pub(super) async fn paused_beyond(&self, class: Class, until: Instant) -> Duration {
        let mut paused_until = self.pause_of(class).until.subscribe();
        let end = paused_until.wait_for(|end| *end > until).await.map(|end| *end);
        end.expect("the bucket outlives its queue").saturating_duration_since(Instant::now())
    }

    fn head_ready_at(&self) -> Instant {
        *self.head_ready_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
