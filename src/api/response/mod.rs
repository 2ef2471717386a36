//! Responses: conversions from `domain`, and events that are encoded once for all subscribers.

pub(in crate::api) mod convert;
pub(in crate::api) mod encoded;
pub(in crate::api) mod event_payload;
