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

pub(super) use error::TOO_FAST_FOR_ONE_CUSTOMER;
pub(super) use template_send::validate as template_objections;

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
                "MessageService.WatchMessage",
                "MessageService.GetConversation",
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
            Content::Media(_) => {
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
        let request =
            self.http.request(route.method.clone(), url).header(SECRET_KEY, self.secret_key.clone());
        self.http.exchange(fill(request)).await
    }

    /// Finds the provider's confirmation in a reply to a send.
    ///
    /// ConnectBy documents only that `responseData` is an object. The documented confirmation is
    /// `success`, with any content of that object. Most likely the object is the reply of Meta's Graph API, with the ids where Graph puts them.
    fn accepted(&self, reply: &Reply) -> Result<AcceptedMessage, Error> {
        self.proven(reply, |object| {
            let accepted = wire::accepted(object);
            match object.flag(&["success"]) {
                _ if !accepted.provider_ids.is_empty() => Proof::Id(accepted),
                Some(true) => Proof::Word(accepted),
                Some(false) | None => Proof::None,
            }
        })
    }

    /// Finds the provider's confirmation in a reply to any write.
    fn proven<T>(&self, reply: &Reply, proof: impl FnOnce(&Object<'_>) -> Proof<T>) -> Result<T, Error> {
        let object = reply.body.as_ref().ok().and_then(|body| Object::parse(body));
        let said = object.as_ref().and_then(|object| error::find(reply.status, object));
        let Some(object) = object.filter(|_| (200..300).contains(&reply.status)) else {
            return Err(self.table.classify(reply, said));
        };
        match (proof(&object), said, error::suspicious(&object)) {
            (Proof::Id(yes) | Proof::Word(yes), None, false) => Ok(yes),
            // A reply with an id proves that the provider did it, so an error next to the id is a contradiction.
            (Proof::Id(_), said, _) => Err(self.table.inconsistent(reply, said)),
            (Proof::Word(_), None, true) => Err(self.table.inconsistent(reply, None)),
            (Proof::Word(_), Some(said), _) => Err(self.table.classify(reply, Some(said))),
            (Proof::None, said, _) => Err(self.table.classify(reply, said)),
        }
    }
}

/// What a reply contains that confirms a write.
#[derive(Debug)]
enum Proof<T> {
    /// An id, which exists only if the provider did it.
    Id(T),
    /// A statement of the provider without an id.
    Word(T),
    /// Nothing.
    None,
}

/// Gives a request a JSON body.
fn json(request: RequestBuilder, body: Vec<u8>) -> RequestBuilder {
    request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body)
}
