//! ConnectBy, `https://api.connectby.io`.
//!
//! ConnectBy's public documentation no longer shows the paths of any operation but one, so routes are configuration.

mod contacts;
mod error;
mod flows;
mod media;
mod page;
mod template_send;
mod templates;
mod wire;

use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

use super::http::{Http, Reply, endpoint};
use super::json::Object;
use super::outcome::Table;
use super::{AcceptedMessage, Capabilities, Error};
use crate::config::{self, Route, Routes};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::Definition;
use crate::domain::{Address, Channel};

pub(super) use error::PER_CUSTOMER_RATE_LIMIT;
pub(super) use template_send::validate as template_issues;

const SECRET_KEY: HeaderName = HeaderName::from_static("secret_key");

/// One account at ConnectBy.
#[derive(Debug)]
pub struct Client {
    http: Http,
    table: Table,
    base_url: Url,
    secret_key: HeaderValue,
    routes: Routes,
}

impl Client {
    pub(super) fn new(config: &config::ConnectBy, http: Http, table: Table) -> Self {
        let mut secret_key = HeaderValue::from_str(config.secret_key.expose_secret())
            .expect("the configuration accepts only visible ASCII");
        secret_key.set_sensitive(true);
        Self { http, table, base_url: config.base_url.clone(), secret_key, routes: config.routes.clone() }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
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

    pub(super) async fn send(
        &self,
        message: &Outgoing,
        template: Option<&Definition>,
    ) -> Result<AcceptedMessage, Error> {
        let Address::Phone(to) = &message.to else {
            unreachable!("`validate` rejects user ids at ConnectBy")
        };
        let body = match &message.content {
            Content::Text(body) => body,
            Content::Template(filled) => {
                let template = template.expect("`needs_definition` is true for ConnectBy");
                return self.send_template(to, filled, template).await;
            }
            Content::Media(_) | Content::Location(_) => {
                unreachable!("`validate` rejects content that is not in `contents`")
            }
        };
        let reply =
            self.exchange(&self.routes.send_text, |request| json(request, wire::send_text(to, body))).await?;
        self.accepted(&reply).map_err(|error| error.at_route("send_text", &self.routes.send_text))
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
fn json(request: RequestBuilder, body: Vec<u8>) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body)
}
