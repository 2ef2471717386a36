//! A truncated request body is an error, not the end of the request.
//!
//! If a client cancels, tonic ends the stream of request messages as if the client had closed it. hyper does the same
//! if a reset has no reason. Then half a file would look like a whole one. So below tonic, this module turns every end
//! without END_STREAM into an error, with a code that tonic passes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::api::error::status;

/// Makes the body of an HTTP/2 request fail if it ends without END_STREAM. HTTP/1.1 bodies already do so.
pub fn reject_truncated_bodies(request: Request<Body>) -> Request<Body> {
    if request.version() != Version::HTTP_2 {
        return request;
    }
    request.map(|body| Body::new(TruncatedBodyGuard(body)))
}

#[derive(Debug)]
struct TruncatedBodyGuard(Body);

impl HttpBody for TruncatedBodyGuard {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            None if !self.0.is_end_stream() => Poll::Ready(Some(Err(status::request_truncated()))),
            Some(Err(_)) => Poll::Ready(Some(Err(status::request_truncated()))),
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tonic::Code;

    use super::*;

    /// A body of some frames, then this end.
    struct TestBody {
        frames: usize,
        end: Option<Status>,
        end_stream: bool,
    }

    impl HttpBody for TestBody {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            if self.frames > 0 {
                self.frames -= 1;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"half")))));
            }
            Poll::Ready(self.end.take().map(Err))
        }

        fn is_end_stream(&self) -> bool {
            self.frames == 0 && self.end_stream
        }
    }

    #[tokio::test]
    async fn body_without_end_stream_is_truncated() {
        let read = async |end: Option<Status>, end_stream| {
            let body = Body::new(TestBody { frames: 1, end, end_stream });
            let mut request = Request::new(body);
            *request.version_mut() = Version::HTTP_2;
            let read = reject_truncated_bodies(request).into_body().collect().await;
            read.map(http_body_util::Collected::to_bytes).map_err(|status| status.code())
        };
        assert_eq!(read(None, true).await, Ok(Bytes::from_static(b"half")));
        // A reset without a reason, a cancellation, and a lost connection.
        for end in [None, Some(Status::cancelled("reset")), Some(Status::unknown("connection lost"))] {
            assert_eq!(read(end, false).await, Err(Code::Aborted));
        }
    }
}
