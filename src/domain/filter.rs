//! Filters that select events.

use std::fmt;

use super::{AccountId, Address, CustomerHash, CustomerKey, EventCustomer, EventType};

/// Selects events by account, type and customer. An event must match every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Selects events of these accounts. Empty means all accounts.
    pub accounts: Vec<AccountId>,
    /// Selects events of these types. Empty means all types.
    pub types: Vec<TypePattern>,
    /// Selects events about these customers. Empty means all events, also those about no customer.
    pub customers: Vec<CustomerFilter>,
}

impl Filter {
    /// Whether the filter selects an event of this account and type about this customer.
    pub fn matches(&self, account: &AccountId, event_type: EventType, customer: &EventCustomer) -> bool {
        self.matches_kind(account, event_type)
            && (self.customers.is_empty()
                || customer.hashes().any(|hash| self.customers.iter().any(|customer| customer.hash == hash)))
    }

    /// Whether the filter selects events of this account and type about some customer.
    pub fn matches_kind(&self, account: &AccountId, event_type: EventType) -> bool {
        (self.accounts.is_empty() || self.accounts.contains(account))
            && (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type)))
    }

    /// Whether both filters have the same items, in any order. Such filters select the same events. Filters with
    /// different items count as different, even if they select the same events in this version.
    pub fn has_same_items(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
            one.iter().all(|item| other.contains(item)) && other.iter().all(|item| one.contains(item))
        }
        let Self { accounts, types, customers } = self;
        same(accounts, &other.accounts) && same(types, &other.types) && same(customers, &other.customers)
    }

    /// Whether this version knows every type pattern of the filter.
    pub fn is_recognized(&self) -> bool {
        !self.types.iter().any(|pattern| matches!(pattern, TypePattern::Unrecognized(_)))
    }
}

/// A customer that a filter selects, in every spelling of the phone number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerFilter {
    address: Address,
    hash: CustomerHash,
}

impl CustomerFilter {
    /// The address that the client gave.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The customer as events store it.
    pub fn hash(&self) -> CustomerHash {
        self.hash
    }
}

impl From<Address> for CustomerFilter {
    fn from(address: Address) -> Self {
        Self { hash: CustomerKey::of(&address).hash(), address }
    }
}

/// A pattern that selects event types. It is stored as text, so a prefix also selects types that later versions add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// Exactly this type.
    Exact(EventType),
    /// All types with this prefix, which includes its dot: `message.`.
    Prefix(Box<str>),
    /// A pattern that matches no type of this version. Another version stored it.
    Unrecognized(Box<str>),
}

impl TypePattern {
    /// Parses a pattern as this version understands it.
    pub fn parse(pattern: &str) -> Self {
        if let Some(event_type) = EventType::from_name(pattern) {
            return Self::Exact(event_type);
        }
        let prefix = pattern.strip_suffix('*').filter(|prefix| {
            prefix.ends_with('.') && EventType::ALL.iter().any(|known| known.as_str().starts_with(prefix))
        });
        prefix.map_or_else(|| Self::Unrecognized(pattern.into()), |prefix| Self::Prefix(prefix.into()))
    }

    /// Whether the pattern matches this type.
    pub fn matches(&self, event_type: EventType) -> bool {
        match self {
            Self::Exact(exact) => *exact == event_type,
            Self::Prefix(prefix) => event_type.as_str().starts_with(&**prefix),
            Self::Unrecognized(_) => false,
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(event_type) => f.write_str(event_type.as_str()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Unrecognized(pattern) => f.write_str(pattern),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Party;
    use super::*;

    #[test]
    fn filters_are_compared_as_sets_of_their_items() {
        let filter = |accounts: &[&str], types: &[&str]| Filter {
            accounts: accounts.iter().map(|id| id.parse().expect("an id")).collect(),
            types: types.iter().map(|word| TypePattern::parse(word)).collect(),
            customers: Vec::new(),
        };
        let both = filter(&["acme", "globex"], &["message.*", "message.status"]);
        assert!(both.has_same_items(&filter(&["globex", "acme"], &["message.status", "message.*"])));
        for other in [
            Filter::default(),
            filter(&["acme"], &["message.*", "message.status"]),
            filter(&["acme", "globex", "initech"], &["message.*", "message.status"]),
            // It selects the same events, but a later version may have more types.
            filter(&["acme", "globex"], &["message.*"]),
        ] {
            assert!(!both.has_same_items(&other) && !other.has_same_items(&both), "{other:?}");
        }
        let of_customers = |customers: &[&str]| Filter { customers: customers_of(customers), ..both.clone() };
        assert!(!both.has_same_items(&of_customers(&["+15550100001"])));
        assert!(of_customers(&["+15550100001"]).has_same_items(&of_customers(&["1 555 010 0001"])));
        assert!(
            of_customers(&["+15550100001", "bsuid:US.1"])
                .has_same_items(&of_customers(&["bsuid:US.1", "+15550100001"]))
        );
    }

    fn customers_of(addresses: &[&str]) -> Vec<CustomerFilter> {
        addresses.iter().map(|text| text.parse::<Address>().expect("an address").into()).collect()
    }

    #[test]
    fn customer_filter_matches_number_in_any_spelling_and_user_id() {
        let filter =
            Filter { customers: customers_of(&["+5511912345678", "bsuid:US.7"]), ..Filter::default() };
        let matches_party = |party: Party| {
            filter.matches(&"acme".parse().expect("an id"), EventType::MessageReceived, &(&party).into())
        };
        let matches = |phone_number: &str, user_id: &str| {
            let (phone_number, user_id) = (phone_number.to_owned(), user_id.to_owned());
            matches_party(Party { phone_number, user_id, ..Party::default() })
        };
        assert!(matches("+5511912345678", ""));
        assert!(matches("+551112345678", ""), "the spelling without the ninth digit");
        assert!(matches("+551112345678", "US.1"));
        assert!(matches("", "US.7"));
        assert!(matches("+15550100001", "US.7"), "the user id of a customer with a number");
        assert!(!matches("+15550100001", "US.1"));
        assert!(!matches("", ""), "an event without a customer");
        let parent = Party {
            phone_number: "+15550100001".to_owned(),
            user_id: "US.1".to_owned(),
            parent_user_id: "US.7".to_owned(),
            ..Party::default()
        };
        assert!(matches_party(parent));
        let bare = |address: &str| Party { address: address.to_owned(), ..Party::default() };
        assert!(matches_party(bare("5511912345678")), "a number without its plus sign");
        assert!(!matches_party(bare("visitor-17")));
    }

    #[test]
    fn pattern_matches_one_type_or_a_prefix_and_round_trips() {
        let matched = |word| {
            let pattern = TypePattern::parse(word);
            assert_eq!(pattern.to_string(), word);
            EventType::ALL.into_iter().filter(|&event_type| pattern.matches(event_type)).collect::<Vec<_>>()
        };
        for event_type in EventType::ALL {
            assert_eq!(matched(event_type.as_str()), [event_type]);
        }
        let of_messages = EventType::ALL.into_iter().filter(|kind| kind.as_str().starts_with("message."));
        assert_eq!(matched("message.*"), of_messages.collect::<Vec<_>>());
        assert_eq!(matched("report.*"), [EventType::ReportRun]);
        for unrecognized in
            ["*", ".*", "message.rec*", "message*", "message.", "Message.*", "of.tomorrow", "flow.*"]
        {
            assert_eq!(matched(unrecognized), [], "{unrecognized}");
            let filter = Filter { types: vec![TypePattern::parse(unrecognized)], ..Filter::default() };
            assert!(!filter.is_recognized(), "{unrecognized}");
        }
    }
}
