//! Everything the imitated Connectly knows, and its routes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use super::super::endpoint::Endpoint;
use super::super::exchange::{FakeProvider, Request};
use super::super::fault::Fault;
use super::super::listener::Stop;
use super::super::operation::Operation;
use super::super::reply::Reply;
use super::message_life::{self, Person, Webhook};
use super::messages::Accepted;
use super::templates::Templates;
use super::webhook_sender::WebhookSender;
use super::webhooks::Registrations;
use super::{Delivery, Options, Sender, Signature, Topic, error, messages};

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) registrations: Arc<Registrations>,
    pub(super) customers: Arc<Customers>,
    pub(super) courier: Arc<WebhookSender>,
    pub(super) templates: Templates,
    pub(super) sent: Sent,
    endpoint: Endpoint,
}

impl State {
    pub(super) fn new(
        endpoint: Endpoint,
        options: Options,
        tasks: TaskTracker,
        stop: &Stop,
    ) -> io::Result<Self> {
        let registrations = Arc::new(Registrations::default());
        for topic in [Topic::Messages, Topic::DeliveryStatus] {
            registrations.set(topic, options.webhook_url.clone());
        }
        let customers = Arc::new(Customers::default());
        let courier = WebhookSender::new(
            endpoint.clone(),
            &options,
            registrations.clone(),
            customers.clone(),
            tasks,
            stop.clone(),
        )?;
        let templates = Templates::seeded();
        Ok(Self {
            options,
            registrations,
            customers,
            courier: Arc::new(courier),
            templates,
            sent: Sent::default(),
            endpoint,
        })
    }

    pub(super) async fn inject_message(&self, from: &Sender, text: &str) -> Delivery {
        let id = Ulid::generate().to_string();
        let customer = Person::sender(from);
        let webhook = message_life::customer_message(&id, &customer, &self.options.business_number, text);
        if let Some(user_id) = &from.user_id {
            self.customers.wrote(user_id, Duration::ZERO);
        }
        if self.endpoint.board().take(None, |fault| *fault == Fault::DropWebhooks).is_some() {
            self.customers.wrote(&from.address, Duration::ZERO);
            return Delivery { message_id: Some(id), address: None, status: None };
        }
        let address = self.registrations.address(webhook.topic);
        let status = self.courier.deliver_now(webhook).await;
        Delivery { message_id: Some(id), address, status }
    }

    pub(super) async fn inject_report(&self, run_id: &str, status: &str) -> Delivery {
        let webhook = message_life::report(run_id, status);
        let address = self.registrations.address(webhook.topic);
        let status = self.courier.deliver_now(webhook).await;
        Delivery { message_id: None, address, status }
    }

    /// Delivers a webhook about a message that was accepted.
    pub(super) async fn inject_about(
        &self,
        message_id: &str,
        webhook: impl FnOnce(&Accepted, &str) -> Webhook,
    ) -> Option<Delivery> {
        let accepted = self.sent.find(message_id)?;
        let webhook = webhook(&accepted, &self.options.business_number);
        let address = self.registrations.address(webhook.topic);
        let status = self.courier.deliver_now(webhook).await;
        Some(Delivery { message_id: None, address, status })
    }

    pub(super) async fn inject_webhook(&self, body: Bytes, signature: Signature) -> Delivery {
        let named = serde_json::from_slice::<Value>(&body).ok();
        let named = named.as_ref().and_then(|body| body["topic"].as_str()).and_then(|t| t.parse().ok());
        let address = self.registrations.address(named.unwrap_or(Topic::Messages));
        let status = match &address {
            Some(address) => self.courier.post(address.clone(), body, signature).await,
            None => None,
        };
        Delivery { message_id: None, address, status }
    }

    fn accept(&self, operation: Operation, accepted: Result<Accepted, Reply>) -> Reply {
        match accepted {
            Ok(accepted) => {
                let reorder = || {
                    let board = self.endpoint.board();
                    board.take(Some(operation), |fault| *fault == Fault::ReorderStatuses).is_some()
                };
                let echo = self.registrations.wants_echo();
                let life = message_life::of(&accepted, &self.options, echo, reorder);
                self.courier.take_over(operation, life);
                let reply = Reply::json(201, &json!({"id": accepted.id}));
                self.sent.note(accepted);
                reply
            }
            Err(refusal) => refusal,
        }
    }
}

impl FakeProvider for State {
    fn operation(&self, method: &Method, path: &str) -> Option<Operation> {
        let segments: Vec<&str> = path.strip_prefix("/v1/businesses/")?.split('/').skip(1).collect();
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["send", "messages"]) => Operation::SendMessage,
            ("POST", ["send", "whatsapp_templated_messages"]) => Operation::SendTemplate,
            ("POST", ["get", "templates"]) => Operation::ListTemplates,
            ("POST", ["create", "webhooks"]) => Operation::CreateWebhook,
            ("GET", ["webhooks"]) => Operation::ListWebhooks,
            ("PUT", ["update", "webhooks", _]) => Operation::UpdateWebhook,
            ("DELETE", ["delete", "webhooks", _]) => Operation::DeleteWebhook,
            _ => return None,
        })
    }

    fn answer(&self, operation: Operation, request: &Request) -> Reply {
        if request.header("x-api-key") != Some(&self.options.api_key) {
            return error::for_status(401);
        }
        if request.path.split('/').nth(3) != Some(&self.options.business_id) {
            return error::not_found("There is no such business");
        }
        match operation {
            Operation::SendMessage => self.accept(operation, messages::session(self, request)),
            Operation::SendTemplate => self.accept(operation, messages::templated(self, request)),
            Operation::ListTemplates => self.templates.list(),
            Operation::CreateWebhook => self.registrations.create(request, self.options.duplicate_topic),
            Operation::ListWebhooks => self.registrations.list_reply(&self.options.business_id),
            Operation::UpdateWebhook => self.registrations.update(request),
            Operation::DeleteWebhook => self.registrations.delete(request),
            _ => error::not_found("There is no such route"),
        }
    }

    fn error(&self, status: u16) -> Reply {
        error::for_status(status)
    }

    fn success_false(&self, _code: Option<i64>) -> Reply {
        error::reply(200, "ERROR_TYPE_UNSPECIFIED", "ERROR_CODE_UNSPECIFIED", "Refused on demand")
    }
}

/// The messages that were accepted, the oldest first. Of very many, the last ones.
#[derive(Debug, Default)]
pub(super) struct Sent {
    messages: Mutex<VecDeque<Arc<Accepted>>>,
}

impl Sent {
    /// How many messages are remembered.
    const MOST: usize = 10_000;

    fn note(&self, accepted: Accepted) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == Self::MOST {
            messages.pop_front();
        }
        messages.push_back(Arc::new(accepted));
    }

    fn find(&self, id: &str) -> Option<Arc<Accepted>> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().rfind(|accepted| accepted.id == id).cloned()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().map(|accepted| accepted.id.clone()).collect()
    }
}

/// When each customer last wrote.
#[derive(Debug, Default)]
pub(super) struct Customers {
    wrote: Mutex<HashMap<String, SystemTime>>,
}

impl Customers {
    pub(super) fn wrote(&self, address: &str, ago: Duration) {
        let now = SystemTime::now();
        let at = now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), at);
    }

    /// How long ago the customer last wrote.
    pub(super) fn silent_for(&self, address: &str) -> Option<Duration> {
        let wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        wrote.get(address).map(|at| at.elapsed().unwrap_or_default())
    }
}
