//! Template sends to Connectly, with parameters by name.

use std::borrow::Cow;

use serde::Serialize;

use super::super::{IssueKind, ValidationIssue};
use super::correlation::CorrelationTag;
use crate::domain::message::Outgoing;
use crate::domain::template::{ButtonValue, Filled, Header, HeaderMedia, Value};
use crate::domain::{Channel, Provider, ProviderFault, RefusalReason};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplateMessage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    number: String,
    template_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    language: &'a str,
    parameters: &'a [Parameter],
    #[serde(skip_serializing_if = "str::is_empty")]
    campaign_name: &'a str,
    callback_data: CorrelationTag<'a>,
}

/// A value for a parameter. Connectly takes text only.
#[derive(Serialize)]
pub(super) struct Parameter {
    name: String,
    value: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    filename: String,
}

/// The body of `send/whatsapp_templated_messages`. In this request a user id keeps its prefix.
pub(super) fn body(
    message: &Outgoing,
    filled: &Filled,
    parameters: &[Parameter],
    tag: CorrelationTag<'_>,
) -> Vec<u8> {
    let body = TemplateMessage {
        sender: message.sender.as_ref().map(|number| number.as_str()),
        number: message.to.to_string(),
        template_name: &filled.name,
        language: &filled.language,
        parameters,
        campaign_name: &message.campaign_name,
        callback_data: tag,
    };
    serde_json::to_vec(&body).expect("strings are always JSON")
}

/// The parameters of a template message.
///
/// # Errors
///
/// Fails if a value has no place in Connectly's form.
pub(super) fn parameters(filled: &Filled) -> Result<Vec<Parameter>, ProviderFault> {
    let named = |given: &str, position: String, value: &Value| {
        let name = if given.is_empty() { position } else { given.to_owned() };
        Ok(Parameter { name, value: text(value)?.to_owned(), filename: String::new() })
    };
    let header = filled.header.as_ref().map(|header| match header {
        Header::Text(given) => named(&given.name, "header_text".to_owned(), &given.value),
        Header::Image(media) => Ok(media_parameter("header_image", media)),
        Header::Video(media) => Ok(media_parameter("header_video", media)),
        Header::Document(media) => Ok(media_parameter("header_document", media)),
        Header::Location(_) => Err(rejected()),
    });
    let body = (1..)
        .zip(&filled.body)
        .map(|(position, given)| named(&given.name, format!("body_{position}"), &given.value));
    let buttons = filled.buttons.iter().map(|button| {
        let ButtonValue::UrlSuffix(suffix) = &button.value else { return Err(rejected()) };
        let name = format!("button_{}_url", button.index + 1);
        Ok(Parameter { name, value: suffix.clone(), filename: String::new() })
    });
    header.into_iter().chain(body).chain(buttons).collect()
}

fn media_parameter(name: &str, media: &HeaderMedia) -> Parameter {
    Parameter { name: name.to_owned(), value: media.url.clone(), filename: media.file_name.clone() }
}

fn text(value: &Value) -> Result<&str, ProviderFault> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Currency { .. } | Value::DateTime { .. } => Err(rejected()),
    }
}

fn rejected() -> ProviderFault {
    ProviderFault::new(Provider::CONNECTLY, RefusalReason::TemplateParametersRejected)
}

/// The issues that keep Connectly from sending this template message.
pub(super) fn validate(filled: &Filled, channel: Option<Channel>) -> Vec<ValidationIssue> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Location;
    use crate::domain::template::{Button, Parameter as Given};

    #[test]
    fn value_without_a_place_in_the_form_is_rejected() {
        let filled = Filled {
            name: "t".to_owned(),
            language: "en".to_owned(),
            header: None,
            body: Vec::new(),
            buttons: Vec::new(),
            components_json: None,
        };
        let location =
            Location { latitude: 1.0, longitude: 2.0, name: String::new(), address: String::new() };
        let date = Given { name: String::new(), value: Value::DateTime { fallback_value: "x".to_owned() } };
        let coupon = Button { index: 0, value: ButtonValue::CouponCode("x".to_owned()) };
        for filled in [
            Filled { header: Some(Header::Location(location)), ..filled.clone() },
            Filled { body: vec![date], ..filled.clone() },
            Filled { buttons: vec![coupon], ..filled.clone() },
        ] {
            let fault = parameters(&filled).err().expect("rejected");
            assert_eq!(fault.refusal, RefusalReason::TemplateParametersRejected);
        }
        assert!(parameters(&filled).is_ok_and(|parameters| parameters.is_empty()));
    }
}
