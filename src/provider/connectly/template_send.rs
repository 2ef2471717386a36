//! Template sends to Connectly, with parameters by name.

use std::borrow::Cow;

use serde::Serialize;

use super::super::{IssueKind, ValidationIssue};
use super::correlation::CorrelationTag;
use crate::domain::Channel;
use crate::domain::message::Outgoing;
use crate::domain::template::{ButtonValue, Filled, Header, HeaderMedia, Value};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplateMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    number: String,
    template_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    language: &'a str,
    parameters: Vec<Parameter<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    campaign_name: &'a str,
    callback_data: CorrelationTag<'a>,
}

#[derive(Serialize)]
struct Parameter<'a> {
    name: Cow<'a, str>,
    value: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    filename: &'a str,
}

/// The body of `send/whatsapp_templated_messages`. In this request a user id keeps its prefix.
pub(super) fn body(message: &Outgoing, filled: &Filled, tag: CorrelationTag<'_>) -> Vec<u8> {
    let body = TemplateMessage {
        sender: message.sender.as_ref().map(|number| number.as_str()),
        number: message.to.to_string(),
        template_name: &filled.name,
        language: &filled.language,
        parameters: parameters(filled),
        campaign_name: &message.campaign_name,
        callback_data: tag,
    };
    serde_json::to_vec(&body).expect("strings are always JSON")
}

fn parameters(filled: &Filled) -> Vec<Parameter<'_>> {
    let name_or = |given: &'_ str, position: String| match given {
        "" => Cow::Owned(position),
        given => Cow::Owned(given.to_owned()),
    };
    let header = filled.header.as_ref().map(|header| match header {
        Header::Text(parameter) => Parameter {
            name: name_or(&parameter.name, "header_text".to_owned()),
            value: text(&parameter.value),
            filename: "",
        },
        Header::Image(media) => media_parameter("header_image", media),
        Header::Video(media) => media_parameter("header_video", media),
        Header::Document(media) => media_parameter("header_document", media),
        Header::Location(_) => unreachable!("`validate` rejects locations at Connectly"),
    });
    let body = (1..).zip(&filled.body).map(|(position, parameter)| Parameter {
        name: name_or(&parameter.name, format!("body_{position}")),
        value: text(&parameter.value),
        filename: "",
    });
    let buttons = filled.buttons.iter().map(|button| Parameter {
        name: Cow::Owned(format!("button_{}_url", button.index + 1)),
        value: match &button.value {
            ButtonValue::UrlSuffix(suffix) => suffix,
            ButtonValue::QuickReplyPayload(_) | ButtonValue::CouponCode(_) => {
                unreachable!("`validate` rejects buttons without a URL at Connectly")
            }
        },
        filename: "",
    });
    header.into_iter().chain(body).chain(buttons).collect()
}

fn media_parameter<'a>(name: &'static str, media: &'a HeaderMedia) -> Parameter<'a> {
    Parameter { name: Cow::Borrowed(name), value: &media.url, filename: &media.file_name }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        Value::Currency { .. } | Value::DateTime { .. } => {
            unreachable!("`validate` rejects values other than text at Connectly")
        }
    }
}

/// The issues that keep Connectly from sending this template message.
pub(in super::super) fn validate(filled: &Filled, channel: Option<Channel>) -> Vec<ValidationIssue> {
    let mut issues = Vec::new();
    let mut unsupported = |field: Cow<'static, str>, problem: &str| {
        issues.push(ValidationIssue { field, kind: IssueKind::Unsupported, problem: problem.to_owned() });
    };
    if channel == Some(Channel::Sms) {
        unsupported("channel".into(), "Connectly sends templates over WhatsApp only");
    }
    if let Some(Header::Location(_)) = filled.header {
        unsupported("template.header.location".into(), "Connectly does not support a location in a header");
    }
    if filled.components_json.is_some() {
        unsupported(
            "template.components_json".into(),
            "Connectly takes parameters by name: use `header`, `body` and `buttons`",
        );
    }
    for (index, parameter) in filled.body.iter().enumerate() {
        let kind = match parameter.value {
            Value::Text(_) => continue,
            Value::Currency { .. } => "currency",
            Value::DateTime { .. } => "date_time",
        };
        unsupported(
            format!("template.body[{index}].{kind}").into(),
            "Connectly supports text parameters only",
        );
    }
    for (index, button) in filled.buttons.iter().enumerate() {
        let kind = match button.value {
            ButtonValue::UrlSuffix(_) => continue,
            ButtonValue::QuickReplyPayload(_) => "quick_reply_payload",
            ButtonValue::CouponCode(_) => "coupon_code",
        };
        unsupported(
            format!("template.buttons[{index}].{kind}").into(),
            "Connectly supports values for URL buttons only",
        );
    }
    issues
}
