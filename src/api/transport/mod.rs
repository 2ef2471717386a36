//! The transport: health, reflection, gRPC-Web, and the check for truncated request bodies.

pub(in crate::api) mod grpc_web;
pub(in crate::api) mod health;
pub(in crate::api) mod reflection;
pub(in crate::api) mod truncated_body;
