//! Connectly's webhooks, in every spelling that was seen.
//!
//! What is not understood becomes an event of type `unknown`; nothing that was rightly signed is refused or dropped.

use super::super::Incoming;
use super::super::json::Object;
use super::super::outcome::Said;
use super::super::signature::Verified;
use super::error;
use crate::domain::event::{
    Identity, MessageStatus, Party, Payload, ReportedContent, ReportedFault, ReportedMessage,
};
use crate::domain::{
    AccountId, Address, Channel, Event, EventId, MessageState, PhoneNumber, Provider, ProviderFault, Refusal,
    UnixMillis, UserId,
};

/// Keys that say that a message is more than its text; what they hold is not read yet.
const BEYOND_TEXT: [&str; 4] = ["attachments", "location", "referral", "isButtonResponse"];

/// Reads a webhook into the one event that it tells of.
pub(super) fn read(account: &AccountId, own_numbers: &[PhoneNumber], webhook: &Verified) -> Incoming {
    let object = Object::parse(webhook.body());
    let (payload, identity) = match &object {
        Some(object) => payload(object, own_numbers),
        None => (unknown(String::new(), "the body is not a JSON object"), None),
    };
    let event = Event {
        id: EventId::generate(),
        account: account.clone(),
        provider: Provider::Connectly,
        occur_time: object.as_ref().and_then(|object| occur_time(&object.text(&["timestamp"])?)),
        callback_data: object
            .as_ref()
            .and_then(|object| object.raw(&["callbackData", "callback_data"]))
            .map(str::to_owned),
        payload,
    };
    Incoming { event, identity }
}

fn payload(webhook: &Object<'_>, own_numbers: &[PhoneNumber]) -> (Payload, Option<Identity>) {
    let topic = webhook.text(&["topic"]);
    let status = webhook.object(&["statusUpdate", "status_update"]);
    let message = webhook.object(&["message"]);
    match (topic.as_deref(), status, message) {
        (Some("delivery_status") | None, Some(status), _) => delivery_status(webhook, &status),
        // Most samples of messages carry no topic.
        (Some("messages" | "message") | None, None, Some(message)) => {
            reported_message(webhook, &message, own_numbers)
        }
        _ => (unknown(topic.unwrap_or_default(), "no topic and content that this version reads"), None),
    }
}

fn unknown(topic: String, problem: &str) -> Payload {
    Payload::Unknown { topic, problem: problem.to_owned() }
}

fn reported_message(
    webhook: &Object<'_>,
    message: &Object<'_>,
    own_numbers: &[PhoneNumber],
) -> (Payload, Option<Identity>) {
    let id = message.text(&["id"]);
    let sender = party(webhook, "sender");
    let recipient = party(webhook, "recipient");
    let echo = message.flag(&["isEcho", "is_echo"]) == Some(true)
        || own_numbers.iter().any(|number| number.as_str() == sender.phone_number);
    let identity = id.as_deref().map(if echo { Identity::echo } else { Identity::message });

    // Early samples put attachments and location beside the message.
    let more = BEYOND_TEXT.iter().any(|&key| message.holds(&[key]) || webhook.holds(&[key]));
    let text =
        message.text(&["text"]).filter(|_| !more && !webhook.holds(&["buttonResponse", "button_response"]));
    let Some(text) = text else {
        let topic = webhook.text(&["topic"]).unwrap_or_else(|| "messages".to_owned());
        return (unknown(topic, "a message of a kind that this version does not read"), identity);
    };
    let message = ReportedMessage {
        provider_message_id: id.unwrap_or_default(),
        sender,
        recipient,
        content: ReportedContent::Text(text),
    };
    (if echo { Payload::MessageEcho(message) } else { Payload::MessageReceived(message) }, identity)
}

fn delivery_status(webhook: &Object<'_>, status: &Object<'_>) -> (Payload, Option<Identity>) {
    let (Some(id), Some(word)) = (status.text(&["id"]), status.text(&["status"])) else {
        return (unknown("delivery_status".to_owned(), "a status without an id or a word"), None);
    };
    let fault = status.object(&["error"]).map(|error| ReportedFault {
        fault: fault(error::reported(&error)),
        raw_json: status.raw(&["error"]).unwrap_or_default().to_owned(),
    });
    let metadata = [status.object(&["metadata"]), webhook.object(&["metadata"])];
    let campaign = metadata.iter().flatten().find_map(|data| data.text(&["campaignName", "campaign_name"]));
    let identity = Identity::status(&id, &word);
    let payload = Payload::MessageStatus(MessageStatus {
        provider_message_id: id,
        status: state(&word),
        provider_status: word,
        fault,
        sender: party(webhook, "sender"),
        recipient: party(webhook, "recipient"),
        campaign_name: campaign.unwrap_or_default(),
    });
    (payload, Some(identity))
}

fn state(word: &str) -> Option<MessageState> {
    Some(match word {
        "sent" => MessageState::Sent,
        "delivered" => MessageState::Delivered,
        "read" => MessageState::Read,
        "delivery_failed" | "delivery_failure" | "failed" => MessageState::Failed,
        _ => return None,
    })
}

fn fault(said: Said) -> ProviderFault {
    ProviderFault {
        provider: Provider::Connectly,
        refusal: said.meaning.unwrap_or(Refusal::Other),
        http_status: None,
        code: said.code,
        kind: said.kind,
        trace_id: said.trace_id,
        retry_after: None,
        route: None,
    }
}

fn party(webhook: &Object<'_>, key: &str) -> Party {
    let Some(party) = webhook.object(&[key]) else { return Party::default() };
    let id = party.text(&["id"]).unwrap_or_default();
    // A bare number may be an id of another kind: only a `+` says that it is a phone number.
    let phone = [party.text(&["phoneNumber", "phone_number"]).unwrap_or_default(), id.clone()]
        .iter()
        .filter(|text| text.starts_with('+'))
        .find_map(|text| text.parse::<PhoneNumber>().ok());
    let user = [party.text(&["userId", "user_id"]).unwrap_or_default(), id.clone()]
        .iter()
        .find_map(|text| text.parse::<UserId>().ok());
    let address = match (&phone, &user) {
        (Some(phone), _) => Address::Phone(phone.clone()).to_string(),
        (None, Some(user)) => Address::User(user.clone()).to_string(),
        (None, None) => id,
    };
    Party {
        address,
        phone_number: phone.map(|phone| phone.to_string()).unwrap_or_default(),
        user_id: user.map(|user| user.as_str().to_owned()).unwrap_or_default(),
        name: party.text(&["name"]).unwrap_or_default(),
        channel: party.text(&["channelType", "channel_type"]).and_then(|word| channel(&word)),
    }
}

fn channel(word: &str) -> Option<Channel> {
    match word.to_ascii_lowercase().as_str() {
        "whatsapp" => Some(Channel::WhatsApp),
        "sms" => Some(Channel::Sms),
        _ => None,
    }
}

/// Unix seconds, as text.
fn occur_time(text: &str) -> Option<UnixMillis> {
    text.parse().ok().and_then(UnixMillis::from_seconds)
}

#[cfg(test)]
mod tests;
