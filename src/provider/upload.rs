//! A file on its way to a provider.

use std::fmt;
use std::io;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::domain::MediaType;

/// Bytes that can be read from their beginning as often as they must go out.
pub type Content = Arc<dyn Fn() -> BoxStream<'static, io::Result<Bytes>> + Send + Sync>;

/// A file that is all there, checked, and read as it goes out. Cheap to clone.
#[derive(Clone)]
pub struct Upload {
    /// Its name, without anything that could not stand between quotes in a header.
    pub name: String,
    /// Its type.
    pub media_type: MediaType,
    /// How many bytes it has.
    pub length: u64,
    /// Its bytes: as many as `length` says, or an error before their end. Never fewer without one.
    pub content: Content,
    /// A hash of its bytes.
    pub digest: [u8; 32],
}

impl fmt::Debug for Upload {
    /// Leaves out name and content: what is sent never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({}, {} bytes)", self.media_type.mime(), self.length)
    }
}
