//! Repairs what is not quite JSON, in the ways in which a provider's own sample is not: escapes that JSON does not
//! know, and an array that is not closed before the object around it is.
//!
//! For texts that failed to parse only. It works in one pass, and what it makes of a text is to
//! be parsed again. A text that simply ends is not completed: something was cut off there, and nobody knows what.

/// What becomes of a backslash that makes no escape with what follows it.
#[derive(Clone, Copy, Debug)]
pub(in crate::provider) enum Stray {
    /// It stays a character of the string, for the string may hold JSON of its own.
    Kept,
    /// It goes, as most readers of JavaScript take it: `\@` is `@`.
    Dropped,
}

/// A text with every fault repaired that is known here; of a JSON text, the text itself.
///
/// Inside strings, an unknown escape is resolved and control characters are escaped. Outside of them, a closing bracket
/// first closes what is still open within its own pair.
pub(in crate::provider) fn repaired(text: &str, stray: Stray) -> String {
    let mut repaired = String::with_capacity(text.len() + 16);
    let mut open = Open::default();
    let mut within_string = false;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' if within_string => {
                let escape = escape_length(rest.as_str());
                repaired.push_str(match (escape, stray) {
                    (0, Stray::Kept) => r"\\",
                    (0, Stray::Dropped) => "",
                    _ => "\\",
                });
                repaired.extend(rest.by_ref().take(escape));
                continue;
            }
            '\0'..='\u{1f}' if within_string => {
                repaired.push_str(&format!("\\u{:04x}", u32::from(c)));
                continue;
            }
            '"' => within_string = !within_string,
            _ if within_string => {}
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' => open.close_within(c, &mut repaired),
            _ => {}
        }
        repaired.push(c);
    }
    repaired
}

/// How many characters behind a backslash make an escape with it: 0 when they make none.
fn escape_length(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
        [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => 5,
        _ => 0,
    }
}

/// The closing brackets that are still to come, innermost last.
#[derive(Debug, Default)]
struct Open {
    closers: Vec<char>,
    /// How many of them are braces: so that a bracket without a partner is known without a search.
    braces: usize,
}

impl Open {
    fn push(&mut self, closer: char) {
        self.closers.push(closer);
        self.braces += usize::from(closer == '}');
    }

    /// Closes a pair, after all that is still open within it. A bracket without a partner closes nothing.
    fn close_within(&mut self, closer: char, repaired: &mut String) {
        let partners = if closer == '}' { self.braces } else { self.closers.len() - self.braces };
        if partners == 0 {
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
    fn an_unknown_escape_keeps_both_its_characters() {
        for (broken, whole) in [
            (r#"{"a":"x\@y"}"#, r#"{"a":"x\\@y"}"#),
            (r#"{"a":"\u12 \uZZZZ \é"}"#, r#"{"a":"\\u12 \\uZZZZ \\é"}"#),
            (r#"{"a":"\\\@"}"#, r#"{"a":"\\\\@"}"#),
            (r#"{"\@":"\u0041\"\/\b\f\n\r\t\\"}"#, r#"{"\\@":"\u0041\"\/\b\f\n\r\t\\"}"#),
            ("{\"a\":\"x\ny\u{1}\"}", r#"{"a":"x\u000ay\u0001"}"#),
        ] {
            assert_eq!(repaired(broken, Stray::Kept), whole);
            assert!(serde_json::from_str::<Value>(whole).is_ok(), "{whole}");
        }
    }

    #[test]
    fn what_is_open_within_a_pair_is_closed_before_it() {
        for (broken, whole) in [
            ("{\"l\":[{\"a\":1},\n{\"a\":2}\n}", "{\"l\":[{\"a\":1},\n{\"a\":2}\n]}"),
            (r#"{"l":[[1,[2}"#, r#"{"l":[[1,[2]]]}"#),
            (r#"[{"a":{"b":1]"#, r#"[{"a":{"b":1}}]"#),
            (r#"{"s":"]}","l":["[{"}"#, r#"{"s":"]}","l":["[{"]}"#),
        ] {
            assert_eq!(repaired(broken, Stray::Kept), whole);
            assert!(serde_json::from_str::<Value>(whole).is_ok(), "{whole}");
        }
    }

    #[test]
    fn what_is_cut_off_stays_cut_off() {
        for text in ["", "{", r#"{"l":[{"a":1}"#, r#"{"a":"x"#, r#"{"a":"x\"#, r#"{"a":1}}"#, "]", "<html>"] {
            assert!(serde_json::from_str::<Value>(&repaired(text, Stray::Kept)).is_err(), "{text:?}");
        }
    }

    /// A bracket without a partner must not cost a walk through all that is open: 4 MiB of them would take hours.
    #[test]
    fn a_long_text_takes_one_pass() {
        let text = "[".repeat(2 << 20) + &"}".repeat(2 << 20);
        assert_eq!(repaired(&text, Stray::Kept), text);
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
    fn a_stray_backslash_is_dropped_where_that_is_wanted() {
        assert_eq!(repaired(r#"{"a":"x\@y\n\\@"}"#, Stray::Dropped), r#"{"a":"x@y\n\\@"}"#);
    }

    proptest! {
        #[test]
        fn repairing_never_panics_and_repairs_all_at_once(text in r#"[\[\]{}",:\\@u0-9a\n]{0,60}|\PC{0,40}"#) {
            let once = repaired(&text, Stray::Kept);
            prop_assert!(once.len() <= 7 * text.len());
            prop_assert_eq!(repaired(&once, Stray::Kept), once);
        }

        #[test]
        fn json_is_its_own_repair(value in any_json()) {
            let text = value.to_string();
            prop_assert_eq!(repaired(&text, Stray::Kept), text);
        }

        #[test]
        fn an_array_that_was_not_closed_is_read_as_if_it_was(rows in prop::collection::vec(any_json(), 0..4)) {
            let whole = serde_json::json!({"rows": rows}).to_string();
            let broken = format!("{}}}", whole.strip_suffix("]}").expect("ends so"));
            prop_assert_eq!(repaired(&broken, Stray::Kept), whole);
        }
    }
}
