//! Who waits for news of a message.

use crate::domain::Message;

/// Tells those who watch messages how they stand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lives {}

impl Lives {
    /// Nobody watches anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells of messages that stand differently now.
    pub fn tell(&self, _messages: Vec<Message>) {}
}
