//! Unary calls: which calls are retried, and when.

use std::pin::Pin;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use ulid::Ulid;

use crate::{Client, Error, v1};

/// A future without its type.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The lower bound of the first retry delay. Each later delay is twice as long as the one before.
const MIN_BACKOFF: Duration = Duration::from_millis(100);

/// The upper bound of a retry delay before jitter. Jitter adds at most as much again.
const MAX_BACKOFF_BEFORE_JITTER: Duration = Duration::from_millis(2_500);

/// How long a call without a timeout is retried.
pub(crate) const DEFAULT_RETRY_TIME: Duration = Duration::from_secs(60);

/// The longest delay requested by the server that this crate waits for.
pub(crate) const MAX_SERVER_DELAY: Duration = Duration::from_secs(30);

/// The request of a unary RPC of `switchboard.v1`, for [`Client::call`].
///
/// Each RPC has its own request type, so the type of the request selects the RPC. This trait is sealed: the crate
/// implements it for every unary RPC except `Subscribe` and the uploads, and no other crate can implement it.
pub trait Call: sealed::Call + Clone + Send + Sync + 'static {
    /// The response of the RPC.
    type Response: Send;

    /// Whether the RPC only reads. Reads are always retried.
    const IS_READ: bool;
}

mod sealed {
    use tonic::{Request, Response, Status};

    use super::BoxFuture;
    use crate::Client;

    /// What only this crate can implement and call.
    pub trait Call: Sized {
        /// The request's `request_id`, if the RPC has an idempotency key.
        fn request_id(&mut self) -> Option<&mut String>;

        /// The full name of the RPC, for the log.
        fn method() -> String;

        /// Sends the request once.
        fn send(
            client: Client,
            request: Request<Self>,
        ) -> BoxFuture<Result<Response<Self::Response>, Status>>
        where
            Self: super::Call;
    }
}

macro_rules! calls {
    ($($client:ident . $method:ident ( $request:ident ) -> $response:ident $kind:ident;)+) => {
        $(
            impl Call for v1::$request {
                type Response = v1::$response;

                const IS_READ: bool = calls!(@is_read $kind);
            }

            impl sealed::Call for v1::$request {
                fn request_id(&mut self) -> Option<&mut String> {
                    calls!(@request_id $kind self)
                }

                fn method() -> String {
                    let method = stringify!($request).trim_end_matches("Request");
                    format!("/switchboard.v1.{}/{method}", calls!(@service $client))
                }

                fn send(client: Client, request: Request<Self>) -> BoxFuture<Result<Response<v1::$response>, Status>> {
                    Box::pin(async move { client.$client().$method(request).await })
                }
            }
        )+
    };
    (@is_read read) => { true };
    (@is_read $other:ident) => { false };
    (@request_id keyed $request:expr) => { Some(&mut $request.request_id) };
    (@request_id $other:ident $request:expr) => {{ let _ = $request; None }};
    (@service accounts) => { "AccountService" };
    (@service contacts) => { "ContactService" };
    (@service conversations) => { "ConversationService" };
    (@service events) => { "EventService" };
    (@service flows) => { "FlowService" };
    (@service messages) => { "MessageService" };
    (@service subscriptions) => { "SubscriptionService" };
    (@service templates) => { "TemplateService" };
    (@service webhook_registrations) => { "WebhookRegistrationService" };
}

// `keyed` is a write that has a `request_id`; `write` is one that has none.
calls! {
    accounts.get_account(GetAccountRequest) -> GetAccountResponse read;
    accounts.list_accounts(ListAccountsRequest) -> ListAccountsResponse read;
    contacts.list_contacts(ListContactsRequest) -> ListContactsResponse read;
    contacts.create_contact(CreateContactRequest) -> CreateContactResponse keyed;
    contacts.update_contact(UpdateContactRequest) -> UpdateContactResponse write;
    contacts.delete_contact(DeleteContactRequest) -> DeleteContactResponse write;
    conversations.get_conversation(GetConversationRequest) -> GetConversationResponse read;
    events.list_events(ListEventsRequest) -> ListEventsResponse read;
    flows.list_flow_responses(ListFlowResponsesRequest) -> ListFlowResponsesResponse read;
    messages.send_message(SendMessageRequest) -> SendMessageResponse keyed;
    messages.get_message(GetMessageRequest) -> GetMessageResponse read;
    messages.list_messages(ListMessagesRequest) -> ListMessagesResponse read;
    subscriptions.create_subscription(CreateSubscriptionRequest) -> CreateSubscriptionResponse write;
    subscriptions.get_subscription(GetSubscriptionRequest) -> GetSubscriptionResponse read;
    subscriptions.list_subscriptions(ListSubscriptionsRequest) -> ListSubscriptionsResponse read;
    subscriptions.update_subscription(UpdateSubscriptionRequest) -> UpdateSubscriptionResponse write;
    subscriptions.seek_subscription(SeekSubscriptionRequest) -> SeekSubscriptionResponse write;
    subscriptions.delete_subscription(DeleteSubscriptionRequest) -> DeleteSubscriptionResponse write;
    subscriptions.acknowledge(AcknowledgeRequest) -> AcknowledgeResponse write;
    templates.list_templates(ListTemplatesRequest) -> ListTemplatesResponse read;
    templates.get_template(GetTemplateRequest) -> GetTemplateResponse read;
    webhook_registrations.create_webhook_registration(CreateWebhookRegistrationRequest) -> CreateWebhookRegistrationResponse keyed;
    webhook_registrations.list_webhook_registrations(ListWebhookRegistrationsRequest) -> ListWebhookRegistrationsResponse read;
    webhook_registrations.update_webhook_registration(UpdateWebhookRegistrationRequest) -> UpdateWebhookRegistrationResponse write;
    webhook_registrations.delete_webhook_registration(DeleteWebhookRegistrationRequest) -> DeleteWebhookRegistrationResponse write;
    webhook_registrations.verify_webhook_signature(VerifyWebhookSignatureRequest) -> VerifyWebhookSignatureResponse read;
}

impl Client {
    /// Makes a unary call.
    ///
    /// If the request type has a `request_id` and the field is empty, the client fills in a random one;
    /// [`Error::request_id`] reports it.
    ///
    /// The client retries a call only after UNAVAILABLE. It always retries reads. It retries a write only if the write
    /// carries a `request_id`, and every attempt carries the same one. The delay between two attempts is a growing
    /// backoff with jitter, plus the delay that the server requests. The client retries until the timeout, or for 60 seconds
    /// without one. If the server requests more than 30 seconds, the call fails at once.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt, or DEADLINE_EXCEEDED after [`timeout`](crate::Builder::timeout).
    pub async fn call<C: Call>(&self, mut request: C) -> Result<C::Response, Error> {
        let request_id = ensure_request_id(request.request_id());
        let can_retry = request_id.is_some() || C::IS_READ;
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        self.attempt(request, can_retry, RetryState::new(self, C::method(), request_id, deadline)).await
    }

    /// Makes a call that is safe to repeat although its request has no `request_id`.
    pub(crate) async fn call_repeatable<C: Call>(
        &self,
        request: C,
        deadline: Instant,
    ) -> Result<C::Response, Error> {
        self.attempt(request, true, RetryState::new(self, C::method(), None, Some(deadline))).await
    }

    async fn attempt<C: Call>(
        &self,
        request: C,
        can_retry: bool,
        mut retry: RetryState,
    ) -> Result<C::Response, Error> {
        loop {
            let sent = C::send(self.clone(), retry.request(request.clone()));
            match retry.with_deadline(sent).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => retry.wait_after(status, can_retry).await?,
            }
        }
    }
}

/// Fills in a random `request_id` if the request can have one and has none. Returns the request's `request_id`.
pub(crate) fn ensure_request_id(id: Option<&mut String>) -> Option<String> {
    id.map(|id| {
        if id.is_empty() {
            *id = Ulid::generate().to_string();
        }
        id.clone()
    })
}

/// The attempts of one call.
pub(crate) struct RetryState {
    /// The full name of the RPC.
    method: String,
    /// The number of failed attempts.
    failures: u32,
    max_attempts: u32,
    deadline: Option<Instant>,
    /// No retry starts after this time.
    retry_until: Instant,
    backoff: ExponentialBackoff,
    request_id: Option<String>,
}

impl RetryState {
    pub(crate) fn new(
        client: &Client,
        method: String,
        request_id: Option<String>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            method,
            failures: 0,
            max_attempts: client.max_attempts,
            deadline,
            retry_until: deadline.unwrap_or_else(|| Instant::now() + DEFAULT_RETRY_TIME),
            backoff: backoff(),
            request_id,
        }
    }

    /// A request that carries the time left until the deadline.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// Waits for the response until the deadline.
    pub(crate) async fn with_deadline<T>(
        &self,
        response: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Some(deadline) = self.deadline else { return response.await };
        let exceeded = || Status::deadline_exceeded("the call did not finish within the client's timeout");
        match tokio::time::timeout_at(deadline, response).await {
            // The transport has a timer for the same deadline, and reports its expiry with another code.
            Ok(Err(_)) | Err(_) if Instant::now() >= deadline => Err(exceeded()),
            Ok(result) => result,
            Err(_) => Err(exceeded()),
        }
    }

    /// Waits until the next attempt may start.
    ///
    /// # Errors
    ///
    /// Returns the failure of the attempt if there is no next attempt.
    pub(crate) async fn wait_after(&mut self, status: Status, can_retry: bool) -> Result<(), Error> {
        let error = self.error(status);
        let requested = error.retry_delay().unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
        let is_final = !can_retry || self.failures >= self.max_attempts;
        if error.code() != Code::Unavailable || is_final || requested > MAX_SERVER_DELAY {
            return Err(error);
        }
        // The backoff has jitter, so clients that the server gave the same delay do not all return at once.
        let delay = requested + self.backoff.next().unwrap_or(MAX_BACKOFF_BEFORE_JITTER);
        if Instant::now() + delay >= self.retry_until {
            return Err(error);
        }
        let (method, attempt) = (&*self.method, self.failures);
        tracing::info!(method, attempt, ?delay, %error, "switchboard call failed, retrying");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// The failure of this call, with its `request_id`.
    pub(crate) fn error(&self, error: impl Into<Error>) -> Error {
        error.into().with_request_id(self.request_id.clone().unwrap_or_default())
    }
}

/// The delays between attempts, without an end.
pub(crate) fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(MIN_BACKOFF)
        .with_max_delay(MAX_BACKOFF_BEFORE_JITTER)
        .with_jitter()
        .without_max_times()
        .build()
}
