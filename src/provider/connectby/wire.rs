//! ConnectBy's JSON.

use serde::Serialize;

use super::super::Accepted;
use super::super::json::Object;
use crate::domain::PhoneNumber;

/// The body of "send text": `{"to_number", "message"}`, the number in digits alone.
pub(super) fn send_text(to: &PhoneNumber, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        to_number: &'a str,
        message: &'a str,
    }
    serde_json::to_vec(&Body { to_number: to.digits(), message }).expect("strings are always JSON")
}

/// The ids and state in a reply, under `responseData` or each item of `responseDataArray`.
pub(super) fn accepted(reply: &Object<'_>) -> Accepted {
    let mut accepted = Accepted { provider_ids: Vec::new(), provider_state: None };
    let one = reply.object(&["responseData", "response_data"]);
    let many = reply.objects(&["responseDataArray", "response_data_array"]);
    for data in one.into_iter().chain(many) {
        for message in data.objects(&["messages"]) {
            accepted.provider_ids.extend(message.text(&["id"]));
            if accepted.provider_state.is_none() {
                accepted.provider_state = message.text(&["message_status", "messageStatus"]);
            }
        }
    }
    accepted
}
