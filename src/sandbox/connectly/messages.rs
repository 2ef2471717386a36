//! The checks of a send. If a send has several errors, the first check decides the reply.

use std::time::Duration;

use serde_json::{Value, json};
use ulid::Ulid;
use url::Url;

use super::super::exchange::Request;
use super::super::reply::Reply;
use super::error;
use super::lifecycle::Customer;
use super::state::State;

const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_CALLBACK_DATA_BYTES: usize = 1024;

/// An accepted send.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) id: String,
    pub(super) customer: Customer,
    pub(super) channel: &'static str,
    pub(super) callback_data: Option<Value>,
    pub(super) campaign_name: Option<String>,
    /// A short description of what the customer sees.
    pub(super) summary: String,
    /// The message as an echo shows it.
    pub(super) echo: Value,
}

/// `send/messages`.
pub(super) fn session(state: &State, request: &Request) -> Result<Accepted, Reply> {
    let body = object(request)?;
    check_sender(state, &body["sender"]["id"])?;
    let recipient = &body["recipient"];
    if recipient["userId"].is_string() && !recipient["id"].is_string() {
        return Err(error::malformed("Sending to a user id alone is not yet available"));
    }
    let address = address(state, &recipient["id"], "")?;
    let channel = match recipient["channelType"].as_str() {
        Some("whatsapp") => "whatsapp",
        Some("sms") => "sms",
        _ => return Err(error::malformed("recipient.channelType must be whatsapp or sms")),
    };
    let message = &body["message"];
    let summary = check_content(message, channel)?;
    let name = optional_text(&recipient["name"], "recipient.name")?;
    let campaign_name = optional_text(&body["campaignName"], "campaignName")?;
    let callback_data = callback_data(&body)?;
    if state.options.enforce_window && channel == "whatsapp" {
        check_window(state, &address)?;
    }
    Ok(Accepted {
        id: Ulid::generate().to_string(),
        customer: Customer::new(&address, name.as_deref()),
        channel,
        callback_data,
        campaign_name,
        summary,
        echo: json!({
            "text": message["text"].as_str().unwrap_or_default(),
            "attachments": message["attachments"].as_array().cloned().unwrap_or_default(),
            "location": message["location"],
        }),
    })
}

/// `send/whatsapp_templated_messages`.
pub(super) fn templated(state: &State, request: &Request) -> Result<Accepted, Reply> {
    let body = object(request)?;
    check_sender(state, &body["sender"])?;
    let address = address(state, &body["number"], "bsuid:")?;
    let name = body["templateName"].as_str().unwrap_or_default();
    state.templates.check_send(name, body["language"].as_str(), &body["parameters"])?;
    Ok(Accepted {
        id: Ulid::generate().to_string(),
        customer: Customer::new(&address, None),
        channel: "whatsapp",
        callback_data: callback_data(&body)?,
        campaign_name: optional_text(&body["campaignName"], "campaignName")?,
        summary: name.to_owned(),
        echo: json!({"text": name, "attachments": [], "location": null}),
    })
}

fn object(request: &Request) -> Result<Value, Reply> {
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(error::malformed("The body is not a JSON object")),
    }
}

/// A text that may be absent or null.
fn optional_text(given: &Value, field: &str) -> Result<Option<String>, Reply> {
    match given {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(error::malformed(&format!("{field} must be a string"))),
    }
}

fn check_sender(state: &State, sender: &Value) -> Result<(), Reply> {
    match sender.as_str() {
        None | Some("") => Ok(()),
        Some(number) if number == state.options.business_number => Ok(()),
        Some(_) => Err(error::invalid("ERROR_CODE_INVALID_SENDER_ID", "The sender is not your number")),
    }
}

/// Reads a number in E.164, with any punctuation, or a business-scoped user id after its prefix.
fn address(state: &State, given: &Value, user_id_prefix: &str) -> Result<String, Reply> {
    let given = given.as_str().unwrap_or_default();
    if let Some(user_id) = given.strip_prefix(user_id_prefix).filter(|id| is_user_id(id)) {
        return Ok(user_id.to_owned());
    }
    let number: String = given.chars().filter(|c| !" ()-.".contains(*c)).collect();
    let digits = number.strip_prefix('+').unwrap_or_default();
    if !((7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())) {
        let message = "The recipient is not a number in E.164 format";
        return Err(error::invalid("ERROR_CODE_PHONE_NUMBER_BAD_FORMAT", message));
    }
    if number == state.options.business_number {
        return Err(error::invalid("ERROR_CODE_MESSAGE_SELF_INVALID", "You cannot write to yourself"));
    }
    Ok(number)
}

/// Whether the text is a business-scoped user id, `US.123` or `US.ENT.123`.
pub(super) fn is_user_id(text: &str) -> bool {
    text.split_once('.').is_some_and(|(country, id)| {
        let id = id.strip_prefix("ENT.").unwrap_or(id);
        country.len() == 2
            && country.bytes().all(|b| b.is_ascii_uppercase())
            && (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Checks that the message has content, and returns a short description of it.
fn check_content(message: &Value, channel: &str) -> Result<String, Reply> {
    let text = message["text"].as_str().unwrap_or_default();
    let attachments = message["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    match attachments {
        [] => {}
        [attachment] if channel == "whatsapp" => return check_attachment(attachment),
        [_] => return Err(error::malformed("An SMS has no attachments")),
        _ => {
            let message = "Exactly one attachment is allowed";
            return Err(error::invalid("ERROR_CODE_MESSAGE_ATTACHMENTS_NUMBER_INVALID", message));
        }
    }
    if !message["location"].is_null() {
        return check_location(&message["location"], channel);
    }
    if text.is_empty() && !message["singleProductMessage"].is_object() {
        return Err(error::invalid("ERROR_CODE_MESSAGE_TEXT_EMPTY", "Message text is empty"));
    }
    Ok(if text.is_empty() { "that".to_owned() } else { text.to_owned() })
}

fn check_attachment(attachment: &Value) -> Result<String, Reply> {
    let kind = attachment["type"].as_str().unwrap_or_default();
    let url = attachment["url"].as_str().unwrap_or_default();
    if url.is_empty() {
        return Err(error::invalid("ERROR_CODE_MESSAGE_ATTACHMENT_EMPTY", "The attachment has no URL"));
    }
    let reachable = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !reachable || !["image", "video", "audio", "document"].contains(&kind) {
        return Err(error::invalid("ERROR_CODE_MESSAGE_ATTACHMENT_INVALID", "The attachment is invalid"));
    }
    Ok(format!("the {kind}"))
}

fn check_location(location: &Value, channel: &str) -> Result<String, Reply> {
    if channel != "whatsapp" {
        return Err(error::malformed("An SMS has no location"));
    }
    for (field, max) in [("latitude", 90.0), ("longitude", 180.0)] {
        if !location[field].as_f64().is_some_and(|degrees| (-max..=max).contains(&degrees)) {
            let message = format!("location.{field} must be a number from -{max} to {max}");
            return Err(error::malformed(&message));
        }
    }
    optional_text(&location["name"], "location.name")?;
    optional_text(&location["address"], "location.address")?;
    Ok("the location".to_owned())
}

fn callback_data(body: &Value) -> Result<Option<Value>, Reply> {
    match &body["callbackData"] {
        Value::Null => Ok(None),
        data if data.to_string().len() > MAX_CALLBACK_DATA_BYTES => {
            Err(error::malformed("callbackData must not be larger than 1024 bytes"))
        }
        data => Ok(Some(data.clone())),
    }
}

fn check_window(state: &State, address: &str) -> Result<(), Reply> {
    match state.customers.since_last_message(address) {
        Some(silence) if silence <= WINDOW => Ok(()),
        Some(_) => Err(error::reply(
            400,
            "ERROR_TYPE_DEADLINE_EXCEEDED",
            "ERROR_CODE_MESSAGE_OUTSIDE_OF_ELIGIBILITY_WINDOW",
            "The customer last wrote more than 24 hours ago",
        )),
        None => Err(error::reply(
            400,
            "ERROR_TYPE_FAILED_PRECONDITION",
            "ERROR_CODE_MESSAGE_CUSTOMER_NO_CONVERSATION_INITIATION",
            "The customer never wrote",
        )),
    }
}
