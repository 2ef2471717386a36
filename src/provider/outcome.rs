//! The table that says what a reply proves about a write.
//!
//! | reply | outcome |
//! |---|---|
//! | 2xx with the provider's proof (an id, or `success` where it promises no id) | ACCEPTED |
//! | 2xx with a readable "no" (`success: false`, an error object and no id) | REFUSED |
//! | any readable Graph error 1, 2, 131000, 131016 or 131057 | UNKNOWN: Meta's own servers failed half-way |
//! | 4xx, whatever its body | REFUSED |
//! | 408, 425, 499 | UNKNOWN: the provider, or something before it, gave up on a request it may have passed on |
//! | 409 with a readable error | REFUSED, otherwise UNKNOWN |
//! | everything else | UNKNOWN |
//!
//! An operator may move the row of one status or code for an account; a code goes before a status.

use std::collections::BTreeMap;

use super::http::Reply;
use super::{Error, Uncertainty};
use crate::domain::outcome::{Row, Verdict};
use crate::domain::{Provider, ProviderFault, Refusal};

/// The table, with an account's own rows.
#[derive(Clone, Debug)]
pub(super) struct Table {
    provider: Provider,
    moved: BTreeMap<Row, Verdict>,
}

/// The provider's error, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) trace_id: Option<String>,
    /// What the code or kind means, if it is one we know.
    pub(super) meaning: Option<Refusal>,
}

/// Graph codes that say that Meta failed, not that it refused.
const GRAPH_FAILURES: [&str; 5] = ["1", "2", "131000", "131016", "131057"];

impl Table {
    pub(super) fn new(provider: Provider, moved: BTreeMap<Row, Verdict>) -> Self {
        Self { provider, moved }
    }

    /// What a reply proves that is no "yes". `said` is the provider's error, if there is a readable one.
    pub(super) fn judge(&self, reply: &Reply, said: Option<Said>) -> Error {
        let verdict = self.verdict(reply.status, said.as_ref());
        let success = (200..300).contains(&reply.status);
        let fault =
            said.clone().or_else(|| (!success).then(Said::default)).map(|said| self.fault(reply, said));
        match (verdict, fault) {
            (Verdict::Refused, Some(fault)) => Error::Refused(fault),
            (Verdict::Refused, None) => Error::Refused(self.fault(reply, Said::default())),
            (Verdict::Unknown, fault) => {
                let cause = match &reply.body {
                    _ if !success => Uncertainty::ProviderFailed,
                    Err(cause) => *cause,
                    Ok(_) if said.is_some() => Uncertainty::ProviderFailed,
                    Ok(_) => Uncertainty::ReplyUnreadable,
                };
                Error::Unknown { cause, fault }
            }
        }
    }

    fn verdict(&self, status: u16, said: Option<&Said>) -> Verdict {
        let code = said.and_then(|said| said.code.as_deref());
        if let Some(&moved) = code.and_then(|code| self.moved.get(&Row::Code(code.to_owned()))) {
            return moved;
        }
        if let Some(&moved) = self.moved.get(&Row::Status(status)) {
            return moved;
        }
        if self.provider == Provider::ConnectBy && code.is_some_and(|code| GRAPH_FAILURES.contains(&code)) {
            return Verdict::Unknown;
        }
        match status {
            200..300 if said.is_some() => Verdict::Refused,
            408 | 425 | 499 => Verdict::Unknown,
            409 if said.is_none() => Verdict::Unknown,
            400..500 => Verdict::Refused,
            _ => Verdict::Unknown,
        }
    }

    fn fault(&self, reply: &Reply, said: Said) -> ProviderFault {
        ProviderFault {
            provider: self.provider,
            refusal: said.meaning.unwrap_or(match reply.status {
                401 => Refusal::CredentialsRejected,
                403 => Refusal::PermissionDenied,
                404 => Refusal::NotFound,
                409 => Refusal::Conflict,
                413 | 415 => Refusal::ContentRejected,
                429 => Refusal::Throttled,
                _ => Refusal::Other,
            }),
            http_status: Some(reply.status),
            code: said.code,
            kind: said.kind,
            trace_id: said.trace_id,
            retry_after: reply.retry_after,
            route: None,
        }
    }
}
