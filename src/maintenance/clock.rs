//! The wall clock for retention by age. It trusts a jump ahead only after the jump has lasted for an hour.
//!
//! Expired data cannot be restored. If an operator sets the clock far ahead by mistake and corrects it some minutes
//! later, a week of events must not be lost. The ids of requests must not be lost either, because those requests could
//! then be sent twice. So the wall clock is compared with a monotonic one. While the wall clock is ahead of the last
//! trusted time plus the monotonic time since, this clock continues from the trusted time. After an hour, the wall
//! clock is trusted. A wall clock that is behind is trusted at once, because it only makes retention longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::UnixMillis;

/// The maximum drift between the two clocks from one reading to the next.
const MAX_DRIFT: Duration = Duration::from_secs(60);

/// How long a jump ahead must last.
const JUMP_DURATION: Duration = Duration::from_secs(60 * 60);

/// A wall clock that ignores short jumps ahead.
#[derive(Debug)]
pub(super) struct JumpTolerantClock {
    /// The last trusted time, and when it was read.
    trusted: (UnixMillis, Instant),
    /// When the wall clock first was ahead of the expected time.
    ahead_since: Option<Instant>,
}

impl JumpTolerantClock {
    /// Starts at a time that is known to have passed. A wall clock that is already ahead at the start of the process is
    /// not trusted either.
    pub(super) fn starting_at(moment: UnixMillis) -> Self {
        Self { trusted: (moment, Instant::now()), ahead_since: None }
    }

    /// Returns the trusted time, given the time of the wall clock.
    pub(super) fn now(&mut self, wall: UnixMillis) -> UnixMillis {
        let now = Instant::now();
        let (moment, trusted_at) = self.trusted;
        let expected = moment.plus(now - trusted_at);
        if wall > expected.plus(MAX_DRIFT) {
            let since = *self.ahead_since.get_or_insert(now);
            if now - since < JUMP_DURATION {
                return expected;
            }
        }
        self.ahead_since = None;
        self.trusted = (wall, now);
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const START: UnixMillis = UnixMillis(1_700_000_000_000);

    /// A clock that has been read before.
    fn trusted_clock() -> JumpTolerantClock {
        let mut clock = JumpTolerantClock::starting_at(START);
        assert_eq!(clock.now(START), START);
        clock
    }

    #[tokio::test(start_paused = true)]
    async fn small_drift_is_trusted() {
        let mut clock = trusted_clock();
        let mut wall = START;
        for _ in 0..1_000 {
            tokio::time::advance(MINUTE).await;
            // It gains three seconds per minute.
            wall = wall.plus(Duration::from_secs(63));
            assert_eq!(clock.now(wall), wall);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reverted_jump_ahead_is_never_trusted() {
        let mut clock = trusted_clock();
        for minute in 1..59 {
            tokio::time::advance(MINUTE).await;
            assert_eq!(clock.now(START.plus(10 * DAY)), START.plus(minute * MINUTE));
        }
        tokio::time::advance(MINUTE).await;
        let wall = START.plus(59 * MINUTE);
        assert_eq!(clock.now(wall), wall);
        // Another jump must last for an hour again.
        tokio::time::advance(MINUTE).await;
        assert_eq!(clock.now(START.plus(10 * DAY)), START.plus(60 * MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn jump_ahead_is_trusted_after_an_hour() {
        let mut clock = trusted_clock();
        let ahead = START.plus(DAY);
        assert_eq!(clock.now(ahead), START);
        tokio::time::advance(JUMP_DURATION).await;
        assert_eq!(clock.now(ahead), ahead);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_set_back_is_trusted_at_once() {
        let mut clock = trusted_clock();
        let earlier = UnixMillis(START.0 - 86_400_000);
        assert_eq!(clock.now(earlier), earlier);
        tokio::time::advance(MINUTE).await;
        // A step ahead must last for an hour, even if it corrects the clock.
        assert_eq!(clock.now(START.plus(MINUTE)), earlier.plus(MINUTE));
    }

    #[tokio::test(start_paused = true)]
    async fn start_with_clock_ahead_continues_from_stored_time() {
        let mut clock = JumpTolerantClock::starting_at(START);
        assert_eq!(clock.now(START.plus(10 * DAY)), START);
        tokio::time::advance(MINUTE).await;
        assert_eq!(clock.now(START.plus(10 * DAY)), START.plus(MINUTE));
    }
}
