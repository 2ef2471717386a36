//! Delivers webhooks: signed, in order within a message, with retries until the receiver accepts them.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use url::Url;

use super::super::endpoint::Endpoint;
use super::super::fault::Fault;
use super::super::listener::Stop;
use super::super::operation::Operation;
use super::lifecycle::Webhook;
use super::signature;
use super::state::Customers;
use super::webhooks::Registrations;
use super::{Options, Signature};

/// The maximum number of concurrent requests.
const MAX_REQUESTS_IN_FLIGHT: usize = 64;
/// The maximum number of messages with webhooks to deliver.
const MAX_MESSAGES: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
const USER_AGENT: &str = "go-resty/2.6.0 (https://github.com/go-resty/resty)";

/// Delivers webhooks.
pub(super) struct WebhookSender {
    client: reqwest::Client,
    endpoint: Endpoint,
    secret: String,
    retry_for: Duration,
    registrations: Arc<Registrations>,
    customers: Arc<Customers>,
    tasks: TaskTracker,
    stop: Stop,
    request_slots: Semaphore,
    message_slots: Arc<Semaphore>,
    given_up: AtomicU64,
}

/// The result of one attempt.
enum AttemptResult {
    Status(u16),
    NoResponse,
    /// The topic has no address.
    NoAddress,
}

/// The sandbox is shutting down.
struct Stopped;

impl WebhookSender {
    pub(super) fn new(
        endpoint: Endpoint,
        options: &Options,
        registrations: Arc<Registrations>,
        customers: Arc<Customers>,
        tasks: TaskTracker,
        stop: Stop,
    ) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            client,
            endpoint,
            secret: options.webhook_secret.clone(),
            retry_for: options.retry_for,
            registrations,
            customers,
            tasks,
            stop,
            request_slots: Semaphore::new(MAX_REQUESTS_IN_FLIGHT),
            message_slots: Arc::new(Semaphore::new(MAX_MESSAGES)),
            given_up: AtomicU64::new(0),
        })
    }

    /// Delivers the webhooks of one message in the background. Each one is sent when it is due, and after the receiver
    /// has accepted the one before it.
    pub(super) fn deliver_in_background(self: &Arc<Self>, operation: Operation, webhooks: Vec<Webhook>) {
        if !webhooks.is_empty() {
            self.spawn_delivery(Some(operation), webhooks);
        }
    }

    /// Delivers a webhook that belongs to no operation. Waits for the first attempt and returns its status. If the
    /// receiver does not accept the webhook, retries follow in the background.
    pub(super) async fn deliver_now(self: &Arc<Self>, webhook: Webhook) -> Option<u16> {
        self.open_window(&webhook);
        let status = match self.attempt(None, &webhook).await {
            AttemptResult::Status(status) => Some(status),
            AttemptResult::NoResponse => None,
            AttemptResult::NoAddress => return None,
        };
        if status == Some(200) {
            let _ = self.duplicate(None, &webhook).await;
        } else {
            let due = FIRST_RETRY_DELAY;
            self.spawn_delivery(None, vec![Webhook { due, ..webhook }]);
        }
        status
    }

    /// Sends one POST request with this signature. Returns the reply's status, if there was a reply.
    pub(super) async fn post(&self, address: Url, body: Bytes, signature: Signature) -> Option<u16> {
        let mut request = self
            .client
            .post(address)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .header(ACCEPT_ENCODING, "gzip");
        request = match signature {
            Signature::Right => request.header(signature::HEADER, signature::sign(&self.secret, &body)),
            Signature::Wrong => request.header(signature::HEADER, signature::sign("another secret", &body)),
            Signature::Missing => request,
        };
        let _permit = self.request_slots.acquire().await.ok()?;
        tokio::select! {
            () = self.stop.kill.cancelled() => None,
            answer = request.body(body).send() => answer.ok().map(|answer| answer.status().as_u16()),
        }
    }

    pub(super) fn messages_in_progress(&self) -> usize {
        MAX_MESSAGES - self.message_slots.available_permits()
    }

    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    fn spawn_delivery(self: &Arc<Self>, operation: Option<Operation>, webhooks: Vec<Webhook>) {
        let Ok(slot) = self.message_slots.clone().try_acquire_owned() else {
            self.given_up.fetch_add(webhooks.len() as u64, Ordering::Relaxed);
            return;
        };
        let sender = self.clone();
        self.tasks.spawn(async move {
            let _slot = slot;
            let accepted = Instant::now();
            for webhook in webhooks {
                if sender.wait_until(accepted + webhook.due).await.is_err() {
                    return;
                }
                let fault_rules = sender.endpoint.fault_rules();
                sender.open_window(&webhook);
                if fault_rules.take(operation, |fault| *fault == Fault::DropWebhooks).is_some() {
                    continue;
                }
                if sender.deliver_with_retries(operation, &webhook).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Retries until the receiver accepts the webhook or the retry time ends.
    async fn deliver_with_retries(
        &self,
        operation: Option<Operation>,
        webhook: &Webhook,
    ) -> Result<(), Stopped> {
        let give_up = Instant::now() + self.retry_for;
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            match self.attempt(operation, webhook).await {
                AttemptResult::Status(200) => return self.duplicate(operation, webhook).await,
                AttemptResult::Status(_) | AttemptResult::NoResponse => {}
                AttemptResult::NoAddress => return Ok(()),
            }
            let next = Instant::now() + delay;
            if next > give_up {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            self.wait_until(next).await?;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }

    async fn attempt(&self, operation: Option<Operation>, webhook: &Webhook) -> AttemptResult {
        let Some(address) = self.registrations.address(webhook.topic) else {
            return AttemptResult::NoAddress;
        };
        let fault_rules = self.endpoint.fault_rules();
        let signature = match fault_rules.take(operation, |fault| *fault == Fault::WrongSignature) {
            Some(_) => Signature::Wrong,
            None => Signature::Right,
        };
        match self.post(address, webhook.body.clone(), signature).await {
            Some(status) => AttemptResult::Status(status),
            None => AttemptResult::NoResponse,
        }
    }

    /// Delivers an accepted webhook a second time, if a rule demands it.
    async fn duplicate(&self, operation: Option<Operation>, webhook: &Webhook) -> Result<(), Stopped> {
        let fault_rules = self.endpoint.fault_rules();
        if fault_rules.take(operation, |fault| *fault == Fault::DuplicateWebhook).is_some() {
            self.attempt(operation, webhook).await;
        }
        if self.stop.graceful.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    fn open_window(&self, webhook: &Webhook) {
        if let Some(customer) = &webhook.opens_window_for {
            self.customers.record_message(customer, Duration::ZERO);
        }
    }

    async fn wait_until(&self, until: Instant) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.graceful.cancelled() => Err(Stopped),
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSender")
            .field("messages_in_progress", &self.messages_in_progress())
            .field("given_up", &self.given_up())
            .finish_non_exhaustive()
    }
}
