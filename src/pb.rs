//! The contract as Rust: messages and clients, generated from `proto/`.
//!
//! Of the server, only `api` uses this module; everything else uses `domain`. Clients in Rust use the crate
//! `switchboard-client`, which has its own copy of the generated code.
#![allow(
    clippy::all,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    rustdoc::all,
    reason = "generated code"
)]

/// Package `switchboard.v1`.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/switchboard.v1.rs"));
}

/// Package `switchboard.sandbox.v1`.
pub mod sandbox {
    /// Package `switchboard.sandbox.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/switchboard.sandbox.v1.rs"));
    }
}

/// Every file of the contract with its comments, encoded as a `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
