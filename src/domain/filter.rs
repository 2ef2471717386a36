//! Which events are wanted.

use std::fmt;

use super::{AccountId, EventType};

/// Chooses events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of these accounts. None means all.
    pub accounts: Vec<AccountId>,
    /// Those of these types. None means all.
    pub types: Vec<TypeWord>,
}

impl Filter {
    /// Whether an event of that account and type is wanted.
    pub fn matches(&self, account: &AccountId, event_type: EventType) -> bool {
        (self.accounts.is_empty() || self.accounts.contains(account))
            && (self.types.is_empty() || self.types.iter().any(|word| word.names(event_type)))
    }

    /// Whether it holds no word of another version.
    pub fn is_understood(&self) -> bool {
        !self.types.iter().any(|word| matches!(word, TypeWord::Strange(_)))
    }
}

/// A word that names types of events. It is kept as it was given: what it means may grow with the types there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeWord {
    /// That type.
    Exact(EventType),
    /// All types under a first word, which is kept with its dot: `message.`.
    Under(Box<str>),
    /// One that names no type of this version. It was kept by another one.
    Strange(Box<str>),
}

impl TypeWord {
    /// What a word means in this version.
    pub fn of(word: &str) -> Self {
        if let Some(event_type) = EventType::from_name(word) {
            return Self::Exact(event_type);
        }
        let under = word.strip_suffix('*').filter(|first| {
            first.ends_with('.') && EventType::ALL.iter().any(|known| known.as_str().starts_with(first))
        });
        under.map_or_else(|| Self::Strange(word.into()), |first| Self::Under(first.into()))
    }

    /// Whether it names that type.
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
    fn a_word_names_one_type_or_all_under_a_first_one_and_is_kept_as_it_was_given() {
        let named = |word| {
            let kept = TypeWord::of(word);
            assert_eq!(kept.to_string(), word);
            EventType::ALL.into_iter().filter(|&event_type| kept.names(event_type)).collect::<Vec<_>>()
        };
        for event_type in EventType::ALL {
            assert_eq!(named(event_type.as_str()), [event_type]);
        }
        let of_messages = EventType::ALL.into_iter().filter(|kind| kind.as_str().starts_with("message."));
        assert_eq!(named("message.*"), of_messages.collect::<Vec<_>>());
        assert_eq!(named("report.*"), [EventType::ReportCompleted]);
        for strange in
            ["*", ".*", "message.rec*", "message*", "message.", "Message.*", "of.tomorrow", "flow.*"]
        {
            assert_eq!(named(strange), [], "{strange}");
            let filter = Filter { accounts: Vec::new(), types: vec![TypeWord::of(strange)] };
            assert!(!filter.is_understood(), "{strange}");
        }
    }
}
