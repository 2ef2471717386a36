//! The violations of a request, collected before any of it is executed.

use tonic_types::FieldViolation;

use crate::api::error::error_response::ErrorResponse;

/// The maximum number of violations in the details. A status travels in headers, and many clients accept at most 8 KiB
/// of headers: a larger status would not arrive.
const MAX_LISTED: usize = 32;

/// The maximum number of violations in the status's message.
const MAX_IN_MESSAGE: usize = 8;

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

    /// Returns the parsed values of required fields. Fails if there is a violation, or if a field has no value.
    ///
    /// A parser that returns no value for a required field records the reason as a violation.
    pub(in crate::api) fn all<F: RequiredFields>(self, fields: F) -> Result<F::Values, ErrorResponse> {
        match fields.values() {
            Some(values) if self.total == 0 => Ok(values),
            values => {
                debug_assert!(
                    self.total > 0 || values.is_some(),
                    "a required field has no value and no violation"
                );
                Err(self.into())
            }
        }
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

/// The parsed values of required fields: an option, or a tuple of options.
pub(in crate::api) trait RequiredFields {
    type Values;

    /// The values, if all are present.
    fn values(self) -> Option<Self::Values>;
}

impl<T> RequiredFields for Option<T> {
    type Values = T;

    fn values(self) -> Option<T> {
        self
    }
}

macro_rules! required_fields {
    ($($field:ident: $value:ident),*) => {
        impl<$($value),*> RequiredFields for ($(Option<$value>,)*) {
            type Values = ($($value,)*);

            fn values(self) -> Option<Self::Values> {
                let ($($field,)*) = self;
                Some(($($field?,)*))
            }
        }
    };
}

required_fields!(a: A, b: B);
required_fields!(a: A, b: B, c: C);
required_fields!(a: A, b: B, c: C, d: D);
required_fields!(a: A, b: B, c: C, d: D, e: E);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_without_violation_yield_their_values() {
        assert_eq!(Violations::default().all(Some(1)).ok(), Some(1));
        assert_eq!(Violations::default().all((Some(1), Some("a"))).ok(), Some((1, "a")));
    }

    #[test]
    fn violation_fails_even_if_all_fields_have_values() {
        let mut violations = Violations::default();
        violations.add("c", ViolationReason::Malformed, "must be a number");
        assert!(violations.all((Some(1), Some(2))).is_err());
    }

    #[test]
    fn all_violations_are_reported_at_once() {
        let mut violations = Violations::default();
        violations.add("a", ViolationReason::Required, "must be given");
        violations.add("b", ViolationReason::Malformed, "must be a number");
        let error = violations.all((None::<u8>, None::<u8>)).expect_err("two violations");
        let status = tonic::Status::from(error);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        for part in ["a: must be given", "b: must be a number"] {
            assert!(status.message().contains(part), "{}", status.message());
        }
    }
}
