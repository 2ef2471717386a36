//! Media files.

use std::fmt;

/// What a media file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// A recording or a voice message.
    Audio,
    /// Any other file.
    Document,
}

impl MediaKind {
    /// The kind in error texts, and at both providers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Document => "document",
        }
    }
}

/// A media file that the provider fetches for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaLink {
    /// What it is.
    pub kind: MediaKind,
    /// Where it is.
    pub url: String,
    /// The text below it; may be empty.
    pub caption: String,
    /// The name that the customer sees; may be empty.
    pub file_name: String,
}

impl fmt::Debug for MediaLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaLink({})", self.kind.as_str())
    }
}
