//! The transport: health, reflection and the end of their streams, gRPC-Web, and the check for truncated request bodies.

pub(in crate::api) mod end_at_stop;
pub(in crate::api) mod grpc_web;
pub(in crate::api) mod health;
pub(in crate::api) mod reflection;
pub(in crate::api) mod truncated_body;
