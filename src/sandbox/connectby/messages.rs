//! Text and media messages, and the media stored for templates.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use ulid::Ulid;
use url::Url;

use super::super::exchange::Request;
use super::super::multipart::{self, Part};
use super::super::reply::Reply;
use super::{object, recipient, refusal, required};

/// In code points. ConnectBy's documentation says "characters".
const MAX_TEXT: usize = 1024;
const MAX_IMAGE_BYTES: usize = 5 << 20;
const MAX_OTHER_BYTES: usize = 16 << 20;
/// The maximum number of uploads that can be fetched.
const MAX_UPLOADS: usize = 32;

pub(super) fn send_text(request: &Request) -> Reply {
    let check = || {
        let body = object(request)?;
        let to_number = recipient(required(&body, "to_number")?)?;
        required(&body, "message")?;
        let length = body["message"].as_str().unwrap_or_default().chars().count();
        if length > MAX_TEXT {
            return Err(refusal(400, &format!("message must not be longer than {MAX_TEXT} characters")));
        }
        Ok(sent(to_number))
    };
    check().map_or_else(|refusal| refusal, |body| Reply::json(200, &body))
}

pub(super) fn send_media(request: &Request) -> Reply {
    let check = || {
        let parts = form(request)?;
        let to_number = parts.iter().find(|part| part.name == "to_number");
        let to_number = to_number.and_then(|part| std::str::from_utf8(&part.bytes).ok()).unwrap_or_default();
        let to_number = recipient(to_number)?;
        file(&parts)?;
        Ok(json!({"success": true, "responseDataArray": [accepted(to_number)]}))
    };
    check().map_or_else(|refusal| refusal, |body| Reply::json(200, &body))
}

/// The reply to an accepted message.
pub(super) fn sent(to_number: &str) -> Value {
    json!({"success": true, "responseData": accepted(to_number)})
}

/// Meta's reply to an accepted message.
fn accepted(to_number: &str) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to_number, "wa_id": to_number}],
        "messages": [{"id": format!("wamid.{}", Ulid::generate())}],
    })
}

/// The files that were uploaded for templates.
#[derive(Debug, Default)]
pub(super) struct Media {
    uploads: u64,
    kept: VecDeque<(String, String, Bytes)>,
}

impl Media {
    pub(super) fn upload(&mut self, request: &Request, base_url: &Url) -> Reply {
        let parts = match form(request) {
            Ok(parts) => parts,
            Err(refusal) => return refusal,
        };
        let (content_type, bytes) = match file(&parts) {
            Ok(file) => file,
            Err(refusal) => return refusal,
        };
        self.uploads += 1;
        let name = format!("{}.{}", 1_700_000_000_000 + self.uploads, extension(content_type));
        let url = format!("{base_url}whatsapp_media/{name}");
        self.kept.push_back((name, content_type.to_owned(), bytes.clone()));
        if self.kept.len() > MAX_UPLOADS {
            self.kept.pop_front();
        }
        Reply::json(200, &json!({"success": true, "fileUrl": url}))
    }

    pub(super) fn fetch(&self, name: &str) -> Reply {
        match self.kept.iter().find(|(kept, ..)| kept == name) {
            Some((_, content_type, bytes)) => Reply::new(200, content_type, bytes.clone()),
            None => Reply::new(404, "text/plain", "no such file\n"),
        }
    }
}

fn form(request: &Request) -> Result<Vec<Part>, Reply> {
    multipart::parse(request.header("content-type"), &request.body)
        .map_err(|malformed| refusal(400, &malformed.to_string()))
}

/// The content type and the bytes of the one file in a form.
fn file(parts: &[Part]) -> Result<(&str, &Bytes), Reply> {
    let mut files = parts.iter().filter(|part| part.name == "file");
    let (Some(file), None) = (files.next(), files.next()) else {
        return Err(refusal(400, "Exactly one file is required"));
    };
    if file.bytes.is_empty() {
        return Err(refusal(400, "The file is empty"));
    }
    let content_type = file.content_type.as_deref().unwrap_or("application/octet-stream");
    let max_bytes = match content_type.split('/').next() {
        Some("image") => MAX_IMAGE_BYTES,
        Some("audio") => return Err(refusal(400, "Audio is not supported")),
        _ => MAX_OTHER_BYTES,
    };
    if file.bytes.len() > max_bytes {
        return Err(refusal(400, &format!("The file must not be larger than {} MB", max_bytes >> 20)));
    }
    Ok((content_type, &file.bytes))
}

fn extension(content_type: &str) -> &'static str {
    match content_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        _ => "bin",
    }
}
