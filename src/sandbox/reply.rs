//! A provider's reply, and a body that may be cut in the middle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::connection_flags::ConnectionFlags;

/// A reply before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: HeaderValue,
    pub(super) retry_after: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(super) fn html(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><body><h1>Something is not right here</h1></body></html>";
        Self::new(status, "text/html; charset=utf-8", page)
    }

    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: HeaderValue::from_str(content_type)
                .unwrap_or(HeaderValue::from_static("application/octet-stream")),
            retry_after: None,
            body: body.into(),
        }
    }

    pub(super) fn into_response(self, end: ReplyEnd) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::new(self.body, end));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, self.content_type);
        if let Some(retry_after) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, retry_after);
        }
        response
    }
}

/// What happens after the last byte of a reply.
#[derive(Debug)]
pub(super) enum ReplyEnd {
    /// The connection reads the next request.
    KeepAlive,
    /// The connection closes without an announcement.
    Close(Arc<ConnectionFlags>),
    /// The connection is cut after half of the body.
    Cut,
}

/// The body of a reply. Its declared length is always that of the whole reply.
#[derive(Debug)]
pub(super) struct ReplyBody {
    unsent: Option<Bytes>,
    length: u64,
    end: ReplyEnd,
    half_sent: bool,
}

impl ReplyBody {
    fn new(body: Bytes, end: ReplyEnd) -> Self {
        let length = body.len() as u64;
        let unsent = match end {
            ReplyEnd::Cut => body.slice(..body.len() / 2),
            ReplyEnd::KeepAlive | ReplyEnd::Close(_) => body,
        };
        Self { unsent: Some(unsent), length, end, half_sent: false }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.unsent.take().filter(|bytes| !bytes.is_empty()) {
            if let ReplyEnd::Close(flags) = &self.end {
                flags.end_after_flush();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            ReplyEnd::KeepAlive | ReplyEnd::Close(_) => Poll::Ready(None),
            ReplyEnd::Cut if self.half_sent => Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            // One pause, in which hyper flushes what it has. An error without the pause would discard it.
            ReplyEnd::Cut => {
                self.half_sent = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.unsent.as_ref().is_none_or(Bytes::is_empty) && !matches!(self.end, ReplyEnd::Cut)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
