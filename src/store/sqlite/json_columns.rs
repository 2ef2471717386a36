//! JSON columns: why a message failed, or why its outcome is unknown.
//!
//! Enum names in the JSON come from the domain types, so renaming a variant changes the stored text. A test pins
//! them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::event::ReportedFault;
use crate::domain::message::MessageProblem;
use crate::domain::outcome::UnknownOutcome;
use crate::domain::{Provider, ProviderFault, ProviderText, RefusalReason, ThrottleScope, UnknownReason};

/// A type that is stored as JSON text.
pub(super) trait Column: Sized {
    /// Encodes the value.
    fn to_text(&self) -> String;
    /// Decodes a value. Returns `None` if this version does not write such text.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! column {
    ($($type:ty as $row:ty),+) => {
        $(impl Column for $type {
            fn to_text(&self) -> String {
                let mut text = Vec::new();
                <$row>::serialize(self, &mut serde_json::Serializer::new(&mut text))
                    .expect("plain values always serialize");
                String::from_utf8(text).expect("JSON is UTF-8")
            }

            fn from_text(text: &str) -> Option<Self> {
                <$row>::deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
            }
        })+
    };
}

column!(MessageProblem as ProblemRow, UnknownOutcome as UnknownOutcomeRow, ReportedFault as ReportedFaultRow);

#[derive(Serialize, Deserialize)]
#[serde(remote = "MessageProblem", rename_all = "snake_case")]
enum ProblemRow {
    Failed(#[serde(with = "ReportedFaultRow")] ReportedFault),
    OutcomeUnknown(#[serde(with = "UnknownOutcomeRow")] UnknownOutcome),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "UnknownOutcome")]
struct UnknownOutcomeRow {
    #[serde(with = "name")]
    cause: UnknownReason,
    #[serde(default, with = "optional_fault", skip_serializing_if = "Option::is_none")]
    fault: Option<ProviderFault>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReportedFault")]
struct ReportedFaultRow {
    #[serde(with = "FaultRow")]
    fault: ProviderFault,
    raw_json: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ProviderFault")]
struct FaultRow {
    #[serde(serialize_with = "serialize_provider", deserialize_with = "name::deserialize")]
    provider: Provider,
    #[serde(with = "name")]
    refusal: RefusalReason,
    /// It matters while the call is in progress only.
    #[serde(skip)]
    throttle_scope: ThrottleScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<Box<str>>,
    #[serde(default, with = "optional_text", skip_serializing_if = "Option::is_none")]
    text: Option<Box<ProviderText>>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ProviderText")]
struct TextRow {
    message: String,
    raw_json: String,
}

/// A unit-only enum, stored under the name that `strum` derives.
mod name {
    use std::str::FromStr;

    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Copy + Into<&'static str>, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str((*value).into())
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let name = String::deserialize(from)?;
        name.parse().map_err(|_| D::Error::custom("unknown name"))
    }
}

/// A provider, stored under its name.
fn serialize_provider<S: Serializer>(provider: &Provider, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(provider.as_str())
}

/// An optional fault.
mod optional_fault {
    use super::{Deserialize, Deserializer, FaultRow, ProviderFault, Serialize, Serializer};

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(with = "FaultRow")] &'a ProviderFault);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "FaultRow")] ProviderFault);

    pub(super) fn serialize<S: Serializer>(fault: &Option<ProviderFault>, to: S) -> Result<S::Ok, S::Error> {
        fault.as_ref().map(Borrowed).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ProviderFault>, D::Error> {
        Ok(Option::<Owned>::deserialize(from)?.map(|Owned(fault)| fault))
    }
}

/// A provider's optional text.
mod optional_text {
    use super::{Deserialize, Deserializer, ProviderText, Serialize, Serializer, TextRow};

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(with = "TextRow")] &'a ProviderText);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "TextRow")] ProviderText);

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Box<ProviderText>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_deref().map(Borrowed).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Box<ProviderText>>, D::Error> {
        Ok(Option::<Owned>::deserialize(from)?.map(|Owned(text)| Box::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> ProviderFault {
        ProviderFault {
            provider: Provider::CONNECTBY,
            refusal: RefusalReason::SessionWindowClosed,
            http_status: Some(400),
            code: Some("131047".to_owned()),
            kind: Some("OAuthException".into()),
            throttle_scope: ThrottleScope::Account,
            trace_id: Some("T".into()),
            retry_after: Some(Duration::from_millis(1_500)),
            route: Some("send_text = \"POST /v1.0/message\"".into()),
            text: Some(Box::new(ProviderText {
                message: "Re-engagement message".to_owned(),
                raw_json: r#"{"code":131047}"#.to_owned(),
            })),
        }
    }

    #[test]
    fn problem_is_read_back_as_written() {
        let bare = ProviderFault::new(Provider::CONNECTLY, RefusalReason::Other);
        for problem in [
            MessageProblem::Failed(ReportedFault { fault: fault(), raw_json: "{\"a\":1}".to_owned() }),
            MessageProblem::Failed(ReportedFault { fault: bare, raw_json: String::new() }),
            MessageProblem::OutcomeUnknown(UnknownOutcome { cause: UnknownReason::TimedOut, fault: None }),
            MessageProblem::OutcomeUnknown(UnknownOutcome {
                cause: UnknownReason::ProviderFailed,
                fault: Some(fault()),
            }),
        ] {
            assert_eq!(MessageProblem::from_text(&problem.to_text()), Some(problem));
        }
    }

    #[test]
    fn stored_names_do_not_change() {
        let outcome = UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None };
        assert_eq!(outcome.to_text(), r#"{"cause":"SERVER_FAILED"}"#);
        assert_eq!(
            MessageProblem::OutcomeUnknown(outcome).to_text(),
            r#"{"outcome_unknown":{"cause":"SERVER_FAILED"}}"#
        );
        assert_eq!(UnknownOutcome::from_text(r#"{"cause":"OTHER"}"#), None);
        let fault = ReportedFault { fault: fault(), raw_json: "{}".to_owned() };
        assert!(
            fault
                .to_text()
                .starts_with(r#"{"fault":{"provider":"connectby","refusal":"session_window_closed","#)
        );
    }

    /// Renaming a variant changes what the store reads and writes, so each needs a new format.
    #[test]
    fn names_of_domain_enums_do_not_change() {
        use crate::domain::{Channel, MessageState};
        use RefusalReason::*;

        let reasons = [
            CredentialsRejected,
            PermissionDenied,
            Throttled,
            Capped,
            SessionWindowClosed,
            RecipientNotReachable,
            RecipientOptedOut,
            RecipientInvalid,
            SenderInvalid,
            ContentRejected,
            TemplateNotFound,
            TemplateParametersRejected,
            TemplatePaused,
            AccountRestricted,
            NotFound,
            Conflict,
            Other,
        ];
        let names: Vec<&str> = reasons.map(Into::into).to_vec();
        assert_eq!(
            names.join(" "),
            "credentials_rejected permission_denied throttled capped session_window_closed recipient_not_reachable \
             recipient_opted_out recipient_invalid sender_invalid content_rejected template_not_found \
             template_parameters_rejected template_paused account_restricted not_found conflict other"
        );
        let states = [
            MessageState::Pending,
            MessageState::Unknown,
            MessageState::Accepted,
            MessageState::Sent,
            MessageState::Failed,
            MessageState::Delivered,
            MessageState::Read,
        ];
        let names: Vec<&str> = states.map(Into::into).to_vec();
        assert_eq!(names.join(" "), "pending unknown accepted sent failed delivered read");
        let names: Vec<&str> = [Channel::WhatsApp, Channel::Sms].map(Into::into).to_vec();
        assert_eq!(names.join(" "), "whatsapp sms");
        let reasons = [
            UnknownReason::TimedOut,
            UnknownReason::ConnectionLost,
            UnknownReason::ReplyCutOff,
            UnknownReason::ReplyTooLarge,
            UnknownReason::ReplyUnreadable,
            UnknownReason::ProviderFailed,
            UnknownReason::Redirected,
            UnknownReason::ServerFailed,
            UnknownReason::Restored,
        ];
        assert_eq!(
            reasons.map(UnknownReason::as_str).join(" "),
            "TIMED_OUT CONNECTION_LOST REPLY_CUT_OFF REPLY_TOO_LARGE REPLY_UNREADABLE PROVIDER_FAILED REDIRECTED \
             SERVER_FAILED RESTORED"
        );
        assert_eq!(
            [Provider::CONNECTBY, Provider::CONNECTLY].map(|provider| provider.to_string()),
            ["connectby", "connectly"]
        );
    }
}
