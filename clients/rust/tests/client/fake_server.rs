//! A gRPC server that answers each call with the next scripted action, and with an empty message after the last one. Event
//! streams have separate scripts.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use prost::Message as _;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use switchboard_client::Client;
use switchboard_client::v1::subscribe_response::Response as StreamResponse;
use switchboard_client::v1::{AcknowledgeRequest, SubscribeRequest, SubscribeResponse};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

use crate::proxy::{Cut, Proxy};
use crate::within;

/// The outcome of a call.
pub(crate) enum Action {
    Fail(Status),
    /// All connections break before the response.
    Cut,
    /// The server never responds.
    Hang,
}

impl From<Status> for Action {
    fn from(status: Status) -> Self {
        Self::Fail(status)
    }
}

/// The script of an event stream: the responses that it sends at once, and what follows.
#[derive(Clone)]
pub(crate) struct StreamScript(pub(crate) Vec<StreamResponse>, pub(crate) StreamEnd);

/// What follows the first responses of an event stream.
#[derive(Clone)]
pub(crate) enum StreamEnd {
    /// It sends each response once the server has received that many calls, and then stays open and silent.
    After(Vec<(usize, StreamResponse)>),
    /// It does not even send headers.
    NoHeaders,
    Ok,
    Status(Status),
    /// The stream is reset; its connection stays.
    Reset,
    /// Its connection breaks.
    Cut,
    /// It stays open and silent.
    Silence,
}

/// A call that an event stream makes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Subscribe(SubscribeRequest),
    Acknowledge(AcknowledgeRequest),
}

/// The calls that the server received, and its script.
#[derive(Default)]
struct Script {
    actions: VecDeque<Action>,
    streams: VecDeque<StreamScript>,
    calls: Vec<(String, HeaderMap, Bytes)>,
    /// The number of calls.
    count: watch::Sender<usize>,
    /// Breaks all connections.
    cut: Option<Cut>,
    /// The number of calls that their clients cancelled.
    cancelled: watch::Sender<usize>,
}

pub(crate) struct FakeServer {
    address: String,
    authority: Option<Certificate>,
    script: Arc<Mutex<Script>>,
    proxy: Proxy,
    serving: JoinHandle<()>,
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeServer {
    /// Starts a server that applies the actions to its calls.
    pub(crate) async fn start<A: Into<Action>>(actions: impl IntoIterator<Item = A>) -> Self {
        Self::with_streams([], actions).await
    }

    /// Starts a server whose event streams follow the scripts, and then stay silent. The actions apply to all other calls,
    /// acknowledgements included.
    pub(crate) async fn with_streams<A: Into<Action>>(
        streams: impl IntoIterator<Item = StreamScript>,
        actions: impl IntoIterator<Item = A>,
    ) -> Self {
        let actions = actions.into_iter().map(Into::into).collect();
        let script = Script { actions, streams: streams.into_iter().collect(), ..Script::default() };
        Self::serve(script, Server::builder(), "http", None).await
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
        let proxy = Proxy::start(listener.local_addr().expect("bound")).await;
        let port = proxy.address.port();
        let script = Script { cut: Some(proxy.cut()), ..script };
        let script = Arc::new(Mutex::new(script));
        let routes = Routes::from(Router::new().fallback(respond).with_state(Arc::clone(&script)));
        let serving = server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
        #[expect(clippy::disallowed_methods, reason = "the server aborts it when dropped")]
        let serving = tokio::spawn(async move { serving.await.expect("the server runs") });
        Self { address: format!("{scheme}://localhost:{port}"), authority, script, proxy, serving }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await.expect("connects")
    }

    /// A configuration that trusts the server's certificate.
    pub(crate) fn trusting(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(self.authority.clone().expect("over TLS"))
    }

    /// The server's certificate, which it signed itself.
    pub(crate) fn authority(&self) -> &Certificate {
        self.authority.as_ref().expect("over TLS")
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Waits until the server has received `calls` calls.
    pub(crate) async fn called(&self, calls: usize) {
        let mut count = self.script.lock().expect("unpoisoned").count.subscribe();
        within(count.wait_for(|count| *count >= calls)).await.expect("the server runs");
    }

    /// Waits until the clients have cancelled `count` calls.
    pub(crate) async fn cancelled(&self, count: usize) {
        let mut cancelled = self.script.lock().expect("unpoisoned").cancelled.subscribe();
        within(cancelled.wait_for(|cancelled| *cancelled >= count)).await.expect("the server runs");
    }

    /// The received calls: the path, and the body without the prefix of the first message.
    pub(crate) fn calls(&self) -> Vec<(String, Bytes)> {
        let calls = &self.script.lock().expect("unpoisoned").calls;
        calls.iter().map(|(path, _, body)| (path.clone(), body.slice(5..))).collect()
    }

    /// The received calls, if only event streams made them.
    pub(crate) fn received(&self) -> Vec<Received> {
        let read = |(path, body): (String, Bytes)| match path.as_str() {
            "/switchboard.v1.EventService/Subscribe" => {
                Received::Subscribe(SubscribeRequest::decode(body).expect("decodes"))
            }
            "/switchboard.v1.SubscriptionService/Acknowledge" => {
                Received::Acknowledge(AcknowledgeRequest::decode(body).expect("decodes"))
            }
            _ => panic!("unexpected call of {path}"),
        };
        self.calls().into_iter().map(read).collect()
    }

    /// The received calls, as streams of messages.
    pub(crate) fn streams<M: prost::Message + Default>(&self) -> Vec<Vec<M>> {
        let read = |body: &Bytes| {
            let mut rest = body.clone();
            let mut messages = Vec::new();
            while rest.has_remaining() {
                assert_eq!(rest.get_u8(), 0, "not compressed");
                let length = rest.get_u32() as usize;
                messages.push(M::decode(rest.split_to(length)).expect("decodes"));
            }
            messages
        };
        self.script.lock().expect("unpoisoned").calls.iter().map(|(_, _, body)| read(body)).collect()
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.headers("authorization")
    }

    /// The values of a header, of the calls that have it.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let calls = &self.script.lock().expect("unpoisoned").calls;
        let values = calls.iter().filter_map(|(_, headers, _)| headers.get(name));
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    }
}

/// Counts a cancelled call when it is dropped.
struct Cancelled(watch::Sender<usize>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.send_modify(|cancelled| *cancelled += 1);
    }
}

async fn respond(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    // The client cancelled the call before the end of its request.
    let Ok(body) = body.collect().await else { return hang(watch::Sender::default()).await };
    let body = body.to_bytes();
    let path = head.uri.path().to_owned();
    let (action, stream_script, cut, count, cancelled) = {
        let mut script = script.lock().expect("unpoisoned");
        script.calls.push((path.clone(), head.headers, body));
        script.count.send_modify(|count| *count += 1);
        let is_stream = path.ends_with("/Subscribe");
        let stream_script =
            is_stream.then(|| script.streams.pop_front().unwrap_or(StreamScript(vec![], StreamEnd::Silence)));
        let action = if is_stream { None } else { script.actions.pop_front() };
        let cut = script.cut.clone().expect("the server runs");
        (action, stream_script, cut, script.count.subscribe(), script.cancelled.clone())
    };
    match (action, stream_script) {
        (Some(Action::Fail(status)), _) => status.into_http(),
        (Some(Action::Cut), _) => {
            cut.all();
            hang(cancelled).await
        }
        (Some(Action::Hang), _) | (None, Some(StreamScript(_, StreamEnd::NoHeaders))) => {
            hang(cancelled).await
        }
        (None, Some(stream_script)) => play(stream_script, cut, count),
        (None, None) => streamed(stream::iter([Ok(message(&())), Ok(trailers(&Status::ok("")))])),
    }
}

async fn hang(cancelled: watch::Sender<usize>) -> Response<Body> {
    let _cancelled = Cancelled(cancelled);
    pending().await
}

fn play(StreamScript(first, end): StreamScript, cut: Cut, count: watch::Receiver<usize>) -> Response<Body> {
    let frame = |response| Ok(message(&SubscribeResponse { response: Some(response) }));
    let first = stream::iter(first.into_iter().map(frame));
    if let StreamEnd::After(later) = end {
        let later = stream::iter(later).then(move |(calls, response)| {
            let mut count = count.clone();
            async move {
                count.wait_for(|count| *count >= calls).await.expect("the server runs");
                frame(response)
            }
        });
        return streamed(first.chain(later).chain(stream::pending()));
    }
    let end = stream::once(async move {
        match end {
            StreamEnd::Ok => Ok(trailers(&Status::ok(""))),
            StreamEnd::Status(status) => Ok(trailers(&status)),
            StreamEnd::Reset => Err(Status::internal("reset")),
            StreamEnd::Cut => {
                // Gives the earlier responses time to arrive. If they do not, the client opens the next stream later.
                tokio::time::sleep(Duration::from_millis(20)).await;
                cut.all();
                pending().await
            }
            StreamEnd::After(_) | StreamEnd::NoHeaders | StreamEnd::Silence => pending().await,
        }
    });
    streamed(first.chain(end))
}

pub(crate) fn message(message: &impl prost::Message) -> Frame<Bytes> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.encoded_len()).expect("short").to_be_bytes());
    body.extend(message.encode_to_vec());
    Frame::data(body.into())
}

pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("a header");
    Frame::trailers(trailers)
}

pub(crate) fn streamed(
    frames: impl Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
) -> Response<Body> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(frames)))
        .expect("a plain response")
}
