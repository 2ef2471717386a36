//! Why a message failed or nobody can tell, as JSON text in a column.
//!
//! The names in the text are the store's own: a word of the house may change without a change of the file.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::event::ReportedFault;
use crate::domain::message::MessageProblem;
use crate::domain::outcome::UnknownOutcome;
use crate::domain::{Provider, ProviderFault, RefusalReason, UnknownReason};

/// What a column of JSON text holds.
pub(super) trait Column: Sized {
    /// As text.
    fn to_text(&self) -> String;
    /// From text. None when it is not what this version writes.
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! column {
    ($($type:ty as $row:ty),+) => {
        $(impl Column for $type {
            fn to_text(&self) -> String {
                let mut text = Vec::new();
                <$row>::serialize(self, &mut serde_json::Serializer::new(&mut text))
                    .expect("plain values have a JSON text");
                String::from_utf8(text).expect("JSON is UTF-8")
            }

            fn from_text(text: &str) -> Option<Self> {
                <$row>::deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
            }
        })+
    };
}

column!(MessageProblem as TroubleRow, UnknownOutcome as DoubtRow, ReportedFault as ReportedRow);

#[derive(Serialize, Deserialize)]
#[serde(remote = "MessageProblem", rename_all = "snake_case")]
enum TroubleRow {
    Failed(#[serde(with = "ReportedRow")] ReportedFault),
    OutcomeUnknown(#[serde(with = "DoubtRow")] UnknownOutcome),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "UnknownOutcome")]
struct DoubtRow {
    #[serde(with = "cause")]
    cause: UnknownReason,
    #[serde(default, with = "perhaps", skip_serializing_if = "Option::is_none")]
    fault: Option<ProviderFault>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReportedFault")]
struct ReportedRow {
    #[serde(with = "FaultRow")]
    fault: ProviderFault,
    raw_json: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ProviderFault")]
struct FaultRow {
    #[serde(with = "ProviderRow")]
    provider: Provider,
    #[serde(with = "RefusalRow")]
    refusal: RefusalReason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Provider", rename_all = "lowercase")]
enum ProviderRow {
    ConnectBy,
    Connectly,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefusalReason", rename_all = "snake_case")]
enum RefusalRow {
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
}

/// A cause under the name that it has everywhere.
mod cause {
    use serde::de::Error as _;

    use super::{Deserialize, Deserializer, Serializer, UnknownReason};

    pub(super) fn serialize<S: Serializer>(cause: &UnknownReason, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(cause.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnknownReason, D::Error> {
        let name = String::deserialize(from)?;
        UnknownReason::from_name(&name).ok_or_else(|| D::Error::custom("no cause"))
    }
}

/// A fault that may be absent.
mod perhaps {
    use super::{Deserialize, Deserializer, FaultRow, ProviderFault, Serialize, Serializer};

    #[derive(Serialize)]
    struct Given<'a>(#[serde(with = "FaultRow")] &'a ProviderFault);

    #[derive(Deserialize)]
    struct Kept(#[serde(with = "FaultRow")] ProviderFault);

    pub(super) fn serialize<S: Serializer>(fault: &Option<ProviderFault>, to: S) -> Result<S::Ok, S::Error> {
        fault.as_ref().map(Given).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ProviderFault>, D::Error> {
        Ok(Option::<Kept>::deserialize(from)?.map(|Kept(fault)| fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> ProviderFault {
        ProviderFault {
            provider: Provider::ConnectBy,
            refusal: RefusalReason::SessionWindowClosed,
            http_status: Some(400),
            code: Some("131047".to_owned()),
            kind: Some("OAuthException".to_owned()),
            trace_id: Some("T".to_owned()),
            retry_after: Some(Duration::from_millis(1_500)),
            route: Some("send_text = \"POST /v1.0/message\"".to_owned()),
        }
    }

    #[test]
    fn trouble_comes_back_as_it_was_written() {
        let bare = ProviderFault {
            provider: Provider::Connectly,
            refusal: RefusalReason::Other,
            http_status: None,
            code: None,
            kind: None,
            trace_id: None,
            retry_after: None,
            route: None,
        };
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
    fn the_text_is_the_files_and_stays() {
        let doubt = UnknownOutcome { cause: UnknownReason::ServerFailed, fault: None };
        assert_eq!(doubt.to_text(), r#"{"cause":"SERVER_FAILED"}"#);
        assert_eq!(
            MessageProblem::OutcomeUnknown(doubt).to_text(),
            r#"{"outcome_unknown":{"cause":"SERVER_FAILED"}}"#
        );
        assert_eq!(UnknownOutcome::from_text(r#"{"cause":"WHO_KNOWS"}"#), None);
    }
}
