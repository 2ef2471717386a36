//! The webhooks that follow an accepted send, in the documented shapes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use ulid::Ulid;

use super::messages::{Accepted, is_user_id};
use super::{ConnectlyTopic, CustomerReply, Options, Sender};

/// A webhook, and when it is due after its message was accepted.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) due: Duration,
    pub(super) topic: ConnectlyTopic,
    pub(super) body: Bytes,
    /// The customer whose session window this webhook opens.
    pub(super) opens_window_for: Option<String>,
}

/// The customer in a conversation.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) address: String,
    name: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    username: Option<String>,
}

impl Customer {
    pub(super) fn new(address: &str, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { address: address.to_owned(), name, user_id: None, parent_user_id: None, username: None }
    }

    pub(super) fn sender(sender: &Sender) -> Self {
        let Sender { address, user_id, parent_user_id, username } = sender.clone();
        Self { address, name: Some("Ada".to_owned()), user_id, parent_user_id, username }
    }

    fn json(&self, channel: &str) -> Value {
        let mut person = json!({"id": self.address, "channelType": channel, "name": self.name});
        if is_user_id(&self.address) {
            person["userId"] = json!(self.address);
            person["phoneNumber"] = json!("");
        } else if let Some(user_id) = &self.user_id {
            person["userId"] = json!(user_id);
            person["phoneNumber"] = json!(self.address);
        }
        for (key, value) in [("parentUserId", &self.parent_user_id), ("username", &self.username)] {
            if let Some(value) = value {
                person[key] = json!(value);
            }
        }
        person
    }
}

/// Returns all webhooks that follow an accepted send. There are none unless it was sent to WhatsApp. `reorder` is
/// called only if there are statuses to reorder.
pub(super) fn webhooks(
    accepted: &Accepted,
    options: &Options,
    echo: bool,
    reorder: impl FnOnce() -> bool,
) -> Vec<Webhook> {
    let mut webhooks = Vec::new();
    if accepted.channel != "whatsapp" {
        return webhooks;
    }
    if echo {
        webhooks.push(echo_webhook(accepted, &options.business_number));
    }
    if options.auto_status {
        let timing = [options.timing.sent, options.timing.delivered, options.timing.read];
        let mut statuses: Vec<Bytes> = ["sent", "delivered", "read"]
            .into_iter()
            .zip(timing)
            .map(|(status, due)| status_body(accepted, &options.business_number, status, due))
            .collect();
        if reorder() {
            statuses.reverse();
        }
        let topic = ConnectlyTopic::DeliveryStatus;
        webhooks.extend(timing.into_iter().zip(statuses).map(|(due, body)| Webhook {
            due,
            topic,
            body,
            opens_window_for: None,
        }));
    }
    if options.auto_reply {
        let id = Ulid::generate().to_string();
        let text = format!("Got it: {}", accepted.summary);
        let due = options.timing.reply;
        let body = message_body(&id, &accepted.customer, &options.business_number, &text, due);
        let opens_window_for = Some(accepted.customer.address.clone());
        webhooks.push(Webhook { due, topic: ConnectlyTopic::Messages, body, opens_window_for });
    }
    webhooks
}

/// A customer's text, due at once.
pub(super) fn customer_message(id: &str, customer: &Customer, business: &str, text: &str) -> Webhook {
    let due = Duration::ZERO;
    let body = message_body(id, customer, business, text, due);
    Webhook { due, topic: ConnectlyTopic::Messages, body, opens_window_for: Some(customer.address.clone()) }
}

/// A status of a message, due at once.
pub(super) fn status(accepted: &Accepted, business: &str, status: &str) -> Webhook {
    let due = Duration::ZERO;
    let body = status_body(accepted, business, status, due);
    Webhook { due, topic: ConnectlyTopic::DeliveryStatus, body, opens_window_for: None }
}

/// A customer's reply to a message of the business, due at once. It contains the message's `callbackData`.
pub(super) fn reply(id: &str, accepted: &Accepted, business: &str, reply: &CustomerReply<'_>) -> Webhook {
    let mut body = json!({
        "topic": "messages",
        "timestamp": timestamp(Duration::ZERO),
        "sender": accepted.customer.json("whatsapp"),
        "recipient": business_json(business),
        "context": {"replyToId": accepted.id},
        "metadata": null,
    });
    match reply {
        CustomerReply::Quote(text) => {
            body["message"] = json!({"id": id, "text": text, "attachments": [], "location": null});
        }
        CustomerReply::Button { text, payload } => {
            body["buttonResponse"] = json!({"id": id, "text": text, "payload": payload});
        }
    }
    add_callback_data(accepted, &mut body);
    let opens_window_for = Some(accepted.customer.address.clone());
    Webhook { due: Duration::ZERO, topic: ConnectlyTopic::Messages, body: encode(&body), opens_window_for }
}

/// A status of a run of a report, due at once. Only a completed run has a result.
pub(super) fn report(run_id: &str, status: &str) -> Webhook {
    let result = (status == "completed").then(|| {
        json!({
            "url": format!("https://cdn.connectly.ai/reports/{run_id}.csv?signature=0a1b"),
            "expires_at": "2026-11-21T06:10:00Z",
            "created_at": "2026-11-21T06:00:00Z",
        })
    });
    let body = json!({
        "topic": "report",
        "timestamp": "2026-11-21T06:00:05Z",
        "report": {
            "id": "report-1",
            "name": "Daily campaigns",
            "type": "campaign.daily.v1",
            "last_run": {"id": run_id, "status": status, "result": result},
        },
    });
    Webhook {
        due: Duration::ZERO,
        topic: ConnectlyTopic::Report,
        body: encode(&body),
        opens_window_for: None,
    }
}

/// A plain text that quotes no message, so it has no `callbackData`.
fn message_body(id: &str, customer: &Customer, business: &str, text: &str, due: Duration) -> Bytes {
    encode(&json!({
        "topic": "messages",
        "timestamp": timestamp(due),
        "sender": customer.json("whatsapp"),
        "recipient": business_json(business),
        "message": {"id": id, "text": text, "attachments": [], "location": null},
        "metadata": null,
    }))
}

fn status_body(accepted: &Accepted, business: &str, status: &str, due: Duration) -> Bytes {
    let mut body = json!({
        "topic": "delivery_status",
        "timestamp": timestamp(due),
        "sender": business_json(business),
        "recipient": accepted.customer.json("whatsapp"),
        "metadata": null,
        "statusUpdate": {"id": accepted.id, "status": status, "error": null},
    });
    if let Some(campaign_name) = &accepted.campaign_name {
        body["statusUpdate"]["metadata"] = json!({"campaignName": campaign_name});
    }
    add_callback_data(accepted, &mut body);
    encode(&body)
}

/// The webhook that reports the business's own message as an echo.
pub(super) fn echo_webhook(accepted: &Accepted, business: &str) -> Webhook {
    let mut message = accepted.echo.clone();
    message["id"] = json!(accepted.id);
    message["isEcho"] = json!(true);
    let mut body = json!({
        "topic": "messages",
        "timestamp": timestamp(Duration::ZERO),
        "sender": business_json(business),
        "recipient": accepted.customer.json("whatsapp"),
        "message": message,
        "metadata": null,
    });
    add_callback_data(accepted, &mut body);
    Webhook {
        due: Duration::ZERO,
        topic: ConnectlyTopic::Messages,
        body: encode(&body),
        opens_window_for: None,
    }
}

/// Adds the `callbackData` of the message.
fn add_callback_data(accepted: &Accepted, body: &mut Value) {
    if let Some(callback_data) = &accepted.callback_data {
        body["callbackData"] = callback_data.clone();
    }
}

fn business_json(number: &str) -> Value {
    json!({"id": number, "channelType": "whatsapp", "name": null})
}

fn encode(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

/// Unix seconds, as text.
fn timestamp(due: Duration) -> String {
    (SystemTime::now() + due).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
}
