//! Runs the conformance table of the client libraries. `clients/conformance/README.md` describes its format.
//!
//! Each case is a test of its name. The lists of names must match the table, and unknown keys fail.

mod answers;
mod calls;
mod ensure_subscription;
mod failures;
mod server;
mod streams;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_client::{Error, FieldViolation};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A case of one file of the table.
trait Case: DeserializeOwned {
    /// The content of the file.
    const TABLE: &str;

    fn name(&self) -> &str;

    async fn run(self);
}

fn table<C: Case>() -> Vec<C> {
    serde_json::from_str(C::TABLE).expect("this suite knows all keys and values")
}

async fn run<C: Case>(name: &str) {
    let case = table::<C>().into_iter().find(|case| case.name() == name).expect("the table has the case");
    case.run().await;
}

fn assert_names<C: Case>(names: &[&str]) {
    let table = table::<C>();
    assert_eq!(table.iter().map(C::name).collect::<Vec<_>>(), names);
}

/// Makes a test of each case of a file.
macro_rules! cases {
    ($case:ty: $($name:ident)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                super::run::<$case>(stringify!($name)).await;
            }
        )+

        #[test]
        fn each_case_of_the_table_is_a_test() {
            super::assert_names::<$case>(&[$(stringify!($name)),+]);
        }
    };
}
use cases;

/// A status that the scripted server returns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedStatus {
    code: String,
    #[serde(default)]
    message: String,
    reason: Option<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
    retry_delay_ms: Option<u64>,
    #[serde(default)]
    field_violations: Vec<ScriptedViolation>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedViolation {
    field: String,
    reason: String,
    description: String,
}

impl PartialEq<FieldViolation> for ScriptedViolation {
    fn eq(&self, other: &FieldViolation) -> bool {
        let got = (&other.field, &other.reason, &other.description);
        (&self.field, &self.reason, &self.description) == got
    }
}

impl ScriptedStatus {
    fn status(&self) -> Status {
        let mut details = ErrorDetails::new();
        if let Some(reason) = &self.reason {
            details.set_error_info(reason, "switchboard", self.metadata.clone());
        }
        if let Some(delay) = self.retry_delay_ms {
            details.set_retry_info(Some(Duration::from_millis(delay)));
        }
        if !self.field_violations.is_empty() {
            let violations = self.field_violations.iter().map(|violation| {
                let mut made = tonic_types::FieldViolation::new(&violation.field, &violation.description);
                made.reason.clone_from(&violation.reason);
                made
            });
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        Status::with_error_details(code(&self.code), &self.message, details)
    }
}

/// The word `ok`, or a status.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Reply {
    Word(Word),
    Fail(ScriptedStatus),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ok,
    Silence,
}

/// The expected end of a call or of a loop: a word or an error.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected<W> {
    Word(W),
    Error(ExpectedError),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    code: OneOrMore,
    /// Empty for an error without a reason.
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl ExpectedError {
    fn check(&self, error: &Error) {
        let codes = match &self.code {
            OneOrMore::One(name) => vec![code(name)],
            OneOrMore::More(names) => names.iter().map(|name| code(name)).collect(),
        };
        assert!(codes.contains(&error.code()) && error.reason() == self.reason, "{error}, want {self:?}");
    }
}

/// The limits of a time in milliseconds, or of a number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Bounds {
    Exactly(u64),
    Range(Range),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    at_least: u64,
    at_most: u64,
}

impl Bounds {
    fn range(self) -> RangeInclusive<u64> {
        match self {
            Self::Exactly(number) => number..=number,
            Self::Range(Range { at_least, at_most }) => at_least..=at_most,
        }
    }

    fn check(self, what: &str, got: usize) {
        assert!(self.range().contains(&(got as u64)), "{what}: {got}, want {self:?}");
    }

    fn check_time(self, what: &str, got: Duration) {
        assert!(
            self.range().contains(&u64::try_from(got.as_millis()).expect("short")),
            "{what}: {got:?}, want {self:?}"
        );
    }
}

/// The code of a name such as `NOT_FOUND`.
fn code(name: &str) -> Code {
    let words = |code: Code| {
        let mut words = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push('_');
            }
            words.push(letter.to_ascii_uppercase());
        }
        words
    };
    let found = (0..=16).map(Code::from).find(|code| words(*code) == name);
    found.unwrap_or_else(|| panic!("unknown code {name}"))
}
