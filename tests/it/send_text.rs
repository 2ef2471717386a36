//! Text messages: the request to the provider, limits, cancellation and shutdown.

use std::collections::HashSet;
use std::time::Duration;

use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::parameter::Value;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Channel, MessageState, Parameter, Provider, SendChecks, SendMessageRequest, StartPosition,
    SubscribeRequest, TemplateMessage,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Request};

use crate::support::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Start, fields, reason, text, within};

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

fn parameter(text: &str) -> Parameter {
    Parameter { value: Some(Value::Text(text.to_owned())), ..Parameter::default() }
}

#[tokio::test]
async fn customer_without_phone_number_is_sent_as_bare_user_id() {
    let gateway = Start::quiet().start().await;
    for id in ["US.778", "US.ENT.11815799212886844830"] {
        let to = format!("bsuid:{id}");
        let message = gateway.send(SendMessageRequest { to: to.clone(), ..text(CONNECTLY, "hi") }).await;
        assert_eq!(message.expect("accepted").to, to);
        let call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
        assert_eq!(call["recipient"], serde_json::json!({"id": id, "channelType": "whatsapp"}));

        // A template send has the id with its prefix.
        let template = TemplateMessage {
            name: "order_update".to_owned(),
            language: "en".to_owned(),
            body: ["Ada", "A-77"].map(parameter).to_vec(),
            ..TemplateMessage::default()
        };
        let template =
            SendMessageRequest { content: Some(Content::Template(template)), ..text(CONNECTLY, "") };
        gateway.send(SendMessageRequest { to: to.clone(), ..template }).await.expect("accepted");
        let call = gateway.connectly().calls().pop().expect("arrived").json().expect("JSON");
        assert_eq!(call["number"], to);
    }
}

#[tokio::test]
async fn campaign_and_recipient_name_reach_connectly_unchanged() {
    let gateway = Start::quiet().with_replies().start().await;
    let mut events = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    let longest = "☃".repeat(512);
    let request = SendMessageRequest {
        recipient_name: longest.clone(),
        campaign_name: " Spring \"26\" ".to_owned(),
        sender: Some("+15550100002".to_owned()),
        ..text(CONNECTLY, "hi")
    };
    let message = gateway.send(request).await.expect("accepted");
    let call = gateway.connectly().calls().pop().expect("arrived");
    assert_eq!(
        call.json(),
        Some(serde_json::json!({
            "sender": {"id": "+15550100002", "channelType": "whatsapp"},
            "recipient": {"id": CUSTOMER, "channelType": "whatsapp", "name": longest},
            "message": {"text": "hi"},
            "campaignName": " Spring \"26\" ",
            "callbackData": {"sb": format!("{}/1", message.message_id)},
        }))
    );
    // The sandbox returns both in the events, as Connectly does.
    loop {
        let Some(Payload::MessageStatus(status)) = events.event().await.payload else { continue };
        assert_eq!(status.campaign_name, " Spring \"26\" ");
        assert_eq!(status.recipient.expect("present").name, longest);
        break;
    }
}

#[tokio::test]
async fn too_long_names_are_rejected_together() {
    let gateway = Start::quiet().start().await;
    let long = || "x".repeat(513);
    let request = SendMessageRequest {
        recipient_name: long(),
        campaign_name: long(),
        checks: Some(SendChecks { session_window: 9, template: 9 }),
        ..text(CONNECTLY, "")
    };
    let error = gateway.send(request).await.expect_err("all wrong");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    let expected =
        ["recipient_name", "campaign_name", "checks.session_window", "checks.template", "text.body"];
    assert_eq!(fields(&error), expected);
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn names_are_unsupported_where_the_provider_takes_none() {
    let gateway = Start::quiet().start().await;
    let named = |account| SendMessageRequest {
        recipient_name: "Ada".to_owned(),
        campaign_name: "spring".to_owned(),
        ..text(account, "hi")
    };
    let template = TemplateMessage { name: "t".to_owned(), ..TemplateMessage::default() };
    let template = SendMessageRequest { content: Some(Content::Template(template)), ..named(CONNECTLY) };
    for (request, expected) in
        [(named(CONNECTBY), &["recipient_name", "campaign_name"][..]), (template, &["recipient_name"])]
    {
        let error = gateway.send(request).await.expect_err("unsupported");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), expected);
        assert!(!error.message().contains("Ada"), "{error:?}");
    }
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn capabilities_state_which_send_fields_are_supported() {
    let gateway = Start::quiet().start().await;
    let accounts =
        gateway.accounts().list_accounts(switchboard::pb::v1::ListAccountsRequest::default()).await;
    let able: Vec<_> = accounts
        .expect("listed")
        .into_inner()
        .accounts
        .into_iter()
        .map(|account| {
            let able = account.capabilities.expect("present");
            let sends_locations = able.contents.iter().any(|content| content == "location");
            let names = (able.accepts_campaign_name, able.accepts_recipient_name);
            (account.account, names, able.accepts_template_components, sends_locations)
        })
        .collect();
    assert_eq!(
        able,
        [
            (CONNECTBY.to_owned(), (false, false), true, false),
            (CONNECTLY.to_owned(), (true, true), false, true),
        ]
    );
}

#[tokio::test]
async fn text_limit_counts_code_points_and_longer_text_is_rejected() {
    let gateway = Start::quiet().start().await;
    gateway.send(text(CONNECTBY, &"☃".repeat(1_024))).await.expect("accepted");
    let refused = gateway.send(text(CONNECTBY, &"x".repeat(1_025))).await.expect_err("too long");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&refused), ["text.body"]);
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 1);
}

#[tokio::test]
async fn configured_text_limit_is_enforced_and_returned() {
    let gateway = Start::quiet().with("ACCOUNTS__DEMO_CONNECTLY__LIMITS__TEXT_CHARACTERS", "5").start().await;
    let accounts =
        gateway.accounts().list_accounts(switchboard::pb::v1::ListAccountsRequest::default()).await;
    let accounts = accounts.expect("listed").into_inner().accounts;
    let limits: Vec<_> = accounts.iter().map(|a| a.limits.as_ref().and_then(|l| l.text_characters)).collect();
    assert_eq!(limits, [Some(1_024), Some(5)]);
    assert_eq!(
        gateway.send(text(CONNECTLY, "123456")).await.expect_err("too long").code(),
        Code::InvalidArgument
    );
}

/// The HTTP client pools connections, and the provider may close one at the moment of its use. No message may then arrive
/// twice, and no accepted message may be missing.
#[tokio::test]
async fn closed_pooled_connection_never_resends_a_message() {
    let gateway = Start::quiet().start().await;
    gateway.connectby().set_fault(FaultRule::always(Fault::CloseAfterReply)).await;
    let (mut accepted_texts, mut unknown) = (HashSet::new(), 0);
    for round in 0..100 {
        let bodies: Vec<String> = (0..4).map(|n| format!("{round}-{n}")).collect();
        let sends = bodies.iter().map(|body| gateway.send(text(CONNECTBY, body)));
        for (body, sent) in bodies.iter().zip(futures_util::future::join_all(sends).await) {
            match sent {
                Ok(_) => _ = accepted_texts.insert(body.clone()),
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
    assert_eq!(arrived.len(), once.len(), "a message arrived twice");
    assert!(accepted_texts.is_subset(&once), "an accepted message did not arrive");
    assert!(
        once.len() <= accepted_texts.len() + unknown,
        "a message arrived that was neither accepted nor unknown"
    );
    assert!(accepted_texts.len() > 200, "too few accepted: {} of 400", accepted_texts.len());
}

#[tokio::test]
async fn cancelled_call_does_not_cancel_the_send() {
    let gateway = Start::quiet().with_replies().start().await;
    let mut events = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    gateway.connectly().set_fault(FaultRule::once(Fault::Latency(Duration::from_millis(500)))).await;
    let mut request = Request::new(text(CONNECTLY, "hi"));
    request.set_timeout(Duration::from_millis(100));
    let error = within(gateway.messages().send_message(request)).await.expect_err("deadline exceeded");
    assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error:?}");
    // The send continues.
    assert_eq!(events.event().await.r#type, "message.status");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    // Shutdown waits until the send has ended.
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
    // Every send of the healthy account ends before any stuck send.
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
