//! Failures that a program can act on.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::iter::successors;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::v1::{self, Reason};

/// The domain of Switchboard's reasons.
const DOMAIN: &str = "switchboard";

/// The key of the provider's text in the metadata of a status.
const PROVIDER_MESSAGE: &str = "provider_message";

/// The failure of a call. The page `docs/errors.md` of Switchboard lists each reason with its cause and what to do.
///
/// The `Display` and `Debug` output can go into a log: neither contains [`provider_message`](Self::provider_message).
#[derive(Clone)]
pub struct Error(Box<ErrorDetails>);

#[derive(Clone)]
struct ErrorDetails {
    code: Code,
    message: String,
    reason: String,
    domain: String,
    /// Without the provider's text.
    metadata: HashMap<String, String>,
    provider_message: String,
    violations: Vec<FieldViolation>,
    retry_delay: Option<Duration>,
    request_id: String,
    status: Option<Status>,
}

/// One field of a request that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The path of the field, as in the contract: `text.body`.
    pub field: String,
    /// The kind of violation: `REQUIRED`, `OUT_OF_RANGE`, …
    pub reason: String,
    /// What the field allows.
    pub description: String,
}

/// Returns the constant for the text of a reason: [`Error::reason`], or the `reason` of a [`v1::Failure`].
///
/// Returns [`Reason::Unspecified`] for an empty text, and for a reason that is newer than this crate. For these, decide by
/// the gRPC code. The text itself stays in the field that it was read from.
///
/// ```
/// use switchboard_client::{Reason, parse_reason};
///
/// assert_eq!(parse_reason("ACCOUNT_NOT_FOUND"), Reason::AccountNotFound);
/// assert_eq!(parse_reason("A_NEWER_REASON"), Reason::Unspecified);
/// ```
pub fn parse_reason(text: &str) -> Reason {
    Reason::from_str_name(&format!("REASON_{text}")).unwrap_or(Reason::Unspecified)
}

impl Error {
    /// A mistake in the program that the client found before it sent anything.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::from(Status::invalid_argument(message))
    }

    /// The source of an upload failed, so the client cancelled the call.
    pub(crate) fn unreadable_source(error: io::Error) -> Self {
        let mut status = Status::cancelled("the client cancelled the upload because its source failed");
        status.set_source(Arc::new(error));
        let mut error = Self::from(status);
        // Another cause of CANCELLED would be a broken connection.
        error.0.code = Code::Cancelled;
        error
    }

    pub(crate) fn with_request_id(mut self, request_id: String) -> Self {
        self.0.request_id = request_id;
        self
    }

    /// The gRPC code. After a broken connection it is UNAVAILABLE, even if the transport reports another code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// A description for a developer. Its text may change at any time: decide by [`reason`](Self::reason).
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The reason, such as `ACCOUNT_NOT_FOUND`. [`parse_reason`] converts it into a constant. It is empty if the failure
    /// does not come from Switchboard: a broken connection, or a deadline that passed in the client.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The domain of the reason: `switchboard`. It is empty if there is no reason.
    pub fn domain(&self) -> &str {
        &self.0.domain
    }

    /// Facts about the failure: `message_id`, `attempt`, `provider`, `provider_code` and others. `docs/errors.md` lists the
    /// keys of each reason. The key `provider_message` is left out: see [`provider_message`](Self::provider_message).
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// What the provider wrote about the failure, at most 256 characters. It is empty if the provider wrote nothing.
    ///
    /// The text may quote the message: treat it as message content, and do not log it.
    pub fn provider_message(&self) -> &str {
        &self.0.provider_message
    }

    /// All fields of the request that are not valid.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// How long to wait before the next attempt, if a later attempt can succeed.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_delay
    }

    /// The `request_id` of the call, also if the client filled it in. A later call with the same `request_id` does not
    /// repeat the operation. It is empty if the call had none.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The gRPC status of the call. It is absent for a failure that came as a message, such as in an event.
    ///
    /// The details of the status contain [`provider_message`](Self::provider_message), and so does its `Debug` output: do
    /// not log it.
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().cloned();
        let (reason, domain, mut metadata) = match info {
            Some(info) => (info.reason, info.domain, info.metadata),
            None => <(String, String, HashMap<String, String>)>::default(),
        };
        let violations = details.bad_request().map(|request| request.field_violations.clone());
        let converted = |violation: tonic_types::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(ErrorDetails {
            code: code(&status),
            message: message(&status),
            reason,
            domain,
            provider_message: metadata.remove(PROVIDER_MESSAGE).unwrap_or_default(),
            metadata,
            violations: violations.into_iter().flatten().map(converted).collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            request_id: String::new(),
            status: Some(status),
        }))
    }
}

/// A failure in an event, a message or a stream has the same facts as the error of a failed call. The provider's raw error
/// (`raw_json`) is left out, because it may quote the message.
impl From<v1::Failure> for Error {
    fn from(failure: v1::Failure) -> Self {
        let provider = match failure.provider() {
            _ if !failure.provider_name.is_empty() => failure.provider_name,
            v1::Provider::Unspecified => String::new(),
            provider => provider.as_str_name().trim_start_matches("PROVIDER_").to_lowercase(),
        };
        // A failed call has these values in its metadata.
        let mut metadata = failure.metadata;
        for (key, value) in [
            ("provider", provider),
            ("provider_code", failure.provider_code),
            ("provider_type", failure.provider_type),
            ("provider_trace_id", failure.provider_trace_id),
        ] {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), value);
            }
        }
        let converted = |violation: v1::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(ErrorDetails {
            // A failure has no status OK.
            code: if failure.code == 0 { Code::Unknown } else { Code::from(failure.code) },
            message: failure.message,
            reason: failure.reason,
            domain: DOMAIN.to_owned(),
            metadata,
            provider_message: failure.provider_message,
            violations: failure.field_violations.into_iter().map(converted).collect(),
            retry_delay: failure.retry_delay.and_then(|delay| delay.try_into().ok()),
            request_id: String::new(),
            status: None,
        }))
    }
}

/// The chain of sources of a status that the client made. A status from the server has no source.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    successors(status.source(), |&cause| cause.source())
}

/// The code that other gRPC libraries report. If a connection breaks during a call, tonic reports UNKNOWN, INTERNAL or
/// CANCELLED. If only the stream was reset, the status keeps the code of the reset.
fn code(status: &Status) -> Code {
    let is_reset = |cause: &(dyn StdError + 'static)| cause.downcast_ref().is_some_and(h2::Error::is_reset);
    match status.code() {
        code @ (Code::Unknown | Code::Internal | Code::Cancelled) if status.source().is_some() => {
            if causes(status).any(|cause| cause.is::<TimeoutExpired>()) {
                Code::DeadlineExceeded
            } else if causes(status).any(is_reset) {
                code
            } else {
                Code::Unavailable
            }
        }
        code => code,
    }
}

/// The message of a status with those of its sources, which say for example that a port is closed or that a certificate is
/// not trusted.
fn message(status: &Status) -> String {
    let mut message = status.message().to_owned();
    for cause in causes(status).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.reason.is_empty() {
            write!(f, "{:?}: {}", self.0.code, self.0.message)?;
        } else {
            write!(f, "{:?} {}: {}", self.0.code, self.0.reason, self.0.message)?;
        }
        for violation in &self.0.violations {
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the status and the provider's text. The details of the status contain that text too.
        let details = &*self.0;
        f.debug_struct("Error")
            .field("code", &details.code)
            .field("message", &details.message)
            .field("reason", &details.reason)
            .field("domain", &details.domain)
            .field("metadata", &details.metadata)
            .field("violations", &details.violations)
            .field("retry_delay", &details.retry_delay)
            .field("request_id", &details.request_id)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.status()?.source()
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails as StatusDetails;

    use super::*;

    const SECRET: &str = "Hello Ada, your code is 1234";

    /// What a failed call has in its metadata.
    fn metadata() -> HashMap<String, String> {
        [
            ("message_id", "msg_1"),
            ("provider", "connectly"),
            ("provider_code", "131047"),
            ("provider_type", "ERROR_TYPE_INVALID_REQUEST"),
            ("provider_trace_id", "trace-1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    fn failure() -> v1::Failure {
        v1::Failure {
            reason: "RECIPIENT_NOT_REACHABLE".to_owned(),
            code: Code::FailedPrecondition.into(),
            message: "the provider refused the message".to_owned(),
            provider: v1::Provider::Connectly.into(),
            provider_name: "connectly".to_owned(),
            provider_code: "131047".to_owned(),
            provider_type: "ERROR_TYPE_INVALID_REQUEST".to_owned(),
            provider_trace_id: "trace-1".to_owned(),
            provider_message: SECRET.to_owned(),
            retry_delay: Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }),
            raw_json: format!("{{\"message\":\"{SECRET}\"}}"),
            field_violations: vec![v1::FieldViolation {
                field: "to".to_owned(),
                reason: "MALFORMED".to_owned(),
                description: "must be a phone number".to_owned(),
            }],
            metadata: [("message_id".to_owned(), "msg_1".to_owned())].into(),
        }
    }

    #[test]
    fn failure_message_becomes_same_error_as_status() {
        let mut of_call = metadata();
        of_call.insert(PROVIDER_MESSAGE.to_owned(), SECRET.to_owned());
        let mut details = StatusDetails::with_error_info("RECIPIENT_NOT_REACHABLE", DOMAIN, of_call);
        details.set_retry_info(Some(Duration::from_millis(1_500)));
        let mut violation = tonic_types::FieldViolation::new("to", "must be a phone number");
        violation.reason = "MALFORMED".to_owned();
        details.set_bad_request(vec![violation]);
        let message = "the provider refused the message";
        let status = Status::with_error_details(Code::FailedPrecondition, message, details);
        for error in [Error::from(status), Error::from(failure())] {
            assert_eq!(error.code(), Code::FailedPrecondition);
            assert_eq!(error.message(), message);
            assert_eq!(error.reason(), "RECIPIENT_NOT_REACHABLE");
            assert_eq!(error.domain(), "switchboard");
            assert_eq!(*error.metadata(), metadata());
            assert_eq!(error.provider_message(), SECRET);
            assert_eq!(error.retry_delay(), Some(Duration::from_millis(1_500)));
            let violation = &error.violations()[0];
            assert_eq!((violation.field.as_str(), violation.reason.as_str()), ("to", "MALFORMED"));
            assert_eq!(violation.description, "must be a phone number");
            for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
                assert!(!text.contains("Ada") && text.contains("RECIPIENT_NOT_REACHABLE"), "{text}");
            }
        }
    }

    #[test]
    fn failure_without_name_or_code_has_defaults() {
        let unnamed = v1::Failure { provider_name: String::new(), ..failure() };
        assert_eq!(Error::from(unnamed).metadata()["provider"], "connectly");
        let error = Error::from(v1::Failure::default());
        assert_eq!((error.code(), error.provider_message()), (Code::Unknown, ""));
        assert!(error.metadata().is_empty());
    }

    #[test]
    fn each_reason_has_its_text_and_unknown_text_is_kept() {
        let mut known = 0;
        for reason in (0..1_000).filter_map(|number| Reason::try_from(number).ok()) {
            let text = reason.as_str_name().strip_prefix("REASON_").expect("each name has the prefix");
            assert_eq!(parse_reason(text), reason);
            known += 1;
        }
        assert!(known > 40, "{known}");
        assert_eq!(parse_reason(""), Reason::Unspecified);
        let newer = Error::from(v1::Failure { reason: "A_NEWER_REASON".to_owned(), ..failure() });
        assert_eq!((parse_reason(newer.reason()), newer.reason()), (Reason::Unspecified, "A_NEWER_REASON"));
    }
}
