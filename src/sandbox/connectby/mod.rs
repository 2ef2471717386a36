//! The simulated ConnectBy: contacts, flow data, messages, templates and stored media.
//!
//! The routes are the gateway's default placeholders, because the real ones are not published. The shapes of its errors
//! are not published either. The sandbox can use each style that a proxy for Meta's Graph API may have.

mod contacts;
mod flows;
mod messages;
mod seed;
mod templates;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use serde_json::{Value, json};

use self::contacts::Contacts;
use self::messages::Media;
use self::templates::Templates;
use super::endpoint::Endpoint;
use super::exchange::{FakeProvider, Request};
use super::operation::Operation;
use super::reply::Reply;

/// The reply to a request for a page after the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PastTheEnd {
    /// An empty page.
    #[default]
    Empty,
    /// The last page again.
    RepeatsLast,
}

/// The location of a Graph error object in a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraphErrors {
    /// `{"success":false,"responseData":{"error":{…}}}`.
    #[default]
    InResponseData,
    /// `{"error":{…}}`.
    AtTopLevel,
}

/// The layer of JSON that the illegal escape `\@` of the seeded flow response breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IllegalEscape {
    /// The text inside `flow_response`. The page around it is valid JSON.
    #[default]
    InFlowResponse,
    /// The page itself, as in the provider's own sample.
    InPage,
}

/// The options of a simulated ConnectBy.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The `secret_key` that calls must have.
    pub secret_key: String,
    /// The reply to a request for a page of contacts or flow data after the last one.
    pub past_the_end: PastTheEnd,
    /// The location of a Graph error object in a reply.
    pub graph_errors: GraphErrors,
    /// The layer of JSON that `\@` in the seeded flow response breaks.
    pub illegal_escape: IllegalEscape,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret_key: "sandbox-secret-key".to_owned(),
            past_the_end: PastTheEnd::default(),
            graph_errors: GraphErrors::default(),
            illegal_escape: IllegalEscape::default(),
        }
    }
}

/// The handle of the simulated ConnectBy. It dereferences to [`Endpoint`], which both providers have in common.
#[derive(Clone, Debug)]
pub struct ConnectBy {
    endpoint: Endpoint,
    state: Arc<State>,
}

impl ConnectBy {
    pub(super) fn new(endpoint: Endpoint, options: Options) -> Self {
        let state = State {
            endpoint: endpoint.clone(),
            options,
            contacts: Mutex::new(Contacts::seeded()),
            templates: Templates::seeded(),
            media: Mutex::default(),
        };
        Self { endpoint, state: Arc::new(state) }
    }

    /// The `secret_key` that calls must have.
    pub fn secret_key(&self) -> &str {
        &self.state.options.secret_key
    }

    pub(super) fn fake_provider(&self) -> Arc<dyn FakeProvider> {
        self.state.clone()
    }
}

impl Deref for ConnectBy {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// The state of the simulated ConnectBy.
#[derive(Debug)]
struct State {
    endpoint: Endpoint,
    options: Options,
    contacts: Mutex<Contacts>,
    templates: Templates,
    media: Mutex<Media>,
}

impl State {
    fn contacts<T>(&self, look: impl FnOnce(&mut Contacts) -> T) -> T {
        look(&mut self.contacts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn media<T>(&self, look: impl FnOnce(&mut Media) -> T) -> T {
        look(&mut self.media.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn graph_error(&self, error: &GraphError) -> Reply {
        let body = match self.options.graph_errors {
            GraphErrors::InResponseData => json!({"success": false, "responseData": error.json()}),
            GraphErrors::AtTopLevel => error.json(),
        };
        Reply::json(error.status(), &body)
    }
}

impl FakeProvider for State {
    fn operation(&self, method: &Method, path: &str) -> Option<Operation> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match (method.as_str(), segments.as_slice()) {
            ("GET", ["v1.0", "contacts"]) => Operation::ListContacts,
            ("POST", ["v1.0", "contacts"]) => Operation::CreateContact,
            ("PUT", ["v1.0", "contacts", _]) => Operation::UpdateContact,
            ("DELETE", ["v1.0", "contacts", _]) => Operation::DeleteContact,
            ("GET", ["v1.0", "flowdata"]) => Operation::ListFlowData,
            ("POST", ["v1.0", "message"]) => Operation::SendText,
            ("POST", ["v1.0", "message", "media"]) => Operation::SendMedia,
            ("GET", ["v1.0", "templates"]) => Operation::ListTemplates,
            ("POST", ["v1.0", "templates", "media"]) => Operation::UploadTemplateMedia,
            ("POST", ["v1.0", "templates", "send"]) => Operation::SendTemplate,
            ("GET", ["whatsapp_media", _]) => Operation::FetchMedia,
            _ => return None,
        })
    }

    fn answer(&self, operation: Operation, request: &Request) -> Reply {
        // Meta fetches stored media, and has no key.
        if operation == Operation::FetchMedia {
            return self.media(|media| media.fetch(request.last_segment()));
        }
        if request.header("secret_key") != Some(&self.options.secret_key) {
            return refusal(401, "Invalid secret key");
        }
        match operation {
            Operation::ListContacts => self.contacts(|c| c.list(request, self.options.past_the_end)),
            Operation::CreateContact => self.contacts(|contacts| contacts.create(request)),
            Operation::UpdateContact => self.contacts(|contacts| contacts.update(request)),
            Operation::DeleteContact => self.contacts(|contacts| contacts.delete(request)),
            Operation::ListFlowData => {
                flows::list(request, self.options.past_the_end, self.options.illegal_escape)
            }
            Operation::SendText => messages::send_text(request),
            Operation::SendMedia => messages::send_media(request),
            Operation::ListTemplates => self.templates.list(request, &self.endpoint.base_url()),
            Operation::UploadTemplateMedia => {
                self.media(|media| media.upload(request, &self.endpoint.base_url()))
            }
            Operation::SendTemplate => match self.templates.check_send(request) {
                Ok(to_number) => Reply::json(200, &messages::sent(&to_number)),
                Err(SendError::ConnectBy(reply)) => *reply,
                Err(SendError::Graph(error)) => self.graph_error(&error),
            },
            _ => refusal(404, "No such route"),
        }
    }

    fn error(&self, status: u16) -> Reply {
        match status {
            500.. => Reply::html(status),
            401 => refusal(401, "Invalid secret key"),
            429 => refusal(429, "Too many requests"),
            _ => refusal(status, "The request was refused"),
        }
    }

    fn success_false(&self, code: Option<i64>) -> Reply {
        let body = match code {
            None => json!({"success": false, "message": "The message was not sent"}),
            Some(code) => {
                let error = GraphError { code, details: "refused on demand".to_owned() }.json();
                match self.options.graph_errors {
                    GraphErrors::InResponseData => json!({"success": false, "responseData": error}),
                    GraphErrors::AtTopLevel => json!({"success": false, "error": error["error"]}),
                }
            }
        };
        Reply::json(200, &body)
    }
}

/// The templates of a new account.
#[cfg(test)]
pub(super) fn seeded_templates() -> Vec<Value> {
    seed::templates()
}

/// Why a template message is refused.
#[derive(Debug)]
enum SendError {
    /// ConnectBy refuses the request before it calls Meta.
    ConnectBy(Box<Reply>),
    /// Meta refuses the request.
    Graph(GraphError),
}

/// Meta's error object.
#[derive(Debug)]
struct GraphError {
    code: i64,
    details: String,
}

impl GraphError {
    fn status(&self) -> u16 {
        match self.code {
            132001 => 404,
            _ => 400,
        }
    }

    fn json(&self) -> Value {
        let title = match self.code {
            100 => "Invalid parameter",
            130429 => "Rate limit hit",
            131000 => "Something went wrong",
            131008 => "Required parameter is missing",
            131009 => "Parameter value is not valid",
            131047 => "Re-engagement message",
            131056 => "(Business Account, Consumer Account) pair rate limit hit",
            132000 => "Number of parameters does not match the expected number of params",
            132001 => "Template name does not exist in the translation",
            132012 => "Parameter format does not match format in the created template",
            132015 => "Template is paused",
            132016 => "Template is disabled",
            _ => "Message failed",
        };
        json!({"error": {
            "message": format!("(#{}) {title}", self.code),
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": "SANDBOX",
        }})
    }
}

/// A reply in which ConnectBy itself refuses a request.
fn refusal(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"success": false, "message": message}))
}

/// Reads a body that must be a JSON object.
fn object(request: &Request) -> Result<Value, Reply> {
    match serde_json::from_slice::<Value>(&request.body) {
        Ok(value) if value.is_object() => Ok(value),
        _ => Err(refusal(400, "The body must be a JSON object")),
    }
}

/// Reads a text that must exist and not be empty.
fn required<'a>(body: &'a Value, key: &str) -> Result<&'a str, Reply> {
    match body[key].as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(refusal(400, &format!("The {key} field is required"))),
    }
}

/// Checks a recipient: digits with country code.
fn recipient(number: &str) -> Result<&str, Reply> {
    if (7..=15).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) {
        Ok(number)
    } else {
        Err(refusal(400, "to_number must be digits with country code"))
    }
}

/// Returns the items of the requested page. A page has 20 items.
fn page<'a, T>(items: &'a [T], request: &Request, past_the_end: PastTheEnd) -> Result<&'a [T], Reply> {
    const ITEMS: usize = 20;
    let number = match request.query("page").map(|page| page.parse::<usize>()) {
        None => 1,
        Some(Ok(number)) if number > 0 => number,
        Some(_) => return Err(refusal(400, "page must be a positive integer")),
    };
    let last = items.len().div_ceil(ITEMS).max(1);
    let number = match past_the_end {
        PastTheEnd::RepeatsLast => number.min(last),
        PastTheEnd::Empty => number,
    };
    Ok(items.chunks(ITEMS).nth(number - 1).unwrap_or_default())
}
