//! Reads the multipart/form-data body (RFC 7578) of an upload.
//!
//! It is strict: a body with text before its first boundary or after its last one is malformed.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream;
use hyper::header::CONTENT_TYPE;
use multer::Multipart;

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) bytes: Bytes,
}

/// Why a body is not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the content type must be multipart/form-data with a boundary")]
    ContentType,
    #[error("a boundary is missing or misplaced")]
    Boundary,
    #[error("a part has no readable headers")]
    Headers,
    #[error("a part has no name")]
    Name,
}

impl From<multer::Error> for Malformed {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::IncompleteHeaders
            | multer::Error::ReadHeaderFailed(_)
            | multer::Error::DecodeHeaderName { .. }
            | multer::Error::DecodeHeaderValue { .. } => Self::Headers,
            _ => Self::Boundary,
        }
    }
}

/// Splits a form into its parts.
pub(super) fn parse(content_type: Option<&str>, body: &Bytes) -> Result<Vec<Part>, Malformed> {
    let boundary = multer::parse_boundary(content_type.unwrap_or_default())
        .ok()
        .filter(|boundary| !boundary.is_empty())
        .ok_or(Malformed::ContentType)?;
    let first = format!("--{boundary}");
    let last = format!("--{boundary}--");
    if !body.starts_with(first.as_bytes())
        || !body.strip_suffix(b"\r\n").unwrap_or(body).ends_with(last.as_bytes())
    {
        return Err(Malformed::Boundary);
    }
    let whole_body = stream::iter([Ok::<_, Infallible>(body.clone())]);
    // The parser is asynchronous, but never waits, because the whole body is in memory.
    parts(Multipart::new(whole_body, boundary)).now_or_never().unwrap_or(Err(Malformed::Boundary))
}

async fn parts(mut form: Multipart<'_>) -> Result<Vec<Part>, Malformed> {
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await? {
        let content_type = field.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        parts.push(Part {
            name: field.name().filter(|name| !name.is_empty()).ok_or(Malformed::Name)?.to_owned(),
            file_name: field.file_name().map(str::to_owned),
            content_type: content_type.map(str::to_owned),
            bytes: field.bytes().await?,
        });
    }
    Ok(parts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that unwraps nothing good should panic")]
mod tests {
    use super::*;

    const TYPE: Option<&str> = Some("multipart/form-data; boundary=\"x y\"");

    fn parse_static(content_type: Option<&str>, body: &'static [u8]) -> Result<Vec<Part>, Malformed> {
        parse(content_type, &Bytes::from_static(body))
    }

    #[test]
    fn form_is_split_into_parts_byte_for_byte() {
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"to_number\"\r\n\r\n91\r\n--x y\r\n\
            content-type: image/png\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b\"\r\n\
            \r\n\r\n--x\r\n\0\r\n--x y--\r\n";
        let parts = parse_static(TYPE, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), &parts[0].bytes[..]), ("to_number", &b"91"[..]));
        assert_eq!(parts[1].file_name.as_deref(), Some("a;b"));
        assert_eq!(parts[1].content_type.as_deref(), Some("image/png"));
        assert_eq!(&parts[1].bytes[..], b"\r\n--x\r\n\0");
    }

    #[test]
    fn malformed_form_is_refused_with_the_reason() {
        assert_eq!(parse_static(Some("application/json"), b""), Err(Malformed::ContentType));
        assert_eq!(parse_static(TYPE, b"--x y\r\nA: b\r\n\r\nno end"), Err(Malformed::Boundary));
        assert_eq!(parse_static(TYPE, b"before\r\n--x y--\r\n"), Err(Malformed::Boundary));
        assert_eq!(parse_static(TYPE, b"--x y--\r\nafter"), Err(Malformed::Boundary));
        // Without a blank line, the headers of the last part do not end.
        assert_eq!(parse_static(TYPE, b"--x y\r\nA: b\r\n--x y--\r\n"), Err(Malformed::Boundary));
        assert_eq!(parse_static(TYPE, b"--x y\r\nA\r\n\r\n1\r\n--x y--\r\n"), Err(Malformed::Headers));
        assert_eq!(parse_static(TYPE, b"--x y\r\nA: b\r\n\r\n1\r\n--x y--\r\n"), Err(Malformed::Name));
    }
}
