//! Contacts in the contact list of an account.

use std::str::FromStr;

/// The maximum number of digits of a country code and a national number together.
pub const MAX_PHONE_DIGITS: usize = 15;

/// The provider's id of a contact: letters, digits, `_` and `-`. Such an id cannot alter the structure of a URL that
/// contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactId(String);

/// The country code of a phone number: 1 to 3 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountryCode(String);

/// A phone number without its country code: 4 to 14 digits.
#[derive(Clone, PartialEq, Eq)]
pub struct NationalNumber(String);

/// A calendar date, written `YYYY-MM-DD`.
#[derive(Clone, PartialEq, Eq)]
pub struct DateOfBirth(String);

/// Why a string is not a valid contact id, country code, national number or date.
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
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=64).contains(&s.len()) && s.bytes().all(allowed) {
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
        // `jiff` accepts several spellings of a date; the provider documents only this one.
        let date: jiff::civil::Date = s.parse().map_err(|_| Malformed::Date)?;
        if date.to_string() == s { Ok(Self(s.to_owned())) } else { Err(Malformed::Date) }
    }
}

/// The optional fields of a contact. An absent field is not sent to the provider.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The email address.
    pub email: Option<String>,
    /// The gender. The provider does not document which values it accepts.
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
    /// The phone number without the country code.
    pub phone_number: NationalNumber,
    /// The optional fields.
    pub details: Details,
}

/// The new values of an existing contact. An absent field is not sent to the provider, and an empty one is sent as empty,
/// to clear it.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactUpdate {
    /// The contact to change.
    pub id: ContactId,
    /// The name, which is always sent, even if it does not change.
    pub name: String,
    /// The email address.
    pub email: Option<String>,
    /// The gender. The provider does not document which values it accepts.
    pub gender: Option<String>,
    /// The date of birth.
    pub date_of_birth: Option<DateChange>,
    /// Notes.
    pub note: Option<String>,
}

/// A change of a date.
#[derive(Clone, PartialEq, Eq)]
pub enum DateChange {
    /// The date is removed.
    Clear,
    /// The date is replaced.
    Set(DateOfBirth),
}

impl DateChange {
    /// The new text: empty if the date is removed.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Clear => "",
            Self::Set(date) => date.as_str(),
        }
    }
}

/// The provider's confirmation that it created a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The id that the provider assigned.
    pub id: String,
    /// The provider's message, verbatim; may be empty.
    pub message: String,
}

/// A contact as the provider lists it. A field that the provider omits is empty or absent.
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

debug_without_content!(
    NationalNumber,
    DateOfBirth,
    DateChange,
    Details,
    NewContact,
    ContactUpdate,
    ListedContact
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_id_accepts_only_url_safe_characters() {
        for good in ["1", "42", "a_B-9", &"x".repeat(64)] {
            assert_eq!(good.parse::<ContactId>().map(|id| id.0), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "1/2", "1?x", "1#", "%2e", "a b", "é", "1&page=2", "\\", &"x".repeat(65)]
        {
            assert_eq!(bad.parse::<ContactId>(), Err(Malformed::Id), "{bad:?}");
        }
    }

    #[test]
    fn country_code_drops_one_leading_plus_only() {
        for (text, digits) in [("91", "91"), ("+1", "1"), ("+420", "420")] {
            assert_eq!(text.parse::<CountryCode>().map(|code| code.0), Ok(digits.to_owned()));
        }
        for bad in ["", "+", "++1", "1+", "1234", " 91", "9 1", "９１", "IN"] {
            assert_eq!(bad.parse::<CountryCode>(), Err(Malformed::CountryCode), "{bad:?}");
        }
    }

    #[test]
    fn national_number_drops_blanks_and_hyphens() {
        for (text, digits) in [("98123-45670", "9812345670"), (" 0171 23", "017123"), ("1234", "1234")] {
            assert_eq!(text.parse::<NationalNumber>().map(|number| number.0), Ok(digits.to_owned()));
        }
        for bad in ["", "123", "---", "+911234567", "(555)1234", "123456789012345", "１２３４", "12a4"] {
            assert_eq!(bad.parse::<NationalNumber>(), Err(Malformed::NationalNumber), "{bad:?}");
        }
    }

    #[test]
    fn date_of_birth_accepts_only_year_month_day() {
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
    fn debug_output_hides_personal_data() {
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
            email: Some("secret".to_owned()),
            gender: None,
            date_of_birth: Some(DateChange::Clear),
            note: None,
        };
        let listed = ListedContact { name: "secret".to_owned(), ..ListedContact::default() };
        let text = format!("{:?} {new:?} {update:?} {listed:?} {details:?}", new.phone_number);
        assert!(!text.contains("secret") && !text.contains("98123"), "{text}");
    }
}
