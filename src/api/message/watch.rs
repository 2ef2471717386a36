//! The state of messages: `GetMessage` and `WatchMessage`.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::Status;

use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::{Api, request::parse, response::convert};
use crate::dispatch::Cause;
use crate::domain::MessageId;
use crate::messages::{Update, WatchEnd};
use crate::pb::v1;
use crate::pb::v1::watch_message_response::Response;
use crate::provider::{Account, Error};
use crate::store::MessageKey;

/// The maximum length of a provider's message id, in characters.
const MAX_PROVIDER_ID_CHARACTERS: usize = 512;

/// `MessageService.GetMessage`.
pub(in crate::api) async fn get_message(
    api: &Api,
    call: Call<v1::GetMessageRequest>,
) -> Result<v1::GetMessageResponse, Status> {
    use v1::get_message_request::Key;
    let request = call.message;
    let key = request.key.map(|key| match key {
        Key::MessageId(id) => RequestedKey::Message(id),
        Key::ProviderMessageId(id) => RequestedKey::Provider(id),
        Key::RequestId(id) => RequestedKey::Request(id),
    });
    let (account, key) = parse_key(api, &request.account, key)?;
    let found = api.messages.find(account.id(), &key).await.map_err(|_| status::store_unreadable())?;
    let message = found.ok_or_else(|| status::message_not_found(account.id()))?;
    Ok(v1::GetMessageResponse { message: Some(convert::message(message)) })
}

/// `MessageService.WatchMessage`.
pub(in crate::api) async fn watch_message(
    api: &Api,
    call: Call<v1::WatchMessageRequest>,
) -> Result<BoxStream<'static, Result<v1::WatchMessageResponse, Status>>, Status> {
    use v1::watch_message_request::Key;
    let request = call.message;
    let key = request.key.map(|key| match key {
        Key::MessageId(id) => RequestedKey::Message(id),
        Key::ProviderMessageId(id) => RequestedKey::Provider(id),
        Key::RequestId(id) => RequestedKey::Request(id),
    });
    let (account, key) = parse_key(api, &request.account, key)?;
    let account = Arc::clone(account);
    let messages = api.messages.watch(account.id(), &key).await.map_err(|_| status::store_unreadable())?;
    let messages = messages.ok_or_else(|| status::message_not_found(account.id()))?;
    let stopping = api.stopping.clone();
    let responses = stream::unfold(Some(messages), move |messages| {
        let (account, stopping) = (Arc::clone(&account), stopping.clone());
        async move {
            let mut messages = messages?;
            let update = tokio::select! {
                biased;
                update = messages.next() => update,
                () = stopping.cancelled() => return Some((Err(status::stopping()), None)),
            };
            Some(match update {
                Ok(Update::Message(message)) => {
                    (Ok(Response::Message(convert::message(*message))), Some(messages))
                }
                Ok(Update::Ended(end)) => (Ok(Response::Ended(ended(&account, end))), None),
                Err(_) => (Err(status::store_unreadable()), None),
            })
        }
    });
    let response = |response| v1::WatchMessageResponse { response: Some(response) };
    Ok(responses.map(move |item| item.map(response)).boxed())
}

/// The key of a message, as in the request.
enum RequestedKey {
    Message(String),
    Provider(String),
    Request(String),
}

fn parse_key<'a>(
    api: &'a Api,
    account: &str,
    key: Option<RequestedKey>,
) -> Result<(&'a Arc<Account>, MessageKey), Status> {
    let mut violations = Violations::default();
    let account = parse::account("account", account, api.dispatch.accounts(), &mut violations)?;
    let key = match key {
        Some(RequestedKey::Message(id)) => {
            parse::required::<MessageId>("message_id", &id, &mut violations).map(MessageKey::Id)
        }
        Some(RequestedKey::Provider(id)) => {
            if id.is_empty() {
                violations.add("provider_message_id", ViolationReason::Required, "must be given");
            }
            parse::check_length("provider_message_id", &id, MAX_PROVIDER_ID_CHARACTERS, &mut violations);
            Some(MessageKey::Provider(id))
        }
        Some(RequestedKey::Request(id)) => {
            parse::required("request_id", &id, &mut violations).map(MessageKey::Request)
        }
        None => {
            let problem = "must be given: `message_id`, `provider_message_id` or `request_id`";
            violations.add("key", ViolationReason::Required, problem);
            None
        }
    };
    Ok(violations.all((account, key))?)
}

fn ended(account: &Account, end: WatchEnd) -> v1::WatchEnded {
    let (reason, failure) = match end {
        WatchEnd::Terminal => (v1::WatchEndReason::Terminal, None),
        WatchEnd::NotTracked => (v1::WatchEndReason::NotTracked, None),
        WatchEnd::Expired => (v1::WatchEndReason::Expired, None),
        WatchEnd::NotDone(failure) => {
            let refused = matches!(&*failure.source, Cause::Provider(Error::Refused(_)));
            let reason = if refused { v1::WatchEndReason::Refused } else { v1::WatchEndReason::NotSent };
            (reason, Some(status::send_error(account, &failure)))
        }
    };
    v1::WatchEnded { reason: reason.into(), failure }
}
