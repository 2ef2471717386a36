//! Faults on demand: what they are called, and the fault_rules that says which one is next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::operation::Operation;

/// One way in which a provider can misbehave.
///
/// [`Fault::kind`] and [`Fault::detail`] take it apart into plain values, [`Fault::from_kind`] puts it
/// together again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is acted upon at once and its reply is held back for this long. Spent beside whatever
    /// rule decides the reply itself.
    Latency(Duration),
    /// This status instead of an answer; nothing is acted upon.
    Status {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// The value of `retry-after`, verbatim.
        retry_after: Option<String>,
        /// The body; without one, the provider's error body for that status.
        body: Option<String>,
    },
    /// HTTP 200 that says no: `success: false` at ConnectBy (with a Graph error object if there is a
    /// code), an error object and no id at Connectly (which knows no numeric codes). Nothing is acted upon.
    SuccessFalse {
        /// The code of the Graph error.
        code: Option<i64>,
    },
    /// HTTP 200 with a page of HTML; nothing is acted upon.
    NotJson,
    /// This status and this body, as JSON by content type; nothing is acted upon.
    Body(u16, String),
    /// The connection is closed when the request has arrived but not one byte of it was read, on new and
    /// on reused connections alike. The client sees a reset. Neither recorded nor acted upon.
    CutBeforeReading,
    /// The request is read, recorded and acted upon, then the connection is closed without a reply.
    CutAfterReading,
    /// The request is acted upon; the headers and the first half of the body go out, then the end.
    CutReply,
    /// The listener is closed and open connections are dropped, until the faults are cleared: connection
    /// refused. Holds for every operation, as often as it is asked.
    Refuse,
    /// Answers as usual, then closes the connection without having said `connection: close`.
    CloseAfterReply,
    /// A webhook that was delivered is delivered again, byte for byte. Spent per webhook.
    DuplicateWebhook,
    /// An attempt to deliver a webhook carries the signature of another secret. Spent per attempt.
    WrongSignature,
    /// The statuses of a message come in reverse. Spent per message.
    ReorderStatuses,
    /// A webhook is lost. Spent per webhook.
    DropWebhooks,
}

/// The plain values inside a [`Fault`]; which of them a fault has depends on its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultDetail {
    /// `latency`: how long.
    pub latency: Option<Duration>,
    /// `status`, `body`: the HTTP status.
    pub status: Option<u16>,
    /// `status`: the value of `retry-after`.
    pub retry_after: Option<String>,
    /// `success_false`: the Graph error's code.
    pub code: Option<i64>,
    /// `status`, `body`: the body.
    pub body: Option<String>,
}

/// Why a kind and a detail make no [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultMalformed {
    /// No fault has this name.
    #[error("must be the kind of a fault, like `latency`, `status` or `cut_reply`")]
    Kind,
    /// `latency` without its duration.
    #[error("`latency` needs a duration")]
    LatencyMissing,
    /// `status` or `body` without a usable HTTP status.
    #[error("needs an HTTP status from 200 to 599")]
    Status,
}

impl Fault {
    /// The name of every kind of fault.
    pub const KINDS: &'static [&'static str] = &[
        "latency",
        "status",
        "success_false",
        "not_json",
        "body",
        "cut_before_reading",
        "cut_after_reading",
        "cut_reply",
        "refuse",
        "close_after_reply",
        "duplicate_webhook",
        "wrong_signature",
        "reorder_statuses",
        "drop_webhooks",
    ];

    /// A bare status with the provider's own body.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: None }
    }

    /// The fault's name, one of [`Fault::KINDS`].
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Status { .. } => "status",
            Self::SuccessFalse { .. } => "success_false",
            Self::NotJson => "not_json",
            Self::Body(..) => "body",
            Self::CutBeforeReading => "cut_before_reading",
            Self::CutAfterReading => "cut_after_reading",
            Self::CutReply => "cut_reply",
            Self::Refuse => "refuse",
            Self::CloseAfterReply => "close_after_reply",
            Self::DuplicateWebhook => "duplicate_webhook",
            Self::WrongSignature => "wrong_signature",
            Self::ReorderStatuses => "reorder_statuses",
            Self::DropWebhooks => "drop_webhooks",
        }
    }

    /// The plain values inside.
    pub fn detail(&self) -> FaultDetail {
        let none = FaultDetail::default();
        match self.clone() {
            Self::Latency(latency) => FaultDetail { latency: Some(latency), ..none },
            Self::Status { status, retry_after, body } => {
                FaultDetail { status: Some(status), retry_after, body, ..none }
            }
            Self::SuccessFalse { code } => FaultDetail { code, ..none },
            Self::Body(status, body) => FaultDetail { status: Some(status), body: Some(body), ..none },
            _ => none,
        }
    }

    /// The fault of this kind with this detail; detail that the kind does not know is ignored.
    pub fn from_kind(kind: &str, detail: FaultDetail) -> Result<Self, FaultMalformed> {
        let status = || detail.status.filter(|s| (200..600).contains(s)).ok_or(FaultMalformed::Status);
        Ok(match kind {
            "latency" => Self::Latency(detail.latency.ok_or(FaultMalformed::LatencyMissing)?),
            "status" => {
                Self::Status { status: status()?, retry_after: detail.retry_after, body: detail.body }
            }
            "success_false" => Self::SuccessFalse { code: detail.code },
            "not_json" => Self::NotJson,
            "body" => Self::Body(status()?, detail.body.unwrap_or_default()),
            "cut_before_reading" => Self::CutBeforeReading,
            "cut_after_reading" => Self::CutAfterReading,
            "cut_reply" => Self::CutReply,
            "refuse" => Self::Refuse,
            "close_after_reply" => Self::CloseAfterReply,
            "duplicate_webhook" => Self::DuplicateWebhook,
            "wrong_signature" => Self::WrongSignature,
            "reorder_statuses" => Self::ReorderStatuses,
            "drop_webhooks" => Self::DropWebhooks,
            _ => return Err(FaultMalformed::Kind),
        })
    }

    /// Whether the fault decides what is answered to a request that was read.
    pub(super) const fn decides_reply(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::SuccessFalse { .. }
                | Self::NotJson
                | Self::Body(..)
                | Self::CutAfterReading
                | Self::CutReply
                | Self::CloseAfterReply
        )
    }
}

/// A fault, the calls it strikes, and how often.
///
/// Rules are tried in the order they were set; the first that fits is used, and used up when its `times`
/// are over. A webhook belongs to the operation whose acceptance caused it; an injected one to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// The operation it is for; `None` is every operation, unknown routes included.
    pub operation: Option<Operation>,
    /// How often it strikes; `None` is until the faults are cleared.
    pub times: Option<u32>,
    /// What happens.
    pub fault: Fault,
}

impl FaultRule {
    /// Strikes every call until the faults are cleared.
    pub fn always(fault: Fault) -> Self {
        Self { operation: None, times: None, fault }
    }

    /// Strikes the next `times` calls.
    pub fn times(times: u32, fault: Fault) -> Self {
        Self { operation: None, times: Some(times), fault }
    }

    /// Strikes the next call.
    pub fn once(fault: Fault) -> Self {
        Self::times(1, fault)
    }

    /// The same rule for calls of this operation only.
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }
}

/// The rules in force at one provider.
#[derive(Debug, Default)]
pub(super) struct FaultRules {
    rules: Mutex<Vec<FaultRule>>,
}

impl FaultRules {
    pub(super) fn set(&self, rule: FaultRule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    pub(super) fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn list(&self) -> Vec<FaultRule> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first fitting fault among those `wanted`, one strike of which is spent.
    pub(super) fn take(&self, operation: Option<Operation>, wanted: fn(&Fault) -> bool) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let index = rules.iter().position(|rule| {
            wanted(&rule.fault)
                && rule.times != Some(0)
                && (rule.operation.is_none() || rule.operation == operation)
        })?;
        let rule = &mut rules[index];
        let fault = rule.fault.clone();
        rule.times = rule.times.map(|times| times - 1);
        if rule.times == Some(0) {
            rules.remove(index);
        }
        Some(fault)
    }
}
