//! Connectly, `https://api.connectly.ai`.

mod correlation;
mod error;
mod registrations;
mod template_send;
mod templates;
mod webhook;
mod wire;

use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use correlation::CorrelationTag;

use super::http::{Http, Reply, endpoint};
use super::json::Object;
use super::outcome::Table;
use super::signature::{Scheme, Verified};
use super::{AcceptedMessage, Capabilities, Error, Incoming};
use crate::config;
use crate::domain::message::{Content, Outgoing};
use crate::domain::{AccountId, AttemptId, Channel, PhoneNumber};

pub(super) use template_send::validate as template_issues;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SIGNATURE: &str = "x-connectly-hmac-sha256";

/// One account at Connectly.
#[derive(Debug)]
pub struct Client {
    http: Http,
    table: Table,
    /// The base URL of all paths of the business.
    business: Url,
    send_messages: Url,
    send_templates: Url,
    get_templates: Url,
    api_key: HeaderValue,
    scheme: Option<Scheme>,
    numbers: Vec<PhoneNumber>,
}

impl Client {
    pub(super) fn new(config: &config::Connectly, http: Http, table: Table) -> Self {
        let mut api_key = HeaderValue::from_str(config.api_key.expose_secret())
            .expect("the configuration accepts only visible ASCII");
        api_key.set_sensitive(true);
        let business = format!("/v1/businesses/{}", config.business_id);
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
            scheme: Scheme::hmac_sha256_base64(SIGNATURE, &config.webhook_secrets),
            numbers: config.numbers.clone(),
        }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
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
            reports_statuses: self.scheme.is_some(),
            receives_messages: self.scheme.is_some(),
            chooses_sender: true,
            reaches_user_ids: true,
            partial_contact_updates: false,
            accepts_campaign_name: true,
            accepts_recipient_name: true,
            accepts_template_components: false,
        }
    }

    pub(super) async fn send(
        &self,
        message: &Outgoing,
        attempt: AttemptId,
    ) -> Result<AcceptedMessage, Error> {
        let tag = CorrelationTag::new(attempt, message.callback_data.as_ref());
        let (url, body) = match &message.content {
            Content::Text(text) => (&self.send_messages, wire::send_text(message, text, tag)),
            Content::Template(filled) => (&self.send_templates, template_send::body(message, filled, tag)),
            Content::Media(link) => (&self.send_messages, wire::send_media(message, link, tag)),
            Content::Location(location) => (&self.send_messages, wire::send_location(message, location, tag)),
        };
        let reply = self.post_json(url, body).await?;
        self.accepted(&reply)
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

    pub(super) fn webhook_scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    pub(super) fn read_webhook(&self, account: &AccountId, webhook: &Verified) -> Vec<Incoming> {
        vec![webhook::read(account, &self.numbers, self.table.secrets(), webhook)]
    }
}
