//! Connectly's errors, in two forms: one for messages and one for assets.

use super::super::error_text::ErrorText;
use super::super::json::Object;
use super::super::outcome::ProviderErrorBody;
use crate::domain::RefusalReason;

/// Finds the provider's error in a reply with this status.
///
/// A success can contain a `message`, its own `type` or `code: 0`. These alone are no error.
pub(super) fn find(status: u16, reply: &Object<'_>) -> Option<ProviderErrorBody> {
    // Some services wrap the error in an `error` object.
    let wrapped = reply.object(&["error"]);
    let wrapped = wrapped.as_ref().and_then(parse).map(|mut error| {
        error.text.raw_json = reply.raw(&["error"]).map(str::to_owned);
        error
    });
    let error = wrapped.or_else(|| parse(reply));
    if !(200..300).contains(&status) {
        return error;
    }
    let refused = reply.has_content(&["error"]) || reply.flag(&["success"]) == Some(false);
    let has_code = |error: &ProviderErrorBody| error.code.as_deref().is_some_and(|code| code != "0");
    let has_error_type =
        |error: &ProviderErrorBody| error.kind.as_deref().is_some_and(|kind| kind.starts_with("ERROR_"));
    match error {
        Some(error) if refused || has_code(&error) || has_error_type(&error) => Some(error),
        Some(_) | None => refused.then(ProviderErrorBody::default),
    }
}

/// Parses an error. Style 1 has a string `code` and a `type`; style 2 has a gRPC code as a number.
pub(super) fn parse(error: &Object<'_>) -> Option<ProviderErrorBody> {
    let code = error.text(&["code"]);
    let kind = error.string(&["type"]);
    if code.is_none() && kind.is_none() && error.string(&["message"]).is_none() {
        return None;
    }
    let meaning =
        code.as_deref().and_then(reason_by_code).or_else(|| kind.as_deref().and_then(reason_by_type));
    let text = ErrorText {
        parts: [
            error.string(&["message"]),
            error.string(&["userTitle", "user_title"]),
            error.string(&["userMessage", "user_message"]),
        ]
        .into_iter()
        .flatten()
        .collect(),
        details_json: error.raw(&["details"]).filter(|_| error.has_content(&["details"])).map(str::to_owned),
        raw_json: None,
    };
    let trace_id = error.text(&["cntTraceId", "cnt_trace_id"]);
    Some(ProviderErrorBody::new(code, kind, trace_id, meaning).with_text(text))
}

fn reason_by_code(code: &str) -> Option<RefusalReason> {
    Some(match code {
        "ERROR_CODE_INVALID_SENDER_ID" | "ERROR_CODE_BUSINESS_MISSES_MATCHING_CHANNEL" => {
            RefusalReason::SenderInvalid
        }
        "ERROR_CODE_PHONE_NUMBER_BAD_FORMAT"
        | "ERROR_CODE_MESSAGE_PHONE_NUMBER_INVALID"
        | "ERROR_CODE_MESSAGE_SELF_INVALID" => RefusalReason::RecipientInvalid,
        "ERROR_CODE_MESSAGE_ATTACHMENTS_NUMBER_INVALID"
        | "ERROR_CODE_MESSAGE_TEXT_EMPTY"
        | "ERROR_CODE_MESSAGE_ATTACHMENT_EMPTY"
        | "ERROR_CODE_MESSAGE_ATTACHMENT_INVALID" => RefusalReason::ContentRejected,
        "ERROR_CODE_MESSAGE_TEMPLATE_NOT_FOUND" => RefusalReason::TemplateNotFound,
        "ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID" => RefusalReason::TemplateParametersRejected,
        "ERROR_CODE_MESSAGE_TEMPLATE_DELETED" => RefusalReason::TemplatePaused,
        "ERROR_CODE_MESSAGE_OUTSIDE_OF_ELIGIBILITY_WINDOW"
        | "ERROR_CODE_MESSAGE_CUSTOMER_NO_CONVERSATION_INITIATION" => RefusalReason::SessionWindowClosed,
        "ERROR_CODE_MESSAGE_CUSTOMER_OPTED_OUT" => RefusalReason::RecipientOptedOut,
        "ERROR_CODE_BUSINESS_REACHED_LIMITS" => RefusalReason::AccountRestricted,
        "ERROR_CODE_BUSINESS_KEY_SECRET_ABSENT" => RefusalReason::CredentialsRejected,
        // Style 2: the number of a gRPC code.
        "3" => RefusalReason::ContentRejected,
        "5" => RefusalReason::NotFound,
        "6" => RefusalReason::Conflict,
        "7" => RefusalReason::PermissionDenied,
        "8" => RefusalReason::Throttled,
        "16" => RefusalReason::CredentialsRejected,
        _ => return None,
    })
}

/// Maps the type of an error whose code is unknown. `DEADLINE_EXCEEDED` and `FAILED_PRECONDITION` have each been seen
/// for a closed session window. Each of them can have other meanings, so neither is mapped.
fn reason_by_type(kind: &str) -> Option<RefusalReason> {
    match kind {
        "ERROR_TYPE_AUTHENTICATION" => Some(RefusalReason::CredentialsRejected),
        "ERROR_TYPE_INVALID_REQUEST" => Some(RefusalReason::ContentRejected),
        _ => None,
    }
}
