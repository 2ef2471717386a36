//! Uploads of files.

use std::fmt;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt as _, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::call::{BoxFuture, RetryState, ensure_request_id};
use crate::v1::{
    MediaHeader, SendMediaRequest, SendMediaResponse, UploadTemplateMediaHeader, UploadTemplateMediaRequest,
    UploadTemplateMediaResponse,
};
use crate::{Client, Error};

/// The size of a chunk in bytes. The server accepts messages up to 4 MiB.
const CHUNK_SIZE: usize = 1 << 20;

/// The content of an upload: bytes in memory, a file, or any [`AsyncRead`].
///
/// Bytes convert into a source: [`Bytes`], `Vec<u8>`, `String`, `&'static [u8]`, `&'static str`. A [`PathBuf`], a [`Path`]
/// and a Tokio [`File`] do too. [`reader`](Self::reader) makes a source of any other reader.
///
/// The client reads a source in chunks of 1 MiB, and only as fast as the server accepts them.
///
/// Bytes and paths can be read again for a retry, and so can a file that can seek. Any other reader cannot: once its first
/// byte was read, the client does not retry the upload, and a failure is final.
pub struct UploadSource(Source);

enum Source {
    Bytes(Bytes),
    /// The client opens the file for each attempt.
    Path(PathBuf),
    /// None while an attempt uses it.
    Reader(Option<Reader>),
}

struct Reader {
    input: Input,
    /// Whether at least one byte was read.
    was_read: bool,
}

enum Input {
    File {
        file: File,
        /// Where the content starts. None until the first attempt, and for a file that cannot seek.
        start: Option<u64>,
    },
    Other(Pin<Box<dyn AsyncRead + Send>>),
}

impl UploadSource {
    /// The content of a reader. A retry is not possible after the first byte was read.
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self::from_input(Input::Other(Box::pin(reader)))
    }

    /// The content of the file at `path`. The client opens the file for each attempt.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Source::Path(path.into()))
    }

    fn from_input(input: Input) -> Self {
        Self(Source::Reader(Some(Reader { input, was_read: false })))
    }
}

impl fmt::Debug for UploadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content stays out of logs.
        match &self.0 {
            Source::Bytes(bytes) => f.debug_struct("Bytes").field("len", &bytes.len()).finish(),
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::Reader(_) => f.write_str("Reader"),
        }
    }
}

impl From<Bytes> for UploadSource {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Bytes(bytes))
    }
}

impl From<Vec<u8>> for UploadSource {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for UploadSource {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for UploadSource {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for UploadSource {
    /// The text itself, and not the file of that name.
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<PathBuf> for UploadSource {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<&Path> for UploadSource {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<File> for UploadSource {
    /// The content of the file from its current position.
    fn from(file: File) -> Self {
        Self::from_input(Input::File { file, start: None })
    }
}

/// Makes one attempt of an upload.
type SendChunks<H, M, R> = fn(Client, Request<Chunks<H, M>>) -> BoxFuture<Result<Response<R>, Status>>;

impl Client {
    /// Uploads a file and sends it to a customer.
    ///
    /// The client fills in an empty `request_id` and retries as [`call`](Self::call) does, if the source can be read again.
    ///
    /// # Errors
    ///
    /// Fails as [`call`](Self::call) does. If the source cannot be read, the client cancels the upload, so nothing is sent:
    /// the code is CANCELLED, and [`source`](std::error::Error::source) is the [`io::Error`].
    pub async fn send_media(
        &self,
        mut header: MediaHeader,
        source: impl Into<UploadSource>,
    ) -> Result<SendMediaResponse, Error> {
        let request_id = ensure_request_id(Some(&mut header.request_id));
        let message = |header, chunk| SendMediaRequest { header, chunk };
        self.upload(
            header,
            "/switchboard.v1.MessageService/SendMedia",
            request_id,
            source.into(),
            message,
            |client, request| Box::pin(async move { client.messages().send_media(request).await }),
        )
        .await
    }

    /// Uploads a file for the header of a template. It retries as [`send_media`](Self::send_media) does.
    ///
    /// # Errors
    ///
    /// Fails as [`send_media`](Self::send_media) does.
    pub async fn upload_template_media(
        &self,
        mut header: UploadTemplateMediaHeader,
        source: impl Into<UploadSource>,
    ) -> Result<UploadTemplateMediaResponse, Error> {
        let request_id = ensure_request_id(Some(&mut header.request_id));
        let message = |header, chunk| UploadTemplateMediaRequest { header, chunk };
        self.upload(
            header,
            "/switchboard.v1.TemplateService/UploadTemplateMedia",
            request_id,
            source.into(),
            message,
            |client, request| {
                Box::pin(async move { client.templates().upload_template_media(request).await })
            },
        )
        .await
    }

    async fn upload<H: Clone, M, R>(
        &self,
        header: H,
        method: &str,
        request_id: Option<String>,
        UploadSource(mut source): UploadSource,
        message: fn(Option<H>, Bytes) -> M,
        send: SendChunks<H, M, R>,
    ) -> Result<R, Error> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let mut retry = RetryState::new(self, method.to_owned(), request_id, deadline);
        loop {
            let content = source.content().await;
            let content = content.map_err(|error| retry.error(Error::unreadable_source(error)))?;
            let content = Arc::new(Mutex::new(Some(content)));
            let (failed, failure) = oneshot::channel();
            let request = retry.request(Chunks {
                content: Arc::clone(&content),
                header: Some(header.clone()),
                message,
                buffer: Vec::new(),
                filled: 0,
                failed: Some(failed),
            });
            let sent = tokio::select! {
                // To drop the call cancels it. An end of the request would send what was read so far.
                Ok(error) = failure => return Err(retry.error(Error::unreadable_source(error))),
                sent = retry.with_deadline(send(self.clone(), request)) => sent,
            };
            match sent {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => {
                    // The transport may still hold the request of the failed attempt, which now cannot read further.
                    let content = lock(&content).take();
                    let can_retry = source.restore(content);
                    retry.wait_after(status, can_retry).await?;
                }
            }
        }
    }
}

impl Source {
    /// The content for the next attempt, from its start.
    async fn content(&mut self) -> io::Result<Content> {
        match self {
            Self::Bytes(bytes) => Ok(Content::Bytes(bytes.clone())),
            Self::Path(path) => {
                let file = File::open(path).await?;
                Ok(Content::Reader(Reader { input: Input::File { file, start: None }, was_read: false }))
            }
            Self::Reader(reader) => {
                let Some(mut reader) = reader.take() else {
                    return Err(io::Error::other("another attempt reads the source"));
                };
                if let Input::File { file, start } = &mut reader.input {
                    match start {
                        Some(start) => drop(file.seek(SeekFrom::Start(*start)).await?),
                        // A pipe is a file too, and fails here.
                        None => *start = file.stream_position().await.ok(),
                    }
                }
                reader.was_read = false;
                Ok(Content::Reader(reader))
            }
        }
    }

    /// Takes back the content of a failed attempt. Returns whether another attempt can read it from its start.
    fn restore(&mut self, content: Option<Content>) -> bool {
        let Self::Reader(reader) = self else { return true };
        let Some(Content::Reader(returned)) = content else { return false };
        let can_retry = !returned.was_read || matches!(returned.input, Input::File { start: Some(_), .. });
        *reader = Some(returned);
        can_retry
    }
}

/// The content of one attempt.
enum Content {
    /// What is not sent yet.
    Bytes(Bytes),
    Reader(Reader),
}

/// The messages of one attempt. The header is in the first one.
struct Chunks<H, M> {
    /// None after the end of the attempt.
    content: Arc<Mutex<Option<Content>>>,
    header: Option<H>,
    message: fn(Option<H>, Bytes) -> M,
    /// The next chunk of a reader, and how much of it was read.
    buffer: Vec<u8>,
    filled: usize,
    /// Reports that the source cannot be read. None after that.
    failed: Option<oneshot::Sender<io::Error>>,
}

impl<H: Unpin, M> Stream for Chunks<H, M> {
    type Item = M;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<M>> {
        let this = self.get_mut();
        if this.failed.is_none() {
            return Poll::Pending;
        }
        let content = Arc::clone(&this.content);
        let chunk = match lock(&content).as_mut() {
            // The attempt has ended.
            None => return Poll::Pending,
            Some(Content::Bytes(rest)) => rest.split_to(rest.len().min(CHUNK_SIZE)),
            Some(Content::Reader(reader)) => match ready!(this.poll_read_chunk(reader, cx)) {
                Ok(chunk) => chunk,
                Err(error) => {
                    // The end of this stream would end the request, so it never ends: the receiver cancels the call.
                    if let Some(failed) = this.failed.take() {
                        let _ = failed.send(error);
                    }
                    return Poll::Pending;
                }
            },
        };
        let header = this.header.take();
        // An empty file is a header without content.
        if chunk.is_empty() && header.is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some((this.message)(header, chunk)))
    }
}

impl<H, M> Chunks<H, M> {
    /// Reads a whole chunk, or what is left before the end.
    fn poll_read_chunk(&mut self, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        self.buffer.resize(CHUNK_SIZE, 0);
        while self.filled < CHUNK_SIZE {
            let mut buffer = ReadBuf::new(&mut self.buffer[self.filled..]);
            match &mut reader.input {
                Input::File { file, .. } => ready!(Pin::new(file).poll_read(cx, &mut buffer))?,
                Input::Other(other) => ready!(other.as_mut().poll_read(cx, &mut buffer))?,
            }
            let read = buffer.filled().len();
            if read == 0 {
                break;
            }
            reader.was_read = true;
            self.filled += read;
        }
        let mut chunk = std::mem::take(&mut self.buffer);
        chunk.truncate(std::mem::take(&mut self.filled));
        Poll::Ready(Ok(chunk.into()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
