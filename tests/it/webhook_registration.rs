//! Registrations at the provider: what goes out, and what comes back.

use serde_json::{Value, json};
use switchboard::pb::v1::{
    CreateWebhookRequest, CreateWebhookResponse, DeleteWebhookRequest, ListWebhooksRequest, OnConflict,
    UpdateWebhookRequest, Webhook, WebhookConfiguration, WebhookFilter, WebhookTopic,
};
use switchboard::sandbox::connectly::DuplicateTopic;
use switchboard::sandbox::{Call, Fault, FaultRule, Operation};
use tonic::{Code, Status};

use crate::support::gateway::{CONNECTBY, CONNECTLY, Gateway, Start, fields, metadata, reason, within};

pub(crate) const ADDRESS: &str = "https://gw.example.org/hook?key=1";

pub(crate) fn new(topic: WebhookTopic) -> CreateWebhookRequest {
    CreateWebhookRequest {
        account: CONNECTLY.to_owned(),
        topic: topic.into(),
        address: ADDRESS.to_owned(),
        ..CreateWebhookRequest::default()
    }
}

pub(crate) async fn create(
    gateway: &Gateway,
    request: CreateWebhookRequest,
) -> Result<CreateWebhookResponse, Status> {
    Ok(within(gateway.webhooks().create_webhook(request)).await?.into_inner())
}

pub(crate) async fn list(gateway: &Gateway) -> Result<Vec<Webhook>, Status> {
    let request = ListWebhooksRequest { account: CONNECTLY.to_owned() };
    Ok(within(gateway.webhooks().list_webhooks(request)).await?.into_inner().webhooks)
}

pub(crate) async fn update(gateway: &Gateway, request: UpdateWebhookRequest) -> Result<(), Status> {
    within(gateway.webhooks().update_webhook(request)).await.map(|_| ())
}

pub(crate) async fn delete(gateway: &Gateway, account: &str, id: &str) -> Result<(), Status> {
    let request = DeleteWebhookRequest { account: account.to_owned(), webhook_id: id.to_owned() };
    within(gateway.webhooks().delete_webhook(request)).await.map(|_| ())
}

fn detail() -> WebhookConfiguration {
    WebhookConfiguration {
        echo: Some(false),
        channel_types: vec!["whatsapp".to_owned()],
        filters: vec![WebhookFilter { field: "campaign_name".to_owned(), expression: "spring-*".to_owned() }],
    }
}

fn detail_json() -> Value {
    json!({
        "echo": false,
        "channelTypes": ["whatsapp"],
        "filters": [{"field": "campaign_name", "expression": "spring-*"}],
    })
}

fn last_call(gateway: &Gateway) -> Call {
    gateway.connectly().calls().pop().expect("arrived")
}

fn path(gateway: &Gateway, end: &str) -> String {
    format!("/v1/businesses/{}/{end}", gateway.connectly().business_id())
}

/// The registration that the sandbox starts with for that topic.
pub(crate) async fn registered(gateway: &Gateway, topic: WebhookTopic) -> Webhook {
    let listed = list(gateway).await.expect("listed");
    listed.into_iter().find(|webhook| webhook.topic() == topic).expect("there")
}

#[tokio::test]
async fn a_registration_is_made_with_the_documented_body_and_listed() {
    let gateway = Start::quiet().start().await;
    let request = CreateWebhookRequest { configuration: Some(detail()), ..new(WebhookTopic::Report) };
    let answer = create(&gateway, request).await.expect("created");
    let call = last_call(&gateway);
    assert_eq!(call.method, "POST");
    assert_eq!(call.path, path(&gateway, "create/webhooks"));
    assert_eq!(call.content_type(), Some("application/json"));
    let expected = json!({"topic": "report", "address": ADDRESS, "configuration": detail_json()});
    assert_eq!(serde_json::from_slice::<Value>(&call.body).expect("JSON"), expected);

    let created = answer.webhook.expect("there");
    assert_eq!((answer.previous, created.raw_json.as_str()), (None, ""));
    let listed = registered(&gateway, WebhookTopic::Report).await;
    assert_eq!(last_call(&gateway).path, path(&gateway, "webhooks"));
    assert!(listed.raw_json.contains("spring-*"));
    assert_eq!(Webhook { raw_json: String::new(), ..listed }, created);
    assert_eq!(list(&gateway).await.expect("listed").len(), 3);
}

#[tokio::test]
async fn what_is_not_given_is_left_to_the_provider() {
    let gateway = Start::quiet().start().await;
    for configuration in [None, Some(WebhookConfiguration::default())] {
        let request = CreateWebhookRequest { configuration, ..new(WebhookTopic::Report) };
        let created = create(&gateway, request).await.expect("created").webhook.expect("there");
        let call = last_call(&gateway);
        assert_eq!(call.json(), Some(json!({"topic": "report", "address": ADDRESS})));
        delete(&gateway, CONNECTLY, &created.id).await.expect("deleted");
    }
}

#[tokio::test]
async fn without_an_address_our_own_is_registered() {
    for (public_url, address) in [
        ("https://hooks.example.com", "https://hooks.example.com/webhooks/demo-connectly"),
        ("https://hooks.example.com/sb/", "https://hooks.example.com/sb/webhooks/demo-connectly"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/webhooks/demo-connectly"),
    ] {
        let gateway = Start::quiet().with("WEBHOOK__PUBLIC_URL", public_url).start().await;
        let request = CreateWebhookRequest { address: String::new(), ..new(WebhookTopic::Report) };
        let created = create(&gateway, request).await.expect("created").webhook.expect("there");
        assert_eq!(created.address, address);
        assert_eq!(registered(&gateway, WebhookTopic::Report).await.address, address);
    }
}

#[tokio::test]
async fn an_address_of_our_own_that_is_not_configured_is_said_to_be_missing() {
    let request = CreateWebhookRequest { address: String::new(), ..new(WebhookTopic::Report) };
    let plain = Start::quiet().with("WEBHOOK__PUBLIC_URL", "http://hooks.example.com");
    for start in [Start::quiet(), plain] {
        let gateway = start.start().await;
        let told = create(&gateway, request.clone()).await.expect_err("no address");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
        assert_eq!(fields(&told), ["address"]);
        assert!(told.message().contains("`public_url` in [webhook]"), "{told:?}");
        assert_eq!(gateway.connectly().calls().len(), 0);
    }
}

#[tokio::test]
async fn a_topic_that_has_an_address_keeps_it_whatever_the_provider_would_do() {
    for duplicate_topic in [DuplicateTopic::Conflict, DuplicateTopic::Replace] {
        let gateway = Start::quiet().with_duplicate_topic(duplicate_topic).start().await;
        let before = registered(&gateway, WebhookTopic::Messages).await;
        for on_conflict in [OnConflict::Unspecified, OnConflict::Fail] {
            let request =
                CreateWebhookRequest { on_conflict: on_conflict.into(), ..new(WebhookTopic::Messages) };
            let told = create(&gateway, request).await.expect_err("there is one");
            assert_eq!((told.code(), reason(&told).as_str()), (Code::AlreadyExists, "WEBHOOK_EXISTS"));
            assert_eq!(metadata(&told, "webhook_id"), before.id);
            assert_eq!(metadata(&told, "address"), before.address);
        }
        assert_eq!(registered(&gateway, WebhookTopic::Messages).await, before);
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);
    }
}

#[tokio::test]
async fn a_registration_is_replaced_in_its_place_whatever_the_provider_would_do() {
    for duplicate_topic in [DuplicateTopic::Conflict, DuplicateTopic::Replace] {
        let gateway = Start::quiet().with_duplicate_topic(duplicate_topic).start().await;
        let before = registered(&gateway, WebhookTopic::Messages).await;
        let configuration = WebhookConfiguration { echo: Some(true), ..WebhookConfiguration::default() };
        let request = CreateWebhookRequest {
            on_conflict: OnConflict::Replace.into(),
            configuration: Some(configuration),
            ..new(WebhookTopic::Messages)
        };
        let answer = create(&gateway, request).await.expect("replaced");
        let call = last_call(&gateway);
        let put = path(&gateway, &format!("update/webhooks/{}", before.id));
        assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", put.as_str()));
        assert_eq!(call.json(), Some(json!({"address": ADDRESS, "configuration": {"echo": true}})));
        assert_eq!(gateway.connectly().arrivals(Operation::CreateWebhook), 0);

        assert_eq!(answer.previous.as_ref(), Some(&before));
        let replaced = answer.webhook.expect("there");
        assert_eq!((&replaced.id, replaced.address.as_str()), (&before.id, ADDRESS));
        let listed = registered(&gateway, WebhookTopic::Messages).await;
        assert_eq!(Webhook { raw_json: String::new(), ..listed }, replaced);
    }
}

#[tokio::test]
async fn replacing_what_is_not_there_creates_it() {
    let gateway = Start::quiet().start().await;
    let request =
        CreateWebhookRequest { on_conflict: OnConflict::Replace.into(), ..new(WebhookTopic::Report) };
    let answer = create(&gateway, request).await.expect("created");
    assert_eq!(answer.previous, None);
    assert_eq!(gateway.connectly().arrivals(Operation::UpdateWebhook), 0);
}

/// The next list is empty, as if the registration were made right behind it.
async fn look_too_early(gateway: &Gateway) {
    let empty = Fault::Body(200, r#"{"entity":{"webhooks":[]}}"#.to_owned());
    gateway.connectly().set_fault(FaultRule::once(empty).on(Operation::ListWebhooks)).await;
}

#[tokio::test]
async fn a_race_that_the_provider_refuses_is_told_as_a_registration_that_exists() {
    let gateway = Start::quiet().one_try().with_duplicate_topic(DuplicateTopic::Conflict).start().await;
    let before = registered(&gateway, WebhookTopic::Messages).await;
    for on_conflict in [OnConflict::Fail, OnConflict::Replace] {
        look_too_early(&gateway).await;
        let request = CreateWebhookRequest { on_conflict: on_conflict.into(), ..new(WebhookTopic::Messages) };
        let told = create(&gateway, request).await.expect_err("somebody was faster");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::AlreadyExists, "WEBHOOK_EXISTS"));
        assert_eq!(metadata(&told, "webhook_id"), before.id);
        assert_eq!(metadata(&told, "address"), before.address);
        assert_eq!(metadata(&told, "http_status"), "409");
        assert_eq!(registered(&gateway, WebhookTopic::Messages).await, before);
    }
    // Who it is may not be known.
    look_too_early(&gateway).await;
    gateway.connectly().set_fault(FaultRule::once(Fault::status(503)).on(Operation::ListWebhooks)).await;
    let told = create(&gateway, new(WebhookTopic::Messages)).await.expect_err("somebody was faster");
    assert_eq!((reason(&told).as_str(), metadata(&told, "webhook_id").as_str()), ("WEBHOOK_EXISTS", ""));
}

#[tokio::test]
async fn a_race_that_the_provider_lets_pass_looks_like_any_creation() {
    let gateway = Start::quiet().with_duplicate_topic(DuplicateTopic::Replace).start().await;
    let before = registered(&gateway, WebhookTopic::Messages).await;
    look_too_early(&gateway).await;
    let answer = create(&gateway, new(WebhookTopic::Messages)).await.expect("created");
    assert_eq!(answer.previous, None);
    let now = registered(&gateway, WebhookTopic::Messages).await;
    assert_ne!(before.address, ADDRESS);
    assert_eq!(now.address, ADDRESS);
}

#[tokio::test]
async fn a_registration_whose_id_cannot_stand_in_a_path_is_not_replaced() {
    let gateway = Start::quiet().start().await;
    let odd = r#"{"entity":{"webhooks":[{"id":"../x","topic":"messages","address":"a"}]}}"#;
    let odd = FaultRule::once(Fault::Body(200, odd.to_owned())).on(Operation::ListWebhooks);
    gateway.connectly().set_fault(odd).await;
    let request =
        CreateWebhookRequest { on_conflict: OnConflict::Replace.into(), ..new(WebhookTopic::Messages) };
    let told = create(&gateway, request).await.expect_err("nowhere to write to");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::Internal, "PROVIDER_REPLY_UNREADABLE"));
    assert_eq!(gateway.connectly().calls().len(), 1);
}

#[tokio::test]
async fn a_change_tells_only_what_changes() {
    let gateway = Start::quiet().start().await;
    let before = registered(&gateway, WebhookTopic::Messages).await;
    let request = UpdateWebhookRequest {
        account: CONNECTLY.to_owned(),
        webhook_id: before.id.clone(),
        ..UpdateWebhookRequest::default()
    };
    let address = UpdateWebhookRequest { address: Some(ADDRESS.to_owned()), ..request.clone() };
    update(&gateway, address).await.expect("changed");
    assert_eq!(last_call(&gateway).json(), Some(json!({"address": ADDRESS})));
    update(&gateway, UpdateWebhookRequest { configuration: Some(detail()), ..request })
        .await
        .expect("changed");
    let call = last_call(&gateway);
    let put = path(&gateway, &format!("update/webhooks/{}", before.id));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", put.as_str()));
    assert_eq!(call.json(), Some(json!({"configuration": detail_json()})));
    let now = registered(&gateway, WebhookTopic::Messages).await;
    assert_eq!((now.address.as_str(), now.configuration), (ADDRESS, Some(detail())));
}

#[tokio::test]
async fn a_deleted_registration_is_gone_and_cannot_be_deleted_again() {
    let gateway = Start::quiet().start().await;
    let before = registered(&gateway, WebhookTopic::Messages).await;
    delete(&gateway, CONNECTLY, &before.id).await.expect("deleted");
    let call = last_call(&gateway);
    let at = path(&gateway, &format!("delete/webhooks/{}", before.id));
    assert_eq!((call.method.as_str(), call.path.as_str()), ("DELETE", at.as_str()));
    assert_eq!(list(&gateway).await.expect("listed").len(), 1);
    let told = delete(&gateway, CONNECTLY, &before.id).await.expect_err("gone");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
    let request = UpdateWebhookRequest {
        account: CONNECTLY.to_owned(),
        webhook_id: before.id,
        address: Some(ADDRESS.to_owned()),
        configuration: None,
    };
    let told = update(&gateway, request).await.expect_err("gone");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::NotFound, "PROVIDER_NOT_FOUND"));
}

#[tokio::test]
async fn the_list_brings_the_providers_own_json_byte_for_byte() {
    let gateway = Start::quiet().start().await;
    let item = r#"{ "id":"W1", "topic":"opt_outs","address":"http://x", "new": 12345678901234567890 }"#;
    let reply = format!(r#"{{"entity":{{"businessId":"b","webhooks":[ {item} ]}}}}"#);
    gateway.connectly().set_fault(FaultRule::once(Fault::Body(200, reply))).await;
    let listed = list(&gateway).await.expect("listed");
    assert_eq!(
        (listed[0].topic(), listed[0].provider_topic.as_str()),
        (WebhookTopic::Unspecified, "opt_outs")
    );
    assert_eq!(listed[0].raw_json, item);
}

#[tokio::test]
async fn every_fault_of_a_registration_is_told_at_once_and_nothing_is_sent() {
    let gateway = Start::quiet().start().await;
    let told = create(&gateway, CreateWebhookRequest::default()).await.expect_err("empty");
    assert_eq!((told.code(), reason(&told).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    assert_eq!(fields(&told), ["account", "topic"]);

    let hollow = WebhookConfiguration {
        channel_types: vec!["sms".to_owned(), String::new()],
        filters: vec![WebhookFilter::default()],
        echo: None,
    };
    let request = CreateWebhookRequest {
        account: CONNECTLY.to_owned(),
        topic: 99,
        address: "http://gw.example.org/hook".to_owned(),
        configuration: Some(hollow.clone()),
        on_conflict: 99,
        ..CreateWebhookRequest::default()
    };
    let told = create(&gateway, request).await.expect_err("all wrong");
    let hollows = [
        "configuration.channel_types[1]",
        "configuration.filters[0].field",
        "configuration.filters[0].expression",
    ];
    assert_eq!(fields(&told), [&["topic", "address"][..], &hollows, &["on_conflict"]].concat());
    assert!(!format!("{told:?}").contains("gw.example.org"), "nothing that was given is quoted");

    let told = update(&gateway, UpdateWebhookRequest::default()).await.expect_err("empty");
    assert_eq!(fields(&told), ["account", "webhook_id", "address"]);
    let request = UpdateWebhookRequest {
        account: CONNECTLY.to_owned(),
        webhook_id: "../templates".to_owned(),
        address: Some(String::new()),
        configuration: Some(hollow),
    };
    let told = update(&gateway, request).await.expect_err("all wrong");
    assert_eq!(fields(&told), [&["webhook_id", "address"][..], &hollows].concat());

    let told = delete(&gateway, "", "a/b").await.expect_err("all wrong");
    assert_eq!(fields(&told), ["account", "webhook_id"]);
    assert_eq!(gateway.connectly().calls().len(), 0);
}

#[tokio::test]
async fn connectby_has_no_webhooks_and_says_so_of_the_account() {
    let gateway = Start::quiet().start().await;
    let account = CONNECTBY.to_owned();
    let listed = ListWebhooksRequest { account: account.clone() };
    let without_address = CreateWebhookRequest {
        account: account.clone(),
        address: String::new(),
        ..new(WebhookTopic::Messages)
    };
    let changed = UpdateWebhookRequest {
        account: account.clone(),
        webhook_id: "W1".to_owned(),
        address: Some(ADDRESS.to_owned()),
        configuration: None,
    };
    for told in [
        within(gateway.webhooks().list_webhooks(listed)).await.map(|_| ()),
        create(&gateway, CreateWebhookRequest { account, ..new(WebhookTopic::Messages) }).await.map(|_| ()),
        create(&gateway, without_address).await.map(|_| ()),
        update(&gateway, changed).await,
        delete(&gateway, CONNECTBY, "W1").await,
    ] {
        let told = told.expect_err("unsupported");
        assert_eq!((told.code(), reason(&told).as_str()), (Code::Unimplemented, "PROVIDER_UNSUPPORTED"));
        assert_eq!(fields(&told), ["account"]);
    }
    assert_eq!(gateway.connectby().calls().len(), 0);
}
