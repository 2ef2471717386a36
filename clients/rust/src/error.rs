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

use crate::v1;

/// The failure of a call. The page `docs/errors.md` of Switchboard lists each reason with its cause and what to do.
#[derive(Clone, Debug)]
pub struct Error(Box<ErrorDetails>);

#[derive(Clone, Debug)]
struct ErrorDetails {
    code: Code,
    message: String,
    reason: String,
    domain: String,
    metadata: HashMap<String, String>,
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

    /// The reason, such as `ACCOUNT_NOT_FOUND`. It is empty if the failure does not come from Switchboard: a broken
    /// connection, or a deadline that passed in the client.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The domain of the reason: `switchboard`. It is empty if there is no reason.
    pub fn domain(&self) -> &str {
        &self.0.domain
    }

    /// Facts about the failure. `docs/errors.md` lists the keys of each reason.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
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
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().cloned();
        let violations = details.bad_request().map(|request| request.field_violations.clone());
        let converted = |violation: tonic_types::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(ErrorDetails {
            code: code(&status),
            message: message(&status),
            reason: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
            domain: info.as_ref().map(|info| info.domain.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata).unwrap_or_default(),
            violations: violations.into_iter().flatten().map(converted).collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            request_id: String::new(),
            status: Some(status),
        }))
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        let converted = |violation: v1::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(ErrorDetails {
            code: Code::from(error.code),
            message: error.message,
            reason: error.reason,
            domain: "switchboard".to_owned(),
            metadata: error.metadata,
            violations: error.field_violations.into_iter().map(converted).collect(),
            retry_delay: error.retry_delay.and_then(|delay| delay.try_into().ok()),
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

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.status()?.source()
    }
}
