//! What travels with a message as its `callbackData` and comes back with its events: which attempt of ours it is, and
//! the caller's own JSON beside that.
//!
//! **Invariants.** The whole fits into the provider's 1024 bytes, whatever the caller gave. The caller's JSON is passed
//! on as it was written, and never re-serialised by us. Only what we write is taken for ours on the way back; anything
//! else is somebody's own and is left as it is.

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
    /// The mark of an attempt, with what its caller wants back.
    pub(super) fn new(attempt: AttemptId, data: Option<&'a CallbackData>) -> Self {
        let d = data.map(|data| serde_json::from_str(data.as_str()).expect("it was held against JSON"));
        Self { sb: attempt.to_string(), d }
    }
}

/// A mark of ours that came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Returned {
    /// The attempt that it was put on.
    pub(super) attempt: AttemptId,
    /// The caller's JSON, if there was any.
    pub(super) data: Option<String>,
}

/// Reads a `callbackData` that came back, as the object that it was or as that object's text. None when it is not ours.
pub(super) fn read(callback_data: &str) -> Option<Returned> {
    let text = match callback_data.as_bytes().first()? {
        b'"' => Cow::Owned(serde_json::from_str::<String>(callback_data).ok()?),
        _ => Cow::Borrowed(callback_data),
    };
    let object = Object::parse(text.as_bytes())?;
    let written = object.string(&["sb"])?;
    // A spelling that we never write is not ours, though it could be read.
    let attempt = written.parse().ok().filter(|attempt: &AttemptId| attempt.to_string() == written)?;
    Some(Returned { attempt, data: object.written("d").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::MessageId;

    /// The provider's limit.
    const MOST_BYTES: usize = 1_024;

    fn attempt(number: u32) -> AttemptId {
        AttemptId { message_id: MessageId::generate(), number }
    }

    fn mark(attempt: AttemptId, data: Option<&CallbackData>) -> String {
        serde_json::to_string(&CorrelationTag::new(attempt, data)).expect("JSON")
    }

    #[test]
    fn the_longest_callback_data_fits_with_the_longest_attempt() {
        let longest = format!("\"{}\"", "x".repeat(CallbackData::MAX_BYTES - 2));
        let data: CallbackData = longest.parse().expect("as long as it may be");
        let mark = mark(attempt(u32::MAX), Some(&data));
        assert!(mark.len() <= MOST_BYTES && mark.contains(&longest), "{} bytes", mark.len());
        assert!(format!("{longest} ").parse::<CallbackData>().is_err());
    }

    #[test]
    fn what_goes_out_comes_back_as_an_object_and_as_its_text() {
        for data in [
            None,
            Some("null"),
            Some("7"),
            Some(r#""order-77""#),
            Some(r#"{"b": 1.50, "a":[ 12345678901234567890, 1E2 ],"k":"\u00e9\\\"","k":null}"#),
            Some("{ \n\t}"),
        ] {
            let attempt = attempt(1);
            let given = data.map(|data| data.parse::<CallbackData>().expect("JSON"));
            let mark = mark(attempt, given.as_ref());
            if let Some(data) = data {
                assert_eq!(mark, format!(r#"{{"sb":"{attempt}","d":{data}}}"#));
            } else {
                assert_eq!(mark, format!(r#"{{"sb":"{attempt}"}}"#));
            }
            let expected = Some(Returned { attempt, data: data.map(str::to_owned) });
            assert_eq!(read(&mark), expected);
            assert_eq!(read(&serde_json::to_string(&mark).expect("JSON")), expected, "as a text");
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let id = MessageId::generate();
        for not_ours in [
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
            // Broken off, and a text of a text.
            format!(r#"{{"sb":"{id}/1","d":"#),
            format!(r#""{{\"sb\":\"{id}/1\",\"d\":}}""#),
            serde_json::to_string(&serde_json::to_string(&format!(r#"{{"sb":"{id}/1"}}"#)).expect("JSON"))
                .expect("JSON"),
        ] {
            assert_eq!(read(&not_ours), None, "{not_ours}");
        }
    }

    #[test]
    fn what_stands_beside_our_own_keys_does_not_hide_them() {
        let attempt = attempt(3);
        for (data, ours) in [
            (None, format!(r#"{{"x":[1],"sb":"{attempt}","":null}}"#)),
            (Some("1e999"), format!(r#"{{ "d" : 1e999 , "extra": {{"sb":"x"}}, "sb" : "{attempt}" }}"#)),
            (Some("2"), format!(r#"{{"sb":"x","sb":"{attempt}","d":1,"d":2}}"#)),
            (Some("null"), format!(r#"{{"sb":"{attempt}","d":null}}"#)),
        ] {
            assert_eq!(read(&ours), Some(Returned { attempt, data: data.map(str::to_owned) }), "{ours}");
        }
    }
}
