//! Request bodies that break off are errors, never ends.
//!
//! When a caller cancels, hyper ends the body of its request as if the caller had closed it: a file that was half
//! uploaded would look whole. What tells the two apart is whether the end was announced (END_STREAM).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use super::status;

/// Makes a request whose body fails when it ends before its end.
pub fn unbroken(request: Request<Body>) -> Request<Body> {
    request.map(|body| Body::new(Unbroken(body)))
}

#[derive(Debug)]
struct Unbroken(Body);

impl HttpBody for Unbroken {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            None if !self.0.is_end_stream() => Poll::Ready(Some(Err(status::request_broken_off()))),
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
