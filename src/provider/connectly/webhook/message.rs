//! Messages from customers, and echoes of messages from the account's own numbers.
//!
//! A message whose content cannot be parsed keeps its parties, because any message from a customer opens the session
//! window.

use super::super::super::json::Object;
use super::{Identity, Payload, party};
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

/// The keys of a button response, which takes the place of the message.
const BUTTON_RESPONSE: [&str; 2] = ["buttonResponse", "button_response"];

/// Parses a message. `None` if the webhook contains none.
///
/// `raw` is the webhook's body. If the topic is that of messages (`has_topic`), a sender alone makes a message.
pub(super) fn read(
    webhook: &Object<'_>,
    raw: &[u8],
    own_numbers: &[PhoneNumber],
    has_topic: bool,
) -> Option<(Payload, Option<Identity>)> {
    let button = webhook.object(&BUTTON_RESPONSE);
    let message = webhook.object(&["message"]);
    if button.is_none() && message.is_none() && !(has_topic && webhook.object(&["sender"]).is_some()) {
        return None;
    }
    let (id, content) = match (&button, &message) {
        (Some(button), _) => (button.text(&["id"]), button_response(button)),
        (None, Some(message)) => (message.text(&["id"]), content(webhook, message)),
        (None, None) => (None, None),
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
    let content = content.unwrap_or_else(|| {
        // In early samples, content is next to the object.
        let is_beside = UNDOCUMENTED_CONTENT
            .iter()
            .chain(&["attachments", "location"])
            .any(|&key| webhook.has_content(&[key]));
        let object = match (&button, &message) {
            _ if is_beside => None,
            (Some(_), _) => webhook.raw(&BUTTON_RESPONSE),
            (None, Some(_)) => webhook.raw(&["message"]),
            (None, None) => None,
        };
        ReportedContent::Unsupported {
            provider_kind: unsupported_kind(webhook, message.as_ref()),
            raw_json: object.map_or_else(|| String::from_utf8_lossy(raw).into_owned(), str::to_owned),
        }
    });
    let reply_to = message_then_webhook()
        .filter_map(|object| object.object(&["context"]))
        .find_map(|context| context.text(&["replyToId", "reply_to_id"]));
    let metadata = webhook.raw(&["metadata"]).filter(|_| webhook.has_content(&["metadata"]));
    let message = ReportedMessage {
        provider_message_id: id.unwrap_or_default(),
        sender,
        recipient: party(webhook, "recipient"),
        reply_to,
        referral: message_then_webhook()
            .filter_map(|object| object.object(&["referral"]))
            .find_map(|r| referral(&r)),
        metadata_json: metadata.unwrap_or_default().to_owned(),
        content,
    };
    Some((if echo { Payload::MessageEcho(message) } else { Payload::MessageReceived(message) }, identity))
}

/// The provider's word for the kind of content that cannot be parsed. Empty if the webhook has none.
fn unsupported_kind(webhook: &Object<'_>, message: Option<&Object<'_>>) -> String {
    let objects = || message.into_iter().chain([webhook]);
    UNDOCUMENTED_CONTENT
        .iter()
        .find(|&&key| objects().any(|object| object.has_content(&[key])))
        .map(|&key| key.to_owned())
        .or_else(|| message?.text(&["type"]))
        .or_else(|| {
            let object = objects().find(|object| object.has_content(&["attachments"]))?;
            object.objects(&["attachments"]).first()?.text(&["type"])
        })
        .unwrap_or_default()
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
        // The provider does not document these keys. They are the usual ones of APIs for media.
        mime_type: attachment.text(&["mimeType", "mime_type", "contentType"]).unwrap_or_default(),
        sha256: attachment.text(&["sha256"]).unwrap_or_default(),
        size_bytes: attachment.text(&["size", "fileSize", "file_size"]).and_then(|size| size.parse().ok()),
        media_id: attachment.text(&["id", "mediaId", "media_id"]).unwrap_or_default(),
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
