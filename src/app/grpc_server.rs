//! The gRPC server: tonic with all HTTP/2 settings, on connections that [`listener::incoming`] accepts.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::util::MapRequestLayer;

use super::ServeError;
use crate::api;
use crate::config;
use crate::listener::{self, GrpcLimits};

/// How long a connection may be silent before the server pings it, and then how long the reply may take. A load balancer
/// or a NAT drops silent connections after a minute or more, often without a packet to either side.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of unread bytes of all streams of a connection.
///
/// h2 counts each unread DATA frame below 256 bytes as up to 256 bytes of overhead. Above half of this window, it ends the
/// connection with all of its streams. grpc-go, grpcio and grpc-js write each message in a frame of its own. So the window
/// of a stream (`grpc.stream_window_bytes`) must be full, and stop the client, long before that: a stream of 128 KiB with
/// messages of 30 bytes causes 1 MiB of overhead.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// The maximum size of a request's metadata, the same as for the headers of webhooks. A larger one gets HTTP status 431.
const MAX_HEADER_LIST: u32 = 32 * 1024;

/// Serves until `stopping` is cancelled, and returns when all calls have ended.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Routes,
    config: config::Grpc,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let limits = GrpcLimits { connections: config.max_connections, handshake: config.handshake_timeout };
    let streams = config.max_concurrent_streams;
    Server::builder()
        // gRPC-Web needs HTTP/1.1.
        .accept_http1(!config.web_origins.is_empty())
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(streams)
        // A client may cancel all calls of a connection at once. h2's default, 20, ends the connection then.
        .http2_max_pending_accept_reset_streams(usize::try_from(streams).ok())
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .layer(MapRequestLayer::new(api::reject_truncated_bodies))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            listener::incoming(listener, limits, stopping.clone()),
            stopping.cancelled_owned(),
        )
        .await
        .map_err(Into::into)
}
