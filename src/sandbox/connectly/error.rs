//! Connectly's error body (style 1 of its two).

use serde_json::json;
use ulid::Ulid;

use super::super::reply::Reply;

/// An error of the message, template and webhook services.
pub(super) fn reply(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    let body = json!({
        "message": message,
        "type": kind,
        "code": code,
        "userTitle": message,
        "userMessage": "Quote the trace id to support",
        // The random half of a ULID, as a decimal of at most 20 digits.
        "cntTraceId": (u128::from(Ulid::generate()) as u64).to_string(),
        "details": {},
    });
    Reply::json(status, &body)
}

/// HTTP 400 with one of the documented codes.
pub(super) fn invalid(code: &str, message: &str) -> Reply {
    reply(400, "ERROR_TYPE_INVALID_REQUEST", code, message)
}

/// HTTP 400 for errors without a documented code.
pub(super) fn malformed(message: &str) -> Reply {
    invalid("ERROR_CODE_UNSPECIFIED", message)
}

pub(super) fn not_found(message: &str) -> Reply {
    reply(404, "ERROR_TYPE_INVALID_REQUEST", "ERROR_CODE_UNSPECIFIED", message)
}

/// The error body for a bare status.
pub(super) fn for_status(status: u16) -> Reply {
    match status {
        401 => reply(401, "ERROR_TYPE_AUTHENTICATION", "", "The API key is missing or invalid"),
        429 => reply(429, "ERROR_TYPE_UNSPECIFIED", "", "Too many requests"),
        400..500 => reply(status, "ERROR_TYPE_INVALID_REQUEST", "ERROR_CODE_UNSPECIFIED", "SendError"),
        _ => reply(status, "ERROR_TYPE_UNSPECIFIED", "ERROR_CODE_UNSPECIFIED", "Internal error"),
    }
}
