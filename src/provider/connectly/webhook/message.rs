//! Messages from customers, and echoes of messages from the account's own numbers.

use super::super::super::json::Object;
use super::{Identity, Payload, ReportedParties, party};
use crate::domain::event::{Attachment, Party, Referral, ReportedContent, ReportedMessage};
use crate::domain::{Location, MediaKind, PhoneNumber};

/// Keys of content whose form is not documented: Connectly's own keys for content that it sends, and Meta's. If one of
/// them is present, a text next to it is not the whole content.
const UNDOCUMENTED_CONTENT: [&str; 13] = [
    "listMessage",
    "list_message",
    "replyButtonMessage",
    "reply_button_message",
    "singleProductMessage",
    "multiProductMessage",
    "listReply",
    "list_reply",
    "interactive",
    "reaction",
    "contacts",
    "sticker",
    "order",
];

/// Parses a message. `None` if the webhook contains no message.
pub(super) fn read(webhook: &Object<'_>, own_numbers: &[PhoneNumber]) -> Option<(Payload, Option<Identity>)> {
    let button = webhook.object(&["buttonResponse", "button_response"]);
    let message = webhook.object(&["message"]);
    // A button response takes the place of the message.
    let (id, content) = match (&button, &message) {
        (Some(button), _) => (button.text(&["id"]), button_response(button)),
        (None, Some(message)) => (message.text(&["id"]), content(webhook, message)),
        (None, None) => return None,
    };
    // The fields of a message are inside it; in early samples they are next to it.
    let message_then_webhook = || message.iter().chain([webhook]);

    let sender = party(webhook, "sender");
    let echo = message_then_webhook().any(|object| object.flag(&["isEcho", "is_echo"]) == Some(true))
        || own_numbers.iter().any(|number| is_number_of(number, &sender));
    // If the content cannot be parsed, it is unknown what the id identifies. It can be the id of the message that this
    // one refers to, and then two different messages would share it. So there is no identity.
    let identity = id.as_deref().filter(|_| content.is_some()).map(if echo {
        Identity::echo
    } else {
        Identity::message
    });
    if !echo && content.is_none() {
        return Some(unsupported(webhook, own_numbers));
    }
    let reply_to = message_then_webhook()
        .filter_map(|object| object.object(&["context"]))
        .find_map(|context| context.text(&["replyToId", "reply_to_id"]));
    let message = ReportedMessage {
        provider_message_id: id.unwrap_or_default(),
        sender,
        recipient: party(webhook, "recipient"),
        reply_to,
        referral: message_then_webhook()
            .filter_map(|object| object.object(&["referral"]))
            .find_map(|r| referral(&r)),
        content,
    };
    Some((if echo { Payload::MessageEcho(message) } else { Payload::MessageReceived(message) }, identity))
}

/// An event for a message that cannot be parsed. The parties are kept, because any message from a customer opens the
/// session window.
pub(super) fn unsupported(webhook: &Object<'_>, own_numbers: &[PhoneNumber]) -> (Payload, Option<Identity>) {
    let (sender, recipient) = (party(webhook, "sender"), party(webhook, "recipient"));
    let own = webhook.flag(&["isEcho", "is_echo"]) == Some(true)
        || own_numbers.iter().any(|number| is_number_of(number, &sender));
    let payload = Payload::Unknown {
        topic: webhook.text(&["topic"]).unwrap_or_else(|| "messages".to_owned()),
        problem: "this version does not support this kind of message".to_owned(),
        written: (!own).then(|| Box::new(ReportedParties { sender, recipient })),
    };
    (payload, None)
}

/// Whether the party is this number. Early samples omit the `+`.
fn is_number_of(number: &PhoneNumber, party: &Party) -> bool {
    number.as_str() == party.phone_number || number.as_str().strip_prefix('+') == Some(party.address.as_str())
}

fn button_response(button: &Object<'_>) -> Option<ReportedContent> {
    let (text, payload) = (button.text(&["text"]), button.text(&["payload"]));
    (text.is_some() || payload.is_some()).then(|| ReportedContent::ButtonReply {
        text: text.unwrap_or_default(),
        payload: payload.unwrap_or_default(),
    })
}

/// Parses the content of a message. `None` if it cannot be parsed completely. A text next to a location is ignored,
/// because a location message has no text on WhatsApp.
fn content(webhook: &Object<'_>, message: &Object<'_>) -> Option<ReportedContent> {
    let object_with = |keys: &[&str]| [message, webhook].into_iter().find(|object| object.has_content(keys));
    if UNDOCUMENTED_CONTENT.iter().any(|&key| object_with(&[key]).is_some()) {
        return None;
    }
    let text = message.text(&["text"]);
    match (object_with(&["attachments"]), object_with(&["location"])) {
        (Some(object), None) => attachments(object, text),
        (None, Some(object)) => location(&object.object(&["location"])?),
        (None, None) => {
            // The older form of a button response.
            let is_button_response = message.flag(&["isButtonResponse", "is_button_response"]) == Some(true);
            text.map(|text| {
                if is_button_response {
                    ReportedContent::ButtonReply { text, payload: String::new() }
                } else {
                    ReportedContent::Text(text)
                }
            })
        }
        (Some(_), Some(_)) => None,
    }
}

fn attachments(object: &Object<'_>, text: Option<String>) -> Option<ReportedContent> {
    let mut attachments: Vec<Attachment> =
        object.objects(&["attachments"]).iter().map(attachment).collect::<Option<_>>()?;
    let first = attachments.first_mut()?;
    if let (Some(text), true) = (text, first.caption.is_empty()) {
        first.caption = text;
    }
    Some(ReportedContent::Attachments(attachments))
}

fn attachment(attachment: &Object<'_>) -> Option<Attachment> {
    let kind = attachment.text(&["type"]).unwrap_or_default();
    Some(Attachment {
        kind: match kind.to_ascii_lowercase().as_str() {
            "image" => Some(MediaKind::Image),
            "video" => Some(MediaKind::Video),
            "audio" => Some(MediaKind::Audio),
            "document" => Some(MediaKind::Document),
            _ => None,
        },
        provider_kind: kind,
        url: attachment.text(&["url"])?,
        caption: attachment.text(&["caption"]).unwrap_or_default(),
        file_name: attachment.text(&["filename", "fileName", "file_name"]).unwrap_or_default(),
    })
}

fn location(location: &Object<'_>) -> Option<ReportedContent> {
    let degrees = |key, max: f64| {
        location
            .text(&[key])
            .and_then(|text| text.parse().ok())
            .filter(|degrees| (-max..=max).contains(degrees))
    };
    Some(ReportedContent::Location(Location {
        latitude: degrees("latitude", 90.0)?,
        longitude: degrees("longitude", 180.0)?,
        name: location.text(&["name"]).unwrap_or_default(),
        address: location.text(&["address"]).unwrap_or_default(),
    }))
}

/// Parses a referral. `None` if no field has a value.
fn referral(referral: &Object<'_>) -> Option<Referral> {
    let text = |keys: &[&str]| referral.text(keys).unwrap_or_default();
    let read = Referral {
        source_url: text(&["sourceUrl", "source_url"]),
        source_id: text(&["sourceId", "source_id"]),
        source_type: text(&["sourceType", "source_type"]),
        headline: text(&["headline"]),
        body: text(&["body"]),
        media_type: text(&["mediaType", "media_type"]),
        image_url: text(&["imageUrl", "image_url"]),
        video_url: text(&["videoUrl", "video_url"]),
        thumbnail_url: text(&["thumbnailUrl", "thumbnail_url"]),
        click_id: text(&["ctwaClid", "ctwa_clid"]),
    };
    (read != Referral::default()).then_some(read)
}
