//! Which events a caller wants.

use super::answer::Answer;
use super::parse;
use super::violations::{Fault, Violations};
use crate::domain::{AccountId, EventType, Filter};
use crate::pb::v1::EventFilter;
use crate::provider::Accounts;

/// The most accounts, and the most types, of one filter.
const FILTER_ITEMS: usize = 256;

/// Reads the field `filter`. An account that does not exist fails at once.
pub(super) fn read(
    filter: Option<EventFilter>,
    known: &Accounts,
    violations: &mut Violations,
) -> Result<Filter, Answer> {
    let filter = filter.unwrap_or_default();
    Ok(Filter { accounts: accounts(&filter, known, violations)?, types: types(&filter, violations) })
}

fn accounts(
    filter: &EventFilter,
    known: &Accounts,
    violations: &mut Violations,
) -> Result<Vec<AccountId>, Answer> {
    let mut accounts = Vec::new();
    for (at, id) in
        parse::few("filter.accounts", &filter.accounts, FILTER_ITEMS, violations).iter().enumerate()
    {
        let account = parse::account(&format!("filter.accounts[{at}]"), id, known, violations)?;
        let account = account.map(|account| account.id().clone());
        accounts.extend(account.filter(|account| !accounts.contains(account)));
    }
    Ok(accounts)
}

fn types(filter: &EventFilter, violations: &mut Violations) -> Vec<EventType> {
    let mut types = Vec::new();
    for (at, word) in parse::few("filter.types", &filter.types, FILTER_ITEMS, violations).iter().enumerate() {
        let named = |event_type: &EventType| match word.strip_suffix('*') {
            Some(first) => first.ends_with('.') && event_type.as_str().starts_with(first),
            None => event_type.as_str() == word,
        };
        let found: Vec<EventType> = EventType::ALL.into_iter().filter(named).collect();
        if found.is_empty() {
            let known = EventType::ALL.map(EventType::as_str).join("`, `");
            let allowed = format!("must be one of `{known}`, or all under a first word, like `message.*`");
            violations.add(format!("filter.types[{at}]"), Fault::UnknownValue, allowed);
        }
        for event_type in found {
            if !types.contains(&event_type) {
                types.push(event_type);
            }
        }
    }
    types
}
