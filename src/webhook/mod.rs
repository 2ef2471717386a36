//! The HTTP ingress: `POST /webhooks/{account}`.
//!
//! **Invariants.** Status 200 means that the event is durable. No body is parsed before its signature is verified. An
//! account that does not exist, an account without webhooks and a wrong signature all get status 401.

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
use crate::provider::signature::Unverified;
use crate::provider::{Account, Accounts};
use crate::store::{Append, OpResult};
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::{EVENTS, SIGNATURES, WEBHOOKS, webhook as labels};

/// The maximum number of large bodies in memory at once. More of them wait.
const MAX_LARGE_BODIES: usize = 128;

/// The maximum size of a body that is not large. Nearly all bodies are far smaller. They need no permit, so slow large
/// bodies cannot block them; each costs as much as a connection.
const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Receives webhooks.
#[derive(Debug)]
pub struct Ingress {
    accounts: Accounts,
    journal: Journal,
    max_body_bytes: usize,
    read_timeout: Duration,
    rejections: LogThrottle,
    /// A body is in memory until it is durable, so the number of large ones is limited.
    large_body_permits: Semaphore,
}

/// The result of one webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IngestResult {
    Stored,
    Duplicate,
    NoAccount,
    Rejected,
    TooLarge,
    Truncated,
    TimedOut,
    Overloaded,
    NotStored,
}

impl Ingress {
    /// Makes the ingress for these accounts.
    pub fn new(config: &config::Webhook, accounts: Accounts, journal: Journal) -> Self {
        // A secret that has signed no webhook must have a series too.
        for account in accounts.iter() {
            for secret in 1..=account.webhooks().map_or(0, |webhooks| webhooks.scheme().secret_count()) {
                count_signatures(account, secret, 0);
            }
        }
        Self {
            accounts,
            journal,
            max_body_bytes: config.max_body_bytes,
            read_timeout: config.read_timeout,
            rejections: LogThrottle::new(Duration::from_secs(10)),
            large_body_permits: Semaphore::new(MAX_LARGE_BODIES),
        }
    }

    /// Returns the HTTP service.
    pub fn router(self) -> Router {
        Router::new().route("/webhooks/{account}", post(receive)).with_state(Arc::new(self))
    }

    async fn ingest(&self, account: Option<&Arc<Account>>, headers: &HeaderMap, body: Body) -> IngestResult {
        let Some((account, webhooks)) = account.and_then(|account| Some((account, account.webhooks()?)))
        else {
            return IngestResult::NoAccount;
        };
        let scheme = webhooks.scheme();
        let (body, _permit) = match self.read_body(body).await {
            Ok(read) => read,
            Err(result) => return result,
        };
        let signature = headers.get(scheme.header()).and_then(|value| value.to_str().ok());
        let webhook = match Unverified::new(body, signature).verify(scheme) {
            Ok(webhook) => webhook,
            Err(rejection) => {
                if let Some(suppressed) = self.rejections.allow() {
                    tracing::warn!(account = %account.id(), %rejection, suppressed, "webhook rejected");
                }
                return IngestResult::Rejected;
            }
        };
        count_signatures(account, webhook.secret_number(), 1);
        let events: Vec<Append> = webhooks
            .parse(account.id(), &webhook)
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
            Ok(results) => {
                let mut outcome = IngestResult::Duplicate;
                for (result, event_type) in results.into_iter().zip(types) {
                    if let OpResult::Appended(_) = result {
                        outcome = IngestResult::Stored;
                        counter!(EVENTS, "account" => account.id().to_string(), "type" => event_type.as_str())
                            .increment(1);
                    }
                }
                outcome
            }
            // The store logs its failure once. A log line per webhook would add nothing.
            Err(_) => IngestResult::NotStored,
        }
    }

    /// Reads a body. A large body acquires a permit.
    async fn read_body(&self, body: Body) -> Result<(Bytes, Option<SemaphorePermit<'_>>), IngestResult> {
        let deadline = Instant::now() + self.read_timeout;
        let mut arriving = Limited::new(body, self.max_body_bytes);
        let (mut body, mut permit) = (BytesMut::new(), None);
        loop {
            let frame = timeout_at(deadline, arriving.frame()).await.map_err(|_| IngestResult::TimedOut)?;
            let frame = match frame.transpose() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok((body.freeze(), permit)),
                Err(error) if error.is::<LengthLimitError>() => return Err(IngestResult::TooLarge),
                Err(_) => return Err(IngestResult::Truncated),
            };
            let Ok(data) = frame.into_data() else { continue };
            if permit.is_none() && body.len() + data.len() > LARGE_BODY_BYTES {
                let acquired = timeout_at(deadline, self.large_body_permits.acquire()).await;
                // After this wait, the provider's retry is the better choice.
                let Ok(Ok(acquired)) = acquired else { return Err(IngestResult::Overloaded) };
                permit = Some(acquired);
            }
            body.extend_from_slice(&data);
        }
    }
}

/// Counts webhooks that a secret has signed.
fn count_signatures(account: &Account, secret: usize, webhooks: u64) {
    counter!(SIGNATURES, "account" => account.id().to_string(), "secret" => secret.to_string())
        .increment(webhooks);
}

async fn receive(
    State(ingress): State<Arc<Ingress>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let account = account.parse::<AccountId>().ok().and_then(|id| ingress.accounts.get(&id));
    let result = ingress.ingest(account, &headers, body).await;
    // An unauthenticated peer must not be able to create labels.
    let label = match (result, account) {
        (IngestResult::NoAccount, _) | (_, None) => String::new(),
        (_, Some(account)) => account.id().to_string(),
    };
    counter!(WEBHOOKS, "account" => label, "result" => result.label()).increment(1);
    result.into_response()
}

impl IngestResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Stored => labels::STORED,
            Self::Duplicate => labels::DUPLICATE,
            Self::NoAccount => labels::NO_ACCOUNT,
            Self::Rejected => labels::REJECTED,
            Self::TooLarge => labels::TOO_LARGE,
            Self::Truncated | Self::TimedOut => labels::UNREADABLE,
            Self::Overloaded => labels::CROWDED,
            Self::NotStored => labels::NOT_STORED,
        }
    }
}

impl IntoResponse for IngestResult {
    fn into_response(self) -> Response {
        match self {
            Self::Stored | Self::Duplicate => StatusCode::OK.into_response(),
            Self::NoAccount | Self::Rejected => {
                (StatusCode::UNAUTHORIZED, "no valid signature\n").into_response()
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n").into_response(),
            Self::Truncated => (StatusCode::BAD_REQUEST, "the body is incomplete\n").into_response(),
            Self::TimedOut => {
                (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response()
            }
            Self::Overloaded | Self::NotStored => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(RETRY_AFTER, "1")],
                "the event could not be stored; retry\n",
            )
                .into_response(),
        }
    }
}
