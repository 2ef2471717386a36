//! The baseline for delivery: a minimal tonic stream from a broadcast channel of messages. Each stream encodes every
//! message again. It has no journal, no cursor, no filter and no heartbeat.
//!
//! The channel holds a whole burst. A subscriber that lags by more than that would lose events, so its stream would fail.

use std::convert::Infallible;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};
use switchboard::pb::v1::{SubscribeRequest, SubscribeResponse};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::process::{ListeningServer, LocalServer};
use crate::{Result, sample};

/// Larger than every burst.
const CAPACITY: usize = 1 << 17;

/// The server, and the channel that its streams read from.
struct Feed<T> {
    listening: ListeningServer,
    events: broadcast::Sender<T>,
    event: T,
}

#[derive(Clone)]
struct Baseline<T> {
    events: broadcast::Sender<T>,
}

/// A message that all subscribers share instead of receiving a clone. It needs slightly more code than the minimum.
#[derive(Clone, Debug)]
struct Shared(Arc<SubscribeResponse>);

/// The minimal code: the channel clones the message for each subscriber.
pub(crate) fn start_cloning(runtime: &Runtime) -> Result<impl LocalServer + use<>> {
    start(runtime, sample::response())
}

/// Subscribers share the message, and each stream encodes it.
pub(crate) fn start_sharing(runtime: &Runtime) -> Result<impl LocalServer + use<>> {
    start(runtime, Shared(Arc::new(sample::response())))
}

fn start<T: Message + Clone + 'static>(runtime: &Runtime, event: T) -> Result<Feed<T>> {
    let events = broadcast::Sender::new(CAPACITY);
    let listening = super::serve(runtime, Baseline { events: events.clone() })?;
    Ok(Feed { listening, events, event })
}

impl<T: Message + Clone> LocalServer for Feed<T> {
    fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    fn publish(&mut self, _: &Runtime, events: usize) -> Result<()> {
        for _ in 0..events {
            // `send` fails without subscribers, which is not an error here.
            let _ = self.events.send(self.event.clone());
        }
        Ok(())
    }
}

impl<T: Message + Clone + 'static> ServerStreamingService<SubscribeRequest> for Baseline<T> {
    type Response = T;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _: Request<SubscribeRequest>) -> Self::Future {
        let events = BroadcastStream::new(self.events.subscribe())
            .map(|event| event.map_err(|lagged| Status::data_loss(lagged.to_string())));
        Box::pin(async move { Ok(Response::new(Box::pin(events) as Self::ResponseStream)) })
    }
}

impl<T> NamedService for Baseline<T> {
    const NAME: &'static str = "switchboard.v1.EventService";
}

impl<T: Message + Clone + 'static> Service<http::Request<Body>> for Baseline<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<T, SubscribeRequest>::default();
            Ok(Grpc::new(codec).server_streaming(this, request).await)
        })
    }
}

impl Message for Shared {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.0.encode_raw(buf);
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: WireType,
        _: &mut impl Buf,
        _: DecodeContext,
    ) -> Result<(), DecodeError> {
        unreachable!("the server only encodes this message")
    }

    fn clear(&mut self) {
        self.0 = Arc::default();
    }
}
