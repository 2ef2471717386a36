//! Webhook registrations at the provider: requests, conflicts, validation.

use std::time::Duration;

use prost_types::FieldMask;
use serde_json::{Value, json};
use switchboard::pb::v1::template_service_client::TemplateServiceClient;
use switchboard::pb::v1::{
    Channel, CreateWebhookRegistrationRequest, CreateWebhookRegistrationResponse,
    DeleteWebhookRegistrationRequest, ListTemplatesRequest, ListWebhookRegistrationsRequest, OnConflict,
    UpdateWebhookRegistrationRequest, WebhookRegistration, WebhookRegistrationConfiguration,
    WebhookRegistrationFilter, WebhookRegistrationTopic,
};
use switchboard::sandbox::connectly::DuplicateTopic;
use switchboard::sandbox::{Call, Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{
    CONNECTBY, CONNECTLY, Gateway, Start, assert_malformed_page_token, assert_page_size_out_of_range, fields,
    metadata, read_in_pages, reason, within,
};

pub(crate) const ADDRESS: &str = "https://gw.example.org/hook?key=1";

pub(crate) fn new(topic: WebhookRegistrationTopic) -> CreateWebhookRegistrationRequest {
    CreateWebhookRegistrationRequest {
        account: CONNECTLY.to_owned(),
        webhook_registration: Some(WebhookRegistration {
            topic: topic.into(),
            address: ADDRESS.to_owned(),
            ..WebhookRegistration::default()
        }),
        ..CreateWebhookRegistrationRequest::default()
    }
}

/// A creation at another address.
pub(crate) fn new_at(address: &str, topic: WebhookRegistrationTopic) -> CreateWebhookRegistrationRequest {
    let mut request = new(topic);
    request.webhook_registration.as_mut().expect("present").address = address.to_owned();
    request
}

/// A creation with a configuration.
fn new_with(
    configuration: Option<WebhookRegistrationConfiguration>,
    topic: WebhookRegistrationTopic,
) -> CreateWebhookRegistrationRequest {
    let mut request = new(topic);
    request.webhook_registration.as_mut().expect("present").configuration = configuration;
    request
}

/// A change of the address and the configuration of a registration.
pub(crate) fn change(
    id: &str,
    address: &str,
    configuration: Option<WebhookRegistrationConfiguration>,
) -> UpdateWebhookRegistrationRequest {
    UpdateWebhookRegistrationRequest {
        account: CONNECTLY.to_owned(),
        webhook_registration: Some(WebhookRegistration {
            webhook_registration_id: id.to_owned(),
            address: address.to_owned(),
            configuration,
            ..WebhookRegistration::default()
        }),
        update_mask: None,
    }
}

pub(crate) async fn create(
    gateway: &Gateway,
    request: CreateWebhookRegistrationRequest,
) -> Result<CreateWebhookRegistrationResponse, Status> {
    Ok(within(gateway.webhook_registrations().create_webhook_registration(request)).await?.into_inner())
}

pub(crate) async fn list(gateway: &Gateway) -> Result<Vec<WebhookRegistration>, Status> {
    let request = ListWebhookRegistrationsRequest { account: CONNECTLY.to_owned(), ..Default::default() };
    Ok(within(gateway.webhook_registrations().list_webhook_registrations(request))
        .await?
        .into_inner()
        .webhook_registrations)
}

pub(crate) async fn update(
    gateway: &Gateway,
    request: UpdateWebhookRegistrationRequest,
) -> Result<Option<WebhookRegistration>, Status> {
    let response = within(gateway.webhook_registrations().update_webhook_registration(request)).await?;
    Ok(response.into_inner().webhook_registration)
}

/// A change of the fields that a mask names.
fn masked(request: UpdateWebhookRegistrationRequest, paths: &[&str]) -> UpdateWebhookRegistrationRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    UpdateWebhookRegistrationRequest { update_mask: Some(FieldMask { paths }), ..request }
}

pub(crate) async fn delete(gateway: &Gateway, account: &str, id: &str) -> Result<(), Status> {
    let request = DeleteWebhookRegistrationRequest {
        account: account.to_owned(),
        webhook_registration_id: id.to_owned(),
    };
    within(gateway.webhook_registrations().delete_webhook_registration(request)).await.map(|_| ())
}

fn configuration() -> WebhookRegistrationConfiguration {
    WebhookRegistrationConfiguration {
        echo: Some(false),
        channels: vec![Channel::Whatsapp.into()],
        provider_channels: vec!["whatsapp".to_owned()],
        filters: vec![WebhookRegistrationFilter {
            field: "campaign_name".to_owned(),
            expression: "spring-*".to_owned(),
        }],
    }
}

fn configuration_json() -> Value {
    json!({
        "echo": false,
        "channelTypes": ["whatsapp"],
        "filters": [{"field": "campaign_name", "expression": "spring-*"}],
    })
}

fn last_call(gateway: &Gateway) -> Call {
    gateway.connectly().calls().pop().expect("arrived")
}

/// The last update that arrived. The list read after it is not counted.
fn last_update(gateway: &Gateway) -> Call {
    gateway.connectly().calls().into_iter().rfind(|call| call.method == "PUT").expect("arrived")
}

fn path(gateway: &Gateway, end: &str) -> String {
    format!("/v1/businesses/{}/{end}", gateway.connectly().business_id())
}

/// The registration of a topic.
pub(crate) async fn registered(gateway: &Gateway, topic: WebhookRegistrationTopic) -> WebhookRegistration {
    let listed = list(gateway).await.expect("listed");
    listed.into_iter().find(|webhook| webhook.topic() == topic).expect("present")
}

#[tokio::test]
async fn registration_has_the_documented_body_and_is_listed() {
    let gateway = Start::quiet().start().await;
    let request = new_with(Some(configuration()), WebhookRegistrationTopic::Report);
    let answer = create(&gateway, request).await.expect("created");
    let call = last_call(&gateway);
    assert_eq!(call.method, "POST");
    assert_eq!(call.path, path(&gateway, "create/webhooks"));
    assert_eq!(call.content_type(), Some("application/json"));
    let expected = json!({"topic": "report", "address": ADDRESS, "configuration": configuration_json()});
    assert_eq!(serde_json::from_slice::<Value>(&call.body).expect("JSON"), expected);

    let created = answer.webhook_registration.expect("present");
    assert_eq!((answer.previous, created.raw_json.as_str()), (None, ""));
    let listed = registered(&gateway, WebhookRegistrationTopic::Report).await;
    assert_eq!(last_call(&gateway).path, path(&gateway, "webhooks"));
    assert!(listed.raw_json.contains("spring-*"));
    assert_eq!(WebhookRegistration { raw_json: String::new(), ..listed }, created);
    assert_eq!(list(&gateway).await.expect("listed").len(), 3);
}

#[tokio::test]
async fn registrations_are_the_same_for_each_page_size() {
    let gateway = Start::quiet().start().await;
    create(&gateway, new(WebhookRegistrationTopic::Report)).await.expect("created");
    let page = async |page_size, page_token| {
        let request =
            ListWebhookRegistrationsRequest { account: CONNECTLY.to_owned(), page_size, page_token };
        let listed = within(gateway.webhook_registrations().list_webhook_registrations(request)).await;
        listed.map(tonic::Response::into_inner)
    };
    let expected = list(&gateway).await.expect("listed");
    assert_eq!(expected.len(), 3);
    for page_size in [1, 2, 1_000] {
        let registrations = read_in_pages(page_size, async |token| {
            let page = page(page_size, token).await.expect("listed");
            (page.webhook_registrations, page.next_page_token)
        });
        assert_eq!(registrations.await, expected, "{page_size}");
    }
    assert_page_size_out_of_range(&page(1_001, String::new()).await.expect_err("too large"));

    let request = ListTemplatesRequest { account: CONNECTLY.to_owned(), page_size: 1, ..Default::default() };
    let client = &mut TemplateServiceClient::new(gateway.channel.clone());
    let templates = within(client.list_templates(request)).await.expect("listed").into_inner();
    let error = page(1, templates.next_page_token).await.expect_err("the token of another list");
    assert_malformed_page_token(&error);
}

#[tokio::test]
async fn absent_configuration_is_not_sent() {
    let gateway = Start::quiet().start().await;
    for configuration in [None, Some(WebhookRegistrationConfiguration::default())] {
        let request = new_with(configuration, WebhookRegistrationTopic::Report);
        let created =
            create(&gateway, request).await.expect("created").webhook_registration.expect("present");
        let call = last_call(&gateway);
        assert_eq!(call.json(), Some(json!({"topic": "report", "address": ADDRESS})));
        delete(&gateway, CONNECTLY, &created.webhook_registration_id).await.expect("deleted");
    }
}

#[tokio::test]
async fn empty_address_registers_the_public_url() {
    for (public_url, address) in [
        ("https://hooks.example.com", "https://hooks.example.com/webhooks/demo-connectly"),
        ("https://hooks.example.com/sb/", "https://hooks.example.com/sb/webhooks/demo-connectly"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/webhooks/demo-connectly"),
    ] {
        let gateway = Start::quiet().with("WEBHOOK__PUBLIC_URL", public_url).start().await;
        let request = new_at("", WebhookRegistrationTopic::Report);
        let created =
            create(&gateway, request).await.expect("created").webhook_registration.expect("present");
        assert_eq!(created.address, address);
        assert_eq!(registered(&gateway, WebhookRegistrationTopic::Report).await.address, address);
    }
}

#[tokio::test]
async fn empty_address_without_public_url_is_rejected() {
    let request = new_at("", WebhookRegistrationTopic::Report);
    let plain = Start::quiet().with("WEBHOOK__PUBLIC_URL", "http://hooks.example.com");
    for start in [Start::quiet(), plain] {
        let gateway = start.start().await;
        let error = create(&gateway, request.clone()).await.expect_err("no address");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&error), ["webhook_registration.address"]);
        assert!(error.message().contains("`public_url` in [webhook]"), "{error:?}");
        assert_eq!(gateway.connectly().calls().len(), 0);
    }
}

#[tokio::test]
async fn existing_registration_is_kept_on_conflict() {
    for duplicate_topic in [DuplicateTopic::Conflict, DuplicateTopic::Replace] {
        let gateway = Start::quiet().with_duplicate_topic(duplicate_topic).start().await;
        let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
        for on_conflict in [OnConflict::Unspecified, OnConflict::Fail] {
            let request = CreateWebhookRegistrationRequest {
                on_conflict: on_conflict.into(),
                ..new(WebhookRegistrationTopic::Messages)
            };
            let error = create(&gateway, request).await.expect_err("exists");
            assert_eq!(
                (error.code(), reason(&error).as_str()),
                (Code::AlreadyExists, "WEBHOOK_REGISTRATION_EXISTS")
            );
            assert_eq!(metadata(&error, "webhook_registration_id"), before.webhook_registration_id);
            assert_eq!(metadata(&error, "address"), before.address);
        }
        assert_eq!(registered(&gateway, WebhookRegistrationTopic::Messages).await, before);
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);
    }
}

#[tokio::test]
async fn existing_registration_is_replaced_in_place() {
    for duplicate_topic in [DuplicateTopic::Conflict, DuplicateTopic::Replace] {
        let gateway = Start::quiet().with_duplicate_topic(duplicate_topic).start().await;
        let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
        let configuration = WebhookRegistrationConfiguration {
            echo: Some(true),
            ..WebhookRegistrationConfiguration::default()
        };
        let request = CreateWebhookRegistrationRequest {
            on_conflict: OnConflict::Replace.into(),
            ..new_with(Some(configuration), WebhookRegistrationTopic::Messages)
        };
        let answer = create(&gateway, request).await.expect("replaced");
        let call = last_call(&gateway);
        let put = path(&gateway, &format!("update/webhooks/{}", before.webhook_registration_id));
        assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", put.as_str()));
        assert_eq!(call.json(), Some(json!({"address": ADDRESS, "configuration": {"echo": true}})));
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);

        assert_eq!(answer.previous.as_ref(), Some(&before));
        let replaced = answer.webhook_registration.expect("present");
        assert_eq!(
            (&replaced.webhook_registration_id, replaced.address.as_str()),
            (&before.webhook_registration_id, ADDRESS)
        );
        let listed = registered(&gateway, WebhookRegistrationTopic::Messages).await;
        assert_eq!(WebhookRegistration { raw_json: String::new(), ..listed }, replaced);
    }
}

#[tokio::test]
async fn replace_without_a_registration_creates_one() {
    let gateway = Start::quiet().start().await;
    let request = CreateWebhookRegistrationRequest {
        on_conflict: OnConflict::Replace.into(),
        ..new(WebhookRegistrationTopic::Report)
    };
    let answer = create(&gateway, request).await.expect("created");
    assert_eq!(answer.previous, None);
    assert_eq!(gateway.connectly().arrivals(Operation::UpdateWebhook), 0);
}

/// Makes the next list empty, as if another client registered right after it.
async fn hide_registrations_once(gateway: &Gateway) {
    let empty = Fault::Body(200, r#"{"entity":{"webhooks":[]}}"#.to_owned());
    gateway.connectly().set_fault(FaultRule::once(empty).on(Operation::ListWebhooks)).await;
}

#[tokio::test]
async fn race_refused_by_the_provider_is_already_exists() {
    let gateway =
        Start::quiet().without_retries().with_duplicate_topic(DuplicateTopic::Conflict).start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    for on_conflict in [OnConflict::Fail, OnConflict::Replace] {
        hide_registrations_once(&gateway).await;
        let request = CreateWebhookRegistrationRequest {
            on_conflict: on_conflict.into(),
            ..new(WebhookRegistrationTopic::Messages)
        };
        let error = create(&gateway, request).await.expect_err("another client was faster");
        assert_eq!(
            (error.code(), reason(&error).as_str()),
            (Code::AlreadyExists, "WEBHOOK_REGISTRATION_EXISTS")
        );
        assert_eq!(metadata(&error, "webhook_registration_id"), before.webhook_registration_id);
        assert_eq!(metadata(&error, "address"), before.address);
        assert_eq!(metadata(&error, "http_status"), "409");
        assert_eq!(registered(&gateway, WebhookRegistrationTopic::Messages).await, before);
    }
    // The second list may fail, so the other registration is unknown.
    hide_registrations_once(&gateway).await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(503)).on(Operation::ListWebhooks)).await;
    let error = create(&gateway, new(WebhookRegistrationTopic::Messages))
        .await
        .expect_err("another client was faster");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "webhook_registration_id").as_str()),
        ("WEBHOOK_REGISTRATION_EXISTS", "")
    );
}

#[tokio::test]
async fn race_accepted_by_the_provider_is_a_plain_creation() {
    let gateway = Start::quiet().with_duplicate_topic(DuplicateTopic::Replace).start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    hide_registrations_once(&gateway).await;
    let answer = create(&gateway, new(WebhookRegistrationTopic::Messages)).await.expect("created");
    assert_eq!(answer.previous, None);
    let now = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    assert_ne!(before.address, ADDRESS);
    assert_eq!(now.address, ADDRESS);
}

#[tokio::test]
async fn registration_with_an_unsafe_id_is_not_replaced() {
    let gateway = Start::quiet().start().await;
    let reply = r#"{"entity":{"webhooks":[{"id":"../x","topic":"messages","address":"a"}]}}"#;
    let reply = FaultRule::once(Fault::Body(200, reply.to_owned())).on(Operation::ListWebhooks);
    gateway.connectly().set_fault(reply).await;
    let request = CreateWebhookRegistrationRequest {
        on_conflict: OnConflict::Replace.into(),
        ..new(WebhookRegistrationTopic::Messages)
    };
    let error = create(&gateway, request).await.expect_err("unsafe id");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Internal, "PROVIDER_REPLY_UNREADABLE"));
    assert_eq!(gateway.connectly().calls().len(), 1);
}

#[tokio::test]
async fn update_sends_only_the_changed_fields() {
    let gateway = Start::quiet().start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    let id = &before.webhook_registration_id;
    update(&gateway, change(id, ADDRESS, None)).await.expect("changed");
    assert_eq!(last_update(&gateway).json(), Some(json!({"address": ADDRESS})));
    update(&gateway, change(id, "", Some(configuration()))).await.expect("changed");
    let call = last_update(&gateway);
    let put = path(&gateway, &format!("update/webhooks/{}", before.webhook_registration_id));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", put.as_str()));
    assert_eq!(call.json(), Some(json!({"configuration": configuration_json()})));
    let now = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    assert_eq!((now.address.as_str(), now.configuration), (ADDRESS, Some(configuration())));
}

#[tokio::test]
async fn update_mask_sends_exactly_its_fields_and_clears_lists() {
    let gateway = Start::quiet().start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    let id = &before.webhook_registration_id;
    let empty = || change(id, "", None);
    let full = || change(id, ADDRESS, Some(configuration()));
    let lists = json!({"channelTypes": [], "filters": []});
    for (request, paths, sent) in [
        (full(), &["address"][..], json!({"address": ADDRESS})),
        (full(), &["configuration.echo"], json!({"configuration": {"echo": false}})),
        (full(), &["configuration.channels"], json!({"configuration": {"channelTypes": ["whatsapp"]}})),
        (full(), &["configuration"], json!({"configuration": configuration_json()})),
        (empty(), &["configuration.channels"], json!({"configuration": {"channelTypes": []}})),
        (full(), &["*"], json!({"address": ADDRESS, "configuration": configuration_json()})),
        (empty(), &["configuration.filters", "raw_json"], json!({"configuration": {"filters": []}})),
        (empty(), &["configuration"], json!({"configuration": lists})),
        (change(id, ADDRESS, None), &["*"], json!({"address": ADDRESS, "configuration": lists})),
    ] {
        let updated = update(&gateway, masked(request, paths)).await.expect("changed").expect("listed");
        assert_eq!(last_update(&gateway).json(), Some(sent), "{paths:?}");
        assert_eq!(updated, registered(&gateway, WebhookRegistrationTopic::Messages).await, "{paths:?}");
    }
    let now = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    let cleared = WebhookRegistrationConfiguration { echo: Some(false), ..Default::default() };
    assert_eq!((now.address.as_str(), now.configuration), (ADDRESS, Some(cleared)));
}

#[tokio::test]
async fn invalid_update_mask_of_a_registration_is_rejected() {
    let gateway = Start::quiet().start().await;
    let configuration = WebhookRegistrationConfiguration { echo: None, ..configuration() };
    let unsupported = (Code::Unimplemented, "PROVIDER_UNSUPPORTED");
    let invalid = (Code::InvalidArgument, "REQUEST_INVALID");
    for (paths, expected, named) in [
        (&["topic"][..], unsupported, "webhook_registration.topic"),
        (&["address"], invalid, "webhook_registration.address"),
        (&["*"], invalid, "webhook_registration.address"),
        (&["configuration.echo"], invalid, "webhook_registration.configuration.echo"),
        (&["configuration", "configuration.echo"], invalid, "webhook_registration.configuration.echo"),
        (&["configuration.provider_channels"], invalid, "update_mask"),
        (&["raw_json", "provider_topic", "webhook_registration_id"], invalid, "update_mask"),
    ] {
        let request = masked(change("W1", "", Some(configuration.clone())), paths);
        let error = update(&gateway, request).await.expect_err("invalid");
        assert_eq!((error.code(), reason(&error).as_str()), expected, "{paths:?}");
        assert_eq!(fields(&error), [named], "{paths:?}");
    }
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn update_returns_what_the_provider_lists_afterwards() {
    let gateway = Start::quiet().without_retries().start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    let request = || change(&before.webhook_registration_id, ADDRESS, None);
    // A provider that confirms the change without making it.
    let ignored = FaultRule::once(Fault::Body(200, "{}".to_owned())).on(Operation::UpdateWebhook);
    gateway.connectly().set_fault(ignored).await;
    assert_eq!(update(&gateway, request()).await.expect("confirmed"), Some(before.clone()));

    for fault in [Fault::status(503), Fault::NotJson, Fault::Body(200, r#"{"webhooks":[]}"#.to_owned())] {
        gateway.connectly().set_fault(FaultRule::once(fault.clone()).on(Operation::ListWebhooks)).await;
        assert_eq!(update(&gateway, request()).await.expect("changed"), None, "{fault:?}");
    }
    let updated = update(&gateway, request()).await.expect("changed").expect("listed");
    assert_eq!(updated.address, ADDRESS);
}

#[tokio::test]
async fn update_succeeds_while_the_providers_list_hangs() {
    let gateway = Start::quiet().start().await;
    let id = registered(&gateway, WebhookRegistrationTopic::Messages).await.webhook_registration_id;
    let hang = FaultRule::always(Fault::Latency(Duration::from_secs(600))).on(Operation::ListWebhooks);
    gateway.connectly().set_fault(hang).await;
    assert_eq!(update(&gateway, change(&id, ADDRESS, None)).await.expect("changed"), None);
}

#[tokio::test]
async fn listed_registration_can_be_changed_and_sent_back() {
    let gateway = Start::quiet().start().await;
    let listed = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    let changed = WebhookRegistration { address: ADDRESS.to_owned(), ..listed };
    let request = UpdateWebhookRegistrationRequest {
        webhook_registration: Some(changed.clone()),
        ..change("", "", None)
    };
    let updated = update(&gateway, request).await.expect("changed").expect("listed");
    assert_eq!(WebhookRegistration { raw_json: changed.raw_json.clone(), ..updated }, changed);
}

#[tokio::test]
async fn channels_carry_the_providers_words() {
    let gateway = Start::quiet().start().await;
    let (whatsapp, sms, unknown) =
        (Channel::Whatsapp.into(), Channel::Sms.into(), Channel::Unspecified.into());
    let text = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let configuration = WebhookRegistrationConfiguration {
        channels: vec![sms, unknown, whatsapp, unknown],
        provider_channels: text(&["ignored", "rcs", "", "sms"]),
        ..Default::default()
    };
    let request = new_with(Some(configuration), WebhookRegistrationTopic::Report);
    let created = create(&gateway, request).await.expect("created").webhook_registration.expect("present");
    let sent = json!({"channelTypes": ["sms", "rcs", "whatsapp", "sms"]});
    assert_eq!(last_call(&gateway).json().expect("JSON")["configuration"], sent);
    let listed = registered(&gateway, WebhookRegistrationTopic::Report).await;
    for registration in [created, listed] {
        let configuration = registration.configuration.expect("present");
        assert_eq!(configuration.channels, [sms, unknown, whatsapp, sms]);
        assert_eq!(configuration.provider_channels, text(&["sms", "rcs", "whatsapp", "sms"]));
    }

    let invalid = WebhookRegistrationConfiguration {
        channels: vec![unknown, unknown, 99, unknown],
        provider_channels: text(&["", &"x".repeat(257)]),
        ..Default::default()
    };
    let request = new_with(Some(invalid), WebhookRegistrationTopic::Report);
    let error = create(&gateway, request).await.expect_err("invalid");
    let named = ["channels[0]", "provider_channels[1]", "channels[2]", "channels[3]"]
        .map(|field| format!("webhook_registration.configuration.{field}"));
    assert_eq!(fields(&error), named);
}

#[tokio::test]
async fn creation_ignores_output_only_fields() {
    let gateway = Start::quiet().start().await;
    let mut request = CreateWebhookRegistrationRequest {
        request_id: "r-1".to_owned(),
        ..new(WebhookRegistrationTopic::Report)
    };
    let created = create(&gateway, request.clone()).await.expect("created");
    let registration = request.webhook_registration.as_mut().expect("present");
    registration.webhook_registration_id = "../x".to_owned();
    registration.provider_topic = "other".to_owned();
    registration.raw_json = "{}".to_owned();
    let replayed = create(&gateway, request).await.expect("replayed");
    assert!(replayed.replayed);
    assert_eq!(replayed.webhook_registration, created.webhook_registration);
}

#[tokio::test]
async fn deleted_registration_is_not_found() {
    let gateway = Start::quiet().start().await;
    let before = registered(&gateway, WebhookRegistrationTopic::Messages).await;
    delete(&gateway, CONNECTLY, &before.webhook_registration_id).await.expect("deleted");
    let call = last_call(&gateway);
    let at = path(&gateway, &format!("delete/webhooks/{}", before.webhook_registration_id));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("DELETE", at.as_str()));
    assert_eq!(list(&gateway).await.expect("listed").len(), 1);
    let error = delete(&gateway, CONNECTLY, &before.webhook_registration_id).await.expect_err("deleted");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
    let request = change(&before.webhook_registration_id, ADDRESS, None);
    let error = update(&gateway, request).await.expect_err("deleted");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
}

#[tokio::test]
async fn list_returns_the_providers_json_unchanged() {
    let gateway = Start::quiet().start().await;
    let item = r#"{ "id":"W1", "topic":"opt_outs","address":"http://x", "new": 12345678901234567890 }"#;
    let reply = format!(r#"{{"entity":{{"businessId":"b","webhooks":[ {item} ]}}}}"#);
    gateway.connectly().set_fault(FaultRule::once(Fault::Body(200, reply))).await;
    let listed = list(&gateway).await.expect("listed");
    assert_eq!(
        (listed[0].topic(), listed[0].provider_topic.as_str()),
        (WebhookRegistrationTopic::Unspecified, "opt_outs")
    );
    assert_eq!(listed[0].raw_json, item);
}

#[tokio::test]
async fn invalid_registration_reports_all_violations() {
    let gateway = Start::quiet().start().await;
    let error = create(&gateway, CreateWebhookRegistrationRequest::default()).await.expect_err("empty");
    assert_eq!((error.code(), reason(&error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&error), ["account", "webhook_registration.topic"]);

    let invalid = WebhookRegistrationConfiguration {
        channels: vec![Channel::Unspecified.into(); 2],
        provider_channels: vec!["sms".to_owned(), String::new()],
        filters: vec![WebhookRegistrationFilter::default()],
        echo: None,
    };
    let request = CreateWebhookRegistrationRequest {
        account: CONNECTLY.to_owned(),
        webhook_registration: Some(WebhookRegistration {
            topic: 99,
            address: "http://gw.example.org/hook".to_owned(),
            configuration: Some(invalid.clone()),
            ..WebhookRegistration::default()
        }),
        on_conflict: 99,
        ..CreateWebhookRegistrationRequest::default()
    };
    let error = create(&gateway, request).await.expect_err("all wrong");
    let invalid_fields = [
        "webhook_registration.configuration.channels[1]",
        "webhook_registration.configuration.filters[0].field",
        "webhook_registration.configuration.filters[0].expression",
    ];
    let topic_and_address = ["webhook_registration.topic", "webhook_registration.address"];
    assert_eq!(fields(&error), [&topic_and_address[..], &invalid_fields, &["on_conflict"]].concat());
    assert!(!format!("{error:?}").contains("gw.example.org"), "the error quotes no input");

    let error = update(&gateway, UpdateWebhookRegistrationRequest::default()).await.expect_err("empty");
    assert_eq!(fields(&error), ["account", "webhook_registration.webhook_registration_id", "update_mask"]);
    let request = change("../templates", "http://gw.example.org/hook", Some(invalid));
    let error = update(&gateway, request).await.expect_err("all wrong");
    let id_and_address = ["webhook_registration.webhook_registration_id", "webhook_registration.address"];
    assert_eq!(fields(&error), [&id_and_address[..], &invalid_fields].concat());

    let error = delete(&gateway, "", "a/b").await.expect_err("all wrong");
    assert_eq!(fields(&error), ["account", "webhook_registration_id"]);
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn webhook_registration_at_connectby_is_unsupported() {
    let gateway = Start::quiet().start().await;
    let account = CONNECTBY.to_owned();
    let listed = ListWebhookRegistrationsRequest { account: account.clone(), ..Default::default() };
    let without_address = CreateWebhookRegistrationRequest {
        account: account.clone(),
        ..new_at("", WebhookRegistrationTopic::Messages)
    };
    let changed =
        UpdateWebhookRegistrationRequest { account: account.clone(), ..change("W1", ADDRESS, None) };
    for error in [
        within(gateway.webhook_registrations().list_webhook_registrations(listed)).await.map(|_| ()),
        create(
            &gateway,
            CreateWebhookRegistrationRequest { account, ..new(WebhookRegistrationTopic::Messages) },
        )
        .await
        .map(|_| ()),
        create(&gateway, without_address).await.map(|_| ()),
        update(&gateway, changed).await.map(|_| ()),
        delete(&gateway, CONNECTBY, "W1").await,
    ] {
        let error = error.expect_err("unsupported");
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&error), ["account"]);
    }
    assert_eq!(gateway.connectby().calls().len(), 0);
}
