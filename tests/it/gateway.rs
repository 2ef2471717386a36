//! The whole server in this process, in front of both imitated providers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use switchboard::app::{self, Addresses, App};
use switchboard::config;
use switchboard::demo::{self, Demo};
use switchboard::pb::v1::account_service_client::AccountServiceClient;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::webhook_service_client::WebhookServiceClient;
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
use tonic::{Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) const CONNECTBY: &str = "demo-connectby";
pub(crate) const CONNECTLY: &str = "demo-connectly";
pub(crate) const CUSTOMER: &str = "+15550100001";

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. Dropping it stops it at once; [`stop`](Self::stop) stops it in order.
pub(crate) struct Gateway {
    pub(crate) at: Addresses,
    pub(crate) channel: Channel,
    sandbox: Arc<Sandbox>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), app::Error>>,
    folder: Option<TempDir>,
}

/// How a server is started.
pub(crate) struct Start {
    options: Options,
    variables: BTreeMap<String, String>,
    journal: fn(&mut config::JournalConfig),
    folder: Option<TempDir>,
}

impl Start {
    /// What the demo is started with, but nothing comes back by itself and all ports are the system's choice.
    pub(crate) fn quiet() -> Self {
        let mut options = Options::instant();
        options.connectly.auto_status = false;
        options.connectly.auto_reply = false;
        let variables = ["GRPC", "WEBHOOK", "ADMIN"]
            .map(|section| (format!("SWITCHBOARD__{section}__LISTEN"), "127.0.0.1:0".to_owned()));
        Self { options, variables: variables.into(), journal: |_| {}, folder: None }
    }

    /// Statuses and the customer's answer come back, without any delay.
    pub(crate) fn with_life(mut self) -> Self {
        self.options.connectly.auto_status = true;
        self.options.connectly.auto_reply = true;
        self
    }

    /// Starts the imitated ConnectBy with other options.
    pub(crate) fn connectby(mut self, set: impl FnOnce(&mut connectby::Options)) -> Self {
        set(&mut self.options.connectby);
        self
    }

    /// What the imitated Connectly does when a topic is registered that has an address already.
    pub(crate) fn with_duplicate_topic(mut self, duplicate_topic: DuplicateTopic) -> Self {
        self.options.connectly.duplicate_topic = duplicate_topic;
        self
    }

    /// Sets a key of the configuration: `with("ACCOUNTS__DEMO_CONNECTBY__REQUEST_TIMEOUT", "1s")`.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.variables.insert(format!("SWITCHBOARD__{key}"), value.to_owned());
        self
    }

    /// Nothing is tried again and no failure speaks against a provider, for tests of what one answer means.
    pub(crate) fn one_try(self) -> Self {
        self.with("ACCOUNTS__DEMO_CONNECTBY__GATE__PATIENCE", "100ms")
            .with("ACCOUNTS__DEMO_CONNECTBY__GATE__BREAKER_FAILURES", "0")
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__PATIENCE", "100ms")
            .with("ACCOUNTS__DEMO_CONNECTLY__GATE__BREAKER_FAILURES", "0")
    }

    /// Sets what the configuration would refuse, for no operator wants it: a journal of some kilobytes or of no age.
    pub(crate) fn journal(mut self, set: fn(&mut config::JournalConfig)) -> Self {
        self.journal = set;
        self
    }

    /// Goes on with the journal of a server that was stopped.
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

/// A connection of its own.
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

    pub(crate) fn webhooks(&self) -> WebhookServiceClient<Channel> {
        WebhookServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn send(&self, request: SendMessageRequest) -> Result<Message, Status> {
        let response = within(self.messages().send_message(request)).await?;
        Ok(response.into_inner().message.expect("an answer holds the message"))
    }

    pub(crate) async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscriber, Status> {
        subscribe(self.channel.clone(), request).await
    }

    /// Stops the server in order and hands its folder over.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.stop.cancel();
        within(&mut self.running).await.expect("does not panic").expect("stops without a fault");
        self.folder.take().expect("still there")
    }

    /// Starts to stop the server, without waiting for the end.
    pub(crate) fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    /// Posts a webhook to an account, as anybody could.
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

    /// Posts a rightly signed webhook to the Connectly account and expects 200.
    pub(crate) async fn deliver(&self, body: &str) {
        let signature =
            switchboard::sandbox::connectly::sign(self.connectly().webhook_secret(), body.as_bytes());
        assert_eq!(self.post(CONNECTLY, Some(&signature), body.to_owned()).await, 200);
    }

    /// The value of a metric, 0 when it has none yet.
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

/// A text to a customer.
pub(crate) fn text(account: &str, body: &str) -> SendMessageRequest {
    SendMessageRequest {
        account: account.to_owned(),
        to: CUSTOMER.to_owned(),
        content: Some(send_message_request::Content::Text(Text { body: body.to_owned() })),
        ..SendMessageRequest::default()
    }
}

/// The body of a webhook that tells of a customer's text, written long ago.
pub(crate) fn received(id: &str, text: &str) -> String {
    received_at(1_700_000_000, id, text)
}

/// The same of a text that was just written. That a customer wrote long ago is forgotten at some moment, which is a
/// write to the disk.
pub(crate) fn just_received(id: &str, text: &str) -> String {
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

/// Waits, but not for ever.
pub(crate) async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("within the patience of the tests")
}

/// Opens a stream and takes `started` from it.
pub(crate) async fn subscribe(channel: Channel, request: SubscribeRequest) -> Result<Subscriber, Status> {
    let stream = within(EventServiceClient::new(channel).subscribe(request)).await?.into_inner();
    let mut subscriber = Subscriber { stream, started: Default::default() };
    match subscriber.next().await? {
        Some(subscribe_response::Response::Started(started)) => subscriber.started = started,
        other => panic!("the first response is {other:?}"),
    }
    Ok(subscriber)
}

/// One open stream.
pub(crate) struct Subscriber {
    stream: Streaming<SubscribeResponse>,
    pub(crate) started: switchboard::pb::v1::SubscribeStarted,
}

impl Subscriber {
    pub(crate) async fn next(&mut self) -> Result<Option<subscribe_response::Response>, Status> {
        let response = within(self.stream.message()).await?;
        Ok(response.map(|response| response.response.expect("never empty")))
    }

    /// The next event; heartbeats are passed over.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            match self.next().await.expect("the stream stands") {
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

/// The details of a failure, which every one has.
pub(crate) fn details(status: &Status) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "switchboard");
    details
}

/// The reason of a failure.
pub(crate) fn reason(status: &Status) -> String {
    details(status).error_info().expect("checked").reason.clone()
}

/// A value from a failure's metadata; empty when it is not there.
pub(crate) fn metadata(status: &Status, key: &str) -> String {
    details(status).error_info().expect("checked").metadata.get(key).cloned().unwrap_or_default()
}

/// The paths of the fields that a failure names, in their order.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    details(status)
        .bad_request()
        .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
        .unwrap_or_default()
}

/// The text of an event that tells of a message.
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
