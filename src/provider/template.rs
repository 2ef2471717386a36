//! What both providers say about templates in Meta's words: statuses, categories, components, buttons.

use serde_json::value::RawValue;

use super::Error;
use super::json::Object;
use crate::domain::template::{Category, Component, ComponentButton, ParameterFormat, Part, Status};
use crate::domain::{Provider, ProviderFault, RefusalReason, UnixMillis};

/// The most pages that a search reads: more than any real account has.
const MAX_PAGES: usize = 1_000;

/// A search's way through the pages of a list whose end is the provider's word.
#[derive(Debug, Default)]
pub struct PageCursor {
    seen: Vec<String>,
}

/// Where a search goes from a page.
#[derive(Debug, PartialEq, Eq)]
pub enum NextPage {
    /// To the page behind this cursor.
    Onward(String),
    /// Nowhere: the list is at its end, or leads back to where it was read already.
    End,
    /// Nowhere, though the list goes on and on.
    Endless,
}

impl PageCursor {
    /// Takes the cursor that a page ends with.
    pub fn step(&mut self, after: Option<String>) -> NextPage {
        match after {
            None => NextPage::End,
            Some(cursor) if self.seen.contains(&cursor) => NextPage::End,
            Some(_) if self.seen.len() + 1 >= MAX_PAGES => NextPage::Endless,
            Some(cursor) => {
                self.seen.push(cursor.clone());
                NextPage::Onward(cursor)
            }
        }
    }
}

/// What it means that a template is not in its account's list.
pub fn not_found(provider: Provider) -> Error {
    Error::Refused(ProviderFault::new(provider, RefusalReason::TemplateNotFound))
}

/// The texts of an array's items. Absent and null are an empty array; anything else is None.
pub(super) fn items<'a>(within: &Object<'a>, keys: &[&str]) -> Option<Vec<&'a RawValue>> {
    within.raw(keys).map_or(Some(Vec::new()), |text| serde_json::from_str(text).ok())
}

/// The code of a language, which is `"en"` or `{"code": "en"}`.
pub(super) fn language(template: &Object<'_>) -> Option<String> {
    let object = template.object(&["language"]);
    object.map_or_else(|| template.text(&["language"]), |language| language.text(&["code"]))
}

/// What a word for a status means, with Connectly's prefix or without.
pub(super) fn status(word: &str) -> Option<Status> {
    Some(match word.strip_prefix("MESSAGE_TEMPLATE_STATUS_").unwrap_or(word) {
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

/// What a word for a category means, with Connectly's prefix or without.
pub(super) fn category(word: &str) -> Option<Category> {
    Some(match word.strip_prefix("MESSAGE_TEMPLATE_GROUP_CATEGORY_").unwrap_or(word) {
        "MARKETING" => Category::Marketing,
        "UTILITY" => Category::Utility,
        "AUTHENTICATION" => Category::Authentication,
        _ => return None,
    })
}

/// How parameters are told apart, where the template says.
pub(super) fn parameter_format(template: &Object<'_>) -> Option<ParameterFormat> {
    match template.text(&["parameter_format", "parameterFormat"])?.as_str() {
        "POSITIONAL" => Some(ParameterFormat::Positional),
        "NAMED" => Some(ParameterFormat::Named),
        _ => None,
    }
}

/// Why it was rejected. Meta writes `NONE` where it was not.
pub(super) fn rejection_reason(template: &Object<'_>) -> Option<String> {
    let keys = ["rejected_reason", "rejectedReason", "rejection_reason", "rejectionReason"];
    template.text(&keys).filter(|reason| reason != "NONE")
}

/// How customers like it: `"GREEN"` or `{"score": "GREEN"}`.
pub(super) fn quality(template: &Object<'_>) -> Option<String> {
    let keys = ["quality_score", "qualityScore"];
    template.object(&keys).map_or_else(|| template.text(&keys), |quality| quality.text(&["score"]))
}

/// A moment under these keys: as in RFC 3339, or in seconds since 1970.
pub(super) fn moment(template: &Object<'_>, keys: &[&str]) -> Option<UnixMillis> {
    let text = template.text(keys)?;
    UnixMillis::from_rfc3339(&text).or_else(|| text.parse().ok().and_then(UnixMillis::from_seconds))
}

/// Meta's component, in either spelling of its keys.
pub(super) fn component(raw: &RawValue) -> Option<Component> {
    let component = Object::parse(raw.get().as_bytes())?;
    let provider_type = component.text(&["type"]).unwrap_or_default();
    Some(Component {
        part: part(&provider_type),
        provider_type,
        format: component.text(&["format"]).map(|word| bare_format(&word)).unwrap_or_default(),
        text: component.text(&["text"]).unwrap_or_default(),
        buttons: component.objects(&["buttons"]).iter().map(button).collect(),
        raw_json: raw.get().to_owned(),
    })
}

/// What a word for a part means, in either case.
pub(super) fn part(word: &str) -> Option<Part> {
    Some(match word.to_ascii_uppercase().as_str() {
        "HEADER" => Part::Header,
        "BODY" => Part::Body,
        "FOOTER" => Part::Footer,
        "BUTTONS" => Part::Buttons,
        "CAROUSEL" => Part::Carousel,
        _ => return None,
    })
}

/// What a header holds, without Connectly's prefixes. `FORMAT_UNSPECIFIED` stands at parts that have none.
pub(super) fn bare_format(word: &str) -> String {
    match word.strip_prefix("FORMAT_").or_else(|| word.strip_prefix("TYPE_")).unwrap_or(word) {
        "UNSPECIFIED" => String::new(),
        bare => bare.to_owned(),
    }
}

/// A button of a template.
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
    fn a_walk_ends_where_the_list_ends_repeats_itself_or_has_no_end() {
        let mut walk = PageCursor::default();
        assert_eq!(walk.step(Some("a".to_owned())), NextPage::Onward("a".to_owned()));
        assert_eq!(walk.step(Some("b".to_owned())), NextPage::Onward("b".to_owned()));
        assert_eq!(walk.step(Some("a".to_owned())), NextPage::End);
        assert_eq!(walk.step(None), NextPage::End);

        let mut walk = PageCursor::default();
        let steps: Vec<NextPage> = (0..MAX_PAGES).map(|page| walk.step(Some(page.to_string()))).collect();
        assert_eq!(steps.iter().filter(|step| matches!(step, NextPage::Onward(_))).count(), MAX_PAGES - 1);
        assert_eq!(steps.last(), Some(&NextPage::Endless));
    }

    #[test]
    fn new_words_are_no_known_ones() {
        for word in ["APPROVED", "MESSAGE_TEMPLATE_STATUS_APPROVED"] {
            assert_eq!(status(word), Some(Status::Approved));
        }
        for word in ["UTILITY", "MESSAGE_TEMPLATE_GROUP_CATEGORY_UTILITY"] {
            assert_eq!(category(word), Some(Category::Utility));
        }
        assert_eq!((status("ARCHIVED"), status("MESSAGE_TEMPLATE_STATUS_UNSPECIFIED")), (None, None));
        assert_eq!((category("TRANSACTIONAL"), part("LIMITED_TIME_OFFER")), (None, None));
        assert_eq!(bare_format("FORMAT_UNSPECIFIED"), "");
        assert_eq!((bare_format("TYPE_IMAGE"), bare_format("GIF")), ("IMAGE".to_owned(), "GIF".to_owned()));
    }
}
