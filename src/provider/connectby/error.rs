//! ConnectBy's errors. They are undocumented; most likely ConnectBy passes on the error object of Meta's Graph API.

use super::super::error_text::ErrorText;
use super::super::json::Object;
use super::super::outcome::ProviderErrorBody;
use crate::domain::{RefusalReason, ThrottleScope};

/// The Graph code for too many messages to one customer.
const CUSTOMER_RATE_LIMIT: u32 = 131_056;

/// Graph codes that report a failure of Meta, not a refusal.
const GRAPH_FAILURES: [u32; 5] = [1, 2, 131_000, 131_016, 131_057];

/// Finds the provider's error in a reply with this status.
///
/// The error is a Graph error at the top level, under `responseData`, or in an item of `responseDataArray`. If there is
/// none, `success: false` is an error. If the status is not 2xx, a `message` or an error of unknown form is an error
/// too.
pub(super) fn find(status: u16, reply: &Object<'_>) -> Option<ProviderErrorBody> {
    let graph = graph_error(reply)
        .or_else(|| reply.object(&["responseData", "response_data"]).as_ref().and_then(graph_error))
        .or_else(|| {
            reply.objects(&["responseDataArray", "response_data_array"]).iter().find_map(graph_error)
        });
    let other_error =
        || !(200..300).contains(&status) && (reply.has_content(&["message"]) || has_unknown_error(reply));
    graph.or_else(|| {
        (reply.flag(&["success"]) == Some(false) || other_error()).then(|| {
            let parts = reply.string(&["message"]).into_iter().collect();
            ProviderErrorBody::default().with_text(ErrorText { parts, ..ErrorText::default() })
        })
    })
}

/// Whether a reply contains an error of unknown form. Such an error is no readable refusal, but it invalidates a
/// success.
pub(super) fn has_unknown_error(reply: &Object<'_>) -> bool {
    reply.has_content(&["error"]) || reply.has_content(&["errors"])
}

/// Parses a Graph error, which has a code, a type or a message. An empty object means that there is no error.
fn graph_error(object: &Object<'_>) -> Option<ProviderErrorBody> {
    let error = object.object(&["error"])?;
    let code = error.text(&["code"]);
    let kind = error.text(&["type"]);
    if code.is_none() && kind.is_none() && error.text(&["message"]).is_none() {
        return None;
    }
    let number = code.as_deref().and_then(|code| code.parse().ok());
    let meaning = number.and_then(refusal_reason);
    let throttle_scope = match number {
        Some(CUSTOMER_RATE_LIMIT) => ThrottleScope::Customer,
        Some(_) | None => ThrottleScope::Account,
    };
    let is_failure = number.is_some_and(|code| GRAPH_FAILURES.contains(&code));
    let data = error.object(&["error_data"]);
    let text = ErrorText {
        parts: [
            error.string(&["message"]),
            data.and_then(|data| data.string(&["details"])),
            error.string(&["error_user_title"]),
            error.string(&["error_user_msg"]),
        ]
        .into_iter()
        .flatten()
        .collect(),
        details_json: None,
        raw_json: object.raw(&["error"]).map(str::to_owned),
    };
    let body = ProviderErrorBody::new(code, kind, error.text(&["fbtrace_id"]), meaning).with_text(text);
    Some(ProviderErrorBody { throttle_scope, is_failure, ..body })
}

/// Maps a Graph code to its meaning. The codes are stable; the titles are not.
fn refusal_reason(code: u32) -> Option<RefusalReason> {
    Some(match code {
        0 | 190 => RefusalReason::CredentialsRejected,
        3 | 10 | 200..=299 | 131_005 => RefusalReason::PermissionDenied,
        4 | 80_007 | 80_008 | 130_429 | CUSTOMER_RATE_LIMIT => RefusalReason::Throttled,
        131_048 | 131_049 | 132_069 => RefusalReason::Capped,
        33 => RefusalReason::SenderInvalid,
        100 | 131_008 | 131_009 | 131_051..=131_053 | 132_007 | 135_000 => RefusalReason::ContentRejected,
        368 | 130_497 | 131_031 | 131_042 | 131_045 | 133_000..=133_016 => RefusalReason::AccountRestricted,
        130_472 | 131_026 | 131_030 => RefusalReason::RecipientNotReachable,
        131_021 => RefusalReason::RecipientInvalid,
        131_047 => RefusalReason::SessionWindowClosed,
        131_050 => RefusalReason::RecipientOptedOut,
        132_000 | 132_005 | 132_008 | 132_012 => RefusalReason::TemplateParametersRejected,
        132_001 => RefusalReason::TemplateNotFound,
        132_015 | 132_016 | 132_068 => RefusalReason::TemplatePaused,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limit_per_customer_does_not_concern_the_account() {
        for (code, scope) in [(131_056, ThrottleScope::Customer), (130_429, ThrottleScope::Account)] {
            let body = format!(r#"{{"error":{{"code":{code}}}}}"#);
            let reply = Object::parse(body.as_bytes()).expect("an object");
            let error = find(400, &reply).expect("an error");
            assert_eq!((error.meaning, error.throttle_scope), (Some(RefusalReason::Throttled), scope));
        }
    }

    #[test]
    fn texts_of_an_error_are_read_in_their_order() {
        let read = |body: &str| {
            let reply = Object::parse(body.as_bytes()).expect("an object");
            find(400, &reply).expect("an error").text
        };
        let error = r#"{"code":100,"error_user_msg":"D","error_user_title":"C","error_data":{"details":"B"},"message":"A"}"#;
        for body in [
            format!(r#"{{"error":{error}}}"#),
            format!(r#"{{"message":"other","responseData":{{"error":{error}}}}}"#),
        ] {
            let text = read(&body);
            assert_eq!(text.parts, ["A", "B", "C", "D"]);
            assert_eq!(text.raw_json.as_deref(), Some(error));
        }
        // Without a Graph error, the whole reply is the error.
        let text = read(r#"{"success":false,"message":"A"}"#);
        assert_eq!((text.parts, text.raw_json), (vec!["A".to_owned()], None));
    }
}
