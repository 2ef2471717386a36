//! Messages that Switchboard sends.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ulid::Ulid;

use super::event::ReportedFault;
use super::outcome::UnknownOutcome;
use super::{
    AccountId, Address, Location, MediaLink, PhoneNumber, Provider, RequestId, UnixMillis, template,
};

/// How long after a customer's last message WhatsApp accepts content other than a template.
pub const SESSION_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// How long after a failure a report of delivery may still overrule it.
pub const FAILURE_FINAL_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// Switchboard's id of a message: `msg_` and a ULID. It is assigned before Switchboard calls the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Ulid);

/// Why a string is not a [`MessageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `msg_` and a ULID")]
pub struct MessageIdMalformed;

impl MessageId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = MessageIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let ulid = s.strip_prefix("msg_").ok_or(MessageIdMalformed)?;
        Ulid::from_string(ulid).map(Self).map_err(|_| MessageIdMalformed)
    }
}

/// One attempt to send a message: `<message id>/<number>`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The message.
    pub message_id: MessageId,
    /// The number of the attempt.
    pub number: u32,
}

/// Why a string is not an [`AttemptId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `<message id>/<number>`")]
pub struct AttemptIdMalformed;

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.message_id, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = AttemptIdMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (message_id, number) = s.split_once('/').ok_or(AttemptIdMalformed)?;
        let number = number.parse().ok().filter(|&number| number > 0).ok_or(AttemptIdMalformed)?;
        Ok(Self { message_id: message_id.parse().map_err(|_| AttemptIdMalformed)?, number })
    }
}

/// JSON text that the client attaches to a message and that the provider returns with the message's events.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackData(String);

debug_without_content!(CallbackData);

/// Why a string is not [`CallbackData`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackDataMalformed {
    /// Longer than the space that the correlation tag leaves in the provider's field.
    #[error("must be at most {} bytes of JSON", CallbackData::MAX_BYTES)]
    TooLong,
    /// Not JSON.
    #[error("must be JSON text, such as `{{\"order\": 77}}` or `\"order-77\"`")]
    NotJson,
}

impl CallbackData {
    /// The maximum length in bytes: the space that the correlation tag leaves in Connectly's 1024 bytes.
    pub const MAX_BYTES: usize = 960;

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallbackData {
    type Err = CallbackDataMalformed;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.len() > Self::MAX_BYTES {
            return Err(CallbackDataMalformed::TooLong);
        }
        // The text must also parse with our own parser, which limits nesting depth.
        serde_json::from_str::<serde_json::Value>(s).map_err(|_| CallbackDataMalformed::NotJson)?;
        Ok(Self(s.to_owned()))
    }
}

/// The network that carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Channel {
    /// WhatsApp.
    WhatsApp,
    /// SMS.
    Sms,
}

impl Channel {
    /// The channel's name in error texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "WhatsApp",
            Self::Sms => "SMS",
        }
    }
}

/// The state of a message. The order of the variants is the order in which a message advances.
///
/// Proof of delivery overrides a failure, because the failure may belong to another one of several attempts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum MessageState {
    /// Switchboard has recorded the message; the outcome of the send is not known yet.
    Pending,
    /// The outcome of the send is unknown: the provider may or may not have accepted the message.
    Unknown,
    /// The provider accepted the message.
    Accepted,
    /// The message is on its way to the customer's device.
    Sent,
    /// The message could not be delivered.
    Failed,
    /// The message is on the customer's device.
    Delivered,
    /// The customer opened the message.
    Read,
}

/// The kind of a message's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ContentKind {
    /// Plain text.
    Text,
    /// A message made from a template.
    Template,
    /// A file.
    Media,
    /// A place on the map.
    Location,
}

/// The content of a message to send.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A message made from a template.
    Template(template::Filled),
    /// A file that the provider downloads from a URL.
    Media(MediaLink),
    /// A geographic location.
    Location(Location),
}

impl Content {
    /// The kind of the content.
    pub const fn kind(&self) -> ContentKind {
        match self {
            Self::Text(_) => ContentKind::Text,
            Self::Template(_) => ContentKind::Template,
            Self::Media(_) => ContentKind::Media,
            Self::Location(_) => ContentKind::Location,
        }
    }

    /// The name of the template, if the content is made from one.
    pub fn template_name(&self) -> Option<&str> {
        match self {
            Self::Template(filled) => Some(&filled.name),
            Self::Text(_) | Self::Media(_) | Self::Location(_) => None,
        }
    }
}

impl fmt::Debug for Content {
    /// Prints only the kind: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(body) => write!(f, "Text({} characters)", body.chars().count()),
            Self::Template(filled) => filled.fmt(f),
            Self::Media(link) => link.fmt(f),
            Self::Location(location) => location.fmt(f),
        }
    }
}

/// A message to send. It is well-formed but not yet validated against the account's capabilities.
#[derive(Clone, PartialEq)]
pub struct Outgoing {
    /// The recipient.
    pub to: Address,
    /// The network to use.
    pub channel: Channel,
    /// The account's number to send from; if absent, the provider chooses.
    pub sender: Option<PhoneNumber>,
    /// The recipient's display name; may be empty.
    pub recipient_name: String,
    /// The campaign; may be empty.
    pub campaign_name: String,
    /// The content.
    pub content: Content,
    /// The JSON that the provider returns with the message's events.
    pub callback_data: Option<CallbackData>,
}

impl fmt::Debug for Outgoing {
    /// Leaves out the names: the recipient's name is personal data, and the campaign is free text of the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("to", &self.to)
            .field("channel", &self.channel)
            .field("sender", &self.sender)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

/// Why a message failed, or why its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageProblem {
    /// The provider reported that it failed.
    Failed(ReportedFault),
    /// The outcome is unknown: the provider may or may not have accepted the message.
    OutcomeUnknown(UnknownOutcome),
}

/// A message that Switchboard sent, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Switchboard's id.
    pub id: MessageId,
    /// The provider's ids, in the provider's order. ConnectBy may assign none.
    pub provider_ids: Vec<String>,
    /// The account that the message was sent from.
    pub account: AccountId,
    /// The account's provider.
    pub provider: Provider,
    /// The recipient.
    pub to: Address,
    /// The account's number that the client chose to send from.
    pub sender: Option<PhoneNumber>,
    /// The recipient's WhatsApp id, if the provider reported one.
    pub recipient_wa_id: Option<String>,
    /// The network that carries it.
    pub channel: Channel,
    /// The kind of its content.
    pub content_kind: ContentKind,
    /// The name of its template, if it was made from one.
    pub template_name: Option<String>,
    /// The name of the campaign that it was sent with, if the client gave one.
    pub campaign_name: Option<String>,
    /// The state of the message.
    pub state: MessageState,
    /// The provider's own name for the state, if it reported one.
    pub provider_state: Option<String>,
    /// Why the message failed, or why its outcome is unknown.
    pub problem: Option<MessageProblem>,
    /// The idempotency key of the send, if it has one.
    pub request_id: Option<RequestId>,
    /// The number of the latest attempt.
    pub attempt: u32,
    /// The JSON that the provider returns with the message's events, if the provider supports that.
    pub callback_data: Option<CallbackData>,
    /// When Switchboard recorded the message.
    pub create_time: UnixMillis,
    /// When `state` last changed.
    pub update_time: UnixMillis,
}

impl Message {
    /// From when on the state can no longer change. Absent while it can.
    pub fn terminal_since(&self) -> Option<UnixMillis> {
        match self.state {
            MessageState::Read => Some(self.update_time),
            MessageState::Failed => Some(self.update_time.plus(FAILURE_FINAL_AFTER)),
            MessageState::Pending
            | MessageState::Unknown
            | MessageState::Accepted
            | MessageState::Sent
            | MessageState::Delivered => None,
        }
    }

    /// Whether the state can no longer change.
    pub fn is_terminal(&self, now: UnixMillis) -> bool {
        self.terminal_since().is_some_and(|since| since <= now)
    }
}
