//! Connectly, `https://api.connectly.ai`.

mod correlation;
mod error;
mod registrations;
mod template_rules;
mod template_send;
mod templates;
mod webhook;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use correlation::CorrelationTag;

use super::error_text::Secrets;
use super::http::{Http, Reply, endpoint};
use super::json::Object;
use super::outcome::Table;
use super::signature::{Scheme, Verified};
use super::{
    AcceptedMessage, Capabilities, ConnectError, Descriptor, Error, Incoming, Messaging, PreparedSend,
    Templates, WebhookParser, WebhookRegistrations,
};
use crate::config;
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::Definition;
use crate::domain::{AccountId, AttemptId, Channel, PhoneNumber, Provider, ProviderFault};

pub(super) use template_rules::ConnectlyRules;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SIGNATURE: &str = "x-connectly-hmac-sha256";

/// Connectly.
pub(super) const DESCRIPTOR: &Descriptor = &Descriptor { section: config::Connectly::SECTION, connect };

fn connect(account: &config::Account) -> Result<Arc<dyn super::Client>, ConnectError> {
    let settings =
        account.upstream.get::<config::Connectly>().ok_or("the settings are those of another provider")?;
    let http = Http::new(account)?;
    let secrets = Secrets::new(settings.webhook_secrets.iter().chain([&settings.api_key]).cloned());
    let table = Table::new(Provider::CONNECTLY, account.outcomes.clone(), secrets);
    Ok(Arc::new(Client::new(settings, http, table)))
}

/// One account at Connectly.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    table: Table,
    /// The base URL of all paths of the business.
    business: Url,
    send_messages: Url,
    send_templates: Url,
    get_templates: Url,
    api_key: HeaderValue,
    /// Absent without a secret.
    webhooks: Option<Webhooks>,
}

impl Client {
    pub(super) fn new(config: &config::Connectly, http: Http, table: Table) -> Self {
        let mut api_key = HeaderValue::from_str(config.api_key.expose_secret())
            .expect("the configuration accepts only visible ASCII");
        api_key.set_sensitive(true);
        let business = format!("/v1/businesses/{}", config.business_id);
        let scheme = Scheme::hmac_sha256_base64(SIGNATURE, &config.webhook_secrets);
        let webhooks = scheme.map(|scheme| Webhooks {
            scheme,
            numbers: config.numbers.clone(),
            secrets: table.secrets().clone(),
        });
        Self {
            http,
            table,
            business: endpoint(&config.base_url, &business),
            send_messages: endpoint(&config.base_url, &format!("{business}/send/messages")),
            send_templates: endpoint(
                &config.base_url,
                &format!("{business}/send/whatsapp_templated_messages"),
            ),
            get_templates: endpoint(&config.base_url, &format!("{business}/get/templates")),
            api_key,
            webhooks,
        }
    }

    async fn post_json(&self, url: &Url, body: Vec<u8>) -> Result<Reply, Error> {
        let request = self
            .http
            .post(url.clone())
            .header(API_KEY, self.api_key.clone())
            .header(reqwest::header::ACCEPT, "application/json")
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body);
        self.http.exchange(request).await
    }

    /// Finds the provider's confirmation in a reply to a send: a 2xx with an `id`.
    fn accepted(&self, reply: &Reply) -> Result<AcceptedMessage, Error> {
        let object = reply.object();
        let id = object.as_ref().and_then(|object| object.text(&["id"]));
        match (reply.status, id) {
            (200..300, Some(id)) => {
                Ok(AcceptedMessage { provider_ids: vec![id], provider_state: None, recipient_wa_id: None })
            }
            _ => Err(self.error(reply, object.as_ref())),
        }
    }

    /// Classifies a reply that does not confirm the call. `object` is its body.
    fn error(&self, reply: &Reply, object: Option<&Object<'_>>) -> Error {
        self.table.classify(reply, object.and_then(|object| error::find(reply.status, object)))
    }
}

#[async_trait]
impl super::Client for Client {
    fn provider(&self) -> Provider {
        Provider::CONNECTLY
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            rpcs: &[
                "MessageService.SendMessage",
                "MessageService.SendMessages",
                "MessageService.GetMessage",
                "MessageService.ListMessages",
                "MessageService.WatchMessage",
                "ConversationService.GetConversation",
                "TemplateService.ListTemplates",
                "TemplateService.GetTemplate",
                "WebhookRegistrationService.CreateWebhookRegistration",
                "WebhookRegistrationService.ListWebhookRegistrations",
                "WebhookRegistrationService.UpdateWebhookRegistration",
                "WebhookRegistrationService.DeleteWebhookRegistration",
            ],
            contents: &["text", "template", "media", "location"],
            channels: &[Channel::WhatsApp, Channel::Sms],
            reports_statuses: self.webhooks.is_some(),
            receives_messages: self.webhooks.is_some(),
            chooses_sender: true,
            reaches_user_ids: true,
            partial_contact_updates: false,
            accepts_campaign_name: true,
            accepts_recipient_name: true,
            accepts_template_components: false,
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        self.list_webhooks().await.map(drop)
    }

    fn templates(&self) -> Option<&dyn Templates> {
        Some(self)
    }

    fn registrations(&self) -> Option<&dyn WebhookRegistrations> {
        Some(self)
    }

    fn webhooks(&self) -> Option<&dyn WebhookParser> {
        self.webhooks.as_ref().map(|parser| parser as &dyn WebhookParser)
    }
}

impl Messaging for Client {
    fn prepare(
        self: Arc<Self>,
        message: Outgoing,
        _: Option<Arc<Definition>>,
    ) -> Result<Box<dyn PreparedSend>, ProviderFault> {
        let parameters = match &message.content {
            Content::Template(filled) => template_send::parameters(filled)?,
            Content::Text(_) | Content::Media(_) | Content::Location(_) => Vec::new(),
        };
        Ok(Box::new(Prepared { client: self, message, parameters }))
    }
}

/// A message as Connectly accepts it.
struct Prepared {
    client: Arc<Client>,
    message: Outgoing,
    /// Of a template message.
    parameters: Vec<template_send::Parameter>,
}

#[async_trait]
impl PreparedSend for Prepared {
    async fn send(&self, attempt: AttemptId) -> Result<AcceptedMessage, Error> {
        let Self { client, message, parameters } = self;
        let tag = CorrelationTag::new(attempt, message.callback_data.as_ref());
        let (url, body) = match &message.content {
            Content::Text(text) => (&client.send_messages, wire::send_text(message, text, tag)),
            Content::Template(filled) => {
                (&client.send_templates, template_send::body(message, filled, parameters, tag))
            }
            Content::Media(link) => (&client.send_messages, wire::send_media(message, link, tag)),
            Content::Location(location) => {
                (&client.send_messages, wire::send_location(message, location, tag))
            }
        };
        let reply = client.post_json(url, body).await?;
        client.accepted(&reply)
    }
}

/// Verifies and parses the webhooks of one account.
#[derive(Debug)]
struct Webhooks {
    scheme: Scheme,
    numbers: Vec<PhoneNumber>,
    secrets: Secrets,
}

impl WebhookParser for Webhooks {
    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Yields at least one event.
    fn parse(&self, account: &AccountId, webhook: &Verified) -> Vec<Incoming> {
        vec![webhook::read(account, &self.numbers, &self.secrets, webhook)]
    }
}
