//! Taking in a file that comes in pieces: all of it is there and checked before any of it goes further.
//!
//! **Invariant.** Only a stream that its caller has closed becomes a file. One that breaks off, stalls, or is refused
//! on the way leaves nothing behind.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::dispatch::Spool;
use crate::domain::detect::{HEAD_BYTES, Undetected, detect};
use crate::domain::{MediaKind, MediaType, UploadLimits};
use crate::pb::v1;
use crate::provider::Upload;

/// How long the next piece of a file may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest name of a file, in characters.
const FILE_NAME_CHARACTERS: usize = 240;

/// One message of an upload.
pub(in crate::api) trait UploadMessage {
    /// What the first message says of the file.
    type Header;

    /// The header, where there is one, and the next bytes.
    fn into_parts(self) -> (Option<Self::Header>, Bytes);
}

impl UploadMessage for v1::SendMediaRequest {
    type Header = v1::MediaHeader;

    fn into_parts(self) -> (Option<Self::Header>, Bytes) {
        (self.header, self.chunk)
    }
}

impl UploadMessage for v1::UploadTemplateMediaRequest {
    type Header = v1::UploadTemplateMediaHeader;

    fn into_parts(self) -> (Option<Self::Header>, Bytes) {
        (self.header, self.chunk)
    }
}

/// An upload that is coming in.
#[derive(Debug)]
pub(in crate::api) struct UploadReader<S> {
    messages: S,
    stopping: CancellationToken,
    deadline: Instant,
}

impl<S, P> UploadReader<S>
where
    S: Stream<Item = Result<P, Status>> + Unpin,
    P: UploadMessage,
{
    pub(in crate::api) fn new(messages: S, stopping: CancellationToken) -> Self {
        Self { messages, stopping, deadline: Instant::now() + FILE_TIMEOUT }
    }

    /// Takes the header, and the bytes that came with it.
    pub(in crate::api) async fn header(&mut self) -> Result<(P::Header, Bytes), Status> {
        match self.next().await? {
            Some((Some(header), chunk)) => Ok((header, chunk)),
            Some((None, _)) | None => {
                Err(violation("header", ViolationReason::Required, "must be given in the first message"))
            }
        }
    }

    /// Takes the file, of which the first bytes came with the header. An empty name is made up.
    pub(in crate::api) async fn file(
        mut self,
        first: Bytes,
        mut spool: Spool,
        limits: UploadLimits,
        name: String,
    ) -> Result<Upload, Status> {
        let mut head = Vec::new();
        let mut media_type = None;
        let mut chunk = first;
        loop {
            if media_type.is_none() {
                let wanted = chunk.len().min(HEAD_BYTES - head.len());
                head.extend_from_slice(&chunk[..wanted]);
                if head.len() == HEAD_BYTES {
                    media_type = Some(detect_type(&head, false, &name)?);
                }
            }
            let added = u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
            check_size(spool.length() + added, limits, media_type)?;
            spool.push(chunk).await.map_err(|error| status::spool_unavailable(&error))?;
            match self.next().await? {
                Some((None, next)) => chunk = next,
                Some((Some(_), _)) => {
                    let allowed = "must be given in the first message, and only there";
                    return Err(violation("header", ViolationReason::Malformed, allowed));
                }
                None => break,
            }
        }
        let length = spool.length();
        if length == 0 {
            return Err(violation("chunk", ViolationReason::Required, "must be given: the file is empty"));
        }
        let media_type = match media_type {
            Some(media_type) => media_type,
            None => detect_type(&head, true, &name)?,
        };
        check_size(length, limits, Some(media_type))?;
        let name = if name.is_empty() {
            format!("{}.{}", media_type.kind().as_str(), media_type.extension())
        } else {
            name
        };
        let (content, digest) = spool.into_content();
        Ok(Upload { name, media_type, length, content, digest })
    }

    /// The next message. None when the caller has closed the stream.
    async fn next(&mut self) -> Result<Option<(Option<P::Header>, Bytes)>, Status> {
        let until = self.deadline.min(Instant::now() + MESSAGE_TIMEOUT);
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(status::stopping()),
            next = timeout_at(until, self.messages.next()) => match next {
                Ok(Some(Ok(message))) => Ok(Some(message.into_parts())),
                Ok(None) => Ok(None),
                // The only limit that the library keeps by itself is that of a message's length.
                Ok(Some(Err(error))) if error.code() == Code::OutOfRange => {
                    let allowed = "must be less than 4 MiB in one message: send the file in more pieces";
                    Err(violation("chunk", ViolationReason::OutOfRange, allowed))
                }
                Ok(Some(Err(_))) => Err(status::request_truncated()),
                Err(_) => Err(status::upload_stalled()),
            },
        }
    }
}

/// Reads the name of a file. Empty stays empty.
pub(in crate::api) fn file_name(field: &str, name: String, violations: &mut Violations) -> Option<String> {
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '"');
    if name.chars().count() > FILE_NAME_CHARACTERS {
        let allowed = format!("must be at most {FILE_NAME_CHARACTERS} characters");
        violations.add(field, ViolationReason::OutOfRange, allowed);
    } else if !name.chars().all(plain) {
        violations.add(
            field,
            ViolationReason::Malformed,
            "must be without `/`, `\\`, `\"` and control characters",
        );
    } else {
        return Some(name);
    }
    None
}

fn violation(field: &str, reason: ViolationReason, description: impl Into<String>) -> Status {
    let mut violations = Violations::default();
    violations.add(field, reason, description);
    violations.into()
}

/// While the type is not known, the largest of the limits holds.
fn check_size(bytes: u64, limits: UploadLimits, media_type: Option<MediaType>) -> Result<(), Status> {
    let max = media_type.map_or(limits.largest(), |media_type| limits.of(media_type));
    if bytes <= max {
        return Ok(());
    }
    let file = media_type.map_or("file", |media_type| media_type.kind().as_str());
    Err(violation(
        "chunk",
        ViolationReason::OutOfRange,
        format!("must be at most {max} bytes in all for this {file}"),
    ))
}

fn detect_type(head: &[u8], whole: bool, name: &str) -> Result<MediaType, Status> {
    detect(head, whole, name).map_err(|undetected| {
        let [image, video, document] = [MediaKind::Image, MediaKind::Video, MediaKind::Document].map(types);
        match undetected {
            Undetected::SoundOrSticker => {
                let allowed =
                    "can be an image, a video or a document: the provider takes no sound and no stickers";
                violation("chunk", ViolationReason::Unsupported, allowed)
            }
            Undetected::Ending { endings } => {
                let allowed = format!("must end in {endings}: the file does not say which of them it is");
                violation("header.file_name", ViolationReason::Malformed, allowed)
            }
            Undetected::Other => {
                let allowed =
                    format!("must be an image ({image}), a video ({video}) or a document ({document})");
                violation("chunk", ViolationReason::Malformed, allowed)
            }
        }
    })
}

/// The types of a kind, by their extensions.
fn types(kind: MediaKind) -> String {
    let extensions: Vec<&str> = MediaType::ALL
        .into_iter()
        .filter(|media_type| media_type.kind() == kind)
        .map(|media_type| media_type.extension())
        .collect();
    extensions.join(", ")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tonic_types::StatusExt as _;

    use super::*;

    const LIMITS: UploadLimits = UploadLimits { image_bytes: 100, video_bytes: 100, document_bytes: 100 };

    fn message(chunk: &'static [u8]) -> Result<v1::SendMediaRequest, Status> {
        Ok(v1::SendMediaRequest { header: None, chunk: chunk.into() })
    }

    /// Takes a file in, and says why it was not one and after how many seconds.
    async fn refused(
        messages: impl Stream<Item = Result<v1::SendMediaRequest, Status>>,
    ) -> (Code, String, u64) {
        let began = Instant::now();
        let spool = Spool::alone();
        let reader = UploadReader::new(Box::pin(messages), CancellationToken::new());
        let status = reader.file(Bytes::from_static(b"a"), spool, LIMITS, String::new()).await;
        let status = status.expect_err("refused");
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        (status.code(), reason.unwrap_or_default(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_whose_next_piece_does_not_come_is_given_up() {
        let stalled = stream::iter([message(b"b")]).chain(stream::pending());
        assert_eq!(refused(stalled).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_too_slowly_is_given_up() {
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(59)).await;
            Some((message(b""), ()))
        });
        assert_eq!(refused(trickle).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 600));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_no_file() {
        let truncated = stream::iter([message(b"b"), Err(Status::unknown("the connection broke"))]);
        let (code, reason, _) = refused(truncated).await;
        assert_eq!((code, reason.as_str()), (Code::Aborted, "REQUEST_TRUNCATED"));
    }
}
