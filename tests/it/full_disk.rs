//! Sends while the store cannot write, against the real binary. The server sends nothing with an idempotency key that it
//! could not record first, and never repeats a send. When space returns, each send has the outcome that was reported.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use switchboard::pb::v1::event::Payload;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::pb::v1::{
    GetMessageRequest, Message, MessageState, SendMessageRequest, SendMessageResponse, StartPosition,
    WatchEndReason, WatchMessageRequest, WatchMessageResponse, get_message_request::Key,
    watch_message_request, watch_message_response::Response,
};
use switchboard::sandbox::{Fault, FaultRule, Operation, Sandbox};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::binary::{ACCOUNT, Home, Server, post};
use crate::support::faults::{Call, Effect, On, Rule};
use crate::support::faulty_host::{FaultyHost, keyed_text};
use crate::support::gateway::{metadata, reason, received, text, within};
use crate::support::provider;

/// A server, and the provider that it sends to.
struct Deployment {
    home: Home,
    sandbox: Sandbox,
    server: Server,
    channel: Channel,
}

impl Deployment {
    async fn start() -> Self {
        let sandbox = provider::start().await;
        let home = Home::new(sandbox.connectly().base_url().as_str());
        let server = Server::start(home.command());
        let channel = server.channel().await;
        Self { home, sandbox, server, channel }
    }

    /// Limits the size of every file that the server writes: `0` or `unlimited`.
    fn limit_file_size(&self, limit: &str) {
        let pid = self.server.child.id().to_string();
        let limit = format!("--fsize={limit}:");
        let set =
            Command::new("prlimit").args(["--pid", &pid, &limit]).status().expect("`prlimit` is installed");
        assert!(set.success());
    }

    fn arrivals(&self) -> usize {
        self.sandbox.connectly().arrivals(Operation::SendMessage)
    }

    async fn fault(&self, rule: FaultRule) {
        self.sandbox.connectly().set_fault(rule.on(Operation::SendMessage)).await;
    }

    async fn send(&self, request: SendMessageRequest) -> Result<SendMessageResponse, Status> {
        send(self.channel.clone(), request).await
    }

    /// Starts a send and waits until its call has arrived at the provider.
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    async fn start_send(&self, id: &str) -> JoinHandle<Result<SendMessageResponse, Status>> {
        let before = self.arrivals();
        let sending = tokio::spawn(send(self.channel.clone(), keyed_text(id)));
        within(async {
            while self.arrivals() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        sending
    }

    async fn find(&self, key: Key) -> Result<Message, Status> {
        let request = GetMessageRequest { account: ACCOUNT.to_owned(), key: Some(key) };
        let found = within(MessageServiceClient::new(self.channel.clone()).get_message(request)).await?;
        Ok(found.into_inner().message.expect("present"))
    }

    async fn watch(&self, id: &str) -> Streaming<WatchMessageResponse> {
        let key = Some(watch_message_request::Key::RequestId(id.to_owned()));
        let request = WatchMessageRequest { account: ACCOUNT.to_owned(), key };
        let watch = within(MessageServiceClient::new(self.channel.clone()).watch_message(request)).await;
        watch.expect("known").into_inner()
    }

    async fn state(&self, id: &str) -> MessageState {
        self.find(Key::RequestId(id.to_owned())).await.expect("known").state()
    }
}

async fn send(channel: Channel, request: SendMessageRequest) -> Result<SendMessageResponse, Status> {
    within(MessageServiceClient::new(channel).send_message(request)).await.map(tonic::Response::into_inner)
}

fn keyed_resend(id: &str, after: u32) -> SendMessageRequest {
    SendMessageRequest { resend_after_attempt: after, ..keyed_text(id) }
}

fn message_id_of(sent: Result<SendMessageResponse, Status>, replayed: bool) -> String {
    let sent = sent.expect("accepted");
    assert_eq!(sent.replayed, replayed);
    sent.message.expect("a message").message_id
}

fn assert_unknown(sent: Result<SendMessageResponse, Status>) {
    let error = sent.expect_err("outcome unknown");
    assert_eq!(
        (reason(&error).as_str(), metadata(&error, "attempt").as_str()),
        ("SEND_OUTCOME_UNKNOWN", "1")
    );
}

/// What [`fill_up`] leaves.
struct AfterFullDisk {
    /// The id of an accepted message whose outcome is not on disk.
    accepted: String,
    /// The same for a message without an idempotency key.
    unkeyed: String,
    /// A watch of a message that the provider refused meanwhile.
    watch: Streaming<WatchMessageResponse>,
}

/// Fills the disk while three sends are in flight whose attempts are on disk: the provider accepts one and refuses one,
/// and the reply to one is lost. A fourth send has no idempotency key, so it needs no record.
async fn fill_up(deployment: &Deployment) -> AfterFullDisk {
    // The latency is long enough for the disk to be full before the calls end.
    deployment.fault(FaultRule::times(3, Fault::Latency(Duration::from_secs(3)))).await;
    deployment.fault(FaultRule::once(Fault::CutReply)).await;
    deployment.fault(FaultRule::once(Fault::status(400))).await;
    let lost = deployment.start_send("lost").await;
    let declined = deployment.start_send("declined").await;
    let accepted = deployment.start_send("accepted").await;
    let watch = deployment.watch("declined").await;
    deployment.limit_file_size("0");

    let refused = deployment.send(keyed_text("refused")).await.expect_err("its attempt cannot be recorded");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert_eq!(deployment.arrivals(), 3, "it did not reach the provider");
    let unkeyed = message_id_of(deployment.send(text(ACCOUNT, "unkeyed")).await, false);
    assert_eq!(deployment.arrivals(), 4);
    assert!(!lost.is_finished() && !accepted.is_finished(), "the disk was full before the calls ended");
    assert_unknown(within(lost).await.expect("does not panic"));
    let declined = within(declined).await.expect("does not panic").expect_err("refused");
    assert_eq!(reason(&declined), "CONTENT_REJECTED", "{declined:?}");
    let accepted = message_id_of(within(accepted).await.expect("does not panic"), false);

    // A retry gets the same reply and sends nothing. A resend sends nothing either, because the attempt that it names
    // is not on disk.
    assert_eq!(message_id_of(deployment.send(keyed_text("accepted")).await, true), accepted);
    assert_unknown(deployment.send(keyed_text("lost")).await);
    assert_unknown(deployment.send(keyed_resend("lost", 1)).await);
    assert_eq!(deployment.arrivals(), 4);
    // GetMessage returns the state on disk.
    for id in ["accepted", "lost", "declined"] {
        assert_eq!(deployment.state(id).await, MessageState::Pending, "{id}");
    }
    let not_yet = deployment.find(Key::MessageId(unkeyed.clone())).await.expect_err("not on disk");
    assert_eq!(reason(&not_yet), "MESSAGE_NOT_FOUND");
    AfterFullDisk { accepted, unkeyed, watch }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_request_keeps_its_result_while_the_disk_is_full() {
    let deployment = Deployment::start().await;
    let accepted = message_id_of(deployment.send(keyed_text("accepted")).await, false);
    deployment.fault(FaultRule::once(Fault::CutReply)).await;
    assert_unknown(deployment.send(keyed_text("lost")).await);
    deployment.limit_file_size("0");
    let unrecorded = deployment.send(keyed_text("new")).await.expect_err("its attempt cannot be recorded");
    assert_eq!(reason(&unrecorded), "STORE_UNAVAILABLE");

    // A client that believed "nothing was done" here would send the message another way, and so twice.
    assert_eq!(message_id_of(deployment.send(keyed_text("accepted")).await, true), accepted);
    assert_unknown(deployment.send(keyed_text("lost")).await);
    let resent = deployment.send(keyed_resend("lost", 1)).await.expect_err("its attempt cannot be recorded");
    assert_eq!(reason(&resent), "STORE_UNAVAILABLE");
    assert_eq!(deployment.arrivals(), 2, "nothing else reached the provider");
    deployment.limit_file_size("unlimited");
    assert!(deployment.server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_keep_their_reported_outcome_after_a_full_disk() {
    let deployment = Deployment::start().await;
    let AfterFullDisk { accepted, unkeyed, mut watch } = fill_up(&deployment).await;
    deployment.limit_file_size("unlimited");
    loop {
        let response = within(watch.message()).await.expect("the stream is open").expect("not at its end");
        match response.response.expect("never empty") {
            Response::Message(message) => assert_eq!(message.state(), MessageState::Pending),
            Response::Ended(ended) => {
                assert_eq!(ended.reason(), WatchEndReason::Refused);
                break;
            }
        }
    }
    within(async {
        let is_open = |state| [MessageState::Pending, MessageState::Unspecified].contains(&state);
        while deployment.find(Key::MessageId(unkeyed.clone())).await.is_err()
            || is_open(deployment.state("accepted").await)
            || is_open(deployment.state("lost").await)
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        deployment.find(Key::MessageId(unkeyed.clone())).await.expect("known").state(),
        MessageState::Accepted
    );
    assert_eq!(deployment.state("accepted").await, MessageState::Accepted);
    assert_eq!(deployment.state("lost").await, MessageState::Unknown);
    assert_eq!(message_id_of(deployment.send(keyed_text("accepted")).await, true), accepted);
    assert_unknown(deployment.send(keyed_text("lost")).await);
    assert_eq!(deployment.arrivals(), 4);

    let declined = message_id_of(deployment.send(keyed_text("declined")).await, false);
    let refused = message_id_of(deployment.send(keyed_text("refused")).await, false);
    let lost = message_id_of(deployment.send(keyed_resend("lost", 1)).await, false);
    assert_eq!(message_id_of(deployment.send(keyed_resend("lost", 1)).await, true), lost);
    assert_eq!(deployment.arrivals(), 7, "the two refused sends and the resend");

    let mut events = deployment.server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    let mut accepted_ids = Vec::new();
    let mut last = None;
    for event in events.events(5).await {
        let receive_time = event.receive_time.map(|time| (time.seconds, time.nanos));
        assert!(receive_time >= last, "receive times never go backwards");
        last = receive_time;
        let Some(Payload::MessageAccepted(payload)) = event.payload else { panic!("{event:?}") };
        accepted_ids.push(payload.message.expect("it holds the message").message_id);
    }
    accepted_ids.sort_unstable();
    let mut expected = [accepted, unkeyed, declined, refused, lost];
    expected.sort_unstable();
    assert_eq!(accepted_ids, expected, "each has one event");
    assert!(deployment.server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_during_full_disk_leaves_unknown_sends_that_never_resend() {
    let deployment = Deployment::start().await;
    let AfterFullDisk { accepted, unkeyed, .. } = fill_up(&deployment).await;
    let Deployment { home, sandbox, server, .. } = deployment;
    server.kill();
    let server = Server::start(home.command());
    let channel = server.channel().await;
    let deployment = Deployment { home, sandbox, server, channel };
    for id in ["accepted", "lost", "declined"] {
        assert_eq!(deployment.state(id).await, MessageState::Unknown, "{id}");
        assert_unknown(deployment.send(keyed_text(id)).await);
    }
    assert_eq!(deployment.find(Key::MessageId(accepted)).await.expect("known").request_id, "accepted");
    let lost = deployment.find(Key::MessageId(unkeyed)).await.expect_err("no record was on disk");
    assert_eq!(reason(&lost), "MESSAGE_NOT_FOUND");
    assert_eq!(deployment.arrivals(), 4);
    assert!(deployment.server.terminate(), "graceful shutdown");
}

/// No event is old enough to trim, so a retention run writes nothing. Its success does not prove that writes work.
#[tokio::test(flavor = "multi_thread")]
async fn server_with_full_disk_is_not_ready_until_a_write_succeeds() {
    let host = FaultyHost::new();
    let server = host.start();
    let ready = async || {
        let answer = within(reqwest::get(format!("http://{}/readyz", server.admin))).await;
        answer.expect("answers").status().as_u16()
    };
    assert_eq!(host.post(&server, "before").await, Some(200));
    host.faults.set(&[Rule::always(Call::Write(On::Log), Effect::Full)]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    // The server retries without a client call.
    within(async {
        while host.faults.trace().iter().filter(|seen| seen.call == "write" && seen.result < 0).count() < 3 {
            assert_eq!(ready().await, 503);
        }
    })
    .await;
    host.faults.set(&[]);
    within(async { while ready().await != 200 {} }).await;
    assert_eq!(host.post(&server, "after").await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
}

/// A write over the limit raises a signal that ends the process by default.
#[tokio::test(flavor = "multi_thread")]
async fn file_size_limit_is_handled_like_a_full_disk() {
    let home = Home::new("http://127.0.0.1:1");
    let server = Server::start(home.command_with_ulimit("-f 1024"));
    let client = reqwest::Client::new();
    let text = "x".repeat(10_000);
    let mut stored = 0;
    while within(post(&client, server.webhook, received(&stored.to_string(), &text))).await == Some(200) {
        stored += 1;
        assert!(stored < 1_000, "a limit of 1 MiB was not reached");
    }
    let status = |path: &str| reqwest::get(format!("http://{}/{path}", server.admin));
    assert_eq!(within(status("livez")).await.expect("answers").status(), 200);
    assert_eq!(within(status("readyz")).await.expect("answers").status(), 503);
    let mut events = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    for _ in 0..stored {
        events.event().await;
    }
    drop(events);
    assert!(server.terminate());
}
