//! The whole server in this process, with a fake API of each provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use switchboard::app::{self, Addresses, App};
use switchboard::config;
use switchboard::demo::{self, Demo};
use switchboard::pb::v1::account_service_client::AccountServiceClient;
use switchboard::pb::v1::conversation_service_client::ConversationServiceClient;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscription_service_client::SubscriptionServiceClient;
use switchboard::pb::v1::webhook_registration_service_client::WebhookRegistrationServiceClient;
use switchboard::pb::v1::{
    Event, Message, SendMessageRequest, SubscribeRequest, SubscribeResponse, Text, send_message_request,
    subscribe_response,
};
use switchboard::sandbox::connectly::DuplicateTopic;
use switchboard::sandbox::{ConnectBy, Connectly, Options, Sandbox, connectby};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) const CONNECTBY: &str = "demo-connectby";
pub(crate) const CONNECTLY: &str = "demo-connectly";
pub(crate) const CUSTOMER: &str = "+15550100001";

/// The limit of every wait in the tests.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A running server. Drop aborts it; [`stop`](Self::stop) shuts it down gracefully.
pub(crate) struct Gateway {
    pub(crate) at: Addresses,
    pub(crate) channel: Channel,
    sandbox: Arc<Sandbox>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), app::Error>>,
    folder: Option<TempDir>,
}

/// Builds a [`Gateway`].
pub(crate) struct Start {
    options: Options,
    variables: BTreeMap<String, String>,
    journal: fn(&mut config::JournalConfig),
    folder: Option<TempDir>,
}

impl Start {
    /// The configuration of `switchboard demo`, except that the operating system chooses the ports and the fake
    /// providers send no webhooks.
    pub(crate) fn quiet() -> Self {
        let mut options = Options::instant();
        options.connectly.auto_status = false;
        options.connectly.auto_reply = false;
        let variables = ["GRPC", "WEBHOOK", "ADMIN"]
            .map(|section| (format!("SWITCHBOARD__{section}__LISTEN"), "127.0.0.1:0".to_owned()));
        Self { options, variables: variables.into(), journal: |_| {}, folder: None }
    }

    /// The fake Connectly sends status webhooks and a customer reply for each message, without delay.
    pub(crate) fn with_replies(mut self) -> Self {
        self.options.connectly.auto_status = true;
        self.options.connectly.auto_reply = true;
        self
    }

    /// Changes the options of the fake ConnectBy.
    pub(crate) fn connectby(mut self, set: impl FnOnce(&mut connectby::Options)) -> Self {
        set(&mut self.options.connectby);
        self
    }

    /// Sets how the fake Connectly handles the registration of a topic that is registered already.
    pub(crate) fn with_duplicate_topic(mut self, duplicate_topic: DuplicateTopic) -> Self {
        self.options.connectly.duplicate_topic = duplicate_topic;
        self
    }

    /// Sets a key of the configuration: `with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s")`.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.variables.insert(format!("SWITCHBOARD__{key}"), value.to_owned());
        self
    }

    /// The gate does not retry and no circuit breaker opens, for tests of the outcome of one provider reply.
    pub(crate) fn without_retries(self) -> Self {
        self.with("ACCOUNTS__DEMO_CONNECTBY__GATE__MAX_QUEUE_WAIT", "100ms")
            .with("ACCOUNTS__DEMO_CONNECTBY__GATE__BREAKER_FAILURES", "0")
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__MAX_QUEUE_WAIT", "100ms")
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__BREAKER_FAILURES", "0")
    }

    /// Sets journal options that the configuration rejects, such as a size of some kilobytes or a retention of zero.
    pub(crate) fn journal(mut self, set: fn(&mut config::JournalConfig)) -> Self {
        self.journal = set;
        self
    }

    /// Uses the journal of a stopped server.
    pub(crate) fn on(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        let folder = self.folder.unwrap_or_else(|| TempDir::new().expect("a folder"));
        let store = folder.path().join("switchboard.db");
        let Demo { mut config, listeners, sandbox } =
            demo::start(&store, self.options, &self.variables).await.expect("starts");
        (self.journal)(&mut config.journal);
        let sandbox = Arc::new(sandbox);
        let app = App::build(&config, listeners, Some(Arc::clone(&sandbox))).expect("builds");
        let at = app.addresses();
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the gateway owns it")]
        let running = tokio::spawn(app.run(stop.clone()));
        let channel = connect(at).await;
        Gateway { at, channel, sandbox, stop, running, folder: Some(folder) }
    }
}

/// Opens a new connection.
pub(crate) async fn connect(at: Addresses) -> Channel {
    Channel::from_shared(format!("http://{}", at.grpc)).expect("a URI").connect().await.expect("connects")
}

impl Gateway {
    pub(crate) fn connectby(&self) -> &ConnectBy {
        self.sandbox.connectby()
    }

    pub(crate) fn connectly(&self) -> &Connectly {
        self.sandbox.connectly()
    }

    pub(crate) fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel.clone())
    }

    pub(crate) fn messages(&self) -> MessageServiceClient<Channel> {
        MessageServiceClient::new(self.channel.clone())
    }

    pub(crate) fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone())
    }

    pub(crate) fn subscriptions(&self) -> SubscriptionServiceClient<Channel> {
        SubscriptionServiceClient::new(self.channel.clone())
    }

    pub(crate) fn conversations(&self) -> ConversationServiceClient<Channel> {
        ConversationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn webhook_registrations(&self) -> WebhookRegistrationServiceClient<Channel> {
        WebhookRegistrationServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn send(&self, request: SendMessageRequest) -> Result<Message, Status> {
        let response = within(self.messages().send_message(request)).await?;
        Ok(response.into_inner().message.expect("a message"))
    }

    pub(crate) async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscriber, Status> {
        subscribe(self.channel.clone(), request).await
    }

    /// Shuts the server down gracefully and returns its folder.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.cancel();
        within(&mut self.running).await.expect("does not panic").expect("graceful shutdown");
        self.folder.take().expect("the folder")
    }

    /// Starts a graceful shutdown without waiting for its end.
    pub(crate) fn begin_shutdown(&self) {
        self.stop.cancel();
    }

    /// Posts a webhook to an account and returns the HTTP status.
    pub(crate) async fn post(
        &self,
        account: &str,
        signature: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> u16 {
        let url = format!("http://{}/webhooks/{account}", self.at.webhook);
        let mut request = reqwest::Client::new().post(url).body(body);
        if let Some(signature) = signature {
            request = request.header("x-connectly-hmac-sha256", signature);
        }
        within(request.send()).await.expect("answers").status().as_u16()
    }

    /// Posts a webhook with a valid signature to the Connectly account and expects 200.
    pub(crate) async fn deliver(&self, body: &str) {
        let signature =
            switchboard::sandbox::connectly::sign(self.connectly().webhook_secret(), body.as_bytes());
        assert_eq!(self.post(CONNECTLY, Some(&signature), body.to_owned()).await, 200);
    }

    /// The value of a metric, 0 if it is absent.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let page = reqwest::get(format!("http://{}/metrics", self.at.admin)).await.expect("answers");
        let page = page.text().await.expect("a page");
        page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// A text message to [`CUSTOMER`].
pub(crate) fn text(account: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest {
        account: account.to_owned(),
        to: CUSTOMER.to_owned(),
        content: Some(send_message_request::Content::Text(Text { body: body.to_owned() })),
        ..SendMessageRequest::default()
    }
}

/// The body of a webhook with a customer's text from 2023.
pub(crate) fn received(id: &str, text: &str) -> String {
    received_at(1_700_000_000, id, text)
}

/// The same with the current time. Switchboard deletes the record of an old customer message at some point, which is a
/// write that tests of the disk do not expect.
pub(crate) fn received_now(id: &str, text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    received_at(now.as_secs(), id, text)
}

fn received_at(seconds: u64, id: &str, text: &str) -> String {
    serde_json::json!({
        "topic": "messages",
        "timestamp": seconds.to_string(),
        "sender": {"id": CUSTOMER, "channelType": "whatsapp", "name": "Ada"},
        "recipient": {"id": "+15550100002", "channelType": "whatsapp", "name": "Shop"},
        "message": {"id": id, "text": text},
    })
    .to_string()
}

/// Reads a list to its end. `page` returns the items of the page at a token, and the next token.
pub(crate) async fn read_in_pages<T>(
    page_size: u32,
    page: impl AsyncFn(String) -> (Vec<T>, String),
) -> Vec<T> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..100 {
        let (items, next) = page(token).await;
        assert!(items.len() <= page_size as usize, "{} items for {page_size}", items.len());
        all.extend(items);
        if next.is_empty() {
            return all;
        }
        token = next;
    }
    panic!("the list has no end")
}

/// Fails unless the error is the one of a page token of another list or account.
#[track_caller]
pub(crate) fn assert_malformed_page_token(error: &Status) {
    assert_eq!((error.code(), reason(error).as_str()), (Code::InvalidArgument, "PAGE_TOKEN_MALFORMED"));
    assert_eq!(fields(error), ["page_token"]);
}

/// Fails unless the error is the one of a page size above the maximum.
#[track_caller]
pub(crate) fn assert_page_size_out_of_range(error: &Status) {
    assert_eq!((error.code(), reason(error).as_str()), (Code::InvalidArgument, "REQUEST_INVALID"));
    let details = details(error);
    let violations = &details.bad_request().expect("violations").field_violations;
    let found: Vec<_> = violations.iter().map(|v| (v.field.as_str(), v.reason.as_str())).collect();
    assert_eq!(found, [("page_size", "OUT_OF_RANGE")]);
}

/// Waits for at most [`TIMEOUT`].
pub(crate) async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(TIMEOUT, future).await.expect("ready before the timeout")
}

/// Opens a stream and reads its `started` message.
pub(crate) async fn subscribe(channel: Channel, request: SubscribeRequest) -> Result<Subscriber, Status> {
    let stream = within(EventServiceClient::new(channel).subscribe(request)).await?.into_inner();
    let mut subscriber = Subscriber { stream, started: Default::default() };
    match subscriber.next().await? {
        Some(subscribe_response::Response::Started(started)) => subscriber.started = started,
        other => panic!("the first response is {other:?}"),
    }
    Ok(subscriber)
}

/// An open `Subscribe` stream.
pub(crate) struct Subscriber {
    stream: Streaming<SubscribeResponse>,
    pub(crate) started: switchboard::pb::v1::SubscribeStarted,
}

impl Subscriber {
    pub(crate) async fn next(&mut self) -> Result<Option<subscribe_response::Response>, Status> {
        let response = within(self.stream.message()).await?;
        Ok(response.map(|response| response.response.expect("never empty")))
    }

    /// The next event. Skips heartbeats.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            match self.next().await.expect("the stream is open") {
                Some(subscribe_response::Response::Event(event)) => return event,
                Some(subscribe_response::Response::Heartbeat(_)) => {}
                other => panic!("no event but {other:?}"),
            }
        }
    }

    pub(crate) async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }
}

/// The details of an error. Every error of the server has an `ErrorInfo`.
pub(crate) fn details(status: &Status) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "switchboard");
    details
}

/// The reason of an error.
pub(crate) fn reason(status: &Status) -> String {
    details(status).error_info().expect("checked").reason.clone()
}

/// A value of an error's metadata, empty if absent.
pub(crate) fn metadata(status: &Status, key: &str) -> String {
    details(status).error_info().expect("checked").metadata.get(key).cloned().unwrap_or_default()
}

/// The paths of the field violations in order.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    details(status)
        .bad_request()
        .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
        .unwrap_or_default()
}

/// The text of a `message.received` event.
pub(crate) fn text_of(event: &Event) -> &str {
    use switchboard::pb::v1::{event::Payload, message_received::Content};
    match &event.payload {
        Some(Payload::MessageReceived(message)) => match &message.content {
            Some(Content::Text(text)) => &text.body,
            other => panic!("no text but {other:?}"),
        },
        other => panic!("no message but {other:?}"),
    }
}
