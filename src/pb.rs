//! The messages and clients that are generated from `proto/`.
//!
//! Only `api` uses this module; all other modules use `domain`. The Rust client is a crate of its own,
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

/// All files of the contract with their comments, encoded as a `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
