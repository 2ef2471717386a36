//! Errors as clients see them: a code, one `ErrorInfo`, and what to do.

pub(in crate::api) mod error_response;
pub(in crate::api) mod status;
