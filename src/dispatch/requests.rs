//! Attempts that are under way in this process, and who waits for them.
//!
//! **Invariants.** There is at most one attempt for each (account, request). It is in the table until what came of it is
//! durable, so that whoever comes next finds either the attempt or its record. An attempt that its last waiter left
//! takes no new ones.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Failure, WriteResult};
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{AccountId, RequestId};

/// What becomes of an attempt.
pub(super) type Settled = Result<WriteResult, Failure>;

type Key = (AccountId, RequestId);

/// All attempts at repeatable writes that are under way. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    table: Arc<Mutex<HashMap<Key, Arc<Slot>>>>,
}

/// One attempt, seen by those who wait for it.
#[derive(Debug)]
struct Slot {
    fingerprint: Option<Fingerprint>,
    phase: watch::Sender<Phase>,
    /// The latest of the waiters' deadlines.
    until: Mutex<Instant>,
}

#[derive(Clone, Debug)]
enum Phase {
    Running,
    /// Nobody waited any more, and it was not begun or is not gone on with.
    Left,
    Settled(Settled),
}

/// An attempt, seen by the task that makes it. Dropping it takes it out of the table.
#[derive(Debug)]
pub(super) struct Attempt {
    slot: Arc<Slot>,
    place: Option<(Requests, Key)>,
}

/// Somebody who waits for an attempt.
#[derive(Debug)]
pub(super) struct Waiter {
    phase: watch::Receiver<Phase>,
    /// Whether the attempt had settled already.
    late: bool,
}

/// How an attempt ended for a waiter.
#[derive(Debug)]
pub(super) enum Waited {
    Settled(Settled),
    /// The attempt was given up before this waiter came: ask again.
    Left,
    /// The attempt's task died.
    Died,
}

/// What there is of a request.
#[derive(Debug)]
pub(super) enum Found {
    /// An attempt, which is joined.
    Joined(Waiter),
    /// An attempt at something else.
    Reused,
    Nothing,
}

impl Requests {
    /// Joins the attempt that is under way, if there is one.
    pub(super) fn join(&self, account: &AccountId, request: &Request, until: Instant) -> Found {
        let table = self.lock();
        match table.get(&(account.clone(), request.id.clone())) {
            Some(slot) => slot.join(request, until),
            None => Found::Nothing,
        }
    }

    /// Joins the attempt that is under way, or starts one: then what comes back first must be run.
    pub(super) fn join_or_start(
        &self,
        account: &AccountId,
        request: Option<&Request>,
        until: Instant,
    ) -> (Option<Attempt>, Found) {
        let start = || {
            let (phase, waiter) = watch::channel(Phase::Running);
            let fingerprint = request.map(|request| request.fingerprint);
            (
                Arc::new(Slot { fingerprint, phase, until: Mutex::new(until) }),
                Waiter { phase: waiter, late: false },
            )
        };
        let Some(request) = request else {
            let (slot, waiter) = start();
            return (Some(Attempt { slot, place: None }), Found::Joined(waiter));
        };
        let key = (account.clone(), request.id.clone());
        match self.lock().entry(key.clone()) {
            Entry::Occupied(entry) => (None, entry.get().join(request, until)),
            Entry::Vacant(entry) => {
                let (slot, waiter) = start();
                entry.insert(Arc::clone(&slot));
                (Some(Attempt { slot, place: Some((self.clone(), key)) }), Found::Joined(waiter))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn join(&self, request: &Request, until: Instant) -> Found {
        let (left, late) = match *self.phase.borrow() {
            Phase::Running => (false, false),
            // Nothing comes of it: its id is about to be free, for any content.
            Phase::Left => (true, false),
            Phase::Settled(_) => (false, true),
        };
        if !left && self.fingerprint != Some(request.fingerprint) {
            return Found::Reused;
        }
        let mut latest = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = until.max(*latest);
        Found::Joined(Waiter { phase: self.phase.subscribe(), late })
    }
}

impl Attempt {
    /// The latest of the waiters' deadlines.
    pub(super) fn until(&self) -> Instant {
        *self.slot.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when nobody waits any more; from then on nobody can join.
    pub(super) async fn left(&self) {
        loop {
            self.slot.phase.closed().await;
            if self.is_left() {
                return;
            }
        }
    }

    /// Whether nobody waits any more; then nobody can join from now on.
    pub(super) fn is_left(&self) -> bool {
        // Whoever joins holds the table, so nobody can slip in between the look and the mark.
        let _table = self.place.as_ref().map(|(requests, _)| requests.lock());
        let left = self.slot.phase.receiver_count() == 0;
        if left {
            self.slot.phase.send_replace(Phase::Left);
        }
        left
    }

    /// Tells all who wait, and all who join before the attempt is dropped. Whoever came when it was left already is not
    /// told: what came of it has to do with those who left.
    pub(super) fn settle(&self, settled: Settled) {
        self.slot.phase.send_if_modified(|phase| {
            let running = matches!(phase, Phase::Running);
            if running {
                *phase = Phase::Settled(settled);
            }
            running
        });
    }

    /// Tells all who wait, when nobody can join any more: what there is to know of it is durable, or there is nothing.
    pub(super) fn conclude(mut self, settled: Settled) {
        self.leave_table();
        self.settle(settled);
    }

    fn leave_table(&mut self) {
        if let Some((requests, key)) = self.place.take() {
            requests.lock().remove(&key);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.leave_table();
    }
}

impl Waiter {
    /// Waits until the attempt has settled.
    pub(super) async fn settled(mut self) -> Waited {
        loop {
            let phase = self.phase.borrow_and_update().clone();
            match phase {
                Phase::Settled(settled) => {
                    let late = self.late;
                    return Waited::Settled(
                        settled.map(|outcome| WriteResult { replayed: outcome.replayed || late, ..outcome }),
                    );
                }
                Phase::Running if self.phase.changed().await.is_err() => return Waited::Died,
                Phase::Left if self.phase.changed().await.is_err() => return Waited::Left,
                Phase::Running | Phase::Left => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::Cause;
    use super::*;

    fn request(id: &str, content: u8) -> Request {
        let id = id.parse().expect("an id");
        Request { id, fingerprint: Fingerprint([content; 32]), resend_after: None }
    }

    fn account() -> AccountId {
        "acme".parse().expect("an id")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn start(requests: &Requests, request: &Request) -> (Attempt, Waiter) {
        match requests.join_or_start(&account(), Some(request), soon()) {
            (Some(attempt), Found::Joined(waiter)) => (attempt, waiter),
            other => panic!("{other:?}"),
        }
    }

    fn join(requests: &Requests, request: &Request) -> Waiter {
        match requests.join(&account(), request, soon()) {
            Found::Joined(waiter) => waiter,
            other => panic!("{other:?}"),
        }
    }

    fn accepted() -> Settled {
        Ok(WriteResult { message: None, reply: None, replayed: false })
    }

    fn refused() -> Settled {
        Err(Failure { message_id: None, attempt: Some(1), source: Arc::new(Cause::Unrecorded) })
    }

    fn replayed(waited: Waited) -> bool {
        match waited {
            Waited::Settled(Ok(outcome)) => outcome.replayed,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_second_request_joins_the_attempt_and_both_are_told_the_same() {
        let requests = Requests::default();
        let (attempt, first) = start(&requests, &request("1", 7));
        let second = join(&requests, &request("1", 7));
        let (none, third) = requests.join_or_start(&account(), Some(&request("1", 7)), soon());
        assert!(none.is_none());
        let Found::Joined(third) = third else { panic!("{third:?}") };
        attempt.settle(accepted());
        for waiter in [first, second, third] {
            assert!(!replayed(waiter.settled().await), "they waited for it");
        }
        // Whoever comes between the answer and the disk gets the same, as a repetition.
        assert!(replayed(join(&requests, &request("1", 7)).settled().await));
        drop(attempt);
        assert!(matches!(requests.join(&account(), &request("1", 7), soon()), Found::Nothing));
    }

    #[tokio::test]
    async fn other_content_other_ids_and_other_accounts_do_not_join() {
        let requests = Requests::default();
        let (_attempt, _waiter) = start(&requests, &request("1", 7));
        assert!(matches!(requests.join(&account(), &request("1", 8), soon()), Found::Reused));
        assert!(matches!(requests.join(&account(), &request("2", 7), soon()), Found::Nothing));
        let other = "other".parse().expect("an id");
        assert!(matches!(requests.join(&other, &request("1", 7), soon()), Found::Nothing));
    }

    #[tokio::test]
    async fn an_attempt_is_left_only_when_its_last_waiter_is_gone() {
        let requests = Requests::default();
        let (attempt, first) = start(&requests, &request("1", 7));
        let second = join(&requests, &request("1", 7));
        drop(first);
        assert!(!attempt.is_left());
        drop(second);
        attempt.left().await;
        // It takes no new ones: whoever comes now waits until it is gone, and then asks again.
        let late = [join(&requests, &request("1", 7)), join(&requests, &request("1", 8))];
        attempt.settle(refused());
        drop(attempt);
        for late in late {
            assert!(matches!(late.settled().await, Waited::Left), "also with another content");
        }
        start(&requests, &request("1", 7));
    }

    #[tokio::test]
    async fn nobody_joins_what_is_concluded() {
        let requests = Requests::default();
        let (attempt, first) = start(&requests, &request("1", 7));
        attempt.conclude(refused());
        let (_again, _waiter) = start(&requests, &request("1", 7));
        assert!(matches!(first.settled().await, Waited::Settled(Err(_))));
    }

    #[tokio::test]
    async fn an_attempt_whose_task_dies_is_told_as_such() {
        let requests = Requests::default();
        let (attempt, waiter) = start(&requests, &request("1", 7));
        drop(attempt);
        assert!(matches!(waiter.settled().await, Waited::Died));
        assert!(matches!(requests.join(&account(), &request("1", 7), soon()), Found::Nothing));
    }

    #[tokio::test]
    async fn the_longest_deadline_of_those_who_wait_counts() {
        let requests = Requests::default();
        let (attempt, _waiter) = start(&requests, &request("1", 7));
        let later = soon() + Duration::from_secs(60);
        let Found::Joined(_) = requests.join(&account(), &request("1", 7), later) else { panic!("joins") };
        let Found::Joined(_) = requests.join(&account(), &request("1", 7), Instant::now()) else {
            panic!("joins")
        };
        assert_eq!(attempt.until(), later);
    }
}
