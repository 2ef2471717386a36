//! The transport: health, reflection, gRPC-Web, the check for truncated request bodies, and the end of streams at a stop.

mod end_at_stop;
pub(in crate::api) mod grpc_web;
pub(in crate::api) mod health;
pub(in crate::api) mod reflection;
pub(in crate::api) mod truncated_body;

pub(in crate::api) use end_at_stop::{end_at_stop, end_requests_at_stop};
