//! Delivering webhooks: signed, in order within a message, again and again until they are taken.

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
use super::message_life::Webhook;
use super::signature;
use super::state::Customers;
use super::webhooks::Registrations;
use super::{Options, Signature};

/// How many webhooks are on the wire at once.
const ON_THE_WIRE: usize = 64;
/// How many messages may have webhooks to come.
const MESSAGES: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const USER_AGENT: &str = "go-resty/2.6.0 (https://github.com/go-resty/resty)";

/// The one who delivers.
pub(super) struct WebhookSender {
    client: reqwest::Client,
    endpoint: Endpoint,
    secret: String,
    retry_for: Duration,
    registrations: Arc<Registrations>,
    customers: Arc<Customers>,
    tasks: TaskTracker,
    stop: Stop,
    wire: Semaphore,
    places: Arc<Semaphore>,
    given_up: AtomicU64,
}

/// What one attempt came to.
enum Attempt {
    Answered(u16),
    Unanswered,
    /// The topic has no address (any more).
    Nowhere,
}

/// The sandbox is being stopped.
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
            wire: Semaphore::new(ON_THE_WIRE),
            places: Arc::new(Semaphore::new(MESSAGES)),
            given_up: AtomicU64::new(0),
        })
    }

    /// Delivers the webhooks of one message in the background, each when it is due and not before the one
    /// before it was taken.
    pub(super) fn take_over(self: &Arc<Self>, operation: Operation, life: Vec<Webhook>) {
        if !life.is_empty() {
            self.in_background(Some(operation), life);
        }
    }

    /// Delivers a webhook that belongs to no operation. The first attempt is awaited and its answer is
    /// given; if it was not taken, the rest goes on in the background.
    pub(super) async fn deliver_now(self: &Arc<Self>, webhook: Webhook) -> Option<u16> {
        self.opens_window(&webhook);
        let status = match self.attempt(None, &webhook).await {
            Attempt::Answered(status) => Some(status),
            Attempt::Unanswered => None,
            Attempt::Nowhere => return None,
        };
        if status == Some(200) {
            let _ = self.duplicate(None, &webhook).await;
        } else {
            let due = FIRST_PAUSE;
            self.in_background(None, vec![Webhook { due, ..webhook }]);
        }
        status
    }

    /// One signed POST; the answer's status, if one came.
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
        let _permit = self.wire.acquire().await.ok()?;
        tokio::select! {
            () = self.stop.kill.cancelled() => None,
            answer = request.body(body).send() => answer.ok().map(|answer| answer.status().as_u16()),
        }
    }

    pub(super) fn messages_under_way(&self) -> usize {
        MESSAGES - self.places.available_permits()
    }

    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    fn in_background(self: &Arc<Self>, operation: Option<Operation>, life: Vec<Webhook>) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.given_up.fetch_add(life.len() as u64, Ordering::Relaxed);
            return;
        };
        let courier = self.clone();
        self.tasks.spawn(async move {
            let _place = place;
            let accepted = Instant::now();
            for webhook in life {
                if courier.pause(accepted + webhook.due).await.is_err() {
                    return;
                }
                let board = courier.endpoint.board();
                courier.opens_window(&webhook);
                if board.take(operation, |fault| *fault == Fault::DropWebhooks).is_some() {
                    continue;
                }
                if courier.insist(operation, &webhook).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Tries until the webhook is taken or too much time has passed.
    async fn insist(&self, operation: Option<Operation>, webhook: &Webhook) -> Result<(), Stopped> {
        let give_up = Instant::now() + self.retry_for;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(operation, webhook).await {
                Attempt::Answered(200) => return self.duplicate(operation, webhook).await,
                Attempt::Answered(_) | Attempt::Unanswered => {}
                Attempt::Nowhere => return Ok(()),
            }
            let next = Instant::now() + pause;
            if next > give_up {
                self.given_up.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            self.pause(next).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, operation: Option<Operation>, webhook: &Webhook) -> Attempt {
        let Some(address) = self.registrations.address(webhook.topic) else { return Attempt::Nowhere };
        let board = self.endpoint.board();
        let signature = match board.take(operation, |fault| *fault == Fault::WrongSignature) {
            Some(_) => Signature::Wrong,
            None => Signature::Right,
        };
        match self.post(address, webhook.body.clone(), signature).await {
            Some(status) => Attempt::Answered(status),
            None => Attempt::Unanswered,
        }
    }

    /// The second copy of a webhook that was taken, if a rule asks for one.
    async fn duplicate(&self, operation: Option<Operation>, webhook: &Webhook) -> Result<(), Stopped> {
        let board = self.endpoint.board();
        if board.take(operation, |fault| *fault == Fault::DuplicateWebhook).is_some() {
            self.attempt(operation, webhook).await;
        }
        if self.stop.graceful.is_cancelled() { Err(Stopped) } else { Ok(()) }
    }

    fn opens_window(&self, webhook: &Webhook) {
        if let Some(customer) = &webhook.written_by {
            self.customers.wrote(customer, Duration::ZERO);
        }
    }

    async fn pause(&self, until: Instant) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.graceful.cancelled() => Err(Stopped),
            () = tokio::time::sleep_until(until) => Ok(()),
        }
    }
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier")
            .field("messages_under_way", &self.messages_under_way())
            .field("given_up", &self.given_up())
            .finish_non_exhaustive()
    }
}
