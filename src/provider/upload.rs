//! A file to upload to a provider.

use std::fmt;
use std::io;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::domain::MediaType;

/// Opens a stream of the file's bytes from the beginning. It can be called once per attempt.
pub type Content = Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>;

/// A complete, checked file that is read while it is sent. Cheap to clone.
#[derive(Clone)]
pub struct Upload {
    /// The file name, without characters that a quoted string in a header cannot contain.
    pub name: String,
    /// The type.
    pub media_type: MediaType,
    /// The length in bytes.
    pub length: u64,
    /// The content: exactly `length` bytes, or an error before the end. It never ends early without an error.
    pub content: Content,
    /// A hash of the content.
    pub digest: [u8; 32],
}

impl fmt::Debug for Upload {
    /// Leaves out the name and the content: message content never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({}, {} bytes)", self.media_type.mime(), self.length)
    }
}
