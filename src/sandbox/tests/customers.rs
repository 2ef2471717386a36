//! Customers with and without a phone number, and reports.

use super::super::connectly::{ConnectlyTopic, Sender};
use super::receiver::Receiver;
use super::*;

async fn started_with_webhooks(receiver: &Receiver) -> Sandbox {
    let sandbox = started().await;
    for topic in [ConnectlyTopic::Messages, ConnectlyTopic::DeliveryStatus, ConnectlyTopic::Report] {
        sandbox.connectly().set_webhook_target(topic, receiver.url.clone());
    }
    sandbox
}

#[tokio::test]
async fn injected_sender_has_the_ids_that_were_given() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_with_webhooks(&receiver).await;
        let text = |text: &str| Some(text.to_owned());
        let (parent_user_id, username) = (text("US.ENT.9"), text("ada"));
        for (address, user_id, expected) in [
            ("+15550100001", None, json!({"id": "+15550100001"})),
            (
                "+15550100001",
                text("US.1"),
                json!({"id": "+15550100001", "userId": "US.1", "phoneNumber": "+15550100001"}),
            ),
            ("US.1", None, json!({"id": "US.1", "userId": "US.1", "phoneNumber": ""})),
        ] {
            for (parent_user_id, username) in [(None, None), (parent_user_id.clone(), username.clone())] {
                let mut expected = expected.clone();
                (expected["channelType"], expected["name"]) = (json!("whatsapp"), json!("Ada"));
                if let (Some(parent), Some(username)) = (&parent_user_id, &username) {
                    (expected["parentUserId"], expected["username"]) = (json!(parent), json!(username));
                }
                let address = address.to_owned();
                let sender = Sender { address, user_id: user_id.clone(), parent_user_id, username };
                let delivery = sandbox.connectly().inject_message_from(&sender, "hi").await;
                assert_eq!(delivery.status, Some(200));
                assert_eq!(receiver.next().await.json()["sender"], expected);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn send_to_a_user_id_gets_statuses_and_an_answer() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_with_webhooks(&receiver).await;
        for id in ["US.123", "US.ENT.123"] {
            let session =
                json!({"recipient": {"id": id, "channelType": "whatsapp"}, "message": {"text": "hello"}});
            let template = json!({"number": format!("bsuid:{id}"), "templateName": "named_greeting",
                                  "language": "en", "parameters": [{"name": "var1", "value": "Ada"}]});
            for (path, body, answer) in [
                ("send/messages", session, "Got it: hello"),
                ("send/whatsapp_templated_messages", template, "Got it: named_greeting"),
            ] {
                let sent = sandbox.connectly().post(&client(), path, &body).send().await.unwrap();
                assert_eq!(sent.status(), 201, "{path}");
                for expected in ["sent", "delivered", "read", answer] {
                    let webhook = receiver.next().await;
                    let json = webhook.json();
                    let side = if expected == answer { "sender" } else { "recipient" };
                    assert_eq!(webhook.word(), expected);
                    assert_eq!(
                        (&json[side]["id"], &json[side]["userId"], &json[side]["phoneNumber"]),
                        (&json!(id), &json!(id), &json!(""))
                    );
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn malformed_user_id_is_refused() {
    within(async {
        let sandbox = started().await;
        for id in ["US.", "US.ENT.", "us.1", "US.1.2", "bsuid:US.1", &format!("US.{}", "1".repeat(129))] {
            let body =
                json!({"recipient": {"id": id, "channelType": "whatsapp"}, "message": {"text": "hello"}});
            let sent = sandbox.connectly().post(&client(), "send/messages", &body).send().await.unwrap();
            assert_eq!(sent.status(), 400, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn only_a_completed_report_has_a_url() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_with_webhooks(&receiver).await;
        for status in ["processing", "completed", "failed"] {
            assert_eq!(sandbox.connectly().inject_report("run-7", status).await.status, Some(200));
            let report = receiver.next().await.json();
            assert_eq!(report["topic"], "report");
            let run = &report["report"]["last_run"];
            assert_eq!((&run["id"], &run["status"]), (&json!("run-7"), &json!(status)));
            assert_eq!(run["result"]["url"].is_string(), status == "completed");
        }
    })
    .await;
}
