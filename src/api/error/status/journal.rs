//! The journal, its cursors and subscriptions, and stored messages.

use tonic::{Code, Status};
use tonic_types::FieldViolation;

use super::{OUTAGE_DELAY, Reason};
use crate::api::error::error_response::ErrorResponse;
use crate::api::request::violations::ViolationReason;
use crate::domain::{AccountId, SubscriptionId};
use crate::journal::{self, SubscriptionError};
use crate::store::MOST_SUBSCRIPTIONS;

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
pub(in crate::api) fn subscription_error(id: &SubscriptionId, error: SubscriptionError) -> Status {
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
            format!("there are {MOST_SUBSCRIPTIONS} subscriptions, and no more may be: delete one that nobody needs"),
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
    .with("subscription_id", id)
    .into()
}

/// There is no such subscription, or no more.
pub(in crate::api) fn subscription_not_found(id: &SubscriptionId) -> Status {
    ErrorResponse::new(
        Code::NotFound,
        Reason::SubscriptionNotFound,
        format!("there is no subscription `{id}`"),
    )
    .with("subscription_id", id)
    .into()
}

/// The end of a stream because its subscription has another filter or place now.
pub(in crate::api) fn subscription_changed(id: &SubscriptionId) -> Status {
    let message = "the subscription was given another filter or place: open the stream again";
    ErrorResponse::new(Code::Unavailable, Reason::SubscriptionChanged, message)
        .with("subscription_id", id)
        .into()
}
