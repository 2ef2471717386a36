//! How a send to ConnectBy fills a template: by position or by name, as Meta does.

use super::super::template_check::{
    Check, PartLookup, Rules, TemplateMismatch, Variables, mismatch, missing_parameters, unknown_parameter,
    wrong_count,
};
use crate::domain::template::{Filled, ParameterFormat, Part};

/// ConnectBy's rules.
pub(in super::super) struct ConnectByRules;

impl Rules for ConnectByRules {
    /// The template determines whether its parameters are positional or named.
    fn body(&self, check: &Check<'_>, variables: &Variables<'_>, found: &mut Vec<TemplateMismatch>) {
        let given = &check.filled.body;
        match variables {
            Variables::Numbered(count) => {
                if given.len() != *count {
                    found.push(wrong_count(*count));
                }
                if check.template.parameter_format == Some(ParameterFormat::Positional) {
                    for (at, name) in given.iter().map(|given| given.name.as_str()).enumerate() {
                        if !name.is_empty() && name != (at + 1).to_string() {
                            let problem = "must be empty: the template's parameters have no names";
                            found.push(mismatch(&format!("template.body[{at}].name"), problem.to_owned()));
                        }
                    }
                }
            }
            Variables::Named(names) => {
                for (at, given) in given.iter().enumerate() {
                    if !names.contains(&given.name.as_str()) {
                        found.push(unknown_parameter(at));
                    }
                }
                let missing = names.iter().filter(|&&name| !given.iter().any(|given| given.name == name));
                let missing: Vec<&str> = missing.copied().collect();
                if !missing.is_empty() {
                    found.push(missing_parameters(&missing));
                }
            }
        }
    }

    /// Without a component that the template needs, Meta refuses the send with error 131009. A catalog button needs
    /// none: Meta chooses a product itself.
    fn needed_components(&self, check: &Check<'_>, found: &mut Vec<TemplateMismatch>) {
        let given = check.filled.components_json.as_ref();
        let mut need = |is_given: bool, component: &str| {
            if !is_given {
                let problem = format!("must have a {component} component: the template needs one");
                found.push(mismatch("template.components_json", problem));
            }
        };
        for (word, kind) in [("CAROUSEL", "carousel"), ("LIMITED_TIME_OFFER", "limited_time_offer")] {
            let mut components = check.template.components.iter();
            if components.any(|component| component.provider_type.eq_ignore_ascii_case(word)) {
                need(given.is_some_and(|given| given.has(kind)), &format!("`{kind}`"));
            }
        }
        let PartLookup::Found(component) = check.part(Part::Buttons) else { return };
        for (index, button) in (0_u32..).zip(&component.buttons) {
            let sub_type = match button.kind.as_str() {
                "FLOW" => "flow",
                "MPM" => "mpm",
                _ => continue,
            };
            let component = format!("`button` (`sub_type` `{sub_type}`, `index` \"{index}\")");
            need(given.is_some_and(|given| given.has_button(sub_type, index)), &component);
        }
    }

    fn requires_header_name(&self) -> bool {
        true
    }

    fn takes_header_location(&self) -> bool {
        true
    }

    fn may_fill_password_button(&self) -> bool {
        false
    }

    fn requires_coupon_code(&self) -> bool {
        true
    }

    fn fills_by_name(&self, _: &Filled, _: &str) -> bool {
        false
    }
}
