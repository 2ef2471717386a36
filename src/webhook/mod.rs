//! The HTTP ingress: `POST /webhooks/{account}`.
//!
//! **Invariants.** 200 means that the event is on disk. Nothing is read from a body before its signature was found
//! right. An account that does not exist, one without webhooks and a wrong signature are all answered 401.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use metrics::counter;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::config;
use crate::domain::AccountId;
use crate::journal::Journal;
use crate::provider::signature::{Scheme, Unverified};
use crate::provider::{Account, Accounts};
use crate::store::{Append, OpResult};
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::{EVENTS, SIGNATURES, WEBHOOKS, webhook as result};

/// How many large bodies are in memory at once; more of them wait.
const PLACES: usize = 128;

/// The most bytes of a body that is not large. Nearly all are far smaller: they are what a connection costs, and wait for
/// no place, so that slow ones cannot keep others out.
const LARGE: usize = 64 * 1024;

/// Takes webhooks in.
#[derive(Debug)]
pub struct Ingress {
    accounts: Accounts,
    journal: Journal,
    max_body_bytes: usize,
    read_timeout: Duration,
    rejections: LogThrottle,
    /// Bodies are in memory until they are on disk, so only so many large ones are taken in at once.
    places: Semaphore,
}

/// How a webhook is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Stored,
    Duplicate,
    NoAccount,
    Rejected,
    TooLarge,
    BrokenOff,
    TooSlow,
    Crowded,
    NotStored,
}

impl Ingress {
    /// Takes in webhooks for these accounts.
    pub fn new(config: &config::Webhook, accounts: Accounts, journal: Journal) -> Self {
        // A secret that nobody uses must show as one.
        for account in accounts.iter() {
            for place in 1..=account.webhook_scheme().map_or(0, Scheme::secret_count) {
                signed_by(account, place, 0);
            }
        }
        Self {
            accounts,
            journal,
            max_body_bytes: config.max_body_bytes,
            read_timeout: config.read_timeout,
            rejections: LogThrottle::new(Duration::from_secs(10)),
            places: Semaphore::new(PLACES),
        }
    }

    /// The HTTP service.
    pub fn router(self) -> Router {
        Router::new().route("/webhooks/{account}", post(receive)).with_state(Arc::new(self))
    }

    async fn answer(&self, account: Option<&Arc<Account>>, headers: &HeaderMap, body: Body) -> Answer {
        let Some((account, scheme)) = account.and_then(|account| Some((account, account.webhook_scheme()?)))
        else {
            return Answer::NoAccount;
        };
        let (body, _place) = match self.read(body).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let signature = headers.get(scheme.header()).and_then(|value| value.to_str().ok());
        let webhook = match Unverified::new(body, signature).verify(scheme) {
            Ok(webhook) => webhook,
            Err(rejection) => {
                if let Some(suppressed) = self.rejections.now() {
                    tracing::warn!(account = %account.id(), %rejection, suppressed, "a webhook was rejected");
                }
                return Answer::Rejected;
            }
        };
        signed_by(account, webhook.secret_number(), 1);
        let events: Vec<Append> = account
            .read_webhook(&webhook)
            .into_iter()
            .map(|incoming| Append {
                event: incoming.event,
                identity: incoming.identity,
                proof: incoming.proof,
                raw: webhook.body().clone(),
            })
            .collect();
        let types: Vec<_> = events.iter().map(|append| append.event.event_type()).collect();
        match self.journal.append(events).await {
            Ok(done) => {
                let mut answer = Answer::Duplicate;
                for (done, event_type) in done.into_iter().zip(types) {
                    if let OpResult::Appended(_) = done {
                        answer = Answer::Stored;
                        counter!(EVENTS, "account" => account.id().to_string(), "type" => event_type.as_str())
                            .increment(1);
                    }
                }
                answer
            }
            // The store itself tells the log, once, and not for every webhook.
            Err(_) => Answer::NotStored,
        }
    }

    /// Reads a body, and takes a place for one that is large.
    async fn read(&self, body: Body) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Answer> {
        let deadline = Instant::now() + self.read_timeout;
        let mut arriving = Limited::new(body, self.max_body_bytes);
        let (mut body, mut place) = (BytesMut::new(), None);
        loop {
            let frame = timeout_at(deadline, arriving.frame()).await.map_err(|_| Answer::TooSlow)?;
            let frame = match frame.transpose() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok((body.freeze(), place)),
                Err(error) if error.is::<LengthLimitError>() => return Err(Answer::TooLarge),
                Err(_) => return Err(Answer::BrokenOff),
            };
            let Ok(data) = frame.into_data() else { continue };
            if place.is_none() && body.len() + data.len() > LARGE {
                let acquired = timeout_at(deadline, self.places.acquire()).await;
                // Whoever waits longer than a body may take to arrive is better off trying again.
                let Ok(Ok(acquired)) = acquired else { return Err(Answer::Crowded) };
                place = Some(acquired);
            }
            body.extend_from_slice(&data);
        }
    }
}

/// Counts webhooks that a secret has signed.
fn signed_by(account: &Account, place: usize, webhooks: u64) {
    counter!(SIGNATURES, "account" => account.id().to_string(), "secret" => place.to_string())
        .increment(webhooks);
}

async fn receive(
    State(ingress): State<Arc<Ingress>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let account = account.parse::<AccountId>().ok().and_then(|id| ingress.accounts.get(&id));
    let answer = ingress.answer(account, &headers, body).await;
    // Strangers must not be able to make labels.
    let label = match (answer, account) {
        (Answer::NoAccount, _) | (_, None) => String::new(),
        (_, Some(account)) => account.id().to_string(),
    };
    counter!(WEBHOOKS, "account" => label, "result" => answer.result()).increment(1);
    answer.into_response()
}

impl Answer {
    const fn result(self) -> &'static str {
        match self {
            Self::Stored => result::STORED,
            Self::Duplicate => result::DUPLICATE,
            Self::NoAccount => result::NO_ACCOUNT,
            Self::Rejected => result::REJECTED,
            Self::TooLarge => result::TOO_LARGE,
            Self::BrokenOff | Self::TooSlow => result::UNREADABLE,
            Self::Crowded => result::CROWDED,
            Self::NotStored => result::NOT_STORED,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Stored | Self::Duplicate => StatusCode::OK.into_response(),
            Self::NoAccount | Self::Rejected => {
                (StatusCode::UNAUTHORIZED, "no valid signature\n").into_response()
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").into_response(),
            Self::BrokenOff => (StatusCode::BAD_REQUEST, "the body broke off\n").into_response(),
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response()
            }
            Self::Crowded | Self::NotStored => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(RETRY_AFTER, "1")],
                "the event could not be stored: send it again\n",
            )
                .into_response(),
        }
    }
}
