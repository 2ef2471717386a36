//! Failures of a provider: refusals, unreachable providers and unusable replies.

use std::time::Duration;

use tonic::Code;

use super::OUTAGE_DELAY;
use crate::api::error::error_response::{ErrorResponse, clipped};
use crate::domain::{ProviderFault, RefusalReason, UnknownReason};
use crate::pb::v1::{self, Reason};
use crate::provider;

/// The retry delay if the provider throttles and does not name a delay.
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
                    "the provider's reply to a read cannot be parsed; the operator must check the account's `base_url` \
                        and routes, because a retry rarely helps",
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
                "the provider did not answer a read, or failed; retry after `retry_delay`",
            )
            .retry_after(fault.as_ref().and_then(|fault| fault.retry_after).unwrap_or(OUTAGE_DELAY)),
        }
        .with("cause", cause.as_str())
        .with_provider_error(fault.as_ref()),
    }
}

pub(super) fn not_sent() -> ErrorResponse {
    let message = "the provider could not be reached; nothing was sent; retry after `retry_delay`";
    ErrorResponse::new(Code::Unavailable, Reason::ProviderUnreachable, message).retry_after(OUTAGE_DELAY)
}

pub(super) fn refused(fault: &ProviderFault) -> ErrorResponse {
    let (code, reason, message) = refusal(fault.refusal);
    let message = match (fault.refusal, &fault.route) {
        // The provider does not publish its paths, so the default path may be wrong.
        (RefusalReason::NotFound, Some(route)) => {
            format!("{message}; the request used the route {route}, which `[accounts.routes]` can change")
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

/// The code, reason and message of a provider's refusal.
pub(super) const fn refusal(refusal: RefusalReason) -> (Code, Reason, &'static str) {
    match refusal {
        RefusalReason::CredentialsRejected => (
            Code::FailedPrecondition,
            Reason::ProviderCredentialsRejected,
            "the provider does not accept this account's credentials; the operator must correct them",
        ),
        RefusalReason::PermissionDenied => (
            Code::FailedPrecondition,
            Reason::ProviderPermissionDenied,
            "the provider does not permit this with the account's credentials; inform the operator",
        ),
        RefusalReason::Throttled => (
            Code::ResourceExhausted,
            Reason::ProviderThrottled,
            "the provider refused because of too many calls or messages; retry after `retry_delay`, more \
                slowly",
        ),
        RefusalReason::Capped => (
            Code::ResourceExhausted,
            Reason::ProviderCapped,
            "the provider refused because too many messages of this kind were sent by this account or to \
                this recipient; wait for hours or days",
        ),
        RefusalReason::SessionWindowClosed => (
            Code::FailedPrecondition,
            Reason::SessionWindowClosed,
            "the customer's last message is more than 24 hours old, or there is none; only a template can \
                be sent",
        ),
        RefusalReason::RecipientNotReachable => (
            Code::FailedPrecondition,
            Reason::RecipientNotReachable,
            "the recipient cannot be reached and is probably not on WhatsApp; use another channel",
        ),
        RefusalReason::RecipientOptedOut => (
            Code::FailedPrecondition,
            Reason::RecipientOptedOut,
            "the recipient has opted out of such messages; remove the recipient from your list",
        ),
        RefusalReason::RecipientInvalid => (
            Code::InvalidArgument,
            Reason::RecipientInvalid,
            "the provider does not accept the recipient's address; correct `to`",
        ),
        RefusalReason::SenderInvalid => (
            Code::InvalidArgument,
            Reason::SenderInvalid,
            "the provider has no number of this account for this channel; correct or remove `sender`",
        ),
        RefusalReason::ContentRejected => (
            Code::InvalidArgument,
            Reason::ContentRejected,
            "the provider does not accept the content; change it, because the same content fails again",
        ),
        RefusalReason::TemplateNotFound => (
            Code::NotFound,
            Reason::TemplateNotFound,
            "the provider has no template of this name and language that can be sent; correct them, or wait \
                until `ListTemplates` shows the template as approved",
        ),
        RefusalReason::TemplateParametersRejected => (
            Code::InvalidArgument,
            Reason::TemplateParametersRejected,
            "the parameters do not fit the template; compare them with `GetTemplate`",
        ),
        RefusalReason::TemplatePaused => (
            Code::FailedPrecondition,
            Reason::TemplatePaused,
            "the template is paused, disabled or being deleted; use another template",
        ),
        RefusalReason::AccountRestricted => (
            Code::FailedPrecondition,
            Reason::ProviderAccountRestricted,
            "the provider has restricted this account; the operator must resolve this with the provider",
        ),
        RefusalReason::NotFound => (
            Code::NotFound,
            Reason::ProviderNotFound,
            "the provider did not find what the request names; if it exists, the account's `base_url`, \
                `business_id` or route is wrong",
        ),
        RefusalReason::Conflict => (
            Code::FailedPrecondition,
            Reason::ProviderConflict,
            "the provider reports that the resource already exists or is in the wrong state; read its \
                state before you retry",
        ),
        RefusalReason::Other => (
            Code::FailedPrecondition,
            Reason::ProviderRefused,
            "the provider refused the request for another reason; see `provider_code` and `http_status`, and \
                do not retry it unchanged",
        ),
    }
}

/// A failure that a provider reported about a message, for a stream or a record.
pub(in crate::api) fn reported_failure(fault: &ProviderFault) -> v1::Failure {
    refused(fault).into()
}

/// A write that a failed precondition stopped before it changed anything.
pub(super) fn precondition_failed(failed: &provider::PreconditionFailed) -> ErrorResponse {
    match failed {
        provider::PreconditionFailed::NotRead(error) => read_failure(error),
        provider::PreconditionFailed::Registered { existing, fault } => {
            let message = "the topic already has a registration; nothing was changed; to replace its \
                address, retry with ON_CONFLICT_REPLACE";
            let response =
                ErrorResponse::new(Code::AlreadyExists, Reason::WebhookRegistrationExists, message)
                    .with_provider_error(fault.as_deref());
            match existing {
                Some(existing) => response
                    .with("webhook_registration_id", clipped(existing.id.clone()))
                    // No address that Switchboard registers is longer.
                    .with("address", existing.address.chars().take(2_048).collect::<String>()),
                None => response,
            }
        }
    }
}
