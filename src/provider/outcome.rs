//! The outcome table: what a reply proves about a write.
//!
//! | reply | outcome |
//! |---|---|
//! | 2xx with the provider's proof (an id, or `success` where it promises no id) | ACCEPTED |
//! | 2xx with a readable error (`success: false`, an error object) and no proof | REFUSED |
//! | 2xx with proof and anything that contradicts it | UNKNOWN |
//! | any readable Graph error 1, 2, 131000, 131016 or 131057 | UNKNOWN: Meta's own servers failed during the call |
//! | 4xx, with any body | REFUSED |
//! | 408, 425, 499 | UNKNOWN: the provider or a proxy gave up on a request that it may have passed on |
//! | 409 with a readable error | REFUSED, otherwise UNKNOWN |
//! | everything else | UNKNOWN |
//!
//! An operator can override the outcome of a status or a code for one account. The override of a code takes precedence
//! over that of a status.

use std::collections::BTreeMap;

use super::Error;
use super::error_text::{ErrorText, Secrets};
use super::http::Reply;
use crate::domain::outcome::{OutcomeOverride, OverrideKey};
use crate::domain::{Provider, ProviderFault, RefusalReason, ThrottleScope, UnknownReason};

/// The table with the overrides of one account.
#[derive(Clone, Debug)]
pub(super) struct Table {
    provider: Provider,
    overrides: BTreeMap<OverrideKey, OutcomeOverride>,
    secrets: Secrets,
}

/// The readable parts of a provider's error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProviderErrorBody {
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) trace_id: Option<String>,
    /// The meaning of the code or the type, if it is known.
    pub(super) meaning: Option<RefusalReason>,
    /// Whom the limit concerns, if the error is one.
    pub(super) throttle_scope: ThrottleScope,
    /// Whether the code reports a failure of Meta's servers, not a refusal.
    pub(super) is_failure: bool,
    /// What the provider wrote about it.
    pub(super) text: ErrorText,
}

impl ProviderErrorBody {
    /// Creates an error body. Codes, types and trace ids appear in errors and logs. A value that does not look like one
    /// is dropped, because a provider may quote a phone number or a text in any field.
    pub(super) fn new(
        code: Option<String>,
        kind: Option<String>,
        trace_id: Option<String>,
        meaning: Option<RefusalReason>,
    ) -> Self {
        Self {
            code: code.and_then(token),
            kind: kind.and_then(token),
            trace_id: trace_id.and_then(token),
            meaning,
            ..Self::default()
        }
    }

    /// The same error body with the provider's texts.
    pub(super) fn with_text(self, text: ErrorText) -> Self {
        Self { text, ..self }
    }
}

/// Returns a token of at most 64 letters, digits, `_`, `.`, `:` and `-`. A phone number contains `+`, so it is dropped.
fn token(text: String) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    (text.len() <= 64 && text.bytes().all(allowed)).then_some(text)
}

impl Table {
    pub(super) fn new(
        provider: Provider,
        overrides: BTreeMap<OverrideKey, OutcomeOverride>,
        secrets: Secrets,
    ) -> Self {
        Self { provider, overrides, secrets }
    }

    /// The secrets that no text of the provider may disclose.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Classifies a reply that does not confirm the call. `error` is the provider's error, if there is a readable one.
    pub(super) fn classify(&self, reply: &Reply, error: Option<ProviderErrorBody>) -> Error {
        let outcome = self.outcome(reply.status, error.as_ref());
        let cause = match (reply.status, &reply.body) {
            (200..300, Err(cause)) => *cause,
            (200..300, Ok(_)) if error.is_some() => UnknownReason::ProviderFailed,
            (200..300, Ok(_)) => UnknownReason::ReplyUnreadable,
            (300..400, _) => UnknownReason::Redirected,
            _ => UnknownReason::ProviderFailed,
        };
        let fault = self.fault(reply, error.unwrap_or_default());
        match outcome {
            OutcomeOverride::Refused => Error::Refused(fault),
            OutcomeOverride::Unknown => Error::Unknown { cause, fault: Some(fault) },
        }
    }

    /// Classifies a reply that both confirms and contradicts the write: it proves nothing.
    pub(super) fn inconsistent(&self, reply: &Reply, error: Option<ProviderErrorBody>) -> Error {
        let fault = Some(self.fault(reply, error.unwrap_or_default()));
        Error::Unknown { cause: UnknownReason::ReplyUnreadable, fault }
    }

    fn outcome(&self, status: u16, error: Option<&ProviderErrorBody>) -> OutcomeOverride {
        let code = error.and_then(|error| error.code.as_deref());
        if let Some(&outcome) = code.and_then(|code| self.overrides.get(&OverrideKey::Code(code.to_owned())))
        {
            return outcome;
        }
        if let Some(&outcome) = self.overrides.get(&OverrideKey::Status(status)) {
            return outcome;
        }
        if error.is_some_and(|error| error.is_failure) {
            return OutcomeOverride::Unknown;
        }
        match status {
            200..300 if error.is_some() => OutcomeOverride::Refused,
            408 | 425 | 499 => OutcomeOverride::Unknown,
            409 if error.is_none() => OutcomeOverride::Unknown,
            400..500 => OutcomeOverride::Refused,
            _ => OutcomeOverride::Unknown,
        }
    }

    fn fault(&self, reply: &Reply, error: ProviderErrorBody) -> ProviderFault {
        let status_reason = match reply.status {
            401 => Some(RefusalReason::CredentialsRejected),
            403 => Some(RefusalReason::PermissionDenied),
            404 => Some(RefusalReason::NotFound),
            409 => Some(RefusalReason::Conflict),
            413 | 415 => Some(RefusalReason::ContentRejected),
            429 => Some(RefusalReason::Throttled),
            _ => None,
        };
        // The generic code or type of invalid requests is less specific than a status that has its own meaning.
        let meaning = error
            .meaning
            .filter(|&meaning| status_reason.is_none() || meaning != RefusalReason::ContentRejected);
        let mut text = error.text;
        if text.raw_json.is_none() {
            let body = reply.body.as_ref().ok().and_then(|body| std::str::from_utf8(body).ok());
            text.raw_json = body.map(str::to_owned);
        }
        ProviderFault {
            provider: self.provider,
            refusal: meaning.or(status_reason).unwrap_or(RefusalReason::Other),
            http_status: Some(reply.status),
            code: error.code,
            kind: error.kind.map(String::into_boxed_str),
            trace_id: error.trace_id.map(String::into_boxed_str),
            throttle_scope: error.throttle_scope,
            retry_after: reply.retry_after,
            route: None,
            text: self.secrets.text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specific_status_overrides_the_generic_invalid_request_code() {
        let table = Table::new(Provider::CONNECTLY, BTreeMap::new(), Secrets::default());
        let refusal = |status, meaning| {
            let reply = Reply { status, retry_after: None, body: Ok(bytes::Bytes::new()) };
            match table.classify(&reply, Some(ProviderErrorBody::new(None, None, None, Some(meaning)))) {
                Error::Refused(fault) => fault.refusal,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refusal(400, RefusalReason::ContentRejected), RefusalReason::ContentRejected);
        for (status, expected) in [
            (401, RefusalReason::CredentialsRejected),
            (403, RefusalReason::PermissionDenied),
            (404, RefusalReason::NotFound),
            (409, RefusalReason::Conflict),
            (429, RefusalReason::Throttled),
        ] {
            assert_eq!(refusal(status, RefusalReason::ContentRejected), expected);
            assert_eq!(
                refusal(status, RefusalReason::SessionWindowClosed),
                RefusalReason::SessionWindowClosed
            );
        }
    }

    #[test]
    fn text_that_does_not_look_like_a_code_is_dropped() {
        let error = |text: &str| ProviderErrorBody::new(Some(text.to_owned()), None, None, None).code;
        for code in ["131047", "ERROR_CODE_MESSAGE_TEXT_EMPTY", "OAuthException", "a.b:c-d"] {
            assert_eq!(error(code).as_deref(), Some(code));
        }
        for text in ["+15550100001", "two words", "é", &"x".repeat(65)] {
            assert_eq!(error(text), None, "{text:?}");
        }
    }
}
