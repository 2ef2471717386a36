//! What the example program `answer` does after a failed reply.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response as HttpResponse;
use prost::Message as _;
use serde::Deserialize;
use switchboard_client::v1::event::Payload;
use switchboard_client::v1::message_received::Content;
use switchboard_client::v1::subscribe_response::Response;
use switchboard_client::v1::{
    AcknowledgeRequest, ClosingReason, Event, MessageReceived, SendMessageRequest, SubscribeClosing,
    SubscribeResponse, SubscribeStarted, Text,
};
use switchboard_client::{Client, prost_types};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::body::Body;

use super::server::{Server, listen, reply};
use super::{Case, ScriptedStatus, cases, code};
use crate::fake_server::{message, streamed, trailers};
use crate::within;

#[expect(dead_code, reason = "the tests call `run` instead of `main`")]
#[path = "../../../examples/answer.rs"]
mod answer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerCase {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    status: ScriptedStatus,
    then: Then,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Then {
    Wait,
    Skip,
    End,
}

/// A call that the server receives.
#[derive(Debug)]
enum Call {
    /// With its `request_id`.
    Send(String, Instant),
    /// With its cursor.
    Acknowledge(String),
}

/// The server's side of a case: one question, and then the end of the stream.
struct Script {
    /// The failure of the first reply.
    first: Option<Status>,
    calls: Vec<Call>,
}

impl Script {
    fn respond(&mut self, method: &str, request: Bytes) -> HttpResponse<Body> {
        match method {
            "Subscribe" => question(),
            "Acknowledge" => {
                let request = AcknowledgeRequest::decode(request).expect("decodes");
                self.calls.push(Call::Acknowledge(request.cursor));
                reply(Ok(()))
            }
            "SendMessage" => {
                let request = SendMessageRequest::decode(request).expect("decodes");
                self.calls.push(Call::Send(request.request_id, Instant::now()));
                reply(self.first.take().map_or(Ok(()), Err))
            }
            "CreateSubscription" => reply(Ok(())),
            _ => reply(Err::<(), _>(Status::unimplemented(method))),
        }
    }
}

fn question() -> HttpResponse<Body> {
    let content = Some(Content::Text(Text { body: "When are you open?".to_owned() }));
    let received = MessageReceived { content, ..MessageReceived::default() };
    let responses = [
        Response::Started(SubscribeStarted {
            cursor: "c0".to_owned(),
            generation: 1,
            heartbeat_interval: Some(prost_types::Duration { seconds: 15, nanos: 0 }),
            ..SubscribeStarted::default()
        }),
        Response::Event(Event {
            event_id: "evt_1".to_owned(),
            cursor: "c1".to_owned(),
            payload: Some(Payload::MessageReceived(received)),
            ..Event::default()
        }),
        Response::Closing(SubscribeClosing {
            reason: ClosingReason::IdleTimeout.into(),
            cursor: "c1".to_owned(),
            retry_delay: None,
        }),
    ];
    let frames = responses.map(|response| Ok(message(&SubscribeResponse { response: Some(response) })));
    streamed(stream::iter(frames.into_iter().chain([Ok(trailers(&Status::ok("")))])))
}

fn serve(listener: TcpListener, first: Option<Status>) -> (Server, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(Script { first, calls: Vec::new() }));
    let shared = Arc::clone(&script);
    let server = Server::start(listener, move |method: String, request| {
        let response = shared.lock().expect("unpoisoned").respond(&method, request);
        async move { response }
    });
    (server, script)
}

impl Case for AnswerCase {
    const TABLE: &str = include_str!("../../../../conformance/answers.json");

    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self) {
        let (listener, address) = listen().await;
        let (_server, script) = serve(listener, Some(self.status.status()));
        // The client returns each failure to the program.
        let client = Client::builder(address).attempts(1).connect_lazy().expect("a valid address");
        let result = within(Box::pin(answer::run(&client))).await;
        let script = script.lock().expect("unpoisoned");
        let id = "answer:evt_1";
        match (self.then, &script.calls[..]) {
            (Then::Wait, [Call::Send(first, at), Call::Send(second, again), Call::Acknowledge(cursor)]) => {
                result.expect("ends with the stream");
                assert_eq!((first.as_str(), second.as_str(), cursor.as_str()), (id, id, "c1"));
                let least = Duration::from_millis(self.status.retry_delay_ms.unwrap_or_default());
                assert!(*again - *at >= least.max(Duration::from_millis(500)), "{:?}", *again - *at);
            }
            (Then::Skip, [Call::Send(first, _), Call::Acknowledge(cursor)]) => {
                result.expect("ends with the stream");
                assert_eq!((first.as_str(), cursor.as_str()), (id, "c1"));
            }
            (Then::End, [Call::Send(first, _)]) => {
                let error = result.expect_err("ends with the failure");
                assert_eq!((first.as_str(), error.code()), (id, code(&self.status.code)));
            }
            (then, calls) => panic!("{calls:?}, want {then:?}"),
        }
    }
}

#[tokio::test]
async fn server_that_starts_after_the_program_is_waited_for() {
    let (listener, address) = listen().await;
    drop(listener);
    let timeout = Duration::from_millis(300);
    let client = Client::builder(&address).timeout(timeout).connect_lazy().expect("a valid address");
    let start = async {
        // Several calls fail before.
        sleep(4 * timeout).await;
        serve(TcpListener::bind(&address).await.expect("the port is free"), None)
    };
    let (result, (_server, script)) =
        within(async { tokio::join!(Box::pin(answer::run(&client)), start) }).await;
    result.expect("ends with the stream");
    let script = script.lock().expect("unpoisoned");
    assert!(matches!(&script.calls[..], [Call::Send(..), Call::Acknowledge(_)]), "{:?}", script.calls);
}

cases! {
    AnswerCase:
    account_busy_waits
    throttling_provider_waits
    throttling_without_a_delay_waits
    stopping_server_waits
    unreachable_provider_waits
    broken_connection_waits
    passed_deadline_waits
    deadline_of_the_server_waits
    newer_reason_with_a_delay_waits
    closed_session_window_skips
    unreachable_recipient_skips
    opted_out_recipient_skips
    invalid_recipient_skips
    rejected_content_skips
    refused_message_skips
    capped_message_skips
    invalid_request_skips
    unknown_outcome_skips
    rejected_credentials_end
    denied_permission_ends
    restricted_account_ends
    missing_account_ends
    reused_request_id_skips
    missing_token_ends
    internal_error_ends
}
