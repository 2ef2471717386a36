//! Media files.

use std::fmt;

/// The kind of a media file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MediaKind {
    /// An image.
    Image,
    /// A video.
    Video,
    /// An audio recording or a voice message.
    Audio,
    /// Any other file.
    Document,
}

impl MediaKind {
    /// The kind's name in error texts and at both providers.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The type of a file that can be uploaded: the types that Meta documents, without audio and stickers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// A JPEG image.
    Jpeg,
    /// A PNG image.
    Png,
    /// An MPEG-4 video.
    Mp4,
    /// A 3GPP video.
    ThreeGpp,
    /// A PDF document.
    Pdf,
    /// Text in UTF-8.
    Text,
    /// A Word document in the format from before 2007.
    Doc,
    /// An Excel workbook in the format from before 2007.
    Xls,
    /// A PowerPoint presentation in the format from before 2007.
    Ppt,
    /// A Word document.
    Docx,
    /// An Excel workbook.
    Xlsx,
    /// A PowerPoint presentation.
    Pptx,
}

impl MediaType {
    /// All types.
    pub const ALL: [Self; 12] = [
        Self::Jpeg,
        Self::Png,
        Self::Mp4,
        Self::ThreeGpp,
        Self::Pdf,
        Self::Text,
        Self::Doc,
        Self::Xls,
        Self::Ppt,
        Self::Docx,
        Self::Xlsx,
        Self::Pptx,
    ];

    /// The kind of a file of this type.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Jpeg | Self::Png => MediaKind::Image,
            Self::Mp4 | Self::ThreeGpp => MediaKind::Video,
            Self::Pdf
            | Self::Text
            | Self::Doc
            | Self::Xls
            | Self::Ppt
            | Self::Docx
            | Self::Xlsx
            | Self::Pptx => MediaKind::Document,
        }
    }

    /// The MIME type.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Mp4 => "video/mp4",
            Self::ThreeGpp => "video/3gpp",
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain",
            Self::Doc => "application/msword",
            Self::Xls => "application/vnd.ms-excel",
            Self::Ppt => "application/vnd.ms-powerpoint",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Pptx => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        }
    }

    /// The file name extension, without the dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Mp4 => "mp4",
            Self::ThreeGpp => "3gp",
            Self::Pdf => "pdf",
            Self::Text => "txt",
            Self::Doc => "doc",
            Self::Xls => "xls",
            Self::Ppt => "ppt",
            Self::Docx => "docx",
            Self::Xlsx => "xlsx",
            Self::Pptx => "pptx",
        }
    }
}

/// The maximum size of an uploaded file in bytes, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UploadLimits {
    /// The limit for images.
    pub image_bytes: u64,
    /// The limit for videos.
    pub video_bytes: u64,
    /// The limit for documents.
    pub document_bytes: u64,
}

impl UploadLimits {
    /// The maximum size of a file of this type, in bytes.
    pub const fn of(self, media_type: MediaType) -> u64 {
        match media_type.kind() {
            MediaKind::Image => self.image_bytes,
            MediaKind::Video => self.video_bytes,
            MediaKind::Document => self.document_bytes,
            // No audio type can be uploaded.
            MediaKind::Audio => 0,
        }
    }

    /// The maximum size of any file, in bytes.
    pub fn largest(self) -> u64 {
        self.image_bytes.max(self.video_bytes).max(self.document_bytes)
    }
}

/// A media file that the provider downloads from a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaLink {
    /// The kind of file.
    pub kind: MediaKind,
    /// The file's URL.
    pub url: String,
    /// The caption; may be empty.
    pub caption: String,
    /// The file name that the customer sees; may be empty.
    pub file_name: String,
}

impl fmt::Debug for MediaLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaLink({})", self.kind.as_str())
    }
}
