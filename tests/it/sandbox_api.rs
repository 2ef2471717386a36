//! `SandboxService`, with which tests in other languages control the fake providers.

use switchboard::pb::sandbox::v1 as pb;
use switchboard::pb::sandbox::v1::sandbox_service_client::SandboxServiceClient;
use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::{self, EventFilter, Party, SendMessageRequest, SubscribeRequest};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, assert_malformed_page_token,
    assert_page_size_out_of_range, details, fields, read_in_pages, reason, text, text_of, within,
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
async fn injected_customer_has_the_ids_that_were_given() {
    let gateway = Start::quiet().start().await;
    let mut events = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    let customer = |address: &str, phone_number: &str, user_id: &str| Party {
        address: address.to_owned(),
        phone_number: phone_number.to_owned(),
        user_id: user_id.to_owned(),
        name: "Ada".to_owned(),
        channel: v1::Channel::Whatsapp.into(),
        provider_channel: "whatsapp".to_owned(),
        ..Party::default()
    };
    let full = Party {
        parent_user_id: "US.ENT.9".to_owned(),
        username: "ada".to_owned(),
        ..customer(CUSTOMER, CUSTOMER, "US.1")
    };
    for (sender, user_id, parent_user_id, username, expected) in [
        (CUSTOMER, "", "", "", customer(CUSTOMER, CUSTOMER, "")),
        (CUSTOMER, "US.1", "US.ENT.9", "ada", full),
        ("bsuid:US.778", "", "", "", customer("bsuid:US.778", "", "US.778")),
        ("bsuid:US.ENT.778", "", "", "", customer("bsuid:US.ENT.778", "", "US.ENT.778")),
    ] {
        let request = pb::InjectMessageRequest {
            account: CONNECTLY.to_owned(),
            sender: sender.to_owned(),
            text: "hello?".to_owned(),
            user_id: user_id.to_owned(),
            parent_user_id: parent_user_id.to_owned(),
            username: username.to_owned(),
        };
        let response = within(sandbox_client(&gateway).inject_message(request)).await.expect("injected");
        assert_eq!(response.into_inner().webhook_status, 200);
        let event = events.event().await;
        let Some(Payload::MessageReceived(message)) = event.payload else { panic!("a message") };
        assert_eq!(message.sender, Some(expected));
    }
}

#[tokio::test]
async fn invalid_customer_reports_every_field_at_once() {
    let gateway = Start::quiet().start().await;
    let request = |sender: &str, text: &str, user_id: &str, parent: &str| pb::InjectMessageRequest {
        account: CONNECTLY.to_owned(),
        sender: sender.to_owned(),
        text: text.to_owned(),
        user_id: user_id.to_owned(),
        parent_user_id: parent.to_owned(),
        ..Default::default()
    };
    for (request, expected) in [
        (
            request("bsuid:us.1", "", "bsuid:US.1", "US."),
            &[
                ("sender", "MALFORMED"),
                ("user_id", "MISMATCH"),
                ("user_id", "MALFORMED"),
                ("parent_user_id", "MALFORMED"),
                ("text", "REQUIRED"),
            ][..],
        ),
        (request("bsuid:US.1", "hi", "US.1", ""), &[("user_id", "MISMATCH")]),
        (request("", "hi", "US.ENT.", ""), &[("sender", "REQUIRED"), ("user_id", "MALFORMED")]),
    ] {
        let error = within(sandbox_client(&gateway).inject_message(request)).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        let details = details(&error);
        let violations = &details.bad_request().expect("violations").field_violations;
        let found: Vec<_> = violations.iter().map(|v| (v.field.as_str(), v.reason.as_str())).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn send_to_a_user_id_gets_statuses_and_an_answer() {
    let gateway = Start::quiet().with_replies().start().await;
    let types = ["message.status", "message.received"].map(str::to_owned).to_vec();
    let filter = Some(EventFilter { types, ..EventFilter::default() });
    let mut events =
        gateway.subscribe(SubscribeRequest { filter, ..Default::default() }).await.expect("subscribed");
    for to in ["bsuid:US.778", "bsuid:US.ENT.778"] {
        let sent = SendMessageRequest { to: to.to_owned(), ..text(CONNECTLY, "hi") };
        let message = gateway.send(sent).await.expect("accepted");
        for expected in ["sent", "delivered", "read"] {
            let event = events.event().await;
            let Some(Payload::MessageStatus(status)) = event.payload else { panic!("a status") };
            assert_eq!(
                (status.provider_status.as_str(), &status.message_id),
                (expected, &message.message_id)
            );
            let recipient = status.recipient.expect("present");
            assert_eq!((recipient.address.as_str(), recipient.phone_number.as_str()), (to, ""));
        }
        let event = events.event().await;
        assert_eq!(text_of(&event), "Got it: hi");
        let Some(Payload::MessageReceived(answer)) = event.payload else { panic!("an answer") };
        assert_eq!(answer.sender.expect("present").address, to);
    }
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
async fn calls_are_the_same_for_each_page_size() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        for number in 0..5 {
            gateway.send(text(account, &format!("text {number}"))).await.expect("accepted");
        }
    }
    let page = async |account: &str, after_sequence, page_size, page_token| {
        let account = account.to_owned();
        let request = pb::ListCallsRequest { account, after_sequence, page_size, page_token };
        within(sandbox_client(&gateway).list_calls(request)).await.map(tonic::Response::into_inner)
    };
    let expected = page(CONNECTBY, 0, 0, String::new()).await.expect("listed").calls;
    assert_eq!(expected.len(), 5);
    for page_size in [1, 2, 5, 1_000] {
        // A token takes precedence over `after_sequence`.
        let calls = read_in_pages(page_size, async |token| {
            let page = page(CONNECTBY, expected[0].sequence, page_size, token).await.expect("listed");
            (page.calls, page.next_page_token)
        });
        assert_eq!(calls.await, expected[1..], "{page_size}");
    }
    assert_page_size_out_of_range(&page(CONNECTBY, 0, 1_001, String::new()).await.expect_err("too large"));

    let token = page(CONNECTBY, 0, 1, String::new()).await.expect("listed").next_page_token;
    let error = page(CONNECTLY, 0, 1, token).await.expect_err("the token of another account");
    assert_malformed_page_token(&error);
}

#[tokio::test]
async fn call_with_a_large_body_is_listed_with_a_part_of_it() {
    let gateway = Start::quiet().start().await;
    let url = gateway.connectby().base_url().join("anywhere").expect("a path");
    within(reqwest::Client::new().post(url).body(vec![0xff_u8; 5 << 20]).send()).await.expect("a reply");
    let list = pb::ListCallsRequest { account: CONNECTBY.to_owned(), page_size: 1, ..Default::default() };
    let listed = within(sandbox_client(&gateway).list_calls(list)).await.expect("listed").into_inner();
    assert_eq!(listed.calls[0].body_size_bytes, 5 << 20);
    assert_eq!(listed.calls[0].body.chars().count(), 1 << 20);
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
    let other_version = pb::SetFaultRequest { kind: 99, ..nothing.clone() };
    let late = pb::SetFaultRequest { kind: pb::FaultKind::Latency.into(), ..nothing.clone() };
    for (request, expected) in [
        (nothing, &["kind"][..]),
        (other_version, &["kind"]),
        (unknown, &["operation", "http_status"]),
        (late, &["latency"]),
    ] {
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
