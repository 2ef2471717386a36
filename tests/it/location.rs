//! Locations, which Connectly sends over WhatsApp.

use switchboard::pb::v1::send_message_request::Content;
use switchboard::pb::v1::{Channel, CheckMode, Location, SendChecks, SendMessageRequest};
use switchboard::sandbox::Operation;
use tonic::Code;

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, CUSTOMER, Start, details, fields, reason, received, text,
};

fn at(latitude: f64, longitude: f64) -> Location {
    Location { latitude, longitude, ..Location::default() }
}

fn location(account: &str, location: Location) -> SendMessageRequest {
    SendMessageRequest { content: Some(Content::Location(location)), ..text(account, "") }
}

#[tokio::test]
async fn location_reaches_connectly_with_the_documented_body() {
    let gateway = Start::quiet().start().await;
    let long = "☃".repeat(1_024);
    let shop = Location { name: long.clone(), address: "1 Main Road".to_owned(), ..at(12.97, -77.59) };
    for (given, expected) in [
        (
            shop,
            serde_json::json!({"latitude": 12.97, "longitude": -77.59, "name": long, "address": "1 Main Road"}),
        ),
        (at(0.0, 0.0), serde_json::json!({"latitude": 0.0, "longitude": 0.0})),
        (at(-90.0, 180.0), serde_json::json!({"latitude": -90.0, "longitude": 180.0})),
    ] {
        let message = gateway.send(location(CONNECTLY, given)).await.expect("accepted");
        let call = gateway.connectly().calls().pop().expect("arrived");
        assert!(call.path.ends_with("/send/messages"), "{}", call.path);
        assert_eq!(
            call.json(),
            Some(serde_json::json!({
                "recipient": {"id": CUSTOMER, "channelType": "whatsapp"},
                "message": {"location": expected},
                "callbackData": {"sb": format!("{}/1", message.message_id)},
            }))
        );
    }
}

#[tokio::test]
async fn invalid_location_reports_all_violations_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let long = || "x".repeat(1_025);
    for (given, expected) in [
        (at(90.1, -180.1), &["location.latitude", "location.longitude"][..]),
        (at(f64::NAN, f64::NAN), &["location.latitude", "location.longitude"]),
        (at(0.0, f64::NEG_INFINITY), &["location.longitude"]),
        (Location { name: long(), address: long(), ..at(0.0, 0.0) }, &["location.name", "location.address"]),
    ] {
        let error = gateway.send(location(CONNECTLY, given)).await.expect_err("out of range");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), expected);
        let violations = details(&error).bad_request().expect("violations").field_violations.clone();
        assert!(violations.iter().all(|violation| violation.reason == "OUT_OF_RANGE"), "{violations:?}");
    }
    let sms = SendMessageRequest { channel: Channel::Sms.into(), ..location(CONNECTLY, at(f64::NAN, 0.0)) };
    let error = gateway.send(sms).await.expect_err("both wrong");
    assert_eq!(fields(&error), ["location.latitude", "channel"]);
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn location_over_sms_or_to_connectby_is_unsupported() {
    let gateway = Start::quiet().start().await;
    let sms = SendMessageRequest { channel: Channel::Sms.into(), ..location(CONNECTLY, at(1.0, 2.0)) };
    for (request, field) in [(sms, "channel"), (location(CONNECTBY, at(1.0, 2.0)), "location")] {
        let error = gateway.send(request).await.expect_err("unsupported");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), [field]);
    }
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn location_is_sent_only_in_an_open_session_if_checked() {
    let gateway = Start::quiet().start().await;
    let checks = Some(SendChecks { session_window: CheckMode::Enforce.into(), ..SendChecks::default() });
    let checked = SendMessageRequest { checks, ..location(CONNECTLY, at(1.0, 2.0)) };
    gateway.deliver(&received("m1", "an old message")).await;
    let error = gateway.send(checked.clone()).await.expect_err("closed");
    assert_eq!(reason(&error), "SESSION_WINDOW_CLOSED");
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 0);
    gateway.connectly().inject_message(CUSTOMER, "hello").await;
    gateway.send(checked).await.expect("open");
}
