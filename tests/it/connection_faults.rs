//! Interrupted sends with an idempotency key: at each stage, the connection to the provider breaks, the client cancels,
//! or the deadline passes. Then the client retries.

use std::time::Duration;

use serde_json::json;
use switchboard::pb::v1::get_message_request::Key;
use switchboard::pb::v1::{
    GetMessageRequest, Message, MessageState, SendMessageRequest, SendMessageResponse,
};
use switchboard::sandbox::{Endpoint, Fault, FaultRule, Operation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::{Code, Request, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, metadata, reason, text, within,
};

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(300);

/// How long a test watches a call that must wait.
const SHORT_WAIT: Duration = Duration::from_millis(300);

fn repeatable(account: &str, id: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), ..text(account, body) }
}

async fn send(
    gateway: &Gateway,
    request: impl tonic::IntoRequest<SendMessageRequest>,
) -> Result<SendMessageResponse, Status> {
    Ok(within(gateway.messages().send_message(request)).await?.into_inner())
}

fn with_deadline(request: SendMessageRequest, deadline: Duration) -> Request<SendMessageRequest> {
    let mut request = Request::new(request);
    request.set_timeout(deadline);
    request
}

fn endpoints(gateway: &Gateway) -> [(&str, &Endpoint, Operation); 2] {
    [
        (CONNECTBY, gateway.connectby(), Operation::SendText),
        (CONNECTLY, gateway.connectly(), Operation::SendMessage),
    ]
}

async fn wait_for_arrivals(endpoint: &Endpoint, operation: Operation, count: usize) {
    let arrived = async {
        while endpoint.arrivals(operation) < count {
            tokio::task::yield_now().await;
        }
    };
    within(arrived).await;
}

/// A server without circuit breakers.
fn without_breaker() -> Start {
    [CONNECTBY, CONNECTLY].into_iter().fold(Start::quiet(), |start, account| {
        let account = account.to_uppercase().replace('-', "_");
        start
            .with(&format!("ACCOUNTS__{account}__GATE__BREAKER_FAILURES"), "0")
            .with(&format!("ACCOUNTS__{account}__REQUEST_TIMEOUT"), "2s")
    })
}

#[tokio::test]
async fn retry_after_cut_connection_never_sends_twice() {
    let gateway = without_breaker().start().await;
    for (account, provider, operation) in endpoints(&gateway) {
        for (fault, cause, arrives) in [
            (Fault::CutBeforeReading, "CONNECTION_LOST", 0),
            (Fault::CutAfterReading, "CONNECTION_LOST", 1),
            (Fault::CutReply, "REPLY_CUT_OFF", 1),
            (Fault::Latency(NEVER), "TIMED_OUT", 1),
        ] {
            provider.clear_calls();
            let id = format!("{fault:?}");
            provider.set_fault(FaultRule::once(fault).on(operation)).await;
            let mut messages = Vec::new();
            // The first call sends; the others retry.
            for _ in 0..3 {
                let error = send(&gateway, repeatable(account, &id, "hi")).await.expect_err(&id);
                assert_eq!(
                    (error.code(), reason(&error).as_str()),
                    (Code::FailedPrecondition, "SEND_OUTCOME_UNKNOWN"),
                    "{id}"
                );
                assert_eq!(
                    (metadata(&error, "cause").as_str(), metadata(&error, "attempt").as_str()),
                    (cause, "1")
                );
                messages.push(metadata(&error, "message_id"));
                assert_eq!(provider.arrivals(operation), arrives, "{id}");
            }
            messages.dedup();
            assert_eq!(messages.len(), 1, "{id}");
            // A resend after the named attempt sends once more; retries of the resend send nothing.
            for replayed in [false, true, true] {
                let again = SendMessageRequest { resend_after_attempt: 1, ..repeatable(account, &id, "hi") };
                let done = send(&gateway, again).await.expect("accepted");
                assert_eq!(done.replayed, replayed, "{id}");
                assert_eq!(done.message.expect("present").message_id, messages[0], "{id}");
                assert_eq!(provider.arrivals(operation), arrives + 1, "{id}");
            }
            provider.clear_faults().await.expect("faults cleared");
        }
    }
}

#[tokio::test]
async fn retry_after_refused_connection_sends_once() {
    let gateway = without_breaker().start().await;
    for (account, provider, operation) in endpoints(&gateway) {
        provider.set_fault(FaultRule::always(Fault::Refuse)).await;
        for _ in 0..2 {
            let request = with_deadline(repeatable(account, "a", "hi"), Duration::from_millis(1_500));
            let error = send(&gateway, request).await.expect_err("connection refused");
            assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "PROVIDER_UNREACHABLE"));
        }
        provider.clear_faults().await.expect("faults cleared");
        for replayed in [false, true] {
            let done = send(&gateway, repeatable(account, "a", "hi")).await.expect("accepted");
            assert_eq!((done.replayed, done.message.expect("present").attempt), (replayed, 1));
        }
        assert_eq!(provider.arrivals(operation), 1);
    }
}

/// Starts a send that takes the only slot at ConnectBy, and returns it.
async fn occupy_the_only_slot(
    gateway: &Gateway,
) -> impl Future<Output = Result<SendMessageResponse, Status>> + use<'_> {
    let rule = FaultRule::once(Fault::Latency(Duration::from_secs(2))).on(Operation::SendText);
    gateway.connectby().set_fault(rule).await;
    let mut first = Box::pin(send(gateway, text(CONNECTBY, "first")));
    tokio::select! {
        _ = &mut first => panic!("ended too early"),
        () = wait_for_arrivals(gateway.connectby(), Operation::SendText, 1) => {}
    }
    first
}

#[tokio::test]
async fn deadline_in_the_gate_fails_as_busy_and_frees_the_request_id() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__CALLS_IN_FLIGHT", "1").start().await;
    let first = occupy_the_only_slot(&gateway).await;
    let error = send(&gateway, with_deadline(repeatable(CONNECTBY, "a", "hi"), SHORT_WAIT)).await;
    let error = error.expect_err("no free slot");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "ACCOUNT_BUSY"));
    first.await.expect("accepted");
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
    // The request id is free for any content.
    let done = send(&gateway, repeatable(CONNECTBY, "a", "other")).await.expect("accepted");
    assert_eq!((done.replayed, gateway.connectby().arrivals(Operation::SendText)), (false, 2));
}

#[tokio::test]
async fn cancel_in_the_gate_sends_nothing_and_frees_the_request_id() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__GATE__CALLS_IN_FLIGHT", "1").start().await;
    let first = occupy_the_only_slot(&gateway).await;
    let waiting = send(&gateway, repeatable(CONNECTBY, "a", "hi"));
    timeout(SHORT_WAIT, waiting).await.expect_err("no free slot");
    first.await.expect("accepted");
    let done = send(&gateway, repeatable(CONNECTBY, "a", "other")).await.expect("accepted");
    assert!(!done.replayed);
    let calls = gateway.connectby().calls();
    let sent: Vec<_> = calls.iter().map(|call| call.json().expect("JSON")["message"].clone()).collect();
    assert_eq!(sent, ["first", "other"]);
}

#[tokio::test]
async fn retry_after_cancel_in_flight_gets_the_real_outcome() {
    let gateway = Start::quiet().start().await;
    for (account, provider, operation) in endpoints(&gateway) {
        for (id, deadline) in [("deadline", Some(SHORT_WAIT)), ("cancel", None)] {
            provider.clear_calls();
            let rule = FaultRule::once(Fault::Latency(Duration::from_millis(1_500))).on(operation);
            provider.set_fault(rule).await;
            let request = repeatable(account, id, "hi");
            if let Some(deadline) = deadline {
                let error = send(&gateway, with_deadline(request.clone(), deadline)).await.expect_err(id);
                assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error:?}");
            } else {
                tokio::select! {
                    _ = send(&gateway, request.clone()) => panic!("ended too early"),
                    () = wait_for_arrivals(provider, operation, 1) => {}
                }
            }
            assert_eq!(provider.arrivals(operation), 1, "{id}");
            // The first retry joins the attempt in flight. The second one comes after its end.
            for replayed in [false, true] {
                let done = send(&gateway, request.clone()).await.expect("accepted");
                let message = done.message.expect("present");
                assert_eq!((done.replayed, message.attempt), (replayed, 1), "{id}");
            }
            assert_eq!(provider.arrivals(operation), 1, "{id}");
        }
    }
}

#[tokio::test]
async fn status_webhook_resolves_a_send_whose_reply_was_lost() {
    let gateway = without_breaker().start().await;
    let provider = gateway.connectly();
    provider.set_fault(FaultRule::once(Fault::Latency(NEVER)).on(Operation::SendMessage)).await;
    let first = send(&gateway, repeatable(CONNECTLY, "a", "hi"));
    let second = async {
        wait_for_arrivals(provider, Operation::SendMessage, 1).await;
        let key = Some(Key::RequestId("a".to_owned()));
        let request = GetMessageRequest { account: CONNECTLY.to_owned(), key };
        let pending = within(gateway.messages().get_message(request)).await.expect("known").into_inner();
        let pending: Message = pending.message.expect("present");
        assert_eq!(pending.state(), MessageState::Pending);
        let proof = json!({
            "topic": "delivery_status",
            "timestamp": "1700000000",
            "sender": {"id": "+15550100002", "channelType": "whatsapp"},
            "recipient": {"id": CUSTOMER, "channelType": "whatsapp"},
            "statusUpdate": {"id": "P1", "status": "delivered", "error": null},
            "callbackData": {"sb": format!("{}/1", pending.message_id)},
        });
        let (joined, ()) = tokio::join!(send(&gateway, repeatable(CONNECTLY, "a", "hi")), async {
            gateway.deliver(&proof.to_string()).await;
        });
        (joined, pending.message_id)
    };
    let (first, (second, id)) = tokio::join!(first, second);
    // The provider never replied.
    for done in [first, second] {
        let done = done.expect("proved by the status");
        let message = done.message.expect("present");
        assert_eq!((message.state(), message.message_id.as_str()), (MessageState::Delivered, id.as_str()));
    }
    assert_eq!(provider.arrivals(Operation::SendMessage), 1);
}

/// A load balancer that closes an idle connection at the moment of a send makes the send's outcome unknown.
#[tokio::test]
async fn idle_connection_is_closed_before_a_load_balancer_does() {
    let provider = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let base_url = format!("http://{}", provider.local_addr().expect("bound"));
    let start = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__IDLE_TIMEOUT", "1s");
    let gateway = start.with("ACCOUNTS__DEMO_CONNECTBY__BASE_URL", &base_url).start().await;
    let answer = async {
        let (mut connection, _) = provider.accept().await.expect("accepted");
        let mut request = [0; 4_096];
        // The request is small and arrives at once.
        assert!(connection.read(&mut request).await.expect("readable") > 0);
        let body = r#"{"success":true,"responseData":{"messages":[{"id":"wamid.1"}]}}"#;
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(reply.as_bytes()).await.expect("written");
        // The provider leaves the connection open.
        connection.read(&mut request).await
    };
    let (sent, closed) = tokio::join!(send(&gateway, repeatable(CONNECTBY, "idle", "hi")), within(answer));
    sent.expect("accepted");
    assert_eq!(closed.expect("closed and not reset"), 0, "the server closed the connection");
}
