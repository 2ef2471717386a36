//! One connection.

use std::convert::Infallible;
use std::future::{self, Future};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt as _;

use super::connection_state::ConnectionState;

/// The maximum size of a request's header; a larger one gets status 431. Common proxies have the same limit.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Serves a connection until its peer closes it, it exceeds a deadline, it is evicted, or the listener stops.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    state: Arc<ConnectionState>,
    stopping: CancellationToken,
) {
    // Responses are small and are sent at once. A socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(ObservedIo { stream, state: Arc::clone(&state) });
    let service = service_fn(|request: Request<Incoming>| {
        let (router, state) = (router.clone(), Arc::clone(&state));
        async move {
            let in_flight = state.on_request();
            let mut request = request.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &in_flight;
                    frame
                }))
            });
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = router.oneshot(request).await;
            state.on_response();
            response as Result<_, Infallible>
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        // Hyper's timeout would count from the end of the last request. [`ConnectionState::deadline`] is used instead.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    // The result is ignored, because after any error a peer without a response must retry.
    tokio::select! {
        biased;
        () = run_until_deadline(connection.as_mut(), &state) => return,
        () = state.evicted() => return,
        () = stopping.cancelled() => {}
    }
    if state.has_request() {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            () = run_until_deadline(connection, &state) => {}
            () = state.evicted() => {}
        }
    }
}

/// Drives a connection until it ends or reaches its deadline.
async fn run_until_deadline<F: Future>(mut connection: Pin<&mut F>, state: &ConnectionState) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now()));
    future::poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // The poll may have changed the deadline.
        let Some(deadline) = state.deadline() else { return Poll::Pending };
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    })
    .await;
}

/// The TCP stream below HTTP. It observes what hyper does not report: the first byte of a header, and the flush of a
/// response.
#[derive(Debug)]
struct ObservedIo {
    stream: TcpStream,
    state: Arc<ConnectionState>,
}

impl AsyncRead for ObservedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.state.on_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ObservedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // Hyper flushes the stream only after its own buffer is empty, so the whole response is in the socket. Hyper
        // starts no other response before.
        self.state.on_flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
