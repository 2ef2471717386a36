//! Failures of a provider: what it refused, and what it did not answer.

use std::time::Duration;

use tonic::Code;

use super::{OUTAGE_DELAY, Reason};
use crate::api::error::error_response::{ErrorResponse, clipped};
use crate::domain::{ProviderFault, RefusalReason, UnknownReason};
use crate::pb::v1;
use crate::provider;

/// How long to wait when the provider throttles and does not say for how long.
const THROTTLED_DELAY: Duration = Duration::from_secs(1);

pub(super) fn read_failure(error: &provider::Error) -> ErrorResponse {
    match error {
        provider::Error::NotSent(_) => not_sent(),
        provider::Error::Refused(fault) => refused(fault),
        provider::Error::PreconditionFailed(failed) => precondition_failed(failed),
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

pub(super) fn not_sent() -> ErrorResponse {
    let message = "the provider could not be reached: nothing was sent";
    ErrorResponse::new(Code::Unavailable, Reason::ProviderUnreachable, message).retry_after(OUTAGE_DELAY)
}

pub(super) fn refused(fault: &ProviderFault) -> ErrorResponse {
    let (code, reason, message) = refusal(fault.refusal);
    let message = match (fault.refusal, &fault.route) {
        // The provider publishes no paths, so the guess may be wrong.
        (RefusalReason::NotFound, Some(route)) => {
            format!("{message}; the route was {route}, and [accounts.routes] sets another")
        }
        (_, _) => message.to_owned(),
    };
    let response = ErrorResponse::new(code, reason, message).with_provider_error_of(fault);
    match retry_delay(fault) {
        Some(delay) => response.retry_after(delay),
        None => response,
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
pub(super) const fn refusal(refusal: RefusalReason) -> (Code, Reason, &'static str) {
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
pub(in crate::api) fn reported_failure(fault: &ProviderFault) -> v1::Failure {
    refused(fault).into()
}

/// A write that looked first, and did not begin for what it saw.
pub(super) fn precondition_failed(failed: &provider::PreconditionFailed) -> ErrorResponse {
    match failed {
        provider::PreconditionFailed::NotRead(error) => read_failure(error),
        provider::PreconditionFailed::Registered { existing, fault } => {
            let message =
                "the topic has an address already, and nothing was changed: ON_CONFLICT_REPLACE changes it";
            let response =
                ErrorResponse::new(Code::AlreadyExists, Reason::WebhookRegistrationExists, message)
                    .with_provider_error(fault.as_deref());
            match existing {
                Some(existing) => response
                    .with("webhook_registration_id", clipped(existing.id.clone()))
                    // An address of ours has at most so many characters.
                    .with("address", existing.address.chars().take(2_048).collect::<String>()),
                None => response,
            }
        }
    }
}
