//! Repairs slightly malformed JSON. It handles the two errors of a provider's own sample: escapes that JSON does not
//! define, and an array that is not closed before its enclosing object.
//!
//! Use it only for text that failed to parse, and parse its output again. It works in one pass. Truncated text is not
//! completed, because the missing part is unknown.

/// How to repair a backslash that starts no valid escape.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider) enum StrayBackslash {
    /// Keeps it as a character of the string, because the string may contain JSON itself.
    Keep,
    /// Drops it, as most JavaScript parsers do: `\@` becomes `@`.
    Drop,
}

/// Repairs all known errors in `text`. Valid JSON is returned unchanged.
///
/// Inside strings, an invalid escape is resolved and control characters are escaped. Outside strings, a closing bracket
/// first closes all brackets that are open within its own pair.
pub(in crate::provider) fn repair(text: &str, stray: StrayBackslash) -> String {
    let mut repaired = String::with_capacity(text.len() + 16);
    let mut open = OpenBrackets::default();
    let mut in_string = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' if in_string => {
                let escape = escape_length(rest.as_str());
                repaired.push_str(match (escape, stray) {
                    (0, StrayBackslash::Keep) => r"\\",
                    (0, StrayBackslash::Drop) => "",
                    _ => "\\",
                });
                repaired.extend(rest.by_ref().take(escape));
                continue;
            }
            '\0'..='\u{1f}' if in_string => {
                repaired.push_str(&format!("\\u{:04x}", u32::from(c)));
                continue;
            }
            '"' => in_string = !in_string,
            _ if in_string => {}
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' => open.close(c, &mut repaired),
            _ => {}
        }
        repaired.push(c);
    }
    repaired
}

/// How many characters after a backslash form an escape with it; 0 if they form none.
fn escape_length(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
        [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => 5,
        _ => 0,
    }
}

/// The closing brackets that are still missing, innermost last.
#[derive(Debug, Default)]
struct OpenBrackets {
    closers: Vec<char>,
    /// How many of them are braces. The count finds an unmatched bracket without a search.
    braces: usize,
}

impl OpenBrackets {
    fn push(&mut self, closer: char) {
        self.closers.push(closer);
        self.braces += usize::from(closer == '}');
    }

    /// Closes a pair after all brackets that are open within it. An unmatched bracket closes nothing.
    fn close(&mut self, closer: char, repaired: &mut String) {
        let matching = if closer == '}' { self.braces } else { self.closers.len() - self.braces };
        if matching == 0 {
            return;
        }
        while let Some(innermost) = self.closers.pop() {
            self.braces -= usize::from(innermost == '}');
            if innermost == closer {
                return;
            }
            repaired.push(innermost);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn unknown_escape_keeps_both_characters() {
        for (broken, expected) in [
            (r#"{"a":"x\@y"}"#, r#"{"a":"x\\@y"}"#),
            (r#"{"a":"\u12 \uZZZZ \é"}"#, r#"{"a":"\\u12 \\uZZZZ \\é"}"#),
            (r#"{"a":"\\\@"}"#, r#"{"a":"\\\\@"}"#),
            (r#"{"\@":"\u0041\"\/\b\f\n\r\t\\"}"#, r#"{"\\@":"\u0041\"\/\b\f\n\r\t\\"}"#),
            ("{\"a\":\"x\ny\u{1}\"}", r#"{"a":"x\u000ay\u0001"}"#),
        ] {
            assert_eq!(repair(broken, StrayBackslash::Keep), expected);
            assert!(serde_json::from_str::<Value>(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn bracket_open_within_a_pair_is_closed_before_it() {
        for (broken, expected) in [
            ("{\"l\":[{\"a\":1},\n{\"a\":2}\n}", "{\"l\":[{\"a\":1},\n{\"a\":2}\n]}"),
            (r#"{"l":[[1,[2}"#, r#"{"l":[[1,[2]]]}"#),
            (r#"[{"a":{"b":1]"#, r#"[{"a":{"b":1}}]"#),
            (r#"{"s":"]}","l":["[{"}"#, r#"{"s":"]}","l":["[{"]}"#),
        ] {
            assert_eq!(repair(broken, StrayBackslash::Keep), expected);
            assert!(serde_json::from_str::<Value>(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn truncated_text_stays_invalid() {
        for text in ["", "{", r#"{"l":[{"a":1}"#, r#"{"a":"x"#, r#"{"a":"x\"#, r#"{"a":1}}"#, "]", "<html>"] {
            assert!(serde_json::from_str::<Value>(&repair(text, StrayBackslash::Keep)).is_err(), "{text:?}");
        }
    }

    /// An unmatched bracket must not cause a search through all open brackets: 4 MiB of them would take hours.
    #[test]
    fn long_text_is_repaired_in_one_pass() {
        let text = "[".repeat(2 << 20) + &"}".repeat(2 << 20);
        assert_eq!(repair(&text, StrayBackslash::Keep), text);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn stray_backslash_is_dropped_on_request() {
        assert_eq!(repair(r#"{"a":"x\@y\n\\@"}"#, StrayBackslash::Drop), r#"{"a":"x@y\n\\@"}"#);
    }

    proptest! {
        #[test]
        fn repair_never_panics_and_is_idempotent(text in r#"[\[\]{}",:\\@u0-9a\n]{0,60}|\PC{0,40}"#) {
            let once = repair(&text, StrayBackslash::Keep);
            prop_assert!(once.len() <= 7 * text.len());
            prop_assert_eq!(repair(&once, StrayBackslash::Keep), once);
        }

        #[test]
        fn valid_json_is_unchanged(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(repair(&text, StrayBackslash::Keep), text);
        }

        #[test]
        fn unclosed_array_is_closed(rows in prop::collection::vec(any_json(), 0..4)) {
            let expected = serde_json::json!({"rows": rows}).to_string();
            let broken = format!("{}}}", expected.strip_suffix("]}").expect("the closing brackets"));
            prop_assert_eq!(repair(&broken, StrayBackslash::Keep), expected);
        }
    }
}
