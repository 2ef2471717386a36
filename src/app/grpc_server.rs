//! The gRPC server: its HTTP/2 settings, and the connections that it serves.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapRequestLayer;

use super::ServeError;
use crate::{api, listener};

/// How long a client's connection may be silent before the server pings it, and then how long the reply may take. A
/// client that is gone is noticed within their sum.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of calls and streams on one connection. Proxies put many clients on one connection.
const MAX_STREAMS: u32 = 2_048;

/// How many bytes of one stream, and of all streams of a connection, a client may send before the server has read them.
///
/// h2 charges each unread data frame of fewer than 256 bytes against half of the connection's window, and closes the
/// connection when that is used up. grpc-go, grpcio and grpc-js put each small message into a frame. The stream's window
/// must be small compared with the connection's: then flow control stops a client that is faster than the provider
/// before h2 closes its connection, with all other calls on it. A window of 128 KiB allows an upload of 20 Mbit/s at a
/// round trip of 50 ms.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// How many streams a client may cancel before the server has accepted them. h2 closes the connection beyond that, as a
/// protection from floods of resets. A program that stops, or a proxy in front of many clients, cancels hundreds of calls
/// at once. As many streams may be open and not accepted, so this does not change what a connection can hold.
const MAX_CANCELLED_STREAMS: usize = MAX_STREAMS as usize;

/// The maximum size of a call's metadata. gRPC's other servers accept 8 to 16 KiB.
const MAX_METADATA_BYTES: u32 = 16 << 10;

/// Serves until `stopping` is cancelled, and then until all calls have ended.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Routes,
    grpc_web: bool,
    max_connections: usize,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let connections = listener::grpc_connections(listener, max_connections, stopping.clone());
    Server::builder()
        .accept_http1(grpc_web)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_CANCELLED_STREAMS))
        .http2_max_header_list_size(MAX_METADATA_BYTES)
        .layer(MapRequestLayer::new(api::reject_truncated_bodies))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, stopping.cancelled_owned())
        .await
        .map_err(Into::into)
}
