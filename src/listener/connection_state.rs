//! Whose turn it is on a connection, and how long that may last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::idle_queue::{IdleQueue, Ticket};

/// Where a connection stands. All know of it that see a part: the stream below HTTP, and the service above.
#[derive(Debug)]
pub(super) struct ConnectionState {
    line: Arc<IdleQueue>,
    limits: Limits,
    cut: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// In the line, while it is the peer's turn.
    place: Option<Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request is there.
    Idle,
    /// Some of its header is there.
    Head,
    /// The service has the header, and the body is arriving.
    Body,
    /// The service has all that it wants.
    Working,
    /// The answer is on its way, and the peer has to take it.
    Answer,
}

/// Held by a request's body: when the service drops it, the service has all that it wants.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<ConnectionState>);

impl ConnectionState {
    /// A new connection: the peer has to begin.
    pub(super) fn new(line: Arc<IdleQueue>, limits: Limits) -> Self {
        let cut = CancellationToken::new();
        let place = Some(line.join(cut.clone()));
        let state = State { phase: Phase::Idle, since: Instant::now(), place };
        Self { line, limits, cut, state: Mutex::new(state) }
    }

    /// Ends when the connection has to make room.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            self.enter(&mut state, Phase::Head);
        }
    }

    /// A request's header is there in full.
    pub(super) fn begin(self: &Arc<Self>) -> RequestInFlight {
        self.enter(&mut self.state(), Phase::Body);
        RequestInFlight(Arc::clone(self))
    }

    /// The service has answered.
    pub(super) fn answer(&self) {
        self.enter(&mut self.state(), Phase::Answer);
    }

    /// All that was written is on its way.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.phase == Phase::Answer {
            self.enter(&mut state, Phase::Idle);
        }
    }

    /// Whether a request is under way, and its answer may be waited for.
    pub(super) fn has_request(&self) -> bool {
        match self.state().phase {
            Phase::Idle | Phase::Head => false,
            Phase::Body | Phase::Working | Phase::Answer => true,
        }
    }

    /// Until when it may stay as it is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Idle => Some(state.since + self.limits.idle),
            Phase::Head | Phase::Answer => Some(state.since + self.limits.slow),
            Phase::Body | Phase::Working => None,
        }
    }

    /// Each phase is a wait of its own, but a byte of a header must not be enough to be new in the line.
    fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        state.since = Instant::now();
        match phase {
            Phase::Head => {}
            Phase::Idle | Phase::Body | Phase::Answer => {
                self.leave(state);
                state.place = Some(self.line.join(self.cut.clone()));
            }
            Phase::Working => self.leave(state),
        }
    }

    fn leave(&self, state: &mut State) {
        if let Some(place) = state.place.take() {
            self.line.leave(place);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.leave(&mut self.state());
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase == Phase::Body {
            self.0.enter(&mut state, Phase::Working);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Limits = Limits {
        section: "test",
        connections: 16,
        idle: Duration::from_secs(180),
        slow: Duration::from_secs(10),
    };

    #[tokio::test(start_paused = true)]
    async fn only_who_waits_for_the_peer_stands_in_the_line() {
        let line = Arc::new(IdleQueue::default());
        let turn = Arc::new(ConnectionState::new(Arc::clone(&line), LIMITS));
        turn.heard();
        let arriving = turn.begin();
        drop(arriving);
        assert!(!line.cut_first(), "what is worked on is not closed");
        turn.answer();
        turn.flushed();
        assert!(line.cut_first());
        assert!(turn.cut.is_cancelled());
        drop(turn);
        assert!(!line.cut_first());
    }

    #[tokio::test(start_paused = true)]
    async fn more_bytes_of_a_header_win_neither_time_nor_a_better_place() {
        let line = Arc::new(IdleQueue::default());
        let turn = Arc::new(ConnectionState::new(Arc::clone(&line), LIMITS));
        let other = ConnectionState::new(Arc::clone(&line), LIMITS);
        turn.heard();
        let deadline = turn.deadline().expect("a header has one");
        assert_eq!(deadline, Instant::now() + LIMITS.slow);
        tokio::time::advance(Duration::from_secs(9)).await;
        turn.heard();
        assert_eq!(turn.deadline(), Some(deadline));
        assert!(line.cut_first());
        assert!(turn.cut.is_cancelled() && !other.cut.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_between_requests_is_counted_from_the_last_answer() {
        let turn = Arc::new(ConnectionState::new(Arc::default(), LIMITS));
        assert_eq!(turn.deadline(), Some(Instant::now() + LIMITS.idle));
        let arriving = turn.begin();
        assert_eq!((turn.deadline(), turn.has_request()), (None, true));
        drop(arriving);
        assert_eq!((turn.deadline(), turn.has_request()), (None, true));
        turn.answer();
        assert_eq!((turn.deadline(), turn.has_request()), (Some(Instant::now() + LIMITS.slow), true));
        tokio::time::advance(Duration::from_secs(1)).await;
        turn.flushed();
        assert_eq!((turn.deadline(), turn.has_request()), (Some(Instant::now() + LIMITS.idle), false));
    }
}
