//! Whether a provider answers, for each class of calls.
//!
//! A breaker opens after so many failures in a row and closes by itself: a probe of ours sees that the provider
//! answers again, and puts the breaker on probation. One call is let through then, on trial: its failure opens the
//! breaker again, its reply closes it.
//!
//! **Invariants.** An outcome counts for the time in which its call was let through: what began before the breaker
//! opened cannot open it again. On probation at most one call is under way, and when it ends without telling anything
//! the next one has its trial.

use std::time::Duration;

use futures_util::TryFutureExt as _;
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Class, Rejected};
use crate::domain::{AccountId, UnknownReason};
use crate::provider::{Error as ProviderError, PreconditionFailed};
use crate::telemetry::metrics::BREAKER_OPEN;

/// The least that a caller is told to wait.
const LEAST_WAIT: Duration = Duration::from_millis(100);

/// How long calls wait for one that is on trial. Once it takes longer than this, they fail at once.
const TRIAL: Duration = Duration::from_secs(1);

/// What the outcome of a call says about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// It is there: it said something.
    Alive,
    /// It was not reached, said nothing, or said that it has trouble.
    Down,
    /// Nothing.
    None,
}

impl Signal {
    pub(super) fn of<T>(result: &Result<T, ProviderError>) -> Self {
        result.as_ref().map_or_else(Self::of_error, |_| Self::Alive)
    }

    fn of_error(error: &ProviderError) -> Self {
        match error {
            ProviderError::Refused(_)
            | ProviderError::PreconditionFailed(PreconditionFailed::Registered { .. }) => Self::Alive,
            ProviderError::PreconditionFailed(PreconditionFailed::NotRead(error)) => Self::of_error(error),
            ProviderError::NotSent(_) => Self::Down,
            ProviderError::Unknown { cause, .. } => match cause {
                UnknownReason::TimedOut
                | UnknownReason::ConnectionLost
                | UnknownReason::ReplyCutOff
                | UnknownReason::ProviderFailed => Self::Down,
                UnknownReason::ReplyTooLarge | UnknownReason::ReplyUnreadable | UnknownReason::Redirected => {
                    Self::Alive
                }
                UnknownReason::ServerFailed | UnknownReason::Restored => Self::None,
            },
        }
    }
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open,
    /// `tried`: by a call that is under way since then.
    HalfOpen {
        tried: Option<Instant>,
    },
}

impl State {
    /// Whether no call is let through, nor will be in a moment.
    fn bars(self) -> bool {
        match self {
            Self::Open => true,
            Self::HalfOpen { tried } => tried.is_some_and(|since| since.elapsed() >= TRIAL),
            Self::Closed { .. } => false,
        }
    }
}

/// One breaker. `opened` says how often it was opened.
#[derive(Clone, Copy, Debug)]
struct Breaker {
    state: State,
    opened: u64,
}

/// All breakers of an account, and when the provider is tried next.
#[derive(Clone, Copy, Debug)]
pub(super) struct BreakerStates {
    breakers: [Breaker; Class::ALL.len()],
    probe_at: Instant,
    /// How often one that was closed has opened.
    outages: u64,
}

impl BreakerStates {
    pub(super) fn any_open(&self) -> bool {
        self.breakers.iter().any(|breaker| breaker.state == State::Open)
    }

    pub(super) fn all_closed(&self) -> bool {
        self.breakers.iter().all(|breaker| matches!(breaker.state, State::Closed { .. }))
    }

    pub(super) fn outages(&self) -> u64 {
        self.outages
    }

    fn is_open(&self, class: Class) -> bool {
        self.of(class).state == State::Open
    }

    fn of(&self, class: Class) -> &Breaker {
        &self.breakers[class as usize]
    }

    fn held(&self) -> Rejected {
        let retry_after = self.probe_at.saturating_duration_since(Instant::now()).max(LEAST_WAIT);
        Rejected::CircuitOpen { retry_after }
    }
}

/// The breakers of an account.
#[derive(Debug)]
pub(super) struct Breakers {
    account: AccountId,
    /// How many failures in a row open one. 0: none is ever opened.
    failures: u32,
    board: watch::Sender<BreakerStates>,
}

impl Breakers {
    /// All are closed.
    pub(super) fn new(account: AccountId, failures: u32) -> Self {
        let breaker = Breaker { state: State::Closed { failures: 0 }, opened: 0 };
        let board =
            BreakerStates { breakers: [breaker; Class::ALL.len()], probe_at: Instant::now(), outages: 0 };
        let breakers = Self { account, failures, board: watch::Sender::new(board) };
        for class in Class::ALL {
            breakers.show(class, false);
        }
        breakers
    }

    /// How they stand, now and later.
    pub(super) fn watch(&self) -> watch::Receiver<BreakerStates> {
        self.board.subscribe()
    }

    /// Whether a call of that class could be let through soon.
    pub(super) fn check(&self, class: Class) -> Result<(), Rejected> {
        let board = self.board.borrow();
        if board.of(class).state.bars() { Err(board.held()) } else { Ok(()) }
    }

    /// Lets a call of that class through where nothing speaks against it.
    pub(super) fn closed(&self, class: Class) -> Option<u64> {
        let Breaker { state, opened } = *self.board.borrow().of(class);
        matches!(state, State::Closed { .. }).then_some(opened)
    }

    /// Lets a call of that class through, or not. One that comes while another is on trial waits a little for what
    /// comes of that. What comes back belongs to the call's outcome, and is to be [given back](Self::gone).
    pub(super) async fn admit(&self, class: Class, until: Instant) -> Result<u64, Rejected> {
        loop {
            let Breaker { state, opened } = *self.board.borrow().of(class);
            let tried = match state {
                State::Closed { .. } => return Ok(opened),
                State::Open => return Err(self.board.borrow().held()),
                State::HalfOpen { tried } => tried,
            };
            if let Some(since) = tried {
                let mut board = self.board.subscribe();
                let ended = board.wait_for(|board| board.of(class).state != state).map_ok(drop);
                if timeout_at(until.min(since + TRIAL), ended).await.is_err() {
                    return Err(self.board.borrow().held());
                }
                continue;
            }
            let mut admitted = None;
            self.change(class, |breaker| match breaker.state {
                State::HalfOpen { tried: None } => {
                    admitted = Some(breaker.opened);
                    State::HalfOpen { tried: Some(Instant::now()) }
                }
                state @ (State::Closed { .. } | State::Open | State::HalfOpen { .. }) => state,
            });
            if let Some(admitted) = admitted {
                return Ok(admitted);
            }
        }
    }

    /// A call that was let through is under way no more. If it was on trial and told nothing, the next one is.
    pub(super) fn gone(&self, class: Class, admitted: u64) {
        let state = self.board.borrow().of(class).state;
        if matches!(state, State::HalfOpen { tried: Some(_) }) {
            self.change(class, |breaker| match breaker.state {
                State::HalfOpen { tried: Some(_) } if breaker.opened == admitted => {
                    State::HalfOpen { tried: None }
                }
                state @ (State::Closed { .. } | State::Open | State::HalfOpen { .. }) => state,
            });
        }
    }

    /// Waits until no call of that class is let through.
    pub(super) async fn opened(&self, class: Class) -> Rejected {
        let mut board = self.board.subscribe();
        let held = board.wait_for(|board| board.is_open(class)).await.map(|board| board.held());
        held.expect("the breakers outlive those who wait")
    }

    /// Takes note of how a call ended that was let through.
    pub(super) fn saw(&self, class: Class, admitted: u64, sign: Signal) {
        match sign {
            Signal::None => {}
            Signal::Down if self.failures == 0 => {}
            Signal::Alive => {
                // Nearly all calls end here: they leave the board alone.
                let state = self.board.borrow().of(class).state;
                if state != (State::Closed { failures: 0 }) {
                    self.change(class, |_| State::Closed { failures: 0 });
                }
            }
            Signal::Down => self.change(class, |breaker| match breaker.state {
                state if breaker.opened != admitted => state,
                State::Closed { failures } if failures + 1 < self.failures => {
                    State::Closed { failures: failures + 1 }
                }
                State::Closed { .. } | State::HalfOpen { .. } | State::Open => State::Open,
            }),
        }
    }

    /// Says when the provider is tried next.
    pub(super) fn will_probe(&self, at: Instant) {
        // Nobody waits for this.
        self.board.send_if_modified(|board| {
            board.probe_at = at;
            false
        });
    }

    /// The provider answered a probe: what was open is on probation.
    pub(super) fn release(&self) {
        for class in Class::ALL {
            self.change(class, |breaker| match breaker.state {
                State::Open => State::HalfOpen { tried: None },
                state @ (State::Closed { .. } | State::HalfOpen { .. }) => state,
            });
        }
    }

    fn change(&self, class: Class, next: impl FnOnce(&Breaker) -> State) {
        self.board.send_if_modified(|board| {
            let (account, name) = (&self.account, class.as_str());
            let breaker = &mut board.breakers[class as usize];
            let after = next(breaker);
            let before = std::mem::replace(&mut breaker.state, after);
            match (before, after) {
                (State::Closed { .. } | State::HalfOpen { .. }, State::Open) => {
                    breaker.opened += 1;
                    board.outages += u64::from(matches!(before, State::Closed { .. }));
                    board.probe_at = Instant::now() + super::probe::FIRST;
                    tracing::warn!(%account, class = name, "the provider does not answer: calls fail at once");
                }
                (State::Open, State::HalfOpen { .. }) => {
                    tracing::info!(%account, class = name, "the provider answers a probe: calls go again");
                }
                (State::Open | State::HalfOpen { .. }, State::Closed { .. }) => {
                    tracing::info!(%account, class = name, "the provider answers calls again");
                }
                // Those who wait for a trial may have theirs.
                (State::HalfOpen { .. }, State::HalfOpen { tried }) => return tried.is_none(),
                // Nobody waits for these.
                (State::Closed { .. }, State::Closed { .. } | State::HalfOpen { .. })
                | (State::Open, State::Open) => return false,
            }
            self.show(class, after == State::Open);
            true
        });
    }

    fn show(&self, class: Class, open: bool) {
        gauge!(BREAKER_OPEN, "account" => self.account.to_string(), "class" => class.as_str())
            .set(f64::from(u8::from(open)));
    }
}
