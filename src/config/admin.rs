//! `[admin]`: the operator's listener for metrics and health.

use std::net::SocketAddr;

use super::table::Table;
use super::value;

/// The HTTP listener for `/metrics`, `/livez` and `/readyz`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address to listen on; port 0 takes any free one. Loopback only, until client tokens exist. Default
    /// `127.0.0.1:9090`.
    pub listen: SocketAddr,
}

impl Admin {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::loopback_address);
        Some(Self { listen: listen? })
    }
}
