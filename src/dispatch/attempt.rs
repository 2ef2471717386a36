//! One attempt at a write: permit, intent, call, outcome, in this order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use metrics::counter;
use tokio::time::Instant;

use super::gate::{Class, Permit};
use super::in_flight::{AttemptResult, InFlightAttempt, JoinResult, WaitResult};
use super::retry::Retry;
use super::{AcceptedWrite, Cause, Dispatch, Failure};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::Request;
use crate::domain::{AccountId, AttemptId, Message, MessageId, MessageState, UnixMillis, UnknownReason};
use crate::provider::{AcceptedMessage, Account, Error as ProviderError};
use crate::store::{
    self, BeginAttempt, BeginResult, FinishAttempt, FinishResult, MessageKey, Op, OpResult, RequestRecord,
    RequestState,
};
use crate::telemetry::metrics::{SENDS, UNRECORDED, WRITES, outcome};

/// How long an attempt may stay in flight after the latest deadline of its waiters. Longer than any provider call.
const MAX_CALL_TIME: Duration = Duration::from_secs(600);

/// The delay before an outcome that could not be recorded is written again.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The result of a call that panicked.
const TASK_FAILED: ProviderError = ProviderError::Unknown { cause: UnknownReason::ServerFailed, fault: None };

/// How often a request is looked up while its attempts end and start concurrently.
const MAX_LOOKUPS: usize = 8;

/// A write to make.
pub(super) struct WriteJob {
    pub(super) account: Arc<Account>,
    pub(super) operation: &'static str,
    pub(super) class: Class,
    pub(super) request: Option<Request>,
    /// The message with state PENDING, if the write is a send.
    pub(super) message: Option<Message>,
}

/// Makes the provider call once. A send gets the id of its attempt.
pub(super) type Call = Box<
    dyn Fn(Arc<Account>, Option<AttemptId>) -> BoxFuture<'static, Result<Accepted, ProviderError>>
        + Send
        + Sync,
>;

/// The reply of a provider that accepted a write.
#[derive(Debug)]
pub(super) enum Accepted {
    /// Of a send.
    Message(AcceptedMessage),
    /// Of any other write: the reply for the client.
    Write(Bytes),
}

/// The result of earlier attempts at a request.
pub(super) enum EarlierResult {
    /// An earlier attempt was accepted.
    Accepted(AcceptedWrite),
    /// A new attempt is needed.
    NotAccepted {
        /// The message of earlier attempts, if there were any.
        message_id: Option<MessageId>,
    },
}

impl Dispatch {
    /// Finds the result of earlier attempts at a request. Waits for an attempt that is in flight.
    pub(super) async fn find_earlier(
        &self,
        account: &Account,
        request: &Request,
        until: Instant,
    ) -> Result<EarlierResult, Failure> {
        let mut orphaned = None;
        for _ in 0..MAX_LOOKUPS {
            match self.in_flight.join(account.id(), request, until) {
                JoinResult::Joined(waiter) => match waiter.wait().await {
                    WaitResult::Finished(result) => return result.map(EarlierResult::Accepted),
                    WaitResult::TaskFailed => return Err(Failure::before_attempt(Cause::TaskFailed)),
                    WaitResult::Abandoned => {
                        orphaned = None;
                        continue;
                    }
                },
                JoinResult::Reused => return Err(Failure::before_attempt(Cause::Reused)),
                JoinResult::NotInFlight => {}
            }
            match self.request_record(account, request).await? {
                // The attempt began after the lookup in the table, so the next lookup finds it, unless its task failed.
                Some(record) if record.state.is_owned_by(self.replica_id) => orphaned = Some(record),
                record => return earlier_result(record, request),
            }
        }
        // The provider may have acted on the orphaned attempt, so its outcome must be reported as unknown.
        if orphaned.is_some() {
            earlier_result(orphaned, request)
        } else {
            Err(Failure::before_attempt(Cause::StoreUnavailable))
        }
    }

    async fn request_record(
        &self,
        account: &Account,
        request: &Request,
    ) -> Result<Option<RequestRecord>, Failure> {
        let record = self.store.request_with_replay_guard(account.id(), request).await;
        let record = record.map_err(|_| Failure::before_attempt(Cause::StoreUnreadable))?;
        if record.as_ref().is_some_and(|record| record.fingerprint != request.fingerprint) {
            return Err(Failure::before_attempt(Cause::Reused));
        }
        Ok(record)
    }

    /// Makes a write, or joins the attempt at it that is in flight, and waits for the outcome. Dropping the future ends
    /// the wait.
    pub(super) async fn attempt(&self, job: WriteJob, call: Call, until: Instant) -> AttemptResult {
        let message_id = job.message.as_ref().map(|message| message.id);
        let failed = |cause| Err(Failure { message_id, attempt: None, source: Arc::new(cause) });
        if self.tasks.is_closed() {
            return failed(Cause::Stopping);
        }
        let mut unstarted = Some((job, call));
        for _ in 0..MAX_LOOKUPS {
            let Some((job, _)) = unstarted.as_ref() else { break };
            let (attempt, joined) =
                self.in_flight.join_or_start(job.account.id(), job.request.as_ref(), until);
            if let Some(attempt) = attempt
                && let Some((job, call)) = unstarted.take()
            {
                let dispatch = self.clone();
                self.tasks.spawn(async move { dispatch.run(job, call, attempt).await });
            }
            match joined {
                JoinResult::Joined(waiter) => match waiter.wait().await {
                    WaitResult::Finished(result) => return result,
                    WaitResult::TaskFailed => return failed(Cause::TaskFailed),
                    // The abandoned attempt sent nothing, so this request may start one.
                    WaitResult::Abandoned => {}
                },
                JoinResult::Reused => return Err(Failure::before_attempt(Cause::Reused)),
                JoinResult::NotInFlight => unreachable!("an attempt that is not in flight is started"),
            }
        }
        failed(Cause::StoreUnavailable)
    }

    /// Makes an attempt and gives its result to all waiters.
    async fn run(self, mut job: WriteJob, call: Call, attempt: InFlightAttempt) {
        let permit = match self.gates.of(&job.account).try_acquire(job.class) {
            Some(permit) => permit,
            None => match self.queue_for_permit(&mut job, &attempt).await {
                Ok(Some(permit)) => permit,
                Ok(None) => return,
                Err(result) => return attempt.remove_and_publish(result),
            },
        };
        let number = match self.record_intent(&mut job, &attempt).await {
            Ok(number) => number,
            Err(result) => {
                permit.release_unused();
                return attempt.remove_and_publish(result);
            }
        };
        let result = if attempt.abandon_if_unawaited() {
            permit.release_unused();
            Err(ProviderError::NotSent(None))
        } else {
            self.call(&job, &call, &attempt, number, permit).await
        };
        let error = result.as_ref().err().map(|error| error as &(dyn std::error::Error + 'static));
        report_write(&job, outcome_label(&result), error);
        if let Err(ProviderError::Refused(fault)) = &result {
            self.invalidate_templates(&job.account, fault);
        }
        // Frees what the call owns, a file's spool slot above all, before the client gets the outcome.
        drop(call);
        self.finish(&job, attempt, number, result).await;
    }

    /// Waits in the gate's queue, unless an earlier attempt has a result. A repeated request therefore does not wait
    /// for the provider. Returns none if the attempt was abandoned. An `Err` is the attempt's final result.
    async fn queue_for_permit(
        &self,
        job: &mut WriteJob,
        attempt: &InFlightAttempt,
    ) -> Result<Option<Permit>, AttemptResult> {
        if let Some(request) = &job.request {
            let record = self.request_record(&job.account, request).await.map_err(Err)?;
            match earlier_result(record, request).map_err(Err)? {
                EarlierResult::Accepted(accepted) => return Err(Ok(accepted)),
                EarlierResult::NotAccepted { message_id } => {
                    if let (Some(message), Some(id)) = (&mut job.message, message_id) {
                        message.id = id;
                    }
                }
            }
        }
        self.acquire_permit(job, attempt).await.map_err(|cause| {
            // The gate counts its rejections, and logs an open circuit once.
            let rejected = matches!(cause, Cause::Rejected(_));
            let error = (!rejected).then_some(&cause as &(dyn std::error::Error + 'static));
            report_write(job, outcome::NOT_SENT, error);
            Err(failure(job, None, cause))
        })
    }

    /// Waits for a permit while the attempt has waiters. Returns none if it was abandoned.
    async fn acquire_permit(
        &self,
        job: &WriteJob,
        attempt: &InFlightAttempt,
    ) -> Result<Option<Permit>, Cause> {
        let gate = self.gates.of(&job.account);
        loop {
            let until = attempt.latest_deadline();
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(Cause::Stopping),
                () = attempt.abandoned() => return Ok(None),
                acquired = gate.acquire(job.class, until) => match acquired {
                    Ok(permit) => return Ok(Some(permit)),
                    // A waiter with a later deadline has joined.
                    Err(super::Rejected::RateLimited { .. }) if attempt.latest_deadline() > until => {}
                    Err(rejected) => return Err(Cause::Rejected(rejected)),
                },
            }
        }
    }

    /// Records durably that the attempt is about to begin, and returns its number. A write without a request id needs
    /// no intent. An `Err` is the attempt's final result.
    async fn record_intent(
        &self,
        job: &mut WriteJob,
        attempt: &InFlightAttempt,
    ) -> Result<u32, AttemptResult> {
        let Some(request) = &job.request else { return Ok(1) };
        let remaining = attempt.latest_deadline().saturating_duration_since(Instant::now());
        let begin = BeginAttempt {
            account: job.account.id().clone(),
            request: request.clone(),
            replica_id: self.replica_id,
            not_after: UnixMillis::now().plus(remaining + MAX_CALL_TIME),
            message: job.message.clone(),
        };
        let results = self.store.commit(vec![Op::BeginAttempt(Box::new(begin))]).await;
        let Ok(Some(OpResult::Begun(begun))) = results.map(|mut results| results.pop()) else {
            return Err(self.result_without_intent(job, request).await);
        };
        match *begun {
            BeginResult::Attempt { number, message_id } => {
                if let Some(message) = &mut job.message {
                    message.attempt = number;
                    message.id = message_id.unwrap_or(message.id);
                    // Only a resend continues an earlier message. A first attempt must not pay for this read.
                    if request.resend_after.is_some()
                        && let Some(created) = self.create_time(job.account.id(), message.id).await
                    {
                        message.create_time = created;
                    }
                }
                Ok(number)
            }
            BeginResult::Known(record) => Err(replay(record)),
            BeginResult::Reused => Err(Err(Failure::before_attempt(Cause::Reused))),
        }
    }

    /// The result of an attempt whose intent could not be recorded. On a full disk the store can be read, so a known
    /// request has the result that it has at any other time.
    async fn result_without_intent(&self, job: &WriteJob, request: &Request) -> AttemptResult {
        let record = self.request_record(&job.account, request).await?;
        if record.is_some()
            && let EarlierResult::Accepted(accepted) = earlier_result(record, request)?
        {
            return Ok(accepted);
        }
        report_write(job, outcome::NOT_SENT, None);
        Err(failure(job, None, Cause::StoreUnavailable))
    }

    /// When the message of an earlier attempt was created, if the store can be read.
    async fn create_time(&self, account: &AccountId, id: MessageId) -> Option<UnixMillis> {
        let found = self.store.message(account, &MessageKey::Id(id)).await;
        found.ok().flatten().map(|message| message.create_time)
    }

    /// Calls the provider, and retries while the provider did nothing and time is left.
    async fn call(
        &self,
        job: &WriteJob,
        call: &Call,
        attempt: &InFlightAttempt,
        number: u32,
        mut permit: Permit,
    ) -> Result<Accepted, ProviderError> {
        let id = job.message.as_ref().map(|message| AttemptId { message_id: message.id, number });
        let mut retry = Retry::new(job.class);
        loop {
            // The call runs to its end, even if all waiters leave.
            let calling = AssertUnwindSafe(call(Arc::clone(&job.account), id)).catch_unwind();
            let result = calling.await.unwrap_or(Err(TASK_FAILED));
            permit.record(&result);
            let error = match result {
                Ok(accepted) => return Ok(accepted),
                Err(error) => error,
            };
            let Some(delay) = retry.next_delay(&error, attempt.latest_deadline()) else { return Err(error) };
            // No call is in flight here, so the attempt may stop.
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Err(error),
                () = attempt.abandoned() => return Err(error),
                () = tokio::time::sleep(delay) => {}
            }
            permit = match self.acquire_permit(job, attempt).await {
                Ok(Some(permit)) => permit,
                Ok(None) | Err(_) => return Err(error),
            };
        }
    }

    /// Gives the result of an attempt to its waiters and records its outcome.
    async fn finish(
        &self,
        job: &WriteJob,
        attempt: InFlightAttempt,
        number: u32,
        result: Result<Accepted, ProviderError>,
    ) {
        let finish = FinishAttempt {
            account: job.account.id().clone(),
            request: job.request.as_ref().map(|request| request.id.clone()),
            attempt: number,
            replica_id: self.replica_id,
            message: job.message.clone(),
            outcome: recorded_outcome(&result),
            end_time: UnixMillis::now(),
        };
        if job.request.is_none() && job.message.is_none() {
            let failed = |error| failure(job, None, Cause::Provider(error));
            let result = result.map(|accepted| accepted_write(job, accepted, finish.end_time));
            return attempt.remove_and_publish(result.map_err(failed));
        }
        match result {
            Ok(accepted) => {
                // The client's reply does not wait for the commit. After a power loss the record is in flight, so the
                // outcome is reported as unknown.
                let submitted = self.store.submit(vec![Op::FinishAttempt(Box::new(finish.clone()))]).await;
                attempt.publish(Ok(accepted_write(job, accepted, finish.end_time)));
                let recorded = match submitted {
                    Ok(pending) => pending.durable().await,
                    Err(error) => Err(error),
                };
                if let Err(error) = recorded {
                    let _ = self.retry_recording(finish, error).await;
                }
            }
            Err(error) if job.request.is_none() && finish.outcome == store::AttemptOutcome::NotDone => {
                attempt.remove_and_publish(Err(failure(job, None, Cause::Provider(error))));
            }
            Err(error) => {
                // An event that proved the outcome meanwhile takes precedence over the reply.
                let recorded = self.store.commit(vec![Op::FinishAttempt(Box::new(finish.clone()))]).await;
                let failure = failure(job, Some(number), Cause::Provider(error));
                match recorded {
                    Ok(results) => attempt.remove_and_publish(self.recorded_result(job, results, failure)),
                    Err(error) => {
                        attempt.publish(Err(failure.clone()));
                        if let Some(results) = self.retry_recording(finish, error).await {
                            // The waiters have their result. This notifies the watchers of the message.
                            let _ = self.recorded_result(job, results, failure);
                        }
                    }
                }
            }
        }
    }

    /// The result of an attempt that the provider did not accept, after its outcome was recorded. The record may hold
    /// proof that the provider accepted it.
    fn recorded_result(&self, job: &WriteJob, mut results: Vec<OpResult>, failure: Failure) -> AttemptResult {
        let Some(OpResult::Finished(finished)) = results.pop() else {
            unreachable!("FinishAttempt yields Finished")
        };
        let FinishResult { record, message } = *finished;
        match (record, message) {
            (Some(record), _) if matches!(record.state, RequestState::Accepted { .. }) => {
                replay(record).map(|accepted| AcceptedWrite { replayed: false, ..accepted })
            }
            (None, Some(message)) if message.state >= MessageState::Accepted => {
                Ok(AcceptedWrite { message: Some(Box::new(message)), reply: None, replayed: false })
            }
            (Some(_) | None, Some(_)) | (_, None) => {
                // If the outcome is unknown, the store's commit has already notified the message's watchers.
                let not_done = !matches!(&*failure.source, Cause::Provider(ProviderError::Unknown { .. }));
                if let Some(message) = job.message.as_ref().filter(|_| not_done) {
                    (self.on_not_done.0)(message.id, &failure);
                }
                Err(failure)
            }
        }
    }

    /// Writes an outcome again until it is durable, and returns the store's result, or none if it gave up. The attempt
    /// stays in the table meanwhile.
    async fn retry_recording(&self, finish: FinishAttempt, mut error: store::Error) -> Option<Vec<OpResult>> {
        counter!(UNRECORDED, "account" => finish.account.to_string()).increment(1);
        // Only sends without a request id can pile up. An attempt with one needs a recorded intent first.
        let slot = self.unrecorded_slots.try_acquire();
        if slot.is_err() && finish.request.is_none() {
            return None;
        }
        loop {
            if matches!(error, store::Error::Closed | store::Error::DiskFailed(_)) {
                // The record stays in flight. Reopening the store marks it as unknown.
                return None;
            }
            let stopping =
                self.stopping.run_until_cancelled(tokio::time::sleep(RECORD_RETRY_DELAY)).await.is_none();
            match self.store.commit(vec![Op::FinishAttempt(Box::new(finish.clone()))]).await {
                Ok(results) => return Some(results),
                Err(_) if stopping => return None,
                Err(next) => error = next,
            }
        }
    }
}

/// The result that a request's record holds, if no attempt is in flight in this process.
fn earlier_result(record: Option<RequestRecord>, request: &Request) -> Result<EarlierResult, Failure> {
    match record {
        None => Ok(EarlierResult::NotAccepted { message_id: None }),
        Some(RequestRecord { attempt, state: RequestState::Unknown(_), message, .. })
            if request.resend_after == Some(attempt) =>
        {
            Ok(EarlierResult::NotAccepted { message_id: message.map(|message| message.id) })
        }
        Some(record) => replay(record).map(EarlierResult::Accepted),
    }
}

/// The result of a repeated request.
fn replay(record: RequestRecord) -> AttemptResult {
    let RequestRecord { attempt, state, message, .. } = record;
    let message_id = message.as_ref().map(|message| message.id);
    let unknown = |outcome| {
        Err(Failure { message_id, attempt: Some(attempt), source: Arc::new(Cause::OutcomeUnknown(outcome)) })
    };
    match state {
        RequestState::Accepted { reply } => {
            Ok(AcceptedWrite { message: message.map(Box::new), reply, replayed: true })
        }
        RequestState::Unknown(outcome) => unknown(outcome),
        // No task of this process makes the attempt, so its result cannot be awaited.
        RequestState::InFlight { .. } => {
            unknown(UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None })
        }
    }
}

fn accepted_write(job: &WriteJob, accepted: Accepted, now: UnixMillis) -> AcceptedWrite {
    match accepted {
        Accepted::Write(reply) => AcceptedWrite { message: None, reply: Some(reply), replayed: false },
        Accepted::Message(AcceptedMessage { provider_ids, provider_state, recipient_wa_id }) => {
            let message = job.message.clone().expect("a send has a message");
            let message = Message {
                state: MessageState::Accepted,
                provider_ids,
                provider_state,
                recipient_wa_id,
                problem: None,
                update_time: now,
                ..message
            };
            AcceptedWrite { message: Some(Box::new(message)), reply: None, replayed: false }
        }
    }
}

fn recorded_outcome(result: &Result<Accepted, ProviderError>) -> store::AttemptOutcome {
    match result {
        Ok(Accepted::Message(AcceptedMessage { provider_ids, provider_state, recipient_wa_id })) => {
            store::AttemptOutcome::Accepted {
                reply: None,
                provider_ids: provider_ids.clone(),
                provider_state: provider_state.clone(),
                recipient_wa_id: recipient_wa_id.clone(),
            }
        }
        Ok(Accepted::Write(reply)) => store::AttemptOutcome::Accepted {
            reply: Some(reply.clone()),
            provider_ids: Vec::new(),
            provider_state: None,
            recipient_wa_id: None,
        },
        Err(ProviderError::Refused(_) | ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_)) => {
            store::AttemptOutcome::NotDone
        }
        Err(ProviderError::Unknown { cause, fault }) => {
            store::AttemptOutcome::Unknown(UnknownOutcome { cause: *cause, fault: fault.clone() })
        }
    }
}

fn failure(job: &WriteJob, attempt: Option<u32>, cause: Cause) -> Failure {
    let message_id = job.message.as_ref().map(|message| message.id);
    Failure { message_id, attempt, source: Arc::new(cause) }
}

/// Counts a write, and logs one that was not accepted.
fn report_write(job: &WriteJob, outcome: &'static str, error: Option<&(dyn std::error::Error + 'static)>) {
    let (account, operation) = (job.account.id(), job.operation);
    let Some(message) = &job.message else {
        counter!(WRITES, "account" => account.to_string(), "operation" => operation, "outcome" => outcome)
            .increment(1);
        if let Some(error) = error {
            tracing::warn!(%account, operation, outcome, error, "write not accepted");
        }
        return;
    };
    counter!(SENDS, "account" => account.to_string(), "outcome" => outcome).increment(1);
    if let Some(error) = error {
        tracing::warn!(%account, message_id = %message.id, outcome, error, "send not accepted");
    }
}

fn outcome_label<T>(result: &Result<T, ProviderError>) -> &'static str {
    match result {
        Ok(_) => outcome::ACCEPTED,
        Err(ProviderError::Refused(_)) => outcome::REFUSED,
        Err(ProviderError::NotSent(_) | ProviderError::PreconditionFailed(_)) => outcome::NOT_SENT,
        Err(ProviderError::Unknown { .. }) => outcome::UNKNOWN,
    }
}
