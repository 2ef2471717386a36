//! Failures that a program can act on.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::pb::v1;

/// Why a call failed. `docs/errors.md` says of each reason what it means and what to do.
#[derive(Clone, Debug)]
pub struct Error(Box<Told>);

/// What is known of a failure.
#[derive(Clone, Debug)]
struct Told {
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

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path, as the contract names it: `text.body`.
    pub field: String,
    /// What kind of fault it is: `REQUIRED`, `OUT_OF_RANGE`, …
    pub reason: String,
    /// What is allowed.
    pub description: String,
}

impl Error {
    /// A fault of whoever calls, found before anything was sent.
    pub(super) fn of_caller(message: &str) -> Self {
        Self::from(Status::invalid_argument(message))
    }

    /// The failure of the request that has this id.
    pub(super) fn of_request(mut self, request_id: String) -> Self {
        self.0.request_id = request_id;
        self
    }

    /// The gRPC code. A connection that broke is UNAVAILABLE, whatever the transport calls it.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened, for a developer. It may change at any time: decide on [`reason`](Self::reason).
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What happened, in one word, such as `ACCOUNT_NOT_FOUND`. Empty when the failure is not the gateway's own: a broken
    /// connection, a deadline that has passed here.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Who gave the reason: `switchboard`. Empty without one.
    pub fn domain(&self) -> &str {
        &self.0.domain
    }

    /// Facts about it, by the names that the reason's paragraph lists.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.0.metadata
    }

    /// The request's faults, all at once.
    pub fn violations(&self) -> &[FieldViolation] {
        &self.0.violations
    }

    /// How long to wait before the next try, where waiting helps.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_delay
    }

    /// The `request_id` that the call carried, also where it was made up here: repeat the call with it, and nothing is
    /// done twice. Empty when it had none.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The status that the call ended with, as the transport has it. Absent for what a stream or a record told.
    pub fn status(&self) -> Option<&Status> {
        self.0.status.as_ref()
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().cloned();
        let violations = details.bad_request().map(|request| request.field_violations.clone());
        let told = |violation: tonic_types::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(Told {
            code: code(&status),
            message: message(&status),
            reason: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
            domain: info.as_ref().map(|info| info.domain.clone()).unwrap_or_default(),
            metadata: info.map(|info| info.metadata).unwrap_or_default(),
            violations: violations.into_iter().flatten().map(told).collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
            request_id: String::new(),
            status: Some(status),
        }))
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        let told = |violation: v1::FieldViolation| FieldViolation {
            field: violation.field,
            reason: violation.reason,
            description: violation.description,
        };
        Self(Box::new(Told {
            code: Code::from(error.code),
            message: error.message,
            reason: error.reason,
            domain: "switchboard".to_owned(),
            metadata: error.metadata,
            violations: error.field_violations.into_iter().map(told).collect(),
            retry_delay: error.retry_delay.and_then(|delay| delay.try_into().ok()),
            request_id: String::new(),
            status: None,
        }))
    }
}

/// What a status was made of, if it was made here: the gateway's own have no causes.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    successors(status.source(), |&cause| cause.source())
}

/// The code that a status would have in any language. Of a connection that breaks under a call, the transport says
/// UNKNOWN, INTERNAL or CANCELLED; of one stream that was reset it says the code that belongs to the reset.
fn code(status: &Status) -> Code {
    let reset = |cause: &(dyn StdError + 'static)| cause.downcast_ref().is_some_and(h2::Error::is_reset);
    match status.code() {
        code @ (Code::Unknown | Code::Internal | Code::Cancelled) if status.source().is_some() => {
            if causes(status).any(|cause| cause.is::<TimeoutExpired>()) {
                Code::DeadlineExceeded
            } else if causes(status).any(reset) {
                code
            } else {
                Code::Unavailable
            }
        }
        code => code,
    }
}

/// What a status says, with its causes: whether a name is unknown, a port closed or a certificate not trusted.
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
