//! Parsing of requests: deadlines, idempotency keys, page tokens and sizes, uploads, update masks, and field validation.

pub(in crate::api) mod deadline;
pub(in crate::api) mod field_mask;
pub(in crate::api) mod filter;
pub(in crate::api) mod idempotency;
pub(in crate::api) mod page_token;
pub(in crate::api) mod paging;
pub(in crate::api) mod parse;
pub(in crate::api) mod position;
pub(in crate::api) mod upload;
pub(in crate::api) mod violations;
