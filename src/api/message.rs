//! `MessageService`.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::deadline::deadline;
use super::served::v1::message_service_server::MessageService;
use super::{Api, convert, media, parse, status};
use crate::dispatch::Terms;
use crate::pb::v1::{
    GetConversationRequest, GetConversationResponse, GetMessageRequest, GetMessageResponse, SendMediaRequest,
    SendMediaResponse, SendMessageRequest, SendMessageResponse, SendMessagesRequest, SendMessagesResponse,
    WatchMessageRequest, WatchMessageResponse,
};

#[async_trait]
impl MessageService for Api {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let deadline = deadline(request.metadata());
        let (account, message) = parse::send_message(request.into_inner(), self.dispatch.accounts())?;
        let message = self
            .dispatch
            .send(Arc::clone(&account), message, Terms { deadline, ..Terms::default() })
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

    type SendMessagesStream = BoxStream<'static, Result<SendMessagesResponse, Status>>;

    async fn send_messages(
        &self,
        _: Request<Streaming<SendMessagesRequest>>,
    ) -> Result<Response<Self::SendMessagesStream>, Status> {
        todo!()
    }

    async fn get_message(
        &self,
        _: Request<GetMessageRequest>,
    ) -> Result<Response<GetMessageResponse>, Status> {
        todo!()
    }

    type WatchMessageStream = BoxStream<'static, Result<WatchMessageResponse, Status>>;

    async fn watch_message(
        &self,
        _: Request<WatchMessageRequest>,
    ) -> Result<Response<Self::WatchMessageStream>, Status> {
        todo!()
    }

    async fn get_conversation(
        &self,
        _: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        todo!()
    }
}
