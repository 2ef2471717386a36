//! Calls with one answer: which may be tried again, and when.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use ulid::Ulid;

use super::{Client, Error};
use crate::pb::v1;

/// The least time before a call is tried again; each later one waits twice as long as the one before.
const FIRST: Duration = Duration::from_millis(100);

/// Half of the longest time before a call is tried again: chance adds up to as much again.
const HALF_OF_LONGEST: Duration = Duration::from_millis(2_500);

/// The longest delay that is waited for because the gateway asks for it.
pub(super) const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// A request with one answer. Each RPC has a request of its own, so the request says what is called.
pub trait Call: Clone + Send + Sync + 'static {
    /// The answer.
    type Answer: Send;

    /// Whether it only reads.
    const READS: bool;

    /// Its `request_id`, if it can have one.
    #[doc(hidden)]
    fn request_id(&mut self) -> Option<&mut String>;

    #[doc(hidden)]
    fn send(
        client: Client,
        request: Request<Self>,
    ) -> BoxFuture<'static, Result<Response<Self::Answer>, Status>>;
}

macro_rules! calls {
    ($($client:ident . $method:ident ( $request:ident ) -> $answer:ident $kind:ident;)+) => {
        $(impl Call for v1::$request {
            type Answer = v1::$answer;

            const READS: bool = calls!(@reads $kind);

            fn request_id(&mut self) -> Option<&mut String> {
                calls!(@id $kind self)
            }

            fn send(client: Client, request: Request<Self>) -> BoxFuture<'static, Result<Response<Self::Answer>, Status>> {
                Box::pin(async move { client.$client().$method(request).await })
            }
        })+
    };
    (@reads read) => { true };
    (@reads $other:ident) => { false };
    (@id keyed $request:expr) => { Some(&mut $request.request_id) };
    (@id $other:ident $request:expr) => {{ let _ = $request; None }};
}

calls! {
    accounts.get_account(GetAccountRequest) -> GetAccountResponse read;
    accounts.list_accounts(ListAccountsRequest) -> ListAccountsResponse read;
    contacts.list_contacts(ListContactsRequest) -> ListContactsResponse read;
    contacts.create_contact(CreateContactRequest) -> CreateContactResponse keyed;
    contacts.update_contact(UpdateContactRequest) -> UpdateContactResponse write;
    contacts.delete_contact(DeleteContactRequest) -> DeleteContactResponse write;
    events.list_events(ListEventsRequest) -> ListEventsResponse read;
    events.create_subscription(CreateSubscriptionRequest) -> CreateSubscriptionResponse write;
    events.get_subscription(GetSubscriptionRequest) -> GetSubscriptionResponse read;
    events.list_subscriptions(ListSubscriptionsRequest) -> ListSubscriptionsResponse read;
    events.update_subscription(UpdateSubscriptionRequest) -> UpdateSubscriptionResponse write;
    events.seek_subscription(SeekSubscriptionRequest) -> SeekSubscriptionResponse write;
    events.delete_subscription(DeleteSubscriptionRequest) -> DeleteSubscriptionResponse write;
    events.acknowledge(AcknowledgeRequest) -> AcknowledgeResponse write;
    flows.list_flow_responses(ListFlowResponsesRequest) -> ListFlowResponsesResponse read;
    messages.send_message(SendMessageRequest) -> SendMessageResponse keyed;
    messages.get_message(GetMessageRequest) -> GetMessageResponse read;
    messages.get_conversation(GetConversationRequest) -> GetConversationResponse read;
    templates.list_templates(ListTemplatesRequest) -> ListTemplatesResponse read;
    templates.get_template(GetTemplateRequest) -> GetTemplateResponse read;
    webhooks.create_webhook(CreateWebhookRequest) -> CreateWebhookResponse keyed;
    webhooks.list_webhooks(ListWebhooksRequest) -> ListWebhooksResponse read;
    webhooks.update_webhook(UpdateWebhookRequest) -> UpdateWebhookResponse write;
    webhooks.delete_webhook(DeleteWebhookRequest) -> DeleteWebhookResponse write;
    webhooks.verify_webhook(VerifyWebhookRequest) -> VerifyWebhookResponse read;
}

impl Client {
    /// Makes a call.
    ///
    /// A request that can have a `request_id` gets one, if it has none; [`Error::request_id`] tells it. UNAVAILABLE, and
    /// nothing else, is tried again, after a while that grows or as long as the gateway asked for, but not when it asked
    /// for more than 30 seconds: reads always, writes only with a `request_id`, which stays the same.
    ///
    /// # Errors
    ///
    /// What the last try came to, or DEADLINE_EXCEEDED when [`timeout`](super::Builder::timeout) has passed.
    pub async fn call<C: Call>(&self, mut request: C) -> Result<C::Answer, Error> {
        let request_id = identified(request.request_id());
        let repeatable = request_id.is_some() || C::READS;
        let mut tries = Tries::new(self, repeatable, request_id);
        loop {
            let sent = C::send(self.clone(), tries.request(request.clone()));
            match tries.within(sent).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => tries.after(status).await?,
            }
        }
    }
}

/// Gives a request its id, if it can have one. Says which it has now.
pub(super) fn identified(id: Option<&mut String>) -> Option<String> {
    id.map(|id| {
        if id.is_empty() {
            *id = Ulid::generate().to_string();
        }
        id.clone()
    })
}

/// The tries at one call.
pub(super) struct Tries {
    left: u32,
    until: Option<Instant>,
    delays: ExponentialBackoff,
    request_id: Option<String>,
}

impl Tries {
    pub(super) fn new(client: &Client, repeatable: bool, request_id: Option<String>) -> Self {
        let left = if repeatable { client.attempts.saturating_sub(1) } else { 0 };
        let until = client.timeout.map(|timeout| Instant::now() + timeout);
        Self { left, until, delays: delays(), request_id }
    }

    /// A request that tells the gateway how much time is left.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(until) = self.until {
            request.set_timeout(until.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// Waits for the answer, as long as there is time.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Some(until) = self.until else { return answer.await };
        let late = || Status::deadline_exceeded("the call took longer than it may");
        match tokio::time::timeout_at(until, answer).await {
            // The transport has a clock of its own for the same moment.
            Ok(Err(_)) | Err(_) if Instant::now() >= until => Err(late()),
            Ok(answered) => answered,
            Err(_) => Err(late()),
        }
    }

    /// Waits until the call may be tried again, or says why it may not.
    pub(super) async fn after(&mut self, status: Status) -> Result<(), Error> {
        let error = Error::from(status).of_request(self.request_id.clone().unwrap_or_default());
        let asked = error.retry_delay().unwrap_or_default();
        if error.code() != Code::Unavailable || self.left == 0 || asked > LONGEST_ASKED {
            return Err(error);
        }
        self.left -= 1;
        let delay = self.delays.next().unwrap_or(HALF_OF_LONGEST).max(asked);
        if self.until.is_some_and(|until| Instant::now() + delay >= until) {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// How long to wait before each next try.
pub(super) fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST)
        .with_max_delay(HALF_OF_LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}
