//! `[grpc]`: the listener for clients.

use std::net::SocketAddr;

use http::HeaderValue;
use url::Url;

use super::table::Table;
use super::value::{self, Raw};

/// The gRPC listener.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// The address to listen on; port 0 takes any free one. Loopback only, until client tokens exist. Default
    /// `127.0.0.1:50051`.
    pub listen: SocketAddr,
    /// The origins of web pages whose scripts may call over gRPC-Web. Default: none, and then gRPC-Web is off.
    pub web_origins: Vec<HeaderValue>,
}

impl Grpc {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::loopback_address);
        let web_origins = table.list("web_origins", origin);
        Some(Self { listen: listen?, web_origins })
    }
}

/// Reads an origin, as browsers write it.
fn origin(raw: &Raw<'_>) -> Result<HeaderValue, String> {
    let allowed = "must be an origin as browsers write it, like `https://app.example.com` or `http://localhost:3000`: \
                   without a path, and without the port where it is the scheme's own";
    let text = raw.text().unwrap_or_default();
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
        .and_then(|_| HeaderValue::from_str(text).ok())
        .ok_or_else(|| allowed.to_owned())
}
