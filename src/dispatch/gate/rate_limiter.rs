//! The line before a provider: so many calls in a second, first come, first served.
//!
//! **Invariant:** nobody overtakes. Whoever is first waits for the token; the others wait for whoever is first.

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

/// The part of a second whose calls may go at once after a rest.
const BURST: u32 = 10;

/// A token bucket with a queue before it.
#[derive(Debug)]
pub(super) struct TokenBucket {
    bucket: RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>,
    clock: Clock,
    interval: Duration,
    burst: usize,
    /// Held by whoever is first. Its waiters are served in their order.
    first: tokio::sync::Mutex<()>,
    length: AtomicUsize,
    /// Tokens that were given back.
    spare: AtomicUsize,
    /// When whoever is first expects to go.
    next: Mutex<Instant>,
    /// Until when nobody may go, because the provider said so.
    paused: watch::Sender<Instant>,
}

/// Time, as the runtime counts it.
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

/// One that counts for as long as it is held.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TokenBucket {
    /// A line that nobody stands in, before a full bucket.
    pub(super) fn new(calls_per_second: u32) -> Self {
        let rate = NonZeroU32::new(calls_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = NonZeroU32::new(rate.get() / BURST).unwrap_or(NonZeroU32::MIN);
        let clock = Clock { start: Instant::now() };
        Self {
            bucket: RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), clock.clone()),
            interval: Duration::from_secs(1) / rate.get(),
            burst: burst.get() as usize,
            first: tokio::sync::Mutex::new(()),
            length: AtomicUsize::new(0),
            spare: AtomicUsize::new(0),
            next: Mutex::new(clock.start),
            paused: watch::Sender::new(clock.start),
            clock,
        }
    }

    /// When somebody could go who came now, behind all in the line and so many more, as far as can be foreseen.
    pub(super) fn foreseen(&self, before: usize) -> Instant {
        let ahead = self.length.load(Ordering::Relaxed) + before;
        let (now, paused) = (Instant::now(), *self.paused.borrow());
        let (from, ahead) = if paused > now {
            // The bucket fills meanwhile, and the first few go at once.
            (paused, (ahead + 1).saturating_sub(self.burst))
        } else if ahead > 0 {
            (self.next().max(now), ahead)
        } else {
            (now, 0)
        };
        from + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    /// Waits for a token, behind all who came before.
    ///
    /// # Errors
    ///
    /// When it would come after `until`: how long that would take.
    pub(super) async fn token(&self, until: Instant) -> Result<(), Duration> {
        let _counted = Counted::new(&self.length);
        let _first = self.first.lock().await;
        loop {
            let (now, paused) = (Instant::now(), *self.paused.borrow());
            let next = if paused > now {
                paused
            } else {
                match self.take() {
                    Ok(()) => return Ok(()),
                    Err(wait) => now + wait,
                }
            };
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
            if next > until {
                return Err(next.saturating_duration_since(now));
            }
            sleep_until(next).await;
        }
    }

    /// Takes a token if there is one for somebody who comes now.
    pub(super) fn try_token(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
            && *self.paused.borrow() <= Instant::now()
            && self.take().is_ok()
    }

    /// Gives a token back that was not used. Not more than may go at once are kept.
    pub(super) fn give_back(&self) {
        let more = |spare| (spare < self.burst).then_some(spare + 1);
        let _ = self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes a token, or says how long that takes.
    fn take(&self) -> Result<(), Duration> {
        let less = |spare: usize| spare.checked_sub(1);
        if self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return Ok(());
        }
        self.bucket.check().map_err(|not_until| not_until.wait_time_from(clock::Clock::now(&self.clock)))
    }

    /// Lets nobody go before `until`, nor before what was said earlier.
    pub(super) fn pause(&self, until: Instant) {
        self.paused.send_if_modified(|paused| {
            let later = until > *paused;
            *paused = until.max(*paused);
            later
        });
    }

    /// Waits until nobody may go before `until` any more, and gives how long all must wait.
    pub(super) async fn paused_beyond(&self, until: Instant) -> Duration {
        let mut paused = self.paused.subscribe();
        let paused = paused.wait_for(|paused| *paused > until).await.map(|paused| *paused);
        paused.expect("the line outlives those in it").saturating_duration_since(Instant::now())
    }

    fn next(&self) -> Instant {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
