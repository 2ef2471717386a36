//! Filters that select events.

use std::fmt;

use super::{AccountId, EventType};

/// Selects events by account and type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Selects events of these accounts. Empty means all accounts.
    pub accounts: Vec<AccountId>,
    /// Selects events of these types. Empty means all types.
    pub types: Vec<TypeWord>,
}

impl Filter {
    /// Whether the filter selects events of this account and type.
    pub fn matches(&self, account: &AccountId, event_type: EventType) -> bool {
        (self.accounts.is_empty() || self.accounts.contains(account))
            && (self.types.is_empty() || self.types.iter().any(|word| word.names(event_type)))
    }

    /// Whether this version knows every type pattern of the filter.
    pub fn is_understood(&self) -> bool {
        !self.types.iter().any(|word| matches!(word, TypeWord::Strange(_)))
    }
}

/// A pattern that selects event types. It is stored as text, so a prefix also selects types that later versions add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeWord {
    /// Exactly this type.
    Exact(EventType),
    /// All types with this prefix, which includes its dot: `message.`.
    Under(Box<str>),
    /// A pattern that matches no type of this version. Another version stored it.
    Strange(Box<str>),
}

impl TypeWord {
    /// Parses a pattern as this version understands it.
    pub fn of(word: &str) -> Self {
        if let Some(event_type) = EventType::from_name(word) {
            return Self::Exact(event_type);
        }
        let under = word.strip_suffix('*').filter(|first| {
            first.ends_with('.') && EventType::ALL.iter().any(|known| known.as_str().starts_with(first))
        });
        under.map_or_else(|| Self::Strange(word.into()), |first| Self::Under(first.into()))
    }

    /// Whether the pattern matches this type.
    pub fn names(&self, event_type: EventType) -> bool {
        match self {
            Self::Exact(exact) => *exact == event_type,
            Self::Under(first) => event_type.as_str().starts_with(&**first),
            Self::Strange(_) => false,
        }
    }
}

impl fmt::Display for TypeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(event_type) => f.write_str(event_type.as_str()),
            Self::Under(first) => write!(f, "{first}*"),
            Self::Strange(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_one_type_or_a_prefix_and_round_trips() {
        let matched = |word| {
            let pattern = TypeWord::of(word);
            assert_eq!(pattern.to_string(), word);
            EventType::ALL.into_iter().filter(|&event_type| pattern.names(event_type)).collect::<Vec<_>>()
        };
        for event_type in EventType::ALL {
            assert_eq!(matched(event_type.as_str()), [event_type]);
        }
        let of_messages = EventType::ALL.into_iter().filter(|kind| kind.as_str().starts_with("message."));
        assert_eq!(matched("message.*"), of_messages.collect::<Vec<_>>());
        assert_eq!(matched("report.*"), [EventType::ReportCompleted]);
        for unrecognized in
            ["*", ".*", "message.rec*", "message*", "message.", "Message.*", "of.tomorrow", "flow.*"]
        {
            assert_eq!(matched(unrecognized), [], "{unrecognized}");
            let filter = Filter { accounts: Vec::new(), types: vec![TypeWord::of(unrecognized)] };
            assert!(!filter.is_understood(), "{unrecognized}");
        }
    }
}
