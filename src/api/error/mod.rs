//! Errors as clients see them: a code, one `ErrorInfo`, and a message that states what to do.

pub(in crate::api) mod error_response;
pub(in crate::api) mod status;
