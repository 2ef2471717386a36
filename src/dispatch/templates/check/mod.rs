//! Whether what a caller fills in fits a template, as the provider lists it.
//!
//! **Invariants.** Only what is understood is refused: a part, a button or a spelling that this version does not know
//! lets through all that depends on it. Everything that does not fit is told at once, and nothing of what was given is
//! quoted.

use super::TemplateMismatch;
use crate::domain::Provider;
use crate::domain::template::{
    Button, ButtonValue, Category, Component, ComponentButton, Definition, Filled, Header, ParameterFormat,
    Part, Status,
};

/// The most characters of parameters' names that are told.
const NAMES_TOLD: usize = 200;

/// All that does not fit.
pub(super) fn misfits(provider: Provider, template: &Definition, filled: &Filled) -> Vec<TemplateMismatch> {
    let check = Check { provider, template, filled };
    let mut found = Vec::new();
    check.approval(&mut found);
    found.extend(check.header());
    check.body(&mut found);
    check.buttons(&mut found);
    found
}

struct Check<'a> {
    provider: Provider,
    template: &'a Definition,
    filled: &'a Filled,
}

/// What is known of a part.
enum Known<T> {
    /// The template has none.
    Absent,
    /// It has one.
    There(T),
    /// Nobody can tell.
    Unclear,
}

/// The parameters in a text.
#[derive(Debug, PartialEq, Eq)]
enum Variables<'a> {
    /// `{{1}}` to `{{n}}`.
    Numbered(usize),
    /// `{{order_id}}`.
    Named(Vec<&'a str>),
}

impl Check<'_> {
    fn approval(&self, found: &mut Vec<TemplateMismatch>) {
        let refused = match self.template.status {
            // That there are too many templates is not said to hold for this one.
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
            let word = &self.template.provider_status;
            let is_code = word.len() <= 64 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            let said = if is_code { format!(": the provider says {word}") } else { String::new() };
            found.push(misfit("template.name", format!("must be the name of an approved template{said}")));
        }
    }

    fn header(&self) -> Option<TemplateMismatch> {
        let given = self.filled.header.as_ref();
        let wrong = |problem: &str| Some(misfit("template.header", problem.to_owned()));
        let component = match self.part(Part::Header) {
            Known::There(component) => component,
            Known::Absent if given.is_some() => return wrong("must be absent: the template has no header"),
            Known::Absent | Known::Unclear => return None,
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
                if self.provider == Provider::ConnectBy && !names.contains(&given.name.as_str()) =>
            {
                let problem = "must be the name of the parameter in the template's header".to_owned();
                Some(misfit("template.header.text.name", problem))
            }
            (Some(_), _) | (None, Some(Variables::Numbered(0))) => None,
            (None, _) if self.named_as("header_") => None,
            // A text of which the parameters cannot be told may have none.
            (None, None) if is_text => None,
            // Nobody knows how Connectly takes a place.
            (None, _) if component.format == "LOCATION" && self.provider == Provider::Connectly => None,
            (None, _) => wrong(wanted),
        }
    }

    fn body(&self, found: &mut Vec<TemplateMismatch>) {
        let Known::There(component) = self.part(Part::Body) else { return };
        let Some(variables) = self.variables(&component.text) else { return };
        match self.provider {
            Provider::ConnectBy => self.body_by_position_or_name(&variables, found),
            Provider::Connectly => self.body_by_connectlys_names(&variables, found),
        }
    }

    /// At ConnectBy, parameters are told apart as the template says.
    fn body_by_position_or_name(&self, variables: &Variables<'_>, found: &mut Vec<TemplateMismatch>) {
        let given = &self.filled.body;
        match variables {
            Variables::Numbered(count) => {
                if given.len() != *count {
                    found.push(miscounted(*count));
                }
                if self.template.parameter_format == Some(ParameterFormat::Positional) {
                    for (at, name) in given.iter().map(|given| given.name.as_str()).enumerate() {
                        if !name.is_empty() && name != (at + 1).to_string() {
                            let problem = "must be empty: the template's parameters have no names";
                            found.push(misfit(&format!("template.body[{at}].name"), problem.to_owned()));
                        }
                    }
                }
            }
            Variables::Named(names) => {
                for (at, given) in given.iter().enumerate() {
                    if !names.contains(&given.name.as_str()) {
                        found.push(misnamed(at));
                    }
                }
                let missing = names.iter().filter(|&&name| !given.iter().any(|given| given.name == name));
                let missing: Vec<&str> = missing.copied().collect();
                if !missing.is_empty() {
                    found.push(unfilled(&missing));
                }
            }
        }
    }

    /// At Connectly, a parameter without a name is `body_1` and so on, and one with a name is passed on as it is. What
    /// other names Connectly takes is not known, so one of those may fill anything.
    fn body_by_connectlys_names(&self, variables: &Variables<'_>, found: &mut Vec<TemplateMismatch>) {
        let given = &self.filled.body;
        // The position that each fills, if it is one of the body's.
        let position = |at: usize, name: &str| match name.strip_prefix("body_") {
            _ if name.is_empty() => Some(at + 1),
            Some(position) => position.parse::<usize>().ok(),
            None => None,
        };
        let positions: Vec<Option<usize>> =
            given.iter().enumerate().map(|(at, given)| position(at, &given.name)).collect();
        match variables {
            Variables::Numbered(count) => {
                let filled = 1..=*count;
                let beyond = positions.iter().flatten().any(|position| !filled.contains(position));
                let all_known = positions.iter().all(Option::is_some);
                let missing = filled.clone().any(|position| !positions.contains(&Some(position)));
                if beyond || (all_known && missing) {
                    found.push(miscounted(*count));
                }
            }
            Variables::Named(names) => {
                let foreign =
                    |at: usize| positions[at].is_none() && !names.contains(&given[at].name.as_str());
                // Connectly's own names for other parts, and those of cards, are none of the body's.
                let apart = |at: usize| {
                    ["header_", "button_", "card", "carousel"]
                        .iter()
                        .any(|own| given[at].name.starts_with(own))
                };
                let wrong: Vec<usize> = (0..given.len()).filter(|&at| foreign(at) && !apart(at)).collect();
                found.extend(wrong.iter().map(|&at| misnamed(at)));
                let for_body = (0..given.len()).filter(|&at| !foreign(at)).count();
                if wrong.is_empty() && for_body != names.len() {
                    found.push(miscounted(names.len()));
                }
            }
        }
    }

    fn buttons(&self, found: &mut Vec<TemplateMismatch>) {
        let given = &self.filled.buttons;
        let buttons = match self.part(Part::Buttons) {
            // Where they cannot be read, there are more than none all the same.
            Known::There(component) if !component.buttons.is_empty() => &component.buttons,
            Known::There(_) | Known::Unclear => return,
            Known::Absent => {
                let none = "must not be filled: the template has no buttons";
                found.extend((0..given.len()).map(|at| at_index(at, none.to_owned())));
                return;
            }
        };
        for (at, filled) in given.iter().enumerate() {
            match buttons.get(filled.index as usize) {
                Some(button) => found.extend(self.button(at, filled, button)),
                None => {
                    let most = buttons.len() - 1;
                    found.push(at_index(
                        at,
                        format!("must be from 0 to {most}: the template has no more buttons"),
                    ));
                }
            }
        }
        for (index, button) in (0_u32..).zip(buttons) {
            let filled = given.iter().any(|given| given.index == index)
                || self.named_as(&format!("button_{}_", index + 1));
            if let Some(value) = self.needs(button).filter(|_| !filled) {
                let problem = format!("must fill the button at index {index}, with its `{value}`");
                found.push(misfit("template.buttons", problem));
            }
        }
    }

    /// What is wrong with what fills a button.
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
            // A password's button goes out as a URL, whatever it is called.
            "COPY_CODE" if !is_code => "coupon_code",
            "PHONE_NUMBER" => {
                let problem = "must be another: the template's button there calls a number and takes nothing";
                return Some(at_index(at, problem.to_owned()));
            }
            _ => return None,
        };
        let field = format!("template.buttons[{at}].{given}");
        if given != wanted {
            return Some(misfit(
                &field,
                format!("must be `{wanted}`, as the template's button there takes it"),
            ));
        }
        let is_fixed = button.kind == "URL"
            && !button.url.is_empty()
            && self.variables(&button.url) == Some(Variables::Numbered(0));
        is_fixed.then(|| misfit(&field, "must be absent: the button's URL has nothing to fill".to_owned()))
    }

    /// What a button must be filled with, if it must.
    fn needs(&self, button: &ComponentButton) -> Option<&'static str> {
        let is_code = self.template.category == Some(Category::Authentication);
        match (button.kind.as_str(), self.provider) {
            // Connectly may fill the button with the password of the body by itself.
            ("URL", Provider::Connectly) if is_code => None,
            ("URL", _) => match self.variables(&button.url)? {
                Variables::Numbered(0) => None,
                Variables::Numbered(_) | Variables::Named(_) => Some("url_suffix"),
            },
            ("COPY_CODE", Provider::ConnectBy) if !is_code => Some("coupon_code"),
            _ => None,
        }
    }

    /// The one part of its kind. A part that this version does not know may be of any kind, and cards have their own.
    fn part(&self, part: Part) -> Known<&Component> {
        let parts = &self.template.components;
        let mut found = parts.iter().filter(|component| component.part == Some(part));
        let plain = |component: &Component| component.part.is_some_and(|part| part != Part::Carousel);
        match (found.next(), found.next()) {
            (Some(component), None) => Known::There(component),
            (None, _) if !parts.is_empty() && parts.iter().all(plain) => Known::Absent,
            _ => Known::Unclear,
        }
    }

    /// The parameters in a text of the template. None when they cannot be told.
    fn variables<'t>(&self, text: &'t str) -> Option<Variables<'t>> {
        let variables = variables(text)?;
        match (&variables, self.template.parameter_format) {
            (Variables::Named(_), Some(ParameterFormat::Positional)) => None,
            (Variables::Numbered(1..), Some(ParameterFormat::Named)) => None,
            _ => Some(variables),
        }
    }

    /// Whether Connectly is given a parameter of such a name, by its full name.
    fn named_as(&self, start: &str) -> bool {
        self.provider == Provider::Connectly
            && self.filled.body.iter().any(|parameter| parameter.name.starts_with(start))
    }
}

/// The parameters in a text, which must not be empty, for every part with parameters has one. None when they are written
/// in a way that is not known.
fn variables(text: &str) -> Option<Variables<'_>> {
    if text.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}")?;
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        if !names.contains(&name) {
            names.push(name);
        }
        rest = behind;
    }
    let is_number = |name: &&str| name.bytes().all(|b| b.is_ascii_digit());
    if !names.iter().any(is_number) && !names.is_empty() {
        return Some(Variables::Named(names));
    }
    // Numbers with a hole in them, or beside names, are no positions.
    let all_there = (1..=names.len()).all(|position| names.contains(&position.to_string().as_str()));
    all_there.then_some(Variables::Numbered(names.len()))
}

/// What a header must hold to be filled like this, in the provider's word.
const fn format(header: &Header) -> &'static str {
    match header {
        Header::Text(_) => "TEXT",
        Header::Image(_) => "IMAGE",
        Header::Video(_) => "VIDEO",
        Header::Document(_) => "DOCUMENT",
        Header::Location(_) => "LOCATION",
    }
}

fn misfit(field: &str, problem: String) -> TemplateMismatch {
    TemplateMismatch { field: field.to_owned(), problem }
}

fn at_index(at: usize, problem: String) -> TemplateMismatch {
    misfit(&format!("template.buttons[{at}].index"), problem)
}

fn misnamed(at: usize) -> TemplateMismatch {
    let problem = "must be the name of one of the parameters of the template's body";
    misfit(&format!("template.body[{at}].name"), problem.to_owned())
}

fn miscounted(count: usize) -> TemplateMismatch {
    let problem = match count {
        0 => "must be empty: the template's body has no parameters".to_owned(),
        1 => "must have 1 parameter, as the template's body has".to_owned(),
        _ => format!("must have {count} parameters, as the template's body has"),
    };
    misfit("template.body", problem)
}

/// Names of parameters are the template's, not the caller's, and are told as far as there is room.
fn unfilled(names: &[&str]) -> TemplateMismatch {
    let mut told = names.join(", ");
    if told.len() > NAMES_TOLD {
        told.truncate(NAMES_TOLD);
        told.push('…');
    }
    misfit("template.body", format!("must fill every parameter of the template's body, also {told}"))
}

#[cfg(test)]
mod tests;
