//! `MessageService.ListMessages`.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::api::Api;
use crate::api::call::Call;
use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::api::request::{page_token, paging, parse, position};
use crate::api::response::convert;
use crate::domain::{Address, CustomerKey, MessageState, UnixMillis};
use crate::pb::v1;
use crate::store::{MessagePosition, MessageQuery};

const RPC: &str = "MessageService.ListMessages";

/// The maximum length of a name in the filter, in characters.
const MAX_NAME_CHARACTERS: usize = 512;

/// What a page token holds: the last message examined, and the filter that the list belongs to.
type TokenPosition = (i64, String, String);

pub(in crate::api) async fn list_messages(
    api: &Api,
    call: Call<v1::ListMessagesRequest>,
) -> Result<v1::ListMessagesResponse, Status> {
    let v1::ListMessagesRequest { account, filter, page_size, page_token } = call.message;
    let mut violations = Violations::default();
    let account = parse::account("account", &account, api.dispatch.accounts(), &mut violations)?;
    let size = paging::page_size(page_size, &mut violations);
    let filter = filter.unwrap_or_default();
    let fingerprint = fingerprint(&filter);
    let customer = (!filter.customer.is_empty())
        .then(|| parse::required::<Address>("filter.customer", &filter.customer, &mut violations));
    let state = state(filter.state, &mut violations);
    let template_name = name("filter.template_name", filter.template_name, &mut violations);
    let campaign_name = name("filter.campaign_name", filter.campaign_name, &mut violations);
    let start = filter.start_time.map(|time| position::time("filter.start_time", time, &mut violations));
    let end = filter.end_time.map(|time| position::time("filter.end_time", time, &mut violations));
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        violations.add(
            "filter.end_time",
            ViolationReason::OutOfRange,
            "must not be before `filter.start_time`",
        );
    }
    let account = violations.all(account)?;
    let token: Option<TokenPosition> = page_token::decode(RPC, Some(account.id()), &page_token)?;
    let after = token.map(|(create_ms, id, of)| {
        let id = id.parse().ok().filter(|_| of == fingerprint);
        id.map(|id| MessagePosition { create_time: UnixMillis(create_ms), id })
            .ok_or_else(status::page_token_malformed)
    });
    let query = MessageQuery {
        account: account.id().clone(),
        customer: customer.flatten().map(|address| CustomerKey::of(&address)),
        state,
        template_name,
        campaign_name,
        start: start.unwrap_or(UnixMillis(i64::MIN)),
        end,
        after: after.transpose()?,
    };
    let page = api.messages.list(query, size).await.map_err(|_| status::store_unreadable())?;

    let mut next = page.next;
    let (mut messages, mut bytes, mut last) = (Vec::with_capacity(page.messages.len()), 0, None);
    for message in page.messages {
        let position = MessagePosition { create_time: message.create_time, id: message.id };
        let message = convert::message(message);
        bytes += paging::item_size(&message);
        if bytes > paging::MAX_PAGE_BYTES && !messages.is_empty() {
            next = last;
            break;
        }
        messages.push(message);
        last = Some(position);
    }
    let next_page_token = next.map_or_else(String::new, |MessagePosition { create_time, id }| {
        let position: TokenPosition = (create_time.0, id.to_string(), fingerprint);
        page_token::encode(RPC, Some(account.id()), &position)
    });
    Ok(v1::ListMessagesResponse { messages, next_page_token })
}

/// Identifies a filter, so that a token is not used with another one.
fn fingerprint(filter: &v1::MessageFilter) -> String {
    Sha256::digest(filter.encode_to_vec())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(field: &str, name: String, violations: &mut Violations) -> Option<String> {
    parse::check_length(field, &name, MAX_NAME_CHARACTERS, violations);
    Some(name).filter(|name| !name.is_empty())
}

fn state(state: i32, violations: &mut Violations) -> Option<MessageState> {
    Some(match v1::MessageState::try_from(state) {
        Ok(v1::MessageState::Unspecified) => return None,
        Ok(v1::MessageState::Pending) => MessageState::Pending,
        Ok(v1::MessageState::Unknown) => MessageState::Unknown,
        Ok(v1::MessageState::Accepted) => MessageState::Accepted,
        Ok(v1::MessageState::Sent) => MessageState::Sent,
        Ok(v1::MessageState::Failed) => MessageState::Failed,
        Ok(v1::MessageState::Delivered) => MessageState::Delivered,
        Ok(v1::MessageState::Read) => MessageState::Read,
        Err(_) => {
            violations.add("filter.state", ViolationReason::UnknownValue, "must be a MessageState");
            return None;
        }
    })
}
