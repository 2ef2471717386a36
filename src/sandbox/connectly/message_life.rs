//! What follows an accepted send: the webhooks of its life, in the documented shapes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use ulid::Ulid;

use super::messages::{Accepted, is_user_id};
use super::{Answer, Options, Sender, Topic};

/// A webhook and when it is due, counted from the acceptance of its message.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) due: Duration,
    pub(super) topic: Topic,
    pub(super) body: Bytes,
    /// The customer for whom this opens the window.
    pub(super) written_by: Option<String>,
}

/// The other side of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) address: String,
    name: Option<String>,
    user_id: Option<String>,
    parent_user_id: Option<String>,
    username: Option<String>,
}

impl Person {
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

/// Everything that follows an accepted send; empty unless it went to WhatsApp. `reorder` is asked only if
/// there are statuses to reorder.
pub(super) fn of(
    accepted: &Accepted,
    options: &Options,
    echo: bool,
    reorder: impl FnOnce() -> bool,
) -> Vec<Webhook> {
    let mut life = Vec::new();
    if accepted.channel != "whatsapp" {
        return life;
    }
    if echo {
        life.push(own_message(accepted, &options.business_number));
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
        let topic = Topic::DeliveryStatus;
        life.extend(timing.into_iter().zip(statuses).map(|(due, body)| Webhook {
            due,
            topic,
            body,
            written_by: None,
        }));
    }
    if options.auto_reply {
        let id = Ulid::generate().to_string();
        let text = format!("Got it: {}", accepted.gist);
        let due = options.timing.reply;
        let body = message_body(&id, &accepted.customer, &options.business_number, &text, due);
        let written_by = Some(accepted.customer.address.clone());
        life.push(Webhook { due, topic: Topic::Messages, body, written_by });
    }
    life
}

/// A customer's text, due at once.
pub(super) fn customer_message(id: &str, customer: &Person, business: &str, text: &str) -> Webhook {
    let due = Duration::ZERO;
    let body = message_body(id, customer, business, text, due);
    Webhook { due, topic: Topic::Messages, body, written_by: Some(customer.address.clone()) }
}

/// A status of a message, due at once.
pub(super) fn status(accepted: &Accepted, business: &str, word: &str) -> Webhook {
    let due = Duration::ZERO;
    let body = status_body(accepted, business, word, due);
    Webhook { due, topic: Topic::DeliveryStatus, body, written_by: None }
}

/// A customer's answer to a message of ours, due at once: it brings the message's `callbackData` back.
pub(super) fn answer(id: &str, answered: &Accepted, business: &str, answer: &Answer<'_>) -> Webhook {
    let mut body = json!({
        "topic": "messages",
        "timestamp": timestamp(Duration::ZERO),
        "sender": answered.customer.json("whatsapp"),
        "recipient": business_json(business),
        "context": {"replyToId": answered.id},
        "metadata": null,
    });
    match answer {
        Answer::Quote(text) => {
            body["message"] = json!({"id": id, "text": text, "attachments": [], "location": null});
        }
        Answer::Button { text, payload } => {
            body["buttonResponse"] = json!({"id": id, "text": text, "payload": payload});
        }
    }
    bring_back(answered, &mut body);
    let written_by = Some(answered.customer.address.clone());
    Webhook { due: Duration::ZERO, topic: Topic::Messages, body: encode(&body), written_by }
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
    Webhook { due: Duration::ZERO, topic: Topic::Report, body: encode(&body), written_by: None }
}

/// Plain text that quotes nothing: no `callbackData`.
fn message_body(id: &str, customer: &Person, business: &str, text: &str, due: Duration) -> Bytes {
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
    bring_back(accepted, &mut body);
    encode(&body)
}

/// Our own message, reported back to whoever asked for echoes.
pub(super) fn own_message(accepted: &Accepted, business: &str) -> Webhook {
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
    bring_back(accepted, &mut body);
    Webhook { due: Duration::ZERO, topic: Topic::Messages, body: encode(&body), written_by: None }
}

/// What was sent with a message as its `callbackData`.
fn bring_back(accepted: &Accepted, body: &mut Value) {
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
