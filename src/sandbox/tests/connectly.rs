//! The replies of Connectly.

use super::super::connectly::{self, ConnectlyTopic, DuplicateTopic};
use super::super::{Operation, Options};
use super::*;

async fn with(connectly: connectly::Options) -> Sandbox {
    Sandbox::start(Options { connectly, ..Options::default() }).await.unwrap()
}

fn message(to: &str, channel: &str, message: &Value) -> Value {
    json!({"recipient": {"id": to, "channelType": channel}, "message": message})
}

#[tokio::test]
async fn wrong_key_and_wrong_business_are_refused() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectly();
        let path = format!("/v1/businesses/{}/get/templates", provider.business_id());
        let wrong = post(&client(), provider.base_url(), &path, ("x-api-key", "wrong"), &json!({}));
        let (status, reply) = body(wrong.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &reply["type"]), (401, &json!("ERROR_TYPE_AUTHENTICATION")));
        let path = "/v1/businesses/another/get/templates";
        let other = post(&client(), provider.base_url(), path, ("x-api-key", provider.api_key()), &json!({}));
        assert_eq!(other.send().await.unwrap().status(), 404);
        assert_eq!(provider.arrivals(Operation::ListTemplates), 2);
    })
    .await;
}

#[tokio::test]
async fn message_is_accepted_or_refused_with_documented_code() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectly();
        let text = json!({"text": "hello"});
        let attached = |attachments: Value| json!({"attachments": attachments});
        let pdf = json!({"type": "document", "url": "https://files.example.org/a.pdf", "filename": "a.pdf"});
        let place = json!({"location": {"latitude": 1, "longitude": 2}});
        let beyond = json!({"location": {"latitude": 90.1, "longitude": 2}});
        let unnamed = json!({"location": {"latitude": 1, "longitude": 2, "name": 3}});
        let with = |mut body: Value, pointer: &str, field: &str, value: Value| {
            body.pointer_mut(pointer).unwrap()[field] = value;
            body
        };
        let hello = message("+15550100001", "whatsapp", &text);
        let malformed = Some("ERROR_CODE_UNSPECIFIED");
        let stranger = json!({"id": "+15550109999"});
        let cases = [
            (message("+15550100001", "whatsapp", &text), None),
            (message("+1(555) 010-0001", "sms", &text), None),
            (message("US.13491208655302741918", "whatsapp", &text), None),
            (message("+15550100001", "whatsapp", &attached(json!([pdf]))), None),
            (message("US.ENT.11815799212886844830", "whatsapp", &text), None),
            (message("US.ENT.", "whatsapp", &text), Some("ERROR_CODE_PHONE_NUMBER_BAD_FORMAT")),
            (message("+15550100001", "whatsapp", &place), None),
            (message("+15550100001", "sms", &place), malformed),
            (message("+15550100001", "whatsapp", &beyond), malformed),
            (message("+15550100001", "whatsapp", &json!({"location": {"latitude": 1}})), malformed),
            (message("+15550100001", "whatsapp", &unnamed), malformed),
            (with(hello.clone(), "/recipient", "name", json!("Ada")), None),
            (with(hello.clone(), "/recipient", "name", json!(1)), malformed),
            (with(hello.clone(), "", "campaignName", json!("spring")), None),
            (with(hello, "", "campaignName", json!(["spring"])), malformed),
            (message("15550100001", "whatsapp", &text), Some("ERROR_CODE_PHONE_NUMBER_BAD_FORMAT")),
            (message("+15550100002", "whatsapp", &text), Some("ERROR_CODE_MESSAGE_SELF_INVALID")),
            (message("+15550100001", "whatsapp", &json!({})), Some("ERROR_CODE_MESSAGE_TEXT_EMPTY")),
            (
                message("+15550100001", "whatsapp", &attached(json!([pdf, pdf]))),
                Some("ERROR_CODE_MESSAGE_ATTACHMENTS_NUMBER_INVALID"),
            ),
            (
                message("+15550100001", "whatsapp", &attached(json!([{"type": "image", "url": ""}]))),
                Some("ERROR_CODE_MESSAGE_ATTACHMENT_EMPTY"),
            ),
            (
                message("+15550100001", "whatsapp", &attached(json!([{"type": "image", "url": "a b"}]))),
                Some("ERROR_CODE_MESSAGE_ATTACHMENT_INVALID"),
            ),
            (
                json!({"sender": stranger, "recipient": {"id": "+15550100001"}, "message": text}),
                Some("ERROR_CODE_INVALID_SENDER_ID"),
            ),
        ];
        for (send, expected) in cases {
            let (status, reply) =
                body(provider.post(&client(), "send/messages", &send).send().await.unwrap()).await;
            assert_eq!(reply["code"].as_str(), expected, "{send}");
            assert_eq!(status.as_u16(), if expected.is_some() { 400 } else { 201 });
            assert_eq!(reply["id"].as_str().is_some_and(|id| id.len() == 26), expected.is_none());
        }
        all_webhooks_delivered(provider).await; // immediately, because no address is registered
    })
    .await;
}

#[tokio::test]
async fn template_message_without_its_parameters_is_refused() {
    within(async {
        let sandbox = started().await;
        let named = |pairs: &[(&str, &str)]| -> Value {
            pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
        };
        let image = "https://files.example.org/a.png";
        let sale = [("header_image", image), ("body_1", "Ada"), ("button_1_url", "summer")];
        let invalid = Some("ERROR_CODE_MESSAGE_TEMPLATE_INPUT_INVALID");
        let not_found = Some("ERROR_CODE_MESSAGE_TEMPLATE_NOT_FOUND");
        for (name, language, parameters, expected) in [
            ("order_update", json!("en"), named(&[("body_1", "A"), ("body_2", "B")]), None),
            ("order_update", Value::Null, named(&[("body_1", "A"), ("body_2", "B")]), None),
            ("order_update", json!("de"), named(&[("body_1", "A")]), invalid),
            (
                "order_update",
                json!("en"),
                named(&[("body_1", "A"), ("body_2", "B"), ("body_3", "C")]),
                invalid,
            ),
            ("order_update", json!("fr"), json!([]), not_found),
            ("summer_sale", json!("en_US"), named(&sale), None),
            ("summer_sale", json!("en_US"), named(&sale[1..]), invalid),
            ("named_greeting", json!("en"), named(&[("var1", "Ada")]), None),
            ("winter_sale", json!("en"), json!([]), not_found),
        ] {
            let send = json!({"number": "+15550100001", "templateName": name, "language": language,
                              "parameters": parameters});
            let sent = sandbox.connectly().post(&client(), "send/whatsapp_templated_messages", &send);
            let (status, reply) = body(sent.send().await.unwrap()).await;
            assert_eq!(reply["code"].as_str(), expected, "{send}");
            assert_eq!(status == 201, expected.is_none());
        }
        let (_, listed) =
            body(sandbox.connectly().post(&client(), "get/templates", &json!({})).send().await.unwrap())
                .await;
        let groups = listed["entity"]["templateGroups"].as_array().unwrap();
        assert_eq!(groups[0]["templates"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn message_outside_enforced_window_is_refused() {
    within(async {
        let sandbox = with(connectly::Options { enforce_window: true, ..Default::default() }).await;
        let provider = sandbox.connectly();
        let code = async || body(provider.text(&client()).send().await.unwrap()).await.1["code"].clone();
        assert_eq!(code().await, "ERROR_CODE_MESSAGE_CUSTOMER_NO_CONVERSATION_INITIATION");
        provider.inject_message("+15550100001", "hi").await;
        assert_eq!(code().await, Value::Null);
        provider.set_last_customer_message("+15550100001", Duration::from_secs(25 * 3600));
        assert_eq!(code().await, "ERROR_CODE_MESSAGE_OUTSIDE_OF_ELIGIBILITY_WINDOW");
    })
    .await;
}

#[tokio::test]
async fn webhook_registration_is_created_changed_and_deleted() {
    within(async {
        let sandbox = started().await;
        let (provider, client) = (sandbox.connectly(), client());
        let address = "https://a.example.org/x";
        let new = json!({"topic": "messages", "address": address, "configuration": {"echo": true}});
        let (status, created) =
            body(provider.post(&client, "create/webhooks", &new).send().await.unwrap()).await;
        assert_eq!(status, 200);
        let again = provider.post(&client, "create/webhooks", &new).send().await.unwrap();
        assert_eq!(again.status(), 409);
        let bad = json!({"topic": "message", "address": "https://a.example.org/x"});
        assert_eq!(provider.post(&client, "create/webhooks", &bad).send().await.unwrap().status(), 400);

        let url = |verb: &str| {
            let id = created["id"].as_str().unwrap();
            let path = format!("/v1/businesses/{}/{verb}/webhooks/{id}", provider.business_id());
            provider.base_url().join(&path).unwrap()
        };
        let key = provider.api_key();
        let moved = client
            .put(url("update"))
            .header("x-api-key", key)
            .body(r#"{"address":"https://b.example.org/"}"#);
        assert_eq!(moved.send().await.unwrap().status(), 200);
        let registration = provider.registrations().remove(0);
        assert_eq!(
            (registration.topic, registration.address.as_str()),
            (ConnectlyTopic::Messages, "https://b.example.org/")
        );
        assert_eq!(registration.configuration["echo"], true);
        for expected in [200, 404] {
            let deleted = client.delete(url("delete")).header("x-api-key", key).send().await.unwrap();
            assert_eq!(deleted.status().as_u16(), expected);
        }

        let duplicate_topic = DuplicateTopic::Replace;
        let sandbox = with(connectly::Options { duplicate_topic, ..Default::default() }).await;
        for _ in 0..2 {
            let created = sandbox.connectly().post(&client, "create/webhooks", &new).send().await.unwrap();
            assert_eq!(created.status(), 200);
        }
        assert_eq!(sandbox.connectly().registrations().len(), 1);
    })
    .await;
}
