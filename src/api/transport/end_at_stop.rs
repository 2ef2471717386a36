//! Health watches and reflection streams end when the server stops.
//!
//! Their services are tonic's, and end a stream only when the client does. A stop would wait for such streams until the
//! grace period is over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::api::error::status;

/// A service whose responses end with UNAVAILABLE when `stopping` is cancelled and nothing more is ready.
#[derive(Clone, Debug)]
pub(in crate::api) struct EndAtStop<S> {
    pub(in crate::api) service: S,
    pub(in crate::api) stopping: CancellationToken,
}

impl<S: NamedService> NamedService for EndAtStop<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for EndAtStop<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stopping = self.stopping.clone();
        // The request ends too. tonic's reflection reads it in a task of its own, which would keep the stream open.
        let request = request.map(|body| StoppableBody::wrap(body, End::Error, &stopping));
        let responding = self.service.call(request);
        Box::pin(async move {
            Ok(responding.await?.map(|body| StoppableBody::wrap(body, End::Trailers, &stopping)))
        })
    }
}

struct StoppableBody {
    body: Body,
    end: End,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

/// How a body ends when the server stops.
#[derive(Clone, Copy)]
enum End {
    /// A request fails.
    Error,
    /// A response reports the status to the client.
    Trailers,
}

impl StoppableBody {
    fn wrap(body: Body, end: End, stopping: &CancellationToken) -> Body {
        let stopped = Box::pin(stopping.clone().cancelled_owned());
        Body::new(Self { body, end, stopped, ended: false })
    }
}

impl HttpBody for StoppableBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The body first, so that a watch still reports NOT_SERVING.
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending() && self.stopped.as_mut().poll(cx).is_ready() {
            self.ended = true;
            let stopping = status::stopping();
            return Poll::Ready(Some(match self.end {
                End::Error => Err(stopping),
                End::Trailers => {
                    let mut trailers = http::HeaderMap::new();
                    stopping.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
                }
            }));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
