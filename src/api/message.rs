//! `MessageService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::served::v1::message_service_server::MessageService;
use super::{Api, convert, media, parse, status};
use crate::pb::v1::{SendMediaRequest, SendMediaResponse, SendMessageRequest, SendMessageResponse};

#[async_trait]
impl MessageService for Api {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let (account, message) = parse::send_message(request.into_inner(), self.dispatch.accounts())?;
        let message = self
            .dispatch
            .send(Arc::clone(&account), message)
            .await
            .map_err(|failure| status::send_failed(&account, &failure))?;
        Ok(Response::new(SendMessageResponse { message: Some(convert::message(message)) }))
    }

    async fn send_media(
        &self,
        request: Request<Streaming<SendMediaRequest>>,
    ) -> Result<Response<SendMediaResponse>, Status> {
        media::send_media(self, request).await
    }
}
