//! `[admin]`: where the operator looks in, at metrics and health.

use std::net::SocketAddr;

use super::table::Table;
use super::value;

/// The HTTP listener for `/metrics`, `/livez` and `/readyz`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen; port 0 takes any free one. A loopback address, until callers' tokens exist.
    /// Default `127.0.0.1:9090`.
    pub listen: SocketAddr,
}

impl Admin {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::loopback_address);
        Some(Self { listen: listen? })
    }
}
