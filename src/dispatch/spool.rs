//! Buffers an upload until the whole file has arrived: a small file in memory, a larger one in a temporary file. The
//! temporary file has no name, so the operating system deletes it even if the process crashes.
//!
//! **Invariants.** Memory does not grow with the file, and the number of files is bounded. A reader returns exactly the
//! bytes that were pushed, or an error, also while others read the same file: after a provider has refused a body early,
//! the HTTP client may still send it while the retry begins.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::provider::UploadContent;

/// The maximum number of files in the spool at once.
pub const MAX_FILES: usize = 64;

/// The maximum number of bytes of one file in memory. A larger file moves to disk.
const MAX_MEMORY_BYTES: usize = 256 << 10;

/// How many bytes are read back from disk at a time.
const READ_CHUNK_BYTES: usize = 64 << 10;

/// A file that is being uploaded.
#[derive(Debug)]
pub struct Spool {
    buffer: Buffer,
    length: u64,
    hash: Sha256,
    /// The file's slot in the spool. Freed when the file has been sent or dropped.
    slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Buffer {
    Memory(BytesMut),
    Disk(Arc<File>),
}

impl Spool {
    pub(super) fn new(slot: OwnedSemaphorePermit) -> Self {
        Self { buffer: Buffer::Memory(BytesMut::new()), length: 0, hash: Sha256::new(), slot }
    }

    /// A spool that does not count towards [`MAX_FILES`].
    #[cfg(test)]
    pub(crate) fn with_own_slot() -> Self {
        let slots = Arc::new(tokio::sync::Semaphore::new(1));
        Self::new(slots.try_acquire_owned().expect("just made"))
    }

    /// The number of bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends to the file.
    ///
    /// # Errors
    ///
    /// If the temporary file cannot be created or written. The spool is unusable afterwards.
    pub async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        let added = u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
        self.hash.update(&chunk);
        match &mut self.buffer {
            Buffer::Memory(buffer) if buffer.len() + chunk.len() <= MAX_MEMORY_BYTES => {
                buffer.extend_from_slice(&chunk)
            }
            Buffer::Memory(buffer) => {
                let buffer = std::mem::take(buffer);
                let write = move || {
                    let mut file = tempfile::tempfile()?;
                    file.write_all(&buffer)?;
                    file.write_all(&chunk)?;
                    Ok(file)
                };
                self.buffer = Buffer::Disk(Arc::new(blocking(write).await?));
            }
            Buffer::Disk(file) => {
                let file = Arc::clone(file);
                blocking(move || (&*file).write_all(&chunk)).await?;
            }
        }
        self.length += added;
        Ok(())
    }

    /// The file and its SHA-256 hash. The content can be read any number of times, also at the same time.
    pub fn into_content(self) -> (UploadContent, [u8; 32]) {
        let Self { buffer, length, hash, slot } = self;
        let digest: [u8; 32] = hash.finalize().into();
        // The content keeps the slot while it may be read.
        let slot = Arc::new(slot);
        let content: UploadContent = match buffer {
            Buffer::Memory(buffer) => {
                let buffer = buffer.freeze();
                Arc::new(move || {
                    let (buffer, slot) = (buffer.clone(), Arc::clone(&slot));
                    stream::once(async move {
                        let _place = slot;
                        Ok(buffer)
                    })
                    .boxed()
                })
            }
            Buffer::Disk(file) => {
                let file = SpooledFile { file, length, digest, slot };
                Arc::new(move || file.clone().read())
            }
        };
        (content, digest)
    }

    #[cfg(test)]
    fn in_memory(&self) -> usize {
        match &self.buffer {
            Buffer::Memory(buffer) => buffer.capacity(),
            Buffer::Disk(_) => 0,
        }
    }
}

/// A complete file on disk.
#[derive(Clone)]
struct SpooledFile {
    file: Arc<File>,
    length: u64,
    digest: [u8; 32],
    slot: Arc<OwnedSemaphorePermit>,
}

impl SpooledFile {
    /// Reads the file: exactly its `length` bytes with its `digest`, or an error before the last chunk.
    fn read(self) -> BoxStream<'static, io::Result<Bytes>> {
        stream::try_unfold((0, Sha256::new()), move |(read, mut hash)| {
            let Self { file, length, digest, slot } = self.clone();
            async move {
                // The stream keeps the slot.
                let _slot = slot;
                let remaining = length - read;
                if remaining == 0 {
                    return Ok(None);
                }
                let chunk = blocking(move || read_at(&file, read, remaining)).await?;
                let read = read + u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
                hash.update(&chunk);
                if read == length && hash.clone().finalize()[..] != digest {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the spooled file has changed"));
                }
                Ok(Some((chunk, (read, hash))))
            }
        })
        .boxed()
    }
}

/// Reads the next chunk. It has at least one byte. The file's own position is neither used nor moved.
fn read_at(file: &File, from: u64, remaining: u64) -> io::Result<Bytes> {
    let size = usize::try_from(remaining).unwrap_or(READ_CHUNK_BYTES).min(READ_CHUNK_BYTES);
    let mut chunk = BytesMut::zeroed(size);
    file.read_exact_at(&mut chunk, from)?;
    Ok(chunk.freeze())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    async fn spool(slots: &Arc<Semaphore>) -> Spool {
        Spool::new(Arc::clone(slots).acquire_owned().await.expect("open"))
    }

    /// Bytes with a period of 251, so a shifted block differs.
    fn pattern(length: usize) -> Bytes {
        (0..length).map(|n| u8::try_from(n % 251).expect("less than 251")).collect()
    }

    #[tokio::test]
    async fn content_equals_the_pushed_bytes() {
        let slots = Arc::new(Semaphore::new(1));
        for length in
            [0, 1, MAX_MEMORY_BYTES, MAX_MEMORY_BYTES + 1, MAX_MEMORY_BYTES + READ_CHUNK_BYTES, 3 << 20]
        {
            for step in [1_000_000, 70_001] {
                let file = pattern(length);
                let mut spool = spool(&slots).await;
                for chunk in file.chunks(step) {
                    spool.push(Bytes::copy_from_slice(chunk)).await.expect("written");
                }
                assert_eq!(spool.length(), length as u64);
                let (content, digest) = spool.into_content();
                assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(&file)));
                for _ in 0..2 {
                    let back: Vec<Bytes> = content().try_collect().await.expect("read");
                    assert!(back.concat() == file, "{length} in steps of {step}");
                }
            }
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_for_a_large_file() {
        let slots = Arc::new(Semaphore::new(1));
        let mut spool = spool(&slots).await;
        let chunk = pattern(64 << 10);
        for _ in 0..256 {
            spool.push(chunk.clone()).await.expect("written");
            assert!(spool.in_memory() <= 2 * MAX_MEMORY_BYTES, "{} bytes", spool.in_memory());
        }
        assert_eq!((spool.length(), spool.in_memory()), (16 << 20, 0));
        let mut content = spool.into_content().0();
        let mut read = 0;
        while let Some(chunk) = content.try_next().await.expect("read") {
            assert!(chunk.len() <= READ_CHUNK_BYTES);
            read += chunk.len();
        }
        assert_eq!(read, 16 << 20);
    }

    #[tokio::test]
    async fn truncated_file_is_an_error_not_a_shorter_file() {
        let slots = Arc::new(Semaphore::new(1));
        let mut spool = spool(&slots).await;
        spool.push(pattern(MAX_MEMORY_BYTES * 2)).await.expect("written");
        let Buffer::Disk(file) = &spool.buffer else { panic!("the file is in memory") };
        file.set_len(u64::try_from(MAX_MEMORY_BYTES * 2 - 1).expect("small")).expect("shortened");
        let error = spool.into_content().0().try_collect::<Vec<_>>().await.expect_err("too short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn two_readers_at_once_each_get_the_whole_file() {
        let slots = Arc::new(Semaphore::new(1));
        let mut spool = spool(&slots).await;
        let file = pattern(MAX_MEMORY_BYTES * 3 + 1);
        spool.push(file.clone()).await.expect("written");
        let content = spool.into_content().0;
        let (mut first, mut second) = (content(), content());
        let (mut one, mut other) = (Vec::new(), Vec::new());
        // The second reader is one chunk behind, and both have a read under way.
        one.push(first.try_next().await.expect("read").expect("a chunk"));
        loop {
            match tokio::try_join!(first.try_next(), second.try_next()).expect("read") {
                (Some(chunk), Some(behind)) => {
                    one.push(chunk);
                    other.push(behind);
                }
                (None, Some(behind)) => other.push(behind),
                (None, None) => break,
                (Some(_), None) => panic!("the reader behind has ended first"),
            }
        }
        assert!(one.concat() == file && other.concat() == file);
    }

    #[tokio::test]
    async fn changed_file_fails_before_its_last_chunk() {
        let slots = Arc::new(Semaphore::new(1));
        let mut spool = spool(&slots).await;
        let file = pattern(MAX_MEMORY_BYTES * 2);
        spool.push(file.clone()).await.expect("written");
        let Buffer::Disk(disk) = &spool.buffer else { panic!("the file is in memory") };
        disk.write_all_at(b"?", 7).expect("changed");
        let mut content = spool.into_content().0();
        let mut read = 0;
        let error = loop {
            match content.try_next().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => panic!("the change was not noticed"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read < file.len(), "the request cannot become complete");
    }

    #[tokio::test]
    async fn slot_is_freed_when_the_file_is_sent_or_dropped() {
        let slots = Arc::new(Semaphore::new(1));
        for length in [1, MAX_MEMORY_BYTES + 1] {
            let mut dropped = spool(&slots).await;
            dropped.push(pattern(length)).await.expect("written");
            drop(dropped);
            let mut sent = spool(&slots).await;
            sent.push(pattern(length)).await.expect("written");
            let mut content = sent.into_content().0();
            assert_eq!(slots.available_permits(), 0);
            while content.try_next().await.expect("read").is_some() {}
            drop(content);
            assert_eq!(slots.available_permits(), 1);
        }
    }
}
