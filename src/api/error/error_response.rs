//! An error that is returned to the client, either as a status with details or as a message with the same facts.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::api::error::status::reason_text;
use crate::api::response::convert;
use crate::domain::{ProviderFault, ProviderText};
use crate::pb::v1::{self, Reason};
use crate::provider::Account;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "switchboard";

/// An error that is returned to the client.
///
/// It becomes a `Status` if it ends an RPC, and a `v1::Failure` in a stream, an event or a record.
#[derive(Debug)]
pub(in crate::api) struct ErrorResponse {
    code: Code,
    reason: Reason,
    message: Box<str>,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    retry_delay: Option<Duration>,
    /// What the provider wrote. It is message content, so it is not in `metadata`, which `Debug` prints.
    provider_text: Option<Box<ProviderText>>,
}

impl ErrorResponse {
    pub(in crate::api) fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into().into_boxed_str(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry_delay: None,
            provider_text: None,
        }
    }

    pub(in crate::api) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    pub(in crate::api) fn violations(mut self, violations: Vec<FieldViolation>) -> Self {
        self.violations = violations;
        self
    }

    pub(in crate::api) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Adds the account and its provider to the metadata.
    pub(in crate::api) fn for_account(self, account: &Account) -> Self {
        self.with("account", account.id()).with("provider", account.provider())
    }

    pub(in crate::api) fn with_provider_error(self, fault: Option<&ProviderFault>) -> Self {
        match fault {
            Some(fault) => self.with_provider_error_of(fault),
            None => self,
        }
    }

    /// Adds the provider's error. Its text goes only to fields that clients treat as message content.
    pub(in crate::api) fn with_provider_error_of(mut self, fault: &ProviderFault) -> Self {
        self = self.with("provider", fault.provider);
        for (key, value) in [
            ("http_status", fault.http_status.map(|status| status.to_string())),
            ("provider_code", fault.code.clone()),
            ("provider_type", fault.kind.as_deref().map(str::to_owned)),
            ("provider_trace_id", fault.trace_id.as_deref().map(str::to_owned)),
            ("route", fault.route.as_deref().map(str::to_owned)),
        ] {
            if let Some(value) = value {
                self = self.with(key, clipped(value));
            }
        }
        self.provider_text.clone_from(&fault.text);
        self
    }
}

/// Limits a text to 200 characters, because status details are sent as headers, whose size is limited.
pub(in crate::api) fn clipped(text: String) -> String {
    text.chars().take(200).collect()
}

impl From<ErrorResponse> for Status {
    fn from(response: ErrorResponse) -> Self {
        let ProviderText { message: provider_message, raw_json: _ } =
            response.provider_text.map(|text| *text).unwrap_or_default();
        let mut metadata = response.metadata;
        if !provider_message.is_empty() {
            metadata.insert("provider_message".to_owned(), provider_message);
        }
        let mut details = ErrorDetails::with_error_info(reason_text(response.reason), DOMAIN, metadata);
        if !response.violations.is_empty() {
            details.set_bad_request(response.violations);
        }
        if response.retry_delay.is_some() {
            details.set_retry_info(response.retry_delay);
        }
        Self::with_error_details(response.code, response.message, details)
    }
}

impl From<ErrorResponse> for v1::Failure {
    fn from(response: ErrorResponse) -> Self {
        let ErrorResponse { code, reason, message, mut metadata, violations, retry_delay, provider_text } =
            response;
        let ProviderText { message: provider_message, raw_json } =
            provider_text.map(|text| *text).unwrap_or_default();
        let mut take = |key| metadata.remove(key).unwrap_or_default();
        let (provider_code, provider_type, provider_trace_id) =
            (take("provider_code"), take("provider_type"), take("provider_trace_id"));
        let provider_name = take("provider");
        Self {
            reason: reason_text(reason).to_owned(),
            code: code.into(),
            message: message.into_string(),
            provider: convert::provider_named(&provider_name).into(),
            provider_name,
            provider_code,
            provider_type,
            provider_trace_id,
            retry_delay: retry_delay.map(convert::duration),
            provider_message,
            raw_json,
            field_violations: violations
                .into_iter()
                .map(|FieldViolation { field, reason, description, .. }| v1::FieldViolation {
                    field,
                    reason,
                    description,
                })
                .collect(),
            metadata,
        }
    }
}
