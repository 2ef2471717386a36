//! Who waits for news of a message.

use super::Failure;
use crate::domain::{Message, MessageId};

/// Tells those who watch messages how they stand. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lives {}

impl Lives {
    /// Nobody watches anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells that there is no message: its first attempt was refused or not sent.
    pub fn ended(&self, _message: MessageId, _failure: &Failure) {}

    /// Tells of messages that stand differently now.
    pub fn tell(&self, _messages: Vec<Message>) {}
}
