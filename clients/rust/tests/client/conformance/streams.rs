//! Event streams: delivery, acknowledgement, reconnects, gaps, cancellation.

mod program;

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Response as HttpResponse;
use prost::Message as _;
use serde::Deserialize;
use switchboard_client::v1::subscribe_request::Start;
use switchboard_client::v1::subscribe_response::Response;
use switchboard_client::v1::{
    AcknowledgeRequest, AcknowledgeResponse, ClosingReason, Event, ExpiredPolicy, StartPosition,
    SubscribeClosing, SubscribeGap, SubscribeHeartbeat, SubscribeRequest, SubscribeResponse,
    SubscribeStarted,
};
use switchboard_client::{Client, prost_types};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use self::program::{Action, LoopEnd, ProgramStep, program};
use super::server::{Server, reply};
use super::{Bounds, Case, Expected, Reply, Word, cases};
use crate::fake_server::{message, streamed, trailers};
use crate::within;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamCase {
    name: String,
    #[serde(rename = "why")]
    _why: Option<String>,
    request: ScriptedRequest,
    streams: Vec<Vec<Step>>,
    #[serde(default)]
    acknowledge: Vec<Reply>,
    program: Vec<ProgramStep>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    end: Expected<End>,
    calls: Vec<ExpectedCall>,
    #[serde(default)]
    optional: Vec<ExpectedCall>,
    #[serde(default)]
    pauses: Vec<Bounds>,
    reconnects: Option<Bounds>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum End {
    Done,
    Program,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScriptedRequest {
    subscription_id: Option<String>,
    position: Option<String>,
    after_cursor: Option<String>,
    since_seconds: Option<i64>,
    max_events: u64,
    expired_policy: Option<String>,
}

impl ScriptedRequest {
    fn message(&self) -> SubscribeRequest {
        let policy = self.expired_policy.as_deref().unwrap_or("EXPIRED_POLICY_UNSPECIFIED");
        let start = if let Some(id) = &self.subscription_id {
            Some(Start::SubscriptionId(id.clone()))
        } else if let Some(name) = &self.position {
            Some(Start::Position(StartPosition::from_str_name(name).expect("a known position").into()))
        } else if let Some(cursor) = &self.after_cursor {
            Some(Start::AfterCursor(cursor.clone()))
        } else {
            self.since_seconds
                .map(|seconds| Start::Since(prost_types::Timestamp { seconds, ..Default::default() }))
        };
        SubscribeRequest {
            start,
            max_events: self.max_events,
            expired_policy: ExpiredPolicy::from_str_name(policy).expect("a known policy").into(),
            ..SubscribeRequest::default()
        }
    }
}

/// A call that the server receives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ExpectedCall {
    Subscribe(ScriptedRequest),
    Acknowledge(ScriptedPosition),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedPosition {
    cursor: String,
    generation: u64,
}

impl ExpectedCall {
    fn call(&self) -> Call {
        match self {
            Self::Subscribe(request) => Call::Subscribe(request.message()),
            Self::Acknowledge(ScriptedPosition { cursor, generation }) => {
                Call::Acknowledge(AcknowledgeRequest {
                    subscription_id: "shop".to_owned(),
                    cursor: cursor.clone(),
                    generation: *generation,
                })
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Subscribe(SubscribeRequest),
    Acknowledge(AcknowledgeRequest),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Step {
    Started(ScriptedStart),
    Event(String),
    Heartbeat(String),
    Gap(ScriptedGap),
    Closing(ScriptedClosing),
    AwaitAcknowledgements(usize),
    End(Reply),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedStart {
    cursor: String,
    #[serde(default)]
    oldest_cursor: String,
    heartbeat_ms: Option<u64>,
    #[serde(default)]
    generation: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct ScriptedGap {
    after_cursor: String,
    resume_cursor: String,
    missed: u64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedClosing {
    reason: String,
    #[serde(default)]
    cursor: String,
    retry_delay_ms: Option<u64>,
}

fn milliseconds(number: u64) -> prost_types::Duration {
    Duration::from_millis(number).try_into().expect("short")
}

/// The server's side of a case.
struct Script {
    streams: Vec<Vec<Step>>,
    acknowledge: Vec<Reply>,
    acknowledged: watch::Sender<usize>,
    received: Mutex<Received>,
}

#[derive(Default)]
struct Received {
    /// The calls, and whether the server accepted them.
    calls: Vec<(Call, bool)>,
    opened: Vec<Instant>,
    ended: Vec<Instant>,
    unexpected: Vec<String>,
}

impl Script {
    fn respond(self: Arc<Self>, method: &str, request: Bytes) -> HttpResponse<Body> {
        match method {
            "Subscribe" => self.subscribe(SubscribeRequest::decode(request).expect("decodes")),
            "Acknowledge" => reply(self.acknowledge(AcknowledgeRequest::decode(request).expect("decodes"))),
            _ => {
                self.received.lock().expect("unpoisoned").unexpected.push(method.to_owned());
                reply(Err::<(), _>(Status::unimplemented(method)))
            }
        }
    }

    fn acknowledge(&self, request: AcknowledgeRequest) -> Result<AcknowledgeResponse, Status> {
        let mut number = 0;
        self.acknowledged.send_modify(|count| {
            number = *count;
            *count += 1;
        });
        let result = match self.acknowledge.get(number) {
            Some(Reply::Fail(scripted)) => Err(scripted.status()),
            _ => Ok(AcknowledgeResponse { cursor: request.cursor.clone() }),
        };
        let call = (Call::Acknowledge(request), result.is_ok());
        self.received.lock().expect("unpoisoned").calls.push(call);
        result
    }

    fn subscribe(self: Arc<Self>, request: SubscribeRequest) -> HttpResponse<Body> {
        let number = {
            let mut received = self.received.lock().expect("unpoisoned");
            received.calls.push((Call::Subscribe(request), false));
            received.opened.push(Instant::now());
            received.opened.len() - 1
        };
        let Some(steps) = self.streams.get(number).cloned() else {
            self.received.lock().expect("unpoisoned").unexpected.push(format!("stream {number}"));
            return reply(Err::<(), _>(Status::failed_precondition("the case has no more streams")));
        };
        streamed(stream::iter(steps).filter_map(move |step| {
            let script = Arc::clone(&self);
            async move {
                let response = match step {
                    Step::End(Reply::Word(Word::Silence)) => pending().await,
                    Step::End(end) => {
                        script.received.lock().expect("unpoisoned").ended.push(Instant::now());
                        let status = match end {
                            Reply::Fail(scripted) => scripted.status(),
                            Reply::Word(_) => Status::ok(""),
                        };
                        return Some(Ok(trailers(&status)));
                    }
                    Step::AwaitAcknowledgements(least) => {
                        let mut count = script.acknowledged.subscribe();
                        count.wait_for(|count| *count >= least).await.expect("the server runs");
                        return None;
                    }
                    Step::Started(start) => Response::Started(SubscribeStarted {
                        cursor: start.cursor,
                        oldest_cursor: start.oldest_cursor,
                        heartbeat_interval: Some(milliseconds(start.heartbeat_ms.unwrap_or(15_000))),
                        generation: start.generation,
                        ..SubscribeStarted::default()
                    }),
                    Step::Event(cursor) => {
                        Response::Event(Event { event_id: cursor.clone(), cursor, ..Event::default() })
                    }
                    Step::Heartbeat(cursor) => {
                        Response::Heartbeat(SubscribeHeartbeat { cursor, server_time: None })
                    }
                    Step::Gap(gap) => Response::Gap(SubscribeGap {
                        after_cursor: gap.after_cursor,
                        resume_cursor: gap.resume_cursor,
                        missed: Some(gap.missed),
                        ..SubscribeGap::default()
                    }),
                    Step::Closing(closing) => Response::Closing(SubscribeClosing {
                        reason: ClosingReason::from_str_name(&closing.reason).expect("a known reason").into(),
                        cursor: closing.cursor,
                        retry_delay: closing.retry_delay_ms.map(milliseconds),
                    }),
                };
                Some(Ok(message(&SubscribeResponse { response: Some(response) })))
            }
        }))
    }
}

/// What happens to the stream when the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Afterwards {
    Close,
    Drop,
}

impl StreamCase {
    async fn run_with(&self, afterwards: Afterwards) {
        let script = Arc::new(Script {
            streams: self.streams.clone(),
            acknowledge: self.acknowledge.clone(),
            acknowledged: watch::Sender::default(),
            received: Mutex::default(),
        });
        let (_server, client): (Server, Client) = Server::with_client({
            let script = Arc::clone(&script);
            move |method: String, request| {
                let response = Arc::clone(&script).respond(&method, request);
                async move { response }
            }
        })
        .await;
        let reconnects = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reconnects);
        let mut events = client.subscribe(self.request.message()).on_reconnect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let cancelled = Notify::new();
        let end = within(async {
            tokio::select! {
                end = program(&mut events, self.program.clone(), &cancelled) => end,
                () = cancelled.notified() => LoopEnd::Program,
            }
        })
        .await;
        match afterwards {
            // Some cases reject the last acknowledgement.
            Afterwards::Close => drop(within(events.close()).await),
            Afterwards::Drop => drop(events),
        }

        let expect = &self.expect;
        match (&expect.end, &end) {
            (Expected::Word(End::Done), LoopEnd::Done) | (Expected::Word(End::Program), LoopEnd::Program) => {
            }
            (Expected::Error(expected), LoopEnd::Failed(error)) => expected.check(error),
            (expected, end) => panic!("{end:?}, want {expected:?}"),
        }
        let received = script.received.lock().expect("unpoisoned");
        assert_eq!(received.unexpected, [""; 0]);
        expect.check_calls(&received.calls, afterwards);
        let reopened = received.opened.len() - 1;
        let bounds = expect.reconnects.unwrap_or(Bounds::Exactly(reopened as u64));
        bounds.check("reconnects", reconnects.load(Ordering::Relaxed));
        for (number, pause) in expect.pauses.iter().enumerate() {
            pause.check_time("pause", received.opened[number + 1] - received.ended[number]);
        }
    }
}

impl Expect {
    /// Compares the calls with the expected ones. Between them, optional calls and repetitions of accepted ones are permitted.
    fn check_calls(&self, got: &[(Call, bool)], afterwards: Afterwards) {
        let mut left: Vec<Call> = self.calls.iter().map(ExpectedCall::call).collect();
        let mut optional: Vec<Call> = self.optional.iter().map(ExpectedCall::call).collect();
        if afterwards == Afterwards::Drop {
            // A dropped stream does not send its last acknowledgement.
            while let Some(Call::Acknowledge(_)) = left.last() {
                optional.extend(left.pop());
            }
        }
        let mut left = left.into_iter().peekable();
        for (number, (call, _)) in got.iter().enumerate() {
            let is_repeated = got[..number].contains(&(call.clone(), true));
            if left.next_if_eq(call).is_none() {
                assert!(optional.contains(call) || is_repeated, "unexpected: {call:?} in {got:?}");
            }
        }
        assert_eq!(left.peek(), None, "missing in {got:?}");
    }
}

impl Case for StreamCase {
    const TABLE: &str = include_str!("../../../../conformance/streams.json");

    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self) {
        let mut actions = self.program.iter().flat_map(|step| &step.r#do);
        if actions.any(|action| matches!(action, Action::Cancel | Action::Fail | Action::Leave)) {
            self.run_with(Afterwards::Drop).await;
        }
        self.run_with(Afterwards::Close).await;
    }
}

cases! {
    StreamCase:
    broken_stream_resumes_after_the_last_event
    heartbeat_moves_the_cursor
    cursor_of_the_start_is_kept
    silent_stream_is_reopened
    end_without_closing_is_reopened
    reset_without_a_reason_is_reopened
    expired_cursor_ends_the_stream
    internal_error_with_a_reason_ends_the_stream
    delay_of_a_closing_is_waited_for_with_jitter
    delay_of_a_status_is_waited_for_with_jitter
    unknown_closing_with_ok_ends_the_stream
    max_events_counts_over_all_streams
    break_after_the_last_event_ends_the_stream
    gap_is_reported_in_order_and_moves_the_cursor
    break_before_the_first_gap_repeats_the_start_time
    event_acknowledged_by_the_body_is_done
    end_acknowledges_the_last_event
    finished_event_is_acknowledged_before_reopening
    heartbeat_is_acknowledged
    gap_is_acknowledged
    left_event_is_never_acknowledged
    failed_event_is_never_acknowledged
    cancelled_event_is_never_acknowledged
    cancelled_first_event_causes_no_acknowledgement
    cancelled_last_event_of_a_limit_is_never_acknowledged
    foreign_event_is_never_acknowledged
    previous_event_does_not_finish_the_current_one
    stale_acknowledgement_is_reported_and_dropped
    moved_subscription_continues_with_its_new_generation
    deleted_subscription_ends_the_stream
    unavailable_acknowledgement_is_sent_again
    rejected_acknowledgement_ends_the_stream
}
