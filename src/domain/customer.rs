//! How customers are compared: by a key, and in the journal by its hash.

use sha2::{Digest as _, Sha256};

use super::Address;

/// Identifies a customer within an account, independent of the spelling of a phone number.
///
/// WhatsApp writes some numbers in two ways. Mexican mobile numbers may have a `1` after the country code, Argentine ones a
/// `9`, and Brazilian ones a ninth digit after the area code. A customer's messages may arrive with either spelling, so
/// both have one key. The key is never shown and never sent to: addresses keep their spelling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CustomerKey(String);

impl CustomerKey {
    /// The key of an address.
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Phone(number) => Self(phone_key(number.digits())),
            Address::User(_) => Self(address.to_string()),
        }
    }

    /// The key of an address as a provider reported it. Text that is no address is its own key.
    pub fn of_reported(address: &str) -> Self {
        address.parse().map_or_else(|_| Self(address.to_owned()), |address| Self::of(&address))
    }

    /// The key as the store writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as the journal compares it.
    pub fn hash(&self) -> CustomerHash {
        let digest = Sha256::digest(&self.0);
        let mut start = [0; CustomerHash::LENGTH];
        start.copy_from_slice(&digest[..CustomerHash::LENGTH]);
        CustomerHash(start)
    }
}

/// The first bytes of SHA-256 over a [`CustomerKey`]: a key of fixed size, cheap to store with each event and to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CustomerHash([u8; Self::LENGTH]);

impl CustomerHash {
    const LENGTH: usize = 16;

    /// The bytes as the store writes them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for CustomerHash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// The customer that an event is about. Without a customer, all hashes are absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCustomer {
    /// The customer by the first of phone number, user id and parent user id that the event contains.
    pub customer: Option<CustomerHash>,
    /// The same customer by the others, if there are any.
    pub aliases: [Option<CustomerHash>; 2],
}

impl EventCustomer {
    /// The hashes that identify the customer.
    pub fn hashes(&self) -> impl Iterator<Item = CustomerHash> {
        let [first, second] = self.aliases;
        [self.customer, first, second].into_iter().flatten()
    }
}

impl From<&Address> for EventCustomer {
    fn from(address: &Address) -> Self {
        Self { customer: Some(CustomerKey::of(address).hash()), aliases: [None; 2] }
    }
}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomerKey(…)")
    }
}

/// The shorter spelling of a number, with its `+`.
fn phone_key(digits: &str) -> String {
    match (digits.get(..2), digits.len()) {
        (Some("52"), 13) if digits[2..].starts_with('1') => format!("+52{}", &digits[3..]),
        (Some("54"), 13) if digits[2..].starts_with('9') => format!("+54{}", &digits[3..]),
        (Some("55"), 13) if digits[4..].starts_with('9') => format!("+{}{}", &digits[..4], &digits[5..]),
        _ => format!("+{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        CustomerKey::of(&text.parse().expect("an address")).as_str().to_owned()
    }

    #[test]
    fn two_spellings_of_one_number_have_one_key() {
        for (one, other) in [
            ("+5215512345678", "+525512345678"),
            ("+5491112345678", "+541112345678"),
            ("+5511912345678", "+551112345678"),
            ("+55 21 98765-4321", "552187654321"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn numbers_that_only_look_alike_keep_their_keys() {
        for (one, other) in [
            ("+15215512345678", "+1525512345678"),
            ("+521551234567", "+52551234567"),
            ("+549111234567", "+54111234567"),
            ("+5511812345678", "+551112345678"),
            ("+5599123456789", "+559912345678"),
            ("+4491112345678", "+441112345678"),
            ("+52155123456789", "+5255123456789"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn user_id_is_its_own_key() {
        assert_eq!(key("bsuid:US.123"), "bsuid:US.123");
        assert_eq!(CustomerKey::of_reported("someone"), CustomerKey("someone".to_owned()));
    }

    #[test]
    fn debug_output_hides_the_customer() {
        assert_eq!(format!("{:?}", CustomerKey::of_reported("+15550100001")), "CustomerKey(…)");
    }
}
