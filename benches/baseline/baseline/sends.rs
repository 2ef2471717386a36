//! The baseline for sends: a minimal tonic method that makes the HTTP call and returns the result. It has no validation,
//! no outcome table and no metrics. Every failure is INTERNAL.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use switchboard::pb::v1::{
    Channel, Message, MessageState, Provider, SendMessageRequest, SendMessageResponse, send_message_request,
};
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;
use ulid::Ulid;
use url::Url;

use crate::Result;
use crate::process::ListeningServer;
use crate::sample::{API_KEY, BUSINESS_ID};

#[derive(Clone)]
struct Baseline {
    client: Client,
    url: Url,
}

pub(crate) fn start(runtime: &Runtime, upstream: SocketAddr) -> Result<ListeningServer> {
    // The same settings as in `provider::http`.
    let client = Client::builder()
        .user_agent("baseline")
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(30))
        .build()?;
    let url = format!("http://{upstream}/v1/businesses/{BUSINESS_ID}/send/messages").parse()?;
    super::serve(runtime, Baseline { client, url })
}

#[derive(Serialize)]
struct Outgoing<'a> {
    recipient: Recipient<'a>,
    message: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recipient<'a> {
    id: &'a str,
    channel_type: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    id: String,
}

impl Baseline {
    async fn send(self, request: SendMessageRequest) -> Result<SendMessageResponse> {
        let Some(send_message_request::Content::Text(text)) = &request.content else {
            return Err("the request has no text".into());
        };
        let create_time = Some(SystemTime::now().into());
        let body = serde_json::to_vec(&Outgoing {
            recipient: Recipient { id: &request.to, channel_type: "whatsapp" },
            message: Text { text: &text.body },
        })?;
        let reply = self
            .client
            .post(self.url)
            .header("x-api-key", API_KEY)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?;
        let reply: Reply = serde_json::from_slice(&reply)?;
        let message = Message {
            message_id: format!("msg_{}", Ulid::generate()),
            provider_message_ids: vec![reply.id],
            account: request.account,
            provider: Provider::Connectly.into(),
            to: request.to,
            channel: Channel::Whatsapp.into(),
            state: MessageState::Accepted.into(),
            provider_state: String::new(),
            create_time,
            update_time: Some(SystemTime::now().into()),
            ..Message::default()
        };
        Ok(SendMessageResponse { message: Some(message), replayed: false })
    }
}

impl UnaryService<SendMessageRequest> for Baseline {
    type Response = SendMessageResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<SendMessageRequest>) -> Self::Future {
        let sending = self.clone().send(request.into_inner());
        Box::pin(async move {
            sending.await.map(Response::new).map_err(|error| Status::internal(error.to_string()))
        })
    }
}

impl NamedService for Baseline {
    const NAME: &'static str = "switchboard.v1.MessageService";
}

impl Service<http::Request<Body>> for Baseline {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(this, request).await) })
    }
}
