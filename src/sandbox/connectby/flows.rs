//! Seeded responses to WhatsApp Flows.

use serde_json::{Value, json};

use super::super::exchange::Request;
use super::super::reply::Reply;
use super::{IllegalEscape, PastTheEnd, page};

/// One full page and a part of the second.
const SEEDED: u64 = 23;
const FLOW_ID: &str = "9001112223334445";

pub(super) fn list(request: &Request, past_the_end: PastTheEnd, illegal_escape: IllegalEscape) -> Reply {
    let rows: Vec<Value> = (0..SEEDED).map(row).collect();
    let rows = match page(&rows, request, past_the_end) {
        Ok(rows) => rows,
        Err(refusal) => return refusal,
    };
    let body = json!({"flowdata": rows}).to_string();
    let body = match illegal_escape {
        IllegalEscape::InFlowResponse => body,
        IllegalEscape::InPage => body.replace(r"\\@", r"\@"),
    };
    Reply::new(200, "application/json", body)
}

/// The text of the first row's response contains the escape `\@`, which is not valid JSON.
fn row(index: u64) -> Value {
    let from_number = format!("9198123{index:05}");
    let token = format!("{from_number}-{FLOW_ID}");
    let flow_response = match index {
        0 => format!(
            r#"{{"screen_0_Name_0":"Asha","screen_0_Email_ID_4":"asha\@example.org","flow_token":"{token}"}}"#
        ),
        _ => {
            let name = format!("Guest {index}");
            json!({"screen_0_Name_0": name, "screen_0_Slot_1": "0_10:00_AM", "flow_token": token}).to_string()
        }
    };
    let at = (1_738_651_325 + 60 * index).to_string();
    json!({
        "flow_id": FLOW_ID,
        "from_number": from_number,
        "flow_response": flow_response,
        "updated_at": at,
        "created_at": at,
    })
}
