//! Connectly's JSON on the way out.

use serde::Serialize;

use crate::domain::message::Outgoing;
use crate::domain::{Address, Channel};

#[derive(Serialize)]
struct SessionMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Party<'a>>,
    recipient: Party<'a>,
    message: Message<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Party<'a> {
    id: &'a str,
    channel_type: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
}

/// The body of `send/messages` with a text. A customer without a phone number is named by the bare user id.
pub(super) fn send_text(message: &Outgoing, text: &str) -> Vec<u8> {
    let channel_type = match message.channel {
        Channel::WhatsApp => "whatsapp",
        Channel::Sms => "sms",
    };
    let party = |id| Party { id, channel_type };
    let body = SessionMessage {
        sender: message.sender.as_ref().map(|number| party(number.as_str())),
        recipient: party(match &message.to {
            Address::Phone(number) => number.as_str(),
            Address::User(id) => id.as_str(),
        }),
        message: Message { text },
    };
    serde_json::to_vec(&body).expect("strings are always JSON")
}
