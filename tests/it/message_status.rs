//! How messages and conversations stand, asked for and watched.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::watch_message_response::Response;
use switchboard::pb::v1::{
    Error, EventFilter, GetConversationRequest, GetConversationResponse, GetMessageRequest, Message,
    MessageState, SendMessageRequest, SubscribeRequest, Template, WatchEndReason, WatchEnded,
    WatchMessageRequest, WatchMessageResponse, get_message_request, send_message_request,
    watch_message_request,
};
use switchboard::sandbox::{Fault, FaultRule, Operation};
use tonic::{Code, Status, Streaming};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, Subscriber, fields, metadata, reason, received, text,
    within,
};

/// What names a message.
#[derive(Clone, Debug)]
enum Key {
    Ours(String),
    Providers(String),
    Request(String),
}

async fn get(gateway: &Gateway, account: &str, key: Key) -> Result<Message, Status> {
    use get_message_request::Key as Given;
    let key = match key {
        Key::Ours(id) => Given::MessageId(id),
        Key::Providers(id) => Given::ProviderMessageId(id),
        Key::Request(id) => Given::RequestId(id),
    };
    let request = GetMessageRequest { account: account.to_owned(), key: Some(key) };
    Ok(within(gateway.messages().get_message(request)).await?.into_inner().message.expect("there"))
}

/// Somebody who watches a message.
struct Watcher(Streaming<WatchMessageResponse>);

impl Watcher {
    async fn of(gateway: &Gateway, account: &str, key: Key) -> Result<Self, Status> {
        use watch_message_request::Key as Given;
        let key = match key {
            Key::Ours(id) => Given::MessageId(id),
            Key::Providers(id) => Given::ProviderMessageId(id),
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
        match self.next().await.expect("the stream stands") {
            Some(Response::Message(message)) => message,
            other => panic!("no message but {other:?}"),
        }
    }

    /// The states up to the end, which must only move forward, and the end.
    async fn until_the_end(mut self) -> (Vec<MessageState>, WatchEnded) {
        let mut states = Vec::new();
        loop {
            match self.next().await.expect("the stream stands") {
                Some(Response::Message(message)) => states.push(message.state()),
                Some(Response::Ended(ended)) => {
                    assert_eq!(self.next().await.expect("ends with OK"), None);
                    assert!(states.is_sorted_by_key(|&state| state as i32), "{states:?}");
                    return (states, ended);
                }
                None => panic!("the end was not told"),
            }
        }
    }
}

fn repeatable(account: &str, id: &str) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), ..text(account, "hi") }
}

/// The body of a webhook that tells what became of a message, and brings our mark back.
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
    let filter = EventFilter { accounts: vec![], types: vec![kind.to_owned()] };
    let request = SubscribeRequest { filter: Some(filter), ..SubscribeRequest::default() };
    gateway.subscribe(request).await.expect("subscribed")
}

#[tokio::test]
async fn a_message_is_known_by_each_of_its_names() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        let sent = gateway.send(repeatable(account, "a")).await.expect("accepted");
        for key in [
            Key::Ours(sent.message_id.clone()),
            Key::Providers(sent.provider_message_ids[0].clone()),
            Key::Request("a".to_owned()),
        ] {
            assert_eq!(get(&gateway, account, key).await.expect("known"), sent);
        }
    }
    // An account knows its own only.
    let other = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let told = get(&gateway, CONNECTBY, Key::Ours(other.message_id)).await.expect_err("another's");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "MESSAGE_NOT_FOUND"));
    assert_eq!(metadata(&told, "account"), CONNECTBY);
}

#[tokio::test]
async fn what_is_wrong_with_a_name_is_told_with_its_path() {
    let gateway = Start::quiet().start().await;
    for (key, field) in [
        (Key::Ours(String::new()), "message_id"),
        (Key::Ours("msg_1".to_owned()), "message_id"),
        (Key::Providers(String::new()), "provider_message_id"),
        (Key::Request("é".to_owned()), "request_id"),
    ] {
        for told in [
            get(&gateway, CONNECTBY, key.clone()).await.map(|_| ()),
            Watcher::of(&gateway, CONNECTBY, key.clone()).await.map(|_| ()),
        ] {
            let told = told.expect_err("wrong");
            assert_eq!(
                (told.code(), fields(&told)),
                (Code::InvalidArgument, vec![field.to_owned()]),
                "{key:?}"
            );
        }
    }
    let get = gateway.messages().get_message(GetMessageRequest::default()).await.map(|_| ());
    let watch = gateway.messages().watch_message(WatchMessageRequest::default()).await.map(|_| ());
    for told in [get, watch] {
        assert_eq!(fields(&told.expect_err("empty")), ["account", "key"]);
    }
}

#[tokio::test]
async fn a_message_that_was_never_sent_is_not_found() {
    let gateway = Start::quiet().start().await;
    let nobodys = Key::Ours("msg_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
    let watched = Watcher::of(&gateway, CONNECTLY, nobodys.clone()).await.map(|_| ());
    for told in [get(&gateway, CONNECTLY, nobodys).await.map(|_| ()), watched] {
        let told = told.expect_err("never sent");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "MESSAGE_NOT_FOUND"));
    }
    // A refusal leaves nothing either.
    gateway.connectly().set_fault(FaultRule::once(Fault::status(400))).await;
    let refused = gateway.send(repeatable(CONNECTLY, "a")).await.expect_err("refused");
    for key in [Key::Ours(metadata(&refused, "message_id")), Key::Request("a".to_owned())] {
        assert_eq!(get(&gateway, CONNECTLY, key).await.expect_err("no record").code(), Code::NotFound);
    }
}

#[tokio::test]
async fn whoever_watches_sees_a_message_move_forward_to_its_end() {
    let gateway = Start::quiet().with_life().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher = Watcher::of(&gateway, CONNECTLY, Key::Ours(sent.message_id.clone())).await.expect("known");
    let (states, ended) = watcher.until_the_end().await;
    assert_eq!(states.last(), Some(&MessageState::Read));
    assert_eq!((ended.reason(), ended.error), (WatchEndReason::Terminal, None));
    let message = get(&gateway, CONNECTLY, Key::Ours(sent.message_id)).await.expect("known");
    assert_eq!(
        (message.state(), message.provider_message_ids),
        (MessageState::Read, sent.provider_message_ids)
    );
}

#[tokio::test]
async fn every_step_is_told_as_it_comes() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let provider_id = sent.provider_message_ids[0].as_str();
    let mut watcher =
        Watcher::of(&gateway, CONNECTLY, Key::Providers(provider_id.to_owned())).await.expect("known");
    assert_eq!(watcher.message().await, sent);
    let mark = format!("{}/1", sent.message_id);
    for (word, state) in [
        ("sent", MessageState::Sent),
        ("failed", MessageState::Failed),
        ("delivered", MessageState::Delivered),
        ("read", MessageState::Read),
    ] {
        gateway.deliver(&status(provider_id, word, &mark, Value::Null)).await;
        assert_eq!(watcher.message().await.state(), state);
    }
    assert!(
        matches!(watcher.next().await, Ok(Some(Response::Ended(ended))) if ended.reason() == WatchEndReason::Terminal)
    );
}

#[tokio::test]
async fn statuses_that_overtake_the_reply_are_of_the_message() {
    let gateway = Start::quiet().with_life().start().await;
    let latency = Fault::Latency(Duration::from_secs(1));
    gateway.connectly().set_fault(FaultRule::once(latency).on(Operation::SendMessage)).await;
    let send = gateway.send(repeatable(CONNECTLY, "a"));
    let watch = async {
        while gateway.connectly().arrivals(Operation::SendMessage) == 0 {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::of(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect("known");
        watcher.until_the_end().await
    };
    // The watcher sees the end before the sender has its answer.
    let mut send = std::pin::pin!(send);
    let (states, ended) = tokio::select! {
        biased;
        seen = watch => seen,
        sent = &mut send => panic!("answered first: {sent:?}"),
    };
    assert_eq!((states.last(), ended.reason()), (Some(&MessageState::Read), WatchEndReason::Terminal));
    let sent = send.await.expect("accepted");
    let message = get(&gateway, CONNECTLY, Key::Ours(sent.message_id)).await.expect("known");
    assert_eq!(message.state(), MessageState::Read, "the late reply sets nothing back");
}

#[tokio::test]
async fn statuses_in_the_wrong_order_set_nothing_back() {
    let gateway = Start::quiet().with_life().start().await;
    let mut events = subscribe(&gateway, "message.status").await;
    gateway.connectly().set_fault(FaultRule::once(Fault::ReorderStatuses)).await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher = Watcher::of(&gateway, CONNECTLY, Key::Ours(sent.message_id.clone())).await.expect("known");
    let (states, _) = watcher.until_the_end().await;
    assert_eq!(states.last(), Some(&MessageState::Read));
    for (word, stale) in [("read", false), ("delivered", true), ("sent", true)] {
        let event = events.event().await;
        let Some(Payload::MessageStatus(status)) = event.payload else { panic!("{event:?}") };
        assert_eq!((status.provider_status.as_str(), status.stale), (word, stale));
        assert_eq!((status.state_after(), &status.message_id), (MessageState::Read, &sent.message_id));
    }
    let message = get(&gateway, CONNECTLY, Key::Ours(sent.message_id)).await.expect("known");
    assert_eq!(message.state(), MessageState::Read);
}

#[tokio::test]
async fn where_the_provider_reports_nothing_the_answer_is_the_end() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTBY, "hi")).await.expect("accepted");
    let watcher = Watcher::of(&gateway, CONNECTBY, Key::Ours(sent.message_id)).await.expect("known");
    let (states, ended) = watcher.until_the_end().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Accepted], WatchEndReason::NotTracked));

    gateway.connectby().set_fault(FaultRule::once(Fault::NotJson)).await;
    gateway.send(repeatable(CONNECTBY, "a")).await.expect_err("unknown");
    let watcher = Watcher::of(&gateway, CONNECTBY, Key::Request("a".to_owned())).await.expect("known");
    let (states, ended) = watcher.until_the_end().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Unknown], WatchEndReason::NotTracked));

    // While another attempt is under way, it is not.
    let latency = Fault::Latency(Duration::from_secs(1));
    gateway.connectby().set_fault(FaultRule::once(latency)).await;
    let arrived = gateway.connectby().arrivals(Operation::SendText);
    let resend = gateway.send(SendMessageRequest { resend_after_attempt: 1, ..repeatable(CONNECTBY, "a") });
    let watch = async {
        while gateway.connectby().arrivals(Operation::SendText) == arrived {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::of(&gateway, CONNECTBY, Key::Request("a".to_owned())).await.expect("known");
        watcher.until_the_end().await
    };
    let (resent, (states, ended)) = tokio::join!(resend, watch);
    resent.expect("accepted");
    assert_eq!(states, [MessageState::Unknown, MessageState::Accepted]);
    assert_eq!(ended.reason(), WatchEndReason::NotTracked);
}

#[tokio::test]
async fn whoever_watches_a_first_attempt_that_is_refused_is_told_why() {
    let gateway = Start::quiet().start().await;
    let provider = gateway.connectly();
    for fault in [Fault::Latency(Duration::from_secs(1)), Fault::status(401)] {
        provider.set_fault(FaultRule::once(fault).on(Operation::SendMessage)).await;
    }
    let send = gateway.send(repeatable(CONNECTLY, "a"));
    let watch = async {
        while provider.arrivals(Operation::SendMessage) == 0 {
            tokio::task::yield_now().await;
        }
        let watcher = Watcher::of(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect("known");
        watcher.until_the_end().await
    };
    let (sent, (states, ended)) = tokio::join!(send, watch);
    let told = sent.expect_err("refused");
    assert_eq!((states, ended.reason()), (vec![MessageState::Pending], WatchEndReason::Refused));
    let Error { reason: why, code, metadata: known, .. } = ended.error.expect("says why");
    assert_eq!((why, code), (reason(&told), told.code() as i32));
    assert_eq!(known["message_id"], metadata(&told, "message_id"));
    let gone = get(&gateway, CONNECTLY, Key::Request("a".to_owned())).await.expect_err("no record");
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn a_message_is_watched_for_as_long_as_the_configuration_lets_it_be_known() {
    let gateway =
        Start::quiet().with("SENDS__REQUEST_ID_RETENTION", "1s").with("SENDS__RETENTION", "1s").start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let watcher = Watcher::of(&gateway, CONNECTLY, Key::Ours(sent.message_id)).await.expect("known");
    let (states, ended) = watcher.until_the_end().await;
    assert_eq!((states, ended.reason()), (vec![MessageState::Accepted], WatchEndReason::Expired));
}

#[tokio::test]
async fn a_server_that_stops_ends_the_watching() {
    let gateway = Start::quiet().start().await;
    let sent = gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let mut watcher = Watcher::of(&gateway, CONNECTLY, Key::Ours(sent.message_id)).await.expect("known");
    watcher.message().await;
    gateway.begin_to_stop();
    let told = watcher.next().await.expect_err("the server stops");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_late_status_settles_what_nobody_could_tell() {
    let gateway = Start::quiet().start().await;
    let mut accepted = subscribe(&gateway, "message.accepted").await;
    gateway.connectly().set_fault(FaultRule::once(Fault::CutReply)).await;
    let told = gateway.send(repeatable(CONNECTLY, "a")).await.expect_err("unknown");
    assert_eq!((reason(&told).as_str(), metadata(&told, "attempt").as_str()), ("SEND_OUTCOME_UNKNOWN", "1"));
    let id = metadata(&told, "message_id");
    let mut watcher = Watcher::of(&gateway, CONNECTLY, Key::Ours(id.clone())).await.expect("known");
    let doubtful = watcher.message().await;
    assert_eq!((doubtful.state(), doubtful.attempt), (MessageState::Unknown, 1));
    assert_eq!(doubtful.error.map(|error| error.reason), Some("SEND_OUTCOME_UNKNOWN".to_owned()));

    // A word that this version does not know proves all the same that the provider has it.
    gateway.deliver(&status("P1", "queued_somewhere", &format!("{id}/1"), Value::Null)).await;
    let message = watcher.message().await;
    assert_eq!((message.state(), message.error), (MessageState::Accepted, None));
    assert_eq!(message.provider_message_ids, ["P1"]);
    gateway.deliver(&status("P1", "delivered", &format!("{id}/1"), Value::Null)).await;
    assert_eq!(watcher.message().await.state(), MessageState::Delivered);

    // Whoever asks again learns it too, and nothing is sent, not even with leave to do so.
    for resend_after_attempt in [0, 1] {
        let again = SendMessageRequest { resend_after_attempt, ..repeatable(CONNECTLY, "a") };
        assert_eq!(gateway.send(again).await.expect("proven").message_id, id);
    }
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 1);
    let event = accepted.event().await;
    let Some(Payload::MessageAccepted(told)) = event.payload else { panic!("{event:?}") };
    assert_eq!(told.message.expect("there").message_id, id);
}

#[tokio::test]
async fn the_providers_yes_is_an_event_once_with_the_callers_data() {
    let gateway = Start::quiet().start().await;
    let mut events = subscribe(&gateway, "message.accepted").await;
    for account in [CONNECTBY, CONNECTLY] {
        let request =
            SendMessageRequest { callback_data: r#"{"order": 77}"#.to_owned(), ..repeatable(account, "a") };
        let sent = gateway.send(request.clone()).await.expect("accepted");
        gateway.send(request).await.expect("known");
        let last = gateway.send(text(account, "the next")).await.expect("accepted");
        assert_eq!(sent.callback_data, r#"{"order": 77}"#);
        for (message, callback_data) in [(sent, r#"{"order": 77}"#), (last, "")] {
            let event = events.event().await;
            assert_eq!((event.account.as_str(), event.callback_data.as_str()), (account, callback_data));
            let Some(Payload::MessageAccepted(told)) = event.payload else { panic!("{event:?}") };
            assert_eq!(told.message, Some(message));
        }
    }
}

async fn conversation(
    gateway: &Gateway,
    account: &str,
    sender: Option<&str>,
) -> Result<GetConversationResponse, Status> {
    let request = GetConversationRequest {
        account: account.to_owned(),
        customer: "1 555-010-0001".to_owned(),
        sender: sender.map(str::to_owned),
    };
    Ok(within(gateway.messages().get_conversation(request)).await?.into_inner())
}

#[tokio::test]
async fn a_conversation_is_open_for_a_day_after_the_customer_wrote() {
    let gateway = Start::quiet().start().await;
    for account in [CONNECTBY, CONNECTLY] {
        assert_eq!(conversation(&gateway, account, None).await.expect("answers"), Default::default());
    }
    // Long ago, by the provider's clock.
    gateway.deliver(&received("m1", "hello?")).await;
    let closed = conversation(&gateway, CONNECTLY, None).await.expect("answers");
    assert_eq!(closed.last_received_time.map(|at| at.seconds), Some(1_700_000_000));
    assert_eq!(closed.session_expire_time.map(|at| at.seconds), Some(1_700_086_400));
    assert!(!closed.session_open);

    gateway.connectly().inject_message(CUSTOMER, "hello again").await;
    let open = conversation(&gateway, CONNECTLY, None).await.expect("answers");
    assert!(open.session_open);
    let seconds = |at: Option<prost_types::Timestamp>| at.expect("there").seconds;
    assert_eq!(seconds(open.session_expire_time) - seconds(open.last_received_time), 86_400);
    let number = gateway.connectly().business_number().to_owned();
    assert_eq!(conversation(&gateway, CONNECTLY, Some(&number)).await.expect("answers"), open);
    let other = conversation(&gateway, CONNECTLY, Some("+15550100009")).await.expect("answers");
    assert_eq!(other, Default::default(), "the window is open for the number that the customer wrote to");
}

#[tokio::test]
async fn what_is_wrong_with_a_question_about_a_conversation_is_told_at_once() {
    let gateway = Start::quiet().start().await;
    let request = GetConversationRequest { sender: Some("x".to_owned()), ..Default::default() };
    let told = gateway.messages().get_conversation(request).await.expect_err("all wrong");
    assert_eq!(fields(&told), ["account", "customer", "sender"]);
}

#[tokio::test]
async fn a_closed_window_is_told_without_asking_the_provider_where_the_caller_wants_it() {
    let gateway = Start::quiet().start().await;
    let checked = || SendMessageRequest { check_session_window: true, ..text(CONNECTLY, "hi") };
    gateway.send(checked()).await.expect("of this customer, nothing is known");

    gateway.deliver(&received("m1", "hello?")).await;
    let arrived = gateway.connectly().arrivals(Operation::SendMessage);
    let told = gateway.send(checked()).await.expect_err("closed");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::FailedPrecondition, "SESSION_WINDOW_CLOSED"));
    assert_eq!(metadata(&told, "closed_since"), "2023-11-15T22:13:20Z");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), arrived);

    // Unasked, it is the provider's affair; templates always pass.
    gateway.send(text(CONNECTLY, "hi")).await.expect("accepted");
    let template = Template { name: "no_such_template".to_owned(), ..Template::default() };
    let template = SendMessageRequest {
        content: Some(send_message_request::Content::Template(template)),
        skip_template_check: true,
        ..checked()
    };
    let told = gateway.send(template).await.expect_err("there is none");
    assert_ne!(reason(&told), "SESSION_WINDOW_CLOSED");

    gateway.connectly().inject_message(CUSTOMER, "hello again").await;
    gateway.send(checked()).await.expect("open again");
}
