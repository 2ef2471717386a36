//! The correlation tag: the `callbackData` of a message, which the provider returns with the message's events. It
//! contains the attempt id and the client's own JSON.
//!
//! **Invariants.** The tag fits into the provider's 1024 bytes for every valid client JSON. The client's JSON is passed
//! on byte for byte and never serialized again. Only the exact form that Switchboard writes is read as a tag; any other
//! `callbackData` belongs to another system and stays unchanged.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::json::Object;
use crate::domain::AttemptId;
use crate::domain::message::CallbackData;

/// `{"sb": "<message id>/<attempt>", "d": <the caller's JSON>}`.
#[derive(Debug, Serialize)]
pub(super) struct CorrelationTag<'a> {
    sb: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<&'a RawValue>,
}

impl<'a> CorrelationTag<'a> {
    /// The tag of an attempt, with the client's JSON.
    pub(super) fn new(attempt: AttemptId, data: Option<&'a CallbackData>) -> Self {
        let d = data.map(|data| serde_json::from_str(data.as_str()).expect("`CallbackData` is valid JSON"));
        Self { sb: attempt.to_string(), d }
    }
}

/// A tag that a webhook returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReturnedTag {
    /// The attempt that the tag was sent with.
    pub(super) attempt: AttemptId,
    /// The client's JSON, if there was any.
    pub(super) data: Option<String>,
}

/// Parses a returned `callbackData`: the object itself, or the object as a string. `None` if it is not a tag.
pub(super) fn read(callback_data: &str) -> Option<ReturnedTag> {
    let text = match callback_data.as_bytes().first()? {
        b'"' => Cow::Owned(serde_json::from_str::<String>(callback_data).ok()?),
        _ => Cow::Borrowed(callback_data),
    };
    let object = Object::parse(text.as_bytes())?;
    let written = object.string(&["sb"])?;
    // A spelling that Switchboard never writes is not a tag, even if it can be parsed.
    let attempt = written.parse().ok().filter(|attempt: &AttemptId| attempt.to_string() == written)?;
    Some(ReturnedTag { attempt, data: object.raw_or_null("d").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::MessageId;

    /// The provider's limit.
    const MAX_BYTES: usize = 1_024;

    fn attempt(number: u32) -> AttemptId {
        AttemptId { message_id: MessageId::generate(), number }
    }

    fn tag(attempt: AttemptId, data: Option<&CallbackData>) -> String {
        serde_json::to_string(&CorrelationTag::new(attempt, data)).expect("JSON")
    }

    #[test]
    fn longest_callback_data_fits_with_the_longest_attempt() {
        let longest = format!("\"{}\"", "x".repeat(CallbackData::MAX_BYTES - 2));
        let data: CallbackData = longest.parse().expect("the maximum length");
        let tag = tag(attempt(u32::MAX), Some(&data));
        assert!(tag.len() <= MAX_BYTES && tag.contains(&longest), "{} bytes", tag.len());
        assert!(format!("{longest} ").parse::<CallbackData>().is_err());
    }

    #[test]
    fn sent_tag_is_read_back_as_an_object_and_as_a_string() {
        for data in [
            None,
            Some("null"),
            Some("7"),
            Some(r#""order-77""#),
            Some(r#"{"b": 1.50, "a":[ 12345678901234567890, 1E2 ],"k":"\u00e9\\\"","k":null}"#),
            Some("{ \n\t}"),
        ] {
            let attempt = attempt(1);
            let client_data = data.map(|data| data.parse::<CallbackData>().expect("JSON"));
            let tag = tag(attempt, client_data.as_ref());
            if let Some(data) = data {
                assert_eq!(tag, format!(r#"{{"sb":"{attempt}","d":{data}}}"#));
            } else {
                assert_eq!(tag, format!(r#"{{"sb":"{attempt}"}}"#));
            }
            let expected = Some(ReturnedTag { attempt, data: data.map(str::to_owned) });
            assert_eq!(read(&tag), expected);
            assert_eq!(read(&serde_json::to_string(&tag).expect("JSON")), expected, "as a string");
        }
    }

    #[test]
    fn callback_data_of_other_systems_is_not_a_tag() {
        let id = MessageId::generate();
        for other in [
            String::new(),
            "null".to_owned(),
            "7".to_owned(),
            format!(r#""{id}/1""#),
            format!(r#"["sb","{id}/1"]"#),
            "{}".to_owned(),
            r#"{"sb":null}"#.to_owned(),
            r#"{"sb":7}"#.to_owned(),
            format!(r#"{{"sb":["{id}/1"]}}"#),
            format!(r#"{{"sb":"{id}"}}"#),
            format!(r#"{{"sb":"{id}/"}}"#),
            format!(r#"{{"sb":"{id}/0"}}"#),
            format!(r#"{{"sb":"{id}/-1"}}"#),
            format!(r#"{{"sb":"{id}/+1"}}"#),
            format!(r#"{{"sb":"{id}/01"}}"#),
            format!(r#"{{"sb":"{id}/1/1"}}"#),
            format!(r#"{{"sb":"{id}/4294967296"}}"#),
            format!(r#"{{"sb":"{id}/{}"}}"#, "9".repeat(1_000)),
            format!(r#"{{"sb":"{id}/1 "}}"#),
            format!(r#"{{"sb":"{}/1"}}"#, id.to_string().to_lowercase()),
            r#"{"sb":"msg_/1"}"#.to_owned(),
            r#"{"sb":"msg_ZZZZZZZZZZZZZZZZZZZZZZZZZZ/1"}"#.to_owned(),
            format!(r#"{{"SB":"{id}/1"}}"#),
            format!(r#"{{"d":{{"sb":"{id}/1"}}}}"#),
            // Truncated, and a string within a string.
            format!(r#"{{"sb":"{id}/1","d":"#),
            format!(r#""{{\"sb\":\"{id}/1\",\"d\":}}""#),
            serde_json::to_string(&serde_json::to_string(&format!(r#"{{"sb":"{id}/1"}}"#)).expect("JSON"))
                .expect("JSON"),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    #[test]
    fn unknown_keys_do_not_hide_a_tag() {
        let attempt = attempt(3);
        for (data, text) in [
            (None, format!(r#"{{"x":[1],"sb":"{attempt}","":null}}"#)),
            (Some("1e999"), format!(r#"{{ "d" : 1e999 , "extra": {{"sb":"x"}}, "sb" : "{attempt}" }}"#)),
            (Some("2"), format!(r#"{{"sb":"x","sb":"{attempt}","d":1,"d":2}}"#)),
            (Some("null"), format!(r#"{{"sb":"{attempt}","d":null}}"#)),
        ] {
            assert_eq!(read(&text), Some(ReturnedTag { attempt, data: data.map(str::to_owned) }), "{text}");
        }
    }
}
