//! Messages on their way out.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ulid::Ulid;

use super::event::ReportedFault;
use super::outcome::UnknownOutcome;
use super::{AccountId, Address, MediaLink, PhoneNumber, Provider, RequestId, UnixMillis, template};

/// How long after a customer's last message WhatsApp takes anything but a template.
pub const SESSION_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// Switchboard's own id of a message: `msg_` and a ULID, made before anything goes out.
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

/// One attempt at sending a message: `<message id>/<number>`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId {
    /// The message.
    pub message_id: MessageId,
    /// Which attempt.
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

/// JSON text of the sender's own that the provider brings back with the events of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackData(String);

debug_without_content!(CallbackData);

/// Why a string is not [`CallbackData`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackDataMalformed {
    /// Longer than what fits into a provider's field together with our own part.
    #[error("must be at most {} bytes of JSON", CallbackData::MAX_BYTES)]
    TooLong,
    /// Not JSON.
    #[error("must be JSON text, such as `{{\"order\": 77}}` or `\"order-77\"`")]
    NotJson,
}

impl CallbackData {
    /// The most bytes: what is left of Connectly's 1024 beside our own part.
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
        // Also held against it is what our own parser makes of it: nesting without end is no JSON to us.
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

/// How far a message has come, in the order in which it moves forward.
///
/// A proof of delivery beats a failure, for the failure may have been one of several attempts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum MessageState {
    /// Taken by us; nothing is known yet.
    Pending,
    /// The provider may or may not have taken it.
    Unknown,
    /// Taken by the provider.
    Accepted,
    /// On its way to the customer's device.
    Sent,
    /// Could not be delivered.
    Failed,
    /// On the customer's device.
    Delivered,
    /// Opened by the customer.
    Read,
}

/// What is to be sent.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A message made from a template.
    Template(template::Filled),
    /// A file that the provider fetches for itself.
    Media(MediaLink),
}

impl fmt::Debug for Content {
    /// Names the kind alone: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(body) => write!(f, "Text({} characters)", body.chars().count()),
            Self::Template(filled) => filled.fmt(f),
            Self::Media(link) => link.fmt(f),
        }
    }
}

/// A message to be sent, well-formed but not yet held against what its account can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Whom it goes to.
    pub to: Address,
    /// The network to use.
    pub channel: Channel,
    /// The number of ours to send from; absent, the provider chooses.
    pub sender: Option<PhoneNumber>,
    /// What it says.
    pub content: Content,
    /// What comes back with its events.
    pub callback_data: Option<CallbackData>,
}

/// Why a message failed, or why nobody can tell what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageProblem {
    /// The provider reported that it failed.
    Failed(ReportedFault),
    /// Nobody can tell whether the provider took it.
    OutcomeUnknown(UnknownOutcome),
}

/// A message of ours and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Our id.
    pub id: MessageId,
    /// The provider's ids, in its order. ConnectBy may give none.
    pub provider_ids: Vec<String>,
    /// The account it was sent from.
    pub account: AccountId,
    /// The account's provider.
    pub provider: Provider,
    /// Whom it goes to.
    pub to: Address,
    /// The network that carries it.
    pub channel: Channel,
    /// How far it has come.
    pub state: MessageState,
    /// The provider's own word for that, if it said one.
    pub provider_state: Option<String>,
    /// Why it failed, or why nobody can tell what became of it.
    pub problem: Option<MessageProblem>,
    /// The caller's name for the send, if it has one.
    pub request_id: Option<RequestId>,
    /// Which attempt it stands at.
    pub attempt: u32,
    /// What comes back with its events, if the provider can do that.
    pub callback_data: Option<CallbackData>,
    /// When we took it.
    pub create_time: UnixMillis,
    /// When `state` last changed.
    pub update_time: UnixMillis,
}
