//! Lists templates page by page, and checks template messages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use url::Url;

use super::super::exchange::Request;
use super::super::reply::Reply;
use super::{GraphError, SendError, object, recipient, refusal, required, seed};

const PAGE: usize = 3;

/// The templates of the account.
#[derive(Debug)]
pub(super) struct Templates {
    templates: Vec<Value>,
}

impl Templates {
    pub(super) fn seeded() -> Self {
        Self { templates: seed::templates() }
    }

    /// Returns a page after or before a cursor. A cursor identifies an item, as at Meta.
    pub(super) fn list(&self, request: &Request, base_url: &Url) -> Reply {
        let position_of = |name| request.query(name).map(|cursor| position(&cursor));
        let (start, end) = match (position_of("after"), position_of("before")) {
            (None, None) => (0, PAGE),
            (Some(Some(at)), None) => (at + 1, at + 1 + PAGE),
            (None, Some(Some(at))) => (at.saturating_sub(PAGE), at),
            (Some(_), Some(_)) => return refusal(400, "after and before exclude each other"),
            _ => return refusal(400, "The cursor is not valid"),
        };
        let end = end.min(self.templates.len());
        let start = start.min(end);
        let link = |name: &str, at: usize| json!(format!("{base_url}v1.0/templates?{name}={}", cursor(at)));
        let mut paging = Map::new();
        if start > 0 {
            paging.insert("previous".to_owned(), link("before", start));
        }
        if end < self.templates.len() {
            paging.insert("next".to_owned(), link("after", end.saturating_sub(1)));
        }
        let data = &self.templates[start..end];
        Reply::json(200, &json!({"success": true, "responseData": {"data": data, "paging": paging}}))
    }

    /// Checks a template message and returns its recipient.
    pub(super) fn check_send(&self, request: &Request) -> Result<String, SendError> {
        let connectby_error = |reply| SendError::ConnectBy(Box::new(reply));
        let body = object(request).map_err(connectby_error)?;
        let to_number = required(&body, "to_number").and_then(recipient).map_err(connectby_error)?;
        let given = &body["template"];
        if !given.is_object() {
            return Err(connectby_error(refusal(400, "The template field is required")));
        }
        let listed = self
            .templates
            .iter()
            .find(|listed| listed["name"] == given["name"] && listed["language"] == given["language"])
            .ok_or_else(|| graph_error(132001, "There is no such template in this language"))?;
        if listed != given {
            return Err(connectby_error(refusal(400, "The template is not the object that the list gave")));
        }
        match listed["status"].as_str().unwrap_or_default() {
            "APPROVED" => {}
            "PAUSED" => return Err(graph_error(132015, "The template is paused for its low quality")),
            "DISABLED" => return Err(graph_error(132016, "The template is disabled for its low quality")),
            _ => return Err(graph_error(132001, "The template is not approved")),
        }
        let components = match &body["components"] {
            Value::Null => &[][..],
            Value::Array(components) => components,
            _ => return Err(connectby_error(refusal(400, "components must be an array"))),
        };
        check_components(listed, components)?;
        Ok(to_number.to_owned())
    }
}

fn graph_error(code: i64, details: impl Into<String>) -> SendError {
    SendError::Graph(GraphError { code, details: details.into() })
}

fn cursor(at: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("item:{at}"))
}

fn position(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("item:")?.parse().ok()
}

fn check_components(template: &Value, components: &[Value]) -> Result<(), SendError> {
    let known = ["header", "body", "button", "carousel", "limited_time_offer"];
    let is = |component: &Value, kind: &str| {
        component["type"].as_str().is_some_and(|given| given.eq_ignore_ascii_case(kind))
    };
    if !components.iter().all(|component| known.iter().any(|kind| is(component, kind))) {
        return Err(graph_error(100, "components: unknown type"));
    }
    let given = |kind| components.iter().find(|component| is(component, kind));
    let named = template["parameter_format"] == "NAMED";
    let defined = |kind: &str| elements(&template["components"]).iter().find(|c| c["type"] == kind);

    let header = parameters(given("header"));
    match defined("HEADER") {
        Some(definition) if definition["format"] == "TEXT" => {
            check_text("header", definition, header, named)?;
        }
        Some(definition) => check_medium(definition, header)?,
        None if header.is_empty() => {}
        None => return Err(graph_error(132000, "header: the template has none")),
    }
    check_text("body", defined("BODY").unwrap_or(&Value::Null), parameters(given("body")), named)?;
    check_cards(defined("CAROUSEL"), given("carousel"))?;
    check_offer(defined("LIMITED_TIME_OFFER"), given("limited_time_offer"))?;

    let buttons = defined("BUTTONS").map(|definition| elements(&definition["buttons"])).unwrap_or_default();
    let given: Vec<&Value> = components.iter().filter(|component| is(component, "button")).collect();
    check_buttons(buttons, &given)
}

fn check_text(part: &str, definition: &Value, given: &[Value], named: bool) -> Result<(), SendError> {
    let variables = variables(definition["text"].as_str().unwrap_or_default());
    if given.len() != variables.len() {
        let details = format!(
            "{part}: number of localizable_params ({}) does not match the expected number of params ({})",
            given.len(),
            variables.len()
        );
        return Err(graph_error(132000, details));
    }
    for parameter in given {
        let filled = match parameter["type"].as_str() {
            Some("text") => parameter["text"].as_str().is_some_and(|text| !text.is_empty()),
            Some("currency") => parameter["currency"]["fallback_value"].is_string(),
            Some("date_time") => parameter["date_time"]["fallback_value"].is_string(),
            _ => return Err(graph_error(132012, format!("{part}: expected a text"))),
        };
        if !filled {
            return Err(graph_error(131008, format!("{part}: a parameter has no value")));
        }
        let name = parameter["parameter_name"].as_str();
        if named && !name.is_some_and(|name| variables.contains(&name)) {
            return Err(graph_error(100, format!("{part}: parameter name is missing or unknown")));
        }
    }
    Ok(())
}

fn check_medium(definition: &Value, given: &[Value]) -> Result<(), SendError> {
    let format = definition["format"].as_str().unwrap_or_default().to_lowercase();
    let fits = |parameter: &Value| {
        let medium = &parameter[&format];
        let filled = format == "location" || medium["link"].is_string() || medium["id"].is_string();
        parameter["type"] == format && medium.is_object() && filled
    };
    match given {
        [parameter] if fits(parameter) => Ok(()),
        _ => Err(graph_error(132012, format!("header: Format mismatch, expected {}", format.to_uppercase()))),
    }
}

/// A carousel takes one item for each card of the template, in any order.
fn check_cards(definition: Option<&Value>, given: Option<&Value>) -> Result<(), SendError> {
    let (definition, given) = match (definition, given) {
        (None, None) => return Ok(()),
        (Some(definition), Some(given)) => (definition, given),
        (Some(_), None) => return Err(graph_error(131009, "carousel: the template needs its cards")),
        (None, Some(_)) => return Err(graph_error(132000, "carousel: the template has none")),
    };
    let (defined, given) = (elements(&definition["cards"]), elements(&given["cards"]));
    let filled = |index: usize| given.iter().any(|card| card["card_index"] == index);
    if given.len() == defined.len() && (0..defined.len()).all(filled) {
        Ok(())
    } else {
        Err(graph_error(131009, format!("carousel: the template has {} cards", defined.len())))
    }
}

fn check_offer(definition: Option<&Value>, given: Option<&Value>) -> Result<(), SendError> {
    let given = match (definition, given) {
        (None, None) => return Ok(()),
        (Some(_), Some(given)) => given,
        (Some(_), None) => {
            return Err(graph_error(131009, "limited_time_offer: the template needs its expiration"));
        }
        (None, Some(_)) => return Err(graph_error(132000, "limited_time_offer: the template has none")),
    };
    match parameters(Some(given)) {
        [parameter] if parameter["limited_time_offer"]["expiration_time_ms"].is_u64() => Ok(()),
        _ => Err(graph_error(131009, "limited_time_offer: expected one expiration_time_ms")),
    }
}

fn check_buttons(buttons: &[Value], given: &[&Value]) -> Result<(), SendError> {
    // Meta takes the index as a text and as a number.
    let index = |component: &Value| match &component["index"] {
        Value::String(text) => text.parse::<usize>().ok(),
        other => other.as_u64().and_then(|index| usize::try_from(index).ok()),
    };
    if let Some(stray) = given.iter().find(|c| index(c).is_none_or(|index| index >= buttons.len())) {
        return Err(graph_error(100, format!("buttons: there is no button at index {}", stray["index"])));
    }
    for (at, button) in buttons.iter().enumerate() {
        let variable = button["url"].as_str().is_some_and(|url| !variables(url).is_empty());
        // `missing` is the code of the error for a button without a component, if it needs one.
        let (sub_type, key, missing) = match button["type"].as_str() {
            Some("URL") => ("url", "text", variable.then_some(131008)),
            Some("COPY_CODE") => ("copy_code", "coupon_code", Some(131008)),
            Some("FLOW") => ("flow", "action", Some(131009)),
            Some("MPM") => ("mpm", "action", Some(131009)),
            Some("CATALOG") => ("catalog", "action", None),
            _ => ("quick_reply", "payload", None),
        };
        let fits = |component: &Value, parameter: &Value| {
            let value = &parameter[key];
            let typed = if key == "action" { value.is_object() } else { value.is_string() };
            typed && component["sub_type"].as_str().is_some_and(|given| given.eq_ignore_ascii_case(sub_type))
        };
        match (given.iter().find(|component| index(component) == Some(at)), missing) {
            (None, Some(code)) => {
                let details =
                    format!("buttons: Button at index {at} of type {sub_type} requires a parameter");
                return Err(graph_error(code, details));
            }
            (None, None) => {}
            (Some(component), _) => match parameters(Some(component)) {
                [parameter] if fits(component, parameter) => {}
                _ => {
                    return Err(graph_error(
                        132012,
                        format!("buttons: index {at} expects one {sub_type} {key}"),
                    ));
                }
            },
        }
    }
    Ok(())
}

fn parameters(component: Option<&Value>) -> &[Value] {
    component.map(|component| elements(&component["parameters"])).unwrap_or_default()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The names between `{{` and `}}`.
fn variables(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name.trim()).collect()
}
