//! Makes the provider's text about a failure presentable: masked, joined and limited.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::ProviderText;

/// The maximum number of characters of `provider_message`. Status details are sent as headers, whose size is limited.
const MAX_MESSAGE_CHARACTERS: usize = 256;

/// The maximum size of `raw_json`, so a stored message and a stream's response stay small. Real errors have a few
/// hundred bytes. Cut JSON cannot be parsed, so longer JSON is omitted.
const MAX_RAW_JSON_BYTES: usize = 64 << 10;

const MASK: &str = "***";

/// The texts of a provider's error as they arrived. They may contain secrets, so nothing outside of `provider` gets
/// them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorText {
    /// The readable texts, in the order in which `provider_message` joins them.
    pub(super) parts: Vec<String>,
    /// A further part, which is JSON.
    pub(super) details_json: Option<String>,
    /// The error object, if it is not the whole reply.
    pub(super) raw_json: Option<String>,
}

impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The configured secrets of one account, which no text of its provider may disclose.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Arc<[SecretString]>);

impl Secrets {
    pub(super) fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let mut secrets: Vec<SecretString> =
            secrets.into_iter().filter(|secret| !secret.expose_secret().is_empty()).collect();
        // One secret can contain another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Self(secrets.into())
    }

    /// Masks, joins and limits a provider's texts. `None` if nothing remains.
    pub(super) fn text(&self, text: ErrorText) -> Option<Box<ProviderText>> {
        let ErrorText { parts, details_json, raw_json } = text;
        let masked = parts.iter().map(|part| self.mask(part));
        let mut distinct: Vec<String> = Vec::new();
        for part in masked.chain(details_json.map(|json| self.mask_json(&json))) {
            let part = part.replace(char::is_control, " ").trim().to_owned();
            if !part.is_empty() && !distinct.contains(&part) {
                distinct.push(part);
            }
        }
        let message: String = distinct.join("; ").chars().take(MAX_MESSAGE_CHARACTERS).collect();
        let raw_json = raw_json
            .filter(|json| json.len() <= MAX_RAW_JSON_BYTES)
            .map(|json| self.mask_json(&json))
            .unwrap_or_default();
        let empty = message.is_empty() && raw_json.is_empty();
        (!empty).then(|| Box::new(ProviderText { message, raw_json }))
    }

    /// Replaces every secret, in plain form and in the usual escaped forms of JSON.
    fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &*self.0 {
            let plain = secret.expose_secret();
            let escaped = json_escaped(plain);
            for form in [plain, &escaped, &escaped.replace('/', "\\/")] {
                masked = masked.replace(form, MASK);
            }
        }
        masked
    }

    /// As [`Self::mask`], for JSON. Returns no text if the result is not JSON, or if a secret remains that is escaped
    /// in an unusual way.
    fn mask_json(&self, json: &str) -> String {
        let masked = self.mask(json);
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&masked) else { return String::new() };
        let normal = value.to_string();
        let disclosed = self.0.iter().any(|secret| normal.contains(&json_escaped(secret.expose_secret())));
        if disclosed { String::new() } else { masked }
    }
}

/// The text as it is written in a JSON string, without the quotation marks.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[&str], raw_json: &str) -> ErrorText {
        ErrorText {
            parts: parts.iter().map(ToString::to_string).collect(),
            details_json: None,
            raw_json: Some(raw_json.to_owned()),
        }
    }

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets::new(texts.iter().map(|&text| SecretString::from(text)))
    }

    #[test]
    fn parts_are_joined_without_empty_and_repeated_ones() {
        let mut error = text(&["One\n two", "", "One  two", " ", "One\u{7}two", "Three"], "{}");
        error.details_json = Some(r#"{"a": 1}"#.to_owned());
        let joined = Secrets::default().text(error).expect("a text");
        assert_eq!(joined.message, r#"One  two; One two; Three; {"a": 1}"#);
        assert_eq!(joined.raw_json, "{}");
        assert_eq!(Secrets::default().text(ErrorText::default()), None);
    }

    #[test]
    fn message_has_at_most_256_characters() {
        let long = Secrets::default().text(text(&[&"é".repeat(300)], "{}")).expect("a text");
        assert_eq!(long.message, "é".repeat(256));
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = secrets(&["key", "key/\"1\""]);
        let read = |raw: &str| secrets.text(text(&["my key/\"1\" or key"], raw)).expect("a text");
        let masked = read(r#"{"a":"key\/\"1\" key/\"1\"","b":"key"}"#);
        assert_eq!(masked.message, "my *** or ***");
        assert_eq!(masked.raw_json, r#"{"a":"*** ***","b":"***"}"#);
        assert_eq!(read(r#"{"a":"\u006bey"}"#).raw_json, "");
        // The limit applies after the mask, so no part of a secret remains at the end.
        let long = secrets.text(text(&[&format!("{}key", "x".repeat(254))], "{}")).expect("a text");
        assert_eq!(long.message, format!("{}**", "x".repeat(254)));
    }

    #[test]
    fn raw_json_that_is_too_long_or_not_json_is_omitted() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_RAW_JSON_BYTES));
        for raw in [long.as_str(), "not JSON", "{\"a\":"] {
            assert_eq!(Secrets::default().text(text(&["a"], raw)).expect("a text").raw_json, "");
        }
    }

    #[test]
    fn debug_output_contains_no_text() {
        let error = text(&["words"], r#"{"a":"words"}"#);
        assert_eq!(format!("{error:?}"), "…");
        assert_eq!(format!("{:?}", secrets(&["key"]).text(error)), "Some(…)");
        assert!(!format!("{:?}", secrets(&["key"])).contains("key"));
    }
}
