//! The REST clients: what each account's provider supports, and the calls themselves.
//!
//! An [`Account`] is one set of credentials with its own HTTP client, so a problem of one account never slows another.
//! [`Error`] distinguishes outcomes by certainty, not by cause, because clients need to know whether a write was done.
//! No call in this module is retried.

mod capability;
mod connectby;
mod connectly;
mod error_text;
mod http;
mod json;
mod outcome;
mod pagination;
pub mod signature;
mod template;
mod template_check;
mod upload;

pub use capability::{
    Client, Contacts, Flows, Messaging, PreparedSend, Templates, Uploads, WebhookParser, WebhookRegistrations,
};
pub use pagination::{NextPage, PageCursor};
pub use template::not_found as template_not_found;
pub use template_check::TemplateMismatch;
pub use upload::{Content as UploadContent, Upload};

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use crate::config::{self, ProviderSection};
use crate::domain::event::{Identity, Proof};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::Definition;
use crate::domain::webhook::Registration;
use crate::domain::{
    AccountId, Address, Channel, Event, PhoneNumber, Provider, ProviderFault, RateLimits, RefusalReason,
    ThrottleScope, UnknownReason, UploadLimits,
};

/// The registered providers. A new provider needs an entry here, and its section in [`config`].
pub const PROVIDERS: &[&Descriptor] = &[connectby::DESCRIPTOR, connectly::DESCRIPTOR];

/// A provider that accounts can use.
#[derive(Debug)]
pub struct Descriptor {
    /// The provider's name, and its part of the configuration.
    pub section: &'static ProviderSection,
    /// Creates the client of an account of this provider.
    pub connect: fn(&config::Account) -> Result<Arc<dyn Client>, ConnectError>,
}

/// Why a provider's client could not be created. It contains no secret.
pub type ConnectError = Box<dyn StdError + Send + Sync>;

/// All accounts, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Accounts {
    ordered: Arc<[Arc<Account>]>,
    by_id: Arc<HashMap<AccountId, Arc<Account>>>,
}

/// One set of credentials at one provider.
#[derive(Debug)]
pub struct Account {
    id: AccountId,
    limits: Limits,
    rate_limits: RateLimits,
    client: Arc<dyn Client>,
}

/// The capabilities of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The RPCs that work with the account, such as `MessageService.SendMessage`.
    pub rpcs: &'static [&'static str],
    /// The contents that can be sent, by their field names in the contract.
    pub contents: &'static [&'static str],
    /// The networks that can carry messages.
    pub channels: &'static [Channel],
    /// Whether the provider reports the status of sent messages.
    pub reports_statuses: bool,
    /// Whether the provider delivers messages from customers.
    pub receives_messages: bool,
    /// Whether a client can choose the number to send from.
    pub chooses_sender: bool,
    /// Whether a customer can be addressed by a business-scoped user id.
    pub reaches_user_ids: bool,
    /// Whether a single field of a contact can be changed.
    pub partial_contact_updates: bool,
    /// Whether a send can name a campaign.
    pub accepts_campaign_name: bool,
    /// Whether a send can name the recipient.
    pub accepts_recipient_name: bool,
    /// Whether a template message can have its components as JSON.
    pub accepts_template_components: bool,
}

/// The limits of a single call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum length of a text, in Unicode code points.
    pub text_characters: Option<u32>,
    /// The maximum sizes of uploaded files. If absent, files cannot be uploaded.
    pub upload: Option<UploadLimits>,
    /// The maximum number of calls per second.
    pub calls_per_second: u32,
}

/// A part of a message that the account cannot send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationIssue {
    /// The field's path in the request.
    pub field: Cow<'static, str>,
    /// The kind of issue.
    pub kind: IssueKind,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// Why an account cannot send a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueKind {
    /// The provider does not support it.
    Unsupported,
    /// The value is outside of what the provider accepts.
    OutOfRange,
    /// The provider requires a value.
    Missing,
}

/// The parts of a message that could be parsed, to validate against the account's capabilities.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// The recipient.
    pub to: Option<&'a Address>,
    /// The network to use.
    pub channel: Option<Channel>,
    /// The account's number to send from.
    pub sender: Option<&'a PhoneNumber>,
    /// The recipient's display name; empty if there is none.
    pub recipient_name: &'a str,
    /// The campaign; empty if there is none.
    pub campaign_name: &'a str,
    /// The field name of the content. It is set even if the content itself could not be parsed.
    pub content_field: Option<&'static str>,
    /// The content.
    pub content: Option<&'a Content>,
}

/// The provider's acceptance of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedMessage {
    /// The ids that the provider assigned, in its order. ConnectBy may assign none.
    pub provider_ids: Vec<String>,
    /// The provider's own name for the message's state, if the reply contains one.
    pub provider_state: Option<String>,
    /// The recipient's WhatsApp id, if the reply contains one.
    pub recipient_wa_id: Option<String>,
}

/// An event that a webhook reported.
#[derive(Debug)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// The key for deduplication, if the provider assigned an id.
    pub identity: Option<Identity>,
    /// The attempt that provably reached the provider, if the webhook returned its correlation tag.
    pub proof: Option<Proof>,
}

/// Why a call did not succeed, by what is certain about its outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing reached the provider.
    #[error("the provider was not reached")]
    NotSent(#[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The provider refused and did nothing.
    #[error("the provider refused: {0}")]
    Refused(ProviderFault),
    /// The outcome is unknown: the provider may or may not have done it.
    #[error("the outcome at the provider is unknown: {cause}")]
    Unknown {
        /// Why the outcome is unknown.
        cause: UnknownReason,
        /// The provider's error, if the reply contained a readable one.
        fault: Option<ProviderFault>,
    },
    /// The write requires a check first, and the check failed. The provider did nothing, and an immediate retry would
    /// not help.
    #[error(transparent)]
    PreconditionFailed(PreconditionFailed),
}

/// Why the check before a write failed.
#[derive(Debug, thiserror::Error)]
pub enum PreconditionFailed {
    /// The data for the check could not be read.
    #[error("the data for the check before the write could not be read")]
    NotRead(#[source] Box<Error>),
    /// The topic of a new registration already has a URL.
    #[error("the topic already has a registered URL")]
    Registered {
        /// The registration, if it is known.
        existing: Option<Box<Registration>>,
        /// The provider's error, if it was the provider that refused.
        fault: Option<Box<ProviderFault>>,
    },
}

impl Error {
    /// The provider's error, if it limits the calls of the whole account. The limit for a single customer does not
    /// count.
    pub fn throttled(&self) -> Option<&ProviderFault> {
        match self {
            Self::Refused(fault) => Some(fault).filter(|fault| {
                fault.refusal == RefusalReason::Throttled && fault.throttle_scope == ThrottleScope::Account
            }),
            Self::NotSent(_) | Self::PreconditionFailed(_) | Self::Unknown { .. } => None,
        }
    }

    /// Records which configured route was called.
    #[must_use]
    fn at_route(mut self, name: &str, route: &config::Route) -> Self {
        if let Self::Refused(fault) | Self::Unknown { fault: Some(fault), .. } = &mut self {
            fault.route = Some(format!("{name} = \"{route}\"").into());
        }
        self
    }
}

/// Why an account's client could not be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up account {account}")]
pub struct SetupError {
    account: AccountId,
    #[source]
    source: ConnectError,
}

impl Accounts {
    /// Creates a client for each account.
    ///
    /// # Errors
    ///
    /// Fails if the system's TLS roots cannot be loaded.
    pub fn new(accounts: &[config::Account]) -> Result<Self, SetupError> {
        Self::with_providers(PROVIDERS, accounts)
    }

    /// Like [`new`](Self::new), with these providers instead of those of this library.
    ///
    /// # Errors
    ///
    /// Fails if a client cannot be created, or if an account's provider is not among `providers`.
    pub fn with_providers(
        providers: &[&Descriptor],
        accounts: &[config::Account],
    ) -> Result<Self, SetupError> {
        let ordered = accounts
            .iter()
            .map(|config| Account::new(providers, config).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let by_id = ordered.iter().map(|account| (account.id.clone(), Arc::clone(account))).collect();
        Ok(Self { ordered: ordered.into(), by_id: Arc::new(by_id) })
    }

    /// The account with this id.
    pub fn get(&self, id: &AccountId) -> Option<&Arc<Account>> {
        self.by_id.get(id)
    }

    /// All accounts, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.ordered.iter()
    }
}

impl Account {
    fn new(providers: &[&Descriptor], config: &config::Account) -> Result<Self, SetupError> {
        let setup_error = |source| SetupError { account: config.id.clone(), source };
        let descriptor = providers.iter().find(|descriptor| descriptor.section.provider == config.provider);
        let descriptor = descriptor.ok_or_else(|| setup_error("the provider is not registered".into()))?;
        let client = (descriptor.connect)(config).map_err(setup_error)?;
        Ok(Self {
            id: config.id.clone(),
            limits: Limits {
                text_characters: config.limits.text_characters,
                upload: config.limits.upload,
                calls_per_second: config.gate.calls_per_second,
            },
            rate_limits: config.gate,
            client,
        })
    }

    /// The account's id.
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// The account's provider.
    pub fn provider(&self) -> Provider {
        self.client.provider()
    }

    /// The account's capabilities.
    pub fn capabilities(&self) -> Capabilities {
        self.client.capabilities()
    }

    /// The limits of a single call.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The limits on how fast the account may be used, and on how long a call may wait.
    pub fn rate_limits(&self) -> RateLimits {
        self.rate_limits
    }

    /// Sends a small read to check whether the provider responds.
    ///
    /// # Errors
    ///
    /// Fails if the provider's reply is not the expected one. Such an error can still contain a reply.
    pub async fn probe(&self) -> Result<(), Error> {
        self.client.probe().await
    }

    /// All issues that keep the account from sending these parts of a message.
    pub fn validate(&self, parts: Parts<'_>) -> Vec<ValidationIssue> {
        let capabilities = self.capabilities();
        let provider = self.provider();
        let mut issues = Vec::new();
        let mut unsupported = |field: &'static str, problem: String| {
            issues.push(ValidationIssue { field: field.into(), kind: IssueKind::Unsupported, problem });
        };
        if matches!(parts.to, Some(Address::User(_))) && !capabilities.reaches_user_ids {
            unsupported("to", format!("{provider} supports phone numbers only"));
        }
        if let Some(channel) = parts.channel
            && !capabilities.channels.contains(&channel)
        {
            unsupported("channel", format!("{provider} does not support {}", channel.as_str()));
        }
        if parts.sender.is_some() && !capabilities.chooses_sender {
            unsupported("sender", format!("{provider} chooses the number to send from"));
        }
        if !parts.recipient_name.is_empty() {
            if !capabilities.accepts_recipient_name {
                unsupported("recipient_name", format!("{provider} accepts no name of the recipient"));
            } else if parts.content_field == Some("template") {
                let problem = format!("{provider} accepts no name of the recipient with `template`");
                unsupported("recipient_name", problem);
            }
        }
        if !parts.campaign_name.is_empty() && !capabilities.accepts_campaign_name {
            unsupported("campaign_name", format!("{provider} has no campaigns"));
        }
        if let (Some(Address::User(_)), Some(Channel::Sms)) = (parts.to, parts.channel)
            && capabilities.reaches_user_ids
        {
            unsupported("to", "must be a phone number over SMS: user ids exist on WhatsApp only".to_owned());
        }
        if let Some(content) = parts.content_field
            && !capabilities.contents.contains(&content)
        {
            let problem = if content == "media" && self.limits.upload.is_some() {
                format!("{provider} does not download files: send the file itself with SendMedia")
            } else {
                format!("{provider} does not support this content")
            };
            unsupported(content, problem);
        }
        // The field decides, so that an invalid file or location is reported together with the network.
        let over_whatsapp_only = match parts.content_field {
            Some("media") => Some("files"),
            Some("location") => Some("locations"),
            _ => None,
        };
        if let (Some(content), Some(Channel::Sms)) = (over_whatsapp_only, parts.channel)
            && capabilities.channels.contains(&Channel::Sms)
        {
            unsupported("channel", format!("{provider} does not support {content} over SMS"));
        }
        if let (Some(Content::Text(body)), Some(max)) = (parts.content, self.limits.text_characters) {
            let characters = body.chars().count();
            if characters > max as usize {
                let problem = format!("must be at most {max} characters, and has {characters}");
                issues.push(ValidationIssue {
                    field: "text.body".into(),
                    kind: IssueKind::OutOfRange,
                    problem,
                });
            }
        }
        if let (Some(Content::Template(filled)), Some(templates)) = (parts.content, self.templates()) {
            issues.extend(templates.validate(filled, parts.channel));
        }
        issues
    }

    /// Converts a message into what the provider accepts: see [`Messaging::prepare`].
    ///
    /// # Errors
    ///
    /// Fails if the provider would certainly refuse the message.
    pub fn prepare(
        &self,
        message: Outgoing,
        template: Option<Arc<Definition>>,
    ) -> Result<Box<dyn PreparedSend>, ProviderFault> {
        Arc::clone(&self.client).prepare(message, template)
    }

    /// The account's templates. Absent if the provider has none.
    pub fn templates(&self) -> Option<&dyn Templates> {
        self.client.templates()
    }

    /// The account's contacts. Absent if the provider has no contact list.
    pub fn contacts(&self) -> Option<&dyn Contacts> {
        self.client.contacts()
    }

    /// The account's flow responses. Absent if the provider does not list them.
    pub fn flows(&self) -> Option<&dyn Flows> {
        self.client.flows()
    }

    /// Uploads of files; [`Limits::upload`] has the maximum sizes. Absent if the provider accepts no files.
    pub fn uploads(&self) -> Option<&dyn Uploads> {
        self.client.uploads()
    }

    /// The account's webhook registrations. Absent if the provider has none.
    pub fn registrations(&self) -> Option<&dyn WebhookRegistrations> {
        self.client.registrations()
    }

    /// The parser of the account's webhooks. Absent if the provider sends none, or if no secret is configured.
    pub fn webhooks(&self) -> Option<&dyn WebhookParser> {
        self.client.webhooks()
    }
}
