//! ConnectBy, `https://api.connectby.io`.
//!
//! ConnectBy's public documentation no longer shows the paths of any operation but one, so routes are configuration.

mod contacts;
mod error;
mod flows;
mod media;
mod page;
mod template_rules;
mod template_send;
mod templates;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use super::error_text::Secrets;
use super::http::{Http, Reply, endpoint};
use super::json::Object;
use super::outcome::Table;
use super::{
    AcceptedMessage, Capabilities, ConnectError, Contacts, Descriptor, Error, Flows, Messaging, PreparedSend,
    Templates, Uploads, template,
};
use crate::config::{self, Route, Routes};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::{Definition, TemplateListStart};
use crate::domain::{Address, AttemptId, Channel, PhoneNumber, Provider, ProviderFault, RefusalReason};

pub(super) use template_rules::ConnectByRules;

const SECRET_KEY: HeaderName = HeaderName::from_static("secret_key");

/// ConnectBy.
pub(super) const DESCRIPTOR: &Descriptor = &Descriptor { section: config::ConnectBy::SECTION, connect };

fn connect(account: &config::Account) -> Result<Arc<dyn super::Client>, ConnectError> {
    let settings =
        account.upstream.get::<config::ConnectBy>().ok_or("the settings are those of another provider")?;
    let http = Http::new(account)?;
    let secrets = Secrets::new([settings.secret_key.clone()]);
    let table = Table::new(Provider::CONNECTBY, account.outcomes.clone(), secrets);
    Ok(Arc::new(Client::new(settings, account.upload_timeout, http, table)))
}

/// One account at ConnectBy.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    table: Table,
    base_url: Url,
    secret_key: HeaderValue,
    routes: Routes,
    upload_timeout: Duration,
}

impl Client {
    fn new(config: &config::ConnectBy, upload_timeout: Duration, http: Http, table: Table) -> Self {
        let mut secret_key = HeaderValue::from_str(config.secret_key.expose_secret())
            .expect("the configuration accepts only visible ASCII");
        secret_key.set_sensitive(true);
        let (base_url, routes) = (config.base_url.clone(), config.routes.clone());
        Self { http, table, base_url, secret_key, routes, upload_timeout }
    }

    /// Calls a route that has no `{id}`.
    async fn exchange(
        &self,
        route: &Route,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Reply, Error> {
        let url = endpoint(&self.base_url, &route.path);
        self.http.exchange(fill(self.request(route, url))).await
    }

    /// A request to a URL of this route, with the account's credentials.
    fn request(&self, route: &Route, url: Url) -> RequestBuilder {
        self.http.request(route.method.clone(), url).header(SECRET_KEY, self.secret_key.clone())
    }

    /// Finds the provider's confirmation in a reply to a send.
    ///
    /// ConnectBy documents only that `responseData` is an object. The documented confirmation is `success`, with any content
    /// of that object. Most likely the object is the reply of Meta's Graph API, with the ids where Graph puts them.
    fn accepted(&self, reply: &Reply) -> Result<AcceptedMessage, Error> {
        self.confirmed(reply, |object| {
            let accepted = wire::accepted(object);
            match object.flag(&["success"]) {
                _ if !accepted.provider_ids.is_empty() => Confirmation::Id(accepted),
                Some(true) => Confirmation::Statement(accepted),
                Some(false) | None => Confirmation::None,
            }
        })
    }

    /// Finds the provider's confirmation in a reply to any write.
    fn confirmed<T>(
        &self,
        reply: &Reply,
        confirmation: impl FnOnce(&Object<'_>) -> Confirmation<T>,
    ) -> Result<T, Error> {
        let object = reply.object();
        let error_body = object.as_ref().and_then(|object| error::find(reply.status, object));
        let Some(object) = object.filter(|_| reply.is_success()) else {
            return Err(self.table.classify(reply, error_body));
        };
        match (confirmation(&object), error_body, error::has_unknown_error(&object)) {
            (Confirmation::Id(value) | Confirmation::Statement(value), None, false) => Ok(value),
            // A reply with an id proves that the provider did it, so an error next to the id is a contradiction.
            (Confirmation::Id(_), error_body, _) => Err(self.table.inconsistent(reply, error_body)),
            (Confirmation::Statement(_), None, true) => Err(self.table.inconsistent(reply, None)),
            (Confirmation::Statement(_), Some(error_body), _) => {
                Err(self.table.classify(reply, Some(error_body)))
            }
            (Confirmation::None, error_body, _) => Err(self.table.classify(reply, error_body)),
        }
    }
}

#[async_trait]
impl super::Client for Client {
    fn provider(&self) -> Provider {
        Provider::CONNECTBY
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            rpcs: &[
                "MessageService.SendMessage",
                "MessageService.SendMedia",
                "MessageService.SendMessages",
                "MessageService.GetMessage",
                "MessageService.ListMessages",
                "MessageService.WatchMessage",
                "ConversationService.GetConversation",
                "ContactService.ListContacts",
                "ContactService.CreateContact",
                "ContactService.UpdateContact",
                "ContactService.DeleteContact",
                "FlowService.ListFlowResponses",
                "TemplateService.ListTemplates",
                "TemplateService.GetTemplate",
                "TemplateService.UploadTemplateMedia",
            ],
            contents: &["text", "template"],
            channels: &[Channel::WhatsApp],
            reports_statuses: false,
            receives_messages: false,
            chooses_sender: false,
            reaches_user_ids: false,
            partial_contact_updates: false,
            accepts_campaign_name: false,
            accepts_recipient_name: false,
            accepts_template_components: true,
        }
    }

    /// Reads the templates: this is the only route whose path is certain.
    async fn probe(&self) -> Result<(), Error> {
        self.list_templates(&TemplateListStart::First).await.map(drop)
    }

    fn templates(&self) -> Option<&dyn Templates> {
        Some(self)
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn flows(&self) -> Option<&dyn Flows> {
        Some(self)
    }

    fn uploads(&self) -> Option<&dyn Uploads> {
        Some(self)
    }
}

impl Messaging for Client {
    fn prepare(
        self: Arc<Self>,
        message: Outgoing,
        template: Option<Arc<Definition>>,
    ) -> Result<Box<dyn PreparedSend>, ProviderFault> {
        let to = phone_number(&message.to)?;
        let (route, body) = match &message.content {
            Content::Text(text) => (SendRoute::Text, wire::send_text(to, text)),
            Content::Template(filled) => {
                let template = template.ok_or_else(|| template::not_found_fault(Provider::CONNECTBY))?;
                (SendRoute::Template, template_send::body(to, filled, &template))
            }
            Content::Media(_) | Content::Location(_) => {
                return Err(ProviderFault::new(Provider::CONNECTBY, RefusalReason::ContentRejected));
            }
        };
        Ok(Box::new(Prepared { client: self, route, body: body.into() }))
    }
}

/// A message as ConnectBy accepts it. ConnectBy returns no data with events, so the body has no attempt id.
struct Prepared {
    client: Arc<Client>,
    route: SendRoute,
    body: Bytes,
}

#[derive(Clone, Copy)]
enum SendRoute {
    Text,
    Template,
}

#[async_trait]
impl PreparedSend for Prepared {
    async fn send(&self, _: AttemptId) -> Result<AcceptedMessage, Error> {
        let Self { client, route, body } = self;
        let (name, route) = match route {
            SendRoute::Text => ("send_text", &client.routes.send_text),
            SendRoute::Template => ("send_template", &client.routes.send_template),
        };
        let reply = client.exchange(route, |request| json(request, body.clone())).await?;
        client.accepted(&reply).map_err(|error| error.at_route(name, route))
    }
}

/// The phone number of a recipient. ConnectBy refuses other addresses.
fn phone_number(to: &Address) -> Result<&PhoneNumber, ProviderFault> {
    match to {
        Address::Phone(number) => Ok(number),
        Address::User(_) => Err(ProviderFault::new(Provider::CONNECTBY, RefusalReason::RecipientInvalid)),
    }
}

/// What a reply contains that confirms a write.
#[derive(Debug)]
enum Confirmation<T> {
    /// An id, which exists only if the provider did it.
    Id(T),
    /// A statement of the provider without an id.
    Statement(T),
    /// Nothing.
    None,
}

/// Gives a request a JSON body.
fn json(request: RequestBuilder, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_id_is_refused_as_a_recipient() {
        let fault = phone_number(&"bsuid:US.123".parse().expect("an address")).expect_err("refused");
        assert_eq!((fault.provider, fault.refusal), (Provider::CONNECTBY, RefusalReason::RecipientInvalid));
        let phone = "+15550100001".parse().expect("an address");
        assert_eq!(phone_number(&phone).map(PhoneNumber::as_str), Ok("+15550100001"));
    }
}
