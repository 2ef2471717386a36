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
use crate::pb::v1;

/// The retry delay if the store cannot write, the provider cannot be reached, or the server restarts.
pub(in crate::api) const OUTAGE_DELAY: Duration = Duration::from_secs(1);

macro_rules! reasons {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// The `reason` of an `ErrorInfo`. Each has a paragraph in `docs/errors.md`.
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
    RequestTruncated = "REQUEST_TRUNCATED",
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
    WebhookRegistrationExists = "WEBHOOK_REGISTRATION_EXISTS",
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
