//! Every RPC of the contract, called with the Rust client.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use switchboard::pb::FILE_DESCRIPTOR_SET;
use switchboard_client::v1::subscribe_request::Start as From;
use switchboard_client::v1::{
    AcknowledgeRequest, Contact, CreateContactRequest, CreateSubscriptionRequest, CreateWebhookRequest,
    DeleteContactRequest, DeleteSubscriptionRequest, DeleteWebhookRequest, EventFilter, ExpiredPolicy,
    GetAccountRequest, GetConversationRequest, GetMessageRequest, GetSubscriptionRequest, GetTemplateRequest,
    ListAccountsRequest, ListContactsRequest, ListEventsRequest, ListFlowResponsesRequest,
    ListSubscriptionsRequest, ListTemplatesRequest, ListWebhooksRequest, MediaHeader,
    SeekSubscriptionRequest, SendMessagesRequest, StartPosition, SubscribeRequest, UpdateContactRequest,
    UpdateSubscriptionRequest, UpdateWebhookRequest, UploadTemplateMediaHeader, VerifyWebhookRequest,
    WatchMessageRequest, WebhookTopic, create_subscription_request, get_message_request, list_events_request,
    seek_subscription_request, send_messages_response, watch_message_request, watch_message_response,
};
use switchboard_client::{Call, Client, StreamItem};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::{connect, of_server, text, text_of};
use crate::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, received, within};
use crate::reading::trimmed;

/// A client, and the RPCs that succeeded.
struct Recorder {
    client: Client,
    succeeded: BTreeSet<String>,
}

impl Recorder {
    async fn call<C: Call>(&mut self, request: C) -> C::Response {
        let name = std::any::type_name::<C>().rsplit("::").next().expect("a name");
        let response =
            within(self.client.call(request)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.succeeded(name.strip_suffix("Request").expect("a request"));
        response
    }

    fn succeeded(&mut self, name: &str) {
        self.succeeded.insert(name.to_owned());
    }
}

#[tokio::test]
async fn client_can_call_every_rpc() {
    let gateway = Start::quiet().start().await;
    let mut recorder = Recorder { client: connect(&gateway).await, succeeded: BTreeSet::new() };
    accounts_and_messages(&mut recorder).await;
    contacts_flows_and_templates(&mut recorder).await;
    events(&mut recorder, &gateway).await;
    webhooks(&mut recorder).await;

    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("decodes");
    let services =
        files.file.iter().filter(|file| file.package() == "switchboard.v1").flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method).map(|method| method.name().to_owned());
    assert_eq!(recorder.succeeded, methods.collect());
}

async fn accounts_and_messages(recorder: &mut Recorder) {
    let accounts = recorder.call(ListAccountsRequest {}).await.accounts;
    assert_eq!(accounts.len(), 2);
    let account = recorder.call(GetAccountRequest { account: CONNECTLY.to_owned() }).await.account;
    assert_eq!(account.expect("there").id, CONNECTLY);

    let sent = recorder.call(text(CONNECTLY, "Hello!")).await;
    assert!(!sent.replayed);
    let id = sent.message.expect("sent").message_id;
    let key = Some(get_message_request::Key::MessageId(id.clone()));
    let message = recorder.call(GetMessageRequest { account: CONNECTLY.to_owned(), key }).await.message;
    assert_eq!(message.expect("known").message_id, id);
    recorder
        .call(GetConversationRequest {
            account: CONNECTLY.to_owned(),
            customer: CUSTOMER.to_owned(),
            ..GetConversationRequest::default()
        })
        .await;

    let header = MediaHeader {
        account: CONNECTBY.to_owned(),
        to: CUSTOMER.to_owned(),
        file_name: "a.txt".to_owned(),
        ..MediaHeader::default()
    };
    let sent = within(recorder.client.send_media(header, &b"Hello!\n"[..])).await.expect("sent");
    assert!(sent.message.is_some());
    recorder.succeeded("SendMedia");

    // Streams of messages use the generated client.
    let request = SendMessagesRequest { tag: "1".to_owned(), request: Some(text(CONNECTLY, "Hello again!")) };
    let sending = recorder.client.messages().send_messages(tokio_stream::once(request)).await;
    let response =
        within(sending.expect("open").into_inner().message()).await.expect("open").expect("a response");
    assert_eq!(response.tag, "1");
    assert!(matches!(response.result, Some(send_messages_response::Result::Response(_))), "{response:?}");
    recorder.succeeded("SendMessages");

    let key = Some(watch_message_request::Key::MessageId(id.clone()));
    let request = WatchMessageRequest { account: CONNECTLY.to_owned(), key };
    let watching = within(recorder.client.messages().watch_message(request)).await.expect("known");
    match within(watching.into_inner().message()).await.expect("open").expect("the first").response {
        Some(watch_message_response::Response::Message(message)) => assert_eq!(message.message_id, id),
        other => panic!("expected a message, got {other:?}"),
    }
    recorder.succeeded("WatchMessage");
}

async fn contacts_flows_and_templates(recorder: &mut Recorder) {
    let account = || CONNECTBY.to_owned();
    let contact = Contact {
        name: "Ada".to_owned(),
        country_code: "91".to_owned(),
        phone_number: "9812345670".to_owned(),
        ..Contact::default()
    };
    let create = CreateContactRequest {
        account: account(),
        contact: Some(contact),
        ..CreateContactRequest::default()
    };
    let id = recorder.call(create).await.contact.expect("made").id;
    let changed = Contact { id: id.clone(), name: "Ada L.".to_owned(), ..Contact::default() };
    recorder.call(UpdateContactRequest { account: account(), contact: Some(changed) }).await;
    let list = ListContactsRequest { account: account(), ..ListContactsRequest::default() };
    assert!(!recorder.call(list).await.contacts.is_empty());
    recorder.call(DeleteContactRequest { account: account(), contact_id: id }).await;

    let list = ListFlowResponsesRequest { account: account(), ..ListFlowResponsesRequest::default() };
    assert!(!recorder.call(list).await.flow_responses.is_empty());

    let list = ListTemplatesRequest { account: account(), ..ListTemplatesRequest::default() };
    let template = recorder.call(list).await.templates.swap_remove(0);
    let get = GetTemplateRequest { account: account(), name: template.name, language: template.language };
    assert_eq!(recorder.call(get).await.template.expect("there").id, template.id);
    let header = UploadTemplateMediaHeader { account: account(), ..UploadTemplateMediaHeader::default() };
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let uploaded =
        within(recorder.client.upload_template_media(header, &picture[..])).await.expect("uploaded");
    assert!(!uploaded.url.is_empty());
    recorder.succeeded("UploadTemplateMedia");
}

async fn events(recorder: &mut Recorder, gateway: &Gateway) {
    gateway.deliver(&received("E0", "E0")).await;
    let place = Some(list_events_request::Place::Position(StartPosition::Earliest.into()));
    let listed = recorder.call(ListEventsRequest { place, ..ListEventsRequest::default() }).await;
    let last = listed.events.last().expect("one came").clone();

    let subscription = || "billing".to_owned();
    let earliest = create_subscription_request::Start::Position(StartPosition::Earliest.into());
    recorder
        .call(CreateSubscriptionRequest { subscription: subscription(), filter: None, start: Some(earliest) })
        .await;
    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    recorder.call(UpdateSubscriptionRequest { subscription: subscription(), filter: Some(filter) }).await;
    let start = Some(From::Subscription(subscription()));
    let mut events = recorder.client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    match within(events.next()).await.expect("open") {
        Some(StreamItem::Event(event)) => assert_eq!(text_of(&event), "E0"),
        other => panic!("expected an event, got {other:?}"),
    }
    recorder.succeeded("Subscribe");
    recorder
        .call(AcknowledgeRequest { subscription: subscription(), cursor: last.cursor, generation: 0 })
        .await;
    let got = recorder.call(GetSubscriptionRequest { subscription: subscription() }).await.subscription;
    assert_eq!(got.expect("there").lag_events, 0);
    let place = Some(seek_subscription_request::Place::Position(StartPosition::Earliest.into()));
    recorder.call(SeekSubscriptionRequest { subscription: subscription(), place }).await;
    let listed = recorder.call(ListSubscriptionsRequest::default()).await.subscriptions;
    assert_eq!(listed.len(), 1);
    recorder.call(DeleteSubscriptionRequest { subscription: subscription() }).await;
}

async fn webhooks(recorder: &mut Recorder) {
    let account = || CONNECTLY.to_owned();
    let address = "https://switchboard.example.com/webhooks/demo-connectly";
    let create = CreateWebhookRequest {
        account: account(),
        topic: WebhookTopic::Report.into(),
        address: address.to_owned(),
        ..CreateWebhookRequest::default()
    };
    let webhook_id = recorder.call(create).await.webhook.expect("made").id;
    let update = UpdateWebhookRequest {
        account: account(),
        webhook_id: webhook_id.clone(),
        address: Some(format!("{address}/")),
        ..UpdateWebhookRequest::default()
    };
    recorder.call(update).await;
    let listed = recorder.call(ListWebhooksRequest { account: account() }).await.webhooks;
    assert!(listed.iter().any(|webhook| webhook.id == webhook_id));
    recorder.call(DeleteWebhookRequest { account: account(), webhook_id }).await;
    let verify = VerifyWebhookRequest { account: account(), ..VerifyWebhookRequest::default() };
    assert!(!recorder.call(verify).await.valid);
}

#[tokio::test]
async fn service_transport_serves_other_grpc_services() {
    let gateway = Start::quiet().start().await;
    let client = connect(&gateway).await;
    let request = HealthCheckRequest { service: "switchboard.v1.EventService".to_owned() };
    let health = within(HealthClient::new(client.service()).check(request)).await.expect("known");
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut reflection = ServerReflectionClient::new(client.service());
    let responses =
        within(reflection.server_reflection_info(tokio_stream::once(request))).await.expect("open");
    let response = within(responses.into_inner().message()).await.expect("open").expect("a response");
    match response.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            assert!(list.service.iter().any(|service| service.name == "switchboard.v1.EventService"));
        }
        other => panic!("expected a list, got {other:?}"),
    }
}

#[tokio::test]
async fn expired_policy_decides_between_gap_and_failure() {
    let (gateway, events) = trimmed().await;
    let client = connect(&gateway).await;
    let start = Some(From::Since(prost_types::Timestamp::default()));
    let fails = SubscribeRequest { start, ..SubscribeRequest::default() };
    let failed = within(client.subscribe(fails.clone()).next()).await.expect_err("events have expired");
    assert_eq!(failed.reason(), "CURSOR_EXPIRED");
    assert_eq!(failed.metadata()["oldest_cursor"], events[2].cursor);

    let skips = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..fails };
    let mut stream = client.subscribe(skips);
    match within(stream.next()).await.expect("open") {
        Some(StreamItem::Gap(gap)) => assert_eq!(gap.resume_cursor, events[2].cursor),
        other => panic!("expected a gap, got {other:?}"),
    }
    assert_eq!(stream.cursor(), "", "the gap is not handled yet");
    for event in &events[3..] {
        match within(stream.next()).await.expect("open") {
            Some(StreamItem::Event(next)) => assert_eq!(of_server(&next), *event),
            other => panic!("expected an event, got {other:?}"),
        }
    }
    assert_eq!(stream.cursor(), events[3].cursor);
}
