//! The outcome of each provider reply to a text message.

use std::time::Duration;

use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::Code;

use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, details, metadata, reason, text};

/// A fault at the provider and the error that the client gets.
struct Case {
    fault: Fault,
    code: Code,
    reason: &'static str,
    cause: &'static str,
    /// How many requests the provider reads.
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

/// The cases that both providers share: statuses and connections.
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
        // A reply with both a success and an error proves nothing. A message with an id may have been sent.
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
        let error =
            gateway.send(text(CONNECTBY, "secret words")).await.expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert_eq!(metadata(&error, "provider"), "connectby");
        assert!(metadata(&error, "message_id").starts_with("msg_"), "{fault:?}");
        assert!(!format!("{error:?}").contains("secret words"), "{fault:?}");
        assert_eq!(provider.arrivals(Operation::SendText), arrives, "{fault:?}");
        provider.clear_faults().await.expect("faults cleared");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    gateway.send(text(CONNECTBY, "the provider works again")).await.expect("accepted");
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
        // A success message without an id proves neither success nor failure.
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
        let error =
            gateway.send(text(CONNECTLY, "secret words")).await.expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert_eq!(metadata(&error, "provider"), "connectly");
        assert_eq!(provider.arrivals(Operation::SendMessage), arrives, "{fault:?}");
        provider.clear_faults().await.expect("faults cleared");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = Start::quiet().without_retries().start().await;
        }
    }
    gateway.send(text(CONNECTLY, "the provider works again")).await.expect("accepted");
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

#[tokio::test]
async fn oversized_reply_leaves_the_outcome_unknown() {
    let gateway = Start::quiet().start().await;
    let endless = format!(r#"{{"success":true,"responseData":"{}"}}"#, "x".repeat(5 << 20));
    gateway.connectby().set_fault(FaultRule::once(Fault::Body(200, endless))).await;
    let error = gateway.send(text(CONNECTBY, "hi")).await.expect_err("the reply is too large");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "cause").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "REPLY_TOO_LARGE")
    );
}
