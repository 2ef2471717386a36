//! Where a file waits until all of it is there: its beginning in memory, and a longer one in a temporary file that has
//! no name, so that nothing of it is left whatever dies.
//!
//! Memory does not grow with the file, and the number of files is bounded.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::provider::UploadContent;

/// How many files may wait at once.
pub(super) const MOST_FILES: usize = 64;

/// The most bytes of one file that are kept in memory.
const IN_MEMORY: usize = 256 << 10;

/// How many bytes are read back at a time.
const READ_BYTES: usize = 64 << 10;

/// A file that is being taken in.
#[derive(Debug)]
pub struct Spool {
    kept: Kept,
    length: u64,
    hash: Sha256,
    /// The place among the files; free again when the file has been read back or given up.
    place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Kept {
    Memory(BytesMut),
    Disk(Arc<File>),
}

impl Spool {
    pub(super) fn new(place: OwnedSemaphorePermit) -> Self {
        Self { kept: Kept::Memory(BytesMut::new()), length: 0, hash: Sha256::new(), place }
    }

    /// One that shares its place with none.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        Self::new(places.try_acquire_owned().expect("just made"))
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends to the file.
    ///
    /// # Errors
    ///
    /// When the temporary file cannot be made or written. The file is of no use then.
    pub async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        let more = u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
        self.hash.update(&chunk);
        match &mut self.kept {
            Kept::Memory(kept) if kept.len() + chunk.len() <= IN_MEMORY => kept.extend_from_slice(&chunk),
            Kept::Memory(kept) => {
                let kept = std::mem::take(kept);
                let write = move || {
                    let mut file = tempfile::tempfile()?;
                    file.write_all(&kept)?;
                    file.write_all(&chunk)?;
                    Ok(file)
                };
                self.kept = Kept::Disk(Arc::new(blocking(write).await?));
            }
            Kept::Disk(file) => {
                let file = Arc::clone(file);
                blocking(move || (&*file).write_all(&chunk)).await?;
            }
        }
        self.length += more;
        Ok(())
    }

    /// The file, and a hash of it. It can be read as often as it must go out, once at a time.
    pub fn into_content(self) -> (UploadContent, [u8; 32]) {
        let Self { kept, length, hash, place } = self;
        let digest = hash.finalize().into();
        // The place is taken as long as the file may be read.
        let place = Arc::new(place);
        let content: UploadContent = match kept {
            Kept::Memory(kept) => {
                let kept = kept.freeze();
                Arc::new(move || {
                    let (kept, place) = (kept.clone(), Arc::clone(&place));
                    stream::once(async move {
                        let _place = place;
                        Ok(kept)
                    })
                    .boxed()
                })
            }
            Kept::Disk(file) => Arc::new(move || read_back(Arc::clone(&file), length, Arc::clone(&place))),
        };
        (content, digest)
    }

    #[cfg(test)]
    fn in_memory(&self) -> usize {
        match &self.kept {
            Kept::Memory(kept) => kept.capacity(),
            Kept::Disk(_) => 0,
        }
    }
}

/// The bytes of a file on disk: as many as it has, or an error before their end.
fn read_back(
    file: Arc<File>,
    length: u64,
    place: Arc<OwnedSemaphorePermit>,
) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold(0, move |read| {
        let file = Arc::clone(&file);
        // The place is the stream's as long as the stream lives.
        let _ = &place;
        async move {
            let left = length - read;
            if left == 0 {
                return Ok(None);
            }
            let chunk = blocking(move || read_at(&file, read, left)).await?;
            let read = read + u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
            Ok(Some((chunk, read)))
        }
    })
    .boxed()
}

/// Reads the next bytes, at least one.
fn read_at(mut file: &File, from: u64, left: u64) -> io::Result<Bytes> {
    file.seek(SeekFrom::Start(from))?;
    let wanted = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
    let mut chunk = BytesMut::zeroed(wanted);
    file.read_exact(&mut chunk)?;
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

    async fn spool(places: &Arc<Semaphore>) -> Spool {
        Spool::new(Arc::clone(places).acquire_owned().await.expect("open"))
    }

    /// Bytes that repeat only after 251, so that a shifted block is not the same.
    fn pattern(length: usize) -> Bytes {
        (0..length).map(|n| u8::try_from(n % 251).expect("less than 251")).collect()
    }

    #[tokio::test]
    async fn what_comes_out_is_what_went_in() {
        let places = Arc::new(Semaphore::new(1));
        for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, IN_MEMORY + READ_BYTES, 3 << 20] {
            for step in [1_000_000, 70_001] {
                let file = pattern(length);
                let mut spool = spool(&places).await;
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
    async fn memory_does_not_grow_with_the_file() {
        let places = Arc::new(Semaphore::new(1));
        let mut spool = spool(&places).await;
        let chunk = pattern(64 << 10);
        for _ in 0..256 {
            spool.push(chunk.clone()).await.expect("written");
            assert!(spool.in_memory() <= 2 * IN_MEMORY, "{} bytes", spool.in_memory());
        }
        assert_eq!((spool.length(), spool.in_memory()), (16 << 20, 0));
        let mut content = spool.into_content().0();
        let mut read = 0;
        while let Some(chunk) = content.try_next().await.expect("read") {
            assert!(chunk.len() <= READ_BYTES);
            read += chunk.len();
        }
        assert_eq!(read, 16 << 20);
    }

    #[tokio::test]
    async fn a_file_that_lost_its_end_is_an_error_and_not_a_shorter_file() {
        let places = Arc::new(Semaphore::new(1));
        let mut spool = spool(&places).await;
        spool.push(pattern(IN_MEMORY * 2)).await.expect("written");
        let Kept::Disk(file) = &spool.kept else { panic!("in memory") };
        file.set_len(u64::try_from(IN_MEMORY * 2 - 1).expect("small")).expect("shortened");
        let told = spool.into_content().0().try_collect::<Vec<_>>().await.expect_err("too short");
        assert_eq!(told.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_the_file_is_read_or_given_up() {
        let places = Arc::new(Semaphore::new(1));
        for length in [1, IN_MEMORY + 1] {
            let mut given_up = spool(&places).await;
            given_up.push(pattern(length)).await.expect("written");
            drop(given_up);
            let mut sent = spool(&places).await;
            sent.push(pattern(length)).await.expect("written");
            let mut content = sent.into_content().0();
            assert_eq!(places.available_permits(), 0);
            while content.try_next().await.expect("read").is_some() {}
            drop(content);
            assert_eq!(places.available_permits(), 1);
        }
    }
}
