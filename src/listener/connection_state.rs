//! Whose turn it is on a connection, and how long that may last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::idle_queue::{IdleQueue, Ticket};

/// Where a connection stands. All know of it that see a part: the stream below HTTP, and the service above.
#[derive(Debug)]
pub(super) struct ConnectionState {
    idle_queue: Arc<IdleQueue>,
    limits: Limits,
    eviction: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// In the line, while it is the peer's turn.
    ticket: Option<Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request is there.
    Idle,
    /// Some of its header is there.
    ReadingHead,
    /// The service has the header, and the body is arriving.
    ReadingBody,
    /// The service has all that it wants.
    Processing,
    /// The answer is on its way, and the peer has to take it.
    Responding,
}

/// Held by a request's body: when the service drops it, the service has all that it wants.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<ConnectionState>);

impl ConnectionState {
    /// A new connection: the peer has to begin.
    pub(super) fn new(idle_queue: Arc<IdleQueue>, limits: Limits) -> Self {
        let eviction = CancellationToken::new();
        let ticket = Some(idle_queue.insert(eviction.clone()));
        let state = State { phase: Phase::Idle, since: Instant::now(), ticket };
        Self { idle_queue, limits, eviction, state: Mutex::new(state) }
    }

    /// Ends when the connection has to make room.
    pub(super) async fn evicted(&self) {
        self.eviction.cancelled().await;
    }

    /// Bytes have come.
    pub(super) fn on_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            self.enter(&mut state, Phase::ReadingHead);
        }
    }

    /// A request's header is there in full.
    pub(super) fn on_request(self: &Arc<Self>) -> RequestInFlight {
        self.enter(&mut self.state(), Phase::ReadingBody);
        RequestInFlight(Arc::clone(self))
    }

    /// The service has answered.
    pub(super) fn on_response(&self) {
        self.enter(&mut self.state(), Phase::Responding);
    }

    /// All that was written is on its way.
    pub(super) fn on_flush(&self) {
        let mut state = self.state();
        if state.phase == Phase::Responding {
            self.enter(&mut state, Phase::Idle);
        }
    }

    /// Whether a request is under way, and its answer may be waited for.
    pub(super) fn has_request(&self) -> bool {
        match self.state().phase {
            Phase::Idle | Phase::ReadingHead => false,
            Phase::ReadingBody | Phase::Processing | Phase::Responding => true,
        }
    }

    /// Until when it may stay as it is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Idle => Some(state.since + self.limits.idle),
            Phase::ReadingHead | Phase::Responding => Some(state.since + self.limits.slow),
            Phase::ReadingBody | Phase::Processing => None,
        }
    }

    /// Each phase is a wait of its own, but a byte of a header must not be enough to be new in the line.
    fn enter(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        state.since = Instant::now();
        match phase {
            Phase::ReadingHead => {}
            Phase::Idle | Phase::ReadingBody | Phase::Responding => {
                self.leave_queue(state);
                state.ticket = Some(self.idle_queue.insert(self.eviction.clone()));
            }
            Phase::Processing => self.leave_queue(state),
        }
    }

    fn leave_queue(&self, state: &mut State) {
        if let Some(ticket) = state.ticket.take() {
            self.idle_queue.remove(ticket);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.leave_queue(&mut self.state());
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase == Phase::ReadingBody {
            self.0.enter(&mut state, Phase::Processing);
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
    async fn only_connections_waiting_for_the_peer_can_be_evicted() {
        let idle_queue = Arc::new(IdleQueue::default());
        let connection = Arc::new(ConnectionState::new(Arc::clone(&idle_queue), LIMITS));
        connection.on_read();
        let in_flight = connection.on_request();
        drop(in_flight);
        assert!(!idle_queue.evict_oldest(), "what is worked on is not closed");
        connection.on_response();
        connection.on_flush();
        assert!(idle_queue.evict_oldest());
        assert!(connection.eviction.is_cancelled());
        drop(connection);
        assert!(!idle_queue.evict_oldest());
    }

    #[tokio::test(start_paused = true)]
    async fn more_header_bytes_extend_no_deadline() {
        let idle_queue = Arc::new(IdleQueue::default());
        let connection = Arc::new(ConnectionState::new(Arc::clone(&idle_queue), LIMITS));
        let other = ConnectionState::new(Arc::clone(&idle_queue), LIMITS);
        connection.on_read();
        let deadline = connection.deadline().expect("a header has one");
        assert_eq!(deadline, Instant::now() + LIMITS.slow);
        tokio::time::advance(Duration::from_secs(9)).await;
        connection.on_read();
        assert_eq!(connection.deadline(), Some(deadline));
        assert!(idle_queue.evict_oldest());
        assert!(connection.eviction.is_cancelled() && !other.eviction.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_counts_from_the_last_response() {
        let connection = Arc::new(ConnectionState::new(Arc::default(), LIMITS));
        assert_eq!(connection.deadline(), Some(Instant::now() + LIMITS.idle));
        let in_flight = connection.on_request();
        assert_eq!((connection.deadline(), connection.has_request()), (None, true));
        drop(in_flight);
        assert_eq!((connection.deadline(), connection.has_request()), (None, true));
        connection.on_response();
        assert_eq!(
            (connection.deadline(), connection.has_request()),
            (Some(Instant::now() + LIMITS.slow), true)
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        connection.on_flush();
        assert_eq!(
            (connection.deadline(), connection.has_request()),
            (Some(Instant::now() + LIMITS.idle), false)
        );
    }
}
