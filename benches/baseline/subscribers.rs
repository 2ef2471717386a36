//! Subscribers that count events without decoding them, which leaves the CPU cores to the server.

use bytes::Buf as _;
use http::uri::PathAndQuery;
use prost::Message as _;
use switchboard::pb::v1::subscribe_request::Start;
use switchboard::pb::v1::subscribe_response::Response;
use switchboard::pb::v1::{SubscribeRequest, SubscribeResponse};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::Result;
use crate::process::Server;

static SUBSCRIBE: PathAndQuery = PathAndQuery::from_static("/switchboard.v1.EventService/Subscribe");

/// The number of subscribers that connect at the same time.
const CONNECT_BATCH: usize = 50;

impl Server {
    /// The journal's newest cursor, as the start of a stream.
    pub(crate) async fn newest_cursor(&self, client: Grpc<Channel>) -> Result<Start> {
        let mut client = client;
        client.ready().await?;
        let request = Request::new(SubscribeRequest::default());
        let codec = ProstCodec::<SubscribeRequest, SubscribeResponse>::default();
        let mut stream = client.server_streaming(request, SUBSCRIBE.clone(), codec).await?.into_inner();
        match stream.message().await?.and_then(|first| first.response) {
            Some(Response::Started(started)) => Ok(Start::AfterCursor(started.cursor)),
            _ => Err("a stream did not start with `started`".into()),
        }
    }

    /// Opens `count` connections.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<Grpc<Channel>>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address()))?;
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            // The listener limits the connections that are being established, so connect in batches.
            let mut connecting = JoinSet::new();
            for _ in clients.len()..count.min(clients.len() + CONNECT_BATCH) {
                let endpoint = endpoint.clone();
                connecting.spawn(async move { endpoint.connect().await });
            }
            while let Some(channel) = connecting.join_next().await {
                clients.push(Grpc::new(channel??));
            }
        }
        Ok(clients)
    }
}

/// Opens a stream. Returns when the server has sent the response headers.
pub(crate) async fn subscribe(
    mut client: Grpc<Channel>,
    request: SubscribeRequest,
) -> Result<Streaming<bool>> {
    client.ready().await?;
    Ok(client.server_streaming(Request::new(request), SUBSCRIBE.clone(), Counting).await?.into_inner())
}

/// Reads the given number of events.
pub(crate) async fn count(mut stream: Streaming<bool>, events: usize) -> Result<Streaming<bool>> {
    let mut seen = 0;
    while seen < events {
        let event = stream.message().await?.ok_or("a stream ended early")?;
        seen += usize::from(event);
    }
    Ok(stream)
}

/// A codec that decodes only whether a `SubscribeResponse` is an event.
#[derive(Debug, Default)]
pub(crate) struct Counting;

/// The protobuf tag of `SubscribeResponse.event`: field 2, length-delimited.
const EVENT: u8 = 2 << 3 | 2;

impl Codec for Counting {
    type Encode = SubscribeRequest;
    type Decode = bool;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Counting {
    type Item = SubscribeRequest;
    type Error = Status;

    fn encode(&mut self, request: SubscribeRequest, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        request.encode(buf).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Counting {
    type Item = bool;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<bool>, Status> {
        let event = buf.chunk().first() == Some(&EVENT);
        buf.advance(buf.remaining());
        Ok(Some(event))
    }
}
