//! Every call of the contract, through the Rust client, against the real server.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use switchboard::client::{Call, Client, Happened};
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
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
use switchboard::pb::{FILE_DESCRIPTOR_SET, v1};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::gateway::{CONNECTBY, CONNECTLY, CUSTOMER, Gateway, Start, received, text, text_of, within};
use crate::reading::trimmed;

/// The client, and which calls were answered.
struct Caller {
    client: Client,
    answered: BTreeSet<String>,
}

impl Caller {
    async fn call<C: Call>(&mut self, request: C) -> C::Answer {
        let name = std::any::type_name::<C>().rsplit("::").next().expect("a name");
        let answer =
            within(self.client.call(request)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        self.answered(name.strip_suffix("Request").expect("a request"));
        answer
    }

    fn answered(&mut self, name: &str) {
        self.answered.insert(name.to_owned());
    }
}

async fn connect(gateway: &Gateway) -> Client {
    Client::connect(format!("http://{}", gateway.at.grpc)).await.expect("connects")
}

#[tokio::test]
async fn the_client_makes_every_call_of_every_service() {
    let gateway = Start::quiet().start().await;
    let mut caller = Caller { client: connect(&gateway).await, answered: BTreeSet::new() };
    accounts_and_messages(&mut caller).await;
    contacts_flows_and_templates(&mut caller).await;
    events(&mut caller, &gateway).await;
    webhooks(&mut caller).await;

    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("readable");
    let services =
        files.file.iter().filter(|file| file.package() == "switchboard.v1").flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method).map(|method| method.name().to_owned());
    assert_eq!(caller.answered, methods.collect());
}

async fn accounts_and_messages(caller: &mut Caller) {
    let accounts = caller.call(ListAccountsRequest {}).await.accounts;
    assert_eq!(accounts.len(), 2);
    let account = caller.call(GetAccountRequest { account: CONNECTLY.to_owned() }).await.account;
    assert_eq!(account.expect("there").id, CONNECTLY);

    let sent = caller.call(text(CONNECTLY, "Hello!")).await;
    assert!(!sent.replayed);
    let id = sent.message.expect("sent").message_id;
    let key = Some(get_message_request::Key::MessageId(id.clone()));
    let message = caller.call(GetMessageRequest { account: CONNECTLY.to_owned(), key }).await.message;
    assert_eq!(message.expect("known").message_id, id);
    caller
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
    let sent = within(caller.client.send_media(header, &b"Hello!\n"[..])).await.expect("sent");
    assert!(sent.message.is_some());
    caller.answered("SendMedia");

    // What has no other wrapping, the generated clients do.
    let request = SendMessagesRequest { tag: "1".to_owned(), request: Some(text(CONNECTLY, "Hello again!")) };
    let sending = caller.client.messages().send_messages(tokio_stream::once(request)).await;
    let answer =
        within(sending.expect("open").into_inner().message()).await.expect("open").expect("an answer");
    assert_eq!(answer.tag, "1");
    assert!(matches!(answer.result, Some(send_messages_response::Result::Response(_))), "{answer:?}");
    caller.answered("SendMessages");

    let key = Some(watch_message_request::Key::MessageId(id.clone()));
    let request = WatchMessageRequest { account: CONNECTLY.to_owned(), key };
    let watching = within(caller.client.messages().watch_message(request)).await.expect("known");
    match within(watching.into_inner().message()).await.expect("open").expect("the first").response {
        Some(watch_message_response::Response::Message(message)) => assert_eq!(message.message_id, id),
        other => panic!("no message but {other:?}"),
    }
    caller.answered("WatchMessage");
}

async fn contacts_flows_and_templates(caller: &mut Caller) {
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
    let id = caller.call(create).await.contact.expect("made").id;
    let changed = Contact { id: id.clone(), name: "Ada L.".to_owned(), ..Contact::default() };
    caller.call(UpdateContactRequest { account: account(), contact: Some(changed) }).await;
    let list = ListContactsRequest { account: account(), ..ListContactsRequest::default() };
    assert!(!caller.call(list).await.contacts.is_empty());
    caller.call(DeleteContactRequest { account: account(), contact_id: id }).await;

    let list = ListFlowResponsesRequest { account: account(), ..ListFlowResponsesRequest::default() };
    assert!(!caller.call(list).await.flow_responses.is_empty());

    let list = ListTemplatesRequest { account: account(), ..ListTemplatesRequest::default() };
    let template = caller.call(list).await.templates.swap_remove(0);
    let get = GetTemplateRequest { account: account(), name: template.name, language: template.language };
    assert_eq!(caller.call(get).await.template.expect("there").id, template.id);
    let header = UploadTemplateMediaHeader { account: account(), ..UploadTemplateMediaHeader::default() };
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let uploaded = within(caller.client.upload_template_media(header, &picture[..])).await.expect("uploaded");
    assert!(!uploaded.url.is_empty());
    caller.answered("UploadTemplateMedia");
}

async fn events(caller: &mut Caller, gateway: &Gateway) {
    gateway.deliver(&received("E0", "E0")).await;
    let place = Some(list_events_request::Place::Position(StartPosition::Earliest.into()));
    let listed = caller.call(ListEventsRequest { place, ..ListEventsRequest::default() }).await;
    let last = listed.events.last().expect("one came").clone();

    let subscription = || "billing".to_owned();
    let earliest = create_subscription_request::Start::Position(StartPosition::Earliest.into());
    caller
        .call(CreateSubscriptionRequest { subscription: subscription(), filter: None, start: Some(earliest) })
        .await;
    let filter = EventFilter { types: vec!["message.received".to_owned()], ..EventFilter::default() };
    caller.call(UpdateSubscriptionRequest { subscription: subscription(), filter: Some(filter) }).await;
    let start = Some(From::Subscription(subscription()));
    let mut events = caller.client.subscribe(SubscribeRequest { start, ..SubscribeRequest::default() });
    match within(events.next()).await.expect("open") {
        Some(Happened::Event(event)) => assert_eq!(text_of(&event), "E0"),
        other => panic!("no event but {other:?}"),
    }
    caller.answered("Subscribe");
    caller
        .call(AcknowledgeRequest { subscription: subscription(), cursor: last.cursor, generation: 0 })
        .await;
    let got = caller.call(GetSubscriptionRequest { subscription: subscription() }).await.subscription;
    assert_eq!(got.expect("there").lag_events, 0);
    let place = Some(seek_subscription_request::Place::Position(StartPosition::Earliest.into()));
    caller.call(SeekSubscriptionRequest { subscription: subscription(), place }).await;
    let listed = caller.call(ListSubscriptionsRequest::default()).await.subscriptions;
    assert_eq!(listed.len(), 1);
    caller.call(DeleteSubscriptionRequest { subscription: subscription() }).await;
}

async fn webhooks(caller: &mut Caller) {
    let account = || CONNECTLY.to_owned();
    let address = "https://switchboard.example.com/webhooks/demo-connectly";
    let create = CreateWebhookRequest {
        account: account(),
        topic: WebhookTopic::Report.into(),
        address: address.to_owned(),
        ..CreateWebhookRequest::default()
    };
    let webhook_id = caller.call(create).await.webhook.expect("made").id;
    let update = UpdateWebhookRequest {
        account: account(),
        webhook_id: webhook_id.clone(),
        address: Some(format!("{address}/")),
        ..UpdateWebhookRequest::default()
    };
    caller.call(update).await;
    let listed = caller.call(ListWebhooksRequest { account: account() }).await.webhooks;
    assert!(listed.iter().any(|webhook| webhook.id == webhook_id));
    caller.call(DeleteWebhookRequest { account: account(), webhook_id }).await;
    let verify = VerifyWebhookRequest { account: account(), ..VerifyWebhookRequest::default() };
    assert!(!caller.call(verify).await.valid);
}

#[tokio::test]
async fn other_services_are_called_through_the_clients_connection() {
    let gateway = Start::quiet().start().await;
    let client = connect(&gateway).await;
    let request = HealthCheckRequest { service: "switchboard.v1.EventService".to_owned() };
    let health = within(HealthClient::new(client.service()).check(request)).await.expect("known");
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let mut reflection = ServerReflectionClient::new(client.service());
    let answers = within(reflection.server_reflection_info(tokio_stream::once(request))).await.expect("open");
    let answer = within(answers.into_inner().message()).await.expect("open").expect("an answer");
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            assert!(list.service.iter().any(|service| service.name == "switchboard.v1.EventService"));
        }
        other => panic!("no list but {other:?}"),
    }
}

#[tokio::test]
async fn a_loop_is_told_of_a_gap_once_or_fails_as_was_asked_for() {
    let (gateway, events) = trimmed().await;
    let client = connect(&gateway).await;
    let start = Some(From::Since(prost_types::Timestamp::default()));
    let fails = SubscribeRequest { start, ..SubscribeRequest::default() };
    let failed = within(client.subscribe(fails.clone()).next()).await.expect_err("events are gone");
    assert_eq!(failed.reason(), "CURSOR_EXPIRED");
    assert_eq!(failed.metadata()["oldest_cursor"], events[2].cursor);

    let skips = SubscribeRequest { expired_policy: ExpiredPolicy::SkipWithGap.into(), ..fails };
    let mut reading = client.subscribe(skips);
    match within(reading.next()).await.expect("open") {
        Some(Happened::Gap(gap)) => assert_eq!(gap.resume_cursor, events[2].cursor),
        other => panic!("no gap but {other:?}"),
    }
    assert_eq!(reading.cursor(), "", "the gap is not dealt with yet");
    for event in &events[3..] {
        let next: Option<Happened> = within(reading.next()).await.expect("open");
        assert_eq!(next, Some(Happened::Event(v1::Event::clone(event))));
    }
    assert_eq!(reading.cursor(), events[3].cursor);
}
