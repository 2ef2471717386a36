//! Switchboard: one gRPC service in front of two WhatsApp-business REST APIs, ConnectBy and Connectly.

pub mod config;
pub mod domain;
pub mod pb;
pub mod sandbox;
pub mod store;
