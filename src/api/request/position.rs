//! Places in the journal, as requests name them.

use tonic::Status;

use crate::api::error::status;
use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::{Cursor, UnixMillis};
use crate::pb::v1::StartPosition;

/// A place that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Position {
    Latest,
    Earliest,
}

/// Reads the name of a place. None where it names none.
pub(in crate::api) fn position(value: i32, violations: &mut Violations) -> Option<Position> {
    match StartPosition::try_from(value) {
        Ok(StartPosition::Unspecified) => None,
        Ok(StartPosition::Latest) => Some(Position::Latest),
        Ok(StartPosition::Earliest) => Some(Position::Earliest),
        Err(_) => {
            let allowed = "must be START_POSITION_LATEST or START_POSITION_EARLIEST";
            violations.add("position", ViolationReason::UnknownValue, allowed);
            // Told already.
            Some(Position::Latest)
        }
    }
}

/// Reads a cursor. One that cannot be read has a reason of its own, to be told when nothing else is wrong.
pub(in crate::api) fn cursor(field: &str, text: &str) -> Result<Cursor, Status> {
    text.parse().map_err(|_| status::cursor_malformed(field))
}

/// The seconds of the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS_OF_MILLI: u32 = 1_000_000;

/// The first full millisecond that is not before the moment: receive times have no finer ones.
pub(in crate::api) fn since(moment: prost_types::Timestamp, violations: &mut Violations) -> UnixMillis {
    match u32::try_from(moment.nanos) {
        Ok(nanos) if nanos < 1_000 * NANOS_OF_MILLI && SECONDS.contains(&moment.seconds) => {
            UnixMillis(moment.seconds * 1_000 + i64::from(nanos.div_ceil(NANOS_OF_MILLI)))
        }
        _ => {
            let allowed = "must be a time of the years 1 to 9999, with nanos from 0 to 999,999,999";
            violations.add("since", ViolationReason::Malformed, allowed);
            UnixMillis(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_first_millisecond_that_is_not_before_it() {
        let read = |seconds, nanos| {
            let mut violations = Violations::default();
            let moment = since(prost_types::Timestamp { seconds, nanos }, &mut violations);
            violations.check().map(|()| moment.0).ok()
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
