//! Connectly's webhooks, in every spelling seen so far.
//!
//! A message with content that this version cannot parse becomes an event with `unsupported` content. Any other webhook
//! that this version cannot parse becomes an event of type `unknown`. A webhook with a valid signature is never rejected
//! or dropped.

mod message;
mod report;

use super::super::Incoming;
use super::super::error_text::Secrets;
use super::super::json::Object;
use super::super::outcome::ProviderErrorBody;
use super::super::signature::Verified;
use super::{correlation, error};
use crate::domain::event::{Identity, MessageStatus, Party, Payload, Proof, ReportedContent, ReportedFault};
use crate::domain::{
    AccountId, Address, Channel, Event, EventId, MessageState, PhoneNumber, Provider, ProviderFault,
    RefusalReason, UnixMillis, UserId,
};

/// Parses a webhook into the single event that it reports.
pub(super) fn read(
    account: &AccountId,
    own_numbers: &[PhoneNumber],
    secrets: &Secrets,
    webhook: &Verified,
) -> Incoming {
    let object = Object::parse(webhook.body());
    let (payload, identity) = match &object {
        Some(object) => payload(object, webhook.body(), own_numbers, secrets),
        None => (unknown(String::new(), "the body is not a JSON object"), None),
    };
    let callback_data = object.as_ref().and_then(|object| object.raw(&["callbackData", "callback_data"]));
    let tag = callback_data.and_then(correlation::read);
    let proof =
        tag.as_ref().map(|tag| Proof { attempt: tag.attempt, provider_message_id: tagged_message(&payload) });
    let event = Event {
        id: EventId::generate(),
        account: account.clone(),
        provider: Provider::CONNECTLY,
        occur_time: object
            .as_ref()
            .and_then(|object| timestamp(object, &["timestamp"]))
            .map(truncate_to_seconds),
        callback_data: match tag {
            Some(tag) => tag.data,
            None => callback_data.map(str::to_owned),
        },
        payload,
    };
    Incoming { event, identity, proof }
}

/// The provider's id of the message that the returned tag belongs to, if the webhook contains it. A status or an echo
/// is about that message. A message that quotes another one carries the tag of the quoted message.
fn tagged_message(payload: &Payload) -> Option<String> {
    match payload {
        Payload::MessageStatus(status) => Some(status.provider_message_id.clone()),
        Payload::MessageEcho(echo) => {
            let own = Some(&echo.provider_message_id).filter(|id| !id.is_empty());
            echo.reply_to.as_ref().or(own).cloned()
        }
        // If the content cannot be parsed, it is unknown what the ids identify.
        Payload::MessageReceived(message) => {
            let supported = !matches!(message.content, ReportedContent::Unsupported { .. });
            message.reply_to.clone().filter(|_| supported)
        }
        Payload::MessageAccepted(_) | Payload::ReportRun(_) | Payload::Unknown { .. } => None,
    }
}

/// Parses the payload of a webhook. The topic selects the type. Without a topic, the content selects it, because most
/// samples of messages have no topic.
fn payload(
    webhook: &Object<'_>,
    raw: &[u8],
    own_numbers: &[PhoneNumber],
    secrets: &Secrets,
) -> (Payload, Option<Identity>) {
    let topic = webhook.text(&["topic"]);
    let topic = topic.as_deref();
    let parsed = match topic {
        Some("delivery_status") => status_update(webhook, secrets),
        Some("report") => report::read(webhook),
        // One page of the documentation uses the singular.
        Some("messages" | "message") => message::read(webhook, raw, own_numbers, true),
        None => status_update(webhook, secrets)
            .or_else(|| message::read(webhook, raw, own_numbers, false))
            .or_else(|| report::read(webhook)),
        Some(_) => None,
    };
    let problem = "this version does not support the topic or the content";
    parsed.unwrap_or_else(|| (unknown(topic.unwrap_or_default().to_owned(), problem), None))
}

fn unknown(topic: String, problem: &str) -> Payload {
    Payload::Unknown { topic, problem: problem.to_owned() }
}

/// Parses the status of a message. `None` without `statusUpdate`.
fn status_update(webhook: &Object<'_>, secrets: &Secrets) -> Option<(Payload, Option<Identity>)> {
    let status = webhook.object(&["statusUpdate", "status_update"])?;
    let (Some(id), Some(value)) = (status.text(&["id"]), status.text(&["status"])) else {
        return Some((unknown("delivery_status".to_owned(), "the status has no `id` or no `status`"), None));
    };
    let fault = status.object(&["error"]).map(|error| {
        let mut body = error::parse(&error).unwrap_or_default();
        body.text.raw_json = status.raw(&["error"]).map(str::to_owned);
        let mut fault = fault(body, secrets);
        let raw_json = fault.text.as_mut().map(|text| std::mem::take(&mut text.raw_json));
        ReportedFault { fault, raw_json: raw_json.unwrap_or_default() }
    });
    let metadata = [status.object(&["metadata"]), webhook.object(&["metadata"])];
    let campaign = metadata.iter().flatten().find_map(|data| data.text(&["campaignName", "campaign_name"]));
    let identity = Identity::status(&id, &value);
    let payload = Payload::MessageStatus(MessageStatus {
        provider_message_id: id,
        status: state(&value),
        provider_status: value,
        fault,
        sender: party(webhook, "sender"),
        recipient: party(webhook, "recipient"),
        campaign_name: campaign.unwrap_or_default(),
    });
    Some((payload, Some(identity)))
}

fn state(value: &str) -> Option<MessageState> {
    Some(match value {
        "sent" => MessageState::Sent,
        "delivered" => MessageState::Delivered,
        "read" => MessageState::Read,
        "delivery_failed" | "delivery_failure" | "failed" => MessageState::Failed,
        _ => return None,
    })
}

fn fault(body: ProviderErrorBody, secrets: &Secrets) -> ProviderFault {
    ProviderFault {
        code: body.code,
        kind: body.kind.map(String::into_boxed_str),
        trace_id: body.trace_id.map(String::into_boxed_str),
        text: secrets.text(body.text),
        ..ProviderFault::new(Provider::CONNECTLY, body.meaning.unwrap_or(RefusalReason::Other))
    }
}

fn party(webhook: &Object<'_>, key: &str) -> Party {
    let Some(party) = webhook.object(&[key]) else { return Party::default() };
    let provider_channel = party.text(&["channelType", "channel_type"]).unwrap_or_default();
    let profile = party.object(&["profile"]).unwrap_or_default();
    let username = party.text(&["username", "userName"]).or_else(|| profile.text(&["username"]));
    let id = party.text(&["id"]).unwrap_or_default();
    let given_phone = party.text(&["phoneNumber", "phone_number"]).unwrap_or_default();
    let given_user = party.text(&["userId", "user_id"]).unwrap_or_default();
    // A bare number in `id` can be an id of another kind. There, only a `+` marks a phone number.
    let phone = given_phone
        .parse::<PhoneNumber>()
        .ok()
        .or_else(|| id.parse::<PhoneNumber>().ok().filter(|_| id.starts_with('+')));
    let user = [&given_user, &id].into_iter().find_map(|text| text.parse::<UserId>().ok());
    let address = match (&phone, &user) {
        (Some(phone), _) => Address::Phone(phone.clone()).to_string(),
        (None, Some(user)) => Address::User(user.clone()).to_string(),
        (None, None) => id,
    };
    Party {
        address,
        // A value of an unknown form is passed on, because nothing that a provider sends is dropped.
        phone_number: phone.map_or(given_phone, |phone| phone.to_string()),
        user_id: user.map_or(given_user, |user| user.as_str().to_owned()),
        parent_user_id: party.text(&["parentUserId", "parent_user_id"]).unwrap_or_default(),
        username: username.unwrap_or_default(),
        name: party.text(&["name"]).unwrap_or_default(),
        channel: channel(&provider_channel),
        provider_channel,
    }
}

fn channel(value: &str) -> Option<Channel> {
    match value.to_ascii_lowercase().as_str() {
        "whatsapp" => Some(Channel::WhatsApp),
        "sms" => Some(Channel::Sms),
        _ => None,
    }
}

/// Parses a timestamp under these keys: Unix seconds, usually as text, or RFC 3339. `None` outside the years 1970 to
/// 9999.
fn timestamp(object: &Object<'_>, keys: &[&str]) -> Option<UnixMillis> {
    let text = object.text(keys)?;
    let timestamp = match text.parse() {
        Ok(seconds) => UnixMillis::from_seconds(seconds),
        Err(_) => UnixMillis::from_rfc3339(&text),
    };
    timestamp.filter(|timestamp| (0..=UnixMillis::LAST_SECOND).contains(&timestamp.0.div_euclid(1_000)))
}

fn truncate_to_seconds(timestamp: UnixMillis) -> UnixMillis {
    UnixMillis(timestamp.0 - timestamp.0.rem_euclid(1_000))
}

#[cfg(test)]
mod tests;
