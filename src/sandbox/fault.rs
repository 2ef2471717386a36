//! Injected faults: their names, and the rules that select the next one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::operation::Operation;

/// One way in which a provider can misbehave.
///
/// [`Fault::kind`] and [`Fault::detail`] convert a fault to plain values, and [`Fault::from_kind`] converts them back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is executed at once, and its reply is delayed by this time. It combines with a rule that decides the
    /// reply itself.
    Latency(Duration),
    /// This status instead of a reply. The call is not executed.
    Status {
        /// The HTTP status, 200 to 599.
        status: u16,
        /// The value of `retry-after`, verbatim.
        retry_after: Option<String>,
        /// The body. If absent, the provider's error body for that status.
        body: Option<String>,
    },
    /// HTTP 200 that reports a failure: `success: false` at ConnectBy (with a Graph error object if there is a code),
    /// an error object and no id at Connectly (which has no numeric codes). The call is not executed.
    SuccessFalse {
        /// The code of the Graph error.
        code: Option<i64>,
    },
    /// HTTP 200 with an HTML page. The call is not executed.
    NotJson,
    /// This status and this body, with the content type of JSON. The call is not executed.
    Body(u16, String),
    /// The connection is closed after the request has arrived and before one byte of it is read, on new and on reused
    /// connections. The client sees a reset. The call is neither logged nor executed.
    CutBeforeReading,
    /// The request is read, logged and executed. Then the connection is closed without a reply.
    CutAfterReading,
    /// The request is executed. The headers and the first half of the body are sent, and then the connection is closed.
    CutReply,
    /// The listener is closed and open connections are dropped until the faults are cleared, so connections are
    /// refused. It applies to every operation, and any number of times.
    Refuse,
    /// The provider replies as usual and then closes the connection, without `connection: close` in the reply.
    CloseAfterReply,
    /// A delivered webhook is delivered again, byte for byte. Used up per webhook.
    DuplicateWebhook,
    /// An attempt to deliver a webhook is signed with another secret. Used up per attempt.
    WrongSignature,
    /// The statuses of a message are delivered in reverse order. Used up per message.
    ReorderStatuses,
    /// A webhook is not delivered. Used up per webhook.
    DropWebhooks,
}

/// The plain values of a [`Fault`]. Its kind determines which of them it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultDetail {
    /// `latency`: the delay.
    pub latency: Option<Duration>,
    /// `status`, `body`: the HTTP status.
    pub status: Option<u16>,
    /// `status`: the value of `retry-after`.
    pub retry_after: Option<String>,
    /// `success_false`: the code of the Graph error.
    pub code: Option<i64>,
    /// `status`, `body`: the body.
    pub body: Option<String>,
}

/// Why a kind and a detail are not a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultMalformed {
    /// No fault has this name.
    #[error("must be the kind of a fault, like `latency`, `status` or `cut_reply`")]
    Kind,
    /// `latency` without a duration.
    #[error("`latency` needs a duration")]
    LatencyMissing,
    /// `status` or `body` without a valid HTTP status.
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

    /// A status with the provider's own body.
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

    /// The plain values of the fault.
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

    /// Returns the fault of this kind with this detail. Details that the kind does not have are ignored.
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

    /// Whether the fault decides the reply to a request that was read.
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

/// A fault, the calls that it applies to, and how often it applies.
///
/// Rules are tried in the order in which they were set, and the first one that matches applies. A rule is removed after
/// it has applied `times` times. A webhook belongs to the operation of the send that caused it. An injected webhook
/// belongs to no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// The operation that the rule is for. `None` is every operation and every unknown route.
    pub operation: Option<Operation>,
    /// How many times the rule applies. `None` is until the faults are cleared.
    pub times: Option<u32>,
    /// The fault.
    pub fault: Fault,
}

impl FaultRule {
    /// Applies to every call until the faults are cleared.
    pub fn always(fault: Fault) -> Self {
        Self { operation: None, times: None, fault }
    }

    /// Applies to the next `times` calls.
    pub fn times(times: u32, fault: Fault) -> Self {
        Self { operation: None, times: Some(times), fault }
    }

    /// Applies to the next call.
    pub fn once(fault: Fault) -> Self {
        Self::times(1, fault)
    }

    /// The same rule, only for calls of this operation.
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }
}

/// The active rules of one provider.
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

    /// Returns the first matching fault among those that are `wanted`, and uses up one application of its rule.
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
