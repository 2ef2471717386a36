//! Connectly's errors: two shapes, one for messages and one for assets.

use super::super::json::Object;
use super::super::outcome::Said;
use crate::domain::Refusal;

/// Finds the provider's "no" in a reply of that status.
///
/// A success may carry a `message`, a `type` of its own or `code: 0` without being a "no".
pub(super) fn find(status: u16, reply: &Object<'_>) -> Option<Said> {
    // Some services wrap it.
    let wrapped = reply.object(&["error"]);
    let said = wrapped.as_ref().and_then(reported).or_else(|| reported(reply));
    if !(200..300).contains(&status) {
        return said;
    }
    let refused = reply.holds(&["error"]) || reply.flag(&["success"]) == Some(false);
    let coded = |said: &Said| said.code.as_deref().is_some_and(|code| code != "0");
    let typed = |said: &Said| said.kind.as_deref().is_some_and(|kind| kind.starts_with("ERROR_"));
    match said {
        Some(said) if refused || coded(&said) || typed(&said) => Some(said),
        Some(_) | None => refused.then(Said::default),
    }
}

/// Reads an error: style 1 with a string `code` and a `type`, or style 2 with a gRPC code as a number.
pub(super) fn reported(error: &Object<'_>) -> Option<Said> {
    let code = error.text(&["code"]);
    let kind = error.string(&["type"]);
    if code.is_none() && kind.is_none() && error.string(&["message"]).is_none() {
        return None;
    }
    let meaning = code.as_deref().and_then(of_code).or_else(|| kind.as_deref().and_then(of_type));
    Some(Said::new(code, kind, error.text(&["cntTraceId", "cnt_trace_id"]), meaning))
}

fn of_code(code: &str) -> Option<Refusal> {
    Some(match code {
        "ERROR_CODE_INVALID_SENDER_ID" | "ERROR_CODE_BUSINESS_MISSES_MATCHING_CHANNEL" => {
            Refusal::SenderInvalid
        }
        "ERROR_CODE_PHONE_NUMBER_BAD_FORMAT"
        | "ERROR_CODE_MESSAGE_PHONE_NUMBER_INVALID"
        | "ERROR_CODE_MESSAGE_SELF_INVALID" => Refusal::RecipientInvalid,
        "ERROR_CODE_MESSAGE_ATTACHMENTS_NUMBER_INVALID"
        | "ERROR_CODE_MESSAGE_TEXT_EMPTY"
        | "ERROR_CODE_MESSAGE_ATTACHMENT_EMPTY"
        | "ERROR_CODE_MESSAGE_ATTACHMENT_INVALID" => Refusal::ContentRejected,
        "ERROR_CODE_MESSAGE_TEMPLATE_NOT_FOUND" => Refusal::TemplateNotFound,
        "ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID" => Refusal::TemplateParametersRejected,
        "ERROR_CODE_MESSAGE_TEMPLATE_DELETED" => Refusal::TemplatePaused,
        "ERROR_CODE_MESSAGE_OUTSIDE_OF_ELIGIBILITY_WINDOW"
        | "ERROR_CODE_MESSAGE_CUSTOMER_NO_CONVERSATION_INITIATION" => Refusal::SessionWindowClosed,
        "ERROR_CODE_MESSAGE_CUSTOMER_OPTED_OUT" => Refusal::RecipientOptedOut,
        "ERROR_CODE_BUSINESS_REACHED_LIMITS" => Refusal::AccountRestricted,
        "ERROR_CODE_BUSINESS_KEY_SECRET_ABSENT" => Refusal::CredentialsRejected,
        // Style 2: the number of a gRPC code.
        "3" => Refusal::ContentRejected,
        "5" => Refusal::NotFound,
        "6" => Refusal::Conflict,
        "7" => Refusal::PermissionDenied,
        "8" => Refusal::Throttled,
        "16" => Refusal::CredentialsRejected,
        _ => return None,
    })
}

/// What a type means without a code that we know. `DEADLINE_EXCEEDED` and `FAILED_PRECONDITION` have each been seen for
/// a closed window, and may stand for anything else.
fn of_type(kind: &str) -> Option<Refusal> {
    match kind {
        "ERROR_TYPE_AUTHENTICATION" => Some(Refusal::CredentialsRejected),
        "ERROR_TYPE_INVALID_REQUEST" => Some(Refusal::ContentRejected),
        _ => None,
    }
}
