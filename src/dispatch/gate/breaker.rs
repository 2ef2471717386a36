//! The circuit breakers of an account, one for each class of calls.
//!
//! A closed breaker opens after a number of consecutive failures. While it is open, calls fail at once and the gate
//! probes the provider. After a successful probe the breaker is half-open: it admits one trial call. If the trial
//! fails, the breaker opens again; if the provider replies, the breaker closes.
//!
//! **Invariants.** A failure counts only if the breaker has not opened since it admitted the call, so a call from
//! before an outage cannot reopen the breaker. A half-open breaker has at most one call in flight. If the trial call
//! ends without a signal, the next call becomes the trial.

use std::time::Duration;

use futures_util::TryFutureExt as _;
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Class, Rejected};
use crate::domain::{AccountId, ProviderFault, UnknownReason};
use crate::provider::{Error as ProviderError, PreconditionFailed};
use crate::telemetry::metrics::BREAKER_OPEN;

/// The shortest `retry_after` of a rejection.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long other calls wait for the trial call. If the trial takes longer, they are rejected at once.
const MAX_TRIAL_WAIT: Duration = Duration::from_secs(1);

/// What the result of a call proves about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The provider replied.
    Alive,
    /// The provider was not reached, did not reply, or reported a failure on its side.
    Down,
    /// The result proves nothing.
    None,
}

impl Signal {
    pub(super) fn of<T>(result: &Result<T, ProviderError>) -> Self {
        result.as_ref().map_or_else(Self::of_error, |_| Self::Alive)
    }

    fn of_error(error: &ProviderError) -> Self {
        match error {
            ProviderError::Refused(fault) => Self::of_reply(Some(fault)).unwrap_or(Self::Alive),
            ProviderError::PreconditionFailed(PreconditionFailed::Registered { .. }) => Self::Alive,
            ProviderError::PreconditionFailed(PreconditionFailed::NotRead(error)) => Self::of_error(error),
            ProviderError::NotSent(_) => Self::Down,
            ProviderError::Unknown { cause, fault } => match cause {
                UnknownReason::TimedOut | UnknownReason::ConnectionLost | UnknownReason::ReplyCutOff => {
                    Self::Down
                }
                UnknownReason::ProviderFailed => Self::of_reply(fault.as_ref()).unwrap_or(Self::Down),
                UnknownReason::ReplyTooLarge | UnknownReason::ReplyUnreadable | UnknownReason::Redirected => {
                    Self::of_reply(fault.as_ref()).unwrap_or(Self::Alive)
                }
                UnknownReason::ServerFailed | UnknownReason::Restored => Self::None,
            },
        }
    }

    /// What a reply proves, whatever it says about the one call. The outcome of a call can be unknown although the
    /// provider works: Meta's error 131000 is about a message as often as about the provider. Absent if the status is
    /// not known.
    fn of_reply(fault: Option<&ProviderFault>) -> Option<Self> {
        let fault = fault?;
        Some(match fault.http_status? {
            ..500 => Self::Alive,
            _ if fault.code.is_some() || fault.kind.is_some() => Self::None,
            _ => Self::Down,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        consecutive_failures: u32,
    },
    Open,
    /// `trial_since`: when the trial call was admitted, if one is in flight.
    HalfOpen {
        trial_since: Option<Instant>,
    },
}

impl State {
    /// Whether a call is rejected at once.
    fn rejects(self) -> bool {
        match self {
            Self::Open => true,
            Self::HalfOpen { trial_since } => {
                trial_since.is_some_and(|since| since.elapsed() >= MAX_TRIAL_WAIT)
            }
            Self::Closed { .. } => false,
        }
    }
}

/// One breaker.
#[derive(Clone, Copy, Debug)]
struct Breaker {
    state: State,
    /// How often it has opened.
    open_count: u64,
}

/// The states of all breakers of an account, and when the next probe is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct BreakerStates {
    breakers: [Breaker; Class::ALL.len()],
    next_probe: Instant,
    /// How often a closed breaker has opened. Does not count a half-open one that opened again.
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

    fn rejection(&self) -> Rejected {
        let retry_after = self.next_probe.saturating_duration_since(Instant::now()).max(MIN_RETRY_AFTER);
        Rejected::CircuitOpen { retry_after }
    }
}

/// The breakers of an account.
#[derive(Debug)]
pub(super) struct Breakers {
    account: AccountId,
    /// How many consecutive failures open a breaker. 0 disables the breakers.
    failure_threshold: u32,
    states: watch::Sender<BreakerStates>,
}

impl Breakers {
    /// Makes closed breakers.
    pub(super) fn new(account: AccountId, failure_threshold: u32) -> Self {
        let breaker = Breaker { state: State::Closed { consecutive_failures: 0 }, open_count: 0 };
        let states =
            BreakerStates { breakers: [breaker; Class::ALL.len()], next_probe: Instant::now(), outages: 0 };
        let breakers = Self { account, failure_threshold, states: watch::Sender::new(states) };
        for class in Class::ALL {
            breakers.set_gauge(class, false);
        }
        breakers
    }

    /// Subscribes to the states of the breakers.
    pub(super) fn subscribe(&self) -> watch::Receiver<BreakerStates> {
        self.states.subscribe()
    }

    /// Rejects a call if its breaker would reject it at once.
    pub(super) fn check(&self, class: Class) -> Result<(), Rejected> {
        let states = self.states.borrow();
        if states.of(class).state.rejects() { Err(states.rejection()) } else { Ok(()) }
    }

    /// Admits a call if its breaker is closed. Returns the breaker's open count, as [`admit`](Self::admit) does.
    pub(super) fn admit_if_closed(&self, class: Class) -> Option<u64> {
        let Breaker { state, open_count } = *self.states.borrow().of(class);
        matches!(state, State::Closed { .. }).then_some(open_count)
    }

    /// Admits or rejects a call. If a trial call is in flight, the call first waits for its result, for at most
    /// [`MAX_TRIAL_WAIT`]. Returns the breaker's open count, which goes with the call to [`record`](Self::record) and
    /// [`release_trial`](Self::release_trial).
    pub(super) async fn admit(&self, class: Class, until: Instant) -> Result<u64, Rejected> {
        loop {
            let Breaker { state, open_count } = *self.states.borrow().of(class);
            let trial_since = match state {
                State::Closed { .. } => return Ok(open_count),
                State::Open => return Err(self.states.borrow().rejection()),
                State::HalfOpen { trial_since } => trial_since,
            };
            if let Some(since) = trial_since {
                let mut states = self.states.subscribe();
                let trial_ended = states.wait_for(|states| states.of(class).state != state).map_ok(drop);
                if timeout_at(until.min(since + MAX_TRIAL_WAIT), trial_ended).await.is_err() {
                    return Err(self.states.borrow().rejection());
                }
                continue;
            }
            let mut admitted = None;
            self.transition(class, |breaker| match breaker.state {
                State::HalfOpen { trial_since: None } => {
                    admitted = Some(breaker.open_count);
                    State::HalfOpen { trial_since: Some(Instant::now()) }
                }
                state @ (State::Closed { .. } | State::Open | State::HalfOpen { .. }) => state,
            });
            if let Some(open_count) = admitted {
                return Ok(open_count);
            }
        }
    }

    /// Ends a call. If it was the trial call and gave no signal, the next call becomes the trial.
    pub(super) fn release_trial(&self, class: Class, open_count: u64) {
        let state = self.states.borrow().of(class).state;
        if matches!(state, State::HalfOpen { trial_since: Some(_) }) {
            self.transition(class, |breaker| match breaker.state {
                State::HalfOpen { trial_since: Some(_) } if breaker.open_count == open_count => {
                    State::HalfOpen { trial_since: None }
                }
                state @ (State::Closed { .. } | State::Open | State::HalfOpen { .. }) => state,
            });
        }
    }

    /// Waits until the breaker of that class is open, and returns the rejection.
    pub(super) async fn wait_until_open(&self, class: Class) -> Rejected {
        let mut states = self.states.subscribe();
        let rejection =
            states.wait_for(|states| states.is_open(class)).await.map(|states| states.rejection());
        rejection.expect("the breakers outlive their subscribers")
    }

    /// Records the signal of a call that was admitted with that open count.
    pub(super) fn record(&self, class: Class, open_count: u64, signal: Signal) {
        match signal {
            Signal::None => {}
            Signal::Down if self.failure_threshold == 0 => {}
            Signal::Alive => {
                // Nearly all calls end here, so the common case must not write to the channel.
                let state = self.states.borrow().of(class).state;
                if state != (State::Closed { consecutive_failures: 0 }) {
                    self.transition(class, |_| State::Closed { consecutive_failures: 0 });
                }
            }
            Signal::Down => self.transition(class, |breaker| match breaker.state {
                state if breaker.open_count != open_count => state,
                State::Closed { consecutive_failures }
                    if consecutive_failures + 1 < self.failure_threshold =>
                {
                    State::Closed { consecutive_failures: consecutive_failures + 1 }
                }
                State::Closed { .. } | State::HalfOpen { .. } | State::Open => State::Open,
            }),
        }
    }

    /// Sets when the next probe is due.
    pub(super) fn set_next_probe(&self, at: Instant) {
        // No subscriber waits for this value.
        self.states.send_if_modified(|states| {
            states.next_probe = at;
            false
        });
    }

    /// Makes all open breakers half-open, after a successful probe.
    pub(super) fn half_open(&self) {
        for class in Class::ALL {
            self.transition(class, |breaker| match breaker.state {
                State::Open => State::HalfOpen { trial_since: None },
                state @ (State::Closed { .. } | State::HalfOpen { .. }) => state,
            });
        }
    }

    fn transition(&self, class: Class, next: impl FnOnce(&Breaker) -> State) {
        self.states.send_if_modified(|states| {
            let (account, name) = (&self.account, class.as_str());
            let breaker = &mut states.breakers[class as usize];
            let after = next(breaker);
            let before = std::mem::replace(&mut breaker.state, after);
            match (before, after) {
                (State::Closed { .. } | State::HalfOpen { .. }, State::Open) => {
                    breaker.open_count += 1;
                    states.outages += u64::from(matches!(before, State::Closed { .. }));
                    states.next_probe = Instant::now() + super::probe::FIRST_DELAY;
                    tracing::warn!(%account, class = name, "circuit breaker opened: provider not responding");
                }
                (State::Open, State::HalfOpen { .. }) => {
                    tracing::info!(%account, class = name, "circuit breaker half-open: provider answered a probe");
                }
                (State::Open | State::HalfOpen { .. }, State::Closed { .. }) => {
                    tracing::info!(%account, class = name, "circuit breaker closed: provider responding");
                }
                // A freed trial wakes the calls that wait for it.
                (State::HalfOpen { .. }, State::HalfOpen { trial_since }) => return trial_since.is_none(),
                // No subscriber waits for these.
                (State::Closed { .. }, State::Closed { .. } | State::HalfOpen { .. })
                | (State::Open, State::Open) => return false,
            }
            self.set_gauge(class, after == State::Open);
            true
        });
    }

    fn set_gauge(&self, class: Class, open: bool) {
        gauge!(BREAKER_OPEN, "account" => self.account.to_string(), "class" => class.as_str())
            .set(f64::from(u8::from(open)));
    }
}
