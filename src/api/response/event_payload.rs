//! Converts the content of webhooks into the contract's messages.

use crate::api::response::convert::{party, timestamp};
use crate::domain::event::{self, ReportedContent, ReportedMessage};
use crate::domain::{Location, MediaKind};
use crate::pb::v1;

pub(in crate::api) fn received(message: &ReportedMessage) -> v1::MessageReceived {
    use v1::message_received::Content;
    v1::MessageReceived {
        provider_message_id: message.provider_message_id.clone(),
        sender: Some(party(&message.sender)),
        recipient: Some(party(&message.recipient)),
        reply_to_provider_message_id: message.reply_to.clone().unwrap_or_default(),
        referral: message.referral.as_ref().map(referral),
        metadata_json: String::new(),
        content: message.content.as_ref().map(|content| match content {
            ReportedContent::Text(body) => Content::Text(v1::Text { body: body.clone() }),
            ReportedContent::Attachments(list) => Content::Attachments(attachments(list)),
            ReportedContent::Location(location) => Content::Location(self::location(location)),
            ReportedContent::ButtonReply { text, payload } => {
                Content::ButtonReply(v1::ButtonReply { text: text.clone(), payload: payload.clone() })
            }
        }),
    }
}

pub(in crate::api) fn echo(message: &ReportedMessage) -> v1::MessageEcho {
    use v1::message_echo::Content;
    v1::MessageEcho {
        provider_message_id: message.provider_message_id.clone(),
        sender: Some(party(&message.sender)),
        recipient: Some(party(&message.recipient)),
        reply_to_provider_message_id: String::new(),
        referral: None,
        metadata_json: String::new(),
        content: message.content.as_ref().and_then(|content| match content {
            ReportedContent::Text(body) => Some(Content::Text(v1::Text { body: body.clone() })),
            ReportedContent::Attachments(list) => Some(Content::Attachments(attachments(list))),
            ReportedContent::Location(location) => Some(Content::Location(self::location(location))),
            // An echo is a message of the business, which cannot press a button.
            ReportedContent::ButtonReply { .. } => None,
        }),
    }
}

pub(in crate::api) fn report_completed(report: &event::ReportCompleted) -> v1::ReportRun {
    v1::ReportRun {
        report_id: report.report_id.clone(),
        name: report.name.clone(),
        report_type: report.report_type.clone(),
        run_id: report.run_id.clone(),
        status: v1::ReportStatus::Completed.into(),
        provider_status: "completed".to_owned(),
        url: report.url.clone(),
        expire_time: report.expire_time.map(timestamp),
        create_time: report.create_time.map(timestamp),
    }
}

fn attachments(list: &[event::Attachment]) -> v1::AttachmentList {
    v1::AttachmentList {
        attachments: list
            .iter()
            .map(|attachment| v1::Attachment {
                kind: attachment.kind.map_or(v1::MediaKind::Unspecified, media_kind).into(),
                provider_kind: attachment.provider_kind.clone(),
                url: attachment.url.clone(),
                caption: attachment.caption.clone(),
                file_name: attachment.file_name.clone(),
                mime_type: String::new(),
                sha256: String::new(),
                size_bytes: None,
                media_id: String::new(),
            })
            .collect(),
    }
}

fn media_kind(kind: MediaKind) -> v1::MediaKind {
    match kind {
        MediaKind::Image => v1::MediaKind::Image,
        MediaKind::Video => v1::MediaKind::Video,
        MediaKind::Audio => v1::MediaKind::Audio,
        MediaKind::Document => v1::MediaKind::Document,
    }
}

fn location(location: &Location) -> v1::Location {
    v1::Location {
        latitude: location.latitude,
        longitude: location.longitude,
        name: location.name.clone(),
        address: location.address.clone(),
    }
}

fn referral(referral: &event::Referral) -> v1::Referral {
    let event::Referral {
        source_url,
        source_id,
        source_type,
        headline,
        body,
        media_type,
        image_url,
        video_url,
        thumbnail_url,
        click_id,
    } = referral.clone();
    v1::Referral {
        source_url,
        source_id,
        source_type,
        headline,
        body,
        media_type,
        image_url,
        video_url,
        thumbnail_url,
        click_id,
    }
}
