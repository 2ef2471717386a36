//! `MessageService`.

mod list;
pub(in crate::api) mod media;
mod send_messages;
mod watch;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::api::message::send_messages::{ResponseStream, send_messages};
use crate::api::request::deadline::deadline;
use crate::api::request::violations::Violations;
use crate::api::served::v1::message_service_server::MessageService;
use crate::api::{Api, error::status, request::parse, response::convert};
use crate::pb::v1::{
    GetMessageRequest, GetMessageResponse, ListMessagesRequest, ListMessagesResponse, SendMediaRequest,
    SendMediaResponse, SendMessageRequest, SendMessageResponse, SendMessagesRequest, WatchMessageRequest,
    WatchMessageResponse,
};

#[async_trait]
impl MessageService for Api {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let deadline = deadline(request.metadata());
        let violations = Violations::default();
        let parse::ParsedSend { account, message, options } =
            parse::send_message(request.into_inner(), self.dispatch.accounts(), deadline, violations)?;
        let message = self
            .dispatch
            .send(Arc::clone(&account), message, options)
            .await
            .map_err(|failure| status::send_failed(&account, &failure))?;
        Ok(Response::new(SendMessageResponse {
            message: Some(convert::message(message.value)),
            replayed: message.replayed,
        }))
    }

    async fn send_media(
        &self,
        request: Request<Streaming<SendMediaRequest>>,
    ) -> Result<Response<SendMediaResponse>, Status> {
        media::send_media(self, request).await
    }

    type SendMessagesStream = ResponseStream;

    async fn send_messages(
        &self,
        request: Request<Streaming<SendMessagesRequest>>,
    ) -> Result<Response<Self::SendMessagesStream>, Status> {
        let deadline = deadline(request.metadata());
        Ok(Response::new(send_messages(self, request.into_inner(), deadline)))
    }

    async fn get_message(
        &self,
        request: Request<GetMessageRequest>,
    ) -> Result<Response<GetMessageResponse>, Status> {
        watch::get(self, request.into_inner()).await.map(Response::new)
    }

    type WatchMessageStream = BoxStream<'static, Result<WatchMessageResponse, Status>>;

    async fn watch_message(
        &self,
        request: Request<WatchMessageRequest>,
    ) -> Result<Response<Self::WatchMessageStream>, Status> {
        watch::watch(self, request.into_inner()).await.map(Response::new)
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        list::list(self, request.into_inner()).await.map(Response::new)
    }
}
