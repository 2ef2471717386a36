//! One attempt at a write: gate, intent, call, outcome, in this order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::Instant;

use super::gate::{Class, Permit};
use super::requests::{Attempt, Found, Settled, Waited};
use super::retry::Tries;
use super::{Cause, Dispatch, Failure, WriteResult};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::Request;
use crate::domain::{AttemptId, Message, MessageId, MessageState, UnixMillis, UnknownReason};
use crate::provider::{AcceptedMessage, Account, Error as ProviderError};
use crate::store::{
    self, BeginAttempt, BeginResult, FinishAttempt, FinishResult, Op, OpResult, RequestRecord, RequestState,
};
use crate::telemetry::metrics::{SENDS, UNRECORDED, WRITES, outcome};

/// For how long after its waiters' deadlines an attempt may still be under way: longer than any request may take.
const NOT_AFTER: Duration = Duration::from_secs(600);

/// How long to wait before an outcome is written again that could not be.
const REWRITE: Duration = Duration::from_secs(1);

/// What is known of a call that broke off inside the server.
const BROKE_OFF: ProviderError = ProviderError::Unknown { cause: UnknownReason::ServerFailed, fault: None };

/// How often a request is looked up that ends and begins again meanwhile.
const LOOKS: usize = 8;

/// A write to be done.
pub(super) struct Work {
    pub(super) account: Arc<Account>,
    pub(super) operation: &'static str,
    pub(super) class: Class,
    pub(super) request: Option<Request>,
    /// The message, pending, where the write is a send.
    pub(super) message: Option<Message>,
}

/// Makes the call once. For a send it is told which attempt this is.
pub(super) type Call = Box<
    dyn Fn(Arc<Account>, Option<AttemptId>) -> BoxFuture<'static, Result<Accepted, ProviderError>>
        + Send
        + Sync,
>;

/// The provider's "yes".
#[derive(Debug)]
pub(super) enum Accepted {
    /// To a send.
    Message(AcceptedMessage),
    /// To any other write: the reply that the caller gets.
    Write(Bytes),
}

/// What is known of a request before anything is done for it.
pub(super) enum Known {
    /// What came of it.
    Settled(WriteResult),
    /// It is to be done now.
    Undone {
        /// The message of earlier attempts, if there were any.
        message_id: Option<MessageId>,
    },
}

impl Dispatch {
    /// What is known of a request already. An attempt that is under way is waited for.
    pub(super) async fn known(
        &self,
        account: &Account,
        request: &Request,
        until: Instant,
    ) -> Result<Known, Failure> {
        let mut lost = None;
        for _ in 0..LOOKS {
            match self.requests.join(account.id(), request, until) {
                Found::Joined(waiter) => match waiter.settled().await {
                    Waited::Settled(settled) => return settled.map(Known::Settled),
                    Waited::Died => return Err(Failure::of(Cause::BrokeOff)),
                    Waited::Left => {
                        lost = None;
                        continue;
                    }
                },
                Found::Reused => return Err(Failure::of(Cause::Reused)),
                Found::Nothing => {}
            }
            match self.record(account, request).await? {
                // It began after the look into the table, so it is there now; unless its task is gone.
                Some(record) if record.state.is_owned_by(self.owner) => lost = Some(record),
                record => return known(record, request),
            }
        }
        // It may have been done: that nothing was is not to be said.
        if lost.is_some() { known(lost, request) } else { Err(Failure::of(Cause::Unrecorded)) }
    }

    async fn record(&self, account: &Account, request: &Request) -> Result<Option<RequestRecord>, Failure> {
        let record = self.store.request_with_replay_guard(account.id(), request).await;
        let record = record.map_err(|_| Failure::of(Cause::Unrecorded))?;
        if record.as_ref().is_some_and(|record| record.fingerprint != request.fingerprint) {
            return Err(Failure::of(Cause::Reused));
        }
        Ok(record)
    }

    /// Does a write, or joins the attempt at it that is under way, and waits for the outcome. Dropping the future ends
    /// the wait.
    pub(super) async fn attempt(&self, work: Work, call: Call, until: Instant) -> Settled {
        let message_id = work.message.as_ref().map(|message| message.id);
        let broken = |cause| Err(Failure { message_id, attempt: None, source: Arc::new(cause) });
        if self.tasks.is_closed() {
            return broken(Cause::Stopping);
        }
        let mut work = Some((work, call));
        for _ in 0..LOOKS {
            let Some((next, _)) = work.as_ref() else { break };
            let (attempt, found) =
                self.requests.join_or_start(next.account.id(), next.request.as_ref(), until);
            if let Some(attempt) = attempt
                && let Some((work, call)) = work.take()
            {
                let dispatch = self.clone();
                self.tasks.spawn(async move { dispatch.run(work, call, attempt).await });
            }
            match found {
                Found::Joined(waiter) => match waiter.settled().await {
                    Waited::Settled(settled) => return settled,
                    Waited::Died => return broken(Cause::BrokeOff),
                    // What was left before we came was not done: now it is our turn.
                    Waited::Left => {}
                },
                Found::Reused => return Err(Failure::of(Cause::Reused)),
                Found::Nothing => unreachable!("what is not there is started"),
            }
        }
        broken(Cause::Unrecorded)
    }

    /// Makes an attempt, and tells all who wait for it.
    async fn run(self, mut work: Work, call: Call, attempt: Attempt) {
        let pass = match self.gates.of(&work.account).try_enter(work.class) {
            Some(pass) => pass,
            None => match self.wait(&mut work, &attempt).await {
                Ok(Some(pass)) => pass,
                Ok(None) => return,
                Err(settled) => return attempt.conclude(settled),
            },
        };
        let number = match self.begin(&mut work, &attempt).await {
            Ok(number) => number,
            Err(settled) => {
                pass.unused();
                return attempt.conclude(settled);
            }
        };
        let result = if attempt.is_left() {
            pass.unused();
            Err(ProviderError::NotSent(None))
        } else {
            self.call(&work, &call, &attempt, number, pass).await
        };
        let error = result.as_ref().err().map(|error| error as &(dyn std::error::Error + 'static));
        count(&work, outcome_of(&result), error);
        if let Err(ProviderError::Refused(fault)) = &result {
            self.templates_outdated(&work.account, fault);
        }
        // What it holds, a file's place above all, is free before the caller hears of the outcome.
        drop(call);
        self.end(&work, attempt, number, result).await;
    }

    /// Waits at the gate. None when nobody waits any more. A failure, and also what is known already, is what the attempt
    /// comes to: whoever asks again does not wait for the provider.
    async fn wait(&self, work: &mut Work, attempt: &Attempt) -> Result<Option<Permit>, Settled> {
        if let Some(request) = &work.request {
            let record = self.record(&work.account, request).await.map_err(Err)?;
            match known(record, request).map_err(Err)? {
                Known::Settled(outcome) => return Err(Ok(outcome)),
                Known::Undone { message_id } => {
                    if let (Some(message), Some(id)) = (&mut work.message, message_id) {
                        message.id = id;
                    }
                }
            }
        }
        self.enter(work, attempt).await.map_err(|cause| {
            // The gate tells the log of a provider that is gone, once, and counts what it holds.
            let held = matches!(cause, Cause::Rejected(_));
            let error = (!held).then_some(&cause as &(dyn std::error::Error + 'static));
            count(work, outcome::NOT_SENT, error);
            Err(failure(work, None, cause))
        })
    }

    /// Waits at the gate for as long as anybody waits. None when nobody does any more.
    async fn enter(&self, work: &Work, attempt: &Attempt) -> Result<Option<Permit>, Cause> {
        let gate = self.gates.of(&work.account);
        loop {
            let until = attempt.until();
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(Cause::Stopping),
                () = attempt.left() => return Ok(None),
                entered = gate.enter(work.class, until) => match entered {
                    Ok(pass) => return Ok(Some(pass)),
                    // Somebody who has more time has come.
                    Err(super::Rejected::RateLimited { .. }) if attempt.until() > until => {}
                    Err(held) => return Err(Cause::Rejected(held)),
                },
            }
        }
    }

    /// Makes it durable that the attempt is about to begin, where that matters, and says which one it is. A failure, and
    /// also what is known already, is what the attempt comes to.
    async fn begin(&self, work: &mut Work, attempt: &Attempt) -> Result<u32, Settled> {
        let Some(request) = &work.request else { return Ok(1) };
        let left = attempt.until().saturating_duration_since(Instant::now());
        let begin = BeginAttempt {
            account: work.account.id().clone(),
            request: request.clone(),
            replica_id: self.owner,
            not_after: UnixMillis::now().plus(left + NOT_AFTER),
            message: work.message.clone(),
        };
        let done = self.store.commit(vec![Op::BeginAttempt(Box::new(begin))]).await;
        let Ok(Some(OpResult::Begun(begun))) = done.map(|mut done| done.pop()) else {
            count(work, outcome::NOT_SENT, None);
            return Err(Err(failure(work, None, Cause::Unrecorded)));
        };
        match *begun {
            BeginResult::Attempt { number, message_id } => {
                if let Some(message) = &mut work.message {
                    message.attempt = number;
                    message.id = message_id.unwrap_or(message.id);
                }
                Ok(number)
            }
            BeginResult::Known(record) => Err(told(record)),
            BeginResult::Reused => Err(Err(Failure::of(Cause::Reused))),
        }
    }

    /// Makes the call, and again where nothing was done and there is time.
    async fn call(
        &self,
        work: &Work,
        call: &Call,
        attempt: &Attempt,
        number: u32,
        mut pass: Permit,
    ) -> Result<Accepted, ProviderError> {
        let id = work.message.as_ref().map(|message| AttemptId { message_id: message.id, number });
        let mut tries = Tries::new(work.class);
        loop {
            // From here on it runs to its end, whoever leaves.
            let calling = AssertUnwindSafe(call(Arc::clone(&work.account), id)).catch_unwind();
            let result = calling.await.unwrap_or(Err(BROKE_OFF));
            pass.ended(&result);
            let error = match result {
                Ok(yes) => return Ok(yes),
                Err(error) => error,
            };
            let Some(delay) = tries.after(&error, attempt.until()) else { return Err(error) };
            // Now nothing is under way.
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(error),
                () = attempt.left() => return Err(error),
                () = tokio::time::sleep(delay) => {}
            }
            pass = match self.enter(work, attempt).await {
                Ok(Some(pass)) => pass,
                Ok(None) | Err(_) => return Err(error),
            };
        }
    }

    /// Tells what came of an attempt, and makes it durable.
    async fn end(&self, work: &Work, attempt: Attempt, number: u32, result: Result<Accepted, ProviderError>) {
        let end = FinishAttempt {
            account: work.account.id().clone(),
            request: work.request.as_ref().map(|request| request.id.clone()),
            attempt: number,
            replica_id: self.owner,
            message: work.message.clone(),
            outcome: outcome_to_keep(&result),
            end_time: UnixMillis::now(),
        };
        if work.request.is_none() && work.message.is_none() {
            let failed = |error| failure(work, None, Cause::Provider(error));
            return attempt.conclude(result.map(|yes| accepted(work, yes, end.end_time)).map_err(failed));
        }
        match result {
            Ok(yes) => {
                // The reply does not wait for the disk: after a power loss the record honestly says that nobody knows.
                let written = self.store.submit(vec![Op::FinishAttempt(Box::new(end.clone()))]).await;
                attempt.settle(Ok(accepted(work, yes, end.end_time)));
                let written = match written {
                    Ok(written) => written.durable().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = written {
                    let _ = self.write_again(end, error).await;
                }
            }
            Err(error) if work.request.is_none() && end.outcome == store::AttemptOutcome::NotDone => {
                attempt.conclude(Err(failure(work, None, Cause::Provider(error))));
            }
            Err(error) => {
                // What an event has proven meanwhile counts for more than the reply.
                let ended = self.store.commit(vec![Op::FinishAttempt(Box::new(end.clone()))]).await;
                let failure = failure(work, Some(number), Cause::Provider(error));
                match ended {
                    Ok(done) => attempt.conclude(self.after(work, done, failure)),
                    Err(error) => {
                        attempt.settle(Err(failure.clone()));
                        if let Some(done) = self.write_again(end, error).await {
                            // The callers were told. Those who watch hear of it now.
                            let _ = self.after(work, done, failure);
                        }
                    }
                }
            }
        }
    }

    /// What an attempt that the provider did not accept comes to, by all that is known.
    fn after(&self, work: &Work, mut done: Vec<OpResult>, failure: Failure) -> Settled {
        let Some(OpResult::Finished(ended)) = done.pop() else {
            unreachable!("an end is answered by what ended")
        };
        let FinishResult { record, message } = *ended;
        match (record, message) {
            (Some(record), _) if matches!(record.state, RequestState::Accepted { .. }) => {
                told(record).map(|outcome| WriteResult { replayed: false, ..outcome })
            }
            (None, Some(message)) if message.state >= MessageState::Accepted => {
                Ok(WriteResult { message: Some(Box::new(message)), reply: None, replayed: false })
            }
            (Some(_) | None, Some(_)) | (_, None) => {
                // After a doubt it stands as the store says, and who watches has heard that.
                let not_done = !matches!(&*failure.source, Cause::Provider(ProviderError::Unknown { .. }));
                if let Some(message) = work.message.as_ref().filter(|_| not_done) {
                    (self.on_not_done.0)(message.id, &failure);
                }
                Err(failure)
            }
        }
    }

    /// Writes an outcome again until it is durable, and says how things stand then; nothing when it was given up. Until
    /// then the attempt stays in the table.
    async fn write_again(&self, end: FinishAttempt, mut error: store::Error) -> Option<Vec<OpResult>> {
        counter!(UNRECORDED, "account" => end.account.to_string()).increment(1);
        // Requests cannot pile up, for none begins while the store does not write; other sends can.
        let place = self.unwritten.try_acquire();
        if place.is_err() && end.request.is_none() {
            return None;
        }
        loop {
            if matches!(error, store::Error::Closed | store::Error::DiskFailed(_)) {
                // The record stays in flight, and will be unknown when the store is opened again.
                return None;
            }
            let stops = self.stopping.run_until_cancelled(tokio::time::sleep(REWRITE)).await.is_none();
            match self.store.commit(vec![Op::FinishAttempt(Box::new(end.clone()))]).await {
                Ok(done) => return Some(done),
                Err(_) if stops => return None,
                Err(again) => error = again,
            }
        }
    }
}

/// What a record means for a request that nobody makes now.
fn known(record: Option<RequestRecord>, request: &Request) -> Result<Known, Failure> {
    match record {
        None => Ok(Known::Undone { message_id: None }),
        Some(RequestRecord { attempt, state: RequestState::Unknown(_), message, .. })
            if request.resend_after == Some(attempt) =>
        {
            Ok(Known::Undone { message_id: message.map(|message| message.id) })
        }
        Some(record) => told(record).map(Known::Settled),
    }
}

/// What a record means for whoever asks again.
fn told(record: RequestRecord) -> Settled {
    let RequestRecord { attempt, state, message, .. } = record;
    let message_id = message.as_ref().map(|message| message.id);
    let doubtful = |doubt| {
        Err(Failure { message_id, attempt: Some(attempt), source: Arc::new(Cause::OutcomeUnknown(doubt)) })
    };
    match state {
        RequestState::Accepted { reply } => {
            Ok(WriteResult { message: message.map(Box::new), reply, replayed: true })
        }
        RequestState::Unknown(doubt) => doubtful(doubt),
        // Of somebody whom we cannot ask.
        RequestState::InFlight { .. } => {
            doubtful(UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None })
        }
    }
}

fn accepted(work: &Work, yes: Accepted, now: UnixMillis) -> WriteResult {
    match yes {
        Accepted::Write(reply) => WriteResult { message: None, reply: Some(reply), replayed: false },
        Accepted::Message(AcceptedMessage { provider_ids, provider_state }) => {
            let message = work.message.clone().expect("a send has a message");
            let message = Message {
                state: MessageState::Accepted,
                provider_ids,
                provider_state,
                problem: None,
                update_time: now,
                ..message
            };
            WriteResult { message: Some(Box::new(message)), reply: None, replayed: false }
        }
    }
}

fn outcome_to_keep(result: &Result<Accepted, ProviderError>) -> store::AttemptOutcome {
    match result {
        Ok(Accepted::Message(AcceptedMessage { provider_ids, provider_state })) => {
            store::AttemptOutcome::Accepted {
                reply: None,
                provider_ids: provider_ids.clone(),
                provider_state: provider_state.clone(),
            }
        }
        Ok(Accepted::Write(reply)) => store::AttemptOutcome::Accepted {
            reply: Some(reply.clone()),
            provider_ids: Vec::new(),
            provider_state: None,
        },
        Err(ProviderError::Refused(_) | ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_)) => {
            store::AttemptOutcome::NotDone
        }
        Err(ProviderError::Unknown { cause, fault }) => {
            store::AttemptOutcome::Unknown(UnknownOutcome { cause: *cause, fault: fault.clone() })
        }
    }
}

fn failure(work: &Work, attempt: Option<u32>, cause: Cause) -> Failure {
    let message_id = work.message.as_ref().map(|message| message.id);
    Failure { message_id, attempt, source: Arc::new(cause) }
}

/// Counts a write, and logs one that was not done.
fn count(work: &Work, outcome: &'static str, error: Option<&(dyn std::error::Error + 'static)>) {
    let (account, operation) = (work.account.id(), work.operation);
    let Some(message) = &work.message else {
        counter!(WRITES, "account" => account.to_string(), "operation" => operation, "outcome" => outcome)
            .increment(1);
        if let Some(error) = error {
            tracing::warn!(%account, operation, outcome, error, "a write was not accepted");
        }
        return;
    };
    counter!(SENDS, "account" => account.to_string(), "outcome" => outcome).increment(1);
    if let Some(error) = error {
        tracing::warn!(%account, message_id = %message.id, outcome, error, "a message was not accepted");
    }
}

fn outcome_of<T>(result: &Result<T, ProviderError>) -> &'static str {
    match result {
        Ok(_) => outcome::ACCEPTED,
        Err(ProviderError::Refused(_)) => outcome::REFUSED,
        Err(ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_)) => outcome::NOT_SENT,
        Err(ProviderError::Unknown { .. }) => outcome::UNKNOWN,
    }
}
