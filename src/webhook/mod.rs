//! The HTTP ingress: `POST /webhooks/{account}`.
//!
//! **Invariants.** Status 200 means that the event is durable. No body is parsed before its signature is verified. An
//! account that does not exist, an account without webhooks and a wrong signature all get the same replies at the same
//! points of a request, so a peer cannot find out which accounts exist.

mod peer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use metrics::counter;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::config;
use crate::domain::{AccountId, EventType};
use crate::journal::Journal;
use crate::provider::signature::{Rejection, Scheme, Unverified, check_form};
use crate::provider::{Account, Accounts};
use crate::store::{Append, OpResult};
use crate::telemetry::log_throttle::LogThrottle;
use crate::telemetry::metrics::{EVENTS, SIGNATURES, WEBHOOKS, webhook as labels};
use peer::Peer;

/// The maximum number of large bodies in memory at once, divided among the accounts. More of them wait.
const MAX_LARGE_BODIES: usize = 128;

/// The minimum number of large bodies that each account can have in memory, however many accounts there are.
const MIN_LARGE_BODIES: usize = 8;

/// The minimum time between two log lines of the same kind about the same account.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

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
    limits: HashMap<AccountId, Limits>,
    /// For all requests that name no account, or one without webhooks.
    other_limits: Limits,
    /// Verifies these requests, so that they get the same replies. Absent if no account has webhooks.
    random_scheme: Option<Scheme>,
}

/// What the requests of one account share, so that they cannot affect those of another.
#[derive(Debug)]
struct Limits {
    rejections: LogThrottle,
    unmatched: LogThrottle,
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

impl Limits {
    fn new(large_bodies: usize) -> Self {
        Self {
            rejections: LogThrottle::new(LOG_INTERVAL),
            unmatched: LogThrottle::new(LOG_INTERVAL),
            large_body_permits: Semaphore::new(large_bodies),
        }
    }
}

impl Ingress {
    /// Makes the ingress for these accounts.
    pub fn new(config: &config::Webhook, accounts: Accounts, journal: Journal) -> Self {
        // A counter must exist before its first event, because queries do not see the increase from nothing.
        for account in accounts.iter() {
            for secret in 1..=account.webhooks().map_or(0, |webhooks| webhooks.scheme().secret_count()) {
                count_signatures(account, secret, 0);
            }
            if account.webhooks().is_some() {
                let id = account.id().to_string();
                for result in labels::OF_ACCOUNTS {
                    counter!(WEBHOOKS, "account" => id.clone(), "result" => result).increment(0);
                }
                for event_type in EventType::ALL.into_iter().filter(|&it| it != EventType::MessageAccepted) {
                    counter!(EVENTS, "account" => id.clone(), "type" => event_type.as_str()).increment(0);
                }
            }
        }
        for result in [labels::NO_ACCOUNT, labels::UNMATCHED] {
            counter!(WEBHOOKS, "account" => "", "result" => result).increment(0);
        }
        let schemes: Vec<(&AccountId, &Scheme)> = accounts
            .iter()
            .filter_map(|account| Some((account.id(), account.webhooks()?.scheme())))
            .collect();
        let large_bodies = (MAX_LARGE_BODIES / (schemes.len() + 1)).max(MIN_LARGE_BODIES);
        let limits = schemes.iter().map(|&(id, _)| (id.clone(), Limits::new(large_bodies))).collect();
        let random_scheme = schemes.first().map(|(_, scheme)| scheme.with_random_secrets());
        Self {
            journal,
            max_body_bytes: config.max_body_bytes,
            read_timeout: config.read_timeout,
            limits,
            other_limits: Limits::new(large_bodies),
            random_scheme,
            accounts,
        }
    }

    /// Returns the HTTP service.
    pub fn router(self) -> Router {
        Router::new()
            .route("/webhooks/{account}", post(receive))
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .with_state(Arc::new(self))
    }

    async fn ingest(&self, account: Option<&Arc<Account>>, head: &Parts, body: Body) -> IngestResult {
        let known = account.and_then(|account| Some((account, account.webhooks()?)));
        let limits = self.limits_of(account.map(|account| account.id()));
        let scheme = known.map(|(_, webhooks)| webhooks.scheme()).or(self.random_scheme.as_ref());
        let Some(scheme) = scheme else {
            return IngestResult::NoAccount;
        };
        let reject = |rejection: Rejection| {
            if let Some(suppressed) = limits.rejections.allow() {
                let peer = Peer::of(&head.headers, &head.extensions);
                let forwarded_for = peer.forwarded_for.as_deref();
                match known {
                    Some((account, _)) => tracing::warn!(
                        account = %account.id(), %rejection, peer = peer.address, forwarded_for, suppressed,
                        "webhook rejected"
                    ),
                    None => tracing::warn!(
                        account = account.map(|account| tracing::field::display(account.id())),
                        peer = peer.address,
                        forwarded_for,
                        suppressed,
                        "webhook rejected: no such account, or it has no webhooks"
                    ),
                }
            }
            if known.is_some() { IngestResult::Rejected } else { IngestResult::NoAccount }
        };
        let signature = head.headers.get(scheme.header()).and_then(|value| value.to_str().ok());
        // A peer that does not know the form of a signature must not use memory.
        if let Err(rejection) = check_form(signature) {
            return reject(rejection);
        }
        let (body, _permit) = match self.read_body(body, limits).await {
            Ok(read) => read,
            Err(result) => return result,
        };
        let webhook = match Unverified::new(body, signature).verify(scheme) {
            Ok(webhook) => webhook,
            Err(rejection) => return reject(rejection),
        };
        let Some((account, webhooks)) = known else { return IngestResult::NoAccount };
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

    /// The limits that apply to requests for this account.
    fn limits_of(&self, account: Option<&AccountId>) -> &Limits {
        account.and_then(|account| self.limits.get(account)).unwrap_or(&self.other_limits)
    }

    /// Counts and logs a request that is not `POST /webhooks/{account}`: often a slip in the URL of a registration. The
    /// line contains nothing that the peer could choose freely.
    fn report_unmatched(&self, request: &Request) {
        let segments = request.uri().path().split('/').filter_map(|segment| segment.parse().ok());
        let account = segments.filter_map(|id: AccountId| self.accounts.get(&id)).next();
        let account = account.map(|account| account.id());
        let label = account.map(ToString::to_string).unwrap_or_default();
        counter!(WEBHOOKS, "account" => label, "result" => labels::UNMATCHED).increment(1);
        if let Some(suppressed) = self.limits_of(account).unmatched.allow() {
            let peer = Peer::of(request.headers(), request.extensions());
            tracing::warn!(
                account = account.map(tracing::field::display),
                method = peer::standard_method(request.method()),
                peer = peer.address,
                forwarded_for = peer.forwarded_for.as_deref(),
                suppressed,
                "request is not a webhook: expected POST /webhooks/{{account}}"
            );
        }
    }

    /// Reads a body. A large body acquires a permit.
    async fn read_body<'a>(
        &self,
        body: Body,
        limits: &'a Limits,
    ) -> Result<(Bytes, Option<SemaphorePermit<'a>>), IngestResult> {
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
                let acquired = timeout_at(deadline, limits.large_body_permits.acquire()).await;
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
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let account = account.parse::<AccountId>().ok().and_then(|id| ingress.accounts.get(&id));
    let result = ingress.ingest(account, &head, body).await;
    // An unauthenticated peer must not be able to create labels.
    let label = match (result, account) {
        (IngestResult::NoAccount, _) | (_, None) => String::new(),
        (_, Some(account)) => account.id().to_string(),
    };
    counter!(WEBHOOKS, "account" => label, "result" => result.label()).increment(1);
    result.into_response()
}

async fn not_found(State(ingress): State<Arc<Ingress>>, request: Request) -> StatusCode {
    ingress.report_unmatched(&request);
    StatusCode::NOT_FOUND
}

async fn method_not_allowed(State(ingress): State<Arc<Ingress>>, request: Request) -> StatusCode {
    ingress.report_unmatched(&request);
    StatusCode::METHOD_NOT_ALLOWED
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
