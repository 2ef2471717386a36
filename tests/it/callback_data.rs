//! What a caller wants back with the events of a message.

use serde_json::json;
use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::{Event, MediaHeader, MediaKind, MediaLink, SendMediaRequest, SendMessageRequest};
use switchboard::pb::v1::{SubscribeRequest, Template, parameter};
use switchboard::sandbox::connectly::{CustomerReply, Delivery};
use tonic::Code;

use crate::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, details, fields, reason, text, within};

/// JSON that a parser and a serialiser would change.
const DATA: &str = r#"{ "b":1.50,"a":"\u00e9", "n":12345678901234567890123 }"#;

/// Bytes as long as callback data may be.
fn longest() -> String {
    format!("\"{}\"", "é".repeat(479))
}

fn contents() -> [Content; 3] {
    let Some(words) = text("", "hello").content else { unreachable!("it has one") };
    let value = Some(parameter::Value::Text("Ada".to_owned()));
    let filled = Template {
        name: "named_greeting".to_owned(),
        language: "en".to_owned(),
        body: vec![switchboard::pb::v1::Parameter { name: "var1".to_owned(), value }],
        ..Template::default()
    };
    let link = MediaLink {
        kind: MediaKind::Image.into(),
        url: "https://files.example.org/a".to_owned(),
        ..MediaLink::default()
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

/// The events that follow, after the provider has taken the answers to its webhooks.
async fn events_after(gateway: &Gateway, delivered: [Option<Delivery>; 4]) -> Vec<Event> {
    for delivery in delivered {
        assert_eq!(delivery.expect("a message of its").status, Some(200));
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
async fn callback_data_reaches_connectly_byte_for_byte_beside_our_mark_with_every_content() {
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
async fn callback_data_comes_back_with_all_that_is_about_the_message_and_our_mark_never_does() {
    for (data, expected) in [(r#"{"order":77}"#, r#"{"order":77}"#), ("", "")] {
        let gateway = Start::quiet().start().await;
        let [words, ..] = contents();
        let message = gateway.send(with(data, words)).await.expect("accepted");
        let id = message.provider_message_ids[0].as_str();
        let connectly = gateway.connectly();
        let delivered = [
            connectly.inject_status(id, "sent").await,
            connectly.inject_echo(id).await,
            connectly.inject_reply(id, CustomerReply::Quote("this one?")).await,
            connectly.inject_reply(id, CustomerReply::Button { text: "Yes", payload: "1" }).await,
        ];
        for event in events_after(&gateway, delivered).await {
            assert_eq!(event.callback_data, expected, "{}", event.r#type);
        }
    }
}

#[tokio::test]
async fn callback_data_that_is_too_long_or_no_json_is_told_with_its_path_and_nothing_is_sent() {
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
            let told = gateway.send(request).await.expect_err("faulty");
            assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
            assert_eq!(fields(&told), ["callback_data"]);
            let violations = details(&told).bad_request().expect("violations").field_violations.clone();
            assert_eq!(violations[0].reason, violation);
            assert!(!told.message().contains("secret-7"), "{told:?}");
        }
        let header = MediaHeader {
            account: CONNECTBY.to_owned(),
            to: CUSTOMER.to_owned(),
            callback_data: data.to_owned(),
            ..MediaHeader::default()
        };
        let first = SendMediaRequest { header: Some(header), chunk: b"words".to_vec().into() };
        let told =
            within(gateway.messages().send_media(tokio_stream::once(first))).await.expect_err("faulty");
        assert_eq!(fields(&told), ["header.callback_data"]);
    }
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn callback_data_is_no_reason_to_refuse_a_send_at_connectby_and_does_not_reach_it() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest { callback_data: DATA.to_owned(), ..text(CONNECTBY, "hi") };
    gateway.send(request).await.expect("accepted");
    let call = gateway.connectby().calls().pop().expect("arrived");
    assert_eq!(call.json(), Some(json!({"to_number": "15550100001", "message": "hi"})));
}
