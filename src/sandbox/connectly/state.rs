//! The state of the simulated Connectly, and its routes.

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
use super::lifecycle::{self, Customer, Webhook};
use super::messages::Accepted;
use super::templates::Templates;
use super::webhook_sender::WebhookSender;
use super::webhooks::Registrations;
use super::{ConnectlyTopic, Delivery, Options, Sender, Signature, error, messages};

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) registrations: Arc<Registrations>,
    pub(super) customers: Arc<Customers>,
    pub(super) webhook_sender: Arc<WebhookSender>,
    pub(super) templates: Templates,
    pub(super) accepted_messages: AcceptedMessages,
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
        for topic in [ConnectlyTopic::Messages, ConnectlyTopic::DeliveryStatus] {
            registrations.set(topic, options.webhook_url.clone());
        }
        let customers = Arc::new(Customers::default());
        let webhook_sender = WebhookSender::new(
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
            webhook_sender: Arc::new(webhook_sender),
            templates,
            accepted_messages: AcceptedMessages::default(),
            endpoint,
        })
    }

    pub(super) async fn inject_message(&self, from: &Sender, text: &str) -> Delivery {
        let id = Ulid::generate().to_string();
        let customer = Customer::sender(from);
        let webhook = lifecycle::customer_message(&id, &customer, &self.options.business_number, text);
        if let Some(user_id) = &from.user_id {
            self.customers.record_message(user_id, Duration::ZERO);
        }
        if self.endpoint.fault_rules().take(None, |fault| *fault == Fault::DropWebhooks).is_some() {
            self.customers.record_message(&from.address, Duration::ZERO);
            return Delivery { message_id: Some(id), address: None, status: None };
        }
        let address = self.registrations.address(webhook.topic);
        let status = self.webhook_sender.deliver_now(webhook).await;
        Delivery { message_id: Some(id), address, status }
    }

    pub(super) async fn inject_report(&self, run_id: &str, status: &str) -> Delivery {
        let webhook = lifecycle::report(run_id, status);
        let address = self.registrations.address(webhook.topic);
        let status = self.webhook_sender.deliver_now(webhook).await;
        Delivery { message_id: None, address, status }
    }

    /// Delivers a webhook about a message that was accepted.
    pub(super) async fn inject_about(
        &self,
        message_id: &str,
        webhook: impl FnOnce(&Accepted, &str) -> Webhook,
    ) -> Option<Delivery> {
        let accepted = self.accepted_messages.find(message_id)?;
        let webhook = webhook(&accepted, &self.options.business_number);
        let address = self.registrations.address(webhook.topic);
        let status = self.webhook_sender.deliver_now(webhook).await;
        Some(Delivery { message_id: None, address, status })
    }

    pub(super) async fn inject_webhook(&self, body: Bytes, signature: Signature) -> Delivery {
        let named = serde_json::from_slice::<Value>(&body).ok();
        let named = named.as_ref().and_then(|body| body["topic"].as_str()).and_then(|t| t.parse().ok());
        let address = self.registrations.address(named.unwrap_or(ConnectlyTopic::Messages));
        let status = match &address {
            Some(address) => self.webhook_sender.post(address.clone(), body, signature).await,
            None => None,
        };
        Delivery { message_id: None, address, status }
    }

    fn accept(&self, operation: Operation, accepted: Result<Accepted, Reply>) -> Reply {
        match accepted {
            Ok(accepted) => {
                let reorder = || {
                    let fault_rules = self.endpoint.fault_rules();
                    fault_rules.take(Some(operation), |fault| *fault == Fault::ReorderStatuses).is_some()
                };
                let echo = self.registrations.wants_echo();
                let webhooks = lifecycle::webhooks(&accepted, &self.options, echo, reorder);
                self.webhook_sender.deliver_in_background(operation, webhooks);
                let reply = Reply::json(201, &json!({"id": accepted.id}));
                self.accepted_messages.push(accepted);
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
        error::reply(200, "ERROR_TYPE_UNSPECIFIED", "ERROR_CODE_UNSPECIFIED", "refused on demand")
    }
}

/// The last accepted messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct AcceptedMessages {
    messages: Mutex<VecDeque<Arc<Accepted>>>,
}

impl AcceptedMessages {
    /// The maximum number of stored messages.
    const CAPACITY: usize = 10_000;

    fn push(&self, accepted: Accepted) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() == Self::CAPACITY {
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
    pub(super) fn record_message(&self, address: &str, ago: Duration) {
        let now = SystemTime::now();
        let at = now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), at);
    }

    /// The time since the customer last wrote.
    pub(super) fn since_last_message(&self, address: &str) -> Option<Duration> {
        let wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        wrote.get(address).map(|at| at.elapsed().unwrap_or_default())
    }
}
