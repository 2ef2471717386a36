//! Reads a provider's JSON leniently: unknown keys are passed over, null is absent, a number will do for a string, and
//! every key may have several spellings. What is read keeps its own text, so nothing is re-written on the way.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A JSON object of which no value was looked at yet.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads an object. None when the text is no JSON, or not an object.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize, PartialEq, Eq, Hash)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
        let entries: HashMap<Key<'a>, &'a RawValue> = serde_json::from_slice(text).ok()?;
        Some(Self(entries.into_iter().map(|(Key(key), value)| (key, value)).collect()))
    }

    fn of(value: &'a RawValue) -> Option<Self> {
        Self::parse(value.get().as_bytes())
    }

    /// The JSON text under the first of these keys that is there and not null.
    pub(super) fn raw(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|&key| self.0.get(key).map(|value| value.get()).filter(|&text| text != "null"))
    }

    /// The object under these keys.
    pub(super) fn object(&self, keys: &[&str]) -> Option<Object<'a>> {
        self.raw(keys).and_then(|text| Object::parse(text.as_bytes()))
    }

    /// The objects in the array under these keys; other items are passed over.
    pub(super) fn objects(&self, keys: &[&str]) -> Vec<Object<'a>> {
        let items: Option<Vec<&'a RawValue>> =
            self.raw(keys).and_then(|text| serde_json::from_str(text).ok());
        items.unwrap_or_default().into_iter().filter_map(Object::of).collect()
    }

    /// The text under these keys: a string, or a number's digits. None when it is empty.
    pub(super) fn text(&self, keys: &[&str]) -> Option<String> {
        let raw = self.raw(keys)?;
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'-' | b'0'..=b'9' => raw.to_owned(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The string under these keys, numbers left aside. None when it is empty.
    pub(super) fn string(&self, keys: &[&str]) -> Option<String> {
        self.raw(keys).filter(|raw| raw.starts_with('"')).and_then(|_| self.text(keys))
    }

    /// The truth under these keys: `true`, `"true"` or 1, and the same for false.
    pub(super) fn flag(&self, keys: &[&str]) -> Option<bool> {
        match self.raw(keys)?.trim_matches('"') {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// Whether an array or object under these keys holds anything.
    pub(super) fn holds(&self, keys: &[&str]) -> bool {
        self.raw(keys).is_some_and(|text| {
            !matches!(
                text.split_ascii_whitespace().collect::<String>().as_str(),
                "[]" | "{}" | "\"\"" | "false"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object<'_> {
        Object::parse(text.as_bytes()).expect("an object")
    }

    #[test]
    fn values_are_read_leniently_and_keep_their_own_text() {
        let read = object(
            r#"{"id": 12345678901234567890, "s":"a\u0062", "n":null, "e":"", "o":{"b":1.50}, "l":[1,{"k":"v"}], "t":"true"}"#,
        );
        assert_eq!(read.text(&["id"]).as_deref(), Some("12345678901234567890"));
        assert_eq!(read.string(&["id"]), None);
        assert_eq!(read.text(&["missing", "s"]).as_deref(), Some("ab"));
        assert_eq!((read.text(&["n"]), read.text(&["e"]), read.text(&["o"])), (None, None, None));
        assert_eq!(read.raw(&["o"]), Some(r#"{"b":1.50}"#));
        assert_eq!(read.objects(&["l"]).len(), 1);
        assert_eq!(read.flag(&["t"]), Some(true));
        assert!(read.holds(&["o"]) && read.holds(&["l"]) && !read.holds(&["n"]) && !read.holds(&["e"]));
        assert!(!object(r#"{"a":[ ]}"#).holds(&["a"]));
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "null", "[]", "1", "\"x\"", "{", "{\"a\":}", "<html>", "{}x"] {
            assert!(Object::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }
}
