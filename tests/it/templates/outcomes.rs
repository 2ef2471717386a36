//! The outcome of each reply to a template send.

use tonic::Code;

use super::*;
use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, metadata, reason};

#[tokio::test]
async fn unlisted_template_is_not_sent() {
    let gateway = Start::quiet().start().await;
    let error = gateway
        .send(send(CONNECTBY, template("order_update", "fr", &["a", "b"])))
        .await
        .expect_err("not found");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "TEMPLATE_NOT_FOUND"));
    assert!(metadata(&error, "message_id").starts_with("msg_"));
    assert_eq!(metadata(&error, "provider"), "connectby");
    assert_eq!(gateway.connectby().arrivals(Operation::SendTemplate), 0);
}

#[tokio::test]
async fn failed_template_lookup_proves_nothing_was_sent() {
    let start =
        || Start::quiet().without_retries().with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s").start();
    let mut gateway = start().await;
    let (late, unavailable) = (std::time::Duration::from_secs(30), Code::Unavailable);
    for (fault, code, expected) in [
        (Fault::Refuse, unavailable, "PROVIDER_UNREACHABLE"),
        (Fault::CutBeforeReading, unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::CutAfterReading, unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::CutReply, unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::Latency(late), unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::NotJson, Code::Internal, "PROVIDER_REPLY_UNREADABLE"),
        (Fault::Body(200, "{}".to_owned()), Code::Internal, "PROVIDER_REPLY_UNREADABLE"),
        (Fault::status(503), unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::SuccessFalse { code: Some(131_000) }, unavailable, "PROVIDER_UNAVAILABLE"),
        (Fault::status(401), Code::FailedPrecondition, "PROVIDER_CREDENTIALS_REJECTED"),
        (Fault::status(429), Code::ResourceExhausted, "PROVIDER_THROTTLED"),
        (Fault::status(404), Code::NotFound, "PROVIDER_NOT_FOUND"),
        (Fault::SuccessFalse { code: None }, Code::FailedPrecondition, "PROVIDER_REFUSED"),
    ] {
        let provider = gateway.connectby();
        provider.set_fault(FaultRule::once(fault.clone()).on(Operation::ListTemplates)).await;
        let error = gateway
            .send(send(CONNECTBY, template("order_update", "en", &["a", "b"])))
            .await
            .expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert!(metadata(&error, "message_id").starts_with("msg_"), "{fault:?}");
        provider.clear_faults().await.expect("faults cleared");
        assert_eq!(provider.arrivals(Operation::SendTemplate), 0, "{fault:?}");
        if expected == "PROVIDER_THROTTLED" {
            // The server now pauses this account.
            gateway = start().await;
        }
    }
    gateway
        .send(send(CONNECTBY, template("order_update", "en", &["a", "b"])))
        .await
        .expect("the provider works again");
}

#[tokio::test]
async fn cancel_during_the_template_lookup_cancels_the_send() {
    let gateway = Start::quiet().start().await;
    let slow = Fault::Latency(std::time::Duration::from_millis(400));
    gateway.connectby().set_fault(FaultRule::once(slow).on(Operation::ListTemplates)).await;
    let mut request = tonic::Request::new(send(CONNECTBY, template("order_update", "en", &["a", "b"])));
    request.set_timeout(std::time::Duration::from_millis(100));
    gateway.messages().send_message(request).await.expect_err("deadline exceeded");
    // Shutdown waits for all work in flight.
    let connectby = gateway.connectby().clone();
    gateway.stop().await;
    assert_eq!(connectby.arrivals(Operation::ListTemplates), 1);
    assert_eq!(connectby.arrivals(Operation::SendTemplate), 0);
}

#[tokio::test]
async fn each_connectby_reply_to_a_template_maps_to_its_outcome() {
    let graph = |code: i64, http: u16| {
        let body =
            format!(r#"{{"success":false,"responseData":{{"error":{{"message":"m","code":{code}}}}}}}"#);
        Fault::Status { status: http, retry_after: None, body: Some(body) }
    };
    let (invalid, failed) = (Code::InvalidArgument, Code::FailedPrecondition);
    let gateway = Start::quiet()
        .without_retries()
        .with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s")
        .start()
        .await;
    for (fault, code, expected, cause) in [
        (graph(132_000, 400), invalid, "TEMPLATE_PARAMETERS_REJECTED", ""),
        (graph(132_001, 404), Code::NotFound, "TEMPLATE_NOT_FOUND", ""),
        (graph(132_005, 400), invalid, "TEMPLATE_PARAMETERS_REJECTED", ""),
        (graph(132_007, 400), invalid, "CONTENT_REJECTED", ""),
        (graph(132_008, 400), invalid, "TEMPLATE_PARAMETERS_REJECTED", ""),
        (graph(132_012, 400), invalid, "TEMPLATE_PARAMETERS_REJECTED", ""),
        (graph(132_015, 400), failed, "TEMPLATE_PAUSED", ""),
        (graph(132_016, 400), failed, "TEMPLATE_PAUSED", ""),
        (Fault::SuccessFalse { code: Some(132_015) }, failed, "TEMPLATE_PAUSED", ""),
        (graph(131_000, 500), failed, "SEND_OUTCOME_UNKNOWN", "PROVIDER_FAILED"),
        (Fault::status(404), Code::NotFound, "PROVIDER_NOT_FOUND", ""),
        (Fault::status(500), failed, "SEND_OUTCOME_UNKNOWN", "PROVIDER_FAILED"),
        (Fault::CutBeforeReading, failed, "SEND_OUTCOME_UNKNOWN", "CONNECTION_LOST"),
        (Fault::CutAfterReading, failed, "SEND_OUTCOME_UNKNOWN", "CONNECTION_LOST"),
        (Fault::CutReply, failed, "SEND_OUTCOME_UNKNOWN", "REPLY_CUT_OFF"),
        (Fault::NotJson, failed, "SEND_OUTCOME_UNKNOWN", "REPLY_UNREADABLE"),
        (Fault::Latency(std::time::Duration::from_secs(30)), failed, "SEND_OUTCOME_UNKNOWN", "TIMED_OUT"),
    ] {
        let provider = gateway.connectby();
        provider.set_fault(FaultRule::once(fault.clone()).on(Operation::SendTemplate)).await;
        let error = gateway
            .send(send(CONNECTBY, template("order_update", "en", &["secret words", "b"])))
            .await
            .expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert!(!format!("{error:?}").contains("secret words"), "{fault:?}");
        if expected == "PROVIDER_NOT_FOUND" {
            assert_eq!(metadata(&error, "route"), r#"send_template = "POST /v1.0/templates/send""#);
        }
        provider.clear_faults().await.expect("faults cleared");
    }
    // Meta's own error for a listed template that cannot be sent.
    let error =
        gateway.send(unchecked(CONNECTBY, template("winter_sale", "en", &[]))).await.expect_err("paused");
    assert_eq!(reason(&error), "TEMPLATE_PAUSED");
    let error = gateway
        .send(unchecked(CONNECTBY, template("order_update", "en", &["a"])))
        .await
        .expect_err("one missing");
    assert_eq!(reason(&error), "TEMPLATE_PARAMETERS_REJECTED");
}

#[tokio::test]
async fn each_connectly_reply_to_a_template_maps_to_its_outcome() {
    let coded = |http: u16, code: &str| {
        let body = format!(r#"{{"message":"m","type":"ERROR_TYPE_X","code":"ERROR_CODE_{code}"}}"#);
        Fault::Status { status: http, retry_after: None, body: Some(body) }
    };
    let (invalid, failed) = (Code::InvalidArgument, Code::FailedPrecondition);
    let gateway = Start::quiet()
        .without_retries()
        .with("ACCOUNTS__DEMO_CONNECTLY__REQUEST_TIMEOUT", "1s")
        .start()
        .await;
    for (fault, code, expected, cause) in [
        (coded(404, "MESSAGE_TEMPLATE_NOT_FOUND"), Code::NotFound, "TEMPLATE_NOT_FOUND", ""),
        (coded(400, "MESSAGE_TEMPLATE_NOT_FOUND"), Code::NotFound, "TEMPLATE_NOT_FOUND", ""),
        (coded(400, "MESSAGE_TEMPLATE_INPUT_INVALID"), invalid, "TEMPLATE_PARAMETERS_REJECTED", ""),
        (coded(400, "MESSAGE_TEMPLATE_DELETED"), failed, "TEMPLATE_PAUSED", ""),
        (coded(400, "MESSAGE_CUSTOMER_OPTED_OUT"), failed, "RECIPIENT_OPTED_OUT", ""),
        (coded(500, "UNSPECIFIED"), failed, "SEND_OUTCOME_UNKNOWN", "PROVIDER_FAILED"),
        (Fault::CutBeforeReading, failed, "SEND_OUTCOME_UNKNOWN", "CONNECTION_LOST"),
        (Fault::CutAfterReading, failed, "SEND_OUTCOME_UNKNOWN", "CONNECTION_LOST"),
        (Fault::CutReply, failed, "SEND_OUTCOME_UNKNOWN", "REPLY_CUT_OFF"),
        (Fault::Refuse, Code::Unavailable, "PROVIDER_UNREACHABLE", ""),
        (Fault::Latency(std::time::Duration::from_secs(30)), failed, "SEND_OUTCOME_UNKNOWN", "TIMED_OUT"),
    ] {
        let provider = gateway.connectly();
        provider.set_fault(FaultRule::once(fault.clone()).on(Operation::SendTemplate)).await;
        let error = gateway
            .send(send(CONNECTLY, template("order_update", "en", &["secret words", "b"])))
            .await
            .expect_err("the fault makes the call fail");
        assert_eq!((error.code(), reason(&error).as_str()), (code, expected), "{fault:?}: {error:?}");
        assert_eq!(metadata(&error, "cause"), cause, "{fault:?}");
        assert!(!format!("{error:?}").contains("secret words"), "{fault:?}");
        provider.clear_faults().await.expect("faults cleared");
    }
    gateway
        .send(send(CONNECTLY, template("order_update", "", &["a", "b"])))
        .await
        .expect("the default language exists");
    let error =
        gateway.send(unchecked(CONNECTLY, template("winter_sale", "en", &[]))).await.expect_err("pending");
    assert_eq!(reason(&error), "TEMPLATE_NOT_FOUND");
}
