//! Things that happened and that subscribers may want.

use std::fmt;

use ulid::Ulid;

use super::message::{CallbackData, Message};
use super::{
    AccountId, AttemptId, Channel, Location, MediaKind, MessageId, MessageState, Provider, ProviderFault,
    UnixMillis,
};

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
    /// The provider has taken a message of ours.
    MessageAccepted,
    /// The provider reports on a message that was sent.
    MessageStatus,
    /// A message from one of our own numbers, reported back.
    MessageEcho,
    /// A report can be fetched.
    ReportCompleted,
    /// A rightly signed webhook that cannot be read.
    Unknown,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::MessageReceived,
        Self::MessageAccepted,
        Self::MessageStatus,
        Self::MessageEcho,
        Self::ReportCompleted,
        Self::Unknown,
    ];

    /// The type as callers see it: a word with dots.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageReceived => "message.received",
            Self::MessageAccepted => "message.accepted",
            Self::MessageStatus => "message.status",
            Self::MessageEcho => "message.echo",
            Self::ReportCompleted => "report.run",
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
    /// What tells that the provider has taken a message.
    pub fn accepted(message: Message) -> Self {
        Self {
            id: EventId::generate(),
            account: message.account.clone(),
            provider: message.provider,
            occur_time: None,
            callback_data: message.callback_data.as_ref().map(CallbackData::as_str).map(str::to_owned),
            payload: Payload::MessageAccepted(Box::new(message)),
        }
    }

    /// The event's type.
    pub fn event_type(&self) -> EventType {
        match self.payload {
            Payload::MessageReceived(_) => EventType::MessageReceived,
            Payload::MessageAccepted(_) => EventType::MessageAccepted,
            Payload::MessageStatus(_) => EventType::MessageStatus,
            Payload::MessageEcho(_) => EventType::MessageEcho,
            Payload::ReportCompleted(_) => EventType::ReportCompleted,
            Payload::Unknown { .. } => EventType::Unknown,
        }
    }
}

/// What happened.
#[derive(Clone, PartialEq)]
pub enum Payload {
    /// A customer wrote.
    MessageReceived(ReportedMessage),
    /// The provider has taken a message of ours.
    MessageAccepted(Box<Message>),
    /// The provider reports on a message that was sent.
    MessageStatus(MessageStatus),
    /// A message from one of our own numbers, reported back.
    MessageEcho(ReportedMessage),
    /// A report can be fetched.
    ReportCompleted(ReportCompleted),
    /// A rightly signed webhook that cannot be read.
    Unknown {
        /// The provider's topic, if the body names one.
        topic: String,
        /// Why it cannot be read. Never quotes the body.
        problem: String,
        /// Who wrote to whom, where a customer wrote something that cannot be read.
        written: Option<Box<ReportedParties>>,
    },
}

/// That a customer wrote, whatever it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedParties {
    /// The customer.
    pub sender: Party,
    /// To whom.
    pub recipient: Party,
}

impl fmt::Debug for Payload {
    /// Names the kind alone: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageReceived(_) => "MessageReceived(…)",
            Self::MessageAccepted(_) => "MessageAccepted(…)",
            Self::MessageStatus(_) => "MessageStatus(…)",
            Self::MessageEcho(_) => "MessageEcho(…)",
            Self::ReportCompleted(_) => "ReportCompleted(…)",
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
    /// The provider's id of the message that this one answers, if it answers one.
    pub reply_to: Option<String>,
    /// The advertisement that brought the customer, if one did.
    pub referral: Option<Referral>,
    /// What. Absent only where an echo holds something that cannot be read.
    pub content: Option<ReportedContent>,
}

/// What a reported message holds.
#[derive(Clone, PartialEq)]
pub enum ReportedContent {
    /// Plain text.
    Text(String),
    /// Files, at least one.
    Attachments(Vec<Attachment>),
    /// A place.
    Location(Location),
    /// A pressed button.
    ButtonReply {
        /// What stands on it.
        text: String,
        /// What it was sent with; may be empty.
        payload: String,
    },
}

/// A file that came with a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What it is, where the provider's word is one we know.
    pub kind: Option<MediaKind>,
    /// The provider's word.
    pub provider_kind: String,
    /// Where it can be fetched.
    pub url: String,
    /// The text below it; may be empty.
    pub caption: String,
    /// Its name; may be empty.
    pub file_name: String,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment(…)")
    }
}

/// An advertisement that brought a customer. What the provider does not say is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Referral {
    /// Where it stands.
    pub source_url: String,
    /// Its id.
    pub source_id: String,
    /// What it is, in the provider's word.
    pub source_type: String,
    /// Its headline.
    pub headline: String,
    /// Its text.
    pub body: String,
    /// What it shows, in the provider's word.
    pub media_type: String,
    /// Where its picture is.
    pub image_url: String,
    /// Where its film is.
    pub video_url: String,
    /// Where its preview is.
    pub thumbnail_url: String,
    /// The id of the click.
    pub click_id: String,
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Referral(…)")
    }
}

/// A report that can be fetched. What the provider does not say is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportCompleted {
    /// The report's id.
    pub report_id: String,
    /// Its name.
    pub name: String,
    /// Its type, in the provider's word.
    pub report_type: String,
    /// The id of the run.
    pub run_id: String,
    /// Where it can be fetched, by whoever knows it: never empty.
    pub url: String,
    /// Until when, if the provider says.
    pub expire_time: Option<UnixMillis>,
    /// When it was made, if the provider says.
    pub create_time: Option<UnixMillis>,
}

impl fmt::Debug for ReportCompleted {
    /// Leaves the URL out: it opens the report to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportCompleted(…)")
    }
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

/// An attempt of ours that a webhook brought back: it has reached the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The attempt.
    pub attempt: AttemptId,
    /// The provider's id of the message, where the webhook tells it.
    pub provider_message_id: Option<String>,
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

    /// The provider has taken a message of ours: told once, however often it is proven.
    pub fn accepted(message_id: MessageId) -> Self {
        Self(format!("accepted\n{message_id}"))
    }

    /// A run of a report that has come to its end.
    pub fn report(run_id: &str) -> Self {
        Self(format!("report\n{run_id}"))
    }

    /// The identity as the store keeps it: unique within an account.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
