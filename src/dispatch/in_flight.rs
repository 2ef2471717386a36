//! The table of attempts in flight in this process, and the calls that wait for them.
//!
//! **Invariants.** The table holds at most one attempt for each (account, request id). An attempt stays in the table
//! until its outcome is durable, so a repeated request finds either the attempt or its record. An attempt that its last
//! waiter has abandoned accepts no new waiter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{AcceptedWrite, Failure};
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{AccountId, RequestId};

/// The result of an attempt.
pub(super) type AttemptResult = Result<AcceptedWrite, Failure>;

type Key = (AccountId, RequestId);

/// All attempts in flight at writes with a request id. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlightTable {
    attempts: Arc<Mutex<HashMap<Key, Arc<Shared>>>>,
}

/// The state that an attempt's task shares with its waiters.
#[derive(Debug)]
struct Shared {
    fingerprint: Option<Fingerprint>,
    phase: watch::Sender<Phase>,
    /// The latest deadline of all waiters.
    deadline: Mutex<Instant>,
}

#[derive(Clone, Debug)]
enum Phase {
    Running,
    /// The last waiter left before the attempt made its call, or between two calls. The attempt makes no further call.
    Abandoned,
    Finished(AttemptResult),
}

/// An attempt in flight, as its task holds it. Dropping it removes it from the table.
#[derive(Debug)]
pub(super) struct InFlightAttempt {
    shared: Arc<Shared>,
    entry: Option<(InFlightTable, Key)>,
}

/// A call that waits for an attempt.
#[derive(Debug)]
pub(super) struct Waiter {
    phase: watch::Receiver<Phase>,
    /// Whether it joined after the attempt had finished. Its result is a replay.
    joined_late: bool,
}

/// What a waiter gets from an attempt.
#[derive(Debug)]
pub(super) enum WaitResult {
    Finished(AttemptResult),
    /// The attempt was abandoned before this waiter joined. Look the request up again.
    Abandoned,
    /// The attempt's task ended without a result.
    TaskFailed,
}

/// What the table holds for a request.
#[derive(Debug)]
pub(super) enum JoinResult {
    /// An attempt at the same write, which the request has joined.
    Joined(Waiter),
    /// An attempt at a different write with the same request id.
    Reused,
    NotInFlight,
}

impl InFlightTable {
    /// Joins the attempt in flight, if there is one.
    pub(super) fn join(&self, account: &AccountId, request: &Request, deadline: Instant) -> JoinResult {
        let attempts = self.lock();
        match attempts.get(&(account.clone(), request.id.clone())) {
            Some(shared) => shared.join(request, deadline),
            None => JoinResult::NotInFlight,
        }
    }

    /// Joins the attempt in flight, or starts one. If an attempt is returned, the caller must run it.
    pub(super) fn join_or_start(
        &self,
        account: &AccountId,
        request: Option<&Request>,
        deadline: Instant,
    ) -> (Option<InFlightAttempt>, JoinResult) {
        let start = || {
            let (phase, receiver) = watch::channel(Phase::Running);
            let fingerprint = request.map(|request| request.fingerprint);
            (
                Arc::new(Shared { fingerprint, phase, deadline: Mutex::new(deadline) }),
                Waiter { phase: receiver, joined_late: false },
            )
        };
        let Some(request) = request else {
            let (shared, waiter) = start();
            return (Some(InFlightAttempt { shared, entry: None }), JoinResult::Joined(waiter));
        };
        let key = (account.clone(), request.id.clone());
        match self.lock().entry(key.clone()) {
            Entry::Occupied(entry) => (None, entry.get().join(request, deadline)),
            Entry::Vacant(entry) => {
                let (shared, waiter) = start();
                entry.insert(Arc::clone(&shared));
                let attempt = InFlightAttempt { shared, entry: Some((self.clone(), key)) };
                (Some(attempt), JoinResult::Joined(waiter))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Shared>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn join(&self, request: &Request, deadline: Instant) -> JoinResult {
        let (abandoned, joined_late) = match *self.phase.borrow() {
            Phase::Running => (false, false),
            // It leaves no result. Its request id is about to be free for any content.
            Phase::Abandoned => (true, false),
            Phase::Finished(_) => (false, true),
        };
        if !abandoned && self.fingerprint != Some(request.fingerprint) {
            return JoinResult::Reused;
        }
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = deadline.max(*latest);
        JoinResult::Joined(Waiter { phase: self.phase.subscribe(), joined_late })
    }
}

impl InFlightAttempt {
    /// The latest deadline of all waiters.
    pub(super) fn latest_deadline(&self) -> Instant {
        *self.shared.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the attempt has no waiter. From then on it accepts none.
    pub(super) async fn abandoned(&self) {
        loop {
            self.shared.phase.closed().await;
            if self.abandon_if_unawaited() {
                return;
            }
        }
    }

    /// Abandons the attempt if it has no waiter, and returns whether it did. An abandoned attempt accepts no waiter.
    pub(super) fn abandon_if_unawaited(&self) -> bool {
        // A request joins under this lock, so none can join between the check and the change of phase.
        let _attempts = self.entry.as_ref().map(|(table, _)| table.lock());
        let unawaited = self.shared.phase.receiver_count() == 0;
        if unawaited {
            self.shared.phase.send_replace(Phase::Abandoned);
        }
        unawaited
    }

    /// Gives the result to all waiters, and to those that join before the attempt is dropped. A waiter that joined
    /// after the attempt was abandoned does not get it: the result concerns the waiters that left.
    pub(super) fn publish(&self, result: AttemptResult) {
        self.shared.phase.send_if_modified(|phase| {
            let running = matches!(phase, Phase::Running);
            if running {
                *phase = Phase::Finished(result);
            }
            running
        });
    }

    /// Removes the attempt from the table, and then gives the result to all waiters. To be called once the outcome is
    /// durable, or if there is nothing to record.
    pub(super) fn remove_and_publish(mut self, result: AttemptResult) {
        self.remove();
        self.publish(result);
    }

    fn remove(&mut self) {
        if let Some((table, key)) = self.entry.take() {
            table.lock().remove(&key);
        }
    }
}

impl Drop for InFlightAttempt {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Waiter {
    /// Waits until the attempt has ended.
    pub(super) async fn wait(mut self) -> WaitResult {
        loop {
            let phase = self.phase.borrow_and_update().clone();
            match phase {
                Phase::Finished(result) => {
                    let joined_late = self.joined_late;
                    return WaitResult::Finished(result.map(|accepted| AcceptedWrite {
                        replayed: accepted.replayed || joined_late,
                        ..accepted
                    }));
                }
                Phase::Running if self.phase.changed().await.is_err() => return WaitResult::TaskFailed,
                Phase::Abandoned if self.phase.changed().await.is_err() => return WaitResult::Abandoned,
                Phase::Running | Phase::Abandoned => {}
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

    fn in_one_second() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    fn start(table: &InFlightTable, request: &Request) -> (InFlightAttempt, Waiter) {
        match table.join_or_start(&account(), Some(request), in_one_second()) {
            (Some(attempt), JoinResult::Joined(waiter)) => (attempt, waiter),
            other => panic!("{other:?}"),
        }
    }

    fn join(table: &InFlightTable, request: &Request) -> Waiter {
        match table.join(&account(), request, in_one_second()) {
            JoinResult::Joined(waiter) => waiter,
            other => panic!("{other:?}"),
        }
    }

    fn accepted() -> AttemptResult {
        Ok(AcceptedWrite { message: None, reply: None, replayed: false })
    }

    fn failed() -> AttemptResult {
        Err(Failure { message_id: None, attempt: Some(1), source: Arc::new(Cause::StoreUnavailable) })
    }

    fn replayed(result: WaitResult) -> bool {
        match result {
            WaitResult::Finished(Ok(accepted)) => accepted.replayed,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn repeated_request_joins_the_attempt_and_gets_its_result() {
        let table = InFlightTable::default();
        let (attempt, first) = start(&table, &request("1", 7));
        let second = join(&table, &request("1", 7));
        let (none, third) = table.join_or_start(&account(), Some(&request("1", 7)), in_one_second());
        assert!(none.is_none());
        let JoinResult::Joined(third) = third else { panic!("{third:?}") };
        attempt.publish(accepted());
        for waiter in [first, second, third] {
            assert!(!replayed(waiter.wait().await), "it waited for the attempt");
        }
        // A request between the result and the commit gets the same result, as a replay.
        assert!(replayed(join(&table, &request("1", 7)).wait().await));
        drop(attempt);
        assert!(matches!(table.join(&account(), &request("1", 7), in_one_second()), JoinResult::NotInFlight));
    }

    #[tokio::test]
    async fn different_content_id_or_account_does_not_join() {
        let table = InFlightTable::default();
        let (_attempt, _waiter) = start(&table, &request("1", 7));
        assert!(matches!(table.join(&account(), &request("1", 8), in_one_second()), JoinResult::Reused));
        assert!(matches!(table.join(&account(), &request("2", 7), in_one_second()), JoinResult::NotInFlight));
        let other = "other".parse().expect("an id");
        assert!(matches!(table.join(&other, &request("1", 7), in_one_second()), JoinResult::NotInFlight));
    }

    #[tokio::test]
    async fn attempt_is_abandoned_only_when_its_last_waiter_leaves() {
        let table = InFlightTable::default();
        let (attempt, first) = start(&table, &request("1", 7));
        let second = join(&table, &request("1", 7));
        drop(first);
        assert!(!attempt.abandon_if_unawaited());
        drop(second);
        attempt.abandoned().await;
        // A request that joins now gets no result of this attempt. It waits for the end and looks up again.
        let late = [join(&table, &request("1", 7)), join(&table, &request("1", 8))];
        attempt.publish(failed());
        drop(attempt);
        for late in late {
            assert!(matches!(late.wait().await, WaitResult::Abandoned), "also with other content");
        }
        start(&table, &request("1", 7));
    }

    #[tokio::test]
    async fn removed_attempt_is_not_joined() {
        let table = InFlightTable::default();
        let (attempt, first) = start(&table, &request("1", 7));
        attempt.remove_and_publish(failed());
        let (_again, _waiter) = start(&table, &request("1", 7));
        assert!(matches!(first.wait().await, WaitResult::Finished(Err(_))));
    }

    #[tokio::test]
    async fn dropped_attempt_reports_a_failed_task() {
        let table = InFlightTable::default();
        let (attempt, waiter) = start(&table, &request("1", 7));
        drop(attempt);
        assert!(matches!(waiter.wait().await, WaitResult::TaskFailed));
        assert!(matches!(table.join(&account(), &request("1", 7), in_one_second()), JoinResult::NotInFlight));
    }

    #[tokio::test]
    async fn latest_deadline_of_all_waiters_counts() {
        let table = InFlightTable::default();
        let (attempt, _waiter) = start(&table, &request("1", 7));
        let later = in_one_second() + Duration::from_secs(60);
        for deadline in [later, Instant::now()] {
            let joined = table.join(&account(), &request("1", 7), deadline);
            assert!(matches!(joined, JoinResult::Joined(_)), "{joined:?}");
        }
        assert_eq!(attempt.latest_deadline(), later);
    }
}
