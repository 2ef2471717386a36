//! Positions in the journal, as requests name them.

use tonic::Status;

use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::{Cursor, UnixMillis};
use crate::pb::v1::StartPosition;

/// A named position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Position {
    Latest,
    Earliest,
}

/// Parses a named position. None if it is unspecified.
pub(in crate::api) fn position(value: i32, violations: &mut Violations) -> Option<Position> {
    match StartPosition::try_from(value) {
        Ok(StartPosition::Unspecified) => None,
        Ok(StartPosition::Latest) => Some(Position::Latest),
        Ok(StartPosition::Earliest) => Some(Position::Earliest),
        Err(_) => {
            let allowed = "must be START_POSITION_LATEST or START_POSITION_EARLIEST";
            violations.add("position", ViolationReason::UnknownValue, allowed);
            // A placeholder: the violation is already recorded.
            Some(Position::Latest)
        }
    }
}

/// Parses a cursor. A malformed cursor has its own reason, so it is reported only if the request has no violation.
pub(in crate::api) fn cursor(field: &str, text: &str) -> Result<Cursor, Status> {
    text.parse().map_err(|_| status::cursor_malformed(field))
}

/// The Unix seconds of the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_OF_MILLI: u32 = 1_000_000;

/// Rounds a time up to a full millisecond, because receive times have milliseconds.
pub(in crate::api) fn since(time: prost_types::Timestamp, violations: &mut Violations) -> UnixMillis {
    self::time("since", time, violations)
}

/// Parses a time field. It is rounded up to a full millisecond.
pub(in crate::api) fn time(
    field: &str,
    time: prost_types::Timestamp,
    violations: &mut Violations,
) -> UnixMillis {
    match u32::try_from(time.nanos) {
        Ok(nanos) if nanos < 1_000 * NANOS_OF_MILLI && SECONDS.contains(&time.seconds) => {
            UnixMillis(time.seconds * 1_000 + i64::from(nanos.div_ceil(NANOS_OF_MILLI)))
        }
        _ => {
            let allowed = "must be a time of the years 1 to 9999, with nanos from 0 to 999,999,999";
            violations.add(field, ViolationReason::Malformed, allowed);
            UnixMillis(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_rounded_up_to_a_full_millisecond() {
        let read = |seconds, nanos| {
            let mut violations = Violations::default();
            let time = since(prost_types::Timestamp { seconds, nanos }, &mut violations);
            violations.check().map(|()| time.0).ok()
        };
        assert_eq!(read(0, 0), Some(0));
        assert_eq!(read(1, 1), Some(1_001));
        assert_eq!(read(1, 1_000_000), Some(1_001));
        assert_eq!(read(1, 999_999_999), Some(2_000));
        assert_eq!(read(-1, 500_000_000), Some(-500));
        assert_eq!(read(*SECONDS.start(), 0), Some(-62_135_596_800_000));
        assert_eq!(read(*SECONDS.end(), 999_999_999), Some(253_402_300_800_000));
        for (seconds, nanos) in
            [(0, -1), (0, 1_000_000_000), (SECONDS.end() + 1, 0), (SECONDS.start() - 1, 0), (i64::MAX, 0)]
        {
            assert_eq!(read(seconds, nanos), None, "{seconds} {nanos}");
        }
    }
}
