//! Checks the values of a send against the template, as the provider lists it.
//!
//! **Invariants.** A check fails only if this version understands the template. If it does not know a part, a button or
//! a notation, every value that depends on it passes. All mismatches are reported together, and none quotes a value of
//! the request.

use crate::domain::template::{
    Button, ButtonValue, Category, Component, ComponentButton, Definition, Filled, Header, ParameterFormat,
    Part, Status,
};

/// A part of a send that does not match its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateMismatch {
    /// The field's path in the request, `template.body[1]`.
    pub field: String,
    /// What the template requires. Never quotes the request's values.
    pub problem: String,
}

/// The maximum number of bytes of parameter names in a problem.
const MAX_NAMES_BYTES: usize = 200;

/// Finds all mismatches.
pub(super) fn mismatches(rules: &dyn Rules, template: &Definition, filled: &Filled) -> Vec<TemplateMismatch> {
    let check = Check { rules, template, filled };
    let mut found = Vec::new();
    check.approval(&mut found);
    // The content of components as JSON is not checked: the provider knows their format.
    if filled.components_json.is_none() {
        found.extend(check.header());
        check.body(&mut found);
        check.buttons(&mut found);
    }
    rules.needed_components(&check, &mut found);
    found
}

/// Where providers differ in how a send fills a template.
pub(super) trait Rules {
    /// Checks the values for the body's parameters.
    fn body(&self, check: &Check<'_>, variables: &Variables<'_>, found: &mut Vec<TemplateMismatch>);

    /// Checks that the send has every component that the template needs and that has no typed field.
    fn needed_components(&self, check: &Check<'_>, found: &mut Vec<TemplateMismatch>);

    /// Whether a value for a named parameter in the header must have its name.
    fn requires_header_name(&self) -> bool;

    /// Whether it is known how the provider takes a location in the header.
    fn takes_header_location(&self) -> bool;

    /// Whether the provider may fill a one-time password's button itself, from the body.
    fn may_fill_password_button(&self) -> bool;

    /// Whether a button that copies a code must be filled.
    fn requires_coupon_code(&self) -> bool;

    /// Whether a body parameter whose name starts with this fills another part than the body.
    fn fills_by_name(&self, filled: &Filled, prefix: &str) -> bool;
}

/// A send and its template.
pub(super) struct Check<'a> {
    rules: &'a dyn Rules,
    pub(super) template: &'a Definition,
    pub(super) filled: &'a Filled,
}

/// A part of a template.
pub(super) enum PartLookup<T> {
    /// The template has no such part.
    Absent,
    /// It has one.
    Found(T),
    /// It has several, or parts that this version does not know.
    Ambiguous,
}

/// The parameters in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Variables<'a> {
    /// `{{1}}` to `{{n}}`.
    Numbered(usize),
    /// `{{order_id}}`.
    Named(Vec<&'a str>),
}

impl Check<'_> {
    fn approval(&self, found: &mut Vec<TemplateMismatch>) {
        let refused = match self.template.status {
            // The limit concerns the account. No documentation says that an existing template is affected.
            None | Some(Status::Approved | Status::LimitExceeded) => false,
            Some(
                Status::Pending
                | Status::Rejected
                | Status::Paused
                | Status::Disabled
                | Status::InAppeal
                | Status::PendingDeletion
                | Status::Deleted,
            ) => true,
        };
        if refused {
            let status = &self.template.provider_status;
            let is_code = status.len() <= 64 && status.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            let detail = if is_code { format!(": its status is {status}") } else { String::new() };
            found
                .push(mismatch("template.name", format!("must be the name of an approved template{detail}")));
        }
    }

    fn header(&self) -> Option<TemplateMismatch> {
        let given = self.filled.header.as_ref();
        let wrong = |problem: &str| Some(mismatch("template.header", problem.to_owned()));
        let component = match self.part(Part::Header) {
            PartLookup::Found(component) => component,
            PartLookup::Absent if given.is_some() => {
                return wrong("must be absent: the template has no header");
            }
            PartLookup::Absent | PartLookup::Ambiguous => return None,
        };
        let wanted = match component.format.as_str() {
            "TEXT" => "must be `text`, as the template's header is",
            "IMAGE" => "must be `image`, as the template's header is",
            "VIDEO" => "must be `video`, as the template's header is",
            "DOCUMENT" => "must be `document`, as the template's header is",
            "LOCATION" => "must be `location`, as the template's header is",
            _ => return None,
        };
        let is_text = component.format == "TEXT";
        let variables = if is_text { self.variables(&component.text) } else { None };
        match (given, &variables) {
            (Some(_), Some(Variables::Numbered(0))) => {
                wrong("must be absent: the template's header has nothing to fill")
            }
            (Some(given), _) if component.format != format(given) => wrong(wanted),
            (Some(Header::Text(given)), Some(Variables::Named(names)))
                if self.rules.requires_header_name() && !names.contains(&given.name.as_str()) =>
            {
                let problem = "must be the name of the parameter in the template's header".to_owned();
                Some(mismatch("template.header.text.name", problem))
            }
            (Some(_), _) | (None, Some(Variables::Numbered(0))) => None,
            (None, _) if self.rules.fills_by_name(self.filled, "header_") => None,
            // A text whose parameters are unknown may have none.
            (None, None) if is_text => None,
            (None, _) if component.format == "LOCATION" && !self.rules.takes_header_location() => None,
            (None, _) => wrong(wanted),
        }
    }

    fn body(&self, found: &mut Vec<TemplateMismatch>) {
        let PartLookup::Found(component) = self.part(Part::Body) else { return };
        let Some(variables) = self.variables(&component.text) else { return };
        self.rules.body(self, &variables, found);
    }

    fn buttons(&self, found: &mut Vec<TemplateMismatch>) {
        let given = &self.filled.buttons;
        let buttons = match self.part(Part::Buttons) {
            // An empty list means that the buttons could not be parsed, not that there are none.
            PartLookup::Found(component) if !component.buttons.is_empty() => &component.buttons,
            PartLookup::Found(_) | PartLookup::Ambiguous => return,
            PartLookup::Absent => {
                let none = "must not be filled: the template has no buttons";
                found.extend((0..given.len()).map(|at| index_mismatch(at, none.to_owned())));
                return;
            }
        };
        for (at, filled) in given.iter().enumerate() {
            match buttons.get(filled.index as usize) {
                Some(button) => found.extend(self.button(at, filled, button)),
                None => {
                    let max = buttons.len() - 1;
                    found.push(index_mismatch(
                        at,
                        format!("must be from 0 to {max}: the template has no more buttons"),
                    ));
                }
            }
        }
        for (index, button) in (0_u32..).zip(buttons) {
            let filled = given.iter().any(|given| given.index == index)
                || self.rules.fills_by_name(self.filled, &format!("button_{}_", index + 1));
            if let Some(value) = self.required_value(button).filter(|_| !filled) {
                let problem = format!("must fill the button at index {index}, with its `{value}`");
                found.push(mismatch("template.buttons", problem));
            }
        }
    }

    /// Checks the value for a button.
    fn button(&self, at: usize, filled: &Button, button: &ComponentButton) -> Option<TemplateMismatch> {
        let is_code = self.template.category == Some(Category::Authentication);
        let given = match filled.value {
            ButtonValue::UrlSuffix(_) => "url_suffix",
            ButtonValue::QuickReplyPayload(_) => "quick_reply_payload",
            ButtonValue::CouponCode(_) => "coupon_code",
        };
        let wanted = match button.kind.as_str() {
            "URL" => "url_suffix",
            "QUICK_REPLY" => "quick_reply_payload",
            // A one-time password's button is sent as a URL for every kind of button.
            "COPY_CODE" if !is_code => "coupon_code",
            "PHONE_NUMBER" => {
                let problem = "must be the index of a button that takes a value; the template's button there calls a number, so \
                    omit its entry";
                return Some(index_mismatch(at, problem.to_owned()));
            }
            // No typed value fits these buttons.
            kind @ ("FLOW" | "MPM" | "CATALOG") => {
                let problem = format!("must be absent: the template's button there is of the type {kind}");
                return Some(mismatch(&format!("template.buttons[{at}].{given}"), problem));
            }
            _ => return None,
        };
        let field = format!("template.buttons[{at}].{given}");
        if given != wanted {
            return Some(mismatch(
                &field,
                format!("must be `{wanted}`, as the template's button there takes it"),
            ));
        }
        let is_fixed = button.kind == "URL"
            && !button.url.is_empty()
            && self.variables(&button.url) == Some(Variables::Numbered(0));
        is_fixed.then(|| mismatch(&field, "must be absent: the button's URL has nothing to fill".to_owned()))
    }

    /// The kind of value that a button requires, if any.
    fn required_value(&self, button: &ComponentButton) -> Option<&'static str> {
        let is_code = self.template.category == Some(Category::Authentication);
        match button.kind.as_str() {
            "URL" if is_code && self.rules.may_fill_password_button() => None,
            "URL" => match self.variables(&button.url)? {
                Variables::Numbered(0) => None,
                Variables::Numbered(_) | Variables::Named(_) => Some("url_suffix"),
            },
            "COPY_CODE" if !is_code && self.rules.requires_coupon_code() => Some("coupon_code"),
            _ => None,
        }
    }

    /// Finds the only part of a kind. A part that this version does not know may be of any kind, and a carousel's cards
    /// have their own parts.
    pub(super) fn part(&self, part: Part) -> PartLookup<&Component> {
        let parts = &self.template.components;
        let mut found = parts.iter().filter(|component| component.part == Some(part));
        let is_known = |component: &Component| component.part.is_some_and(|part| part != Part::Carousel);
        match (found.next(), found.next()) {
            (Some(component), None) => PartLookup::Found(component),
            (None, _) if !parts.is_empty() && parts.iter().all(is_known) => PartLookup::Absent,
            _ => PartLookup::Ambiguous,
        }
    }

    /// The parameters in a text of the template. Returns none if they are unknown.
    fn variables<'t>(&self, text: &'t str) -> Option<Variables<'t>> {
        let variables = variables(text)?;
        match (&variables, self.template.parameter_format) {
            (Variables::Named(_), Some(ParameterFormat::Positional)) => None,
            (Variables::Numbered(1..), Some(ParameterFormat::Named)) => None,
            _ => Some(variables),
        }
    }
}

/// The parameters in a text. Returns none if the notation is unknown, or if the text is empty: every part that has
/// parameters has a text.
fn variables(text: &str) -> Option<Variables<'_>> {
    if text.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let (name, remainder) = after.split_once("}}")?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        if !names.contains(&name) {
            names.push(name);
        }
        rest = remainder;
    }
    let is_number = |name: &&str| name.bytes().all(|b| b.is_ascii_digit());
    if !names.iter().any(is_number) && !names.is_empty() {
        return Some(Variables::Named(names));
    }
    // Numbers with gaps, or mixed with names, are not positions.
    let contiguous = (1..=names.len()).all(|position| names.contains(&position.to_string().as_str()));
    contiguous.then_some(Variables::Numbered(names.len()))
}

/// The provider's name for the format of such a header.
const fn format(header: &Header) -> &'static str {
    match header {
        Header::Text(_) => "TEXT",
        Header::Image(_) => "IMAGE",
        Header::Video(_) => "VIDEO",
        Header::Document(_) => "DOCUMENT",
        Header::Location(_) => "LOCATION",
    }
}

pub(super) fn mismatch(field: &str, problem: String) -> TemplateMismatch {
    TemplateMismatch { field: field.to_owned(), problem }
}

fn index_mismatch(at: usize, problem: String) -> TemplateMismatch {
    mismatch(&format!("template.buttons[{at}].index"), problem)
}

pub(super) fn unknown_parameter(at: usize) -> TemplateMismatch {
    let problem = "must be the name of one of the parameters of the template's body";
    mismatch(&format!("template.body[{at}].name"), problem.to_owned())
}

pub(super) fn wrong_count(count: usize) -> TemplateMismatch {
    let problem = match count {
        0 => "must be empty: the template's body has no parameters".to_owned(),
        1 => "must have 1 parameter, as the template's body has".to_owned(),
        _ => format!("must have {count} parameters, as the template's body has"),
    };
    mismatch("template.body", problem)
}

/// Names the missing parameters, up to [`MAX_NAMES_BYTES`]. The names come from the template, not from the request.
pub(super) fn missing_parameters(names: &[&str]) -> TemplateMismatch {
    let mut list = names.join(", ");
    if list.len() > MAX_NAMES_BYTES {
        list.truncate(MAX_NAMES_BYTES);
        list.push('…');
    }
    mismatch("template.body", format!("must fill every parameter of the template's body, also {list}"))
}

#[cfg(test)]
mod tests;
