//! How a send to Connectly fills a template: by Connectly's names of the parameters.

use super::super::template_check::{
    Check, Rules, TemplateMismatch, Variables, unknown_parameter, wrong_count,
};
use crate::domain::template::Filled;

/// Connectly's rules.
pub(in super::super) struct ConnectlyRules;

impl Rules for ConnectlyRules {
    /// Parameters without a name become `body_1`, `body_2` and so on. Named ones are passed on unchanged.
    /// It is not documented which other names Connectly takes, so a parameter with another name may fill any variable.
    fn body(&self, check: &Check<'_>, variables: &Variables<'_>, found: &mut Vec<TemplateMismatch>) {
        let given = &check.filled.body;
        // The body position that each parameter fills, if any.
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
                    found.push(wrong_count(*count));
                }
            }
            Variables::Named(names) => {
                let unknown_name =
                    |at: usize| positions[at].is_none() && !names.contains(&given[at].name.as_str());
                // Connectly's names for other parts and for cards do not fill the body.
                let other_part = |at: usize| {
                    ["header_", "button_", "card", "carousel"]
                        .iter()
                        .any(|prefix| given[at].name.starts_with(prefix))
                };
                let wrong: Vec<usize> =
                    (0..given.len()).filter(|&at| unknown_name(at) && !other_part(at)).collect();
                found.extend(wrong.iter().map(|&at| unknown_parameter(at)));
                let for_body = (0..given.len()).filter(|&at| !unknown_name(at)).count();
                if wrong.is_empty() && for_body != names.len() {
                    found.push(wrong_count(names.len()));
                }
            }
        }
    }

    /// How Connectly takes such components is not documented, so none is needed.
    fn needed_components(&self, _: &Check<'_>, _: &mut Vec<TemplateMismatch>) {}

    fn requires_header_name(&self) -> bool {
        false
    }

    /// Connectly does not document how it takes a location.
    fn takes_header_location(&self) -> bool {
        false
    }

    fn may_fill_password_button(&self) -> bool {
        true
    }

    fn requires_coupon_code(&self) -> bool {
        false
    }

    fn fills_by_name(&self, filled: &Filled, prefix: &str) -> bool {
        filled.body.iter().any(|parameter| parameter.name.starts_with(prefix))
    }
}
