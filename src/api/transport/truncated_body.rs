//! Request bodies that break off are errors, never ends.
//!
//! When a caller cancels, tonic ends the stream of its messages as if the caller had closed it (as hyper does when the
//! reset gives no reason): a file that was half uploaded would look whole. So whatever is no announced end (END_STREAM)
//! becomes a failure here, below tonic, with a code that it passes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::api::error::status;

/// Makes a request whose body fails when it ends before its end. Over HTTP/1.1 it does so by itself.
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

    /// One frame, then this end.
    struct TestBody {
        frames: usize,
        end: Option<Status>,
        announced: bool,
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
            self.frames == 0 && self.announced
        }
    }

    #[tokio::test]
    async fn only_an_announced_end_is_an_end() {
        let read = async |end: Option<Status>, announced| {
            let body = Body::new(TestBody { frames: 1, end, announced });
            let mut request = Request::new(body);
            *request.version_mut() = Version::HTTP_2;
            let read = reject_truncated_bodies(request).into_body().collect().await;
            read.map(http_body_util::Collected::to_bytes).map_err(|status| status.code())
        };
        assert_eq!(read(None, true).await, Ok(Bytes::from_static(b"half")));
        // A reset without a reason, a cancel, and a connection that broke.
        for end in [None, Some(Status::cancelled("reset")), Some(Status::unknown("broken"))] {
            assert_eq!(read(end, false).await, Err(Code::Aborted));
        }
    }
}
