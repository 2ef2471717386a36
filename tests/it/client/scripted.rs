//! A gRPC server that answers every call with what a script says, then with an empty message.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use switchboard::client::Client;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

/// What the server saw and will say.
#[derive(Default)]
struct Script {
    statuses: VecDeque<Status>,
    calls: Vec<(String, Bytes)>,
    tokens: Vec<String>,
    silent: bool,
}

pub(crate) struct Scripted {
    address: String,
    authority: Option<Certificate>,
    script: Arc<Mutex<Script>>,
    serving: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scripted {
    /// Fails so often, then answers.
    pub(crate) async fn start(statuses: impl IntoIterator<Item = Status>) -> Self {
        let script = Script { statuses: statuses.into_iter().collect(), ..Script::default() };
        Self::serve(script, Server::builder(), "http", None).await
    }

    /// Never answers.
    pub(crate) async fn silent() -> Self {
        Self::serve(Script { silent: true, ..Script::default() }, Server::builder(), "http", None).await
    }

    pub(crate) async fn over_tls() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let identity = Identity::from_pem(cert.pem(), signing_key.serialize_pem());
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).expect("usable");
        Self::serve(Script::default(), server, "https", Some(Certificate::from_pem(cert.pem()))).await
    }

    async fn serve(script: Script, mut server: Server, scheme: &str, authority: Option<Certificate>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let script = Arc::new(Mutex::new(script));
        let routes = Routes::from(Router::new().fallback(answer).with_state(Arc::clone(&script)));
        let serving = server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
        #[expect(clippy::disallowed_methods, reason = "it is aborted with its owner")]
        let serving = tokio::spawn(async move { serving.await.expect("serves") });
        Self { address: format!("{scheme}://localhost:{port}"), authority, script, serving }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await.expect("connects")
    }

    /// Trusts the server's own certificate.
    pub(crate) fn trusting(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(self.authority.clone().expect("over TLS"))
    }

    /// The calls so far: the path, and the body without the first message's prefix.
    pub(crate) fn calls(&self) -> Vec<(String, Bytes)> {
        let calls = &self.script.lock().expect("unpoisoned").calls;
        calls.iter().map(|(path, body)| (path.clone(), body.slice(5..))).collect()
    }

    /// The calls so far, as streams of messages.
    pub(crate) fn streams<M: prost::Message + Default>(&self) -> Vec<Vec<M>> {
        let read = |body: &Bytes| {
            let mut rest = body.clone();
            let mut messages = Vec::new();
            while rest.has_remaining() {
                assert_eq!(rest.get_u8(), 0, "not compressed");
                let length = rest.get_u32() as usize;
                messages.push(M::decode(rest.split_to(length)).expect("readable"));
            }
            messages
        };
        self.script.lock().expect("unpoisoned").calls.iter().map(|(_, body)| read(body)).collect()
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.script.lock().expect("unpoisoned").tokens.clone()
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let (status, silent) = {
        let mut script = script.lock().expect("unpoisoned");
        script.calls.push((head.uri.path().to_owned(), body));
        let token = head.headers.get("authorization").map(|token| token.to_str().expect("text").to_owned());
        script.tokens.extend(token);
        (script.statuses.pop_front(), script.silent)
    };
    if silent {
        std::future::pending::<()>().await;
    }
    if let Some(status) = status {
        return status.into_http();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Status>)));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(body))
        .expect("a plain response")
}
