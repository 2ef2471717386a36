//! ConnectBy's errors: undocumented, but in all likelihood the Graph API's error object, passed through.

use super::super::json::Object;
use super::super::outcome::ProviderErrorBody;
use crate::domain::RefusalReason;

/// The code for too many messages to one customer: no reason to hold back what goes to others.
pub(in super::super) const TOO_FAST_FOR_ONE_CUSTOMER: &str = "131056";

/// Finds the provider's "no" in a reply of that status.
///
/// A Graph error at the top, under `responseData`, or in an item of `responseDataArray`; failing that a plain
/// `success: false`; failing that, where the status is no success, anything that says in words what is wrong.
pub(super) fn find(status: u16, reply: &Object<'_>) -> Option<ProviderErrorBody> {
    let graph = graph_error(reply)
        .or_else(|| reply.object(&["responseData", "response_data"]).as_ref().and_then(graph_error))
        .or_else(|| {
            reply.objects(&["responseDataArray", "response_data_array"]).iter().find_map(graph_error)
        });
    let in_words = || !(200..300).contains(&status) && (reply.holds(&["message"]) || suspicious(reply));
    graph.or_else(|| (reply.flag(&["success"]) == Some(false) || in_words()).then(ProviderErrorBody::default))
}

/// Whether a reply holds an error of a form that is not known: no readable "no", but it spoils a "yes".
pub(super) fn suspicious(reply: &Object<'_>) -> bool {
    reply.holds(&["error"]) || reply.holds(&["errors"])
}

/// A Graph error has a code, a type or a message; an empty object is the same as none.
fn graph_error(within: &Object<'_>) -> Option<ProviderErrorBody> {
    let error = within.object(&["error"])?;
    let code = error.text(&["code"]);
    let kind = error.text(&["type"]);
    if code.is_none() && kind.is_none() && error.text(&["message"]).is_none() {
        return None;
    }
    let meaning = code.as_deref().and_then(|code| code.parse().ok()).and_then(meaning);
    Some(ProviderErrorBody::new(code, kind, error.text(&["fbtrace_id"]), meaning))
}

/// What a Graph code means. Titles are not stable; codes are.
fn meaning(code: u32) -> Option<RefusalReason> {
    Some(match code {
        0 | 190 => RefusalReason::CredentialsRejected,
        3 | 10 | 200..=299 | 131_005 => RefusalReason::PermissionDenied,
        4 | 80_007 | 80_008 | 130_429 | 131_056 => RefusalReason::Throttled,
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
