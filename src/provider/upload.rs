//! A file on its way to a provider.

use std::fmt;
use std::io;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::domain::MediaType;

/// A file that is all there, checked, and read as it goes out.
pub struct Upload {
    /// Its name, without anything that could not stand between quotes in a header.
    pub name: String,
    /// Its type.
    pub media_type: MediaType,
    /// How many bytes it has.
    pub length: u64,
    /// Its bytes: as many as `length` says, or an error before their end. Never fewer without one.
    pub content: BoxStream<'static, io::Result<Bytes>>,
}

impl fmt::Debug for Upload {
    /// Leaves out name and content: what is sent never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({}, {} bytes)", self.media_type.mime(), self.length)
    }
}
