//! Connectly's JSON bodies of sends.

use serde::Serialize;

use super::correlation::CorrelationTag;
use crate::domain::message::Outgoing;
use crate::domain::{Address, Channel, Location, MediaLink};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Party<'a>>,
    recipient: Party<'a>,
    message: Message<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    campaign_name: &'a str,
    callback_data: CorrelationTag<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Party<'a> {
    id: &'a str,
    channel_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Default, Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attachments: &'a [Attachment<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Coordinates<'a>>,
}

#[derive(Serialize)]
struct Attachment<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    caption: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    filename: &'a str,
}

#[derive(Serialize)]
struct Coordinates<'a> {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    address: &'a str,
}

/// The body of `send/messages` with a text.
pub(super) fn send_text(message: &Outgoing, text: &str, tag: CorrelationTag<'_>) -> Vec<u8> {
    session_message(message, Message { text: Some(text), ..Message::default() }, tag)
}

/// The body of `send/messages` with a file that Connectly downloads: one attachment, which carries the caption.
pub(super) fn send_media(message: &Outgoing, link: &MediaLink, tag: CorrelationTag<'_>) -> Vec<u8> {
    let MediaLink { kind, url, caption, file_name } = link;
    let attachment = Attachment { kind: kind.as_str(), url, caption, filename: file_name };
    session_message(message, Message { attachments: &[attachment], ..Message::default() }, tag)
}

/// The body of `send/messages` with a location.
pub(super) fn send_location(message: &Outgoing, location: &Location, tag: CorrelationTag<'_>) -> Vec<u8> {
    let &Location { latitude, longitude, ref name, ref address } = location;
    let location = Some(Coordinates { latitude, longitude, name, address });
    session_message(message, Message { location, ..Message::default() }, tag)
}

/// The body of `send/messages`. A customer without a phone number is addressed by the user id without its prefix.
fn session_message(message: &Outgoing, content: Message<'_>, tag: CorrelationTag<'_>) -> Vec<u8> {
    let channel_type = match message.channel {
        Channel::WhatsApp => "whatsapp",
        Channel::Sms => "sms",
    };
    let recipient = match &message.to {
        Address::Phone(number) => number.as_str(),
        Address::User(id) => id.as_str(),
    };
    let body = SessionMessage {
        sender: message.sender.as_ref().map(|number| Party { id: number.as_str(), channel_type, name: "" }),
        recipient: Party { id: recipient, channel_type, name: &message.recipient_name },
        message: content,
        campaign_name: &message.campaign_name,
        callback_data: tag,
    };
    serde_json::to_vec(&body).expect("strings and finite numbers are always JSON")
}
