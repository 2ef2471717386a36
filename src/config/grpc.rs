//! `[grpc]`: where callers dial in.

use std::net::SocketAddr;

use super::table::Table;
use super::value;

/// The gRPC listener.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// Where to listen; port 0 takes any free one. A loopback address, until callers' tokens exist.
    /// Default `127.0.0.1:50051`.
    pub listen: SocketAddr,
}

impl Grpc {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::loopback_address);
        Some(Self { listen: listen? })
    }
}
