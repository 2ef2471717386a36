//! The content `media` of a send: a file that the provider fetches.

use crate::api::request::upload::file_name;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::message::Content;
use crate::domain::{MediaKind, MediaLink};
use crate::pb::v1;

/// The maximum length of a caption, in Unicode code points.
const MAX_CAPTION_CHARACTERS: usize = 1_024;

/// Parses a file that the provider fetches.
pub(super) fn link(link: v1::Media, violations: &mut Violations) -> Option<Content> {
    let v1::Media { kind, source, caption, file_name: name } = link;
    let v1::media::Source::Url(url) = source.unwrap_or_else(|| v1::media::Source::Url(String::new()));
    let kind = media_kind("media.kind", kind, violations);
    let url = super::public_url("media.url", url, violations);
    if caption.chars().count() > MAX_CAPTION_CHARACTERS {
        let allowed = format!("must be at most {MAX_CAPTION_CHARACTERS} characters");
        violations.add("media.caption", ViolationReason::OutOfRange, allowed);
    } else if kind == Some(MediaKind::Audio) && !caption.is_empty() {
        violations.add("media.caption", ViolationReason::Malformed, "must be empty: audio has no caption");
    }
    let name = file_name("media.file_name", name, violations);
    if kind.is_some_and(|kind| kind != MediaKind::Document) && name.as_ref().is_some_and(|n| !n.is_empty()) {
        violations.add(
            "media.file_name",
            ViolationReason::Malformed,
            "must be empty: only documents have a file name",
        );
    }
    Some(Content::Media(MediaLink { kind: kind?, url: url?, caption, file_name: name? }))
}

fn media_kind(field: &str, kind: i32, violations: &mut Violations) -> Option<MediaKind> {
    let allowed =
        "must be `MEDIA_KIND_IMAGE`, `MEDIA_KIND_VIDEO`, `MEDIA_KIND_AUDIO` or `MEDIA_KIND_DOCUMENT`";
    match v1::MediaKind::try_from(kind) {
        Ok(v1::MediaKind::Image) => Some(MediaKind::Image),
        Ok(v1::MediaKind::Video) => Some(MediaKind::Video),
        Ok(v1::MediaKind::Audio) => Some(MediaKind::Audio),
        Ok(v1::MediaKind::Document) => Some(MediaKind::Document),
        Ok(v1::MediaKind::Unspecified) => {
            violations.add(field, ViolationReason::Required, allowed);
            None
        }
        Err(_) => {
            violations.add(field, ViolationReason::UnknownValue, allowed);
            None
        }
    }
}
