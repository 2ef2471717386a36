//! Customers' responses to flows, as ConnectBy lists them.
//!
//! Each row contains the answers as JSON within a string. In the provider's own sample both layers are malformed. If a
//! layer cannot be parsed, it is repaired and parsed again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::super::json::{Object, StrayBackslash, repair};
use super::super::{Error, Flows};
use super::Client;
use super::page::List;
use crate::domain::event::Party;
use crate::domain::flow::{Answers, FlowResponse};
use crate::domain::page::{Page, PagePosition};
use crate::domain::{Channel, PhoneNumber, UnixMillis};

#[async_trait]
impl Flows for Client {
    async fn list_flow_responses(
        &self,
        position: Option<&PagePosition>,
    ) -> Result<Page<FlowResponse>, Error> {
        let list = List {
            name: "list_flow_responses",
            route: &self.routes.list_flow_responses,
            keys: &["flowdata", "flowData", "flow_data"],
        };
        self.page(list, position, read_response).await
    }
}

/// Parses a row. A malformed row becomes an item with an error, so it hides no other row.
fn read_response(row: &str) -> FlowResponse {
    let Some(object) = Object::parse(row.as_bytes()) else {
        return FlowResponse {
            flow_id: String::new(),
            sender: sender(None),
            answers: Err("the row is not a JSON object"),
            raw_json: row.to_owned(),
            create_time: None,
            update_time: None,
        };
    };
    let (answers, raw_json) = match answers_text(&object) {
        Some(text) => (answers(&text), text),
        None => (Err("the row has no text under `flow_response`"), row.to_owned()),
    };
    FlowResponse {
        flow_id: object.text(&["flow_id", "flowId"]).unwrap_or_default(),
        sender: sender(object.text(&["from_number", "fromNumber"])),
        answers,
        raw_json,
        create_time: time(object.text(&["created_at", "createdAt"])),
        update_time: time(object.text(&["updated_at", "updatedAt"])),
    }
}

/// The text of the answers: JSON within a string, or an object that is not wrapped in a string.
fn answers_text(row: &Object<'_>) -> Option<String> {
    const KEYS: &[&str] = &["flow_response", "flowResponse"];
    row.string(KEYS).or_else(|| row.raw(KEYS).filter(|raw| raw.starts_with('{')).map(str::to_owned))
}

fn answers(text: &str) -> Result<Answers, &'static str> {
    fields(text)
        .or_else(|| fields(&repair(text, StrayBackslash::Drop)))
        .ok_or("the text under `flow_response` is not a JSON object")
}

fn fields(text: &str) -> Option<Answers> {
    let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let mut fields: BTreeMap<String, String> =
        entries.into_iter().map(|(name, value)| (name, plain_text(value.get()))).collect();
    let flow_token = fields.remove("flow_token").filter(|token| token != "null").unwrap_or_default();
    Some(Answers { fields, flow_token })
}

/// A string's value, or the JSON text of any other value.
fn plain_text(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

fn sender(from_number: Option<String>) -> Party {
    let text = from_number.unwrap_or_default();
    let number = text.parse::<PhoneNumber>().map(|number| number.to_string()).ok();
    Party {
        address: number.clone().unwrap_or(text),
        phone_number: number.unwrap_or_default(),
        channel: Some(Channel::WhatsApp),
        ..Party::default()
    }
}

/// Parses Unix seconds.
fn time(text: Option<String>) -> Option<UnixMillis> {
    let seconds: i64 = text?.trim().parse().ok()?;
    (0..=UnixMillis::LAST_SECOND).contains(&seconds).then(|| UnixMillis::from_seconds(seconds)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sample from the provider's documentation, byte for byte.
    const SAMPLE: &str = include_str!("flow_data_sample.txt");

    #[test]
    fn sample_from_the_documentation_is_parsed_completely() {
        assert!(Object::parse(SAMPLE.as_bytes()).is_none(), "the sample is not JSON");
        let repaired = repair(SAMPLE, StrayBackslash::Keep);
        let page = Object::parse(repaired.as_bytes()).expect("valid JSON after the repair");
        let rows: Vec<FlowResponse> =
            page.items(&["flowdata"]).expect("rows").into_iter().map(read_response).collect();
        assert_eq!(rows.len(), 2);
        for row in rows {
            assert_eq!(row.flow_id, "1234567890123456");
            assert_eq!(
                (row.sender.address.as_str(), row.sender.phone_number.as_str()),
                ("+919876543210", "+919876543210")
            );
            let at = Some(UnixMillis(1_738_651_325_000));
            assert_eq!((row.create_time, row.update_time), (at, at));
            assert!(row.raw_json.starts_with(r#"{"screen_0_Email_ID_4":"Test\@test.com","flow_token":"#));
            let read = row.answers.expect("answers");
            assert_eq!(read.flow_token, "919876543210-1234567890123456");
            let expected = [
                ("screen_0_Describe_Issues_6", "Test"),
                ("screen_0_Duration_of_Symptoms_7", "Test"),
                ("screen_0_Email_ID_4", "Test@test.com"),
                ("screen_0_First_Visit_or_FollowUp_0", "0_First_Visit"),
                ("screen_0_Patient_Name_3", "Test patient"),
                ("screen_0_Patient_Phone_Number_5", "9876543210"),
                ("screen_0_Preferred_Date_1", "2025-02-04"),
                ("screen_0_Preferred_Time_2", "0_10:00_AM"),
            ];
            let read: Vec<(&str, &str)> = read.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn answer_that_is_not_a_string_is_its_json_text() {
        let read =
            answers(r#"{"n":1.50,"l":["a", 2],"o":{"k":null},"z":null,"s":"x\u0041","e":"","flow_token":7}"#);
        let read = read.expect("answers");
        let fields: Vec<(&str, &str)> = read.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("e", ""),
            ("l", r#"["a", 2]"#),
            ("n", "1.50"),
            ("o", r#"{"k":null}"#),
            ("s", "xA"),
            ("z", "null"),
        ];
        assert_eq!((fields.as_slice(), read.flow_token.as_str()), (&expected[..], "7"));
        assert_eq!(answers(r#"{"flow_token":null}"#), Ok(Answers::default()));
    }

    #[test]
    fn answers_not_wrapped_in_a_string_are_parsed() {
        let row = read_response(r#"{"flow_response":{"a": "b"}}"#);
        assert_eq!(row.raw_json, r#"{"a": "b"}"#);
        assert_eq!(row.answers.expect("answers").fields["a"], "b");
    }

    #[test]
    fn malformed_row_reports_a_problem_and_keeps_its_text() {
        for row in
            ["null", "7", "\"x\"", "[]", "{}", r#"{"flow_response":null}"#, r#"{"flow_response":["a"]}"#]
        {
            let read = read_response(row);
            assert!(read.answers.is_err(), "{row}");
            assert_eq!(read.raw_json, row);
        }
        for text in ["secret", "[\"secret\"]", "{\"secret\":", "null"] {
            let read = read_response(&serde_json::json!({"flow_id": 9, "flow_response": text}).to_string());
            let problem = read.answers.expect_err("not an object");
            assert!(!problem.contains("secret"));
            assert_eq!((read.flow_id.as_str(), read.raw_json.as_str()), ("9", text));
        }
    }

    #[test]
    fn sender_that_is_not_a_phone_number_keeps_its_text() {
        assert_eq!(sender(Some("919876543210".to_owned())).address, "+919876543210");
        let other = sender(Some("US.77".to_owned()));
        assert_eq!((other.address.as_str(), other.phone_number.as_str()), ("US.77", ""));
        assert_eq!(sender(None).address, "");
    }

    #[test]
    fn invalid_time_is_absent() {
        let read = |text: &str| time(Some(text.to_owned()));
        assert_eq!(read("1738651325"), Some(UnixMillis(1_738_651_325_000)));
        assert_eq!(read("253402300799"), Some(UnixMillis(253_402_300_799_000)));
        for bad in ["", "soon", "-1", "1.5", "253402300800", "99999999999999999999"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(time(None), None);
    }

    proptest! {
        #[test]
        fn any_row_parses_without_panic(row in r#"\{"flow_response":"[{}\[\]a@,:\\"]{0,40}"\}|\PC{0,60}"#, text in r#"\PC{0,40}|\{"[a\\@u"]{0,20}"#) {
            read_response(&row);
            let wrapped = read_response(&serde_json::json!({"flow_response": text}).to_string());
            prop_assert_eq!(text.is_empty(), wrapped.raw_json != text);
        }
    }
}
