//! Uploads: the server receives and checks a whole file before it passes any of it on.
//!
//! **Invariant.** A stream becomes a file only after the client has closed it. A stream that ends early, stalls or
//! fails a check leaves nothing stored.

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

/// How long the next message of an upload may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a whole upload may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The maximum length of a file name, in characters.
const FILE_NAME_CHARACTERS: usize = 240;

/// One message of an upload.
pub(in crate::api) trait UploadMessage {
    /// The header, which the first message carries.
    type Header;

    /// The header, if the message has one, and the next bytes.
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

/// An upload in progress.
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

    /// Reads the first message: the header and the first bytes.
    pub(in crate::api) async fn header(&mut self) -> Result<(P::Header, Bytes), Status> {
        match self.next().await? {
            Some((Some(header), chunk)) => Ok((header, chunk)),
            Some((None, _)) | None => {
                Err(violation("header", ViolationReason::Required, "must be given in the first message"))
            }
        }
    }

    /// Reads the rest of the file after its `first` bytes. Replaces an empty name by one made from the file's kind.
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

    /// Reads the next message. None if the client has closed the stream.
    async fn next(&mut self) -> Result<Option<(Option<P::Header>, Bytes)>, Status> {
        let until = self.deadline.min(Instant::now() + MESSAGE_TIMEOUT);
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(status::stopping()),
            next = timeout_at(until, self.messages.next()) => match next {
                Ok(Some(Ok(message))) => Ok(Some(message.into_parts())),
                Ok(None) => Ok(None),
                // tonic itself rejects only messages that are too long.
                Ok(Some(Err(error))) if error.code() == Code::OutOfRange => {
                    let allowed = "must be less than 4 MiB per message: send the file in smaller chunks";
                    Err(violation("chunk", ViolationReason::OutOfRange, allowed))
                }
                Ok(Some(Err(_))) => Err(status::request_truncated()),
                Err(_) => Err(status::upload_stalled(MESSAGE_TIMEOUT, FILE_TIMEOUT)),
            },
        }
    }
}

/// Checks a file name. An empty name is valid.
pub(in crate::api) fn file_name(field: &str, name: String, violations: &mut Violations) -> Option<String> {
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '"');
    if name.chars().count() > FILE_NAME_CHARACTERS {
        let allowed = format!("must be at most {FILE_NAME_CHARACTERS} characters");
        violations.add(field, ViolationReason::OutOfRange, allowed);
    } else if !name.chars().all(plain) {
        violations.add(
            field,
            ViolationReason::Malformed,
            "must not contain `/`, `\\`, `\"` or control characters",
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

/// While the type is not known, the largest of the limits applies.
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
                    "must be an image, a video or a document: the provider accepts no audio and no stickers";
                violation("chunk", ViolationReason::Unsupported, allowed)
            }
            Undetected::Ending { endings } => {
                let allowed = format!("must end in {endings}: the file's bytes do not identify its type");
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

/// The extensions of all types of a kind.
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

    /// Reads an upload that fails. Returns the code, the reason, and the seconds until the failure.
    async fn read_failing(
        messages: impl Stream<Item = Result<v1::SendMediaRequest, Status>>,
    ) -> (Code, String, u64) {
        let start = Instant::now();
        let spool = Spool::with_own_slot();
        let reader = UploadReader::new(Box::pin(messages), CancellationToken::new());
        let status = reader.file(Bytes::from_static(b"a"), spool, LIMITS, String::new()).await;
        let status = status.expect_err("the upload fails");
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        (status.code(), reason.unwrap_or_default(), start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn upload_without_next_message_stalls_after_a_minute() {
        let stalled = stream::iter([message(b"b")]).chain(stream::pending());
        assert_eq!(read_failing(stalled).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn upload_that_is_too_slow_stalls_after_ten_minutes() {
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(59)).await;
            Some((message(b""), ()))
        });
        assert_eq!(read_failing(trickle).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 600));
    }

    #[tokio::test]
    async fn upload_whose_stream_breaks_is_truncated() {
        let truncated = stream::iter([message(b"b"), Err(Status::unknown("connection lost"))]);
        let (code, reason, _) = read_failing(truncated).await;
        assert_eq!((code, reason.as_str()), (Code::Aborted, "REQUEST_TRUNCATED"));
    }
}
