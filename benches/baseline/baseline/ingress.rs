//! The baseline for ingest: a minimal hyper endpoint that reads the body, verifies the signature and responds with 200.
//! It stores nothing.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::Result;
use crate::process::ListeningServer;
use crate::sample::{SIGNATURE, WEBHOOK_SECRET};

pub(crate) fn start(runtime: &Runtime) -> Result<ListeningServer> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(serve(listener));
    Ok(ListeningServer(address))
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(receive)),
        );
        while connections.try_join_next().is_some() {}
    }
}

async fn receive(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let tag = request.headers().get(SIGNATURE).and_then(|value| STANDARD.decode(value.as_bytes()).ok());
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let signed = match (tag, body) {
        (Some(tag), Ok(body)) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes())
                .expect("HMAC takes a key of any length");
            mac.update(&body);
            mac.verify_slice(&tag).is_ok()
        }
        _ => false,
    };
    let mut response = Response::new(Empty::new());
    if !signed {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    Ok(response)
}
