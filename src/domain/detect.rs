//! What a file is, told from its first bytes.

use super::MediaType;

/// How many bytes tell what a file is: enough for the first entries of an Office document.
pub const HEAD_BYTES: usize = 32 << 10;

/// What an Office document of before 2007 begins with, and much else that is kept in such containers.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Why a file's type is not known, or is none that can be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undetected {
    /// It is sound, or a sticker.
    SoundOrSticker,
    /// It is an Office document; which one, only the end of its name could say, and does not.
    Ending {
        /// The endings that would.
        endings: &'static str,
    },
    /// It is something else.
    Other,
}

/// Tells a file's type from its first [`HEAD_BYTES`] bytes, or from all of it where it has less (`whole`).
///
/// Office documents are containers, of which the first bytes may show no more than that; then the end of the file's
/// name decides. Those of before 2007 say what they are in places that lie anywhere in the file, so there it always does.
///
/// # Errors
///
/// When it is no type that can be uploaded.
pub fn detect(head: &[u8], whole: bool, file_name: &str) -> Result<MediaType, Undetected> {
    if head.starts_with(OLE) {
        return by_ending(file_name, &[MediaType::Doc, MediaType::Xls, MediaType::Ppt])
            .ok_or(Undetected::Ending { endings: "`.doc`, `.xls` or `.ppt`" });
    }
    let mime = infer::get(head).map(|found| found.mime_type());
    if let Some(known) = MediaType::ALL.into_iter().find(|known| mime == Some(known.mime())) {
        return Ok(known);
    }
    if is_3gpp(head) {
        return Ok(MediaType::ThreeGpp);
    }
    // Before the signatures of other types: some are letters that a text may begin with.
    if is_text(head, whole) {
        return Ok(MediaType::Text);
    }
    match mime {
        Some("application/zip") => by_entries(head)
            .or_else(|| by_ending(file_name, &[MediaType::Docx, MediaType::Xlsx, MediaType::Pptx]))
            .ok_or(Undetected::Ending { endings: "`.docx`, `.xlsx` or `.pptx`" }),
        Some("image/webp") => Err(Undetected::SoundOrSticker),
        Some(mime) if mime.starts_with("audio/") => Err(Undetected::SoundOrSticker),
        _ => Err(Undetected::Other),
    }
}

/// ISO 14496-12: a box `ftyp`, whose brand begins with `3g` and a letter that is the profile.
fn is_3gpp(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
        && matches!(head.get(8..11), Some([b'3', b'g', b'e' | b'g' | b'p' | b'r' | b's']))
}

/// An Office document: an archive with a list of content types and the folder of one of the programs.
fn by_entries(head: &[u8]) -> Option<MediaType> {
    const ENTRY: &[u8] = b"PK\x03\x04";
    const NAME_AT: usize = 30;
    let entries = head.windows(ENTRY.len()).enumerate().filter(|(_, bytes)| *bytes == ENTRY);
    let names: Vec<&[u8]> = entries.filter_map(|(at, _)| head.get(at + NAME_AT..)).collect();
    let has = |name: &[u8]| names.iter().any(|found| found.starts_with(name));
    let folders: [(&[u8], MediaType); 3] =
        [(b"word/", MediaType::Docx), (b"xl/", MediaType::Xlsx), (b"ppt/", MediaType::Pptx)];
    folders.into_iter().find(|(folder, _)| has(b"[Content_Types].xml") && has(folder)).map(|(_, known)| known)
}

/// Text: UTF-8 without control characters but those that break lines and pages.
fn is_text(head: &[u8], whole: bool) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(error) if !whole && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}

fn by_ending(file_name: &str, types: &[MediaType]) -> Option<MediaType> {
    let (_, ending) = file_name.rsplit_once('.')?;
    types.iter().copied().find(|known| ending.eq_ignore_ascii_case(known.extension()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an Office document: local file headers of these names, without content.
    fn zip(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend_from_slice(b"PK\x03\x04");
            bytes.extend_from_slice(&[0; 22]);
            bytes.extend_from_slice(&u16::try_from(name.len()).expect("short").to_le_bytes());
            bytes.extend_from_slice(&[0; 2]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[0; 40]);
        }
        bytes
    }

    #[test]
    fn what_can_be_uploaded_is_known_by_its_first_bytes() {
        for (head, expected) in [
            (b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), MediaType::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0".to_vec(), MediaType::Png),
            (b"\0\0\0\x18ftypisom\0\0\0\0".to_vec(), MediaType::Mp4),
            (b"\0\0\0\x18ftypmp42\0\0\0\0".to_vec(), MediaType::Mp4),
            (b"\0\0\0\x18ftyp3gp5\0\0\0\0".to_vec(), MediaType::ThreeGpp),
            (b"%PDF-1.7\n\xe2\xe3".to_vec(), MediaType::Pdf),
            (b"%PDF-1.7\n% pure ASCII".to_vec(), MediaType::Pdf),
            (zip(&["[Content_Types].xml", "_rels/.rels", "word/document.xml"]), MediaType::Docx),
            (zip(&["docProps/app.xml", "[Content_Types].xml", "xl/workbook.xml"]), MediaType::Xlsx),
            (zip(&["[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"]), MediaType::Pptx),
            ("a;b\r\nč;d\n".as_bytes().to_vec(), MediaType::Text),
            (b"BMW, MZ and ID3 are words too".to_vec(), MediaType::Text),
            (b"<?xml version=\"1.0\"?>".to_vec(), MediaType::Text),
        ] {
            assert_eq!(detect(&head, true, ""), Ok(expected), "{:?}", String::from_utf8_lossy(&head));
        }
    }

    #[test]
    fn an_office_document_that_shows_no_more_is_known_by_the_end_of_its_name() {
        let plain = zip(&["customXml/item.xml"]);
        for (head, name, expected) in [
            (OLE, "a.doc", MediaType::Doc),
            (OLE, "A.XLS", MediaType::Xls),
            (OLE, "a.b.ppt", MediaType::Ppt),
            (&plain, "a.docx", MediaType::Docx),
            (&plain, "a.xlsx", MediaType::Xlsx),
            (&plain, "a.pptx", MediaType::Pptx),
        ] {
            assert_eq!(detect(head, true, name), Ok(expected));
        }
        for name in ["", "doc", "a.docx", "a.pdf"] {
            assert!(matches!(detect(OLE, true, name), Err(Undetected::Ending { .. })), "{name}");
        }
        assert!(matches!(detect(&plain, true, "a.doc"), Err(Undetected::Ending { .. })));
    }

    #[test]
    fn what_cannot_be_uploaded_is_told_apart() {
        for sound in [
            &b"ID3\x04\0\0\0"[..],
            b"OggS\0\x02\0\0",
            b"#!AMR\n\x3c\x91\x17\x16\xbe\x66\x79",
            b"RIFF\x10\0\0\0WEBPVP8 ",
        ] {
            assert_eq!(detect(sound, true, "a.mp3"), Err(Undetected::SoundOrSticker), "{sound:?}");
        }
        for other in [&b"GIF89a\0"[..], b"\0\0\0\0", b"\x7fELF\0", b"caf\xe9", b"\x1b[0m", b""] {
            assert_eq!(detect(other, true, "a.pdf"), Err(Undetected::Other), "{other:?}");
        }
    }

    #[test]
    fn a_head_may_end_within_a_character_and_a_file_may_not() {
        let cut = &"☃☃".as_bytes()[..5];
        assert_eq!(detect(cut, false, ""), Ok(MediaType::Text));
        assert_eq!(detect(cut, true, ""), Err(Undetected::Other));
    }
}
