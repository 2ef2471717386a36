//! Ends streams of services that other crates implement: health's `Watch`, and reflection.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use crate::api::error::status;

/// Makes a response end with `SERVER_STOPPING` at a stop. What the response has to send until then is sent first.
pub(in crate::api) fn end_at_stop(
    stopping: CancellationToken,
) -> impl Fn(Response<Body>) -> Response<Body> + Clone + Send + Sync {
    move |response| {
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        response.map(|body| Body::new(EndAtStop { body, stopped, end: Some(trailers) }))
    }
}

/// Makes a stream of requests fail at a stop. A service that waits for the next request would keep the stream, and with
/// it the connection, open.
pub(in crate::api) fn end_requests_at_stop(
    stopping: CancellationToken,
) -> impl Fn(Request<Body>) -> Request<Body> + Clone + Send + Sync {
    move |request| {
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        request.map(|body| Body::new(EndAtStop { body, stopped, end: Some(|| Err(status::stopping())) }))
    }
}

/// The end of a response: the status of the call.
fn trailers() -> LastFrame {
    let mut trailers = HeaderMap::new();
    status::stopping().add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

type LastFrame = Result<Frame<Bytes>, Status>;

struct EndAtStop {
    body: Body,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Makes the last frame. Absent after it.
    end: Option<fn() -> LastFrame>,
}

impl HttpBody for EndAtStop {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.end.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.stopped.as_mut().poll(cx).map(|()| self.end.take().map(|end| end()))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
