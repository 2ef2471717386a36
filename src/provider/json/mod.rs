//! Parses a provider's JSON leniently. Unknown keys are ignored, null counts as absent, a number is accepted as a
//! string, and each key can have several spellings. Values keep their own text, so they are never serialized again.

mod repair;

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub(super) use repair::{StrayBackslash, repair};

/// A JSON object whose values are not parsed yet. Objects are small, so a lookup scans the keys.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Borrows the key if it contains no escape.
        #[derive(Deserialize)]
        struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'a> Object<'a> {
    /// Parses an object. `None` if the text is not JSON or not an object.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The value under a key. For a duplicate key, the last one.
    fn value(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rfind(|(known, _)| known == key).map(|&(_, value)| value)
    }

    /// The JSON text under the first of these keys that is present and not null.
    pub(super) fn raw(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|&key| self.value(key).map(RawValue::get).filter(|&text| text != "null"))
    }

    /// The JSON text under a key, including null.
    pub(super) fn raw_or_null(&self, key: &str) -> Option<&'a str> {
        self.value(key).map(RawValue::get)
    }

    /// The object under these keys.
    pub(super) fn object(&self, keys: &[&str]) -> Option<Object<'a>> {
        self.raw(keys).and_then(|text| Object::parse(text.as_bytes()))
    }

    /// The objects in the array under these keys; other items are ignored.
    pub(super) fn objects(&self, keys: &[&str]) -> Vec<Object<'a>> {
        let items: Option<Vec<&'a RawValue>> =
            self.raw(keys).and_then(|text| serde_json::from_str(text).ok());
        let objects = items.unwrap_or_default().into_iter();
        objects.filter_map(|item| Object::parse(item.get().as_bytes())).collect()
    }

    /// The JSON texts of the items in the array under these keys. Null counts as an empty array. `None` if no key is
    /// present or the value is not an array.
    pub(super) fn items(&self, keys: &[&str]) -> Option<Vec<&'a str>> {
        let array = keys.iter().find_map(|&key| self.value(key))?;
        let items: Option<Vec<&'a RawValue>> = serde_json::from_str(array.get()).ok()?;
        Some(items.unwrap_or_default().into_iter().map(RawValue::get).collect())
    }

    /// The text under these keys: a string, or the digits of a number. `None` if it is empty.
    pub(super) fn text(&self, keys: &[&str]) -> Option<String> {
        let raw = self.raw(keys)?;
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'-' | b'0'..=b'9' => raw.to_owned(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The string under these keys; a number is ignored. `None` if it is empty.
    pub(super) fn string(&self, keys: &[&str]) -> Option<String> {
        self.raw(keys).filter(|raw| raw.starts_with('"')).and_then(|_| self.text(keys))
    }

    /// The boolean under these keys: `true`, `"true"` or 1, and the same for false.
    pub(super) fn flag(&self, keys: &[&str]) -> Option<bool> {
        match self.raw(keys)?.trim_matches('"') {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// Whether the value under these keys is present and not empty or false.
    pub(super) fn has_content(&self, keys: &[&str]) -> bool {
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
    fn values_are_parsed_leniently_and_keep_their_text() {
        let value = object(
            r#"{"id": 12345678901234567890, "s":"a\u0062", "n":null, "e":"", "o":{"b":1.50}, "l":[1,{"k":"v"}], "t":"true"}"#,
        );
        assert_eq!(value.text(&["id"]).as_deref(), Some("12345678901234567890"));
        assert_eq!(value.string(&["id"]), None);
        assert_eq!(value.text(&["missing", "s"]).as_deref(), Some("ab"));
        assert_eq!((value.text(&["n"]), value.text(&["e"]), value.text(&["o"])), (None, None, None));
        assert_eq!(value.raw(&["o"]), Some(r#"{"b":1.50}"#));
        assert_eq!(value.objects(&["l"]).len(), 1);
        assert_eq!(value.flag(&["t"]), Some(true));
        assert!(
            value.has_content(&["o"])
                && value.has_content(&["l"])
                && !value.has_content(&["n"])
                && !value.has_content(&["e"])
        );
        assert!(!object(r#"{"a":[ ]}"#).has_content(&["a"]));
        assert_eq!(value.items(&["missing", "l"]), Some(vec!["1", r#"{"k":"v"}"#]));
        assert_eq!((value.items(&["n"]), value.items(&["missing"])), (Some(vec![]), None));
        assert_eq!((value.items(&["o"]), value.items(&["e"])), (None, None));
    }

    #[test]
    fn text_that_is_not_an_object_is_none() {
        for text in ["", "null", "[]", "1", "\"x\"", "{", "{\"a\":}", "<html>", "{}x"] {
            assert!(Object::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_none());
    }
}
