//! What a provider wrote about a failure.

use std::fmt;

/// A provider's text about a failure, with the account's secrets masked.
///
/// The text may quote the message, so it is message content. Only a client may get it, in `provider_message` and
/// `raw_json`. `Debug` prints `…`, and there is no `Display`, so it cannot reach a log line by accident.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProviderText {
    /// The readable texts of the error, at most 256 characters. Empty if the provider wrote none.
    pub message: String,
    /// The error as the JSON that the provider sent. Empty if there is none.
    pub raw_json: String,
}

impl fmt::Debug for ProviderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
