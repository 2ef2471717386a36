//! `SendMessages`: many messages over one stream.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream;
use switchboard::pb::v1::send_messages_response::Result as Outcome;
use switchboard::pb::v1::{Failure, SendMessageRequest, SendMessagesRequest, SendMessagesResponse};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::gateway::{CONNECTBY, CONNECTLY, Gateway, Start, reason, text, within};

/// An open `SendMessages` stream.
struct OpenStream {
    requests: mpsc::Sender<SendMessagesRequest>,
    answers: Streaming<SendMessagesResponse>,
}

impl OpenStream {
    async fn on(gateway: &Gateway) -> Self {
        let (requests, receiver) = mpsc::channel(1);
        let answers = within(gateway.messages().send_messages(ReceiverStream::new(receiver))).await;
        Self { requests, answers: answers.expect("opens").into_inner() }
    }

    async fn send(&self, tag: &str, request: SendMessageRequest) {
        let request = SendMessagesRequest { tag: tag.to_owned(), request: Some(request) };
        within(self.requests.send(request)).await.expect("the stream is open");
    }

    /// The tag and outcome of the next reply.
    async fn next_reply(&mut self) -> Result<Option<(String, Outcome)>, Status> {
        let answer = within(self.answers.message()).await?;
        Ok(answer.map(|answer| (answer.tag, answer.result.expect("never empty"))))
    }
}

fn error(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failure(error) => error,
        Outcome::Response(response) => panic!("accepted: {response:?}"),
    }
}

#[tokio::test]
async fn each_request_is_answered_by_tag_and_the_stream_ends() {
    let gateway = Start::quiet().start().await;
    let requests: Vec<_> = (0..600)
        .map(|n| {
            let account = if n % 2 == 0 { CONNECTBY } else { CONNECTLY };
            SendMessagesRequest { tag: n.to_string(), request: Some(text(account, &format!("text {n}"))) }
        })
        .collect();
    let answers = within(gateway.messages().send_messages(stream::iter(requests))).await.expect("opens");
    let mut answers = answers.into_inner();
    let mut accounts = BTreeMap::new();
    while let Some(answer) = within(answers.message()).await.expect("ends with OK") {
        let Some(Outcome::Response(response)) = answer.result else { panic!("{answer:?}") };
        let message = response.message.expect("a message");
        assert!(accounts.insert(answer.tag.parse::<usize>().expect("ours"), message.account).is_none());
    }
    assert!(accounts.keys().copied().eq(0..600));
    assert!(accounts.iter().all(|(n, account)| account == if n % 2 == 0 { CONNECTBY } else { CONNECTLY }));
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 300);
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 300);
}

#[tokio::test]
async fn retry_of_a_stream_of_3000_sends_each_message_once() {
    const COUNT: usize = 3_000;
    let gateway =
        Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "100000").start().await;
    let mut ids = BTreeMap::new();
    for again in [false, true] {
        let requests = (0..COUNT).map(|n| {
            let request_id = format!("order-{n}");
            let request = SendMessageRequest { request_id, ..text(CONNECTLY, &format!("text {n}")) };
            SendMessagesRequest { tag: n.to_string(), request: Some(request) }
        });
        let answers = within(gateway.messages().send_messages(stream::iter(requests))).await.expect("opens");
        let mut answers = answers.into_inner();
        let mut answered = 0;
        while let Some(answer) = within(answers.message()).await.expect("ends with OK") {
            let Some(Outcome::Response(response)) = answer.result else { panic!("{answer:?}") };
            assert_eq!(response.replayed, again, "{}", answer.tag);
            let id = response.message.expect("a message").message_id;
            assert_eq!(*ids.entry(answer.tag).or_insert_with(|| id.clone()), id);
            answered += 1;
        }
        assert_eq!((answered, ids.len()), (COUNT, COUNT));
    }
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), COUNT);
}

#[tokio::test]
async fn replies_do_not_wait_for_slower_requests() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_secs(1)))).await;
    let mut open = OpenStream::on(&gateway).await;
    open.send("slow", text(CONNECTBY, "one")).await;
    while gateway.connectby().arrivals(Operation::SendText) == 0 {
        tokio::task::yield_now().await;
    }
    open.send("quick", text(CONNECTBY, "two")).await;
    for expected in ["quick", "slow"] {
        let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
        assert_eq!(tag, expected);
        assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn invalid_request_fails_alone_and_the_stream_continues() {
    let gateway = Start::quiet().start().await;
    let mut open = OpenStream::on(&gateway).await;
    let invalid = Code::InvalidArgument;
    for (request, code, expected, fields) in [
        (SendMessageRequest::default(), invalid, "REQUEST_INVALID", &["account", "to", "content"][..]),
        (text("unknown-account", "hi"), Code::NotFound, "ACCOUNT_NOT_FOUND", &["account"]),
        (
            SendMessageRequest { sender: Some("+15550100002".to_owned()), ..text(CONNECTBY, "hi") },
            Code::Unimplemented,
            "PROVIDER_UNSUPPORTED",
            &["sender"],
        ),
        (
            SendMessageRequest { resend_after_attempt: 1, ..text(CONNECTBY, "hi") },
            invalid,
            "REQUEST_INVALID",
            &["request_id"],
        ),
    ] {
        open.send("wrong", request).await;
        let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
        let error = error(outcome);
        let found: Vec<&str> = error.field_violations.iter().map(|found| found.field.as_str()).collect();
        assert_eq!((tag.as_str(), error.code, error.reason.as_str()), ("wrong", code as i32, expected));
        assert_eq!(found, fields);
    }

    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(131_047) })).await;
    open.send("refused", text(CONNECTBY, "hi")).await;
    let refused = error(open.next_reply().await.expect("open").expect("not the end").1);
    assert_eq!(refused.reason, "SESSION_WINDOW_CLOSED");
    assert_eq!(refused.provider_code, "131047");
    assert!(refused.metadata["message_id"].starts_with("msg_"), "{refused:?}");

    open.send("good", text(CONNECTBY, "hi")).await;
    let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
    assert_eq!(tag, "good");
    assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
}

#[tokio::test]
async fn tag_is_limited_to_128_characters_and_request_is_required() {
    let gateway = Start::quiet().start().await;
    let mut open = OpenStream::on(&gateway).await;
    let longest = "☃".repeat(128);
    open.send(&longest, text(CONNECTBY, "hi")).await;
    let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
    assert_eq!(tag, longest);
    assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");

    open.send(&format!("{longest}!"), SendMessageRequest { to: "+0".to_owned(), ..text(CONNECTBY, "hi") })
        .await;
    let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
    let fields: Vec<String> = error(outcome).field_violations.into_iter().map(|found| found.field).collect();
    assert_eq!((tag, fields), (longest, vec!["tag".to_owned(), "to".to_owned()]));

    let empty = SendMessagesRequest { tag: "empty".to_owned(), request: None };
    open.requests.send(empty).await.expect("the stream is open");
    let (_, outcome) = open.next_reply().await.expect("open").expect("not the end");
    assert_eq!(error(outcome).field_violations[0].field, "request");
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn shutdown_answers_requests_in_flight_then_ends_the_stream() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(400)))).await;
    let mut open = OpenStream::on(&gateway).await;
    open.send("in flight", text(CONNECTBY, "hi")).await;
    while gateway.connectby().arrivals(Operation::SendText) == 0 {
        tokio::task::yield_now().await;
    }
    gateway.begin_shutdown();
    let (tag, outcome) = open.next_reply().await.expect("open").expect("not the end");
    assert_eq!(tag, "in flight");
    assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
    let status = open.next_reply().await.expect_err("the server stops");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    gateway.stop().await;
}

#[tokio::test]
async fn stream_and_unary_calls_share_request_ids() {
    let gateway = Start::quiet().start().await;
    let repeatable = |id: &str| SendMessageRequest { request_id: id.to_owned(), ..text(CONNECTBY, "hi") };
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(300)))).await;
    let open = OpenStream::on(&gateway).await;
    open.send("1", repeatable("broken")).await;
    while gateway.connectby().arrivals(Operation::SendText) == 0 {
        tokio::task::yield_now().await;
    }
    drop(open);
    let resumed = gateway.send(repeatable("broken")).await.expect("accepted");
    assert_eq!(resumed.request_id, "broken");
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);

    let mut open = OpenStream::on(&gateway).await;
    open.send("2", repeatable("broken")).await;
    let (_, outcome) = open.next_reply().await.expect("open").expect("not the end");
    let Outcome::Response(response) = outcome else { panic!("{outcome:?}") };
    assert!(response.replayed);
    assert_eq!(response.message.map(|message| message.message_id), Some(resumed.message_id));
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}
