//! The content `template` of a send.

use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::template::{
    Button, ButtonValue, ComponentsJson, ComponentsJsonMalformed, Filled, Header, HeaderMedia, Parameter,
    Value,
};
use crate::pb::v1;
use crate::pb::v1::{parameter, template_button, template_header};

/// The maximum length of a language code, in characters.
const MAX_LANGUAGE_CHARACTERS: usize = 32;

/// The maximum length of a value, in characters: that of WhatsApp's longest message. The provider may accept less.
const MAX_VALUE_CHARACTERS: usize = 4_096;

const NAME_CHARACTERS: usize = 512;
const FILE_NAME_CHARACTERS: usize = 240;
const BODY_PARAMETERS: usize = 64;
const BUTTONS: usize = 10;

/// Parses the parameters of a template.
///
/// An empty value replaces an invalid one. So the account's own checks can run on the same indexes, and the response
/// lists all violations. A request with violations is never sent.
pub(super) fn read(template: v1::TemplateMessage, violations: &mut Violations) -> Filled {
    let v1::TemplateMessage { name, language, header, body, buttons, components_json } = template;
    let typed = header.is_some() || !body.is_empty() || !buttons.is_empty();
    self::name("template.name", &name, violations);
    super::check_length("template.language", &language, MAX_LANGUAGE_CHARACTERS, violations);
    if body.len() > BODY_PARAMETERS {
        let problem = format!("must be at most {BODY_PARAMETERS} parameters");
        violations.add("template.body", ViolationReason::OutOfRange, problem);
    }
    if buttons.len() > BUTTONS {
        violations.add(
            "template.buttons",
            ViolationReason::OutOfRange,
            format!("must be at most {BUTTONS} buttons"),
        );
    }
    Filled {
        name,
        language,
        header: header.and_then(|header| self::header(header, violations)),
        body: self::body(body, violations),
        buttons: self::buttons(buttons, violations),
        components_json: self::components_json(&components_json, typed, violations),
    }
}

/// Checks the name of a template.
pub(in crate::api) fn name(field: &str, name: &str, violations: &mut Violations) {
    if name.is_empty() {
        violations.add(field, ViolationReason::Required, "must be given");
    } else if name.chars().count() > NAME_CHARACTERS {
        violations.add(
            field,
            ViolationReason::OutOfRange,
            format!("must be at most {NAME_CHARACTERS} characters"),
        );
    }
}

/// Parses the components as JSON, if there are any. `typed` is whether the request also has typed parameters.
fn components_json(json: &str, typed: bool, violations: &mut Violations) -> Option<ComponentsJson> {
    const FIELD: &str = "template.components_json";
    if json.is_empty() {
        return None;
    }
    if typed {
        let problem = "must be empty with `header`, `body` or `buttons`: it replaces them";
        violations.add(FIELD, ViolationReason::Mismatch, problem);
    }
    let components = json.parse().map_err(|error: ComponentsJsonMalformed| {
        let reason = match error {
            ComponentsJsonMalformed::TooLong => ViolationReason::OutOfRange,
            ComponentsJsonMalformed::NotAnArray => ViolationReason::Malformed,
        };
        violations.add(FIELD, reason, error.to_string());
    });
    Some(components.unwrap_or_else(|()| ComponentsJson::empty()))
}

fn header(header: v1::TemplateHeader, violations: &mut Violations) -> Option<Header> {
    let at = |field: &str| format!("template.header.{field}");
    match header.header {
        Some(template_header::Header::Text(text)) => {
            let text = parameter(&at("text"), text, violations);
            match &text.value {
                Value::Text(_) => {}
                Value::Currency { .. } => reject_non_text(&at("text.currency"), violations),
                Value::DateTime { .. } => reject_non_text(&at("text.date_time"), violations),
            }
            Some(Header::Text(text))
        }
        Some(template_header::Header::Image(media)) => {
            reject_file_name(&at("image.file_name"), &media.file_name, violations);
            Some(Header::Image(self::media(&at("image"), media, violations)))
        }
        Some(template_header::Header::Video(media)) => {
            reject_file_name(&at("video.file_name"), &media.file_name, violations);
            Some(Header::Video(self::media(&at("video"), media, violations)))
        }
        Some(template_header::Header::Document(media)) => {
            let document = self::media(&at("document"), media, violations);
            if document.file_name.chars().count() > FILE_NAME_CHARACTERS {
                let problem = format!("must be at most {FILE_NAME_CHARACTERS} characters");
                violations.add(at("document.file_name"), ViolationReason::OutOfRange, problem);
            }
            Some(Header::Document(document))
        }
        Some(template_header::Header::Location(place)) => {
            Some(Header::Location(super::location::read(&at("location"), place, violations)))
        }
        None => {
            let problem = "must be given: `text`, `image`, `video`, `document` or `location`";
            violations.add(at("header"), ViolationReason::Required, problem);
            None
        }
    }
}

fn reject_non_text(field: &str, violations: &mut Violations) {
    violations.add(field, ViolationReason::Malformed, "must be text: a header accepts nothing else");
}

fn reject_file_name(field: &str, file_name: &str, violations: &mut Violations) {
    if !file_name.is_empty() {
        violations.add(field, ViolationReason::Malformed, "must be empty: only documents have a file name");
    }
}

fn media(field: &str, media: v1::HeaderMedia, violations: &mut Violations) -> HeaderMedia {
    let v1::HeaderMedia { source, file_name } = media;
    let v1::header_media::Source::Url(url) =
        source.unwrap_or_else(|| v1::header_media::Source::Url(String::new()));
    super::public_url(&format!("{field}.url"), url.clone(), violations);
    HeaderMedia { url, file_name }
}

fn body(parameters: Vec<v1::Parameter>, violations: &mut Violations) -> Vec<Parameter> {
    let mut parsed: Vec<Parameter> = Vec::new();
    for (index, parameter) in parameters.into_iter().take(BODY_PARAMETERS).enumerate() {
        let field = format!("template.body[{index}]");
        if !parameter.name.is_empty() && parsed.iter().any(|earlier| earlier.name == parameter.name) {
            violations.add(format!("{field}.name"), ViolationReason::Malformed, "must not be given twice");
        }
        parsed.push(self::parameter(&field, parameter, violations));
    }
    parsed
}

fn parameter(field: &str, parameter: v1::Parameter, violations: &mut Violations) -> Parameter {
    super::check_length(&format!("{field}.name"), &parameter.name, NAME_CHARACTERS, violations);
    let mut filled = |at: &str, text: String| {
        if text.is_empty() {
            violations.add(format!("{field}.{at}"), ViolationReason::Required, "must be given");
        }
        super::check_length(&format!("{field}.{at}"), &text, MAX_VALUE_CHARACTERS, violations);
        text
    };
    let value = match parameter.value {
        Some(parameter::Value::Text(text)) => Value::Text(filled("text", text)),
        Some(parameter::Value::Currency(v1::CurrencyParameter {
            fallback_value,
            code,
            amount_thousandths,
        })) => {
            let fallback_value = filled("currency.fallback_value", fallback_value);
            let code = filled("currency.code", code);
            if !code.is_empty() && !is_currency(&code) {
                let problem = "must be three capital letters, as in ISO 4217";
                violations.add(format!("{field}.currency.code"), ViolationReason::Malformed, problem);
            }
            Value::Currency { fallback_value, code, amount_thousandths }
        }
        Some(parameter::Value::DateTime(v1::DateTimeParameter { fallback_value })) => {
            Value::DateTime { fallback_value: filled("date_time.fallback_value", fallback_value) }
        }
        None => {
            let problem = "must be given: `text`, `currency` or `date_time`";
            violations.add(format!("{field}.value"), ViolationReason::Required, problem);
            Value::Text(String::new())
        }
    };
    Parameter { name: parameter.name, value }
}

fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase())
}

fn buttons(buttons: Vec<v1::TemplateButton>, violations: &mut Violations) -> Vec<Button> {
    let mut parsed: Vec<Button> = Vec::new();
    for (position, button) in buttons.into_iter().take(BUTTONS).enumerate() {
        let field = format!("template.buttons[{position}]");
        let index = button.index;
        if index as usize >= BUTTONS {
            let problem = format!("must be from 0 to {}", BUTTONS - 1);
            violations.add(format!("{field}.index"), ViolationReason::OutOfRange, problem);
        } else if parsed.iter().any(|earlier| earlier.index == index) {
            violations.add(format!("{field}.index"), ViolationReason::Malformed, "must not be given twice");
        }
        let mut filled = |at: &str, text: String| {
            if text.is_empty() {
                violations.add(format!("{field}.{at}"), ViolationReason::Required, "must be given");
            }
            super::check_length(&format!("{field}.{at}"), &text, MAX_VALUE_CHARACTERS, violations);
            text
        };
        let value = match button.value {
            Some(template_button::Value::UrlSuffix(text)) => {
                ButtonValue::UrlSuffix(filled("url_suffix", text))
            }
            Some(template_button::Value::QuickReplyPayload(text)) => {
                ButtonValue::QuickReplyPayload(filled("quick_reply_payload", text))
            }
            Some(template_button::Value::CouponCode(text)) => {
                ButtonValue::CouponCode(filled("coupon_code", text))
            }
            None => {
                let problem = "must be given: `url_suffix`, `quick_reply_payload` or `coupon_code`";
                violations.add(format!("{field}.value"), ViolationReason::Required, problem);
                ButtonValue::UrlSuffix(String::new())
            }
        };
        parsed.push(Button { index, value });
    }
    parsed
}
