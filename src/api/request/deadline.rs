//! When a caller stops waiting, as its `grpc-timeout` says.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

const HEADER: &str = "grpc-timeout";

/// The most digits that the header may have.
const DIGITS: usize = 8;

/// The most that is kept back for the way to the caller. Less of a short deadline: a tenth.
const MARGIN: Duration = Duration::from_millis(100);

/// The time until which a call may wait. Absent: its caller set none.
///
/// It lies a little before the caller's own: what kept the call from being made should be told, and after that time the
/// caller's library only says that it was too late.
pub(in crate::api) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = timeout(metadata.get(HEADER)?.to_str().ok()?)?;
    Instant::now().checked_add(timeout - MARGIN.min(timeout / 10))
}

/// Reads `10S`, `250m`: digits and a unit. None when it is malformed, as if it were not there.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
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

    fn of(text: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(HEADER, text.parse().expect("ASCII"));
        metadata
    }

    #[test]
    fn a_timeout_is_up_to_eight_digits_and_a_unit() {
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
    async fn the_deadline_lies_a_little_before_the_callers() {
        let left = |text: &str| deadline(&of(text)).map(|at| at - Instant::now());
        assert_eq!(left("10S"), Some(Duration::from_millis(9_900)));
        assert_eq!(left("500m"), Some(Duration::from_millis(450)));
        assert_eq!(left("0S"), Some(Duration::ZERO));
        assert!(left("99999999H").is_some_and(|left| left > Duration::from_secs(u64::from(u32::MAX))));
        assert_eq!(left("soon"), None);
        assert_eq!(deadline(&MetadataMap::new()), None);
    }
}
