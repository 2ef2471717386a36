//! Failed provider calls: reads, sends and other writes.

use tonic::{Code, Status};

use super::provider::{not_sent, precondition_failed, read_failure, refusal, refused};
use super::{OUTAGE_DELAY, server_stopping, stopping};
use crate::api::error::error_response::ErrorResponse;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::dispatch::{self, Rejected, TemplateMismatch};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::{MessageId, RefusalReason, UnknownReason};
use crate::pb::v1::{self, Reason};
use crate::provider::{self, Account};

/// A send whose message the provider did not accept.
pub(in crate::api) fn send_failed(account: &Account, failure: &dispatch::Failure) -> Status {
    write_failure(account, failure, send_unknown).into()
}

/// As [`send_failed`], for a stream or a record.
pub(in crate::api) fn send_error(account: &Account, failure: &dispatch::Failure) -> v1::Failure {
    write_failure(account, failure, send_unknown).into()
}

/// Another write that the provider did not accept.
pub(in crate::api) fn write_failed(account: &Account, failure: &dispatch::Failure) -> Status {
    write_failure(account, failure, write_unknown).into()
}

/// A failed read. A retry is always safe, but rarely helps if the provider's reply cannot be parsed.
pub(in crate::api) fn read_failed(account: &Account, cause: &dispatch::Cause) -> Status {
    let response = match cause {
        dispatch::Cause::Provider(error) | dispatch::Cause::NotPrepared(error) => read_failure(error),
        dispatch::Cause::Rejected(rejected) => gate_rejected(rejected),
        dispatch::Cause::Stopping => return stopping(),
        dispatch::Cause::TemplateMismatch(_)
        | dispatch::Cause::WindowClosed { .. }
        | dispatch::Cause::Reused
        | dispatch::Cause::OutcomeUnknown(_)
        | dispatch::Cause::StoreUnavailable
        | dispatch::Cause::StoreUnreadable
        | dispatch::Cause::TaskFailed => unreachable!("only writes have these causes"),
    };
    response.for_account(account).into()
}

/// A write that failed or whose outcome is unknown. `unknown` makes the response for the latter.
fn write_failure(
    account: &Account,
    failure: &dispatch::Failure,
    unknown: fn(&str) -> ErrorResponse,
) -> ErrorResponse {
    let mut response = match &*failure.source {
        dispatch::Cause::Stopping => server_stopping(),
        dispatch::Cause::TaskFailed => unknown(UnknownReason::ServerFailed.as_str()),
        dispatch::Cause::NotPrepared(error) => read_failure(error),
        dispatch::Cause::Rejected(rejected) => gate_rejected(rejected),
        dispatch::Cause::TemplateMismatch(mismatches) => {
            let mut violations = Violations::default();
            for TemplateMismatch { field, problem } in mismatches {
                violations.add(field, ViolationReason::Mismatch, problem);
            }
            violations.into()
        }
        dispatch::Cause::WindowClosed { since } => {
            let (code, reason, message) = refusal(RefusalReason::SessionWindowClosed);
            ErrorResponse::new(code, reason, message).with("closed_since", since.to_rfc3339())
        }
        dispatch::Cause::Reused => ErrorResponse::new(
            Code::FailedPrecondition,
            Reason::RequestIdReused,
            "the `request_id` belongs to an earlier request with other content or of another RPC; nothing \
                was done; use a new id for each new request",
        ),
        dispatch::Cause::OutcomeUnknown(UnknownOutcome { cause, fault }) => {
            unknown(cause.as_str()).with_provider_error(fault.as_ref())
        }
        dispatch::Cause::StoreUnavailable => ErrorResponse::new(
            Code::Unavailable,
            Reason::StoreUnavailable,
            "the store cannot record the request now, so nothing was done; retry after `retry_delay`",
        )
        .retry_after(OUTAGE_DELAY),
        dispatch::Cause::StoreUnreadable => ErrorResponse::new(
            Code::Unavailable,
            Reason::StoreUnavailable,
            "the store cannot be read now: this call did nothing, and whether an earlier one with this \
                `request_id` did is not known; retry with the same `request_id` after `retry_delay`",
        )
        .retry_after(OUTAGE_DELAY),
        dispatch::Cause::Provider(error) => match error {
            provider::Error::NotSent(_) => not_sent(),
            provider::Error::Refused(fault) => refused(fault),
            provider::Error::PreconditionFailed(failed) => precondition_failed(failed),
            provider::Error::Unknown { cause, fault } => {
                unknown(cause.as_str()).with_provider_error(fault.as_ref())
            }
        },
    };
    if let Some(id) = failure.message_id {
        response = response.with("message_id", id);
    }
    if let Some(attempt) = failure.attempt {
        response = response.with("attempt", attempt);
    }
    response.for_account(account)
}

/// A call that the account's gate rejected. Nothing was sent.
fn gate_rejected(rejected: &Rejected) -> ErrorResponse {
    match rejected {
        Rejected::RateLimited { retry_after } => ErrorResponse::new(
            Code::ResourceExhausted,
            Reason::AccountBusy,
            "the account's rate or concurrency limit does not admit the call before its deadline; nothing \
                was sent; retry after `retry_delay`, or with a later deadline",
        )
        .retry_after(*retry_after),
        Rejected::CircuitOpen { retry_after } => not_sent().retry_after(*retry_after),
    }
}

/// A stored message whose outcome is unknown.
pub(in crate::api) fn outcome_unknown(
    message_id: MessageId,
    attempt: u32,
    outcome: &UnknownOutcome,
) -> v1::Failure {
    send_unknown(outcome.cause.as_str())
        .with_provider_error(outcome.fault.as_ref())
        .with("message_id", message_id)
        .with("attempt", attempt)
        .into()
}

fn write_unknown(cause: &str) -> ErrorResponse {
    let message = "the outcome is unknown: the provider's reply was lost or inconclusive, or the server was killed; \
        the operation may have succeeded, so check before you retry";
    ErrorResponse::new(Code::FailedPrecondition, Reason::WriteOutcomeUnknown, message).with("cause", cause)
}

fn send_unknown(cause: &str) -> ErrorResponse {
    let message = "the outcome is unknown: the provider's reply was lost or inconclusive, or the server was killed; \
        the message may have been sent; a retry without `request_id` may send it twice; with one, \
        `resend_after_attempt` with the number `attempt` sends it again";
    ErrorResponse::new(Code::FailedPrecondition, Reason::SendOutcomeUnknown, message).with("cause", cause)
}
