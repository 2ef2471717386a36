//! Geographic locations of a send: the content `location`, and the location in a template's header.

use crate::api::request::violations::{ViolationReason, Violations};
use crate::domain::Location;
use crate::pb::v1;

/// The maximum length of the name and of the address, in Unicode code points.
const MAX_TEXT_CHARACTERS: usize = 1_024;

/// Parses the location at the path `field`. An invalid value is kept, because a request with violations is never sent.
pub(super) fn read(field: &str, location: v1::Location, violations: &mut Violations) -> Location {
    let v1::Location { latitude, longitude, name, address } = location;
    for (part, degrees, max) in [("latitude", latitude, 90.0), ("longitude", longitude, 180.0)] {
        // NaN is outside of every range.
        if !(-max..=max).contains(&degrees) {
            let problem = format!("must be from -{max} to {max} degrees");
            violations.add(format!("{field}.{part}"), ViolationReason::OutOfRange, problem);
        }
    }
    super::check_length(&format!("{field}.name"), &name, MAX_TEXT_CHARACTERS, violations);
    super::check_length(&format!("{field}.address"), &address, MAX_TEXT_CHARACTERS, violations);
    Location { latitude, longitude, name, address }
}
