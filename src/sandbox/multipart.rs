//! Just enough of multipart/form-data (RFC 7578) to read what a client uploads, and strict about it.

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) bytes: &'a [u8],
}

/// Why a body is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the content type must be multipart/form-data with a boundary")]
    ContentType,
    #[error("a boundary is missing or not where it belongs")]
    Boundary,
    #[error("a part has no readable headers")]
    Headers,
    #[error("a part has no name")]
    Name,
}

/// Takes a form apart.
pub(super) fn parse<'a>(content_type: Option<&str>, body: &'a [u8]) -> Result<Vec<Part<'a>>, Malformed> {
    let boundary = boundary(content_type.unwrap_or_default()).ok_or(Malformed::ContentType)?;
    let opening = format!("--{boundary}");
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(opening.as_bytes()).ok_or(Malformed::Boundary)?;
    let mut parts = Vec::new();
    loop {
        if matches!(rest, b"--" | b"--\r\n") {
            return Ok(parts);
        }
        rest = rest.strip_prefix(b"\r\n").ok_or(Malformed::Boundary)?;
        let end = find(rest, delimiter.as_bytes()).ok_or(Malformed::Boundary)?;
        parts.push(part(&rest[..end])?);
        rest = &rest[end + delimiter.len()..];
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

fn part(bytes: &[u8]) -> Result<Part<'_>, Malformed> {
    let end = find(bytes, b"\r\n\r\n").ok_or(Malformed::Headers)?;
    let headers = std::str::from_utf8(&bytes[..end]).map_err(|_| Malformed::Headers)?;
    let mut part =
        Part { name: String::new(), file_name: None, content_type: None, bytes: &bytes[end + 4..] };
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or(Malformed::Headers)?;
        if name.eq_ignore_ascii_case("content-disposition") {
            let parameters =
                value.trim().strip_prefix("form-data").and_then(|v| v.trim_start().strip_prefix(';'));
            let parameters = parameters.ok_or(Malformed::Headers)?;
            part.name = parameter(parameters, "name").ok_or(Malformed::Name)?.to_owned();
            let file_name = parameter(parameters, "filename").or_else(|| parameter(parameters, "filename*"));
            part.file_name = file_name.map(str::to_owned);
        } else if name.eq_ignore_ascii_case("content-type") {
            part.content_type = Some(value.trim().to_owned());
        }
    }
    if part.name.is_empty() { Err(Malformed::Name) } else { Ok(part) }
}

/// A parameter's value, without its quotes.
fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = parameters;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => match after.split_once(';') {
                Some((value, _)) => (value.trim(), &after[value.len()..]),
                None => (after.trim(), ""),
            },
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from + haystack.get(from..)?.iter().position(|&b| b == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that unwraps nothing good should panic")]
mod tests {
    use super::*;

    const TYPE: Option<&str> = Some("multipart/form-data; boundary=\"x y\"");

    #[test]
    fn a_form_is_taken_apart_byte_for_byte() {
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"to_number\"\r\n\r\n91\r\n--x y\r\n\
            content-type: image/png\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a;b\"\r\n\
            \r\n\r\n--x\r\n\0\r\n--x y--\r\n";
        let parts = parse(TYPE, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), parts[0].bytes), ("to_number", &b"91"[..]));
        assert_eq!(parts[1].file_name.as_deref(), Some("a;b"));
        assert_eq!(parts[1].content_type.as_deref(), Some("image/png"));
        assert_eq!(parts[1].bytes, b"\r\n--x\r\n\0");
    }

    #[test]
    fn a_broken_form_is_refused() {
        assert_eq!(parse(Some("application/json"), b""), Err(Malformed::ContentType));
        assert_eq!(parse(TYPE, b"--x y\r\nA: b\r\n\r\nno end"), Err(Malformed::Boundary));
        assert_eq!(parse(TYPE, b"--x y\r\nA: b\r\n--x y--\r\n"), Err(Malformed::Headers));
        assert_eq!(parse(TYPE, b"--x y\r\nA: b\r\n\r\n1\r\n--x y--\r\n"), Err(Malformed::Name));
    }
}
