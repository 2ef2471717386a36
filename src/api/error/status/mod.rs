//! The one table that turns errors into gRPC statuses.
//!
//! Matches here have no `_` arm: a new kind of error does not compile until it is given a code, a reason and a text.
//! Texts are for the caller; what the provider said, and what failed inside, never goes into them.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::FieldViolation;

use crate::api::error::error_response::{ErrorResponse, clipped};
use crate::api::request::violations::{ViolationReason, Violations};
use crate::dispatch::{self, Rejected, TemplateMismatch};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::{AccountId, MessageId, ProviderFault, RefusalReason, SubscriptionId, UnknownReason};
use crate::journal::{self, SubscriptionError};
use crate::pb::v1;
use crate::provider::{self, Account};
use crate::store::MAX_SUBSCRIPTIONS;

/// How long to wait when the provider throttles and does not say for how long.
const THROTTLED_DELAY: Duration = Duration::from_secs(1);

/// How long to wait for a store that cannot write, a provider that cannot be reached, or a server that restarts.
pub(in crate::api) const OUTAGE_DELAY: Duration = Duration::from_secs(1);

macro_rules! reasons {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// What happened, in one word: the `reason` of an `ErrorInfo`. Each has a paragraph in `docs/errors.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::api) enum Reason { $($name),+ }

        impl Reason {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),+];

            pub(in crate::api) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

reasons! {
    RequestInvalid = "REQUEST_INVALID",
    RequestIdReused = "REQUEST_ID_REUSED",
    MessageNotFound = "MESSAGE_NOT_FOUND",
    AccountBusy = "ACCOUNT_BUSY",
    AccountNotFound = "ACCOUNT_NOT_FOUND",
    ProviderUnsupported = "PROVIDER_UNSUPPORTED",
    CursorMalformed = "CURSOR_MALFORMED",
    CursorExpired = "CURSOR_EXPIRED",
    CursorLost = "CURSOR_LOST",
    SubscriptionNotFound = "SUBSCRIPTION_NOT_FOUND",
    SubscriptionExists = "SUBSCRIPTION_EXISTS",
    SubscriptionsExhausted = "SUBSCRIPTIONS_EXHAUSTED",
    SubscriptionChanged = "SUBSCRIPTION_CHANGED",
    SubscriptionGenerationStale = "SUBSCRIPTION_GENERATION_STALE",
    StoreUnavailable = "STORE_UNAVAILABLE",
    ServerStopping = "SERVER_STOPPING",
    RequestBrokenOff = "REQUEST_BROKEN_OFF",
    UploadStalled = "UPLOAD_STALLED",
    UploadsExhausted = "UPLOADS_EXHAUSTED",
    SpoolUnavailable = "SPOOL_UNAVAILABLE",
    SandboxFailed = "SANDBOX_FAILED",
    ProviderUnreachable = "PROVIDER_UNREACHABLE",
    SendOutcomeUnknown = "SEND_OUTCOME_UNKNOWN",
    WriteOutcomeUnknown = "WRITE_OUTCOME_UNKNOWN",
    ProviderUnavailable = "PROVIDER_UNAVAILABLE",
    ProviderReplyUnreadable = "PROVIDER_REPLY_UNREADABLE",
    PageTokenMalformed = "PAGE_TOKEN_MALFORMED",
    WebhookExists = "WEBHOOK_EXISTS",
    ProviderCredentialsRejected = "PROVIDER_CREDENTIALS_REJECTED",
    ProviderPermissionDenied = "PROVIDER_PERMISSION_DENIED",
    ProviderThrottled = "PROVIDER_THROTTLED",
    ProviderCapped = "PROVIDER_CAPPED",
    ProviderAccountRestricted = "PROVIDER_ACCOUNT_RESTRICTED",
    ProviderNotFound = "PROVIDER_NOT_FOUND",
    ProviderConflict = "PROVIDER_CONFLICT",
    ProviderRefused = "PROVIDER_REFUSED",
    SessionWindowClosed = "SESSION_WINDOW_CLOSED",
    RecipientNotReachable = "RECIPIENT_NOT_REACHABLE",
    RecipientOptedOut = "RECIPIENT_OPTED_OUT",
    RecipientInvalid = "RECIPIENT_INVALID",
    SenderInvalid = "SENDER_INVALID",
    ContentRejected = "CONTENT_REJECTED",
    TemplateNotFound = "TEMPLATE_NOT_FOUND",
    TemplateParametersRejected = "TEMPLATE_PARAMETERS_REJECTED",
    TemplatePaused = "TEMPLATE_PAUSED",
}

impl From<Violations> for Status {
    fn from(found: Violations) -> Self {
        ErrorResponse::from(found).into()
    }
}

impl From<Violations> for v1::Error {
    fn from(found: Violations) -> Self {
        ErrorResponse::from(found).into()
    }
}

impl From<Violations> for ErrorResponse {
    /// What the provider cannot do is UNIMPLEMENTED, but only when nothing is wrong with the request itself.
    fn from(found: Violations) -> Self {
        let (code, reason) = if found.only_unsupported() {
            (Code::Unimplemented, Reason::ProviderUnsupported)
        } else {
            (Code::InvalidArgument, Reason::RequestInvalid)
        };
        Self::new(code, reason, found.in_words()).violations(found.told())
    }
}

/// An account that does not exist, named in that field.
pub(in crate::api) fn account_not_found(field: &str, account: &AccountId) -> ErrorResponse {
    let mut violation = FieldViolation::new(field, "must be one of the accounts that `ListAccounts` lists");
    violation.reason = ViolationReason::UnknownValue.as_str().to_owned();
    ErrorResponse::new(Code::NotFound, Reason::AccountNotFound, format!("there is no account `{account}`"))
        .with("account", account)
        .violations(vec![violation])
}

/// A cursor that cannot be read at all.
pub(in crate::api) fn cursor_malformed(field: &str) -> Status {
    let mut violation = FieldViolation::new(field, "must be a cursor that came from this server, unchanged");
    violation.reason = ViolationReason::Malformed.as_str().to_owned();
    ErrorResponse::new(
        Code::InvalidArgument,
        Reason::CursorMalformed,
        "the cursor is not one of this server's",
    )
    .violations(vec![violation])
    .into()
}

/// The end of a stream because the server stops.
pub(in crate::api) fn stopping() -> Status {
    server_stopping().into()
}

fn server_stopping() -> ErrorResponse {
    ErrorResponse::new(Code::Unavailable, Reason::ServerStopping, "the server is stopping: call again")
        .retry_after(OUTAGE_DELAY)
}

/// A request that the caller cancelled, or whose connection broke, before its end.
pub(in crate::api) fn request_broken_off() -> Status {
    let message = "the request broke off before its end: nothing was done";
    ErrorResponse::new(Code::Aborted, Reason::RequestBrokenOff, message).into()
}

/// The same of a stream of requests, of which some may have been done.
pub(in crate::api) fn stream_broken_off() -> Status {
    let message = "the stream broke off before its end: what was not answered may have been done or not";
    ErrorResponse::new(Code::Aborted, Reason::RequestBrokenOff, message).into()
}

/// An upload whose next bytes do not come.
pub(in crate::api) fn upload_stalled() -> Status {
    let message = "the file took too long to come: nothing was sent; send it again from its beginning";
    ErrorResponse::new(Code::Aborted, Reason::UploadStalled, message).into()
}

/// More uploads at once than there may be.
pub(in crate::api) fn uploads_exhausted() -> Status {
    let message = "too many files are being uploaded now: nothing was sent; wait and send it again";
    ErrorResponse::new(Code::ResourceExhausted, Reason::UploadsExhausted, message)
        .retry_after(OUTAGE_DELAY)
        .into()
}

/// A file that cannot be kept until all of it is there.
pub(in crate::api) fn not_spooled(error: &std::io::Error) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "an upload cannot be kept on disk");
    let message = "the file cannot be kept until all of it is there: nothing was sent; send it again later";
    ErrorResponse::new(Code::Unavailable, Reason::SpoolUnavailable, message).retry_after(OUTAGE_DELAY).into()
}

/// The imitated provider could not do what it was told.
pub(in crate::api) fn sandbox_failed() -> Status {
    let message = "the imitated provider could not listen on its port again: something else took it";
    ErrorResponse::new(Code::Internal, Reason::SandboxFailed, message).into()
}

/// A page token that this RPC did not give for this account.
pub(in crate::api) fn page_token_malformed() -> Status {
    let mut violation =
        FieldViolation::new("page_token", "must be a token that this RPC gave for the same list, unchanged");
    violation.reason = ViolationReason::Malformed.as_str().to_owned();
    ErrorResponse::new(
        Code::InvalidArgument,
        Reason::PageTokenMalformed,
        "the page token is not one of this list's",
    )
    .violations(vec![violation])
    .into()
}

/// A write that looked first, and did not begin for what it saw.
fn not_begun(obstacle: &provider::PreconditionFailed) -> ErrorResponse {
    match obstacle {
        provider::PreconditionFailed::NotRead(error) => unread(error),
        provider::PreconditionFailed::Registered { existing, fault } => {
            let message =
                "the topic has an address already, and nothing was changed: ON_CONFLICT_REPLACE changes it";
            let answer = ErrorResponse::new(Code::AlreadyExists, Reason::WebhookExists, message)
                .with_provider_error(fault.as_deref());
            match existing {
                Some(existing) => answer
                    .with("webhook_id", clipped(existing.id.clone()))
                    // An address of ours has at most so many characters.
                    .with("address", existing.address.chars().take(2_048).collect::<String>()),
                None => answer,
            }
        }
    }
}

/// A send with an account that was not accepted.
pub(in crate::api) fn send_failed(account: &Account, failure: &dispatch::Failure) -> Status {
    not_done(account, failure, send_unknown).into()
}

/// The same, for a stream or a record.
pub(in crate::api) fn send_error(account: &Account, failure: &dispatch::Failure) -> v1::Error {
    not_done(account, failure, send_unknown).into()
}

/// Another write that was not answered with "yes".
pub(in crate::api) fn write_failed(account: &Account, failure: &dispatch::Failure) -> Status {
    not_done(account, failure, write_unknown).into()
}

/// A read that brought nothing. It may be tried again freely, but a reply that cannot be read will hardly change.
pub(in crate::api) fn read_failed(account: &Account, cause: &dispatch::Cause) -> Status {
    let answer = match cause {
        dispatch::Cause::Provider(error) | dispatch::Cause::NotPrepared(error) => unread(error),
        dispatch::Cause::Rejected(held) => gate_held(held),
        dispatch::Cause::Stopping => return stopping(),
        dispatch::Cause::TemplateMismatch(_)
        | dispatch::Cause::WindowClosed { .. }
        | dispatch::Cause::Reused
        | dispatch::Cause::OutcomeUnknown(_)
        | dispatch::Cause::Unrecorded
        | dispatch::Cause::BrokeOff => unreachable!("only writes end like this"),
    };
    answer.about(account).into()
}

/// A write that was not done, or of which nobody can tell: `unknown` says that.
fn not_done(
    account: &Account,
    failure: &dispatch::Failure,
    unknown: fn(&str) -> ErrorResponse,
) -> ErrorResponse {
    let mut answer = match &*failure.source {
        dispatch::Cause::Stopping => server_stopping(),
        dispatch::Cause::BrokeOff => unknown(UnknownReason::ServerFailed.as_str()),
        dispatch::Cause::NotPrepared(error) => unread(error),
        dispatch::Cause::Rejected(held) => gate_held(held),
        dispatch::Cause::TemplateMismatch(misfits) => {
            let mut violations = Violations::default();
            for TemplateMismatch { field, problem } in misfits {
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
            "the request_id stands for another request, with other content or of another RPC: nothing was done",
        ),
        dispatch::Cause::OutcomeUnknown(UnknownOutcome { cause, fault }) => {
            unknown(cause.as_str()).with_provider_error(fault.as_ref())
        }
        dispatch::Cause::Unrecorded => ErrorResponse::new(
            Code::Unavailable,
            Reason::StoreUnavailable,
            "the request cannot be written down now, so nothing was done: call again",
        )
        .retry_after(OUTAGE_DELAY),
        dispatch::Cause::Provider(error) => match error {
            provider::Error::NotSent(_) => not_sent(),
            provider::Error::Refused(fault) => refused(fault),
            provider::Error::PreconditionFailed(obstacle) => not_begun(obstacle),
            provider::Error::Unknown { cause, fault } => {
                unknown(cause.as_str()).with_provider_error(fault.as_ref())
            }
        },
    };
    if let Some(id) = failure.message_id {
        answer = answer.with("message_id", id);
    }
    if let Some(attempt) = failure.attempt {
        answer = answer.with("attempt", attempt);
    }
    answer.about(account)
}

/// A call that the account's gate held back. Nothing was sent.
fn gate_held(held: &Rejected) -> ErrorResponse {
    match held {
        Rejected::RateLimited { retry_after } => ErrorResponse::new(
            Code::ResourceExhausted,
            Reason::AccountBusy,
            "the account has more calls to make than its rate allows before the deadline: nothing was sent",
        )
        .retry_after(*retry_after),
        Rejected::CircuitOpen { retry_after } => not_sent().retry_after(*retry_after),
    }
}

/// A message of which nobody can tell whether the provider took it.
pub(in crate::api) fn doubt(message_id: MessageId, attempt: u32, doubt: &UnknownOutcome) -> v1::Error {
    send_unknown(doubt.cause.as_str())
        .with_provider_error(doubt.fault.as_ref())
        .with("message_id", message_id)
        .with("attempt", attempt)
        .into()
}

/// A message that is not known.
pub(in crate::api) fn message_not_found(account: &AccountId) -> Status {
    let message = "no message of this account is known by that: never sent from here, too old, or its first attempt left no record";
    ErrorResponse::new(Code::NotFound, Reason::MessageNotFound, message).with("account", account).into()
}

/// The store cannot be read.
pub(in crate::api) fn store_unreadable() -> Status {
    ErrorResponse::new(
        Code::Unavailable,
        Reason::StoreUnavailable,
        "the store cannot be read now: call again",
    )
    .retry_after(OUTAGE_DELAY)
    .into()
}

fn unread(error: &provider::Error) -> ErrorResponse {
    match error {
        provider::Error::NotSent(_) => not_sent(),
        provider::Error::Refused(fault) => refused(fault),
        provider::Error::PreconditionFailed(obstacle) => not_begun(obstacle),
        provider::Error::Unknown { cause, fault } => match cause {
            UnknownReason::ReplyUnreadable | UnknownReason::ReplyTooLarge | UnknownReason::Redirected => {
                ErrorResponse::new(
                    Code::Internal,
                    Reason::ProviderReplyUnreadable,
                    "the provider's reply cannot be read",
                )
            }
            UnknownReason::TimedOut
            | UnknownReason::ConnectionLost
            | UnknownReason::ReplyCutOff
            | UnknownReason::ProviderFailed
            | UnknownReason::ServerFailed
            | UnknownReason::Restored => ErrorResponse::new(
                Code::Unavailable,
                Reason::ProviderUnavailable,
                "the provider does not answer now: call again",
            )
            .retry_after(fault.as_ref().and_then(|fault| fault.retry_after).unwrap_or(OUTAGE_DELAY)),
        }
        .with("cause", cause.as_str())
        .with_provider_error(fault.as_ref()),
    }
}

fn write_unknown(cause: &str) -> ErrorResponse {
    let message = "nobody can tell whether the provider did it: look before you do it again";
    ErrorResponse::new(Code::FailedPrecondition, Reason::WriteOutcomeUnknown, message).with("cause", cause)
}

fn send_unknown(cause: &str) -> ErrorResponse {
    let message = "nobody can tell whether the provider took the message: sending it again may send it twice";
    ErrorResponse::new(Code::FailedPrecondition, Reason::SendOutcomeUnknown, message).with("cause", cause)
}

fn not_sent() -> ErrorResponse {
    let message = "the provider could not be reached: nothing was sent";
    ErrorResponse::new(Code::Unavailable, Reason::ProviderUnreachable, message).retry_after(OUTAGE_DELAY)
}

fn refused(fault: &ProviderFault) -> ErrorResponse {
    let (code, reason, message) = refusal(fault.refusal);
    let message = match (fault.refusal, &fault.route) {
        // The provider publishes no paths, so the guess may be wrong.
        (RefusalReason::NotFound, Some(route)) => {
            format!("{message}; the route was {route}, and [accounts.routes] sets another")
        }
        (_, _) => message.to_owned(),
    };
    let answer = ErrorResponse::new(code, reason, message).with_provider_error_of(fault);
    match retry_delay(fault) {
        Some(delay) => answer.retry_after(delay),
        None => answer,
    }
}

fn retry_delay(fault: &ProviderFault) -> Option<Duration> {
    match fault.refusal {
        RefusalReason::Throttled => Some(fault.retry_after.unwrap_or(THROTTLED_DELAY)),
        RefusalReason::CredentialsRejected
        | RefusalReason::PermissionDenied
        | RefusalReason::Capped
        | RefusalReason::SessionWindowClosed
        | RefusalReason::RecipientNotReachable
        | RefusalReason::RecipientOptedOut
        | RefusalReason::RecipientInvalid
        | RefusalReason::SenderInvalid
        | RefusalReason::ContentRejected
        | RefusalReason::TemplateNotFound
        | RefusalReason::TemplateParametersRejected
        | RefusalReason::TemplatePaused
        | RefusalReason::AccountRestricted
        | RefusalReason::NotFound
        | RefusalReason::Conflict
        | RefusalReason::Other => fault.retry_after,
    }
}

/// A provider's "no", for the caller.
const fn refusal(refusal: RefusalReason) -> (Code, Reason, &'static str) {
    match refusal {
        RefusalReason::CredentialsRejected => (
            Code::FailedPrecondition,
            Reason::ProviderCredentialsRejected,
            "the provider does not accept this account's credentials: the operator must set them right",
        ),
        RefusalReason::PermissionDenied => (
            Code::FailedPrecondition,
            Reason::ProviderPermissionDenied,
            "the provider does not allow this with the account's credentials",
        ),
        RefusalReason::Throttled => {
            (Code::ResourceExhausted, Reason::ProviderThrottled, "the provider takes no more for now: wait")
        }
        RefusalReason::Capped => (
            Code::ResourceExhausted,
            Reason::ProviderCapped,
            "too many messages of this kind, for this account or this recipient: wait for hours, not seconds",
        ),
        RefusalReason::SessionWindowClosed => (
            Code::FailedPrecondition,
            Reason::SessionWindowClosed,
            "the customer's last message is more than 24 hours ago, or there is none: only a template can be sent",
        ),
        RefusalReason::RecipientNotReachable => (
            Code::FailedPrecondition,
            Reason::RecipientNotReachable,
            "the recipient cannot be reached: probably not on WhatsApp",
        ),
        RefusalReason::RecipientOptedOut => (
            Code::FailedPrecondition,
            Reason::RecipientOptedOut,
            "the recipient has opted out of such messages",
        ),
        RefusalReason::RecipientInvalid => (
            Code::InvalidArgument,
            Reason::RecipientInvalid,
            "the provider does not accept the recipient's number",
        ),
        RefusalReason::SenderInvalid => (
            Code::InvalidArgument,
            Reason::SenderInvalid,
            "the provider has no number of this account to send from over this channel",
        ),
        RefusalReason::ContentRejected => {
            (Code::InvalidArgument, Reason::ContentRejected, "the provider does not accept the content")
        }
        RefusalReason::TemplateNotFound => (
            Code::NotFound,
            Reason::TemplateNotFound,
            "the provider has no template of this name in this language, or has not approved it",
        ),
        RefusalReason::TemplateParametersRejected => (
            Code::InvalidArgument,
            Reason::TemplateParametersRejected,
            "what was filled in does not fit the template",
        ),
        RefusalReason::TemplatePaused => (
            Code::FailedPrecondition,
            Reason::TemplatePaused,
            "the template is paused, disabled or being deleted",
        ),
        RefusalReason::AccountRestricted => (
            Code::FailedPrecondition,
            Reason::ProviderAccountRestricted,
            "the provider has restricted this account: the operator must settle it there",
        ),
        RefusalReason::NotFound => (
            Code::NotFound,
            Reason::ProviderNotFound,
            "the provider found nothing there: what was named does not exist, or the account's base_url or route is wrong",
        ),
        RefusalReason::Conflict => (
            Code::FailedPrecondition,
            Reason::ProviderConflict,
            "the provider says that it exists already, or is not ready",
        ),
        RefusalReason::Other => (Code::FailedPrecondition, Reason::ProviderRefused, "the provider refused"),
    }
}

/// What a provider reported about a message, for a stream or a record.
pub(in crate::api) fn error(fault: &ProviderFault) -> v1::Error {
    refused(fault).into()
}

impl From<journal::Error> for Status {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::ForeignCursor => cursor_malformed("after_cursor"),
            journal::Error::CursorExpired { oldest } => ErrorResponse::new(
                Code::OutOfRange,
                Reason::CursorExpired,
                "events that were asked for are no longer kept: go on at oldest_cursor or EARLIEST, and know that some are lost",
            )
            .with("oldest_cursor", oldest)
            .into(),
            journal::Error::CursorLost { newest } => ErrorResponse::new(
                Code::OutOfRange,
                Reason::CursorLost,
                "the journal has not come to this cursor: it was set back; start again at newest_cursor",
            )
            .with("newest_cursor", newest)
            .into(),
            journal::Error::Store(_) => {
                ErrorResponse::new(Code::Unavailable, Reason::StoreUnavailable, "the journal cannot be read now: call again")
                    .retry_after(OUTAGE_DELAY)
                    .into()
            }
        }
    }
}

/// Nothing was done with a subscription.
pub(in crate::api) fn subscription(id: &SubscriptionId, error: SubscriptionError) -> Status {
    match error {
        SubscriptionError::Absent => return subscription_not_found(id),
        SubscriptionError::Exists => ErrorResponse::new(
            Code::AlreadyExists,
            Reason::SubscriptionExists,
            "there is a subscription of this id already: it was left as it is",
        ),
        SubscriptionError::TooMany => ErrorResponse::new(
            Code::ResourceExhausted,
            Reason::SubscriptionsExhausted,
            format!("there are {MAX_SUBSCRIPTIONS} subscriptions, and no more may be: delete one that nobody needs"),
        ),
        SubscriptionError::Stale { generation } => ErrorResponse::new(
            Code::FailedPrecondition,
            Reason::SubscriptionGenerationStale,
            "the subscription was changed since the stream was opened: nothing was acknowledged",
        )
        .with("generation", generation),
        SubscriptionError::NotWritten(_) => ErrorResponse::new(
            Code::Unavailable,
            Reason::StoreUnavailable,
            "the subscription cannot be written now: call again",
        )
        .retry_after(OUTAGE_DELAY),
        SubscriptionError::Journal(error) => return error.into(),
    }
    .with("subscription", id)
    .into()
}

/// There is no such subscription, or no more.
pub(in crate::api) fn subscription_not_found(id: &SubscriptionId) -> Status {
    ErrorResponse::new(
        Code::NotFound,
        Reason::SubscriptionNotFound,
        format!("there is no subscription `{id}`"),
    )
    .with("subscription", id)
    .into()
}

/// The end of a stream because its subscription has another filter or place now.
pub(in crate::api) fn subscription_changed(id: &SubscriptionId) -> Status {
    let message = "the subscription was given another filter or place: open the stream again";
    ErrorResponse::new(Code::Unavailable, Reason::SubscriptionChanged, message)
        .with("subscription", id)
        .into()
}

#[cfg(test)]
mod tests;
