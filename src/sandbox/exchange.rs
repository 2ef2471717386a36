//! One request and its reply: read the request, log it, apply the faults, reply.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Response};

use super::call_log::Call;
use super::connection_flags::ConnectionFlags;
use super::endpoint::Endpoint;
use super::fault::Fault;
use super::operation::Operation;
use super::reply::{Reply, ReplyBody, ReplyEnd};

/// The largest body that is read. It is above the providers' own limits, so tests can exceed those.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Headers that are not logged.
const CREDENTIALS: [&str; 2] = ["secret_key", "x-api-key"];

/// A request that was read completely.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A decoded value from the query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_deref()?.as_bytes());
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The part of the path after its last slash.
    pub(super) fn last_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The interface of a simulated provider.
pub(super) trait FakeProvider: Send + Sync + 'static {
    /// The operation of a route.
    fn operation(&self, method: &Method, path: &str) -> Option<Operation>;

    /// Executes a call and returns its reply.
    fn answer(&self, operation: Operation, request: &Request) -> Reply;

    /// The provider's own body for an error status.
    fn error(&self, status: u16) -> Reply;

    /// A reply with HTTP 200 that reports a failure.
    fn success_false(&self, code: Option<i64>) -> Reply;
}

/// Connects the connections to the provider.
pub(super) struct Exchange {
    endpoint: Endpoint,
    fake_provider: Arc<dyn FakeProvider>,
}

impl Exchange {
    pub(super) fn new(endpoint: Endpoint, fake_provider: Arc<dyn FakeProvider>) -> Self {
        Self { endpoint, fake_provider }
    }

    /// Whether a rule cuts this request before it is read. Uses up one application of the rule.
    pub(super) fn cuts_before_reading(&self, method: &Method, path: &str) -> bool {
        let operation = self.fake_provider.operation(method, path);
        self.endpoint.fault_rules().take(operation, |fault| *fault == Fault::CutBeforeReading).is_some()
    }

    /// Replies to a request. An error closes the connection without a reply.
    pub(super) async fn answer(
        &self,
        flags: &Arc<ConnectionFlags>,
        request: hyper::Request<Incoming>,
    ) -> io::Result<Response<ReplyBody>> {
        let (parts, body) = request.into_parts();
        let operation = self.fake_provider.operation(&parts.method, parts.uri.path());
        let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(self.fake_provider.error(413).into_response(ReplyEnd::KeepAlive));
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        let request = Request {
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            body,
        };
        let sequence = self.endpoint.record(call(operation, &parts.method, &request));

        let fault_rules = self.endpoint.fault_rules();
        let latency = fault_rules.take(operation, |fault| matches!(fault, Fault::Latency(_)));
        let fault = fault_rules.take(operation, Fault::decides_reply);
        let reply = self.reply(operation, &request, fault.as_ref());
        self.endpoint.set_status(sequence, reply.status.as_u16());
        if let Some(Fault::Latency(latency)) = latency {
            tokio::time::sleep(latency).await;
        }
        let end = match fault {
            Some(Fault::CutAfterReading) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::CutReply) => ReplyEnd::Cut,
            Some(Fault::CloseAfterReply) => ReplyEnd::Close(flags.clone()),
            _ => ReplyEnd::KeepAlive,
        };
        flags.await_request();
        Ok(reply.into_response(end))
    }

    fn reply(&self, operation: Option<Operation>, request: &Request, fault: Option<&Fault>) -> Reply {
        match fault {
            Some(Fault::Status { status, retry_after, body }) => {
                let mut reply = match body {
                    Some(body) => Reply::new(*status, "application/json", body.clone()),
                    None => self.fake_provider.error(*status),
                };
                reply.retry_after = retry_after.as_deref().and_then(|v| HeaderValue::from_str(v).ok());
                reply
            }
            Some(Fault::SuccessFalse { code }) => self.fake_provider.success_false(*code),
            Some(Fault::NotJson) => Reply::html(200),
            Some(Fault::Body(status, body)) => Reply::new(*status, "application/json", body.clone()),
            _ => match operation {
                Some(operation) => self.fake_provider.answer(operation, request),
                None => Reply::new(404, "text/plain; charset=utf-8", "the sandbox has no such route\n"),
            },
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

fn call(operation: Option<Operation>, method: &Method, request: &Request) -> Call {
    let path = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let headers = request
        .headers
        .iter()
        .filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Call {
        sequence: 0,
        operation,
        method: method.to_string(),
        path,
        headers,
        body: request.body.clone(),
        status: None,
    }
}
