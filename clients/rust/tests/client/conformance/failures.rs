//! Converting a failed call, or a `Failure`, to the error of the library.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use switchboard_client::v1::{self, SendMessageRequest};
use switchboard_client::{Client, Error, parse_reason};

use super::server::{Server, listen, reply};
use super::{Case, ScriptedStatus, ScriptedViolation, cases, code};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailureCase {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    status: Option<ScriptedStatus>,
    failure: Option<ScriptedFailure>,
    error: ExpectedFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct ScriptedFailure {
    reason: String,
    code: i32,
    message: String,
    provider: Option<String>,
    provider_name: String,
    provider_code: String,
    provider_type: String,
    provider_trace_id: String,
    provider_message: String,
    retry_delay_ms: Option<u64>,
    raw_json: String,
    field_violations: Vec<ScriptedViolation>,
    metadata: HashMap<String, String>,
}

impl From<ScriptedFailure> for v1::Failure {
    fn from(failure: ScriptedFailure) -> Self {
        let provider = failure.provider.map_or(v1::Provider::Unspecified, |name| {
            v1::Provider::from_str_name(&name).unwrap_or_else(|| panic!("unknown value {name}"))
        });
        let delay = failure.retry_delay_ms.map(Duration::from_millis);
        let violations = failure.field_violations.into_iter().map(|violation| v1::FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        });
        Self {
            reason: failure.reason,
            code: failure.code,
            message: failure.message,
            provider: provider.into(),
            provider_name: failure.provider_name,
            provider_code: failure.provider_code,
            provider_type: failure.provider_type,
            provider_trace_id: failure.provider_trace_id,
            provider_message: failure.provider_message,
            retry_delay: delay.map(|delay| delay.try_into().expect("short")),
            raw_json: failure.raw_json,
            field_violations: violations.collect(),
            metadata: failure.metadata,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFields {
    code: String,
    message: String,
    reason: String,
    domain: String,
    constant: String,
    metadata: HashMap<String, String>,
    provider_message: String,
    field_violations: Vec<ScriptedViolation>,
    #[serde(deserialize_with = "Option::deserialize")]
    retry_delay_ms: Option<u64>,
}

impl ExpectedFields {
    fn check(&self, error: &Error) {
        assert_eq!(error.code(), code(&self.code));
        assert_eq!(error.message(), self.message);
        assert_eq!(error.reason(), self.reason);
        assert_eq!(error.domain(), self.domain);
        assert_eq!(parse_reason(error.reason()).as_str_name(), self.constant);
        assert_eq!(*error.metadata(), self.metadata);
        assert_eq!(error.provider_message(), self.provider_message);
        assert_eq!(self.field_violations, error.violations());
        assert_eq!(error.retry_delay(), self.retry_delay_ms.map(Duration::from_millis));
        for printed in [error.to_string(), format!("{error:?}")] {
            let is_private = !self.provider_message.is_empty() && printed.contains(&self.provider_message);
            assert!(!is_private, "the printed error contains the provider's message");
        }
    }
}

impl Case for FailureCase {
    const TABLE: &str = include_str!("../../../../conformance/failures.json");

    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self) {
        assert!(self.status.is_some() || self.failure.is_some(), "the case has a failure");
        if let Some(scripted) = self.status {
            let (listener, address) = listen().await;
            let answer = move |_, _| {
                let status = scripted.status();
                async move { reply(Err::<(), _>(status)) }
            };
            let _server = Server::start(listener, answer);
            let client = Client::builder(address).attempts(1).connect_lazy().expect("a valid address");
            self.error.check(&client.call(SendMessageRequest::default()).await.expect_err("fails"));
        }
        if let Some(failure) = self.failure {
            self.error.check(&Error::from(v1::Failure::from(failure)));
        }
    }
}

cases! {
    FailureCase:
    every_field_is_converted
    provider_without_a_name_gets_that_of_its_enum_value
    provider_name_wins_over_the_enum_value
    failure_without_a_code_is_never_ok
    failure_with_an_undefined_code_becomes_unknown
    newer_reason_keeps_its_text
    status_of_a_proxy_has_no_reason
    delay_of_zero_is_a_delay
    every_field_violation_is_kept_in_order
}
