//! Every event type, from the provider's bytes to the event on a stream: live, from history, and after a restart.

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Attachment, ButtonReply, Channel, Event, EventFilter, Location, MediaKind, MessageEcho, MessageReceived,
    MessageState, Party, Referral, ReportRun, ReportStatus, StartPosition, SubscribeRequest, Text,
    event::Payload, message_echo, message_received,
};

use crate::support::gateway::{CONNECTLY, Gateway, Start};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../fixtures/connectly/", $name, ".json"))
    };
}

fn from_the_start() -> SubscribeRequest {
    SubscribeRequest {
        start: Some(From::Position(StartPosition::Earliest.into())),
        ..SubscribeRequest::default()
    }
}

/// Delivers a body and reads its event live, from history, and after a restart, when no event is in memory. All three
/// must be equal.
async fn event_of(body: &str) -> Event {
    let gateway = Start::quiet().start().await;
    let mut live = gateway.subscribe(SubscribeRequest::default()).await.expect("subscribed");
    gateway.deliver(body).await;
    let live = live.event().await;
    let mut history = gateway.subscribe(from_the_start()).await.expect("subscribed");
    assert_eq!(history.event().await, live, "from history");
    let gateway = Start::quiet().on(gateway.stop().await).start().await;
    let mut restarted = gateway.subscribe(from_the_start()).await.expect("subscribed");
    assert_eq!(restarted.event().await, live, "after a restart");
    live
}

fn received(event: Event) -> MessageReceived {
    assert_eq!((event.r#type.as_str(), event.account.as_str()), ("message.received", CONNECTLY));
    match event.payload {
        Some(Payload::MessageReceived(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn echoed(event: Event) -> MessageEcho {
    assert_eq!(event.r#type, "message.echo");
    match event.payload {
        Some(Payload::MessageEcho(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn party(number: &str, name: &str) -> Option<Party> {
    Some(Party {
        address: number.to_owned(),
        phone_number: number.to_owned(),
        user_id: String::new(),
        name: name.to_owned(),
        channel: Channel::Whatsapp.into(),
        ..Default::default()
    })
}

fn file(kind: MediaKind, url: &str) -> Attachment {
    Attachment {
        kind: kind.into(),
        provider_kind: kind.as_str_name().trim_start_matches("MEDIA_KIND_").to_ascii_lowercase(),
        url: url.to_owned(),
        ..Attachment::default()
    }
}

#[tokio::test]
async fn audio_message_has_kind_and_url() {
    let event = event_of(sample!("audio")).await;
    assert_eq!(event.occur_time.map(|time| (time.seconds, time.nanos)), Some((1_700_000_001, 0)));
    let message = received(event);
    assert_eq!(message.provider_message_id, "01J0000000000000000000IN01");
    assert_eq!(message.sender, party("+15550100001", "Ada"));
    assert_eq!(message.recipient, party("+15550100002", "Shop"));
    let Some(message_received::Content::Attachments(list)) = message.content else { panic!("files") };
    let url = "https://cdn.connectly.ai/aa00/00000000-0000-4000-8000-000000000001";
    assert_eq!(list.attachments, [file(MediaKind::Audio, url)]);
}

#[tokio::test]
async fn video_outside_the_message_has_the_text_as_caption() {
    let message = received(event_of(sample!("video_beside")).await);
    let Some(message_received::Content::Attachments(list)) = message.content else { panic!("files") };
    let url = "https://cdn.connectly.ai/aa00/00000000-0000-4000-8000-000000000005";
    let video = Attachment { caption: "Look".to_owned(), ..file(MediaKind::Video, url) };
    assert_eq!(list.attachments, [video]);
}

#[tokio::test]
async fn location_message_has_coordinates() {
    let message = received(event_of(sample!("location")).await);
    let location = Location {
        latitude: 12.97,
        longitude: 77.59,
        name: "Shop".to_owned(),
        address: "1 Main Road".to_owned(),
    };
    assert_eq!(message.content, Some(message_received::Content::Location(location)));
}

#[tokio::test]
async fn button_reply_has_replied_message_and_callback_data() {
    let event = event_of(sample!("button")).await;
    assert_eq!(event.callback_data, r#"{"order":"77"}"#);
    let message = received(event);
    assert_eq!(message.provider_message_id, "01J0000000000000000000IN02");
    assert_eq!(message.reply_to_provider_message_id, "018d0000-0000-7000-8000-00000000000a");
    let reply = ButtonReply { text: "Yes".to_owned(), payload: "1".to_owned() };
    assert_eq!(message.content, Some(message_received::Content::ButtonReply(reply)));
}

#[tokio::test]
async fn legacy_button_reply_has_no_payload() {
    let message = received(event_of(sample!("button_legacy")).await);
    let reply = ButtonReply { text: "Yes".to_owned(), payload: String::new() };
    assert_eq!(message.content, Some(message_received::Content::ButtonReply(reply)));
    let recipient = message.recipient.expect("present");
    assert_eq!((recipient.address.as_str(), recipient.phone_number.as_str()), ("123456123", ""));
}

#[tokio::test]
async fn message_from_an_ad_has_its_referral() {
    let message = received(event_of(sample!("referral")).await);
    let text = Text { body: "I saw your ad".to_owned() };
    assert_eq!(message.content, Some(message_received::Content::Text(text)));
    let referral = Referral {
        source_url: "https://ads.example.org/1".to_owned(),
        source_id: "9".to_owned(),
        source_type: "ad".to_owned(),
        headline: "Sale".to_owned(),
        body: "Now".to_owned(),
        media_type: "image".to_owned(),
        image_url: "https://img.example.org/1".to_owned(),
        video_url: String::new(),
        thumbnail_url: String::new(),
        click_id: "CLID".to_owned(),
    };
    assert_eq!(message.referral, Some(referral));
}

#[tokio::test]
async fn echo_has_its_attachments() {
    let event = event_of(sample!("echo")).await;
    assert_eq!(event.callback_data, r#"{"order":"77"}"#);
    let message = echoed(event);
    assert_eq!(message.provider_message_id, "01J0000000000000000000EC06");
    assert_eq!(message.sender, party("+15550100002", "Shop"));
    let Some(message_echo::Content::Attachments(list)) = message.content else { panic!("files") };
    let invoice = Attachment {
        caption: "Invoice".to_owned(),
        file_name: "a.pdf".to_owned(),
        ..file(MediaKind::Document, "https://files.example.org/a.pdf")
    };
    assert_eq!(list.attachments, [invoice]);
}

#[tokio::test]
async fn unreadable_echo_has_no_content() {
    let body = r#"{"topic":"messages","sender":{"id":"+15550100002"},"message":{"id":"E1","isEcho":true,"text":"Pick one","listMessage":{"button":{"text":"Open"}}}}"#;
    let message = echoed(event_of(body).await);
    assert_eq!((message.provider_message_id.as_str(), message.content), ("E1", None));
    let pressed = r#"{"sender":{"id":"+15550100002"},"buttonResponse":{"id":"E2","text":"Yes"}}"#;
    let message = echoed(event_of(pressed).await);
    assert_eq!((message.provider_message_id.as_str(), message.content), ("E2", None));
}

#[tokio::test]
async fn failed_status_has_the_providers_error() {
    let event = event_of(sample!("delivery_failed")).await;
    assert_eq!(
        (event.r#type.as_str(), event.callback_data.as_str()),
        ("message.status", r#"{"order":"77"}"#)
    );
    let Some(Payload::MessageStatus(status)) = event.payload else { panic!("a status") };
    assert_eq!((status.status(), status.provider_status.as_str()), (MessageState::Failed, "delivery_failed"));
    assert_eq!(status.provider_message_id, "01J000000000000000000MOCK1");
    assert_eq!(status.campaign_name, "spring");
    let error = status.failure.expect("an error");
    assert_eq!(error.reason, "TEMPLATE_PARAMETERS_REJECTED");
    assert_eq!(error.provider_trace_id, "10000000000000000002");
    let sent = sample!("delivery_failed");
    assert!(error.raw_json.starts_with('{') && sent.contains(&error.raw_json));
}

#[tokio::test]
async fn completed_report_has_url_and_times() {
    let event = event_of(sample!("report")).await;
    assert_eq!(event.r#type, "report.run");
    let Some(Payload::ReportRun(report)) = event.payload else { panic!("a report") };
    let seconds = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let expected = ReportRun {
        report_id: "rep-1".to_owned(),
        name: "Daily campaigns".to_owned(),
        report_type: "campaign.daily.v1".to_owned(),
        run_id: "run-7".to_owned(),
        status: ReportStatus::Completed.into(),
        provider_status: "completed".to_owned(),
        url: "https://cdn.connectly.ai/reports/run-7.csv?signature=0a1b".to_owned(),
        expire_time: seconds(1_795_241_400),
        create_time: seconds(1_795_240_800),
    };
    assert_eq!(report, expected);
    assert_eq!(event.occur_time, seconds(1_795_240_805));
}

/// The types of all events in the journal.
async fn types(gateway: &Gateway) -> Vec<String> {
    gateway.deliver(r#"{"topic":"last"}"#).await;
    let mut subscriber = gateway
        .subscribe(SubscribeRequest { include_raw: true, ..from_the_start() })
        .await
        .expect("subscribed");
    let mut types = Vec::new();
    loop {
        let event = subscriber.event().await;
        if event.raw_body.as_ref() == br#"{"topic":"last"}"# {
            return types;
        }
        types.push(event.r#type);
    }
}

#[tokio::test]
async fn duplicate_of_any_event_type_is_dropped_by_identity() {
    let gateway = Start::quiet().start().await;
    let stamped = |body: &str| body.replacen('{', r#"{"attempt":2,"#, 1);
    for body in [
        sample!("audio"),
        sample!("button"),
        sample!("location"),
        sample!("echo"),
        sample!("delivery_failed"),
        sample!("report"),
    ] {
        gateway.deliver(body).await;
        gateway.deliver(body).await;
        gateway.deliver(&stamped(body)).await;
    }
    let once = [
        "message.received",
        "message.received",
        "message.received",
        "message.echo",
        "message.status",
        "report.run",
    ];
    assert_eq!(types(&gateway).await, once);
}

#[tokio::test]
async fn unreadable_webhook_is_never_deduplicated_by_message_id() {
    let gateway = Start::quiet().start().await;
    for body in [
        r#"{"message":{"id":"M1","text":"look"}}"#,
        r#"{"message":{"id":"M1","reaction":{"emoji":"x"}}}"#,
        r#"{"message":{"id":"M1","reaction":{"emoji":"y"}}}"#,
        r#"{"message":{"id":"M1","sticker":{}}}"#,
    ] {
        gateway.deliver(body).await;
    }
    assert_eq!(types(&gateway).await, ["message.received", "unknown", "unknown", "unknown"]);
}

#[tokio::test]
async fn report_in_progress_does_not_hide_its_completion() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(&sample!("report").replace("completed", "processing")).await;
    gateway.deliver(sample!("report")).await;
    assert_eq!(types(&gateway).await, ["unknown", "report.run"]);
}

#[tokio::test]
async fn filter_selects_reports() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(sample!("audio")).await;
    gateway.deliver(sample!("report")).await;
    for word in ["report.run", "report.*"] {
        let filter = EventFilter { accounts: vec![], types: vec![word.to_owned()], ..EventFilter::default() };
        let request = SubscribeRequest { filter: Some(filter), ..from_the_start() };
        let mut subscriber = gateway.subscribe(request).await.expect("subscribed");
        assert_eq!(subscriber.event().await.r#type, "report.run", "{word}");
    }
}
