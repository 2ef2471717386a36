//! `[grpc]`: the listener for clients.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// The maximum number of open connections; 16 to 65536. Default 4096. At the maximum, a new connection replaces one
    /// that has sent nothing yet. If there is none, it is closed.
    pub max_connections: usize,
    /// How long a client may take to send the start of HTTP/2; 1 s to 1 min. Default 10 s.
    pub handshake_timeout: Duration,
    /// The maximum number of concurrent calls and streams on one connection; 16 to 65536. Default 2048.
    pub max_concurrent_streams: u32,
    /// The maximum number of bytes that a client may send on one stream before the server has read them; 64 KiB to
    /// 4 MiB. Default 128 KiB.
    pub stream_window_bytes: u32,
}

impl Grpc {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", value::loopback_address);
        let web_origins = table.list("web_origins", origin);
        let max_connections = table.required("max_connections", value::integer(16..=65_536));
        let timeouts = Duration::from_secs(1)..=Duration::from_secs(60);
        let handshake_timeout = table.required("handshake_timeout", value::duration(timeouts));
        let max_concurrent_streams = table.required("max_concurrent_streams", value::integer(16..=65_536));
        let windows = 64 * 1024..=4 * 1024 * 1024;
        let stream_window_bytes = table.required("stream_window_bytes", value::integer(windows));
        Some(Self {
            listen: listen?,
            web_origins,
            max_connections: usize::try_from(max_connections?).ok()?,
            handshake_timeout: handshake_timeout?,
            max_concurrent_streams: u32::try_from(max_concurrent_streams?).ok()?,
            stream_window_bytes: u32::try_from(stream_window_bytes?).ok()?,
        })
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
