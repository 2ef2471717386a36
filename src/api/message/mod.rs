//! `MessageService`.

pub(in crate::api) mod list;
pub(in crate::api) mod media;
pub(in crate::api) mod send_messages;
pub(in crate::api) mod watch;

use std::sync::Arc;

use tonic::Status;

use crate::api::call::Call;
use crate::api::request::violations::Violations;
use crate::api::{Api, error::status, request::parse, response::convert};
use crate::pb::v1::{SendMessageRequest, SendMessageResponse};

/// `MessageService.SendMessage`.
pub(in crate::api) async fn send_message(
    api: &Api,
    call: Call<SendMessageRequest>,
) -> Result<SendMessageResponse, Status> {
    let Call { deadline, message: request, .. } = call;
    let parse::ParsedSend { account, message, options } =
        parse::send_message(request, api.dispatch.accounts(), deadline, Violations::default())?;
    let message = api
        .dispatch
        .send(Arc::clone(&account), message, options)
        .await
        .map_err(|failure| status::send_failed(&account, &failure))?;
    Ok(SendMessageResponse { message: Some(convert::message(message.value)), replayed: message.replayed })
}
