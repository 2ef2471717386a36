//! The baselines: minimal servers for the same work, built on the same crates.

pub(crate) mod ingress;
pub(crate) mod sends;
pub(crate) mod stream;

use std::convert::Infallible;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::Service;

use crate::Result;
use crate::process::ListeningServer;

/// Serves one gRPC service with tonic's default settings.
fn serve<S>(runtime: &Runtime, service: S) -> Result<ListeningServer>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    runtime.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    Ok(ListeningServer(address))
}
