//! Retries, deadlines and request ids of calls.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use prost::Message as _;
use serde::Deserialize;
use switchboard_client::Client;
use switchboard_client::v1::{GetMessageRequest, SendMessageRequest, UpdateContactRequest};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tonic::body::Body;

use super::server::{Server, listen, reply};
use super::{Bounds, Case, Expected, Reply, Word, cases};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallCase {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    call: Method,
    #[serde(default)]
    request_id: String,
    timeout_ms: Option<u64>,
    #[serde(default)]
    server_starts_after_ms: u64,
    server: Vec<Reply>,
    expect: Expect,
}

#[derive(Clone, Copy, Deserialize)]
enum Method {
    GetMessage,
    SendMessage,
    UpdateContact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    result: Expected<Word>,
    attempts: Bounds,
    request_id: String,
    #[serde(default)]
    pauses: Vec<Bounds>,
    elapsed: Option<Bounds>,
}

/// The attempts that the server received.
#[derive(Default)]
struct Received {
    ids: Vec<String>,
    arrivals: Vec<Instant>,
}

async fn attempt(
    script: Arc<Vec<Reply>>,
    received: Arc<Mutex<Received>>,
    method: String,
    request: Bytes,
) -> Response<Body> {
    let id = match method.as_str() {
        "SendMessage" => SendMessageRequest::decode(request).expect("decodes").request_id,
        _ => String::new(),
    };
    let step = {
        let mut received = received.lock().expect("unpoisoned");
        received.ids.push(id);
        received.arrivals.push(Instant::now());
        script[received.ids.len().min(script.len()) - 1].clone()
    };
    match step {
        Reply::Word(Word::Ok) => reply(Ok(())),
        Reply::Word(Word::Silence) => pending().await,
        Reply::Fail(scripted) => reply(Err::<(), _>(scripted.status())),
    }
}

impl Case for CallCase {
    const TABLE: &str = include_str!("../../../../conformance/calls.json");

    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self) {
        let received = Arc::<Mutex<Received>>::default();
        let script = Arc::new(self.server);
        let answer = {
            let received = Arc::clone(&received);
            move |method, request| attempt(Arc::clone(&script), Arc::clone(&received), method, request)
        };
        let (listener, address) = listen().await;
        let mut client = Client::builder(&address);
        if let Some(timeout) = self.timeout_ms {
            client = client.timeout(Duration::from_millis(timeout));
        }
        let client = client.connect_lazy().expect("a valid address");
        let request_id = self.request_id;
        let call = async {
            let begun = Instant::now();
            let result = match self.call {
                Method::GetMessage => client.call(GetMessageRequest::default()).await.map(drop),
                Method::SendMessage => {
                    let request = SendMessageRequest { request_id, ..SendMessageRequest::default() };
                    client.call(request).await.map(drop)
                }
                Method::UpdateContact => client.call(UpdateContactRequest::default()).await.map(drop),
            };
            (result, begun.elapsed())
        };
        let serve = async {
            if self.server_starts_after_ms == 0 {
                return Server::start(listener, answer);
            }
            drop(listener);
            sleep(Duration::from_millis(self.server_starts_after_ms)).await;
            Server::start(TcpListener::bind(address.as_str()).await.expect("the port is free"), answer)
        };
        let ((result, elapsed), _server) = tokio::join!(call, serve);

        match (&self.expect.result, &result) {
            (Expected::Word(Word::Ok), Ok(())) => {}
            (Expected::Error(expected), Err(error)) => expected.check(error),
            (expected, result) => panic!("{result:?}, want {expected:?}"),
        }
        let received = received.lock().expect("unpoisoned");
        self.expect.attempts.check("attempts", received.ids.len());
        let expected = match self.expect.request_id.as_str() {
            "none" => "",
            "generated" => {
                assert!(!received.ids[0].is_empty(), "the client generates a request_id");
                received.ids[0].as_str()
            }
            id => id,
        };
        let of_error = result.as_ref().err().map(|error| error.request_id());
        for id in received.ids.iter().map(String::as_str).chain(of_error) {
            assert_eq!(id, expected);
        }
        for (attempts, pause) in received.arrivals.windows(2).zip(&self.expect.pauses) {
            pause.check_time("pause", attempts[1] - attempts[0]);
        }
        if let Some(bounds) = self.expect.elapsed {
            bounds.check_time("time of the call", elapsed);
        }
    }
}

cases! {
    CallCase:
    read_is_retried_after_unavailable
    write_keeps_its_generated_request_id
    write_keeps_its_given_request_id
    write_without_request_id_has_one_attempt
    other_code_is_not_retried
    unknown_outcome_is_not_retried
    deadline_allows_more_than_four_attempts
    call_without_a_deadline_is_retried
    deadline_ends_the_retries_with_the_last_error
    requested_delay_is_waited_for_with_jitter
    requested_delay_beyond_the_deadline_fails_at_once
    requested_delay_over_thirty_seconds_fails_at_once
    silent_server_ends_at_the_deadline
    read_waits_for_a_server_that_starts_later
    write_waits_for_a_server_that_starts_later
}
