//! Sending texts: what goes out, and what each answer means.

use std::collections::HashSet;
use std::time::Duration;

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Channel, MessageState, Provider, SendMessageRequest, StartPosition, SubscribeRequest,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Request};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Start, details, fields, metadata, reason, text, within,
};

#[tokio::test]
async fn text_reaches_connectby_with_the_documented_body() {
    let gateway = Start::quiet().start().await;
    let message = gateway
        .send(SendMessageRequest { to: "1 555-010-0001".to_owned(), ..text(CONNECTBY, "Ahoj ☃") })
        .await;
    let message = message.expect("accepted");
    assert!(message.message_id.starts_with("msg_"), "{message:?}");
    assert!(message.provider_message_ids[0].starts_with("wamid."), "{message:?}");
    assert_eq!((message.account.as_str(), message.to.as_str()), (CONNECTBY, CUSTOMER));
    assert_eq!((message.provider(), message.state()), (Provider::Connectby, MessageState::Accepted));
    assert_eq!(message.channel(), Channel::Whatsapp);
    assert!(message.create_time.is_some() && message.update_time.is_some());

    let calls = gateway.connectby().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("POST", "/v1.0/message"));
    assert_eq!(calls[0].content_type(), Some("application/json"));
    assert_eq!(calls[0].json(), Some(serde_json::json!({"to_number": "15550100001", "message": "Ahoj ☃"})));
}

#[tokio::test]
async fn text_reaches_connectly_with_the_documented_body() {
    let gateway = Start::quiet().start().await;
    let business = format!("/v1/businesses/{}/send/messages", gateway.connectly().business_id());
    let message = gateway.send(text(CONNECTLY, "hello!")).await.expect("accepted");
    assert_eq!((message.provider(), message.state()), (Provider::Connectly, MessageState::Accepted));
    assert_eq!(message.provider_message_ids.len(), 1);

    let sms = SendMessageRequest {
        channel: Channel::Sms.into(),
        sender: Some("+1 555 010 0002".to_owned()),
        ..text(CONNECTLY, "hello!")
    };
    let by_sms = gateway.send(sms).await.expect("accepted");
    assert_eq!(by_sms.channel(), Channel::Sms);

    let calls = gateway.connectly().calls();
    assert_eq!((calls[0].method.as_str(), calls[0].path.as_str()), ("POST", business.as_str()));
    assert_eq!(calls[0].content_type(), Some("application/json"));
    assert_eq!(calls[0].header("accept"), Some("application/json"));
    assert_eq!(
        calls[0].json(),
        Some(serde_json::json!({
            "recipient": {"id": CUSTOMER, "channelType": "whatsapp"},
            "message": {"text": "hello!"},
            "callbackData": {"sb": format!("{}/1", message.message_id)},
        }))
    );
    assert_eq!(
        calls[1].json(),
        Some(serde_json::json!({
            "sender": {"id": "+15550100002", "channelType": "sms"},
            "recipient": {"id": CUSTOMER, "channelType": "sms"},
            "message": {"text": "hello!"},
            "callbackData": {"sb": format!("{}/1", by_sms.message_id)},
        }))
    );
}

#[tokio::test]
async fn customer_without_phone_number_is_sent_as_bare_user_id() {
    let gateway = Start::quiet().start().await;
    // Whether the provider takes it is the provider's affair; this is about what it is error.
    let _ = gateway.send(SendMessageRequest { to: "bsuid:US.778".to_owned(), ..text(CONNECTLY, "hi") }).await;
    let call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
    assert_eq!(call["recipient"], serde_json::json!({"id": "US.778", "channelType": "whatsapp"}));
}

#[tokio::test]
async fn text_limit_counts_code_points_and_longer_text_is_rejected() {
    let gateway = Start::quiet().start().await;
    gateway.send(text(CONNECTBY, &"☃".repeat(1_024))).await.expect("1024 code points go");
    let refused = gateway.send(text(CONNECTBY, &"x".repeat(1_025))).await.expect_err("1025 do not");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&refused), ["text.body"]);
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn configured_text_limit_is_enforced_and_returned() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__LIMITS__TEXT_CHARACTERS", "5").start().await;
    let accounts = gateway.accounts().list_accounts(switchboard::pb::v1::ListAccountsRequest {}).await;
    let accounts = accounts.expect("listed").into_inner().accounts;
    let limits: Vec<_> = accounts.iter().map(|a| a.limits.as_ref().and_then(|l| l.text_characters)).collect();
    assert_eq!(limits, [Some(1_024), Some(5)]);
    assert_eq!(
        gateway.send(text(CONNECTLY, "123456")).await.expect_err("too long").code(),
        Code::InvalidArgument
    );
}

/// One fault at the provider, and what the caller is error.
struct Case {
    fault: Fault,
    code: Code,
    reason: &'static str,
    cause: &'static str,
    /// How many requests the provider has read.
    arrives: usize,
}

fn case(fault: Fault, code: Code, reason: &'static str, cause: &'static str, arrives: usize) -> Case {
    Case { fault, code, reason, cause, arrives }
}

fn refused(fault: Fault, code: Code, reason: &'static str) -> Case {
    case(fault, code, reason, "", 1)
}

fn unknown(fault: Fault, cause: &'static str, arrives: usize) -> Case {
    case(fault, Code::FailedPrecondition, "SEND_OUTCOME_UNKNOWN", cause, arrives)
}

fn status(status: u16, body: &str) -> Fault {
    Fault::Status { status, retry_after: None, body: Some(body.to_owned()) }
}

fn ok(body: &str) -> Fault {
    Fault::Body(200, body.to_owned())
}

/// What both providers have in common: statuses and connections.
fn common() -> Vec<Case> {
    use Code::{FailedPrecondition, ResourceExhausted, Unavailable};
    vec![
        case(Fault::Refuse, Unavailable, "PROVIDER_UNREACHABLE", "", 0),
        unknown(Fault::CutBeforeReading, "CONNECTION_LOST", 0),
        unknown(Fault::CutAfterReading, "CONNECTION_LOST", 1),
        unknown(Fault::CutReply, "REPLY_CUT_OFF", 1),
        unknown(Fault::NotJson, "REPLY_UNREADABLE", 1),
        unknown(ok(""), "REPLY_UNREADABLE", 1),
        unknown(ok("null"), "REPLY_UNREADABLE", 1),
        unknown(ok("[]"), "REPLY_UNREADABLE", 1),
        unknown(ok("{}"), "REPLY_UNREADABLE", 1),
        unknown(ok("{\"id\":"), "REPLY_UNREADABLE", 1),
        unknown(Fault::status(500), "PROVIDER_FAILED", 1),
        unknown(status(502, "<html>bad gateway</html>"), "PROVIDER_FAILED", 1),
        unknown(Fault::status(503), "PROVIDER_FAILED", 1),
        unknown(status(408, ""), "PROVIDER_FAILED", 1),
        unknown(status(425, ""), "PROVIDER_FAILED", 1),
        unknown(status(499, ""), "PROVIDER_FAILED", 1),
        unknown(status(409, "<html>?</html>"), "PROVIDER_FAILED", 1),
        unknown(Fault::Status { status: 302, retry_after: None, body: None }, "REDIRECTED", 1),
        refused(Fault::status(401), FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        refused(status(403, "no"), FailedPrecondition, "PROVIDER_PERMISSION_DENIED"),
        refused(status(404, "<html>?</html>"), Code::NotFound, "PROVIDER_NOT_FOUND"),
        refused(status(400, "not JSON"), FailedPrecondition, "PROVIDER_REFUSED"),
        refused(status(418, ""), FailedPrecondition, "PROVIDER_REFUSED"),
        refused(Fault::status(429), ResourceExhausted, "PROVIDER_THROTTLED"),
        refused(
            Fault::Status { status: 429, retry_after: Some("7".to_owned()), body: None },
            ResourceExhausted,
            "PROVIDER_THROTTLED",
        ),
    ]
}

const IDS: &str = r#""responseData":{"messages":[{"id":"wamid.X"}]}"#;

#[tokio::test]
async fn empty_error_in_a_success_reply_is_ignored() {
    let gateway = Start::quiet().start().await;
    for (reply, ids) in [
        (format!(r#"{{"success":true,{IDS},"error":{{}}}}"#), &["wamid.X"][..]),
        (format!(r#"{{{IDS},"error":null,"errors":[]}}"#), &["wamid.X"]),
        (r#"{"success":"true","responseData":[{"messages":[{"id":"a"},{"id":7}]}]}"#.to_owned(), &["a", "7"]),
    ] {
        gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, reply))).await;
        assert_eq!(gateway.send(text(CONNECTBY, "hi")).await.expect("accepted").provider_message_ids, ids);
    }
}

#[tokio::test]
async fn message_text_in_a_provider_code_is_not_passed_on() {
    let gateway = Start::quiet().start().await;
    let quoting = r#"{"code":"number +15550100001 refused: secret words","type":"secret words","cntTraceId":"+15550100001"}"#;
    gateway.connectly().set_fault(FaultRule::once(status(400, quoting))).await;
    let error = gateway.send(text(CONNECTLY, "secret words")).await.expect_err("refused");
    assert_eq!(reason(&error), "PROVIDER_REFUSED");
    for part in ["provider_code", "provider_type", "provider_trace_id"] {
        assert_eq!(metadata(&error, part), "", "{part}");
    }
}

#[tokio::test]
async fn each_reply_of_connectby_maps_to_its_outcome() {
    let graph = |code: i64| {
        status(
            400,
            &format!(
                r#"{{"error":{{"message":"m","type":"OAuthException","code":{code},"fbtrace_id":"T"}}}}"#
            ),
        )
    };
    let mut cases = common();
    cases.extend([
        refused(Fault::SuccessFalse { code: None }, Code::FailedPrecondition, "PROVIDER_REFUSED"),
        refused(
            Fault::SuccessFalse { code: Some(131_047) },
            Code::FailedPrecondition,
            "SESSION_WINDOW_CLOSED",
        ),
        refused(graph(131_026), Code::FailedPrecondition, "RECIPIENT_NOT_REACHABLE"),
        refused(graph(131_050), Code::FailedPrecondition, "RECIPIENT_OPTED_OUT"),
        refused(graph(131_056), Code::ResourceExhausted, "PROVIDER_THROTTLED"),
        refused(graph(190), Code::FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        refused(graph(100), Code::InvalidArgument, "CONTENT_REJECTED"),
        refused(graph(999_999), Code::FailedPrecondition, "PROVIDER_REFUSED"),
        refused(
            Fault::Body(200, r#"{"success":true,"responseData":{"error":{"code":"131031"}}}"#.to_owned()),
            Code::FailedPrecondition,
            "PROVIDER_ACCOUNT_RESTRICTED",
        ),
        refused(status(409, r#"{"message":"exists"}"#), Code::FailedPrecondition, "PROVIDER_CONFLICT"),
        // A yes with a no beside it proves nothing; a message that has an id may well have been sent.
        unknown(ok(&format!(r#"{{"success":true,{IDS},"error":{{"code":131047}}}}"#)), "REPLY_UNREADABLE", 1),
        unknown(ok(&format!(r#"{{"success":false,{IDS}}}"#)), "REPLY_UNREADABLE", 1),
        unknown(ok(r#"{"success":true,"error":"not on WhatsApp"}"#), "REPLY_UNREADABLE", 1),
        unknown(ok(r#"{"success":true,"errors":[{"code":131026}]}"#), "REPLY_UNREADABLE", 1),
        unknown(graph(1), "PROVIDER_FAILED", 1),
        unknown(graph(131_000), "PROVIDER_FAILED", 1),
        unknown(Fault::SuccessFalse { code: Some(131_016) }, "PROVIDER_FAILED", 1),
    ]);
    let mut gateway = Start::quiet().without_retries().start().await;
    for Case { fault, code, reason: expected, cause, arrives } in cases {
        let provider = gateway.connectby();
        provider.clear_calls();
        provider.set_fault(FaultRule::once(fault.clone())).await;
        let error = gateway.send(text(CONNECTBY, "secret words")).await.expect_err("a fault is no success");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert_eq!(metadata(&error, "provider"), "connectby");
        assert!(metadata(&error, "message_id").starts_with("msg_"), "{fault:?}");
        assert!(!format!("{error:?}").contains("secret words"), "{fault:?}");
        assert_eq!(provider.arrivals(Operation::SendText), arrives, "{fault:?}");
        provider.clear_faults().await.expect("listens again");
        if expected == "PROVIDER_THROTTLED" {
            // This account rests now.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    gateway.send(text(CONNECTBY, "all is well again")).await.expect("accepted");
}

#[tokio::test]
async fn each_reply_of_connectly_maps_to_its_outcome() {
    let coded = |http: u16, code: &str| {
        status(http, &format!(r#"{{"message":"m","type":"ERROR_TYPE_X","code":"{code}","cntTraceId":"77"}}"#))
    };
    let mut cases = common();
    cases.extend([
        refused(Fault::SuccessFalse { code: None }, Code::FailedPrecondition, "PROVIDER_REFUSED"),
        refused(
            coded(400, "ERROR_CODE_MESSAGE_OUTSIDE_OF_ELIGIBILITY_WINDOW"),
            Code::FailedPrecondition,
            "SESSION_WINDOW_CLOSED",
        ),
        refused(
            coded(409, "ERROR_CODE_MESSAGE_CUSTOMER_OPTED_OUT"),
            Code::FailedPrecondition,
            "RECIPIENT_OPTED_OUT",
        ),
        refused(coded(400, "ERROR_CODE_PHONE_NUMBER_BAD_FORMAT"), Code::InvalidArgument, "RECIPIENT_INVALID"),
        refused(coded(400, "ERROR_CODE_INVALID_SENDER_ID"), Code::InvalidArgument, "SENDER_INVALID"),
        refused(coded(400, "ERROR_CODE_BRAND_NEW"), Code::FailedPrecondition, "PROVIDER_REFUSED"),
        refused(
            status(400, r#"{"code":3,"message":"X.INVALID"}"#),
            Code::InvalidArgument,
            "CONTENT_REJECTED",
        ),
        refused(
            Fault::Body(200, r#"{"code":"ERROR_CODE_MESSAGE_TEXT_EMPTY"}"#.to_owned()),
            Code::InvalidArgument,
            "CONTENT_REJECTED",
        ),
        refused(coded(429, "ERROR_CODE_MESSAGE_TEXT_EMPTY"), Code::ResourceExhausted, "PROVIDER_THROTTLED"),
        refused(
            coded(401, "ERROR_CODE_MESSAGE_TEXT_EMPTY"),
            Code::FailedPrecondition,
            "PROVIDER_CREDENTIALS_REJECTED",
        ),
        // Friendly words without an id are neither a yes nor a no.
        unknown(
            Fault::Body(202, r#"{"status":"queued","message":"accepted for delivery"}"#.to_owned()),
            "REPLY_UNREADABLE",
            1,
        ),
        unknown(Fault::Body(200, r#"{"code":0,"message":"OK"}"#.to_owned()), "REPLY_UNREADABLE", 1),
        unknown(coded(500, "ERROR_CODE_UNSPECIFIED"), "PROVIDER_FAILED", 1),
        unknown(Fault::Body(201, r#"{"id":""}"#.to_owned()), "REPLY_UNREADABLE", 1),
    ]);
    let mut gateway = Start::quiet().without_retries().start().await;
    for Case { fault, code, reason: expected, cause, arrives } in cases {
        let provider = gateway.connectly();
        provider.clear_calls();
        provider.set_fault(FaultRule::once(fault.clone())).await;
        let error = gateway.send(text(CONNECTLY, "secret words")).await.expect_err("a fault is no success");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert_eq!(metadata(&error, "provider"), "connectly");
        assert_eq!(provider.arrivals(Operation::SendMessage), arrives, "{fault:?}");
        provider.clear_faults().await.expect("listens again");
        if expected == "PROVIDER_THROTTLED" {
            // This account rests now.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    gateway.send(text(CONNECTLY, "all is well again")).await.expect("accepted");
}

#[tokio::test]
async fn provider_error_is_in_the_error_metadata() {
    let gateway = Start::quiet().start().await;
    let fault = status(
        400,
        r#"{"message":"m","type":"ERROR_TYPE_X","code":"ERROR_CODE_BUSINESS_REACHED_LIMITS","cntTraceId":"10000000000000000001"}"#,
    );
    gateway.connectly().set_fault(FaultRule::once(fault)).await;
    let error = gateway.send(text(CONNECTLY, "hi")).await.expect_err("refused");
    assert_eq!(reason(&error), "PROVIDER_ACCOUNT_RESTRICTED");
    assert_eq!(metadata(&error, "http_status"), "400");
    assert_eq!(metadata(&error, "provider_code"), "ERROR_CODE_BUSINESS_REACHED_LIMITS");
    assert_eq!(metadata(&error, "provider_type"), "ERROR_TYPE_X");
    assert_eq!(metadata(&error, "provider_trace_id"), "10000000000000000001");
    assert_eq!(metadata(&error, "account"), CONNECTLY);
}

#[tokio::test]
async fn throttled_send_returns_the_retry_delay() {
    for (retry_after, expected) in [(Some("7"), 7), (None, 1)] {
        let gateway = Start::quiet().without_retries().start().await;
        let fault = Fault::Status { status: 429, retry_after: retry_after.map(str::to_owned), body: None };
        gateway.connectly().set_fault(FaultRule::once(fault)).await;
        let error = gateway.send(text(CONNECTLY, "hi")).await.expect_err("throttled");
        let delay = details(&error).retry_info().and_then(|info| info.retry_delay);
        assert_eq!(delay, Some(Duration::from_secs(expected)));
    }
}

#[tokio::test]
async fn connectby_success_without_an_id_is_accepted() {
    let gateway = Start::quiet().start().await;
    let fault = Fault::Body(200, r#"{"success":true,"responseData":{"anything":1}}"#.to_owned());
    gateway.connectby().set_fault(FaultRule::once(fault)).await;
    let message = gateway.send(text(CONNECTBY, "hi")).await.expect("accepted");
    assert!(message.provider_message_ids.is_empty());
}

#[tokio::test]
async fn configured_outcomes_override_the_outcome_table() {
    let gateway = Start::quiet()
        .with("ACCOUNTS__DEMO_CONNECTBY__OUTCOMES", "status:503=refused,code:131047=unknown")
        .start()
        .await;
    gateway.connectby().set_fault(FaultRule::once(Fault::status(503))).await;
    let error = gateway.send(text(CONNECTBY, "hi")).await.expect_err("refused");
    assert_eq!(reason(&error), "PROVIDER_REFUSED");
    gateway.connectby().set_fault(FaultRule::once(Fault::SuccessFalse { code: Some(131_047) })).await;
    let error = gateway.send(text(CONNECTBY, "hi")).await.expect_err("unknown");
    assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN");
    assert_eq!(metadata(&error, "provider_code"), "131047");
}

#[tokio::test]
async fn reply_after_the_timeout_leaves_the_outcome_unknown() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s").start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_secs(30)))).await;
    let error = gateway.send(text(CONNECTBY, "hi")).await.expect_err("too late");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "cause").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "TIMED_OUT")
    );
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

/// The HTTP client keeps connections, and the provider may close one at the very moment at which it is used. Whatever
/// happens then, no message may arrive twice, and none that was reported as taken may be missing.
#[tokio::test]
async fn closed_pooled_connection_never_resends_a_message() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::always(Fault::CloseAfterReply)).await;
    let (mut taken, mut unknown) = (HashSet::new(), 0);
    for round in 0..100 {
        let bodies: Vec<String> = (0..4).map(|n| format!("{round}-{n}")).collect();
        let sends = bodies.iter().map(|body| gateway.send(text(CONNECTBY, body)));
        for (body, sent) in bodies.iter().zip(futures_util::future::join_all(sends).await) {
            match sent {
                Ok(_) => _ = taken.insert(body.clone()),
                Err(error) => match reason(&error).as_str() {
                    "SEND_OUTCOME_UNKNOWN" => unknown += 1,
                    "PROVIDER_UNREACHABLE" => {}
                    other => panic!("{other}"),
                },
            }
        }
    }
    let arrived: Vec<String> = gateway
        .connectby()
        .calls()
        .iter()
        .map(|call| call.json().expect("JSON")["message"].as_str().expect("text").to_owned())
        .collect();
    let once: HashSet<String> = arrived.iter().cloned().collect();
    assert_eq!(arrived.len(), once.len(), "something arrived twice");
    assert!(taken.is_subset(&once), "something that was taken did not arrive");
    assert!(once.len() <= taken.len() + unknown, "something arrived that was neither taken nor unknown");
    assert!(taken.len() > 200, "most go through: {} of 400 did", taken.len());
}

#[tokio::test]
async fn cancelled_call_does_not_cancel_the_send() {
    let gateway = Start::quiet().with_replies().start().await;
    let mut events = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    gateway.connectly().set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(500)))).await;
    let mut request = Request::new(text(CONNECTLY, "hi"));
    request.set_timeout(Duration::from_millis(100));
    let error = within(gateway.messages().send_message(request)).await.expect_err("its time is over");
    assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error:?}");
    // The message lives on.
    assert_eq!(events.event().await.r#type, "message.status");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    // The server waits for the send's end before it stops, and does not cut it off.
    gateway.stop().await;
}

#[tokio::test]
async fn shutdown_completes_a_send_in_flight() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(400)))).await;
    let send = gateway.send(text(CONNECTBY, "hi"));
    let stop = async {
        while gateway.connectby().arrivals(Operation::SendText) == 0 {
            tokio::task::yield_now().await;
        }
        gateway.begin_shutdown();
    };
    let (sent, ()) = tokio::join!(send, stop);
    sent.expect("accepted");
    gateway.stop().await;
}

#[tokio::test]
async fn stuck_account_does_not_delay_another() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::always(Fault::Latency(Duration::from_secs(10)))).await;
    let stuck = (0..50).map(|_| gateway.send(text(CONNECTBY, "stuck")));
    let free = async {
        while gateway.connectby().arrivals(Operation::SendText) < 50 {
            tokio::task::yield_now().await;
        }
        for _ in 0..50 {
            gateway.send(text(CONNECTLY, "free")).await.expect("accepted");
        }
    };
    // All of the healthy account's sends end before any of the stuck ones does.
    tokio::select! {
        _ = futures_util::future::select_all(stuck.map(Box::pin)) => panic!("a stuck send ended first"),
        () = free => {}
    }
}

#[tokio::test]
async fn sent_message_is_followed_by_statuses_and_a_reply() {
    let gateway = Start::quiet().with_replies().start().await;
    let sent = gateway.send(text(CONNECTLY, "Hello!")).await.expect("accepted");
    let request = SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        ..SubscribeRequest::default()
    };
    let events = gateway.subscribe(request).await.expect("subscribed").events(5).await;
    let types: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
    let (status, received) = ("message.status", "message.received");
    assert_eq!(types, ["message.accepted", status, status, status, received]);
    for (event, (word, state)) in events[1..].iter().zip([
        ("sent", MessageState::Sent),
        ("delivered", MessageState::Delivered),
        ("read", MessageState::Read),
    ]) {
        let Some(switchboard::pb::v1::event::Payload::MessageStatus(status)) = &event.payload else {
            panic!("{event:?}")
        };
        assert_eq!((status.provider_status.as_str(), status.status()), (word, state));
        assert_eq!(status.provider_message_id, sent.provider_message_ids[0]);
    }
}

#[tokio::test]
async fn oversized_reply_leaves_the_outcome_unknown() {
    let gateway = Start::quiet().start().await;
    let endless = format!(r#"{{"success":true,"responseData":"{}"}}"#, "x".repeat(5 << 20));
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, endless))).await;
    let error = gateway.send(text(CONNECTBY, "hi")).await.expect_err("no real reply is that long");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "cause").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "REPLY_TOO_LARGE")
    );
}
