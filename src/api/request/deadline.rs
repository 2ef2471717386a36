//! The client's deadline, from its `grpc-timeout` header.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";

/// The maximum number of digits in the header.
const MAX_DIGITS: usize = 8;

/// The maximum time reserved for the response. For a short timeout, a tenth of it is reserved.
const MAX_MARGIN: Duration = Duration::from_millis(100);

/// The time until which a call may wait. None if the client set no timeout.
///
/// It is slightly before the client's own deadline, so the client still receives the reason why the call was not
/// made. After its own deadline, the client's gRPC library reports only DEADLINE_EXCEEDED.
pub(in crate::api) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = timeout(metadata.get(HEADER)?.to_str().ok()?)?;
    Instant::now().checked_add(timeout - MAX_MARGIN.min(timeout / 10))
}

/// Parses digits and a unit, such as `10S` or `250m`. A malformed header is ignored.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, text.parse().expect("ASCII"));
        metadata
    }

    #[test]
    fn timeout_is_one_to_eight_digits_and_a_unit() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("4m", 4_000_000),
            ("5u", 5_000),
            ("99999999n", 99_999_999),
            ("00000000S", 0),
        ] {
            assert_eq!(timeout(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "999999999n", " 1S", "1S ", "1 S", "1é"] {
            assert_eq!(timeout(bad), None, "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deadline_is_slightly_before_the_clients_own() {
        let left = |text: &str| deadline(&metadata(text)).map(|at| at - Instant::now());
        assert_eq!(left("10S"), Some(Duration::from_millis(9_900)));
        assert_eq!(left("500m"), Some(Duration::from_millis(450)));
        assert_eq!(left("0S"), Some(Duration::ZERO));
        assert!(left("99999999H").is_some_and(|left| left > Duration::from_secs(u64::from(u32::MAX))));
        assert_eq!(left("soon"), None);
        assert_eq!(deadline(&MetadataMap::new()), None);
    }
}
