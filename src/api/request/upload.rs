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
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(600);

/// The longest name of a file, in characters.
const FILE_NAME_CHARACTERS: usize = 240;

/// One message of an upload.
pub(in crate::api) trait Piece {
    /// What the first message says of the file.
    type Header;

    /// The header, where there is one, and the next bytes.
    fn take_apart(self) -> (Option<Self::Header>, Bytes);
}

impl Piece for v1::SendMediaRequest {
    type Header = v1::MediaHeader;

    fn take_apart(self) -> (Option<Self::Header>, Bytes) {
        (self.header, self.chunk)
    }
}

impl Piece for v1::UploadTemplateMediaRequest {
    type Header = v1::UploadTemplateMediaHeader;

    fn take_apart(self) -> (Option<Self::Header>, Bytes) {
        (self.header, self.chunk)
    }
}

/// An upload that is coming in.
#[derive(Debug)]
pub(in crate::api) struct Intake<S> {
    pieces: S,
    stopping: CancellationToken,
    deadline: Instant,
}

impl<S, P> Intake<S>
where
    S: Stream<Item = Result<P, Status>> + Unpin,
    P: Piece,
{
    pub(in crate::api) fn new(pieces: S, stopping: CancellationToken) -> Self {
        Self { pieces, stopping, deadline: Instant::now() + FILE_TIMEOUT }
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
        let mut known = None;
        let mut chunk = first;
        loop {
            if known.is_none() {
                let wanted = chunk.len().min(HEAD_BYTES - head.len());
                head.extend_from_slice(&chunk[..wanted]);
                if head.len() == HEAD_BYTES {
                    known = Some(media_type(&head, false, &name)?);
                }
            }
            let more = u64::try_from(chunk.len()).expect("lengths fit into 64 bits");
            check_size(spool.length() + more, limits, known)?;
            spool.push(chunk).await.map_err(|error| status::not_spooled(&error))?;
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
        let media_type = match known {
            Some(known) => known,
            None => media_type(&head, true, &name)?,
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
        let until = self.deadline.min(Instant::now() + PIECE_TIMEOUT);
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(status::stopping()),
            next = timeout_at(until, self.pieces.next()) => match next {
                Ok(Some(Ok(piece))) => Ok(Some(piece.take_apart())),
                Ok(None) => Ok(None),
                // The only limit that the library keeps by itself is that of a message's length.
                Ok(Some(Err(broken))) if broken.code() == Code::OutOfRange => {
                    let allowed = "must be less than 4 MiB in one message: send the file in more pieces";
                    Err(violation("chunk", ViolationReason::OutOfRange, allowed))
                }
                Ok(Some(Err(_))) => Err(status::request_broken_off()),
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

fn violation(field: &str, fault: ViolationReason, description: impl Into<String>) -> Status {
    let mut violations = Violations::default();
    violations.add(field, fault, description);
    violations.into()
}

/// While the type is not known, the largest of the limits holds.
fn check_size(bytes: u64, limits: UploadLimits, known: Option<MediaType>) -> Result<(), Status> {
    let most = known.map_or(limits.largest(), |known| limits.of(known));
    if bytes <= most {
        return Ok(());
    }
    let file = known.map_or("file", |known| known.kind().as_str());
    Err(violation(
        "chunk",
        ViolationReason::OutOfRange,
        format!("must be at most {most} bytes in all for this {file}"),
    ))
}

fn media_type(head: &[u8], whole: bool, name: &str) -> Result<MediaType, Status> {
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
        .filter(|known| known.kind() == kind)
        .map(|known| known.extension())
        .collect();
    extensions.join(", ")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tonic_types::StatusExt as _;

    use super::*;

    const LIMITS: UploadLimits = UploadLimits { image_bytes: 100, video_bytes: 100, document_bytes: 100 };

    fn piece(chunk: &'static [u8]) -> Result<v1::SendMediaRequest, Status> {
        Ok(v1::SendMediaRequest { header: None, chunk: chunk.into() })
    }

    /// Takes a file in, and says why it was not one and after how many seconds.
    async fn refused(
        pieces: impl Stream<Item = Result<v1::SendMediaRequest, Status>>,
    ) -> (Code, String, u64) {
        let began = Instant::now();
        let spool = Spool::with_own_slot();
        let intake = Intake::new(Box::pin(pieces), CancellationToken::new());
        let told = intake.file(Bytes::from_static(b"a"), spool, LIMITS, String::new()).await;
        let told = told.expect_err("refused");
        let reason = told.get_error_details().error_info().map(|info| info.reason.clone());
        (told.code(), reason.unwrap_or_default(), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_whose_next_piece_does_not_come_is_given_up() {
        let stalled = stream::iter([piece(b"b")]).chain(stream::pending());
        assert_eq!(refused(stalled).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_too_slowly_is_given_up() {
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(59)).await;
            Some((piece(b""), ()))
        });
        assert_eq!(refused(trickle).await, (Code::Aborted, "UPLOAD_STALLED".to_owned(), 600));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_no_file() {
        let broken = stream::iter([piece(b"b"), Err(Status::unknown("the connection broke"))]);
        let (code, reason, _) = refused(broken).await;
        assert_eq!((code, reason.as_str()), (Code::Aborted, "REQUEST_TRUNCATED"));
    }
}
