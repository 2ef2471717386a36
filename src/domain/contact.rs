//! The people in an account's contact list.

use std::str::FromStr;

/// The most digits of a country code and a national number together.
pub const MAX_PHONE_DIGITS: usize = 15;

/// The provider's id of a contact: letters, digits, `_` and `-`, so that it cannot leave its place in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactId(String);

/// The country code of a phone number: 1 to 3 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountryCode(String);

/// A phone number without its country code: 4 to 14 digits.
#[derive(Clone, PartialEq, Eq)]
pub struct NationalNumber(String);

/// A day of the calendar, written `YYYY-MM-DD`.
#[derive(Clone, PartialEq, Eq)]
pub struct DateOfBirth(String);

/// Why a string is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not an id.
    #[error("must be letters, digits, `_` and `-`, 1 to 64 characters")]
    Id,
    /// Not a country code.
    #[error("must be 1 to 3 digits, with a `+` before them or without")]
    CountryCode,
    /// Not a national number.
    #[error("must be 4 to 14 digits without the country code; blanks and hyphens are ignored")]
    NationalNumber,
    /// Not a date.
    #[error("must be a day of the calendar, written `YYYY-MM-DD`")]
    Date,
}

macro_rules! text {
    ($($type:ident),+) => {
        $(impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        })+
    };
}

text!(ContactId, CountryCode, NationalNumber, DateOfBirth);

impl FromStr for ContactId {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let harmless = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=64).contains(&s.len()) && s.bytes().all(harmless) {
            Ok(Self(s.to_owned()))
        } else {
            Err(Malformed::Id)
        }
    }
}

impl FromStr for CountryCode {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s.strip_prefix('+').unwrap_or(s);
        if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(digits.to_owned()))
        } else {
            Err(Malformed::CountryCode)
        }
    }
}

impl FromStr for NationalNumber {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let digits = s.replace([' ', '-'], "");
        if (4..=14).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(digits))
        } else {
            Err(Malformed::NationalNumber)
        }
    }
}

impl FromStr for DateOfBirth {
    type Err = Malformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // Parsers of dates take more forms than one, and only one is the provider's.
        let date: jiff::civil::Date = s.parse().map_err(|_| Malformed::Date)?;
        if date.to_string() == s { Ok(Self(s.to_owned())) } else { Err(Malformed::Date) }
    }
}

/// What may be known of a contact besides name and number. What is absent is not said.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The email address.
    pub email: Option<String>,
    /// The gender, in a word that the provider may know.
    pub gender: Option<String>,
    /// The date of birth.
    pub date_of_birth: Option<DateOfBirth>,
    /// Notes.
    pub note: Option<String>,
}

/// A contact to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewContact {
    /// The name.
    pub name: String,
    /// The country code of the phone number.
    pub country_code: CountryCode,
    /// The phone number without it.
    pub phone_number: NationalNumber,
    /// The rest.
    pub details: Details,
}

/// A contact to be changed.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactUpdate {
    /// Which one.
    pub id: ContactId,
    /// The name, changed or not.
    pub name: String,
    /// The rest.
    pub details: Details,
}

/// The provider's word that a contact was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The id that it gave.
    pub id: String,
    /// Its own words; may be empty.
    pub message: String,
}

/// A contact as the provider lists it. A field that it does not tell is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ListedContact {
    /// The id, as text.
    pub id: String,
    /// The name.
    pub name: String,
    /// The phone number, with or without the country code.
    pub phone_number: String,
    /// The email address.
    pub email: Option<String>,
    /// The gender.
    pub gender: Option<String>,
    /// The date of birth, in the provider's form.
    pub date_of_birth: Option<String>,
    /// Notes.
    pub note: Option<String>,
    /// The provider's JSON.
    pub raw_json: String,
}

debug_without_content!(NationalNumber, DateOfBirth, Details, NewContact, ContactUpdate, ListedContact);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_a_url() {
        for good in ["1", "42", "a_B-9", &"x".repeat(64)] {
            assert_eq!(good.parse::<ContactId>().map(|id| id.0), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "1/2", "1?x", "1#", "%2e", "a b", "é", "1&page=2", "\\", &"x".repeat(65)]
        {
            assert_eq!(bad.parse::<ContactId>(), Err(Malformed::Id), "{bad:?}");
        }
    }

    #[test]
    fn a_country_code_loses_its_plus_and_nothing_else() {
        for (text, digits) in [("91", "91"), ("+1", "1"), ("+420", "420")] {
            assert_eq!(text.parse::<CountryCode>().map(|code| code.0), Ok(digits.to_owned()));
        }
        for bad in ["", "+", "++1", "1+", "1234", " 91", "9 1", "９１", "IN"] {
            assert_eq!(bad.parse::<CountryCode>(), Err(Malformed::CountryCode), "{bad:?}");
        }
    }

    #[test]
    fn a_national_number_loses_blanks_and_hyphens() {
        for (text, digits) in [("98123-45670", "9812345670"), (" 0171 23", "017123"), ("1234", "1234")] {
            assert_eq!(text.parse::<NationalNumber>().map(|number| number.0), Ok(digits.to_owned()));
        }
        for bad in ["", "123", "---", "+911234567", "(555)1234", "123456789012345", "１２３４", "12a4"] {
            assert_eq!(bad.parse::<NationalNumber>(), Err(Malformed::NationalNumber), "{bad:?}");
        }
    }

    #[test]
    fn a_date_of_birth_is_a_day_of_the_calendar_in_one_form() {
        for good in ["1990-05-01", "2000-02-29", "1899-12-31"] {
            assert_eq!(good.parse::<DateOfBirth>().map(|date| date.0), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "1990-5-1",
            "19900501",
            "01-05-1990",
            "1990-02-29",
            "1990-13-01",
            "1990-05-01T00:00:00",
            "1990-05-01 ",
            "+001990-05-01",
            "1990-W18-2",
        ] {
            assert_eq!(bad.parse::<DateOfBirth>(), Err(Malformed::Date), "{bad:?}");
        }
    }

    #[test]
    fn debug_output_hides_who_is_meant() {
        let details = Details { note: Some("secret".to_owned()), ..Details::default() };
        let new = NewContact {
            name: "secret".to_owned(),
            country_code: "91".parse().expect("a code"),
            phone_number: "9812345670".parse().expect("a number"),
            details: details.clone(),
        };
        let update = ContactUpdate {
            id: "7".parse().expect("an id"),
            name: "secret".to_owned(),
            details: details.clone(),
        };
        let listed = ListedContact { name: "secret".to_owned(), ..ListedContact::default() };
        let text = format!("{:?} {new:?} {update:?} {listed:?} {details:?}", new.phone_number);
        assert!(!text.contains("secret") && !text.contains("98123"), "{text}");
    }
}
