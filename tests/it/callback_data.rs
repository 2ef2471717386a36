//! `callback_data`: client data that the events of a message carry.

use serde_json::json;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::{Event, Media, MediaHeader, MediaKind, SendMediaRequest, SendMessageRequest};
use switchboard::pb::v1::{SubscribeRequest, TemplateMessage, media, parameter};
use switchboard::sandbox::connectly::{Answer, Delivery};
use tonic::Code;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, details, fields, reason, text, within,
};

/// JSON that parsing and serializing would change.
const DATA: &str = r#"{ "b":1.50,"a":"\u00e9", "n":12345678901234567890123 }"#;

/// Callback data of the maximum length.
fn longest() -> String {
    format!("\"{}\"", "é".repeat(479))
}

fn contents() -> [Content; 3] {
    let Some(words) = text("", "hello").content else { unreachable!("it has one") };
    let value = Some(parameter::Value::Text("Ada".to_owned()));
    let filled = TemplateMessage {
        name: "named_greeting".to_owned(),
        language: "en".to_owned(),
        body: vec![switchboard::pb::v1::Parameter { name: "var1".to_owned(), value }],
        ..TemplateMessage::default()
    };
    let link = Media {
        kind: MediaKind::Image.into(),
        source: Some(media::Source::Url("https://files.example.org/a".to_owned())),
        ..Media::default()
    };
    [words, Content::Template(filled), Content::Media(link)]
}

fn with(callback_data: &str, content: Content) -> SendMessageRequest {
    SendMessageRequest {
        callback_data: callback_data.to_owned(),
        content: Some(content),
        ..text(CONNECTLY, "")
    }
}

/// The events of the injected webhooks, after the server has answered each with 200.
async fn events_after(gateway: &Gateway, delivered: [Option<Delivery>; 4]) -> Vec<Event> {
    for delivery in delivered {
        assert_eq!(delivery.expect("a known message").status, Some(200));
    }
    let start = switchboard::pb::v1::subscribe_request::Start::Position(
        switchboard::pb::v1::StartPosition::Earliest.into(),
    );
    let filter = switchboard::pb::v1::EventFilter {
        types: ["message.status", "message.echo", "message.received"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let request =
        SubscribeRequest { start: Some(start), filter: Some(filter), ..SubscribeRequest::default() };
    gateway.subscribe(request).await.expect("subscribed").events(4).await
}

#[tokio::test]
async fn callback_data_reaches_connectly_unchanged_beside_the_tag() {
    let gateway = Start::quiet().start().await;
    for data in [DATA, &longest(), "null", "0"] {
        for content in contents() {
            let message = gateway.send(with(data, content)).await.expect("accepted");
            let call = gateway.connectly().calls().pop().expect("arrived");
            let body = std::str::from_utf8(&call.body).expect("text");
            let expected = format!(r#""callbackData":{{"sb":"{}/1","d":{data}}}"#, message.message_id);
            assert!(body.contains(&expected), "{body}");
        }
    }
}

#[tokio::test]
async fn events_of_a_message_contain_callback_data_but_not_the_tag() {
    for (data, expected) in [(r#"{"order":77}"#, r#"{"order":77}"#), ("", "")] {
        let gateway = Start::quiet().start().await;
        let [words, ..] = contents();
        let message = gateway.send(with(data, words)).await.expect("accepted");
        let id = message.provider_message_ids[0].as_str();
        let connectly = gateway.connectly();
        let delivered = [
            connectly.inject_status(id, "sent").await,
            connectly.inject_echo(id).await,
            connectly.inject_answer(id, Answer::Quote("this one?")).await,
            connectly.inject_answer(id, Answer::Button { text: "Yes", payload: "1" }).await,
        ];
        for event in events_after(&gateway, delivered).await {
            assert_eq!(event.callback_data, expected, "{}", event.r#type);
        }
    }
}

#[tokio::test]
async fn invalid_callback_data_fails_with_path_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let long = format!("{} ", longest());
    for (data, violation) in [
        (long.as_str(), "OUT_OF_RANGE"),
        ("secret-7", "MALFORMED"),
        ("{}{}", "MALFORMED"),
        (" ", "MALFORMED"),
    ] {
        for account in [CONNECTBY, CONNECTLY] {
            let request = SendMessageRequest { callback_data: data.to_owned(), ..text(account, "hi") };
            let error = gateway.send(request).await.expect_err("invalid");
            assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
            assert_eq!(fields(&error), ["callback_data"]);
            let violations = details(&error).bad_request().expect("violations").field_violations.clone();
            assert_eq!(violations[0].reason, violation);
            assert!(!error.message().contains("secret-7"), "{error:?}");
        }
        let header = MediaHeader {
            account: CONNECTBY.to_owned(),
            to: CUSTOMER.to_owned(),
            callback_data: data.to_owned(),
            ..MediaHeader::default()
        };
        let first = SendMediaRequest { header: Some(header), chunk: b"words".to_vec().into() };
        let error =
            within(gateway.messages().send_media(tokio_stream::once(first))).await.expect_err("invalid");
        assert_eq!(fields(&error), ["header.callback_data"]);
    }
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn connectby_send_accepts_callback_data_and_does_not_pass_it_on() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest { callback_data: DATA.to_owned(), ..text(CONNECTBY, "hi") };
    gateway.send(request).await.expect("accepted");
    let call = gateway.connectby().calls().pop().expect("arrived");
    assert_eq!(call.json(), Some(json!({"to_number": "15550100001", "message": "hi"})));
}
