//! Connectly, imitated: sends, templates, webhook registrations, and the signed webhooks that follow.

mod error;
mod message_life;
mod messages;
mod signature;
mod state;
mod templates;
mod webhook_sender;
mod webhooks;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio_util::task::TaskTracker;
use ulid::Ulid;
use url::Url;

use self::state::State;
use super::endpoint::Endpoint;
use super::exchange::FakeProvider;
use super::listener::Stop;

/// When the steps of a message's automatic life are due, counted from its acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The webhook `sent`.
    pub sent: Duration,
    /// The webhook `delivered`.
    pub delivered: Duration,
    /// The webhook `read`.
    pub read: Duration,
    /// The customer's answer.
    pub reply: Duration,
}

impl Timing {
    /// Everything at once, in order.
    pub const INSTANT: Self =
        Self { sent: Duration::ZERO, delivered: Duration::ZERO, read: Duration::ZERO, reply: Duration::ZERO };
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { sent: ms(200), delivered: ms(500), read: ms(900), reply: ms(1500) }
    }
}

/// What happens when a topic is registered that has an address already; the documentation says both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DuplicateTopic {
    /// HTTP 409, and the old registration stays.
    #[default]
    Conflict,
    /// The new registration takes the old one's place.
    Replace,
}

/// What an imitated Connectly is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// The `X-API-Key` that calls must carry.
    pub api_key: String,
    /// The business id that must stand in the path.
    pub business_id: String,
    /// The secret that webhooks are signed with.
    pub webhook_secret: String,
    /// The business's own number.
    pub business_number: String,
    /// Registered at the start for `messages` and `delivery_status`.
    pub webhook_url: Option<Url>,
    /// When the steps of a message's life are due.
    pub timing: Timing,
    /// Whether an accepted WhatsApp message is reported as sent, delivered and read.
    pub auto_status: bool,
    /// Whether the customer answers an accepted WhatsApp message.
    pub auto_reply: bool,
    /// Whether session messages need a customer who wrote within 24 hours.
    pub enforce_window: bool,
    /// What happens when a topic is registered twice.
    pub duplicate_topic: DuplicateTopic,
    /// How long a webhook is tried again before it is given up.
    pub retry_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: "sandbox-api-key".to_owned(),
            business_id: "5a4d0b0c-0000-4000-8000-000000000001".to_owned(),
            webhook_secret: "sandbox-webhook-secret".to_owned(),
            business_number: "+15550100002".to_owned(),
            webhook_url: None,
            timing: Timing::default(),
            auto_status: true,
            auto_reply: true,
            enforce_window: false,
            duplicate_topic: DuplicateTopic::default(),
            retry_for: Duration::from_secs(300),
        }
    }
}

/// What a webhook is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// What customers write.
    Messages,
    /// What became of our own messages.
    DeliveryStatus,
    /// Finished reports; the sandbox never makes one by itself.
    Report,
}

impl Topic {
    /// The topic's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::DeliveryStatus => "delivery_status",
            Self::Report => "report",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A string names no [`Topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `messages`, `delivery_status` or `report`")]
pub struct TopicUnknown;

impl FromStr for Topic {
    type Err = TopicUnknown;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        [Self::Messages, Self::DeliveryStatus, Self::Report]
            .into_iter()
            .find(|topic| topic.as_str() == s)
            .ok_or(TopicUnknown)
    }
}

/// An address that webhooks of one topic go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Made by the sandbox.
    pub id: String,
    /// What it is for; there is one registration per topic.
    pub topic: Topic,
    /// Where to.
    pub address: Url,
    /// `echo`, `channelTypes`, `filters` as given.
    pub configuration: Value,
}

/// How an injected webhook is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// With the webhook secret.
    Right,
    /// With another secret.
    Wrong,
    /// Not at all.
    Missing,
}

/// The customer who sends an injected message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// The phone number, or the business-scoped user id, `US.123`, of a customer without one.
    pub address: String,
    /// The business-scoped user id of a customer with a phone number.
    pub user_id: Option<String>,
    /// The parent business-scoped user id.
    pub parent_user_id: Option<String>,
    /// The username.
    pub username: Option<String>,
}

/// How a customer answers a message in a way that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// With a text that quotes the message.
    Quote(&'a str),
    /// By pressing one of its buttons.
    Button {
        /// What stands on the button.
        text: &'a str,
        /// What the button was filled with.
        payload: &'a str,
    },
}

/// What became of one injected webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The id inside the message, where the sandbox made one.
    pub message_id: Option<String>,
    /// Where it went; `None` if its topic has no address.
    pub address: Option<Url>,
    /// The receiver's answer; `None` if there was none, or if a fault dropped the webhook.
    pub status: Option<u16>,
}

/// The handle of the imitated Connectly; everything it shares with the other provider is on [`Endpoint`].
#[derive(Clone, Debug)]
pub struct Connectly {
    endpoint: Endpoint,
    state: Arc<State>,
}

impl Connectly {
    pub(super) fn new(
        endpoint: Endpoint,
        options: Options,
        tasks: TaskTracker,
        stop: &Stop,
    ) -> io::Result<Self> {
        let state = State::new(endpoint.clone(), options, tasks, stop)?;
        Ok(Self { endpoint, state: Arc::new(state) })
    }

    /// The `X-API-Key` that calls must carry.
    pub fn api_key(&self) -> &str {
        &self.state.options.api_key
    }

    /// The business id that must stand in the path.
    pub fn business_id(&self) -> &str {
        &self.state.options.business_id
    }

    /// The secret that webhooks are signed with.
    pub fn webhook_secret(&self) -> &str {
        &self.state.options.webhook_secret
    }

    /// The business's own number.
    pub fn business_number(&self) -> &str {
        &self.state.options.business_number
    }

    /// The registrations, oldest first.
    pub fn registrations(&self) -> Vec<Registration> {
        self.state.registrations.list()
    }

    /// Sends the webhooks of a topic to this address from now on, or nowhere. Webhooks that are being
    /// tried again follow.
    pub fn set_webhook_target(&self, topic: Topic, address: impl Into<Option<Url>>) {
        self.state.registrations.set(topic, address.into());
    }

    /// A customer writes: opens the window and delivers a signed `messages` webhook. The first attempt is
    /// awaited and reported; if it fails, further ones follow in the background as for any webhook.
    pub async fn inject_message(&self, from: &str, text: &str) -> Delivery {
        let sender = Sender { address: from.to_owned(), ..Sender::default() };
        self.inject_message_from(&sender, text).await
    }

    /// The same as [`inject_message`](Self::inject_message), from a customer with more than an address.
    pub async fn inject_message_from(&self, sender: &Sender, text: &str) -> Delivery {
        self.state.inject_message(sender, text).await
    }

    /// Reports a status of a run of a report: `processing`, `completed`, `failed` or any other word. Only a completed
    /// run has a URL. Delivered like [`inject_message`](Self::inject_message), to the address of topic
    /// [`Report`](Topic::Report).
    pub async fn inject_report(&self, run_id: &str, status: &str) -> Delivery {
        self.state.inject_report(run_id, status).await
    }

    /// The ids of the accepted messages, the oldest first; of very many, the last 10 000.
    pub fn accepted(&self) -> Vec<String> {
        self.state.sent.ids()
    }

    /// Reports a message that was accepted as `sent`, `delivered`, `read`, `delivery_failed` or with any other word.
    /// Delivered like [`inject_message`](Self::inject_message); `None` if there is no such message.
    pub async fn inject_status(&self, message_id: &str, word: &str) -> Option<Delivery> {
        self.state.inject_about(message_id, |accepted, own| message_life::status(accepted, own, word)).await
    }

    /// Reports a message that was accepted back as one of our own (`isEcho`), also to who has not asked for echoes.
    /// Delivered like [`inject_message`](Self::inject_message); `None` if there is no such message.
    pub async fn inject_echo(&self, message_id: &str) -> Option<Delivery> {
        self.state.inject_about(message_id, message_life::own_message).await
    }

    /// The customer answers a message that was accepted, in a way that names it. Delivered like
    /// [`inject_message`](Self::inject_message); `None` if there is no such message.
    pub async fn inject_answer(&self, message_id: &str, answer: Answer<'_>) -> Option<Delivery> {
        let id = Ulid::generate().to_string();
        let answered = |accepted: &_, own: &_| message_life::answer(&id, accepted, own, &answer);
        let delivery = self.state.inject_about(message_id, answered).await?;
        Some(Delivery { message_id: Some(id), ..delivery })
    }

    /// Delivers these bytes once, whatever they are, and never again: to the address of the `topic` that
    /// they name, or of `messages` if they name none. Faults do not apply.
    pub async fn inject_webhook(&self, body: impl Into<Bytes>, signature: Signature) -> Delivery {
        self.state.inject_webhook(body.into(), signature).await
    }

    /// Makes it so that the customer last wrote this long ago, without any webhook.
    pub fn set_customer_wrote(&self, from: &str, ago: Duration) {
        self.state.customers.wrote(from, ago);
    }

    /// How many messages still have webhooks to be delivered.
    pub fn messages_under_way(&self) -> usize {
        self.state.courier.messages_under_way()
    }

    /// How many webhooks were lost because 10 000 messages were under way already, or because nobody took
    /// them for [`Options::retry_for`].
    pub fn webhooks_given_up(&self) -> u64 {
        self.state.courier.given_up()
    }

    pub(super) fn imitation(&self) -> Arc<dyn FakeProvider> {
        self.state.clone()
    }
}

impl Deref for Connectly {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The signature header's value: padded standard Base64 of HMAC-SHA256 over the raw body.
pub fn sign(secret: &str, body: &[u8]) -> String {
    signature::sign(secret, body)
}
