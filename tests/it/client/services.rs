//! Every RPC of the contract, called with the Rust client.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{FieldMask, FileDescriptorSet};
use switchboard::pb::FILE_DESCRIPTOR_SET;
use switchboard_client::v1::subscribe_request::Start as From;
use switchboard_client::v1::{
    AcknowledgeRequest, CheckMode, Contact, CreateContactRequest, CreateSubscriptionRequest,
    CreateWebhookRegistrationRequest, DeleteContactRequest, DeleteSubscriptionRequest,
    DeleteWebhookRegistrationRequest, EventFilter, ExpiredPolicy, GetAccountRequest, GetConversationRequest,
    GetMessageRequest, GetSubscriptionRequest, GetTemplateRequest, ListAccountsRequest, ListContactsRequest,
    ListEventsRequest, ListFlowResponsesRequest, ListMessagesRequest, ListSubscriptionsRequest,
    ListTemplatesRequest, ListWebhookRegistrationsRequest, MediaHeader, SeekSubscriptionRequest, SendChecks,
    SendMessageRequest, SendMessagesRequest, StartPosition, SubscribeRequest, Subscription,
    UpdateContactRequest, UpdateSubscriptionRequest, UpdateWebhookRegistrationRequest,
    UploadTemplateMediaHeader, VerifyWebhookSignatureRequest, WatchMessageRequest, WebhookRegistration,
    WebhookRegistrationTopic, create_subscription_request, get_message_request, list_events_request,
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
use crate::list_events::trimmed;
use crate::support::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, received, within};

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
    webhook_registrations(&mut recorder).await;

    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("decodes");
    let services =
        files.file.iter().filter(|file| file.package() == "switchboard.v1").flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method).map(|method| method.name().to_owned());
    assert_eq!(recorder.succeeded, methods.collect());
}

async fn accounts_and_messages(recorder: &mut Recorder) {
    let accounts = recorder.call(ListAccountsRequest::default()).await.accounts;
    assert_eq!(accounts.len(), 2);
    let account = recorder.call(GetAccountRequest { account: CONNECTLY.to_owned() }).await.account;
    assert_eq!(account.expect("there").account, CONNECTLY);

    let checks = SendChecks { session_window: CheckMode::Skip.into(), ..SendChecks::default() };
    let send = SendMessageRequest { checks: Some(checks), ..text(CONNECTLY, "Hello!") };
    let sent = recorder.call(send).await;
    assert!(!sent.replayed);
    let id = sent.message.expect("sent").message_id;
    let key = Some(get_message_request::Key::MessageId(id.clone()));
    let message = recorder.call(GetMessageRequest { account: CONNECTLY.to_owned(), key }).await.message;
    assert_eq!(message.expect("known").message_id, id);
    let list = ListMessagesRequest { account: CONNECTLY.to_owned(), ..ListMessagesRequest::default() };
    let listed = recorder.call(list).await.messages;
    assert_eq!(listed.iter().map(|message| &message.message_id).collect::<Vec<_>>(), [&id]);
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
    let contact_id = recorder.call(create).await.contact.expect("made").contact_id;
    let contact = Contact { contact_id: contact_id.clone(), name: "Ada L.".to_owned(), ..Contact::default() };
    let update_mask = Some(FieldMask { paths: vec!["name".to_owned()] });
    recorder.call(UpdateContactRequest { account: account(), contact: Some(contact), update_mask }).await;
    let list = ListContactsRequest { account: account(), ..ListContactsRequest::default() };
    assert!(!recorder.call(list).await.contacts.is_empty());
    recorder.call(DeleteContactRequest { account: account(), contact_id }).await;

    let list = ListFlowResponsesRequest { account: account(), ..ListFlowResponsesRequest::default() };
    assert!(!recorder.call(list).await.flow_responses.is_empty());

    let list = ListTemplatesRequest { account: account(), ..ListTemplatesRequest::default() };
    let template = recorder.call(list).await.templates.swap_remove(0);
    let get = GetTemplateRequest { account: account(), name: template.name, language: template.language };
    assert_eq!(recorder.call(get).await.template.expect("there").template_id, template.template_id);
    let header = UploadTemplateMediaHeader { account: account(), ..UploadTemplateMediaHeader::default() };
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let uploaded =
        within(recorder.client.upload_template_media(header, &picture[..])).await.expect("uploaded");
    assert!(!uploaded.url.is_empty());
    recorder.succeeded("UploadTemplateMedia");
}

async fn events(recorder: &mut Recorder, gateway: &Gateway) {
    gateway.deliver(&received("E0", "E0")).await;
    let anchor = Some(list_events_request::Anchor::Position(StartPosition::Earliest.into()));
    let listed = recorder.call(ListEventsRequest { anchor, ..ListEventsRequest::default() }).await;
    let last = listed.events.last().expect("one came").clone();

    let subscription_id = || "billing".to_owned();
    let start = Some(create_subscription_request::Start::Position(StartPosition::Earliest.into()));
    recorder
        .call(CreateSubscriptionRequest { subscription_id: subscription_id(), subscription: None, start })
        .await;
    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    let subscription = Some(Subscription {
        subscription_id: subscription_id(),
        filter: Some(filter),
        ..Subscription::default()
    });
    let update_mask = Some(FieldMask { paths: vec!["filter".to_owned()] });
    recorder.call(UpdateSubscriptionRequest { subscription, update_mask }).await;
    let start = Some(From::SubscriptionId(subscription_id()));
    let mut events = recorder.client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    match within(events.next()).await.expect("open") {
        Some(StreamItem::Event(event)) => assert_eq!(text_of(&event), "E0"),
        other => panic!("expected an event, got {other:?}"),
    }
    recorder.succeeded("Subscribe");
    recorder
        .call(AcknowledgeRequest { subscription_id: subscription_id(), cursor: last.cursor, generation: 0 })
        .await;
    let get = GetSubscriptionRequest { subscription_id: subscription_id() };
    let got = recorder.call(get).await.subscription;
    assert_eq!(got.expect("there").lag_events, Some(0));
    let target = Some(seek_subscription_request::Target::Position(StartPosition::Earliest.into()));
    recorder.call(SeekSubscriptionRequest { subscription_id: subscription_id(), target }).await;
    let listed = recorder.call(ListSubscriptionsRequest::default()).await.subscriptions;
    assert_eq!(listed.len(), 1);
    recorder.call(DeleteSubscriptionRequest { subscription_id: subscription_id() }).await;
}

async fn webhook_registrations(recorder: &mut Recorder) {
    let account = || CONNECTLY.to_owned();
    let address = "https://switchboard.example.com/webhooks/demo-connectly";
    let registration = WebhookRegistration {
        topic: WebhookRegistrationTopic::Report.into(),
        address: address.to_owned(),
        ..WebhookRegistration::default()
    };
    let create = CreateWebhookRegistrationRequest {
        account: account(),
        webhook_registration: Some(registration),
        ..CreateWebhookRegistrationRequest::default()
    };
    let created = recorder.call(create).await.webhook_registration.expect("created");
    let webhook_registration_id = created.webhook_registration_id;
    let registration = WebhookRegistration {
        webhook_registration_id: webhook_registration_id.clone(),
        address: format!("{address}/"),
        ..WebhookRegistration::default()
    };
    let update = UpdateWebhookRegistrationRequest {
        account: account(),
        webhook_registration: Some(registration),
        update_mask: Some(FieldMask { paths: vec!["address".to_owned()] }),
    };
    recorder.call(update).await;
    let list = ListWebhookRegistrationsRequest { account: account(), ..Default::default() };
    let listed = recorder.call(list).await.webhook_registrations;
    assert!(listed.iter().any(|found| found.webhook_registration_id == webhook_registration_id));
    let delete = DeleteWebhookRegistrationRequest { account: account(), webhook_registration_id };
    recorder.call(delete).await;
    let verify =
        VerifyWebhookSignatureRequest { account: account(), ..VerifyWebhookSignatureRequest::default() };
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
