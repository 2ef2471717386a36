//! An invalid request fails at once and reports every violation with its field path.

use std::time::Duration;

use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Contact, CreateContactRequest, EventFilter, GetAccountRequest, Media, SendMessageRequest,
    SubscribeRequest, Text, media, send_message_request,
};
use switchboard::sandbox::Operation;
use tonic::Code;

use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, details, fields, metadata, reason, text};

#[tokio::test]
async fn invalid_send_reports_all_violations_and_sends_nothing() {
    let gateway = Start::quiet().start().await;
    let error = gateway.send(SendMessageRequest::default()).await.expect_err("empty");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["account", "to", "content"]);

    let request = SendMessageRequest {
        account: "Not An Id".to_owned(),
        to: "+0".to_owned(),
        channel: 99,
        sender: Some(String::new()),
        content: Some(send_message_request::Content::Text(Text { body: " \n".to_owned() })),
        ..SendMessageRequest::default()
    };
    let error = gateway.send(request).await.expect_err("all wrong");
    assert_eq!(fields(&error), ["account", "to", "channel", "sender", "text.body"]);
    let details = details(&error);
    let reasons: Vec<_> = details
        .bad_request()
        .expect("violations")
        .field_violations
        .iter()
        .map(|v| v.reason.as_str())
        .collect();
    assert_eq!(reasons, ["MALFORMED", "MALFORMED", "UNKNOWN_VALUE", "REQUIRED", "REQUIRED"]);
    assert_eq!(gateway.connectby().calls().len() + gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn unsupported_field_is_unimplemented_with_its_path() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest {
        to: "bsuid:US.778".to_owned(),
        channel: 2,
        sender: Some("+15550100002".to_owned()),
        ..text(CONNECTBY, "hi")
    };
    let error = gateway.send(request.clone()).await.expect_err("unsupported");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
    assert_eq!(fields(&error), ["to", "channel", "sender"]);

    // A request that is also invalid is INVALID_ARGUMENT.
    let error = gateway.send(SendMessageRequest { content: None, ..request }).await.expect_err("invalid");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["content", "to", "channel", "sender"]);
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 0);
}

#[tokio::test]
async fn unknown_account_is_not_found() {
    let gateway = Start::quiet().start().await;
    let get = gateway
        .accounts()
        .get_account(GetAccountRequest { account: "unknown-account".to_owned() })
        .await
        .map(|_| ());
    let send = gateway.send(text("unknown-account", "hi")).await.map(|_| ());
    let filter = EventFilter {
        accounts: vec![CONNECTLY.to_owned(), "unknown-account".to_owned()],
        ..EventFilter::default()
    };
    let subscribe = gateway
        .subscribe(SubscribeRequest { filter: Some(filter), ..SubscribeRequest::default() })
        .await
        .map(|_| ());
    for (error, field) in [(get, "account"), (send, "account"), (subscribe, "filter.accounts[1]")] {
        let error = error.expect_err("no such account");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
        assert_eq!(metadata(&error, "account"), "unknown-account");
        assert_eq!(fields(&error), [field]);
    }
}

#[tokio::test]
async fn invalid_subscribe_reports_all_violations() {
    let gateway = Start::quiet().start().await;
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let request = SubscribeRequest {
        filter: Some(EventFilter {
            accounts: vec!["UPPER".to_owned()],
            types: ["message.recieved", "message", "*", "message.status"].map(str::to_owned).to_vec(),
            customers: vec!["+15550100001".to_owned(), "nobody".to_owned()],
        }),
        start: Some(From::Position(9)),
        heartbeat_interval: seconds(0),
        idle_timeout: seconds(-1),
        ..SubscribeRequest::default()
    };
    let error = gateway.subscribe(request).await.map(|_| ()).expect_err("all wrong");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(
        fields(&error),
        [
            "filter.accounts[0]",
            "filter.types[0]",
            "filter.types[1]",
            "filter.types[2]",
            "filter.customers[1]",
            "heartbeat_interval",
            "idle_timeout",
            "position"
        ]
    );
    for seconds in [Duration::from_millis(999), Duration::from_secs(301)] {
        let request =
            SubscribeRequest { heartbeat_interval: seconds.try_into().ok(), ..SubscribeRequest::default() };
        let error = gateway.subscribe(request).await.map(|_| ()).expect_err("out of range");
        assert_eq!(fields(&error), ["heartbeat_interval"]);
    }
}

#[tokio::test]
async fn violations_are_limited_and_lists_and_texts_have_limits() {
    let gateway = Start::quiet().start().await;
    let many = EventFilter {
        accounts: vec!["UPPER".to_owned(); 257],
        types: vec!["x".to_owned(); 257],
        customers: vec!["x".to_owned(); 257],
    };
    let error = gateway
        .subscribe(SubscribeRequest { filter: Some(many), ..SubscribeRequest::default() })
        .await
        .map(|_| ())
        .expect_err("too many");
    assert_eq!(fields(&error), ["filter.accounts", "filter.types", "filter.customers"]);

    let wrong = EventFilter { types: vec!["x".to_owned(); 200], ..EventFilter::default() };
    let error = gateway
        .subscribe(SubscribeRequest { filter: Some(wrong), ..SubscribeRequest::default() })
        .await
        .map(|_| ())
        .expect_err("all wrong");
    assert_eq!(fields(&error).len(), 32);
    assert!(error.message().ends_with("and 192 more"), "{}", error.message());

    let contact = Contact {
        name: "n".repeat(513),
        country_code: "91".to_owned(),
        phone_number: "9812345670".to_owned(),
        email: Some("e".repeat(321)),
        note: Some("☃".repeat(4_096)),
        ..Contact::default()
    };
    let request = CreateContactRequest {
        account: CONNECTBY.to_owned(),
        contact: Some(contact),
        ..CreateContactRequest::default()
    };
    let error =
        ContactServiceClient::new(gateway.channel.clone()).create_contact(request).await.expect_err("long");
    assert_eq!(fields(&error), ["contact.name", "contact.email"]);
}

#[tokio::test]
async fn invalid_content_is_also_checked_for_provider_support() {
    let gateway = Start::quiet().start().await;
    let media = send_message_request::Content::Media(Media {
        source: Some(media::Source::Url("https://x.example/a".to_owned())),
        ..Media::default()
    });
    let request = SendMessageRequest { content: Some(media), ..text(CONNECTBY, "") };
    let error = gateway.send(request).await.expect_err("invalid, and unsupported by ConnectBy");
    assert_eq!(
        (error.code(), fields(&error)),
        (Code::InvalidArgument, vec!["media.kind".to_owned(), "media".to_owned()])
    );
}

#[tokio::test]
async fn user_id_as_sms_recipient_is_unsupported() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest { to: "bsuid:US.778".to_owned(), channel: 2, ..text(CONNECTLY, "hi") };
    let error = gateway.send(request).await.expect_err("user ids exist on WhatsApp only");
    assert_eq!((error.code(), fields(&error)), (Code::Unimplemented, vec!["to".to_owned()]));
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 0);
}
