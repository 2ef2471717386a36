//! ConnectBy's JSON bodies.

use serde::Serialize;

use super::super::AcceptedMessage;
use super::super::json::Object;
use crate::domain::PhoneNumber;

/// The body of "send text": `{"to_number", "message"}`. The number has digits only.
pub(super) fn send_text(to: &PhoneNumber, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        to_number: &'a str,
        message: &'a str,
    }
    serde_json::to_vec(&Body { to_number: to.digits(), message }).expect("strings are always JSON")
}

/// The ids and the state in a reply, under `responseData` or in each item of `responseDataArray`. Each of the two may
/// be an object or an array of objects.
pub(super) fn accepted(reply: &Object<'_>) -> AcceptedMessage {
    let mut accepted =
        AcceptedMessage { provider_ids: Vec::new(), provider_state: None, recipient_wa_id: None };
    const KEYS: [&[&str]; 2] =
        [&["responseData", "response_data"], &["responseDataArray", "response_data_array"]];
    let data = KEYS.into_iter().flat_map(|keys| reply.object(keys).into_iter().chain(reply.objects(keys)));
    for data in data {
        if accepted.recipient_wa_id.is_none() {
            let mut contacts = data.objects(&["contacts"]).into_iter();
            accepted.recipient_wa_id = contacts.find_map(|contact| contact.text(&["wa_id", "waId"]));
        }
        for message in data.objects(&["messages"]) {
            accepted.provider_ids.extend(message.text(&["id"]));
            if accepted.provider_state.is_none() {
                accepted.provider_state = message.text(&["message_status", "messageStatus"]);
            }
        }
    }
    accepted
}
