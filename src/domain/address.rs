//! The addresses that messages are sent to and received from.

use std::fmt;
use std::str::FromStr;

/// A phone number in E.164.
///
/// Parsing accepts `+15550100001` and `15550100001`, with blanks and hyphens anywhere. Display always prints the `+`.
/// `Debug` hides all but the last two digits because it ends up in logs.
///
/// ```
/// use switchboard::domain::PhoneNumber;
///
/// let number: PhoneNumber = "1 555-010-0001".parse()?;
/// assert_eq!(number.as_str(), "+15550100001");
/// assert_eq!(number.digits(), "15550100001");
/// # Ok::<(), switchboard::domain::address::Malformed>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// A business-scoped user id, `US.123` or `US.ENT.123`. It identifies a WhatsApp customer who may have no phone number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

/// What a message can be addressed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A phone number, written `+15550100001`.
    Phone(PhoneNumber),
    /// A business-scoped user id, written `bsuid:US.123`.
    User(UserId),
}

/// Why a string is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a phone number.
    #[error(
        "must be a phone number in E.164, like `+15550100001`: 7 to 15 digits, the first not 0; the `+` may be left out, blanks and hyphens are ignored"
    )]
    Phone,
    /// Not a business-scoped user id.
    #[error(
        "must be a business-scoped user id like `bsuid:US.123` or `bsuid:US.ENT.123`: two capital letters, a dot, `ENT.` for a parent id, then 1 to 128 letters and digits"
    )]
    User,
}

impl PhoneNumber {
    /// The number's digits, without the `+`: the form that ConnectBy takes.
    pub fn digits(&self) -> &str {
        &self.0[1..]
    }

    /// The number with its `+`: the form that Connectly takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let trimmed = s.trim_matches(' ');
        let unsigned = trimmed.strip_prefix('+').unwrap_or(trimmed);
        let mut number = String::with_capacity(16);
        number.push('+');
        for c in unsigned.chars() {
            match c {
                '0'..='9' => number.push(c),
                ' ' | '-' => {}
                _ => return Err(Malformed::Phone),
            }
        }
        let digits = &number[1..];
        if (7..=15).contains(&digits.len()) && !digits.starts_with('0') {
            Ok(Self(number))
        } else {
            Err(Malformed::Phone)
        }
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber(…{})", &self.0[self.0.len() - 2..])
    }
}

impl UserId {
    /// The id without a prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = Malformed;

    /// Parses the bare form, `US.123` or `US.ENT.123`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (country, rest) = s.split_once('.').ok_or(Malformed::User)?;
        let id = rest.strip_prefix("ENT.").unwrap_or(rest);
        let valid = country.len() == 2
            && country.bytes().all(|b| b.is_ascii_uppercase())
            && (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if valid { Ok(Self(s.to_owned())) } else { Err(Malformed::User) }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(…)")
    }
}

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.strip_prefix("bsuid:") {
            Some(id) => id.parse().map(Self::User),
            None => s.parse().map(Self::Phone),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) => number.fmt(f),
            Self::User(id) => write!(f, "bsuid:{}", id.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn phone_number_with_or_without_plus_displays_with_plus() {
        for text in ["+15550100001", "15550100001", "+1 555-010-0001", " 1-555 0100001 "] {
            assert_eq!(
                text.parse::<Address>().map(|a| a.to_string()),
                Ok("+15550100001".to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn malformed_phone_number_is_rejected() {
        for text in [
            "",
            "+",
            "++15550100001",
            "1555",
            "05550100001",
            "+1555010000100000",
            "1(555)0100001",
            "+1.555.010.0001",
            "１５５５０１００００１",
            "+1555010000a",
            "1+5550100001",
            "\t15550100001",
            "bsuid",
        ] {
            assert_eq!(text.parse::<Address>(), Err(Malformed::Phone), "{text:?}");
        }
    }

    #[test]
    fn user_id_is_country_optional_ent_and_alphanumerics() {
        let longest = "1".repeat(128);
        for text in [
            "bsuid:US.1a2",
            "bsuid:US.ENT.11815799212886844830",
            "bsuid:US.ENT",
            &format!("bsuid:US.{longest}"),
            &format!("bsuid:US.ENT.{longest}"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "bsuid:",
            "bsuid:US",
            "bsuid:US.",
            "bsuid:us.1",
            "bsuid:USA.1",
            "bsuid:US.1/2",
            "bsuid: US.1",
            "bsuid:US.ENT.",
            "bsuid:US.ent.1",
            "bsuid:US.ENT.ENT.1",
            "bsuid:US.1.2",
            &format!("bsuid:US.{longest}1"),
            &format!("bsuid:US.ENT.{longest}1"),
        ] {
            assert_eq!(text.parse::<Address>(), Err(Malformed::User), "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_phone_number_and_user_id() {
        let text = format!("{:?} {:?}", "+15550100001".parse::<Address>(), "bsuid:US.778".parse::<Address>());
        assert!(!text.contains("555") && !text.contains("778"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_parses_without_panic_and_round_trips(text in "\\PC{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
