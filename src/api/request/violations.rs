//! All that is wrong with a request, found before any of it was done.

use tonic_types::FieldViolation;

use crate::api::error::error_response::ErrorResponse;

/// The most that are told with their fields. A failure travels in headers, and many clients take no more than 8 KiB of
/// them: what is larger reaches nobody.
const TOLD: usize = 32;

/// The most that stand in the status's message too.
const IN_WORDS: usize = 8;

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
    told: Vec<FieldViolation>,
    found: usize,
    unsupported: usize,
}

impl Violations {
    /// Notes one. `description` says what is allowed, and never quotes what was given.
    pub(in crate::api) fn add(
        &mut self,
        field: impl Into<String>,
        fault: ViolationReason,
        description: impl Into<String>,
    ) {
        self.found += 1;
        self.unsupported += usize::from(fault == ViolationReason::Unsupported);
        if self.told.len() < TOLD {
            let mut violation = FieldViolation::new(field, description);
            violation.reason = fault.as_str().to_owned();
            self.told.push(violation);
        }
    }

    /// Fails when there is any.
    pub(in crate::api) fn check(self) -> Result<(), ErrorResponse> {
        if self.found == 0 { Ok(()) } else { Err(self.into()) }
    }

    /// Whether nothing is wrong but that the provider cannot do it.
    pub(in crate::api) fn only_unsupported(&self) -> bool {
        self.unsupported == self.found
    }

    /// The first few of them, and how many there are besides.
    pub(in crate::api) fn in_words(&self) -> String {
        let first = self.told.iter().take(IN_WORDS);
        let mut words: Vec<String> =
            first.map(|violation| format!("{}: {}", violation.field, violation.description)).collect();
        if self.found > words.len() {
            words.push(format!("and {} more", self.found - words.len()));
        }
        words.join("; ")
    }

    /// Those that can be told.
    pub(in crate::api) fn told(self) -> Vec<FieldViolation> {
        self.told
    }
}
