//! `SandboxService`, with which tests in other languages control the fake providers.

use switchboard::pb::sandbox::v1 as pb;
use switchboard::pb::sandbox::v1::sandbox_service_client::SandboxServiceClient;
use switchboard::pb::v1::SubscribeRequest;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, fields, reason, text, text_of, within,
};

fn sandbox_client(gateway: &Gateway) -> SandboxServiceClient<Channel> {
    SandboxServiceClient::new(gateway.channel.clone())
}

#[tokio::test]
async fn injected_message_returns_the_webhook_status() {
    let gateway = Start::quiet().start().await;
    let mut events = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    let request = pb::InjectMessageRequest {
        account: CONNECTLY.to_owned(),
        sender: CUSTOMER.to_owned(),
        text: "hello?".to_owned(),
        ..Default::default()
    };
    let response =
        within(sandbox_client(&gateway).inject_message(request)).await.expect("injected").into_inner();
    assert_eq!(response.webhook_status, 200);
    let event = events.event().await;
    assert_eq!(text_of(&event), "hello?");
}

#[tokio::test]
async fn webhook_is_injected_with_any_signature() {
    let gateway = Start::quiet().start().await;
    for (signature, answer) in [
        (pb::WebhookSignature::Unspecified, 200),
        (pb::WebhookSignature::Valid, 200),
        (pb::WebhookSignature::Invalid, 401),
        (pb::WebhookSignature::Missing, 401),
    ] {
        let request = pb::InjectWebhookRequest {
            account: CONNECTLY.to_owned(),
            body: b"no JSON".as_slice().into(),
            signature: signature.into(),
        };
        let response =
            within(sandbox_client(&gateway).inject_webhook(request)).await.expect("injected").into_inner();
        assert_eq!(response.webhook_status, answer, "{signature:?}");
    }
}

#[tokio::test]
async fn faults_are_set_and_cleared_and_calls_are_listed() {
    let gateway = Start::quiet().without_retries().start().await;
    let mut client = sandbox_client(&gateway);
    gateway.send(text(CONNECTBY, "first")).await.expect("accepted");
    let fault = |kind: pb::FaultKind, times| pb::SetFaultRequest {
        account: CONNECTBY.to_owned(),
        kind: kind.into(),
        operation: "send_text".to_owned(),
        times,
        http_status: 503,
        ..pb::SetFaultRequest::default()
    };
    client.set_fault(fault(pb::FaultKind::Status, 1)).await.expect("set");
    let error = gateway.send(text(CONNECTBY, "second")).await.expect_err("a 503");
    assert_eq!(reason(&error), "SEND_OUTCOME_UNKNOWN");
    gateway.send(text(CONNECTBY, "third")).await.expect("the fault is used up");

    client.set_fault(fault(pb::FaultKind::Refuse, 0)).await.expect("set");
    let error = gateway.send(text(CONNECTBY, "fourth")).await.expect_err("connection refused");
    assert_eq!(reason(&error), "PROVIDER_UNREACHABLE");
    let clear = pb::ClearFaultsRequest { account: CONNECTBY.to_owned() };
    client.clear_faults(clear).await.expect("cleared");
    gateway.send(text(CONNECTBY, "fifth")).await.expect("accepted");

    let list =
        pb::ListCallsRequest { account: CONNECTBY.to_owned(), after_sequence: 1, ..Default::default() };
    let calls = client.list_calls(list).await.expect("listed").into_inner().calls;
    let bodies: Vec<&str> = calls.iter().map(|call| call.body.as_str()).collect();
    for (body, text) in bodies.iter().zip(["second", "third", "fifth"]) {
        assert!(body.contains(text), "{body}");
    }
    assert_eq!(bodies.len(), 3);
    assert_eq!((calls[0].operation.as_str(), calls[0].method.as_str()), ("send_text", "POST"));
}

#[tokio::test]
async fn invalid_fault_reports_its_fields() {
    let gateway = Start::quiet().start().await;
    let mut client = sandbox_client(&gateway);
    let nothing = pb::SetFaultRequest { account: CONNECTBY.to_owned(), ..pb::SetFaultRequest::default() };
    let unknown = pb::SetFaultRequest {
        operation: "juggle".to_owned(),
        kind: pb::FaultKind::Status.into(),
        http_status: 99,
        ..nothing.clone()
    };
    let late = pb::SetFaultRequest { kind: pb::FaultKind::Latency.into(), ..nothing.clone() };
    for (request, expected) in
        [(nothing, &["kind"][..]), (unknown, &["operation", "http_status"]), (late, &["latency"])]
    {
        let error = client.set_fault(request).await.expect_err("invalid");
        assert_eq!(
            (error.code(), fields(&error).as_slice()),
            (Code::InvalidArgument, expected.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>().as_slice())
        );
    }
    let request = pb::InjectMessageRequest {
        account: CONNECTBY.to_owned(),
        sender: CUSTOMER.to_owned(),
        text: "hi".to_owned(),
        ..Default::default()
    };
    let error = client.inject_message(request).await.expect_err("no webhooks");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
}
