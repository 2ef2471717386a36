//! Template sends to ConnectBy. The body contains the parameter values in Meta's form and the template itself, exactly
//! as the list returned it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::super::{IssueKind, ValidationIssue};
use crate::domain::Location;
use crate::domain::PhoneNumber;
use crate::domain::template::{
    Button, ButtonValue, Definition, Filled, Header, HeaderMedia, Parameter, Value,
};

/// The issues that keep ConnectBy from sending this template message.
pub(super) fn validate(filled: &Filled) -> Vec<ValidationIssue> {
    let missing_language = filled.language.is_empty().then(|| ValidationIssue {
        field: Cow::Borrowed("template.language"),
        kind: IssueKind::Missing,
        problem: "must be given: ConnectBy has no default".to_owned(),
    });
    missing_language.into_iter().collect()
}

/// The body of "send template". `components` is omitted if there are neither values nor the client's own components.
pub(super) fn body(to: &PhoneNumber, filled: &Filled, template: &Definition) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a> {
        to_number: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        components: Option<ComponentList<'a>>,
        template: &'a RawValue,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum ComponentList<'a> {
        /// Made from the typed fields.
        Typed(Vec<Json>),
        /// The client's JSON, byte for byte, without white space around it.
        Raw(&'a RawValue),
    }
    let raw = |json| serde_json::from_str::<&RawValue>(json).expect("checked when it was parsed");
    let components = match &filled.components_json {
        Some(json) => Some(ComponentList::Raw(raw(json.as_str()))),
        None => Some(components(filled)).filter(|typed| !typed.is_empty()).map(ComponentList::Typed),
    };
    let body = Body { to_number: to.digits(), components, template: raw(&template.raw_json) };
    serde_json::to_vec(&body).expect("plain data is always JSON")
}

fn components(filled: &Filled) -> Vec<Json> {
    let header =
        filled.header.as_ref().map(|filled| json!({"type": "header", "parameters": [header(filled)]}));
    let body = (!filled.body.is_empty()).then(|| {
        let parameters: Vec<Json> = filled.body.iter().map(parameter).collect();
        json!({"type": "body", "parameters": parameters})
    });
    header.into_iter().chain(body).chain(filled.buttons.iter().map(button)).collect()
}

fn header(header: &Header) -> Json {
    match header {
        Header::Text(text) => parameter(text),
        Header::Image(media) => json!({"type": "image", "image": link(media)}),
        Header::Video(media) => json!({"type": "video", "video": link(media)}),
        Header::Document(media) => json!({"type": "document", "document": link(media)}),
        Header::Location(Location { latitude, longitude, name, address }) => {
            let mut location = json!({"latitude": latitude, "longitude": longitude});
            for (key, text) in [("name", name), ("address", address)] {
                if !text.is_empty() {
                    location[key] = json!(text);
                }
            }
            json!({"type": "location", "location": location})
        }
    }
}

fn link(media: &HeaderMedia) -> Json {
    let mut link = json!({"link": media.url});
    if !media.file_name.is_empty() {
        link["filename"] = json!(media.file_name);
    }
    link
}

fn parameter(parameter: &Parameter) -> Json {
    let mut filled = match &parameter.value {
        Value::Text(text) => json!({"type": "text", "text": text}),
        Value::Currency { fallback_value, code, amount_thousandths } => json!({
            "type": "currency",
            "currency": {"fallback_value": fallback_value, "code": code, "amount_1000": amount_thousandths},
        }),
        Value::DateTime { fallback_value } => {
            json!({"type": "date_time", "date_time": {"fallback_value": fallback_value}})
        }
    };
    if !parameter.name.is_empty() {
        filled["parameter_name"] = json!(parameter.name);
    }
    filled
}

fn button(button: &Button) -> Json {
    let (sub_type, parameter) = match &button.value {
        ButtonValue::UrlSuffix(suffix) => ("url", json!({"type": "text", "text": suffix})),
        ButtonValue::QuickReplyPayload(payload) => {
            ("quick_reply", json!({"type": "payload", "payload": payload}))
        }
        ButtonValue::CouponCode(code) => ("copy_code", json!({"type": "coupon_code", "coupon_code": code})),
    };
    let index = button.index.to_string();
    json!({"type": "button", "sub_type": sub_type, "index": index, "parameters": [parameter]})
}
