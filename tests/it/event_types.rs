//! Every event type, from the provider's bytes to the event on a stream: live, from history, and after a restart.

use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Attachment, ButtonReply, Channel, Event, EventFilter, GetConversationRequest, Location, MediaKind,
    MessageEcho, MessageReceived, MessageState, Party, Referral, ReportRun, ReportStatus, StartPosition,
    SubscribeRequest, Text, Unsupported, event::Payload, message_echo, message_received,
};
use switchboard::sandbox::connectly::ConnectlyTopic;

use crate::support::gateway::{CONNECTLY, CUSTOMER, Gateway, Start, within};

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
        provider_channel: "whatsapp".to_owned(),
        ..Party::default()
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
        provider_source_type: "ad".to_owned(),
        headline: "Sale".to_owned(),
        body: "Now".to_owned(),
        provider_media_type: "image".to_owned(),
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
async fn unsupported_content_has_its_kind_and_exact_json() {
    let content = r#"{"id":"M9", "sticker":{"id":1.50,"animated":false}}"#;
    let message = received(event_of(&body_with("+15550100001", content)).await);
    let unsupported =
        |kind: &str, json: &str| Unsupported { provider_kind: kind.to_owned(), raw_json: json.to_owned() };
    assert_eq!(message.provider_message_id, "M9");
    assert_eq!(message.sender.map(|sender| sender.address).as_deref(), Some("+15550100001"));
    assert_eq!(
        message.content,
        Some(message_received::Content::Unsupported(unsupported("sticker", content)))
    );

    let list = r#"{"id":"E1","isEcho":true,"text":"Pick one","listMessage":{"button":{"text":"Open"}}}"#;
    let message = echoed(event_of(&body_with("+15550100002", list)).await);
    assert_eq!(message.provider_message_id, "E1");
    assert_eq!(message.content, Some(message_echo::Content::Unsupported(unsupported("listMessage", list))));

    // There is no object of content, so the JSON is the whole body.
    let whole = r#"{"topic":"messages", "sender":{"id":"+15550100001"},"order":[1]}"#;
    let message = received(event_of(whole).await);
    assert_eq!(message.content, Some(message_received::Content::Unsupported(unsupported("order", whole))));
}

/// A webhook of topic `messages` with this message.
fn body_with(sender: &str, message: &str) -> String {
    format!(
        r#"{{"topic":"messages","sender":{{"id":"{sender}"}},"recipient":{{"id":"+15550100002"}},"message":{message}}}"#
    )
}

#[tokio::test]
async fn unsupported_message_opens_the_session_window() {
    let gateway = Start::quiet().start().await;
    let open = async || {
        let request = GetConversationRequest {
            account: CONNECTLY.to_owned(),
            customer: CUSTOMER.to_owned(),
            ..GetConversationRequest::default()
        };
        let response = within(gateway.conversations().get_conversation(request)).await.expect("answers");
        response.into_inner().conversation.expect("never empty").session_open
    };
    assert!(!open().await);
    gateway.deliver(&body_with(CUSTOMER, r#"{"id":"M1","reaction":{"emoji":"x"}}"#)).await;
    assert!(open().await);
}

#[tokio::test]
async fn echo_has_reply_referral_metadata_and_button() {
    let body = r#"{"topic":"messages","sender":{"id":"+15550100002"},"buttonResponse":{"id":"E2","text":"Yes","payload":"1"},"context":{"replyToId":"S1"},"referral":{"headline":"Sale"},"metadata":{"campaignName": "spring"}}"#;
    let message = echoed(event_of(body).await);
    let reply = ButtonReply { text: "Yes".to_owned(), payload: "1".to_owned() };
    assert_eq!(message.content, Some(message_echo::Content::ButtonReply(reply)));
    assert_eq!(message.reply_to_provider_message_id, "S1");
    assert_eq!(message.referral.map(|referral| referral.headline).as_deref(), Some("Sale"));
    assert_eq!(message.metadata_json, r#"{"campaignName": "spring"}"#);
}

#[tokio::test]
async fn metadata_is_the_json_that_the_provider_sent() {
    let with = |metadata: &str| sample!("text").replacen('{', &format!(r#"{{"metadata":{metadata},"#), 1);
    let metadata = r#"{"campaign_name": "spring", "n": 1.50}"#;
    assert_eq!(received(event_of(&with(metadata)).await).metadata_json, metadata);
    assert_eq!(received(event_of(&with("{}")).await).metadata_json, "");
}

#[tokio::test]
async fn attachment_has_the_details_that_the_provider_sent() {
    let message = r#"{"id":"M1","attachments":[{"type":"image","url":"https://a","mimeType":"image/png","sha256":"abc=","size":1234,"id":"F1"}]}"#;
    let message = received(event_of(&body_with("+15550100001", message)).await);
    let Some(message_received::Content::Attachments(list)) = message.content else { panic!("files") };
    let image = Attachment {
        mime_type: "image/png".to_owned(),
        sha256: "abc=".to_owned(),
        size_bytes: Some(1234),
        media_id: "F1".to_owned(),
        ..file(MediaKind::Image, "https://a")
    };
    assert_eq!(list.attachments, [image]);
}

#[tokio::test]
async fn customer_without_a_phone_number_has_every_id() {
    let body = r#"{"topic":"messages","sender":{"id":"US.ENT.778","userId":"US.ENT.778","phoneNumber":"","parentUserId":"US.ENT.9","username":"ada","channelType":"rcs"},"message":{"id":"M1","text":"hi"}}"#;
    let sender = received(event_of(body).await).sender.expect("present");
    let expected = Party {
        address: "bsuid:US.ENT.778".to_owned(),
        user_id: "US.ENT.778".to_owned(),
        parent_user_id: "US.ENT.9".to_owned(),
        username: "ada".to_owned(),
        provider_channel: "rcs".to_owned(),
        ..Party::default()
    };
    assert_eq!(sender, expected);
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
        provider_report_type: "campaign.daily.v1".to_owned(),
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
    assert_eq!(types(&gateway).await, ["message.received"; 4]);
}

#[tokio::test]
async fn each_status_of_a_report_is_delivered_once() {
    let gateway = Start::quiet().start().await;
    let address = gateway.connectly().registrations().first().expect("registered").address.clone();
    gateway.connectly().set_webhook_target(ConnectlyTopic::Report, address);
    let statuses = ["processing", "failed", "completed", "archived"];
    for status in statuses {
        for _ in 0..2 {
            assert_eq!(gateway.connectly().inject_report("run-7", status).await.status, Some(200));
        }
    }
    gateway.connectly().inject_report("run-8", "completed").await;
    let mut events = gateway.subscribe(from_the_start()).await.expect("subscribed");
    let mut runs = Vec::new();
    for event in events.events(5).await {
        let Some(Payload::ReportRun(run)) = event.payload else { panic!("a report") };
        runs.push((run.run_id.clone(), run.status(), run.provider_status.clone(), !run.url.is_empty()));
    }
    let run = |id: &str, status, word: &str, url| (id.to_owned(), status, word.to_owned(), url);
    let expected = [
        run("run-7", ReportStatus::Processing, "processing", false),
        run("run-7", ReportStatus::Failed, "failed", false),
        run("run-7", ReportStatus::Completed, "completed", true),
        run("run-7", ReportStatus::Unspecified, "archived", false),
        run("run-8", ReportStatus::Completed, "completed", true),
    ];
    assert_eq!(runs, expected);
}

#[tokio::test]
async fn report_without_a_run_is_unknown() {
    let event = event_of(r#"{"topic":"report","report":{"id":"r"}}"#).await;
    let Some(Payload::Unknown(unknown)) = event.payload else { panic!("unknown") };
    assert_eq!((event.r#type.as_str(), unknown.provider_topic.as_str()), ("unknown", "report"));
}

#[tokio::test]
async fn filter_selects_reports() {
    let gateway = Start::quiet().start().await;
    gateway.deliver(sample!("audio")).await;
    gateway.deliver(sample!("report")).await;
    for word in ["report.run", "report.*"] {
        let filter = EventFilter { types: vec![word.to_owned()], ..EventFilter::default() };
        let request = SubscribeRequest { filter: Some(filter), ..from_the_start() };
        let mut subscriber = gateway.subscribe(request).await.expect("subscribed");
        assert_eq!(subscriber.event().await.r#type, "report.run", "{word}");
    }
}
