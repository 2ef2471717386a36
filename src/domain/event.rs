//! Things that happened and that subscribers may want.

use std::fmt;

use ulid::Ulid;

use super::{AccountId, Channel, MessageState, Provider, ProviderFault, UnixMillis};

/// The id of an event: `evt_` and a ULID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// A new id.
    pub fn generate() -> Self {
        Self(format!("evt_{}", Ulid::generate()))
    }

    /// An id that was written down before.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of thing happened. The text is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A customer wrote.
    MessageReceived,
    /// The provider reports on a message that was sent.
    MessageStatus,
    /// A message from one of our own numbers, reported back.
    MessageEcho,
    /// A rightly signed webhook that cannot be read.
    Unknown,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::MessageReceived, Self::MessageStatus, Self::MessageEcho, Self::Unknown];

    /// The type as callers see it: a word with dots.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageReceived => "message.received",
            Self::MessageStatus => "message.status",
            Self::MessageEcho => "message.echo",
            Self::Unknown => "unknown",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One end of a message, as the provider described it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// The form that a message can be addressed to, or the provider's own text.
    pub address: String,
    /// The phone number with `+`, if there is one.
    pub phone_number: String,
    /// The business-scoped user id, if there is one.
    pub user_id: String,
    /// The display name, if there is one.
    pub name: String,
    /// The network, if it is one we know.
    pub channel: Option<Channel>,
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// One thing that happened, before it has a place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// The account's provider.
    pub provider: Provider,
    /// When it happened by the provider's clock, if it said.
    pub occur_time: Option<UnixMillis>,
    /// The JSON text that the sender attached to the message, if it came back.
    pub callback_data: Option<String>,
    /// What happened.
    pub payload: Payload,
}

impl Event {
    /// The event's type.
    pub fn event_type(&self) -> EventType {
        match self.payload {
            Payload::MessageReceived(_) => EventType::MessageReceived,
            Payload::MessageStatus(_) => EventType::MessageStatus,
            Payload::MessageEcho(_) => EventType::MessageEcho,
            Payload::Unknown { .. } => EventType::Unknown,
        }
    }
}

/// What happened.
#[derive(Clone, PartialEq)]
pub enum Payload {
    /// A customer wrote.
    MessageReceived(ReportedMessage),
    /// The provider reports on a message that was sent.
    MessageStatus(MessageStatus),
    /// A message from one of our own numbers, reported back.
    MessageEcho(ReportedMessage),
    /// A rightly signed webhook that cannot be read.
    Unknown {
        /// The provider's topic, if the body names one.
        topic: String,
        /// Why it cannot be read. Never quotes the body.
        problem: String,
    },
}

impl fmt::Debug for Payload {
    /// Names the kind alone: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageReceived(_) => "MessageReceived(…)",
            Self::MessageStatus(_) => "MessageStatus(…)",
            Self::MessageEcho(_) => "MessageEcho(…)",
            Self::Unknown { .. } => "Unknown(…)",
        })
    }
}

/// A message that a webhook brought.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedMessage {
    /// The provider's id, if it gave one.
    pub provider_message_id: String,
    /// Who wrote.
    pub sender: Party,
    /// To whom.
    pub recipient: Party,
    /// What.
    pub content: ReportedContent,
}

/// What a reported message holds.
#[derive(Clone, PartialEq)]
pub enum ReportedContent {
    /// Plain text.
    Text(String),
}

impl fmt::Debug for ReportedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportedContent(…)")
    }
}

/// What a provider reports about a message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageStatus {
    /// The provider's id of the message.
    pub provider_message_id: String,
    /// The reported state, where the provider's word is one we know.
    pub status: Option<MessageState>,
    /// The provider's word.
    pub provider_status: String,
    /// Why it failed, if it did and the provider said.
    pub fault: Option<ReportedFault>,
    /// Our number.
    pub sender: Party,
    /// The customer.
    pub recipient: Party,
    /// The campaign, if there is one.
    pub campaign_name: String,
}

/// A failure that a webhook reported, with the provider's JSON, which may hold message content.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedFault {
    /// What is safe to show anywhere.
    pub fault: ProviderFault,
    /// The provider's error as it was sent.
    pub raw_json: String,
}

impl fmt::Debug for ReportedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

/// By what a provider's repetition of an event is recognised.
///
/// Only what the provider itself gives as an identity: equal content is no identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(String);

impl Identity {
    /// A message that a customer wrote.
    pub fn message(provider_message_id: &str) -> Self {
        Self(format!("message\n{provider_message_id}"))
    }

    /// A status of a message: the same message may report each word once.
    pub fn status(provider_message_id: &str, word: &str) -> Self {
        // The length keeps any two pairs apart, whatever they contain.
        Self(format!("status\n{}\n{word}\n{provider_message_id}", word.len()))
    }

    /// A message of our own that was reported back.
    pub fn echo(provider_message_id: &str) -> Self {
        Self(format!("echo\n{provider_message_id}"))
    }

    /// The identity as the store keeps it: unique within an account.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
