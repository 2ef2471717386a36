//! The table that says what a reply proves about a write.
//!
//! | reply | outcome |
//! |---|---|
//! | 2xx with the provider's proof (an id, or `success` where it promises no id) | ACCEPTED |
//! | 2xx with a readable "no" (`success: false`, an error object) and no proof | REFUSED |
//! | 2xx with proof and anything that speaks against it | UNKNOWN |
//! | any readable Graph error 1, 2, 131000, 131016 or 131057 | UNKNOWN: Meta's own servers failed half-way |
//! | 4xx, whatever its body | REFUSED |
//! | 408, 425, 499 | UNKNOWN: the provider, or something before it, gave up on a request it may have passed on |
//! | 409 with a readable error | REFUSED, otherwise UNKNOWN |
//! | everything else | UNKNOWN |
//!
//! An operator may move the row of one status or code for an account; a code goes before a status.

use std::collections::BTreeMap;

use super::Error;
use super::http::Reply;
use crate::domain::outcome::{OutcomeOverride, OverrideKey};
use crate::domain::{Provider, ProviderFault, RefusalReason, UnknownReason};

/// The table, with an account's own rows.
#[derive(Clone, Debug)]
pub(super) struct Table {
    provider: Provider,
    moved: BTreeMap<OverrideKey, OutcomeOverride>,
}

/// The provider's error, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProviderErrorBody {
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) trace_id: Option<String>,
    /// What the code or kind means, if it is one we know.
    pub(super) meaning: Option<RefusalReason>,
}

impl ProviderErrorBody {
    /// What an error says. Codes, types and trace ids are shown to callers and logs, so what does not look like one is
    /// left out: a provider may quote a number or a text anywhere.
    pub(super) fn new(
        code: Option<String>,
        kind: Option<String>,
        trace_id: Option<String>,
        meaning: Option<RefusalReason>,
    ) -> Self {
        Self {
            code: code.and_then(word),
            kind: kind.and_then(word),
            trace_id: trace_id.and_then(word),
            meaning,
        }
    }
}

/// A word of letters, digits and what joins them, 64 at most. A phone number's `+` is not among them.
fn word(text: String) -> Option<String> {
    let joins = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    (text.len() <= 64 && text.bytes().all(joins)).then_some(text)
}

/// Graph codes that say that Meta failed, not that it refused.
const GRAPH_FAILURES: [&str; 5] = ["1", "2", "131000", "131016", "131057"];

impl Table {
    pub(super) fn new(provider: Provider, moved: BTreeMap<OverrideKey, OutcomeOverride>) -> Self {
        Self { provider, moved }
    }

    /// What a reply proves that is no "yes". `said` is the provider's error, if there is a readable one.
    pub(super) fn classify(&self, reply: &Reply, said: Option<ProviderErrorBody>) -> Error {
        let verdict = self.verdict(reply.status, said.as_ref());
        let cause = match (reply.status, &reply.body) {
            (200..300, Err(cause)) => *cause,
            (200..300, Ok(_)) if said.is_some() => UnknownReason::ProviderFailed,
            (200..300, Ok(_)) => UnknownReason::ReplyUnreadable,
            (300..400, _) => UnknownReason::Redirected,
            _ => UnknownReason::ProviderFailed,
        };
        let fault = self.fault(reply, said.unwrap_or_default());
        match verdict {
            OutcomeOverride::Refused => Error::Refused(fault),
            OutcomeOverride::Unknown => Error::Unknown { cause, fault: Some(fault) },
        }
    }

    /// What a reply proves that says "yes" and "no" at once: nothing.
    pub(super) fn inconsistent(&self, reply: &Reply, said: Option<ProviderErrorBody>) -> Error {
        let fault = Some(self.fault(reply, said.unwrap_or_default()));
        Error::Unknown { cause: UnknownReason::ReplyUnreadable, fault }
    }

    fn verdict(&self, status: u16, said: Option<&ProviderErrorBody>) -> OutcomeOverride {
        let code = said.and_then(|said| said.code.as_deref());
        if let Some(&moved) = code.and_then(|code| self.moved.get(&OverrideKey::Code(code.to_owned()))) {
            return moved;
        }
        if let Some(&moved) = self.moved.get(&OverrideKey::Status(status)) {
            return moved;
        }
        if self.provider == Provider::ConnectBy && code.is_some_and(|code| GRAPH_FAILURES.contains(&code)) {
            return OutcomeOverride::Unknown;
        }
        match status {
            200..300 if said.is_some() => OutcomeOverride::Refused,
            408 | 425 | 499 => OutcomeOverride::Unknown,
            409 if said.is_none() => OutcomeOverride::Unknown,
            400..500 => OutcomeOverride::Refused,
            _ => OutcomeOverride::Unknown,
        }
    }

    fn fault(&self, reply: &Reply, said: ProviderErrorBody) -> ProviderFault {
        let of_status = match reply.status {
            401 => Some(RefusalReason::CredentialsRejected),
            403 => Some(RefusalReason::PermissionDenied),
            404 => Some(RefusalReason::NotFound),
            409 => Some(RefusalReason::Conflict),
            413 | 415 => Some(RefusalReason::ContentRejected),
            429 => Some(RefusalReason::Throttled),
            _ => None,
        };
        // The code or type of all invalid requests says less than a status with a meaning of its own.
        let meaning =
            said.meaning.filter(|&meaning| of_status.is_none() || meaning != RefusalReason::ContentRejected);
        ProviderFault {
            provider: self.provider,
            refusal: meaning.or(of_status).unwrap_or(RefusalReason::Other),
            http_status: Some(reply.status),
            code: said.code,
            kind: said.kind,
            trace_id: said.trace_id,
            retry_after: reply.retry_after,
            route: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_with_a_meaning_says_more_than_the_code_of_all_invalid_requests() {
        let table = Table::new(Provider::Connectly, BTreeMap::new());
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
    fn what_looks_like_no_code_is_not_shown() {
        let said = |text: &str| ProviderErrorBody::new(Some(text.to_owned()), None, None, None).code;
        for code in ["131047", "ERROR_CODE_MESSAGE_TEXT_EMPTY", "OAuthException", "a.b:c-d"] {
            assert_eq!(said(code).as_deref(), Some(code));
        }
        for text in ["+15550100001", "two words", "é", &"x".repeat(65)] {
            assert_eq!(said(text), None, "{text:?}");
        }
    }
}
