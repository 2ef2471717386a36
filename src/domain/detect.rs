//! Detects the type of a file from its first bytes.

use super::MediaType;

/// How many leading bytes detection needs. They include the first entries of an Office document.
pub const HEAD_BYTES: usize = 32 << 10;

/// The OLE signature: the first bytes of an Office document older than 2007, and of many other formats in OLE
/// containers.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Why detection found no type that can be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undetected {
    /// The file is audio or a sticker.
    SoundOrSticker,
    /// The file may be an Office document of a kind that neither its content nor its extension identifies.
    Ending {
        /// The extensions that would identify it.
        endings: &'static str,
    },
    /// The file is of another type.
    Other,
}

/// Detects the type of a file from its first [`HEAD_BYTES`] bytes. If the file is shorter, `head` is all of it and
/// `complete` is true.
///
/// Office documents are containers, and their first bytes may identify only the container. In that case the extension
/// of the file name decides. A document older than 2007 stores its kind at an arbitrary offset, so for those files the
/// extension always decides.
///
/// # Errors
///
/// Fails if the type is not one that can be uploaded.
pub fn detect(head: &[u8], complete: bool, file_name: &str) -> Result<MediaType, Undetected> {
    if head.starts_with(OLE) {
        return by_extension(file_name, &[MediaType::Doc, MediaType::Xls, MediaType::Ppt])
            .ok_or(Undetected::Ending { endings: "`.doc`, `.xls` or `.ppt`" });
    }
    let mime = infer::get(head).map(|found| found.mime_type());
    if let Some(known) = MediaType::ALL.into_iter().find(|known| mime == Some(known.mime())) {
        return Ok(known);
    }
    if is_3gpp(head) {
        return Ok(MediaType::ThreeGpp);
    }
    // This check comes before the signatures of other types, because some signatures are letters that a text may begin
    // with.
    if is_text(head, complete) {
        return Ok(MediaType::Text);
    }
    match mime {
        Some("application/zip") => by_entries(head)
            .or_else(|| by_extension(file_name, &[MediaType::Docx, MediaType::Xlsx, MediaType::Pptx]))
            .ok_or(Undetected::Ending { endings: "`.docx`, `.xlsx` or `.pptx`" }),
        Some("image/webp") => Err(Undetected::SoundOrSticker),
        Some(mime) if mime.starts_with("audio/") => Err(Undetected::SoundOrSticker),
        _ => Err(Undetected::Other),
    }
}

/// ISO 14496-12: an `ftyp` box whose brand is `3g` and a letter that names the profile.
fn is_3gpp(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
        && matches!(head.get(8..11), Some([b'3', b'g', b'e' | b'g' | b'p' | b'r' | b's']))
}

/// Detects an Office document: a ZIP archive with a content types list and the folder of one Office program.
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

/// Whether `head` is UTF-8 without control characters other than tabs, line breaks and form feeds.
fn is_text(head: &[u8], complete: bool) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end in the middle of a character.
        Err(error) if !complete && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}'))
}

fn by_extension(file_name: &str, types: &[MediaType]) -> Option<MediaType> {
    let (_, extension) = file_name.rsplit_once('.')?;
    types.iter().copied().find(|known| extension.eq_ignore_ascii_case(known.extension()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an Office document: local file headers with these names, without content.
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
    fn uploadable_file_is_detected_by_its_first_bytes() {
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
    fn ambiguous_office_document_is_detected_by_extension() {
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
    fn audio_and_stickers_are_distinguished_from_other_types() {
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
    fn partial_character_at_the_end_is_text_only_in_a_head() {
        let cut = &"☃☃".as_bytes()[..5];
        assert_eq!(detect(cut, false, ""), Ok(MediaType::Text));
        assert_eq!(detect(cut, true, ""), Err(Undetected::Other));
    }
}
