//! `MessageService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, async_trait};

use super::served::v1::message_service_server::MessageService;
use super::{Api, convert, parse, status};
use crate::pb::v1::{SendMessageRequest, SendMessageResponse};

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
            .map_err(|failure| status::send_failed(account.id(), account.provider(), &failure))?;
        Ok(Response::new(SendMessageResponse { message: Some(convert::message(message)) }))
    }
}
