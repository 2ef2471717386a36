//! A minimal provider: it reads a request and returns the same reply each time, except for the id. Switchboard and the
//! baseline send to the same provider.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Result;
use crate::process::ListeningServer;

/// The number of the next message.
static NEXT: AtomicU64 = AtomicU64::new(0);

pub(crate) fn start(runtime: &Runtime) -> Result<ListeningServer> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(serve(listener));
    Ok(ListeningServer(address))
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(reply)),
        );
        while connections.try_join_next().is_some() {}
    }
}

async fn reply(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // If the body is cut off, the connection has closed and the reply is discarded.
    let _ = request.into_body().collect().await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let body = format!(r#"{{"id":"7b1f4c52-3a7e-4d0b-9a54-{number:012x}","status":"queued"}}"#);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
