//! Idempotency keys of writes.

use std::fmt;
use std::str::FromStr;

/// The client's idempotency key for one write, `request_id`: 1 to 128 printable ASCII characters, unique within an
/// account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(String);

/// Why a string is not a [`RequestId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 128 printable ASCII characters")]
pub struct RequestIdMalformed;

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = RequestIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let printable = |b: u8| (b' '..=b'~').contains(&b);
        if (1..=128).contains(&s.len()) && s.bytes().all(printable) {
            Ok(Self(s.to_owned()))
        } else {
            Err(RequestIdMalformed)
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hash of the content of a write. Two writes with the same [`RequestId`] must have the same fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// A write that the client can retry safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client's idempotency key.
    pub id: RequestId,
    /// The hash of the write's content.
    pub fingerprint: Fingerprint,
    /// The number of the attempt that the client knows to have an unknown outcome. The client permits one more attempt
    /// after it.
    pub resend_after: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_is_1_to_128_printable_ascii_characters() {
        for good in ["a", "order 77/é".trim_end_matches('é'), "~", &"x".repeat(128)] {
            assert_eq!(good.parse::<RequestId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "é", "a\n", "\u{7f}", &"x".repeat(129)] {
            assert_eq!(bad.parse::<RequestId>(), Err(RequestIdMalformed), "{bad:?}");
        }
    }
}
