//! The template vocabulary that both providers take from Meta: statuses, categories, components, buttons.

use serde_json::value::RawValue;

use super::Error;
use super::json::Object;
use crate::domain::template::{Category, Component, ComponentButton, ParameterFormat, Part, Status};
use crate::domain::{Provider, ProviderFault, RefusalReason, UnixMillis};

/// The error for a template that is not in the account's list.
pub fn not_found(provider: Provider) -> Error {
    Error::Refused(not_found_fault(provider))
}

/// The fault of a template that is not in the account's list.
pub(super) fn not_found_fault(provider: Provider) -> ProviderFault {
    ProviderFault::new(provider, RefusalReason::TemplateNotFound)
}

/// The JSON texts of an array's items. An absent or null array counts as empty; any other value is `None`.
pub(super) fn items<'a>(object: &Object<'a>, keys: &[&str]) -> Option<Vec<&'a RawValue>> {
    object.raw(keys).map_or(Some(Vec::new()), |text| serde_json::from_str(text).ok())
}

/// The language code: `"en"` or `{"code": "en"}`.
pub(super) fn language(template: &Object<'_>) -> Option<String> {
    let object = template.object(&["language"]);
    object.map_or_else(|| template.text(&["language"]), |language| language.text(&["code"]))
}

/// Parses a status, with or without Connectly's prefix.
pub(super) fn status(value: &str) -> Option<Status> {
    Some(match value.strip_prefix("MESSAGE_TEMPLATE_STATUS_").unwrap_or(value) {
        "APPROVED" => Status::Approved,
        "PENDING" => Status::Pending,
        "REJECTED" => Status::Rejected,
        "PAUSED" => Status::Paused,
        "DISABLED" => Status::Disabled,
        "IN_APPEAL" => Status::InAppeal,
        "PENDING_DELETION" => Status::PendingDeletion,
        "DELETED" => Status::Deleted,
        "LIMIT_EXCEEDED" => Status::LimitExceeded,
        _ => return None,
    })
}

/// Parses a category, with or without Connectly's prefix.
pub(super) fn category(value: &str) -> Option<Category> {
    Some(match value.strip_prefix("MESSAGE_TEMPLATE_GROUP_CATEGORY_").unwrap_or(value) {
        "MARKETING" => Category::Marketing,
        "UTILITY" => Category::Utility,
        "AUTHENTICATION" => Category::Authentication,
        _ => return None,
    })
}

/// How parameters are identified, if the template specifies it.
pub(super) fn parameter_format(template: &Object<'_>) -> Option<ParameterFormat> {
    match template.text(&["parameter_format", "parameterFormat"])?.as_str() {
        "POSITIONAL" => Some(ParameterFormat::Positional),
        "NAMED" => Some(ParameterFormat::Named),
        _ => None,
    }
}

/// Why the template was rejected. Meta writes `NONE` if it was not.
pub(super) fn rejection_reason(template: &Object<'_>) -> Option<String> {
    let keys = ["rejected_reason", "rejectedReason", "rejection_reason", "rejectionReason"];
    template.text(&keys).filter(|reason| reason != "NONE")
}

/// The quality rating by customers: `"GREEN"` or `{"score": "GREEN"}`.
pub(super) fn quality(template: &Object<'_>) -> Option<String> {
    let keys = ["quality_score", "qualityScore"];
    template.object(&keys).map_or_else(|| template.text(&keys), |quality| quality.text(&["score"]))
}

/// Parses a timestamp under these keys: RFC 3339 or Unix seconds.
pub(super) fn timestamp(template: &Object<'_>, keys: &[&str]) -> Option<UnixMillis> {
    let text = template.text(keys)?;
    UnixMillis::from_rfc3339(&text).or_else(|| text.parse().ok().and_then(UnixMillis::from_seconds))
}

/// Parses Meta's component, with either spelling of its keys.
pub(super) fn component(raw: &RawValue) -> Option<Component> {
    let component = Object::parse(raw.get().as_bytes())?;
    let provider_type = component.text(&["type"]).unwrap_or_default();
    Some(Component {
        part: part(&provider_type),
        provider_type,
        format: component.text(&["format"]).map(|value| bare_format(&value)).unwrap_or_default(),
        text: component.text(&["text"]).unwrap_or_default(),
        buttons: component.objects(&["buttons"]).iter().map(button).collect(),
        raw_json: raw.get().to_owned(),
    })
}

/// Parses the name of a part, in either case.
pub(super) fn part(value: &str) -> Option<Part> {
    Some(match value.to_ascii_uppercase().as_str() {
        "HEADER" => Part::Header,
        "BODY" => Part::Body,
        "FOOTER" => Part::Footer,
        "BUTTONS" => Part::Buttons,
        "CAROUSEL" => Part::Carousel,
        _ => return None,
    })
}

/// Parses the format of a header and removes Connectly's prefixes. Parts without a format have `FORMAT_UNSPECIFIED`.
pub(super) fn bare_format(value: &str) -> String {
    match value.strip_prefix("FORMAT_").or_else(|| value.strip_prefix("TYPE_")).unwrap_or(value) {
        "UNSPECIFIED" => String::new(),
        bare => bare.to_owned(),
    }
}

/// Parses a button of a template.
pub(super) fn button(button: &Object<'_>) -> ComponentButton {
    let text = |keys: &[&str]| button.text(keys).unwrap_or_default();
    ComponentButton {
        kind: text(&["type"]),
        text: text(&["text"]),
        url: text(&["url"]),
        phone_number: text(&["phone_number", "phoneNumber"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_not_mapped() {
        for value in ["APPROVED", "MESSAGE_TEMPLATE_STATUS_APPROVED"] {
            assert_eq!(status(value), Some(Status::Approved));
        }
        for value in ["UTILITY", "MESSAGE_TEMPLATE_GROUP_CATEGORY_UTILITY"] {
            assert_eq!(category(value), Some(Category::Utility));
        }
        assert_eq!((status("ARCHIVED"), status("MESSAGE_TEMPLATE_STATUS_UNSPECIFIED")), (None, None));
        assert_eq!((category("TRANSACTIONAL"), part("LIMITED_TIME_OFFER")), (None, None));
        assert_eq!(bare_format("FORMAT_UNSPECIFIED"), "");
        assert_eq!((bare_format("TYPE_IMAGE"), bare_format("GIF")), ("IMAGE".to_owned(), "GIF".to_owned()));
    }
}
