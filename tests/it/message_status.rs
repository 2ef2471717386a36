//! The status of messages and conversations: `GetMessage`, `WatchMessage`, `GetConversation`.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::watch_message_response::Response;
use switchboard::pb::v1::{
    CheckMode, Conversation, EventFilter, Failure, GetConversationRequest, GetMessageRequest, Message,
    MessageState, SendChecks, SendMessageRequest, SubscribeRequest, TemplateMessage, WatchEndReason,
    WatchEnded, WatchMessageRequest, WatchMessageResponse, get_message_request, send_message_request,
    watch_message_request,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status, Streaming};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, Subscriber, fields, metadata, reason, received, text,
    within,
};

/// A key of a message.
#[derive(Clone, Debug)]
enum Key {
    Switchboard(String),
    Provider(String),
    Request(String),
}

async fn get(gateway: &Gateway, account: &str, key: Key) -> Result<Message, Status> {
    use get_message_request::Key as Given;
    let key = match key {
        Key::Switchboard(id) => Given::MessageId(id),
        Key::Provider(id) => Given::ProviderMessageId(id),
        Key::Request(id) => Given::RequestId(id),
    };
    let request = GetMessageRequest { account: account.to_owned(), key: Some(key) };
    Ok(within(gateway.messages().get_message(request)).await?.into_inner().message.expect("present"))
}

/// An open watch of a message.
struct Watcher(Streaming<WatchMessageResponse>);

impl Watcher {
    async fn open(gateway: &Gateway, account: &str, key: Key) -> Result<Self, Status> {
        use watch_message_request::Key as Given;
        let key = match key {
            Key::Switchboard(id) => Given::MessageId(id),
            Key::Provider(id) => Given::ProviderMessageId(id),
            Key::Request(id) => Given::RequestId(id),
        };
        let request = WatchMessageRequest { account: account.to_owned(), key: Some(key) };
        Ok(Self(within(gateway.messages().watch_message(request)).await?.into_inner()))
    }

    async fn next(&mut self) -> Result<Option<Response>, Status> {
        let response = within(self.0.message()).await?;
        Ok(response.map(|response| response.response.expect("never empty")))
    }

    async fn message(&mut self) -> Message {
        match self.next().await.expect("the stream is open") {
            Some(Response::Message(message)) => message,
            other => panic!("no message but {other:?}"),
        }
    }

    /// The states up to the end of the watch, which must never regress, and the end.
    async fn drain(mut self) -> (Vec<MessageState>, WatchEnded) {
        let mut states = Vec::new();
        loop {
            match self.next().await.expect("the stream is open") {
                Some(Response::Message(message)) => states.push(message.state()),
                Some(Response::Ended(ended)) => {
                    assert_eq!(self.next().await.expect("ends with OK"), None);
                    assert!(states.is_sorted_by_key(|&state| state as i32), "{states:?}");
                    return (states, ended);
                }
                None => panic!("the stream ended without `ended`"),
            }
        }
    }
}

fn keyed_text(account: &str, id: &str) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), ..text(account, "hi") }
}

/// The body of a status webhook with a correlation tag.
fn status(provider_id: &str, word: &str, attempt: &str, callback_data: Value) -> String {
    json!({
        "topic": "delivery_status",
        "timestamp": "1700000000",
        "sender": {"id": "+15550100002", "channelType": "whatsapp"},
        "recipient": {"id": CUSTOMER, "channelType": "whatsapp"},
        "statusUpdate": {"id": provider_id, "status": word, "error": null},
        "callbackData": {"sb": attempt, "d": callback_data},
    })
    .to_string()
}

async fn subscribe(gateway: &Gateway, kind: &str) -> Subscriber {
    let filter = EventFilter { types: vec![kind.to_owned()], ..EventFilter::default() };
    let request = SubscribeRequest { filter: Some(filter), ..SubscribeRequest::default() };
    gateway.subscribe(request).await.expect("subscribed")
}

#[tokio::test]
async fn message_is_found_by_each_key() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let sent = gateway.send(keyed_text(account, "a")).await.expect("accepted");
        for key in [
            Key::Switchboard(sent.message_id.clone()),
            Key::Provider(sent.provider_message_ids[0].clone()),
            Key::Request("a".to_owned()),
        ] {
            assert_eq!(get(&gateway, account, key).await.expect("known"), sent);
        }
    }
    // A message is visible in its own account only.
    let other = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let error =
        get(&gateway, CONNECTBY, Key::Switchboard(other.message_id)).await.expect_err("another account");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "MESSAGE_NOT_FOUND"));
    assert_eq!(metadata(&error, "account"), CONNECTBY);
}

#[tokio::test]
async fn invalid_message_key_names_its_field() {
    let gateway = Start::quiet().start().await;
    for (key, field) in [
        (Key::Switchboard(String::new()), "message_id"),
        (Key::Switchboard("msg_1".to_owned()), "message_id"),
        (Key::Provider(String::new()), "provider_message_id"),
        (Key::Request("é".to_owned()), "request_id"),
    ] {
        for error in [
            get(&gateway, CONNECTBY, key.clone()).await.map(|_| ()),
            Watcher::open(&gateway, CONNECTBY, key.clone()).await.map(|_| ()),
        ] {
            let error = error.expect_err("wrong");
            assert_eq!(
                (error.code(), fields(&error)),
                (Code::InvalidArgument, vec![field.to_owned()]),
                "{key:?}"
            );
        }
    }
    let get = gateway.messages().get_message(GetMessageRequest::default()).await.map(|_| ());
    let watch = gateway.messages().watch_message(WatchMessageRequest::default()).await.map(|_| ());
    for error in [get, watch] {
        assert_eq!(fields(&error.expect_err("empty")), ["account", "key"]);
    }
}

#[tokio::test]
async fn message_that_was_never_sent_is_not_found() {
    let gateway = Start::quiet().start().await;
    let unknown_key = Key::Switchboard("msg_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
    let watched = Watcher::open(&gateway, CONNECTLY, unknown_key.clone()).await.map(|_| ());
    for error in [get(&gateway, CONNECTLY, unknown_key).await.map(|_| ()), watched] {
        let error = error.expect_err("never sent");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "MESSAGE_NOT_FOUND"));
    }
    // A refused send leaves no record.
    gateway.connectly().set_fault(FaultRule::once(Fault::status(400))).await;
    let refused = gateway.send(keyed_text(CONNECTLY, "a")).await.expect_err("refused");
    for key in [Key::Switchboard(metadata(&refused, "message_id")), Key::Request("a".to_owned())] {
        assert_eq!(get(&gateway, CONNECTLY, key).await.expect_err("no record").code(), Code::NotFound);
    }
}

#[tokio::test]
async fn watch_reports_increasing_states_up_to_read() {
    let gateway = Start::quiet().with_replies().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher =
        Watcher::open(&gateway, CONNECTLY, Key::Switchboard(sent.message_id.clone())).await.expect("known");
    let (states, ended) = watcher.drain().await;
    assert_eq!(states.last(), Some(&MessageState::Read));
    assert_eq!((ended.reason(), ended.failure), (WatchEndReason::Terminal, None));
    let message = get(&gateway, CONNECTLY, Key::Switchboard(sent.message_id)).await.expect("known");
    assert_eq!(
        (message.state(), message.provider_message_ids),
        (MessageState::Read, sent.provider_message_ids)
    );
}

#[tokio::test]
async fn watch_reports_each_status_webhook() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let provider_id = sent.provider_message_ids[0].as_str();
    let mut watcher =
        Watcher::open(&gateway, CONNECTLY, Key::Provider(provider_id.to_owned())).await.expect("known");
    assert_eq!(watcher.message().await, sent);
    let tag = format!("{}/1", sent.message_id);
    for (word, state) in [
        ("sent", MessageState::Sent),
        ("failed", MessageState::Failed),
        ("delivered", MessageState::Delivered),
        ("read", MessageState::Read),
    ] {
        gateway.deliver(&status(provider_id, word, &tag, Value::Null)).await;
        assert_eq!(watcher.message().await.state(), state);
    }
    assert!(
        matches!(watcher.next().await, Ok(Some(Response::Ended(ended))) if ended.reason() == WatchEndReason::Terminal)
    );
}

#[tokio::test]
async fn statuses_before_the_reply_belong_to_the_message() {
    let gateway = Start::quiet().with_replies().start().await;
    let latency = Fault::Latency(Duration::from_secs(1));
    gateway.connectly().set_fault(FaultRule::once(latency).on(Operation::SendMessage)).await;
    let send = gateway.send(keyed_text(CONNECTLY, "a"));
    let watch = async {
        while gateway.connectly().arrivals(Operation::SendMessage) == 0 {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::open(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect("known");
        watcher.drain().await
    };
    // The watch ends before the sender gets the reply.
    let mut send = std::pin::pin!(send);
    let (states, ended) = tokio::select! {
        biased;
        seen = watch => seen,
        sent = &mut send => panic!("answered first: {sent:?}"),
    };
    assert_eq!((states.last(), ended.reason()), (Some(&MessageState::Read), WatchEndReason::Terminal));
    let sent = send.await.expect("accepted");
    let message = get(&gateway, CONNECTLY, Key::Switchboard(sent.message_id)).await.expect("known");
    assert_eq!(message.state(), MessageState::Read, "the late reply does not regress the state");
}

#[tokio::test]
async fn statuses_out_of_order_never_regress_the_state() {
    let gateway = Start::quiet().with_replies().start().await;
    let mut events = subscribe(&gateway, "message.status").await;
    gateway.connectly().set_fault(FaultRule::once(Fault::ReorderStatuses)).await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher =
        Watcher::open(&gateway, CONNECTLY, Key::Switchboard(sent.message_id.clone())).await.expect("known");
    let (states, _) = watcher.drain().await;
    assert_eq!(states.last(), Some(&MessageState::Read));
    for (word, stale) in [("read", false), ("delivered", true), ("sent", true)] {
        let event = events.event().await;
        let Some(Payload::MessageStatus(status)) = event.payload else { panic!("{event:?}") };
        assert_eq!((status.provider_status.as_str(), status.stale), (word, stale));
        assert_eq!((status.state_after(), &status.message_id), (MessageState::Read, &sent.message_id));
    }
    let message = get(&gateway, CONNECTLY, Key::Switchboard(sent.message_id)).await.expect("known");
    assert_eq!(message.state(), MessageState::Read);
}

#[tokio::test]
async fn watch_of_an_untracked_message_ends_after_the_reply() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTBY, "hi")).await.expect("accepted");
    let watcher = Watcher::open(&gateway, CONNECTBY, Key::Switchboard(sent.message_id)).await.expect("known");
    let (states, ended) = watcher.drain().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Accepted], WatchEndReason::NotTracked));

    gateway.connectby().set_fault(FaultRule::once(Fault::NotJson)).await;
    gateway.send(keyed_text(CONNECTBY, "a")).await.expect_err("unknown");
    let watcher = Watcher::open(&gateway, CONNECTBY, Key::Request("a".to_owned())).await.expect("known");
    let (states, ended) = watcher.drain().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Unknown], WatchEndReason::NotTracked));

    // The watch stays open while another attempt is in flight.
    let latency = Fault::Latency(Duration::from_secs(1));
    gateway.connectby().set_fault(FaultRule::once(latency)).await;
    let arrived = gateway.connectby().arrivals(Operation::SendText);
    let resend = gateway.send(SendMessageRequest { resend_after_attempt: 1, ..keyed_text(CONNECTBY, "a") });
    let watch = async {
        while gateway.connectby().arrivals(Operation::SendText) == arrived {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::open(&gateway, CONNECTBY, Key::Request("a".to_owned())).await.expect("known");
        watcher.drain().await
    };
    let (resent, (states, ended)) = tokio::join!(resend, watch);
    resent.expect("accepted");
    assert_eq!(states, [MessageState::Unknown, MessageState::Accepted]);
    assert_eq!(ended.reason(), WatchEndReason::NotTracked);
}

#[tokio::test]
async fn watch_of_a_refused_first_attempt_ends_with_the_error() {
    let gateway = Start::quiet().start().await;
    let provider = gateway.connectly();
    for fault in [Fault::Latency(Duration::from_secs(1)), Fault::status(401)] {
        provider.set_fault(FaultRule::once(fault).on(Operation::SendMessage)).await;
    }
    let send = gateway.send(keyed_text(CONNECTLY, "a"));
    let watch = async {
        while provider.arrivals(Operation::SendMessage) == 0 {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::open(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect("known");
        watcher.drain().await
    };
    let (sent, (states, ended)) = tokio::join!(send, watch);
    let error = sent.expect_err("refused");
    assert_eq!((states, ended.reason()), (vec![MessageState::Pending], WatchEndReason::Refused));
    let Failure { reason: why, code, metadata: known, .. } = ended.failure.expect("an error");
    assert_eq!((why, code), (reason(&error), error.code() as i32));
    assert_eq!(known["message_id"], metadata(&error, "message_id"));
    let missing = get(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect_err("no record");
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn watch_ends_as_expired_after_the_configured_retention() {
    let gateway =
        Start::quiet().with("SENDS__REQUEST_ID_RETENTION", "1s").with("SENDS__RETENTION", "1s").start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher = Watcher::open(&gateway, CONNECTLY, Key::Switchboard(sent.message_id)).await.expect("known");
    let (states, ended) = watcher.drain().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Accepted], WatchEndReason::Expired));
}

#[tokio::test]
async fn shutdown_ends_a_watch() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let mut watcher =
        Watcher::open(&gateway, CONNECTLY, Key::Switchboard(sent.message_id)).await.expect("known");
    watcher.message().await;
    gateway.begin_shutdown();
    let error = watcher.next().await.expect_err("the server stops");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    gateway.stop().await;
}

#[tokio::test]
async fn late_status_resolves_an_unknown_outcome() {
    let gateway = Start::quiet().start().await;
    let mut accepted = subscribe(&gateway, "message.accepted").await;
    gateway.connectly().set_fault(FaultRule::once(Fault::CutReply)).await;
    let error = gateway.send(keyed_text(CONNECTLY, "a")).await.expect_err("unknown");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "attempt").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "1")
    );
    let id = metadata(&error, "message_id");
    let mut watcher = Watcher::open(&gateway, CONNECTLY, Key::Switchboard(id.clone())).await.expect("known");
    let unknown = watcher.message().await;
    assert_eq!((unknown.state(), unknown.attempt), (MessageState::Unknown, 1));
    assert_eq!(unknown.failure.map(|error| error.reason), Some("SEND_OUTCOME_UNKNOWN".to_owned()));

    // A status that this version does not know also proves that the provider accepted the message.
    gateway.deliver(&status("P1", "queued_somewhere", &format!("{id}/1"), Value::Null)).await;
    let message = watcher.message().await;
    assert_eq!((message.state(), message.failure), (MessageState::Accepted, None));
    assert_eq!(message.provider_message_ids, ["P1"]);
    gateway.deliver(&status("P1", "delivered", &format!("{id}/1"), Value::Null)).await;
    assert_eq!(watcher.message().await.state(), MessageState::Delivered);

    // A retry or resend gets the proven outcome and sends nothing.
    for resend_after_attempt in [0, 1] {
        let again = SendMessageRequest { resend_after_attempt, ..keyed_text(CONNECTLY, "a") };
        assert_eq!(gateway.send(again).await.expect("accepted").message_id, id);
    }
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    let event = accepted.event().await;
    let Some(Payload::MessageAccepted(accepted)) = event.payload else { panic!("{event:?}") };
    assert_eq!(accepted.message.expect("present").message_id, id);
}

#[tokio::test]
async fn accepted_send_appends_one_event_with_callback_data() {
    let gateway = Start::quiet().start().await;
    let mut events = subscribe(&gateway, "message.accepted").await;
    for account in [CONNECTBY, CONNECTLY] {
        let request =
            SendMessageRequest { callback_data: r#"{"order": 77}"#.to_owned(), ..keyed_text(account, "a") };
        let sent = gateway.send(request.clone()).await.expect("accepted");
        gateway.send(request).await.expect("known");
        let last = gateway.send(text(account, "the next")).await.expect("accepted");
        assert_eq!(sent.callback_data, r#"{"order": 77}"#);
        for (message, callback_data) in [(sent, r#"{"order": 77}"#), (last, "")] {
            let event = events.event().await;
            assert_eq!((event.account.as_str(), event.callback_data.as_str()), (account, callback_data));
            let Some(Payload::MessageAccepted(accepted)) = event.payload else { panic!("{event:?}") };
            assert_eq!(accepted.message, Some(message));
        }
    }
}

async fn conversation(
    gateway: &Gateway,
    account: &str,
    sender: Option<&str>,
) -> Result<Conversation, Status> {
    let request = GetConversationRequest {
        account: account.to_owned(),
        customer: "1 555-010-0001".to_owned(),
        sender: sender.map(str::to_owned),
    };
    let answer = within(gateway.conversations().get_conversation(request)).await?.into_inner();
    Ok(answer.conversation.expect("never empty"))
}

#[tokio::test]
async fn conversation_is_open_for_24_hours_after_a_customer_message() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let never = Conversation {
            account: account.to_owned(),
            customer: CUSTOMER.to_owned(),
            ..Conversation::default()
        };
        assert_eq!(conversation(&gateway, account, None).await.expect("answers"), never);
    }
    // The provider's timestamp is years ago.
    gateway.deliver(&received("m1", "hello?")).await;
    let closed = conversation(&gateway, CONNECTLY, None).await.expect("answers");
    assert_eq!(closed.last_received_time.map(|at| at.seconds), Some(1_700_000_000));
    assert_eq!(closed.session_expire_time.map(|at| at.seconds), Some(1_700_086_400));
    assert!(!closed.session_open);

    gateway.connectly().inject_message(CUSTOMER, "hello again").await;
    let open = conversation(&gateway, CONNECTLY, None).await.expect("answers");
    assert!(open.session_open);
    let seconds = |at: Option<prost_types::Timestamp>| at.expect("present").seconds;
    assert_eq!(seconds(open.session_expire_time) - seconds(open.last_received_time), 86_400);
    let number = gateway.connectly().business_number().to_owned();
    let of_number = Conversation { sender: number.clone(), ..open };
    assert_eq!(conversation(&gateway, CONNECTLY, Some(&number)).await.expect("answers"), of_number);
    let other = conversation(&gateway, CONNECTLY, Some("+15550100009")).await.expect("answers");
    assert_eq!((other.last_received_time, other.session_expire_time), (None, None));
    assert!(!other.session_open, "the window belongs to the number that the customer wrote to");
}

#[tokio::test]
async fn invalid_get_conversation_reports_all_violations() {
    let gateway = Start::quiet().start().await;
    let request = GetConversationRequest { sender: Some("x".to_owned()), ..Default::default() };
    let error = gateway.conversations().get_conversation(request).await.expect_err("all wrong");
    assert_eq!(fields(&error), ["account", "customer", "sender"]);
}

#[tokio::test]
async fn closed_session_window_fails_the_send_if_checked() {
    let gateway = Start::quiet().start().await;
    let checked = || SendMessageRequest {
        checks: Some(SendChecks { session_window: CheckMode::Enforce.into(), ..Default::default() }),
        ..text(CONNECTLY, "hi")
    };
    gateway.send(checked()).await.expect("accepted, because the store knows nothing of this customer");

    gateway.deliver(&received("m1", "hello?")).await;
    let arrived = gateway.connectly().arrivals(Operation::SendMessage);
    let error = gateway.send(checked()).await.expect_err("closed");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::FailedPrecondition, "SESSION_WINDOW_CLOSED"));
    assert_eq!(metadata(&error, "closed_since"), "2023-11-15T22:13:20Z");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), arrived);

    // Without the check, the provider decides. Templates always pass.
    gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let template = TemplateMessage { name: "no_such_template".to_owned(), ..TemplateMessage::default() };
    let template = SendMessageRequest {
        content: Some(send_message_request::Content::Template(template)),
        checks: Some(SendChecks {
            session_window: CheckMode::Enforce.into(),
            template: CheckMode::Skip.into(),
        }),
        ..checked()
    };
    let error = gateway.send(template).await.expect_err("no such template");
    assert_ne!(reason(&error), "SESSION_WINDOW_CLOSED");

    gateway.connectly().inject_message(CUSTOMER, "hello again").await;
    gateway.send(checked()).await.expect("open again");
}
