//! The webhooks that follow a send.

use bytes::Bytes;

use super::super::connectly::{self, ConnectlyTopic, CustomerReply, Signature};
use super::super::{Fault, FaultRule, Operation, Options};
use super::receiver::Receiver;
use super::*;

const LIFE: [&str; 4] = ["sent", "delivered", "read", "Got it: hello"];

async fn started_towards(receiver: &Receiver) -> Sandbox {
    let mut options = Options::instant();
    options.connectly.webhook_url = Some(receiver.url.clone());
    Sandbox::start(options).await.unwrap()
}

#[tokio::test]
async fn webhooks_of_message_are_signed_and_in_order() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_towards(&receiver).await;
        let provider = sandbox.connectly();
        let (_, reply) = body(provider.text(&client()).send().await.unwrap()).await;
        for expected in LIFE {
            let webhook = receiver.next().await;
            assert!(webhook.signed_with(provider.webhook_secret()));
            assert_eq!(webhook.headers["content-type"], "text/plain; charset=utf-8");
            assert!(webhook.headers["user-agent"].to_str().unwrap().starts_with("go-resty/2.6.0"));
            assert_eq!(webhook.word(), expected);
            let json = webhook.json();
            assert!(json["timestamp"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
            if json["topic"] == "delivery_status" {
                assert_eq!(json["statusUpdate"]["id"], reply["id"]);
                assert_eq!(json["sender"]["id"], "+15550100002");
                assert_eq!(json["callbackData"], json!({"ticket": 7}));
            } else {
                assert_eq!(json["sender"]["id"], "+15550100001");
                assert!(json.get("callbackData").is_none(), "a plain answer quotes nothing");
            }
        }
        all_webhooks_delivered(provider).await;
        assert!(receiver.stays_quiet().await);
    })
    .await;
}

#[tokio::test]
async fn refused_webhook_is_retried_in_order() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_towards(&receiver).await;
        receiver.answer(&[503, 202, 200]);
        sandbox.connectly().text(&client()).send().await.unwrap();
        let words = receiver.words(6).await;
        assert_eq!(words, ["sent", "sent", "sent", "delivered", "read", "Got it: hello"]);

        receiver.answer(&[500]);
        let delivery = sandbox.connectly().inject_message("+15550100001", "hi").await;
        assert_eq!(delivery.status, Some(500));
        assert_eq!(receiver.words(2).await, ["hi", "hi"]);
    })
    .await;
}

#[tokio::test]
async fn webhook_is_given_up_after_the_retry_time() {
    within(async {
        let receiver = Receiver::start().await;
        let mut options = Options::instant();
        options.connectly.webhook_url = Some(receiver.url.clone());
        options.connectly.retry_for = Duration::ZERO;
        options.connectly.auto_reply = false;
        let sandbox = Sandbox::start(options).await.unwrap();
        receiver.answer(&[500, 500, 500]);
        sandbox.connectly().text(&client()).send().await.unwrap();
        while sandbox.connectly().webhooks_given_up() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn webhook_faults_do_what_their_names_say() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_towards(&receiver).await;
        let provider = sandbox.connectly();
        let send = async || assert_eq!(provider.text(&client()).send().await.unwrap().status(), 201);

        provider.set_fault(FaultRule::once(Fault::DuplicateWebhook)).await;
        send().await;
        assert_eq!(receiver.words(5).await, ["sent", "sent", "delivered", "read", "Got it: hello"]);

        provider.set_fault(FaultRule::once(Fault::ReorderStatuses).on(Operation::SendMessage)).await;
        send().await;
        assert_eq!(receiver.words(4).await, ["read", "delivered", "sent", "Got it: hello"]);

        provider.set_fault(FaultRule::times(2, Fault::DropWebhooks)).await;
        send().await;
        assert_eq!(receiver.words(2).await, ["read", "Got it: hello"]);

        provider.set_fault(FaultRule::once(Fault::WrongSignature)).await;
        receiver.answer(&[401]);
        send().await;
        let (first, second) = (receiver.next().await, receiver.next().await);
        assert_eq!(first.body, second.body);
        assert!(!first.signed_with(provider.webhook_secret()));
        assert!(second.signed_with(provider.webhook_secret()));
        receiver.words(3).await;
        assert!(receiver.stays_quiet().await);
        assert_eq!(provider.faults(), []);
    })
    .await;
}

#[tokio::test]
async fn webhook_is_injected_with_any_bytes_and_signature() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started().await;
        let provider = sandbox.connectly();
        let status = Bytes::from_static(br#"{"topic":"delivery_status","statusUpdate":{"status":"odd"}}"#);
        assert_eq!(provider.inject_webhook(status.clone(), Signature::Right).await.address, None);

        provider.set_webhook_target(ConnectlyTopic::DeliveryStatus, receiver.url.clone());
        receiver.answer(&[200, 401, 401]);
        for (signature, expected) in
            [(Signature::Right, 200), (Signature::Wrong, 401), (Signature::Missing, 401)]
        {
            let delivery = provider.inject_webhook(status.clone(), signature).await;
            assert_eq!(delivery.status, Some(expected));
            let webhook = receiver.next().await;
            assert_eq!(webhook.body, status);
            assert_eq!(webhook.signed_with(provider.webhook_secret()), signature == Signature::Right);
            assert_eq!(
                webhook.headers.contains_key("x-connectly-hmac-sha256"),
                signature != Signature::Missing
            );
        }
        assert!(receiver.stays_quiet().await);
        provider.set_webhook_target(ConnectlyTopic::DeliveryStatus, None);
        assert_eq!(provider.registrations(), []);
    })
    .await;
}

#[tokio::test]
async fn echo_registration_receives_own_messages() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started().await;
        let provider = sandbox.connectly();
        let new =
            json!({"topic": "messages", "address": receiver.url.as_str(), "configuration": {"echo": true}});
        provider.post(&client(), "create/webhooks", &new).send().await.unwrap();
        provider.text(&client()).send().await.unwrap();
        let echo = receiver.next().await.json();
        assert_eq!(
            (&echo["message"]["isEcho"], &echo["sender"]["id"]),
            (&json!(true), &json!("+15550100002"))
        );
        assert_eq!(receiver.words(1).await, ["Got it: hello"]);
    })
    .await;
}

#[tokio::test]
async fn webhooks_about_a_message_contain_its_callback_data() {
    within(async {
        let mut options = Options::instant();
        (options.connectly.auto_status, options.connectly.auto_reply) = (false, false);
        let mut receiver = Receiver::start().await;
        options.connectly.webhook_url = Some(receiver.url.clone());
        let sandbox = Sandbox::start(options).await.unwrap();
        let provider = sandbox.connectly();
        let (_, reply) = body(provider.text(&client()).send().await.unwrap()).await;
        let id = reply["id"].as_str().unwrap();
        assert_eq!(provider.accepted(), [id]);

        provider.inject_status(id, "delivery_failed").await.unwrap();
        let status = receiver.next().await.json();
        assert_eq!(status["statusUpdate"], json!({"id": id, "status": "delivery_failed", "error": null}));
        provider.inject_echo(id).await.unwrap();
        let echo = receiver.next().await.json();
        assert_eq!((&echo["message"]["id"], &echo["message"]["isEcho"]), (&json!(id), &json!(true)));
        let quote = provider.inject_reply(id, CustomerReply::Quote("this one?")).await.unwrap();
        let quoted = receiver.next().await.json();
        assert_eq!(quoted["message"]["id"].as_str(), quote.message_id.as_deref());
        assert_eq!((&quoted["message"]["text"], quote.status), (&json!("this one?"), Some(200)));
        let button = CustomerReply::Button { text: "Yes", payload: "1" };
        let press = provider.inject_reply(id, button).await.unwrap();
        let pressed = receiver.next().await.json();
        let expected = json!({"id": press.message_id.unwrap(), "text": "Yes", "payload": "1"});
        assert_eq!((&pressed["buttonResponse"], pressed.get("message")), (&expected, None));
        for answer in [&quoted, &pressed] {
            assert_eq!(answer["context"], json!({"replyToId": id}));
            assert_eq!(answer["sender"]["id"], "+15550100001");
        }
        for about in [status, echo, quoted, pressed] {
            assert_eq!(about["callbackData"], json!({"ticket": 7}));
        }
        provider.inject_message("+15550100001", "hi").await;
        assert!(receiver.next().await.json().get("callbackData").is_none(), "plain text quotes nothing");

        assert_eq!(provider.inject_echo("another").await, None);
        assert!(receiver.stays_quiet().await);
    })
    .await;
}

#[tokio::test]
async fn sms_message_has_no_webhooks() {
    within(async {
        let mut receiver = Receiver::start().await;
        let sandbox = started_towards(&receiver).await;
        let recipient = json!({"id": "+15550100001", "channelType": "sms"});
        let send = json!({"recipient": recipient, "message": {"text": "hello"}});
        let sent = sandbox.connectly().post(&client(), "send/messages", &send).send().await.unwrap();
        assert_eq!(sent.status(), 201);
        assert!(receiver.stays_quiet().await);
    })
    .await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_webhooks_not_yet_due() {
    let mut options = Options::instant();
    let hour = Duration::from_secs(3600);
    options.connectly.timing = connectly::Timing { sent: hour, delivered: hour, read: hour, reply: hour };
    within(async {
        let sandbox = Sandbox::start(options).await.unwrap();
        sandbox.connectly().text(&client()).send().await.unwrap();
        assert_eq!(sandbox.connectly().messages_in_progress(), 1);
        let url = sandbox.connectly().base_url();
        sandbox.shutdown().await;
        assert!(client().get(url).send().await.unwrap_err().is_connect());
    })
    .await;
}

#[tokio::test]
async fn dropped_sandbox_stops() {
    within(async {
        let sandbox = started().await;
        let provider = sandbox.connectby().clone();
        provider.text(&client()).send().await.unwrap();
        drop(sandbox);
        while provider.text(&client()).send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(provider.clear_faults().await.is_err(), "a stopped sandbox does not listen again");
    })
    .await;
}
