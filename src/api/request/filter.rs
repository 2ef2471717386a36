//! Event filters.

use crate::api::error::error_response::ErrorResponse;
use crate::api::request::parse;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::{AccountId, Address, CustomerFilter, EventType, Filter, TypePattern};
use crate::pb::v1::EventFilter;
use crate::provider::Accounts;

/// The maximum number of accounts, of types and of customers in one filter.
const MAX_FILTER_ITEMS: usize = 256;

/// Parses the filter at the path `field`. An account that does not exist fails at once.
pub(in crate::api) fn read(
    field: &str,
    filter: Option<EventFilter>,
    known: &Accounts,
    violations: &mut Violations,
) -> Result<Filter, ErrorResponse> {
    read_change(field, filter, known, &Filter::default(), violations)
}

/// Like [`read`], for a filter that replaces `stored`. Items that are stored already are accepted, so that a client can
/// send back what it has read: the account may have left the configuration, and another version may have stored the
/// type.
pub(in crate::api) fn read_change(
    field: &str,
    filter: Option<EventFilter>,
    known: &Accounts,
    stored: &Filter,
    violations: &mut Violations,
) -> Result<Filter, ErrorResponse> {
    let filter = filter.unwrap_or_default();
    Ok(Filter {
        accounts: accounts(field, &filter, known, stored, violations)?,
        types: types(field, &filter, stored, violations),
        customers: customers(field, &filter, violations),
    })
}

fn accounts(
    field: &str,
    filter: &EventFilter,
    known: &Accounts,
    stored: &Filter,
    violations: &mut Violations,
) -> Result<Vec<AccountId>, ErrorResponse> {
    let mut accounts = Vec::new();
    for (at, id) in
        parse::limit_items(&format!("{field}.accounts"), &filter.accounts, MAX_FILTER_ITEMS, violations)
            .iter()
            .enumerate()
    {
        let account = match stored.accounts.iter().find(|stored| stored.as_str() == id) {
            Some(stored) => Some(stored.clone()),
            None => parse::account(&format!("{field}.accounts[{at}]"), id, known, violations)?
                .map(|account| account.id().clone()),
        };
        accounts.extend(account.filter(|account| !accounts.contains(account)));
    }
    Ok(accounts)
}

fn types(
    field: &str,
    filter: &EventFilter,
    stored: &Filter,
    violations: &mut Violations,
) -> Vec<TypePattern> {
    let mut types = Vec::new();
    for (at, word) in
        parse::limit_items(&format!("{field}.types"), &filter.types, MAX_FILTER_ITEMS, violations)
            .iter()
            .enumerate()
    {
        let word = TypePattern::parse(word);
        if let TypePattern::Unrecognized(_) = word
            && !stored.types.contains(&word)
        {
            let known = EventType::ALL.map(EventType::as_str).join("`, `");
            let allowed = format!("must be one of `{known}`, or a wildcard such as `message.*`");
            violations.add(format!("{field}.types[{at}]"), ViolationReason::UnknownValue, allowed);
        } else if !types.contains(&word) {
            types.push(word);
        }
    }
    types
}

fn customers(field: &str, filter: &EventFilter, violations: &mut Violations) -> Vec<CustomerFilter> {
    let mut customers = Vec::new();
    for (at, address) in
        parse::limit_items(&format!("{field}.customers"), &filter.customers, MAX_FILTER_ITEMS, violations)
            .iter()
            .enumerate()
    {
        let address: Option<Address> =
            parse::required(&format!("{field}.customers[{at}]"), address, violations);
        let customer = address.map(CustomerFilter::from);
        customers.extend(customer.filter(|customer| !customers.contains(customer)));
    }
    customers
}
