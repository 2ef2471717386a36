//! The wall clock, for what is forgotten by age: a jump ahead is believed only when it has lasted.
//!
//! What is forgotten does not come back. A wall clock that is set far ahead by mistake, and set right some minutes later,
//! must not cost anybody a week of events, or the ids of requests that can then be sent twice. So the clock is held
//! against one that nobody sets. While it is ahead of what that one makes of the last moment that was believed, time goes
//! on from there; after an hour the wall clock is right. A clock that is behind is believed at once, for it only keeps
//! things for longer.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::UnixMillis;

/// How far clocks may drift apart between two looks.
const MAX_DRIFT: Duration = Duration::from_secs(60);

/// How long a jump must last.
const JUMP_DURATION: Duration = Duration::from_secs(60 * 60);

/// What is believed of the wall clock.
#[derive(Debug)]
pub(super) struct JumpTolerantClock {
    /// A moment that is believed, and when it was.
    trusted: (UnixMillis, Instant),
    /// Since when the wall clock has been ahead of that.
    ahead_since: Option<Instant>,
}

impl JumpTolerantClock {
    /// A clock that has stood at least there already: before the process began, the wall clock had nobody to watch it.
    pub(super) fn starting_at(moment: UnixMillis) -> Self {
        Self { trusted: (moment, Instant::now()), ahead_since: None }
    }

    /// The moment, given what the wall clock says.
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

    /// A clock that has been watched for a while.
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
            // It gains three seconds in a minute.
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
        // And another has to last as long again.
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
        // What may be the right time again must last all the same.
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
