//! The `components` of a template message as JSON, for components that have no typed field.

use std::str::FromStr;

use serde_json::Value;

/// The `components` of a template message as the client wrote them: a JSON array in Meta's format.
///
/// They are passed on byte for byte and never serialized again.
///
/// ```
/// use switchboard::domain::template::ComponentsJson;
///
/// let json = r#"[{"type": "button", "sub_type": "flow", "index": "0"}]"#;
/// let components: ComponentsJson = json.parse()?;
/// assert_eq!(components.as_str(), json);
/// assert!(components.has_button("flow", 0) && !components.has("carousel"));
/// # Ok::<(), switchboard::domain::template::ComponentsJsonMalformed>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ComponentsJson {
    json: String,
    items: Vec<Item>,
}

debug_without_content!(ComponentsJson);

/// What the check of a template needs to know about a component. A component with an unusual form has none of it.
#[derive(Clone, PartialEq, Eq)]
struct Item {
    kind: String,
    /// The kind of a button.
    sub_type: String,
    /// The position of a button in the template.
    index: Option<u64>,
}

/// Why a string is not [`ComponentsJson`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentsJsonMalformed {
    /// Longer than the limit.
    #[error("must be at most {} bytes", ComponentsJson::MAX_BYTES)]
    TooLong,
    /// Not a JSON array.
    #[error("must be a JSON array of components, such as `[{{\"type\": \"carousel\", \"cards\": []}}]`")]
    NotAnArray,
}

impl ComponentsJson {
    /// The maximum length in bytes.
    pub const MAX_BYTES: usize = 65_536;

    /// An empty array.
    pub fn empty() -> Self {
        Self { json: "[]".to_owned(), items: Vec::new() }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.json
    }

    /// Whether there is a component of this type. Meta ignores the case of type names.
    pub fn has(&self, kind: &str) -> bool {
        self.items.iter().any(|item| item.kind.eq_ignore_ascii_case(kind))
    }

    /// Whether there is a component for the button of this type at this index.
    pub fn has_button(&self, sub_type: &str, index: u32) -> bool {
        self.items.iter().any(|item| {
            item.kind.eq_ignore_ascii_case("button")
                && item.sub_type.eq_ignore_ascii_case(sub_type)
                && item.index == Some(index.into())
        })
    }
}

impl FromStr for ComponentsJson {
    type Err = ComponentsJsonMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.len() > Self::MAX_BYTES {
            return Err(ComponentsJsonMalformed::TooLong);
        }
        let items: Vec<Value> = serde_json::from_str(s).map_err(|_| ComponentsJsonMalformed::NotAnArray)?;
        Ok(Self { json: s.to_owned(), items: items.iter().map(Item::new).collect() })
    }
}

impl Item {
    fn new(component: &Value) -> Self {
        let text = |key: &str| component[key].as_str().unwrap_or_default().to_owned();
        // Meta accepts the index as text and as a number.
        let index = match &component["index"] {
            Value::String(index) => index.parse().ok(),
            index => index.as_u64(),
        };
        Self { kind: text("type"), sub_type: text("sub_type"), index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_json_array_within_the_limit_is_accepted() {
        for good in ["[]", " [ ] ", "[1, null, {}]", r#"[{"type":"carousel","type":"body"}]"#] {
            assert_eq!(good.parse::<ComponentsJson>().map(|components| components.json), Ok(good.to_owned()));
        }
        for bad in ["", " ", "{}", "null", "[", "[]]", "[,]", r#""[]""#, &"[".repeat(1_000)] {
            assert_eq!(bad.parse::<ComponentsJson>(), Err(ComponentsJsonMalformed::NotAnArray), "{bad}");
        }
        let longest = format!("[{}]", " ".repeat(ComponentsJson::MAX_BYTES - 2));
        assert!(longest.parse::<ComponentsJson>().is_ok());
        assert_eq!(format!("{longest} ").parse::<ComponentsJson>(), Err(ComponentsJsonMalformed::TooLong));
    }

    #[test]
    fn component_is_found_by_type_and_button_also_by_index() {
        let json = r#"[7, {"type": "CAROUSEL"}, {"type": "limited_time_offer"}, {"type": "button"},
            {"type": "button", "sub_type": "FLOW", "index": "1"}, {"type": "Button", "sub_type": "mpm", "index": 2}]"#;
        let components: ComponentsJson = json.parse().expect("an array");
        assert!(components.has("carousel") && components.has("limited_time_offer"));
        assert!(!components.has("header") && !components.has("button_reply"));
        assert!(components.has_button("flow", 1) && components.has_button("mpm", 2));
        for (sub_type, index) in [("flow", 0), ("flow", 2), ("mpm", 1), ("catalog", 1)] {
            assert!(!components.has_button(sub_type, index), "{sub_type} {index}");
        }
        assert!(!ComponentsJson::empty().has("body"));
    }
}
