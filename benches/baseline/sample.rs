//! Sample data: one account, texts of typical length, and events of 300 to 400 bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use sha2::Sha256;
use switchboard::api;
use switchboard::domain::event::{Identity, Party, Payload, ReportedContent, ReportedMessage};
use switchboard::domain::{Channel, Cursor, Event, EventId, Provider, UnixMillis};
use switchboard::pb::v1;
use switchboard::store::{Append, Stamp};
use ulid::Ulid;

pub(crate) const ACCOUNT: &str = "bench";
pub(crate) const BUSINESS_ID: &str = "bench-business";
pub(crate) const API_KEY: &str = "bench-key";
pub(crate) const WEBHOOK_SECRET: &str = "bench-webhook-secret";
pub(crate) const WEBHOOK_PATH: &str = "/webhooks/bench";
pub(crate) const SIGNATURE: &str = "x-connectly-hmac-sha256";

const CUSTOMER: &str = "+15550100001";
const BUSINESS: &str = "+15550100002";
const NAME: &str = "Ada Lovelace";
const TEXT: &str = "Hello, is the blue one still there in size 42? If so, please put it aside for me until Friday \
                    noon, I will come by. Thank you!";

/// A request to send the sample text.
pub(crate) fn send() -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        account: ACCOUNT.to_owned(),
        to: CUSTOMER.to_owned(),
        content: Some(v1::send_message_request::Content::Text(v1::Text { body: TEXT.to_owned() })),
        ..v1::SendMessageRequest::default()
    }
}

/// The body of a webhook for a message from a customer.
fn webhook_body(id: &str) -> String {
    format!(
        r#"{{"topic":"messages","timestamp":"1700000000","sender":{{"id":"{CUSTOMER}","channelType":"whatsapp","name":"{NAME}"}},"recipient":{{"id":"{BUSINESS}","channelType":"whatsapp","name":"Shop"}},"message":{{"id":"{id}","text":"{TEXT}"}}}}"#
    )
}

/// A signed HTTP/1.1 webhook request with a new message id.
pub(crate) fn webhook_request() -> Vec<u8> {
    webhook_request_with_id().1
}

/// A signed webhook request, together with the provider's id of its message.
pub(crate) fn webhook_request_with_id() -> (String, Vec<u8>) {
    let id = Ulid::generate().to_string();
    let body = webhook_body(&id);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let request = format!(
        "POST {WEBHOOK_PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         {SIGNATURE}: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    (id, request.into_bytes())
}

/// The event for such a webhook, before it is appended to the journal.
pub(crate) fn append() -> Append {
    let party = |number: &str, name: &str| Party {
        address: number.to_owned(),
        phone_number: number.to_owned(),
        user_id: String::new(),
        name: name.to_owned(),
        channel: Some(Channel::WhatsApp),
        ..Party::default()
    };
    let id = Ulid::generate().to_string();
    let raw = webhook_body(&id).into();
    Append {
        identity: Some(Identity::message(&id)),
        proof: None,
        event: Event {
            id: EventId::generate(),
            account: ACCOUNT.parse().expect("the account id is valid"),
            provider: Provider::CONNECTLY,
            occur_time: UnixMillis::from_seconds(1_700_000_000),
            callback_data: None,
            payload: Payload::MessageReceived(ReportedMessage {
                provider_message_id: id,
                sender: party(CUSTOMER, NAME),
                recipient: party(BUSINESS, "Shop"),
                reply_to: None,
                referral: None,
                content: ReportedContent::Text(TEXT.to_owned()),
                metadata_json: String::new(),
            }),
        },
        raw,
    }
}

/// The same event, as a subscriber receives it.
pub(crate) fn response() -> v1::SubscribeResponse {
    let stamp = Stamp {
        cursor: Cursor { epoch: u64::MAX / 3, sequence: 1_000_000 },
        receive_time: UnixMillis::now(),
        possible_duplicate_of: None,
        status_effect: None,
    };
    let bytes: Bytes = api::encode_event(&append().event, &stamp);
    let event = v1::Event::decode(bytes).expect("the encoded event can be decoded");
    v1::SubscribeResponse { response: Some(v1::subscribe_response::Response::Event(event)) }
}
