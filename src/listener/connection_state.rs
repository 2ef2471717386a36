//! The state of one connection and its deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::idle_queue::{IdleQueue, Ticket};

/// The state of a connection. Both the TCP stream below HTTP and the service above it update it.
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
    /// The connection's entry in the idle queue, while it waits for its peer.
    ticket: Option<Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No byte of a request has arrived.
    Idle,
    /// A part of the header has arrived.
    ReadingHead,
    /// The service has the header, and the body is arriving.
    ReadingBody,
    /// The service has read as much of the body as it needs.
    Processing,
    /// The response is being sent, and the peer must read it.
    Responding,
}

/// A guard in the request's body. When the service drops it, the service does not need the rest of the body.
#[derive(Debug)]
pub(super) struct RequestInFlight(Arc<ConnectionState>);

impl ConnectionState {
    /// A new connection waits for its peer.
    pub(super) fn new(idle_queue: Arc<IdleQueue>, limits: Limits) -> Self {
        let eviction = CancellationToken::new();
        let ticket = Some(idle_queue.insert(eviction.clone()));
        let state = State { phase: Phase::Idle, since: Instant::now(), ticket };
        Self { idle_queue, limits, eviction, state: Mutex::new(state) }
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.eviction.cancelled().await;
    }

    /// Records that bytes have arrived.
    pub(super) fn on_read(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            self.enter(&mut state, Phase::ReadingHead);
        }
    }

    /// Records that a request's header is complete.
    pub(super) fn on_request(self: &Arc<Self>) -> RequestInFlight {
        self.enter(&mut self.state(), Phase::ReadingBody);
        RequestInFlight(Arc::clone(self))
    }

    /// Records that the service has responded.
    pub(super) fn on_response(&self) {
        self.enter(&mut self.state(), Phase::Responding);
    }

    /// Records that all written bytes are in the socket.
    pub(super) fn on_flush(&self) {
        let mut state = self.state();
        if state.phase == Phase::Responding {
            self.enter(&mut state, Phase::Idle);
        }
    }

    /// Returns whether a request is in progress and its response must still be sent.
    pub(super) fn has_request(&self) -> bool {
        match self.state().phase {
            Phase::Idle | Phase::ReadingHead => false,
            Phase::ReadingBody | Phase::Processing | Phase::Responding => true,
        }
    }

    /// Returns when the connection must have left its current phase.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Idle => Some(state.since + self.limits.idle),
            Phase::ReadingHead | Phase::Responding => Some(state.since + self.limits.slow),
            Phase::ReadingBody | Phase::Processing => None,
        }
    }

    /// Each phase has a new entry in the queue, except that bytes of a header must not move a connection to the end.
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
        assert!(!idle_queue.evict_oldest(), "a request that is being processed is not evicted");
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
        let deadline = connection.deadline().expect("a header has a deadline");
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
