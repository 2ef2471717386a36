//! The violations of a request, collected before any of it is executed.

use tonic_types::FieldViolation;

use crate::api::error::error_response::ErrorResponse;

/// The maximum number of violations in the details. A status travels in headers, and many clients accept at most 8 KiB
/// of headers: a larger status would not arrive.
const MAX_LISTED: usize = 32;

/// The maximum number of violations in the status's message.
const MAX_IN_MESSAGE: usize = 8;

/// Why a value is present after [`Violations::check`]: the message of the panic if it is not.
pub(in crate::api) const CHECKED: &str = "a missing value is a violation, and `check` fails on violations";

/// The kind of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum ViolationReason {
    /// The field must be given.
    Required,
    /// The field cannot be parsed.
    Malformed,
    /// The field is outside its range.
    OutOfRange,
    /// The field has a value that this version does not know.
    UnknownValue,
    /// The account's provider does not support the field.
    Unsupported,
    /// The field does not fit the template, or another field.
    Mismatch,
}

impl ViolationReason {
    pub(in crate::api) const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::Malformed => "MALFORMED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::UnknownValue => "UNKNOWN_VALUE",
            Self::Unsupported => "UNSUPPORTED",
            Self::Mismatch => "MISMATCH",
        }
    }
}

/// The violations of a request: their number, and the first of them, as many as fit into the details.
#[derive(Debug, Default)]
pub(in crate::api) struct Violations {
    listed: Vec<FieldViolation>,
    total: usize,
    unsupported: usize,
}

impl Violations {
    /// Records a violation. `description` states what is allowed, and never quotes the value in the request.
    pub(in crate::api) fn add(
        &mut self,
        field: impl Into<String>,
        reason: ViolationReason,
        description: impl Into<String>,
    ) {
        self.total += 1;
        self.unsupported += usize::from(reason == ViolationReason::Unsupported);
        if self.listed.len() < MAX_LISTED {
            let mut violation = FieldViolation::new(field, description);
            violation.reason = reason.as_str().to_owned();
            self.listed.push(violation);
        }
    }

    /// Fails if there is a violation.
    pub(in crate::api) fn check(self) -> Result<(), ErrorResponse> {
        if self.total == 0 { Ok(()) } else { Err(self.into()) }
    }

    /// Whether every violation is a lack of the provider's support.
    pub(in crate::api) fn only_unsupported(&self) -> bool {
        self.unsupported == self.total
    }

    /// The first few violations, and the number of the others.
    pub(in crate::api) fn summary(&self) -> String {
        let first = self.listed.iter().take(MAX_IN_MESSAGE);
        let mut parts: Vec<String> =
            first.map(|violation| format!("{}: {}", violation.field, violation.description)).collect();
        if self.total > parts.len() {
            parts.push(format!("and {} more", self.total - parts.len()));
        }
        parts.join("; ")
    }

    /// The violations for the details.
    pub(in crate::api) fn into_field_violations(self) -> Vec<FieldViolation> {
        self.listed
    }
}
