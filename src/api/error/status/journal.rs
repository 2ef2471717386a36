//! The journal, its cursors and subscriptions, and stored messages.

use tonic::{Code, Status};
use tonic_types::FieldViolation;

use super::OUTAGE_DELAY;
use crate::api::error::error_response::ErrorResponse;
use crate::api::request::violations::ViolationReason;
use crate::domain::{AccountId, SubscriptionId};
use crate::journal::{self, SubscriptionError};
use crate::pb::v1::Reason;
use crate::store::MAX_SUBSCRIPTIONS;

/// The cursor is not from this journal.
pub(in crate::api) fn cursor_malformed(field: &str) -> Status {
    let mut violation = FieldViolation::new(field, "must be a cursor that this server returned, unchanged");
    violation.reason = ViolationReason::Malformed.as_str().to_owned();
    ErrorResponse::new(
        Code::InvalidArgument,
        Reason::CursorMalformed,
        "the cursor is not from this journal; pass cursors back unchanged; if the journal is new, start at \
            START_POSITION_EARLIEST",
    )
    .violations(vec![violation])
    .into()
}

/// The store has no such message.
pub(in crate::api) fn message_not_found(account: &AccountId) -> Status {
    let message = "message not found: it was not sent through this server, its record has expired, or its \
        first attempt left no record; if a send's response was lost, retry it with its `request_id`";
    ErrorResponse::new(Code::NotFound, Reason::MessageNotFound, message).with("account", account).into()
}

/// The store cannot be read now.
pub(in crate::api) fn store_unreadable() -> Status {
    ErrorResponse::new(
        Code::Unavailable,
        Reason::StoreUnavailable,
        "the store cannot be read now; retry after `retry_delay`",
    )
    .retry_after(OUTAGE_DELAY)
    .into()
}

impl From<journal::Error> for Status {
    fn from(error: journal::Error) -> Self {
        match error {
            journal::Error::ForeignCursor => cursor_malformed("after_cursor"),
            journal::Error::CursorExpired { oldest } => ErrorResponse::new(
                Code::OutOfRange,
                Reason::CursorExpired,
                "events after the requested position were trimmed, or may be missing since a restore; \
                    resume from `oldest_cursor`, and recover the missed events by other means",
            )
            .with("oldest_cursor", oldest)
            .into(),
            journal::Error::CursorLost { newest } => ErrorResponse::new(
                Code::OutOfRange,
                Reason::CursorLost,
                "the cursor is ahead of the journal, which was restored from a backup; resume from \
                    `newest_cursor`",
            )
            .with("newest_cursor", newest)
            .into(),
            journal::Error::Store(_) => ErrorResponse::new(
                Code::Unavailable,
                Reason::StoreUnavailable,
                "the journal cannot be read now; retry after `retry_delay`",
            )
            .retry_after(OUTAGE_DELAY)
            .into(),
        }
    }
}

/// A failed operation on a subscription, which was not changed.
pub(in crate::api) fn subscription_error(id: &SubscriptionId, error: SubscriptionError) -> Status {
    match error {
        SubscriptionError::Absent => return subscription_not_found(id),
        SubscriptionError::Exists => ErrorResponse::new(
            Code::AlreadyExists,
            Reason::SubscriptionExists,
            format!(
                "subscription `{id}` already exists and was not changed; use it, or change it with \
                    UpdateSubscription"
            ),
        ),
        SubscriptionError::TooMany => ErrorResponse::new(
            Code::ResourceExhausted,
            Reason::SubscriptionsExhausted,
            format!("the server has {MAX_SUBSCRIPTIONS} subscriptions, the maximum; delete unused ones"),
        ),
        SubscriptionError::Stale { generation } => ErrorResponse::new(
            Code::FailedPrecondition,
            Reason::SubscriptionGenerationStale,
            "the subscription was changed after the stream started; nothing was acknowledged; open the \
                stream again",
        )
        .with("generation", generation),
        SubscriptionError::NotWritten(_) => ErrorResponse::new(
            Code::Unavailable,
            Reason::StoreUnavailable,
            "the subscription cannot be written now; retry after `retry_delay`",
        )
        .retry_after(OUTAGE_DELAY),
        SubscriptionError::Journal(error) => return error.into(),
    }
    .with("subscription_id", id)
    .into()
}

/// The subscription does not exist, or was deleted.
pub(in crate::api) fn subscription_not_found(id: &SubscriptionId) -> Status {
    ErrorResponse::new(
        Code::NotFound,
        Reason::SubscriptionNotFound,
        format!("subscription `{id}` does not exist; create it with CreateSubscription"),
    )
    .with("subscription_id", id)
    .into()
}

/// A stream ended because its subscription got another filter or position.
pub(in crate::api) fn subscription_changed(id: &SubscriptionId) -> Status {
    let message = "the subscription got another filter or position; open the stream again";
    ErrorResponse::new(Code::Unavailable, Reason::SubscriptionChanged, message)
        .with("subscription_id", id)
        .into()
}
