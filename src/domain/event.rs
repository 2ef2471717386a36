//! Events: what happened to messages, as subscribers receive it.

use std::fmt;

use ulid::Ulid;

use super::message::{CallbackData, Message};
use super::{
    AccountId, AttemptId, Channel, CustomerKey, EventCustomer, Location, MediaKind, MessageId, MessageState,
    Provider, ProviderFault, UnixMillis,
};

/// The id of an event: `evt_` and a ULID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// A new id.
    pub fn generate() -> Self {
        Self(format!("evt_{}", Ulid::generate()))
    }

    /// Restores an id that was stored before.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The type of an event. Its text form is part of the contract.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
pub enum EventType {
    /// A customer sent a message.
    #[strum(serialize = "message.received")]
    MessageReceived,
    /// The provider accepted a message that Switchboard sent.
    #[strum(serialize = "message.accepted")]
    MessageAccepted,
    /// The provider reported the status of a sent message.
    #[strum(serialize = "message.status")]
    MessageStatus,
    /// The provider reported a message that was sent from one of the account's own numbers.
    #[strum(serialize = "message.echo")]
    MessageEcho,
    /// A run of a report started, completed or failed.
    #[strum(serialize = "report.run")]
    ReportRun,
    /// A webhook with a valid signature that is not a message, a status or a report that this version can parse.
    #[strum(serialize = "unknown")]
    Unknown,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::MessageReceived,
        Self::MessageAccepted,
        Self::MessageStatus,
        Self::MessageEcho,
        Self::ReportRun,
        Self::Unknown,
    ];

    /// The type's name in the contract, such as `message.received`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// The sender or the recipient of a message, as the provider described it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// The address in the form that a send accepts. If there is none, the provider's own text.
    pub address: String,
    /// The phone number with `+`, if there is one.
    pub phone_number: String,
    /// The business-scoped user id, if there is one.
    pub user_id: String,
    /// The parent business-scoped user id as the provider sent it, if there is one.
    pub parent_user_id: String,
    /// The username, if there is one.
    pub username: String,
    /// The display name, if there is one.
    pub name: String,
    /// The network, if it is a known one.
    pub channel: Option<Channel>,
    /// The provider's word for the network, verbatim. Empty if the provider sent none.
    pub provider_channel: String,
}

impl Party {
    /// The keys of this party as a customer: by phone number, user id and parent user id. Without any of them, by the
    /// provider's own id.
    pub fn customer_keys(&self) -> impl Iterator<Item = CustomerKey> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let user = |id: &str| given(id).map(|id| format!("bsuid:{id}"));
        let keys = [given(&self.phone_number), user(&self.user_id), user(&self.parent_user_id)];
        let own = if keys.iter().all(Option::is_none) { given(&self.address) } else { None };
        keys.into_iter().chain([own]).flatten().map(|address| CustomerKey::of_reported(&address))
    }
}

impl From<&Party> for EventCustomer {
    fn from(party: &Party) -> Self {
        let mut hashes = party.customer_keys().map(|key| key.hash());
        Self { customer: hashes.next(), aliases: [hashes.next(), hashes.next()] }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// An event that has no position in the journal yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's id.
    pub id: EventId,
    /// The account that the event belongs to.
    pub account: AccountId,
    /// The account's provider.
    pub provider: Provider,
    /// When it happened by the provider's clock, if the provider reported a time.
    pub occur_time: Option<UnixMillis>,
    /// The JSON text that the client attached to the message, if the provider returned it.
    pub callback_data: Option<String>,
    /// What happened.
    pub payload: Payload,
}

impl Event {
    /// Creates the event that reports that the provider accepted `message`.
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

    /// The customer that the event is about.
    pub fn customer(&self) -> EventCustomer {
        match &self.payload {
            Payload::MessageReceived(message) => (&message.sender).into(),
            Payload::MessageAccepted(message) => (&message.to).into(),
            Payload::MessageStatus(status) => (&status.recipient).into(),
            Payload::MessageEcho(message) => (&message.recipient).into(),
            Payload::ReportRun(_) | Payload::Unknown { .. } => EventCustomer::default(),
        }
    }

    /// The event's type.
    pub fn event_type(&self) -> EventType {
        match self.payload {
            Payload::MessageReceived(_) => EventType::MessageReceived,
            Payload::MessageAccepted(_) => EventType::MessageAccepted,
            Payload::MessageStatus(_) => EventType::MessageStatus,
            Payload::MessageEcho(_) => EventType::MessageEcho,
            Payload::ReportRun(_) => EventType::ReportRun,
            Payload::Unknown { .. } => EventType::Unknown,
        }
    }
}

/// The content of an event, by type.
#[derive(Clone, PartialEq)]
pub enum Payload {
    /// A customer sent a message.
    MessageReceived(ReportedMessage),
    /// The provider accepted a message that Switchboard sent.
    MessageAccepted(Box<Message>),
    /// The provider reported the status of a sent message.
    MessageStatus(MessageStatus),
    /// The provider reported a message that was sent from one of the account's own numbers.
    MessageEcho(ReportedMessage),
    /// A run of a report started, completed or failed.
    ReportRun(ReportRun),
    /// A webhook with a valid signature that is not a message, a status or a report that this version can parse.
    Unknown {
        /// The provider's topic, if the body contains one.
        topic: String,
        /// Why the body cannot be parsed. Never quotes the body.
        problem: String,
    },
}

impl fmt::Debug for Payload {
    /// Prints only the type: message text never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageReceived(_) => "MessageReceived(…)",
            Self::MessageAccepted(_) => "MessageAccepted(…)",
            Self::MessageStatus(_) => "MessageStatus(…)",
            Self::MessageEcho(_) => "MessageEcho(…)",
            Self::ReportRun(_) => "ReportRun(…)",
            Self::Unknown { .. } => "Unknown(…)",
        })
    }
}

/// A message that a webhook reported.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedMessage {
    /// The provider's id; empty if it assigned none.
    pub provider_message_id: String,
    /// The sender.
    pub sender: Party,
    /// The recipient.
    pub recipient: Party,
    /// The provider's id of the message that this one replies to, if it is a reply.
    pub reply_to: Option<String>,
    /// The advertisement that the customer came from, if there is one.
    pub referral: Option<Referral>,
    /// The webhook's metadata as the provider's JSON, byte for byte. Empty if the provider sent none.
    pub metadata_json: String,
    /// The content.
    pub content: ReportedContent,
}

/// The content of a reported message.
#[derive(Clone, PartialEq)]
pub enum ReportedContent {
    /// Plain text.
    Text(String),
    /// Files, at least one.
    Attachments(Vec<Attachment>),
    /// A geographic location.
    Location(Location),
    /// A pressed button.
    ButtonReply {
        /// The button's label.
        text: String,
        /// The payload that the button was sent with; may be empty.
        payload: String,
    },
    /// Content that this version cannot parse completely.
    Unsupported {
        /// The provider's word for the kind of content. Empty if the provider sent none.
        provider_kind: String,
        /// The provider's JSON of the content, byte for byte.
        raw_json: String,
    },
}

/// A file that a message contains.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The kind of file, if the provider's value is a known one.
    pub kind: Option<MediaKind>,
    /// The provider's value, verbatim.
    pub provider_kind: String,
    /// The URL to download the file from.
    pub url: String,
    /// The caption; may be empty.
    pub caption: String,
    /// The file's name; may be empty.
    pub file_name: String,
    /// The MIME type; may be empty.
    pub mime_type: String,
    /// The SHA-256 of the file in the provider's encoding; may be empty.
    pub sha256: String,
    /// The size in bytes, if the provider sent a whole number.
    pub size_bytes: Option<u64>,
    /// The provider's id of the file; may be empty.
    pub media_id: String,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment(…)")
    }
}

/// An advertisement that a customer came from. A field that the provider omits is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Referral {
    /// The URL of the advertisement.
    pub source_url: String,
    /// The advertisement's id.
    pub source_id: String,
    /// Its type, as the provider names it.
    pub source_type: String,
    /// The headline.
    pub headline: String,
    /// The text.
    pub body: String,
    /// The type of its media, as the provider names it.
    pub media_type: String,
    /// The URL of the image.
    pub image_url: String,
    /// The URL of the video.
    pub video_url: String,
    /// The URL of the thumbnail.
    pub thumbnail_url: String,
    /// The id of the click.
    pub click_id: String,
}

impl fmt::Debug for Referral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Referral(…)")
    }
}

/// The status of a report's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum ReportStatus {
    /// The report is being made.
    Processing,
    /// The report is complete and can be downloaded.
    Completed,
    /// The report could not be made.
    Failed,
}

/// A run of a report. A field that the provider omits is empty.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportRun {
    /// The report's id.
    pub report_id: String,
    /// The report's name.
    pub name: String,
    /// The report's type, as the provider names it.
    pub report_type: String,
    /// The id of the run.
    pub run_id: String,
    /// The status of the run, if the provider's value is a known one.
    pub status: Option<ReportStatus>,
    /// The provider's value for the status, verbatim.
    pub provider_status: String,
    /// The download URL. It requires no credentials. Empty if the run is not complete.
    pub url: String,
    /// When the URL expires, if the provider reports it.
    pub expire_time: Option<UnixMillis>,
    /// When the report was created, if the provider reports it.
    pub create_time: Option<UnixMillis>,
}

impl fmt::Debug for ReportRun {
    /// Leaves out the URL: it opens the report without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportRun(…)")
    }
}

impl fmt::Debug for ReportedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportedContent(…)")
    }
}

/// A status that the provider reported for a sent message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageStatus {
    /// The provider's id of the message.
    pub provider_message_id: String,
    /// The reported state, if the provider's value is a known one.
    pub status: Option<MessageState>,
    /// The provider's value, verbatim.
    pub provider_status: String,
    /// Why the message failed, if it failed and the provider reported a reason.
    pub fault: Option<ReportedFault>,
    /// The account's number.
    pub sender: Party,
    /// The customer.
    pub recipient: Party,
    /// The campaign, if there is one.
    pub campaign_name: String,
}

/// A failure that a webhook reported, with the provider's JSON, which may contain message content.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedFault {
    /// What the provider reported, without the JSON.
    pub fault: ProviderFault,
    /// The provider's error as the JSON that it sent, with the account's secrets masked.
    pub raw_json: String,
}

impl fmt::Debug for ReportedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

/// Proof that an attempt reached the provider: a webhook returned the attempt's correlation tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The attempt.
    pub attempt: AttemptId,
    /// The provider's id of the message, if the webhook contains it.
    pub provider_message_id: Option<String>,
}

/// The key by which Switchboard deduplicates an event that the provider delivers more than once.
///
/// It is built only from ids that the provider assigned. Equal content does not make two events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity(String);

impl Identity {
    /// A message from a customer.
    pub fn message(provider_message_id: &str) -> Self {
        Self(format!("message\n{provider_message_id}"))
    }

    /// A status of a message. Each message reports each status value at most once.
    pub fn status(provider_message_id: &str, word: &str) -> Self {
        // The length prefix makes the encoding unambiguous for any content of the two fields.
        Self(format!("status\n{}\n{word}\n{provider_message_id}", word.len()))
    }

    /// A message from one of the account's own numbers that the provider reported.
    pub fn echo(provider_message_id: &str) -> Self {
        Self(format!("echo\n{provider_message_id}"))
    }

    /// The provider's acceptance of a sent message. It is reported once, even if several webhooks prove it.
    pub fn accepted(message_id: MessageId) -> Self {
        Self(format!("accepted\n{message_id}"))
    }

    /// A status of a report's run. Each run reports each status value at most once.
    pub fn report(run_id: &str, status: &str) -> Self {
        // The length prefix makes the encoding unambiguous for any content of the two fields.
        Self(format!("report\n{}\n{status}\n{run_id}", status.len()))
    }

    /// The key as the store saves it: unique within an account.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
