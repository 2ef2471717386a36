//! `ConversationService`: whether the 24-hour session window of a customer is open.

use tonic::Status;

use crate::api::Api;
use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::parse;
use crate::api::request::violations::Violations;
use crate::api::response::convert;
use crate::domain::message::SESSION_WINDOW;
use crate::domain::{Address, PhoneNumber, UnixMillis};
use crate::pb::v1;

/// `ConversationService.GetConversation`.
pub(in crate::api) async fn get_conversation(
    api: &Api,
    call: Call<v1::GetConversationRequest>,
) -> Result<v1::GetConversationResponse, Status> {
    let request = call.message;
    let mut violations = Violations::default();
    let account = parse::account("account", &request.account, api.dispatch.accounts(), &mut violations)?;
    let customer = parse::required::<Address>("customer", &request.customer, &mut violations);
    let sender = request.sender.as_deref();
    let sender = sender.map(|sender| parse::required::<PhoneNumber>("sender", sender, &mut violations));
    let (account, customer) = violations.all((account, customer))?;
    let sender = sender.flatten();
    let last = api
        .messages
        .last_received(account.id(), &customer, sender.as_ref())
        .await
        .map_err(|_| status::store_unreadable())?;
    let expires = last.map(|last| last.plus(SESSION_WINDOW));
    let conversation = v1::Conversation {
        account: account.id().to_string(),
        customer: customer.to_string(),
        sender: sender.map(|sender| sender.to_string()).unwrap_or_default(),
        last_received_time: last.map(convert::timestamp),
        session_expire_time: expires.map(convert::timestamp),
        session_open: expires.is_some_and(|expires| expires > UnixMillis::now()),
    };
    Ok(v1::GetConversationResponse { conversation: Some(conversation) })
}
