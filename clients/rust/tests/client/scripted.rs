//! A gRPC server that answers every call with what a script says, then with an empty message. Streams of events have a
//! script of their own.

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
use switchboard::client::Client;
use switchboard::pb::v1::subscribe_response::Response as Told;
use switchboard::pb::v1::{AcknowledgeRequest, SubscribeRequest, SubscribeResponse};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

use super::proxy::{Cut, Proxy};
use crate::gateway::within;

/// What comes of a call.
pub(crate) enum Act {
    Fail(Status),
    /// All connections break before there is an answer.
    Cut,
    /// There is none, ever.
    Hang,
}

impl From<Status> for Act {
    fn from(status: Status) -> Self {
        Self::Fail(status)
    }
}

/// A stream of events: what it tells at once, and what comes then.
#[derive(Clone)]
pub(crate) struct Scene(pub(crate) Vec<Told>, pub(crate) End);

/// How a stream of events goes on.
#[derive(Clone)]
pub(crate) enum End {
    /// It tells each of that when so many calls were made, and then stays open, in silence.
    After(Vec<(usize, Told)>),
    /// It never even begins.
    Mute,
    Ok,
    Status(Status),
    /// It is reset, and its connection stays.
    Reset,
    /// Its connection breaks.
    Cut,
    /// It stays open, in silence.
    Silence,
}

/// A call about events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Subscribe(SubscribeRequest),
    Acknowledge(AcknowledgeRequest),
}

/// What the server saw and will say.
#[derive(Default)]
struct Script {
    acts: VecDeque<Act>,
    scenes: VecDeque<Scene>,
    calls: Vec<(String, HeaderMap, Bytes)>,
    /// How many those are.
    count: watch::Sender<usize>,
    /// What breaks all connections.
    cut: Option<Cut>,
    /// How many calls were given up by their callers.
    given_up: watch::Sender<usize>,
}

pub(crate) struct Scripted {
    address: String,
    authority: Option<Certificate>,
    script: Arc<Mutex<Script>>,
    proxy: Proxy,
    serving: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scripted {
    /// Does that with the calls, then answers.
    pub(crate) async fn start<A: Into<Act>>(acts: impl IntoIterator<Item = A>) -> Self {
        Self::playing([], acts).await
    }

    /// Streams of events follow the scenes, and then are silent. Acknowledgements, and other calls, come to the acts.
    pub(crate) async fn playing<A: Into<Act>>(
        scenes: impl IntoIterator<Item = Scene>,
        acts: impl IntoIterator<Item = A>,
    ) -> Self {
        let acts = acts.into_iter().map(Into::into).collect();
        let script = Script { acts, scenes: scenes.into_iter().collect(), ..Script::default() };
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
        let proxy = Proxy::before(listener.local_addr().expect("bound")).await;
        let port = proxy.address.port();
        let script = Script { cut: Some(proxy.cut()), ..script };
        let script = Arc::new(Mutex::new(script));
        let routes = Routes::from(Router::new().fallback(answer).with_state(Arc::clone(&script)));
        let serving = server.add_routes(routes).serve_with_incoming(TcpIncoming::from(listener));
        #[expect(clippy::disallowed_methods, reason = "it is aborted with its owner")]
        let serving = tokio::spawn(async move { serving.await.expect("serves") });
        Self { address: format!("{scheme}://localhost:{port}"), authority, script, proxy, serving }
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

    /// The server's own certificate.
    pub(crate) fn authority(&self) -> &Certificate {
        self.authority.as_ref().expect("over TLS")
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Waits until so many calls have come.
    pub(crate) async fn called(&self, calls: usize) {
        let mut count = self.script.lock().expect("unpoisoned").count.subscribe();
        within(count.wait_for(|count| *count >= calls)).await.expect("still serving");
    }

    /// Waits until so many calls were given up by their callers.
    pub(crate) async fn given_up(&self, count: usize) {
        let mut given_up = self.script.lock().expect("unpoisoned").given_up.subscribe();
        within(given_up.wait_for(|given_up| *given_up >= count)).await.expect("still serving");
    }

    /// The calls so far: the path, and the body without the first message's prefix.
    pub(crate) fn calls(&self) -> Vec<(String, Bytes)> {
        let calls = &self.script.lock().expect("unpoisoned").calls;
        calls.iter().map(|(path, _, body)| (path.clone(), body.slice(5..))).collect()
    }

    /// The calls about events so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let read = |(path, body): (String, Bytes)| match path.rsplit('/').next() {
            Some("Subscribe") => Asked::Subscribe(SubscribeRequest::decode(body).expect("readable")),
            Some("Acknowledge") => Asked::Acknowledge(AcknowledgeRequest::decode(body).expect("readable")),
            _ => panic!("{path} is not about events"),
        };
        self.calls().into_iter().map(read).collect()
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
        self.script.lock().expect("unpoisoned").calls.iter().map(|(_, _, body)| read(body)).collect()
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.headers("authorization")
    }

    /// The values of a header of the calls that had it.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let calls = &self.script.lock().expect("unpoisoned").calls;
        let values = calls.iter().filter_map(|(_, headers, _)| headers.get(name));
        values.map(|value| value.to_str().expect("text").to_owned()).collect()
    }
}

/// Counts itself when it is dropped.
struct GivenUp(watch::Sender<usize>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.send_modify(|given_up| *given_up += 1);
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let (act, scene, cut, count, given_up) = {
        let mut script = script.lock().expect("unpoisoned");
        script.calls.push((path.clone(), head.headers, body));
        script.count.send_modify(|count| *count += 1);
        let streams = path.ends_with("/Subscribe");
        let scene = streams.then(|| script.scenes.pop_front().unwrap_or(Scene(vec![], End::Silence)));
        let act = if streams { None } else { script.acts.pop_front() };
        let cut = script.cut.clone().expect("served");
        (act, scene, cut, script.count.subscribe(), script.given_up.clone())
    };
    match (act, scene) {
        (Some(Act::Fail(status)), _) => status.into_http(),
        (Some(Act::Cut), _) => {
            cut.all();
            hang(given_up).await
        }
        (Some(Act::Hang), _) | (None, Some(Scene(_, End::Mute))) => hang(given_up).await,
        (None, Some(scene)) => play(scene, cut, count),
        (None, None) => streamed(stream::iter([Ok(message(&())), Ok(trailers(&Status::ok("")))])),
    }
}

async fn hang(given_up: watch::Sender<usize>) -> Response<Body> {
    let _given_up = GivenUp(given_up);
    pending().await
}

fn play(Scene(told, end): Scene, cut: Cut, count: watch::Receiver<usize>) -> Response<Body> {
    let tell = |told| Ok(message(&SubscribeResponse { response: Some(told) }));
    let told = stream::iter(told.into_iter().map(tell));
    if let End::After(later) = end {
        let later = stream::iter(later).then(move |(calls, told)| {
            let mut count = count.clone();
            async move {
                count.wait_for(|count| *count >= calls).await.expect("still serving");
                tell(told)
            }
        });
        return streamed(told.chain(later).chain(stream::pending()));
    }
    let end = stream::once(async move {
        match end {
            End::Ok => Ok(trailers(&Status::ok(""))),
            End::Status(status) => Ok(trailers(&status)),
            End::Reset => Err(Status::internal("reset")),
            End::Cut => {
                // What was told before arrives mostly. If it does not, the next try comes later.
                tokio::time::sleep(Duration::from_millis(20)).await;
                cut.all();
                pending().await
            }
            End::After(_) | End::Mute | End::Silence => pending().await,
        }
    });
    streamed(told.chain(end))
}

fn message(message: &impl prost::Message) -> Frame<Bytes> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.encoded_len()).expect("short").to_be_bytes());
    body.extend(message.encode_to_vec());
    Frame::data(body.into())
}

fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("a header");
    Frame::trailers(trailers)
}

fn streamed(frames: impl Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static) -> Response<Body> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(frames)))
        .expect("a plain response")
}
