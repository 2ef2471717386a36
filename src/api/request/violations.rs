//! All that is wrong with a request, found before any of it was done.

use tonic_types::FieldViolation;

use crate::api::error::error_response::ErrorResponse;

/// The most that are told with their fields. A failure travels in headers, and many clients take no more than 8 KiB of
/// them: what is larger reaches nobody.
const MAX_LISTED: usize = 32;

/// The most that stand in the status's message too.
const MAX_IN_MESSAGE: usize = 8;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum ViolationReason {
    /// It must be given.
    Required,
    /// It cannot be read.
    Malformed,
    /// It is outside its range.
    OutOfRange,
    /// It is a word that this version does not know.
    UnknownValue,
    /// The account's provider cannot do it.
    Unsupported,
    /// It does not fit the template, or another field.
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

/// What was found. Only so many are kept as can be told, however many a request has.
#[derive(Debug, Default)]
pub(in crate::api) struct Violations {
    listed: Vec<FieldViolation>,
    total: usize,
    unsupported: usize,
}

impl Violations {
    /// Notes one. `description` says what is allowed, and never quotes what was given.
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

    /// Fails when there is any.
    pub(in crate::api) fn check(self) -> Result<(), ErrorResponse> {
        if self.total == 0 { Ok(()) } else { Err(self.into()) }
    }

    /// Whether nothing is wrong but that the provider cannot do it.
    pub(in crate::api) fn only_unsupported(&self) -> bool {
        self.unsupported == self.total
    }

    /// The first few of them, and how many there are besides.
    pub(in crate::api) fn summary(&self) -> String {
        let first = self.listed.iter().take(MAX_IN_MESSAGE);
        let mut parts: Vec<String> =
            first.map(|violation| format!("{}: {}", violation.field, violation.description)).collect();
        if self.total > parts.len() {
            parts.push(format!("and {} more", self.total - parts.len()));
        }
        parts.join("; ")
    }

    /// Those that can be told.
    pub(in crate::api) fn into_field_violations(self) -> Vec<FieldViolation> {
        self.listed
    }
}
