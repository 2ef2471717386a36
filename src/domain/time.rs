//! Wall-clock time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A timestamp, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The last second that a timestamp of the contract can represent: the end of the year 9999.
    pub const LAST_SECOND: i64 = 253_402_300_799;

    /// The system clock. It can go backwards, so code that needs an order must not rely on it.
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    /// The timestamp for a number of whole seconds, if it fits.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(1_000).map(Self)
    }

    /// Parses an RFC 3339 timestamp, `2026-01-02T03:04:05Z`.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.trim().parse::<jiff::Timestamp>().ok().map(|timestamp| Self(timestamp.as_millisecond()))
    }

    /// Formats the timestamp as RFC 3339.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default().to_string()
    }

    /// The timestamp `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The timestamp `earlier` before this one.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_millis()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_with_any_offset_is_parsed() {
        let expected = Some(UnixMillis(1_767_322_845_000));
        assert_eq!(UnixMillis::from_rfc3339("2026-01-02T03:00:45Z"), expected);
        assert_eq!(UnixMillis::from_rfc3339("2026-01-02T04:00:45.000+01:00"), expected);
        for bad in ["", "2026-01-02", "yesterday", "1700000000"] {
            assert_eq!(UnixMillis::from_rfc3339(bad), None, "{bad:?}");
        }
    }
}
