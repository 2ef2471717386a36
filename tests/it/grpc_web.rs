//! gRPC-Web as browsers use it: over HTTP/1.1, with an `Origin` header.

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE,
    ORIGIN,
};
use reqwest::{Method, Response, StatusCode};
use switchboard::pb::v1::{
    ListAccountsRequest, ListAccountsResponse, SendMessageRequest, SendMessageResponse, SubscribeRequest,
    SubscribeResponse, subscribe_response,
};

use crate::support::gateway::{CONNECTLY, Gateway, Start, received, text, text_of, within};

const PAGE: &str = "https://app.example.com";
const OTHER_PAGE: &str = "https://evil.example.com";

async fn gateway() -> Gateway {
    Start::quiet().with("GRPC__WEB_ORIGINS", PAGE).start().await
}

/// Calls an RPC as a page of that origin does.
async fn call(gateway: &Gateway, origin: &str, rpc: &str, request: impl prost::Message) -> Response {
    let mut body = vec![0];
    body.extend(u32::try_from(request.encoded_len()).expect("small").to_be_bytes());
    request.encode(&mut body).expect("room");
    let call = reqwest::Client::new()
        .post(format!("http://{}/switchboard.v1.{rpc}", gateway.at.grpc))
        .header(ORIGIN, origin)
        .header(CONTENT_TYPE, "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(body);
    within(call.send()).await.expect("answers")
}

/// A frame of a response: a message or the trailers.
#[derive(Debug)]
enum Frame {
    Message(Bytes),
    Trailers(String),
}

/// The frames of a response in order.
struct Frames {
    response: Response,
    buffer: Vec<u8>,
}

impl Frames {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, buffer: Vec::new() }
    }

    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(mut head) = self.buffer.get(..5) {
                let (flags, length) = (head.get_u8(), head.get_u32() as usize);
                if self.buffer.len() >= 5 + length {
                    let rest = self.buffer.split_off(5 + length);
                    let frame = Bytes::from(std::mem::replace(&mut self.buffer, rest)).slice(5..);
                    return Some(match flags {
                        0 => Frame::Message(frame),
                        0x80 => Frame::Trailers(String::from_utf8(frame.to_vec()).expect("text")),
                        other => panic!("a frame of kind {other}"),
                    });
                }
            }
            match within(self.response.chunk()).await.expect("readable") {
                Some(chunk) => self.buffer.extend(chunk),
                None => return None,
            }
        }
    }

    async fn message<M: prost::Message + Default>(&mut self) -> M {
        match self.next().await {
            Some(Frame::Message(bytes)) => M::decode(bytes).expect("the answer's type"),
            other => panic!("no message but {other:?}"),
        }
    }

    async fn trailers(&mut self) -> String {
        match self.next().await {
            Some(Frame::Trailers(text)) => text,
            other => panic!("no trailers but {other:?}"),
        }
    }
}

#[tokio::test]
async fn allowed_origin_sends_and_streams() {
    let gateway = gateway().await;
    let mut stream =
        Frames::of(call(&gateway, PAGE, "EventService/Subscribe", SubscribeRequest::default()).await);
    let started: SubscribeResponse = stream.message().await;
    assert!(matches!(started.response, Some(subscribe_response::Response::Started(_))));

    let sent = call(&gateway, PAGE, "MessageService/SendMessage", text(CONNECTLY, "Hello!")).await;
    assert_eq!(sent.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], PAGE);
    let mut sent = Frames::of(sent);
    let response: SendMessageResponse = sent.message().await;
    assert!(response.message.expect("sent").message_id.starts_with("msg_"));
    assert!(sent.trailers().await.contains("grpc-status:0"));

    gateway.deliver(&received("M1", "Hello back")).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let SubscribeResponse { response } = stream.message().await;
        if let Some(subscribe_response::Response::Event(event)) = response {
            seen.push(event);
        }
    }
    assert_eq!(seen[0].r#type, "message.accepted");
    assert_eq!(text_of(&seen[1]), "Hello back");
    gateway.begin_shutdown();
    loop {
        match stream.next().await.expect("it ends with trailers") {
            Frame::Message(_) => {}
            Frame::Trailers(text) => break assert!(text.contains("grpc-status:14"), "{text}"),
        }
    }
}

#[tokio::test]
async fn error_exposes_its_details_to_the_browser() {
    let gateway = gateway().await;
    let answer = call(&gateway, PAGE, "MessageService/SendMessage", SendMessageRequest::default()).await;
    let exposed = answer.headers()[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().expect("text");
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(header), "{exposed}");
        assert!(answer.headers().contains_key(header), "{header}");
    }
    assert_eq!(answer.headers()["grpc-status"], "3");
}

#[tokio::test]
async fn preflight_is_allowed_for_configured_origins_only() {
    let gateway = gateway().await;
    for (origin, allowed) in [(PAGE, true), (OTHER_PAGE, false)] {
        let preflight = reqwest::Client::new()
            .request(
                Method::OPTIONS,
                format!("http://{}/switchboard.v1.MessageService/SendMessage", gateway.at.grpc),
            )
            .header(ORIGIN, origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-grpc-web,authorization,grpc-timeout");
        let answer = within(preflight.send()).await.expect("answers");
        let allowed_origin = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed_origin.is_some_and(|allowed_origin| allowed_origin == origin), allowed);
        assert_eq!(answer.headers().contains_key(ACCESS_CONTROL_ALLOW_HEADERS), allowed);
    }
}

#[tokio::test]
async fn call_from_an_unknown_origin_is_forbidden_without_preflight() {
    let gateway = gateway().await;
    for origin in [OTHER_PAGE, "null", "http://app.example.com", "https://app.example.com:8443"] {
        let refused = call(&gateway, origin, "MessageService/SendMessage", text(CONNECTLY, "Hello!")).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let two_origins = reqwest::Client::new()
        .post(format!("http://{}/switchboard.v1.MessageService/SendMessage", gateway.at.grpc))
        .header(CONTENT_TYPE, "application/grpc-web+proto")
        .header(ORIGIN, PAGE)
        .header(ORIGIN, OTHER_PAGE);
    assert_eq!(within(two_origins.send()).await.expect("answers").status(), StatusCode::FORBIDDEN);
    assert!(gateway.connectly().calls().is_empty());
    // A client that sends no `Origin` header is not affected.
    gateway.send(text(CONNECTLY, "Hello!")).await.expect("accepted");
}

#[tokio::test]
async fn grpc_web_is_off_without_configured_origins() {
    let gateway = Start::quiet().start().await;
    let call = reqwest::Client::new()
        .post(format!("http://{}/switchboard.v1.AccountService/ListAccounts", gateway.at.grpc))
        .header(CONTENT_TYPE, "application/grpc-web+proto")
        .body(vec![0; 5]);
    assert!(within(call.send()).await.is_err());
}

#[tokio::test]
async fn chunked_request_body_is_accepted() {
    let gateway = gateway().await;
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter([
        Ok::<_, std::io::Error>(Bytes::from_static(&[0, 0])),
        Ok(Bytes::from_static(&[0, 0, 0])),
    ]));
    assert_eq!(ListAccountsRequest::default().encoded_len(), 0);
    let call = reqwest::Client::new()
        .post(format!("http://{}/switchboard.v1.AccountService/ListAccounts", gateway.at.grpc))
        .header(ORIGIN, PAGE)
        .header(CONTENT_TYPE, "application/grpc-web")
        .body(body);
    let mut frames = Frames::of(within(call.send()).await.expect("answers"));
    let listed: ListAccountsResponse = frames.message().await;
    assert_eq!(listed.accounts.len(), 2);
}
