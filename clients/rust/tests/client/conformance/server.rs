//! A server in this process that answers each call through a function.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::BodyExt as _;
use switchboard_client::Client;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server as Transport;
use tonic::transport::server::TcpIncoming;

use crate::fake_server::{message, streamed, trailers};

pub(super) struct Server {
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A listener on a free port of loopback, and a client that connects to it with its first call.
pub(super) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

impl Server {
    /// Serves on the listener. `answer` receives the name of the RPC and its request.
    pub(super) fn start<F>(
        listener: TcpListener,
        answer: impl Fn(String, Bytes) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let respond = async move |request: Request| {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a whole request").to_bytes();
            let (_, method) = head.uri.path().rsplit_once('/').expect("an RPC");
            // The first five bytes are the prefix of the message.
            answer(method.to_owned(), body.slice(5..)).await
        };
        let respond = move |request: Request| {
            let respond = respond.clone();
            async move { respond(request).await }
        };
        let routes = Routes::from(Router::new().fallback(respond));
        let incoming = TcpIncoming::from(listener);
        let serving = Transport::builder().add_routes(routes).serve_with_incoming(incoming);
        #[expect(clippy::disallowed_methods, reason = "the server aborts it when dropped")]
        let serving = tokio::spawn(async move { serving.await.expect("the server runs") });
        Self { serving }
    }

    /// Serves on a free port. Returns the server and its client, which makes each call once.
    pub(super) async fn with_client<F>(
        answer: impl Fn(String, Bytes) -> F + Clone + Send + Sync + 'static,
    ) -> (Self, Client)
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let (listener, address) = listen().await;
        let client = Client::builder(address).connect_lazy().expect("a valid address");
        (Self::start(listener, answer), client)
    }
}

/// The response of a unary call.
pub(super) fn reply(result: Result<impl prost::Message, Status>) -> Response<Body> {
    match result {
        Ok(response) => streamed(stream::iter([Ok(message(&response)), Ok(trailers(&Status::ok("")))])),
        Err(status) => status.into_http(),
    }
}
