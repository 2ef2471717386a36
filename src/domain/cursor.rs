//! Cursors: positions in the event journal.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A position in one journal: after the event with this sequence number. Sequence 0 is before the first event.
///
/// The text form is base64url of version, epoch, sequence number and a checksum: 28 characters. Clients treat it as
/// opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Identifies the journal: a random number that is generated when the journal's file is created.
    pub epoch: u64,
    /// The sequence number of the last event before the position.
    pub sequence: u64,
}

/// Why a string is not a [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor that came from this server, unchanged")]
pub struct CursorMalformed;

const VERSION: u8 = 1;
const LEN: usize = 1 + 8 + 8 + 4;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; LEN];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.sequence.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..17]);
        bytes[17..].copy_from_slice(&checksum.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // Each cursor has exactly one text form: the length check rejects padding, and the engine rejects nonzero
        // trailing bits.
        let bytes = URL_SAFE_NO_PAD.decode(s).map_err(|_| CursorMalformed)?;
        let bytes: [u8; LEN] = bytes.try_into().map_err(|_| CursorMalformed)?;
        let u64_at = |from: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[from..from + 8]);
            u64::from_be_bytes(field)
        };
        if bytes[0] != VERSION || bytes[17..] != crc32fast::hash(&bytes[..17]).to_be_bytes() {
            return Err(CursorMalformed);
        }
        Ok(Self { epoch: u64_at(1), sequence: u64_at(9) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursor_round_trips_as_text_of_at_most_64_characters(epoch: u64, sequence: u64) {
            let cursor = Cursor { epoch, sequence };
            let text = cursor.to_string();
            prop_assert!(text.len() <= 64);
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn cursor_with_one_changed_character_is_rejected(epoch: u64, sequence: u64, at in 0_usize..28, with in "[A-Za-z0-9_-]") {
            let text = Cursor { epoch, sequence }.to_string();
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != text);
            prop_assert_eq!(changed.parse::<Cursor>(), Err(CursorMalformed));
        }

        #[test]
        fn any_text_parses_without_panic(text in "\\PC{0,64}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
