//! What is wrong with a request is told at once, all of it, with the fields' paths.

use std::time::Duration;

use switchboard::pb::v1::contact_service_client::ContactServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    Contact, CreateContactRequest, EventFilter, GetAccountRequest, MediaLink, SendMessageRequest,
    SubscribeRequest, Text, send_message_request,
};
use switchboard::sandbox::Operation;
use tonic::Code;

use crate::support::gateway::{CONNECTBY, CONNECTLY, Start, details, fields, metadata, reason, text};

#[tokio::test]
async fn every_fault_of_a_send_is_told_at_once_and_nothing_is_sent() {
    let gateway = Start::quiet().start().await;
    let told = gateway.send(SendMessageRequest::default()).await.expect_err("empty");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&told), ["account", "to", "content"]);

    let request = SendMessageRequest {
        account: "Not An Id".to_owned(),
        to: "+0".to_owned(),
        channel: 99,
        sender: Some(String::new()),
        content: Some(send_message_request::Content::Text(Text { body: " \n".to_owned() })),
        ..SendMessageRequest::default()
    };
    let told = gateway.send(request).await.expect_err("all wrong");
    assert_eq!(fields(&told), ["account", "to", "channel", "sender", "text.body"]);
    let details = details(&told);
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
async fn what_the_provider_cannot_do_is_unimplemented_with_the_fields_path() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest {
        to: "bsuid:US.778".to_owned(),
        channel: 2,
        sender: Some("+15550100002".to_owned()),
        ..text(CONNECTBY, "hi")
    };
    let told = gateway.send(request.clone()).await.expect_err("unsupported");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
    assert_eq!(fields(&told), ["to", "channel", "sender"]);

    // With a fault of its own beside it, the request itself is what is wrong.
    let told = gateway.send(SendMessageRequest { content: None, ..request }).await.expect_err("faulty");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&told), ["content", "to", "channel", "sender"]);
    assert_eq!(gateway.connectby().arrivals(Operation::SendText), 0);
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_not_found() {
    let gateway = Start::quiet().start().await;
    let get =
        gateway.accounts().get_account(GetAccountRequest { account: "nobody".to_owned() }).await.map(|_| ());
    let send = gateway.send(text("nobody", "hi")).await.map(|_| ());
    let filter = EventFilter { accounts: vec![CONNECTLY.to_owned(), "nobody".to_owned()], types: vec![] };
    let subscribe = gateway
        .subscribe(SubscribeRequest { filter: Some(filter), ..SubscribeRequest::default() })
        .await
        .map(|_| ());
    for (told, field) in [(get, "account"), (send, "account"), (subscribe, "filter.accounts[1]")] {
        let told = told.expect_err("there is nobody");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "ACCOUNT_NOT_FOUND"));
        assert_eq!(metadata(&told, "account"), "nobody");
        assert_eq!(fields(&told), [field]);
    }
}

#[tokio::test]
async fn every_fault_of_a_subscription_is_told_at_once() {
    let gateway = Start::quiet().start().await;
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let request = SubscribeRequest {
        filter: Some(EventFilter {
            accounts: vec!["UPPER".to_owned()],
            types: ["message.recieved", "message", "*", "message.status"].map(str::to_owned).to_vec(),
        }),
        start: Some(From::Position(9)),
        heartbeat_interval: seconds(0),
        idle_timeout: seconds(-1),
        ..SubscribeRequest::default()
    };
    let told = gateway.subscribe(request).await.map(|_| ()).expect_err("all wrong");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(
        fields(&told),
        [
            "filter.accounts[0]",
            "filter.types[0]",
            "filter.types[1]",
            "filter.types[2]",
            "heartbeat_interval",
            "idle_timeout",
            "position"
        ]
    );
    for seconds in [Duration::from_millis(999), Duration::from_secs(301)] {
        let request =
            SubscribeRequest { heartbeat_interval: seconds.try_into().ok(), ..SubscribeRequest::default() };
        let told = gateway.subscribe(request).await.map(|_| ()).expect_err("out of range");
        assert_eq!(fields(&told), ["heartbeat_interval"]);
    }
}

#[tokio::test]
async fn lists_and_texts_have_limits_and_only_so_many_faults_are_told() {
    let gateway = Start::quiet().start().await;
    let many = EventFilter { accounts: vec!["UPPER".to_owned(); 257], types: vec!["x".to_owned(); 257] };
    let told = gateway
        .subscribe(SubscribeRequest { filter: Some(many), ..SubscribeRequest::default() })
        .await
        .map(|_| ())
        .expect_err("too many");
    assert_eq!(fields(&told), ["filter.accounts", "filter.types"]);

    let wrong = EventFilter { accounts: vec![], types: vec!["x".to_owned(); 200] };
    let told = gateway
        .subscribe(SubscribeRequest { filter: Some(wrong), ..SubscribeRequest::default() })
        .await
        .map(|_| ())
        .expect_err("all wrong");
    assert_eq!(fields(&told).len(), 32);
    assert!(told.message().ends_with("and 192 more"), "{}", told.message());

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
    let told =
        ContactServiceClient::new(gateway.channel.clone()).create_contact(request).await.expect_err("long");
    assert_eq!(fields(&told), ["contact.name", "contact.email"]);
}

#[tokio::test]
async fn a_content_is_held_against_its_account_also_where_it_is_faulty() {
    let gateway = Start::quiet().start().await;
    let media = send_message_request::Content::Media(MediaLink {
        url: "https://x.example/a".to_owned(),
        ..MediaLink::default()
    });
    let request = SendMessageRequest { content: Some(media), ..text(CONNECTBY, "") };
    let told = gateway.send(request).await.expect_err("faulty, and not for ConnectBy");
    assert_eq!(
        (told.code(), fields(&told)),
        (Code::InvalidArgument, vec!["media.kind".to_owned(), "media".to_owned()])
    );
}

#[tokio::test]
async fn a_user_id_is_no_address_for_sms() {
    let gateway = Start::quiet().start().await;
    let request = SendMessageRequest { to: "bsuid:US.778".to_owned(), channel: 2, ..text(CONNECTLY, "hi") };
    let told = gateway.send(request).await.expect_err("a user id is WhatsApp's");
    assert_eq!((told.code(), fields(&told)), (Code::Unimplemented, vec!["to".to_owned()]));
    assert_eq!(gateway.connectly().arrivals(Operation::SendMessage), 0);
}
