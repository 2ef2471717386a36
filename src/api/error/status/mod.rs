//! Maps every error to a gRPC code, a reason and a message.
//!
//! **Invariants.** Matches in this module have no `_` arm, so a new kind of error does not compile until it has a
//! code, a reason and a message. The messages are for clients. They never contain the provider's text or internal
//! details.
#![deny(clippy::wildcard_enum_match_arm)]

mod call;
mod journal;
mod provider;
mod upload;

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::FieldViolation;

pub(in crate::api) use self::call::{outcome_unknown, read_failed, send_error, send_failed, write_failed};
pub(in crate::api) use self::journal::{
    cursor_malformed, message_not_found, store_unreadable, subscription_changed, subscription_error,
    subscription_not_found,
};
pub(in crate::api) use self::provider::reported_failure;
pub(in crate::api) use self::upload::{
    request_truncated, spool_unavailable, stream_truncated, upload_stalled, uploads_exhausted,
};

use crate::api::error::error_response::ErrorResponse;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::AccountId;
use crate::pb::v1::{self, Reason};

/// The retry delay if the store cannot write, the provider cannot be reached, or the server restarts.
pub(in crate::api) const OUTAGE_DELAY: Duration = Duration::from_secs(1);

/// The text of a reason in `ErrorInfo.reason` and `Failure.reason`: the name of its value without the prefix.
pub(in crate::api) fn reason_text(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        ErrorResponse::from(violations).into()
    }
}

impl From<Violations> for v1::Failure {
    fn from(violations: Violations) -> Self {
        ErrorResponse::from(violations).into()
    }
}

impl From<Violations> for ErrorResponse {
    /// UNIMPLEMENTED if every violation is a lack of the provider's support, otherwise INVALID_ARGUMENT.
    fn from(violations: Violations) -> Self {
        let (code, reason) = if violations.only_unsupported() {
            (Code::Unimplemented, Reason::ProviderUnsupported)
        } else {
            (Code::InvalidArgument, Reason::RequestInvalid)
        };
        Self::new(code, reason, violations.summary()).violations(violations.into_field_violations())
    }
}

/// `field` names an account that does not exist.
pub(in crate::api) fn account_not_found(field: &str, account: &AccountId) -> ErrorResponse {
    let mut violation = FieldViolation::new(field, "must be one of the accounts that `ListAccounts` lists");
    violation.reason = ViolationReason::UnknownValue.as_str().to_owned();
    ErrorResponse::new(Code::NotFound, Reason::AccountNotFound, format!("there is no account `{account}`"))
        .with("account", account)
        .violations(vec![violation])
}

/// The server is shutting down.
pub(in crate::api) fn stopping() -> Status {
    server_stopping().into()
}

fn server_stopping() -> ErrorResponse {
    ErrorResponse::new(
        Code::Unavailable,
        Reason::ServerStopping,
        "the server is shutting down; retry after `retry_delay`",
    )
    .retry_after(OUTAGE_DELAY)
}

/// The fake provider could not open its port again.
pub(in crate::api) fn sandbox_failed() -> Status {
    let message =
        "the fake provider cannot listen on its port because another program uses it; restart the sandbox";
    ErrorResponse::new(Code::Internal, Reason::SandboxFailed, message).into()
}

/// The page token is not from this RPC, account and list.
pub(in crate::api) fn page_token_malformed() -> Status {
    let mut violation = FieldViolation::new(
        "page_token",
        "must be a page token that this RPC returned for the same list, unchanged",
    );
    violation.reason = ViolationReason::Malformed.as_str().to_owned();
    ErrorResponse::new(
        Code::InvalidArgument,
        Reason::PageTokenMalformed,
        "the page token is not from this list; start the list again without a token",
    )
    .violations(vec![violation])
    .into()
}

#[cfg(test)]
mod tests;
