//! The REST side: what each account's provider can do, and doing it.
//!
//! An [`Account`] is one set of credentials with an HTTP client of its own, so that one account's trouble never slows
//! another. [`Error`] is split by certainty, not by cause: whether a write was done is the question that callers have.
//! Nothing here tries anything twice.

pub mod connectby;
pub mod connectly;
mod http;
mod json;
mod outcome;
pub mod signature;
mod template;
mod upload;

pub use template::{NextPage, PageCursor, not_found as template_not_found};
pub use upload::{Content as UploadContent, Upload};

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;

use crate::config::{self, Upstream};
use crate::domain::event::{Identity, Proof};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::{Definition, Page, TemplateListStart};
use crate::domain::webhook::Registration;
use crate::domain::{
    AccountId, Address, AttemptId, Channel, Event, PhoneNumber, Provider, ProviderFault, RateLimits,
    RefusalReason, UnknownReason, UploadLimits,
};
use signature::{Scheme, Verified};

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
    client: Client,
}

#[derive(Debug)]
enum Client {
    ConnectBy(connectby::Client),
    Connectly(connectly::Client),
}

/// What an account can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The RPCs that work with the account, as `MessageService.SendMessage`.
    pub rpcs: &'static [&'static str],
    /// The contents that can be sent, by the names of their fields in the contract.
    pub contents: &'static [&'static str],
    /// The networks that messages can be sent over.
    pub channels: &'static [Channel],
    /// Whether the provider reports what becomes of a message.
    pub reports_statuses: bool,
    /// Whether the provider delivers what customers write.
    pub receives_messages: bool,
    /// Whether a caller may choose the number to send from.
    pub chooses_sender: bool,
    /// Whether a customer can be addressed by a business-scoped user id.
    pub reaches_user_ids: bool,
    /// Whether one field of a contact can be changed alone.
    pub partial_contact_updates: bool,
}

/// How much fits into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most Unicode code points of a text.
    pub text_characters: Option<u32>,
    /// How large uploaded files may be. Absent: files cannot be uploaded.
    pub upload: Option<UploadLimits>,
    /// The most calls in a second.
    pub calls_per_second: u32,
}

/// A part of a message that its account cannot send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationIssue {
    /// The field's path in the request.
    pub field: Cow<'static, str>,
    /// On what grounds.
    pub kind: IssueKind,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// On what grounds an account cannot send a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueKind {
    /// The provider cannot do it at all.
    Unsupported,
    /// It is outside of what the provider takes.
    OutOfRange,
    /// The provider needs it.
    Missing,
}

/// The parts of a message that were readable, to be held against what an account can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// Whom it goes to.
    pub to: Option<&'a Address>,
    /// The network to use.
    pub channel: Option<Channel>,
    /// The number of ours to send from.
    pub sender: Option<&'a PhoneNumber>,
    /// The name of its content, also where the content itself could not be read.
    pub content_field: Option<&'static str>,
    /// What it says.
    pub content: Option<&'a Content>,
}

/// A message with all that is needed to send it.
#[derive(Debug)]
pub struct Prepared {
    message: Outgoing,
    template: Option<Arc<Definition>>,
}

/// The provider's "yes".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedMessage {
    /// The ids that it gave, in its order. ConnectBy may give none.
    pub provider_ids: Vec<String>,
    /// Its own word for the message's state, if it said one.
    pub provider_state: Option<String>,
}

/// Something that a webhook reported.
#[derive(Debug)]
pub struct Incoming {
    /// What happened.
    pub event: Event,
    /// By what a repetition is recognised, if the provider gave it an identity.
    pub identity: Option<Identity>,
    /// The attempt of ours that it proves to have reached the provider, if it brought our mark back.
    pub proof: Option<Proof>,
}

/// Why a write was not answered with "yes", by what is known of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Provably, nothing reached the provider.
    #[error("the provider was not reached")]
    NotSent(#[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The provider said no, and did nothing.
    #[error("the provider refused")]
    Refused(ProviderFault),
    /// Nobody can tell whether the provider did it.
    #[error("the outcome at the provider is unknown: {cause}")]
    Unknown {
        /// Why nobody can tell.
        cause: UnknownReason,
        /// What the provider said, if it said anything readable.
        fault: Option<ProviderFault>,
    },
    /// The write looks before it begins, and did not begin for what it saw: the provider did nothing, and to try again
    /// at once would not help.
    #[error(transparent)]
    PreconditionFailed(PreconditionFailed),
}

/// Why a write that looks before it begins did not begin.
#[derive(Debug, thiserror::Error)]
pub enum PreconditionFailed {
    /// It could not look.
    #[error("what the write needs to know could not be read")]
    NotRead(#[source] Box<Error>),
    /// The topic of a new registration has an address already.
    #[error("the topic has an address already")]
    Registered {
        /// The registration, if it is known.
        existing: Option<Box<Registration>>,
        /// What the provider said, if it was the provider who said no.
        fault: Option<Box<ProviderFault>>,
    },
}

impl Error {
    /// What the provider said, if it said that it takes no more from the whole account for now. Its limit for one
    /// customer is no such limit.
    pub fn throttled(&self) -> Option<&ProviderFault> {
        match self {
            Self::Refused(fault) => Some(fault).filter(|fault| {
                fault.refusal == RefusalReason::Throttled
                    && fault.code.as_deref() != Some(connectby::TOO_FAST_FOR_ONE_CUSTOMER)
            }),
            Self::NotSent(_) | Self::PreconditionFailed(_) | Self::Unknown { .. } => None,
        }
    }

    /// Notes which configured route was called.
    #[must_use]
    fn at_route(mut self, name: &str, route: &config::Route) -> Self {
        if let Self::Refused(fault) | Self::Unknown { fault: Some(fault), .. } = &mut self {
            fault.route = Some(format!("{name} = \"{route}\""));
        }
        self
    }
}

/// Why an account's client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up account {account}")]
pub struct SetupError {
    account: AccountId,
    #[source]
    source: reqwest::Error,
}

impl Accounts {
    /// Makes a client for each account.
    ///
    /// # Errors
    ///
    /// When the machine's TLS roots cannot be loaded.
    pub fn new(accounts: &[config::Account]) -> Result<Self, SetupError> {
        let ordered = accounts
            .iter()
            .map(|config| Account::new(config).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let by_id = ordered.iter().map(|account| (account.id.clone(), Arc::clone(account))).collect();
        Ok(Self { ordered: ordered.into(), by_id: Arc::new(by_id) })
    }

    /// The account of that id.
    pub fn get(&self, id: &AccountId) -> Option<&Arc<Account>> {
        self.by_id.get(id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.ordered.iter()
    }
}

impl Account {
    fn new(config: &config::Account) -> Result<Self, SetupError> {
        let failed = |source| SetupError { account: config.id.clone(), source };
        let http = http::Http::new(config.connect_timeout, config.request_timeout).map_err(failed)?;
        let table = outcome::Table::new(config.provider(), config.outcomes.clone());
        let client = match &config.upstream {
            Upstream::ConnectBy(connectby) => {
                Client::ConnectBy(connectby::Client::new(connectby, http, table))
            }
            Upstream::Connectly(connectly) => {
                Client::Connectly(connectly::Client::new(connectly, http, table))
            }
        };
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
        match self.client {
            Client::ConnectBy(_) => Provider::ConnectBy,
            Client::Connectly(_) => Provider::Connectly,
        }
    }

    /// What can be done with it.
    pub fn capabilities(&self) -> Capabilities {
        match &self.client {
            Client::ConnectBy(client) => client.capabilities(),
            Client::Connectly(client) => client.capabilities(),
        }
    }

    /// How much of it can be done at once.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How fast it may be used, and how patiently.
    pub fn rate_limits(&self) -> RateLimits {
        self.rate_limits
    }

    /// Asks the provider for something small that changes nothing, to see whether it answers.
    ///
    /// # Errors
    ///
    /// When the answer is not the one asked for, which may be an answer all the same.
    pub async fn probe(&self) -> Result<(), Error> {
        match &self.client {
            // The one route whose path is known for sure.
            Client::ConnectBy(client) => client.list_templates(&TemplateListStart::First).await.map(drop),
            Client::Connectly(client) => client.list_webhooks().await.map(drop),
        }
    }

    /// All that keeps these parts of a message from being sent with this account.
    pub fn validate(&self, parts: Parts<'_>) -> Vec<ValidationIssue> {
        let able = self.capabilities();
        let provider = self.provider();
        let mut found = Vec::new();
        let mut unsupported = |field: &'static str, problem: String| {
            found.push(ValidationIssue { field: field.into(), kind: IssueKind::Unsupported, problem });
        };
        if matches!(parts.to, Some(Address::User(_))) && !able.reaches_user_ids {
            unsupported("to", format!("{provider} reaches phone numbers only"));
        }
        if let Some(channel) = parts.channel
            && !able.channels.contains(&channel)
        {
            unsupported("channel", format!("{provider} does not send over {}", channel.as_str()));
        }
        if parts.sender.is_some() && !able.chooses_sender {
            unsupported("sender", format!("{provider} chooses the number to send from"));
        }
        if let (Some(Address::User(_)), Some(Channel::Sms)) = (parts.to, parts.channel)
            && able.reaches_user_ids
        {
            unsupported("to", "must be a phone number over SMS: a user id is WhatsApp's".to_owned());
        }
        if let Some(content) = parts.content_field
            && !able.contents.contains(&content)
        {
            let problem = if content == "media" && self.limits.upload.is_some() {
                format!("{provider} fetches no files: send the file itself with SendMedia")
            } else {
                format!("{provider} does not send this content")
            };
            unsupported(content, problem);
        }
        if let (Some(Content::Media(_)), Some(Channel::Sms)) = (parts.content, parts.channel)
            && able.channels.contains(&Channel::Sms)
        {
            unsupported("channel", format!("{provider} sends no files over SMS"));
        }
        if let (Some(Content::Text(body)), Some(most)) = (parts.content, self.limits.text_characters) {
            let characters = body.chars().count();
            if characters > most as usize {
                let problem = format!("must be at most {most} characters, and has {characters}");
                found.push(ValidationIssue {
                    field: "text.body".into(),
                    kind: IssueKind::OutOfRange,
                    problem,
                });
            }
        }
        if let Some(Content::Template(filled)) = parts.content {
            found.extend(match &self.client {
                Client::ConnectBy(_) => connectby::template_objections(filled),
                Client::Connectly(_) => connectly::template_objections(filled, parts.channel),
            });
        }
        found
    }

    /// Whether a message made from a template can only be sent together with the template as it was listed.
    pub fn needs_definition(&self) -> bool {
        match &self.client {
            Client::ConnectBy(_) => true,
            Client::Connectly(_) => false,
        }
    }

    /// Puts a message together with the template that it is made from, where the account
    /// [needs](Self::needs_definition) that.
    pub fn prepared(&self, message: Outgoing, template: Option<Arc<Definition>>) -> Prepared {
        Prepared { message, template }
    }

    /// Sends a message, once. What the provider brings back of it names the attempt, where it brings anything back.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn send(&self, prepared: &Prepared, attempt: AttemptId) -> Result<AcceptedMessage, Error> {
        match &self.client {
            // ConnectBy brings nothing back, so there is nowhere to put the attempt.
            Client::ConnectBy(client) => client.send(&prepared.message, prepared.template.as_deref()).await,
            Client::Connectly(client) => client.send(&prepared.message, attempt).await,
        }
    }

    /// Where contacts are kept. Absent: the provider keeps none.
    pub fn contacts(&self) -> Option<&connectby::Client> {
        match &self.client {
            Client::ConnectBy(client) => Some(client),
            Client::Connectly(_) => None,
        }
    }

    /// Where answers to flows are listed. Absent: the provider lists none.
    pub fn flows(&self) -> Option<&connectby::Client> {
        match &self.client {
            Client::ConnectBy(client) => Some(client),
            Client::Connectly(_) => None,
        }
    }

    /// Reads a page of the account's templates. Connectly has one page, which is the first.
    ///
    /// # Errors
    ///
    /// When the page cannot be had or read.
    pub async fn list_templates(&self, place: &TemplateListStart) -> Result<Page, Error> {
        match &self.client {
            Client::ConnectBy(client) => client.list_templates(place).await,
            Client::Connectly(client) => client.list_templates().await,
        }
    }

    /// Finds the template of that name and language in the account's list.
    ///
    /// # Errors
    ///
    /// [`RefusalReason::TemplateNotFound`] when it is not there; else when the list cannot be had or read.
    pub async fn find_template(&self, name: &str, language: &str) -> Result<Definition, Error> {
        match &self.client {
            Client::ConnectBy(client) => client.find_template(name, language).await,
            Client::Connectly(client) => client.find_template(name, language).await,
        }
    }

    /// Where webhooks are registered. Absent: the provider registers none.
    pub fn webhooks(&self) -> Option<&connectly::Client> {
        match &self.client {
            Client::ConnectBy(_) => None,
            Client::Connectly(client) => Some(client),
        }
    }

    /// Where files are uploaded; [`Limits::upload`] says how large they may be. Absent: the provider takes none.
    pub fn uploads(&self) -> Option<&connectby::Client> {
        match &self.client {
            Client::ConnectBy(client) => Some(client),
            Client::Connectly(_) => None,
        }
    }

    /// How the provider signs webhooks for this account. Absent: it has none.
    pub fn webhook_scheme(&self) -> Option<&Scheme> {
        match &self.client {
            Client::ConnectBy(_) => None,
            Client::Connectly(client) => client.webhook_scheme(),
        }
    }

    /// Reads a webhook. What cannot be read comes back as an event too: at least one, always.
    pub fn read_webhook(&self, webhook: &Verified) -> Vec<Incoming> {
        match &self.client {
            Client::ConnectBy(_) => Vec::new(),
            Client::Connectly(client) => client.read_webhook(&self.id, webhook),
        }
    }
}
