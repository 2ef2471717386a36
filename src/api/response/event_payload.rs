//! Converts the content of webhooks into the contract's messages.

use crate::api::response::convert::{party, timestamp};
use crate::domain::event::{self, ReportStatus, ReportedContent, ReportedMessage};
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
        metadata_json: message.metadata_json.clone(),
        content: Some(match &message.content {
            ReportedContent::Text(body) => Content::Text(v1::Text { body: body.clone() }),
            ReportedContent::Attachments(list) => Content::Attachments(attachments(list)),
            ReportedContent::Location(location) => Content::Location(self::location(location)),
            ReportedContent::ButtonReply { text, payload } => {
                Content::ButtonReply(button_reply(text, payload))
            }
            ReportedContent::Unsupported { provider_kind, raw_json } => {
                Content::Unsupported(unsupported(provider_kind, raw_json))
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
        reply_to_provider_message_id: message.reply_to.clone().unwrap_or_default(),
        referral: message.referral.as_ref().map(referral),
        metadata_json: message.metadata_json.clone(),
        content: Some(match &message.content {
            ReportedContent::Text(body) => Content::Text(v1::Text { body: body.clone() }),
            ReportedContent::Attachments(list) => Content::Attachments(attachments(list)),
            ReportedContent::Location(location) => Content::Location(self::location(location)),
            ReportedContent::ButtonReply { text, payload } => {
                Content::ButtonReply(button_reply(text, payload))
            }
            ReportedContent::Unsupported { provider_kind, raw_json } => {
                Content::Unsupported(unsupported(provider_kind, raw_json))
            }
        }),
    }
}

fn button_reply(text: &str, payload: &str) -> v1::ButtonReply {
    v1::ButtonReply { text: text.to_owned(), payload: payload.to_owned() }
}

fn unsupported(provider_kind: &str, raw_json: &str) -> v1::Unsupported {
    v1::Unsupported { provider_kind: provider_kind.to_owned(), raw_json: raw_json.to_owned() }
}

pub(in crate::api) fn report_run(report: &event::ReportRun) -> v1::ReportRun {
    v1::ReportRun {
        report_id: report.report_id.clone(),
        name: report.name.clone(),
        provider_report_type: report.report_type.clone(),
        run_id: report.run_id.clone(),
        status: report.status.map_or(v1::ReportStatus::Unspecified, report_status).into(),
        provider_status: report.provider_status.clone(),
        url: report.url.clone(),
        expire_time: report.expire_time.map(timestamp),
        create_time: report.create_time.map(timestamp),
    }
}

fn report_status(status: ReportStatus) -> v1::ReportStatus {
    match status {
        ReportStatus::Processing => v1::ReportStatus::Processing,
        ReportStatus::Completed => v1::ReportStatus::Completed,
        ReportStatus::Failed => v1::ReportStatus::Failed,
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
                mime_type: attachment.mime_type.clone(),
                sha256: attachment.sha256.clone(),
                size_bytes: attachment.size_bytes,
                media_id: attachment.media_id.clone(),
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
        provider_source_type: source_type,
        headline,
        body,
        provider_media_type: media_type,
        image_url,
        video_url,
        thumbnail_url,
        click_id,
    }
}
