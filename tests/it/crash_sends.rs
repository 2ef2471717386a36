//! Sends while the process is killed repeatedly. Each reply must stay true after the kill, and a retry with the same
//! idempotency key must never send twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use switchboard::pb::v1::get_message_request::Key;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_messages_response::Result as Outcome;
use switchboard::pb::v1::{
    GetMessageRequest, Message, MessageState, SendMessageRequest, SendMessagesRequest, SendMessagesResponse,
};
use switchboard::sandbox::connectly::Topic;
use switchboard::sandbox::{Connectly, Fault, FaultRule, Operation, Sandbox};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::support::binary::{ACCOUNT, Home, Server};
use crate::support::gateway::{metadata, reason, text, within};
use crate::support::provider;

/// How many clients send at once.
const CLIENTS: usize = 24;

/// How many messages a client sends on one `SendMessages` stream.
const MESSAGES_PER_STREAM: usize = 5;

/// Draws the next fault, if any. It affects the next call of any client.
fn fault(random: &mut fastrand::Rng) -> Option<Fault> {
    Some(match random.u32(..40) {
        0 => Fault::CutBeforeReading,
        1 => Fault::CutAfterReading,
        2 => Fault::CutReply,
        3 => Fault::status(500),
        4 => Fault::status(400),
        5 => Fault::Status { status: 429, retry_after: Some("0".to_owned()), body: None },
        6 => Fault::CloseAfterReply,
        7..12 => Fault::Latency(Duration::from_millis(20)),
        _ => return None,
    })
}

/// Why a send failed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SendError {
    reason: String,
    /// The attempt in the error metadata, if present.
    attempt: Option<u32>,
}

type Reply = Result<Message, SendError>;

/// The connection broke because the process was killed. The status is tonic's, so it has no `ErrorInfo`.
#[derive(Debug)]
struct ServerKilled;

impl SendError {
    fn of(status: &Status) -> Result<Self, ServerKilled> {
        if status.get_error_details().error_info().is_none() {
            return Err(ServerKilled);
        }
        Ok(Self { reason: reason(status), attempt: metadata(status, "attempt").parse().ok() })
    }

    /// The attempt whose outcome is unknown.
    fn unknown(&self) -> Option<u32> {
        (self.reason == "SEND_OUTCOME_UNKNOWN").then(|| self.attempt.expect("an attempt"))
    }
}

/// What the clients observed.
#[derive(Default)]
struct History {
    /// The replies by idempotency key.
    replies: BTreeMap<String, Vec<Reply>>,
    /// The attempts after which a client asked for a resend, by idempotency key. The server may make no other resend.
    resend_after: BTreeSet<(String, u32)>,
    /// The most advanced state that `GetMessage` returned for each message.
    states: BTreeMap<String, i32>,
}

#[derive(Clone, Default)]
struct SharedHistory(Arc<Mutex<History>>);

impl SharedHistory {
    fn lock(&self) -> std::sync::MutexGuard<'_, History> {
        self.0.lock().expect("unpoisoned")
    }

    /// Records that a request starts. A kill may prevent its reply.
    fn record_start(&self, request: &SendMessageRequest) {
        let mut history = self.lock();
        history.replies.entry(request.request_id.clone()).or_default();
        if request.resend_after_attempt > 0 {
            history.resend_after.insert((request.request_id.clone(), request.resend_after_attempt));
        }
    }

    fn record_reply(&self, id: &str, reply: Reply) {
        self.lock().replies.entry(id.to_owned()).or_default().push(reply);
    }

    fn ids(&self) -> Vec<String> {
        self.lock().replies.keys().cloned().collect()
    }

    fn reply_count(&self) -> usize {
        self.lock().replies.values().map(Vec::len).sum()
    }

    /// The newest reply to each request.
    fn last_replies(&self) -> Vec<(String, Reply)> {
        let history = self.lock();
        let last = history.replies.iter().filter_map(|(id, reply)| Some((id.clone(), reply.last()?.clone())));
        last.collect()
    }
}

/// A send whose text equals its `request_id`, which tells arrivals at the provider apart.
fn request(id: &str, resend_after_attempt: u32) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), resend_after_attempt, ..text(ACCOUNT, id) }
}

async fn send(
    channel: &Channel,
    history: &SharedHistory,
    request: SendMessageRequest,
) -> Result<Reply, ServerKilled> {
    history.record_start(&request);
    let id = request.request_id.clone();
    let sent = within(MessageServiceClient::new(channel.clone()).send_message(request)).await;
    let reply = match sent {
        Ok(response) => Ok(response.into_inner().message.expect("a message")),
        Err(status) => Err(SendError::of(&status)?),
    };
    history.record_reply(&id, reply.clone());
    Ok(reply)
}

/// Sends over one stream.
async fn send_all(
    channel: &Channel,
    history: &SharedHistory,
    requests: Vec<SendMessageRequest>,
) -> Result<(), ServerKilled> {
    requests.iter().for_each(|request| history.record_start(request));
    let requests: Vec<_> = requests
        .into_iter()
        .map(|request| SendMessagesRequest { tag: request.request_id.clone(), request: Some(request) })
        .collect();
    let mut client = MessageServiceClient::new(channel.clone());
    let open = client.send_messages(stream::iter(requests));
    let mut answers = within(open).await.map_err(|_| ServerKilled)?.into_inner();
    while let Some(SendMessagesResponse { tag, result }) =
        within(answers.message()).await.map_err(|_| ServerKilled)?
    {
        let reply = match result.expect("never empty") {
            Outcome::Response(response) => Ok(response.message.expect("a message")),
            Outcome::Failure(error) => {
                let attempt = error.metadata.get("attempt").and_then(|attempt| attempt.parse().ok());
                Err(SendError { reason: error.reason, attempt })
            }
        };
        history.record_reply(&tag, reply);
    }
    Ok(())
}

/// Gets a message that must exist, and checks that its state never regresses.
async fn get(channel: &Channel, history: &SharedHistory, key: Key) -> Result<Message, ServerKilled> {
    let before = history.lock().states.clone();
    let request = GetMessageRequest { account: ACCOUNT.to_owned(), key: Some(key.clone()) };
    let found = match within(MessageServiceClient::new(channel.clone()).get_message(request)).await {
        Ok(found) => found.into_inner().message.expect("present"),
        Err(status) => panic!("{key:?}: {:?}", SendError::of(&status)?),
    };
    let floor = before.get(&found.message_id).copied().unwrap_or_default();
    assert!(found.state >= floor, "{key:?} regressed from {floor} to {:?}", found.state());
    let mut history = history.lock();
    let states = history.states.entry(found.message_id.clone()).or_default();
    *states = found.state.max(*states);
    Ok(found)
}

/// Retries every request, many concurrently.
async fn retry(server: &Server, history: &SharedHistory, requests: Vec<SendMessageRequest>) {
    let channel = server.channel().await;
    stream::iter(requests)
        .for_each_concurrent(CLIENTS, |request| async {
            let _ = send(&channel, history, request).await.expect("the server runs");
        })
        .await;
}

/// Whether the provider refused a call. A refusal proves that nothing was sent, so another call is allowed.
fn refused(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 429))
}

/// Sends until the process is killed. Sometimes resends a message with an unknown outcome or gets an accepted one.
async fn run_client(
    channel: Channel,
    history: SharedHistory,
    provider: Connectly,
    name: String,
    mut random: fastrand::Rng,
) -> ServerKilled {
    let streams = random.u32(..3) == 0;
    for n in 0.. {
        if let Some(fault) = fault(&mut random) {
            provider.set_fault(FaultRule::once(fault).on(Operation::SendMessage)).await;
        }
        let id = format!("{name}-{n}");
        let reply = if streams {
            let requests = (0..MESSAGES_PER_STREAM).map(|part| request(&format!("{id}-{part}"), 0)).collect();
            send_all(&channel, &history, requests).await.map(|()| None)
        } else {
            send(&channel, &history, request(&id, 0)).await.map(Some)
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(killed) => return killed,
        };
        let next = match reply {
            Some(Ok(message)) if random.u32(..4) == 0 => {
                let key = match random.u32(..2) {
                    0 => Key::MessageId(message.message_id.clone()),
                    _ => Key::RequestId(id),
                };
                get(&channel, &history, key)
                    .await
                    .map(|found| assert_eq!(found.message_id, message.message_id))
            }
            Some(Err(failed)) if random.u32(..2) == 0 => match failed.unknown() {
                Some(attempt) => send(&channel, &history, request(&id, attempt)).await.map(drop),
                None => Ok(()),
            },
            Some(Ok(_) | Err(_)) | None => Ok(()),
        };
        if let Err(killed) = next {
            return killed;
        }
    }
    unreachable!("the loop ends only when the process is killed")
}

/// Gets every message that a reply reported as accepted.
async fn get_all_accepted(server: &Server, history: &SharedHistory) {
    let channel = server.channel().await;
    let accepted: BTreeSet<String> = {
        let history = history.lock();
        history.replies.values().flatten().flatten().map(|message| message.message_id.clone()).collect()
    };
    stream::iter(accepted)
        .for_each_concurrent(CLIENTS, |id| async {
            get(&channel, history, Key::MessageId(id)).await.expect("the server runs");
        })
        .await;
}

/// Delivers status webhooks for some accepted messages. Each one proves that its message was sent.
async fn deliver_statuses(
    server: &Server,
    history: &SharedHistory,
    provider: &Connectly,
    random: &mut fastrand::Rng,
) {
    let channel = server.channel().await;
    let some: Vec<String> = provider.accepted().into_iter().filter(|_| random.u32(..4) == 0).collect();
    stream::iter(some)
        .for_each_concurrent(CLIENTS, |id| async {
            let delivery = provider.inject_status(&id, "delivered").await.expect("it was accepted");
            assert_eq!(delivery.status, Some(200));
            let found = get(&channel, history, Key::ProviderMessageId(id)).await.expect("the server runs");
            assert!(found.state() >= MessageState::Delivered, "{found:?}");
            let again =
                send(&channel, history, request(&found.request_id, 0)).await.expect("the server runs");
            assert_eq!(again.expect("the status proves it").message_id, found.message_id);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_after_kill_9_never_send_twice_and_lose_no_success() {
    let seed = std::env::var("SWITCHBOARD_TEST_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("SWITCHBOARD_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let mut options = provider::options();
    options.connectly.auto_status = true;
    let sandbox = Sandbox::start(options).await.expect("starts");
    let provider = sandbox.connectly();
    let home = Home::new(provider.base_url().as_str());
    let history = SharedHistory::default();
    let start = || {
        let server = Server::start(home.command());
        let target: url::Url =
            format!("http://{}/webhooks/{ACCOUNT}", server.webhook).parse().expect("a URL");
        provider.set_webhook_target(Topic::DeliveryStatus, Some(target));
        server
    };

    for round in 0..5 {
        let server = start();
        let channel = server.channel().await;
        let enough = history.reply_count() + 50 + random.usize(..400);
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let random = fastrand::Rng::with_seed(seed ^ (round * 1_000 + client as u64));
            let name = format!("{round}-{client}");
            clients.spawn(run_client(channel.clone(), history.clone(), provider.clone(), name, random));
        }
        while history.reply_count() < enough {
            tokio::task::yield_now().await;
        }
        server.kill();
        while let Some(ended) = clients.join_next().await {
            let ServerKilled = ended.expect("clients do not fail");
        }
        // Before the next round, clients without any state retry some of the requests.
        let server = start();
        get_all_accepted(&server, &history).await;
        let some =
            history.ids().into_iter().filter(|_| random.u32(..3) == 0).map(|id| request(&id, 0)).collect();
        retry(&server, &history, some).await;
        deliver_statuses(&server, &history, provider, &mut random).await;
        server.kill();
    }

    provider.clear_faults().await.expect("clears");
    let server = start();
    for _ in 0..2 {
        retry(&server, &history, history.ids().iter().map(|id| request(id, 0)).collect()).await;
    }
    // Clients resend each unknown message after the named attempt, and retry that resend.
    let unknown = history.last_replies().into_iter().filter_map(|(id, reply)| {
        let failed = reply.err()?;
        let attempt = failed.unknown().unwrap_or_else(|| panic!("{id}: {failed:?}"));
        Some(request(&id, attempt))
    });
    let unknown: Vec<SendMessageRequest> = unknown.collect();
    let resent = unknown.len();
    for _ in 0..2 {
        retry(&server, &history, unknown.clone()).await;
    }
    deliver_statuses(&server, &history, provider, &mut random).await;
    get_all_accepted(&server, &history).await;
    assert!(server.terminate(), "graceful shutdown");

    let history = history.lock();
    let calls = provider.calls();
    assert_eq!(calls.len(), provider.arrivals(Operation::SendMessage), "every call is on record");
    let mut arrivals: BTreeMap<(String, u32), usize> = BTreeMap::new();
    let mut arrived_ids: BTreeSet<String> = BTreeSet::new();
    let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in &calls {
        let body = call.json().expect("JSON");
        let id = body["message"]["text"].as_str().expect("a text").to_owned();
        let tag = body["callbackData"]["sb"].as_str().expect("a correlation tag");
        let (message_id, attempt) = tag.split_once('/').expect("a correlation tag");
        let attempt: u32 = attempt.parse().expect("a number");
        assert!(
            attempt == 1 || history.resend_after.contains(&(id.clone(), attempt - 1)),
            "no client asked for attempt {attempt} of {id}"
        );
        if !refused(call.status) {
            *arrivals.entry((id.clone(), attempt)).or_default() += 1;
            messages.entry(id.clone()).or_default().insert(message_id.to_owned());
        }
        if matches!(call.status, Some(200..300)) {
            arrived_ids.insert(id);
        }
    }
    let duplicates: Vec<_> = arrivals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(duplicates.is_empty(), "sent twice: {duplicates:?}");
    for (id, reply) in &history.replies {
        let accepted: BTreeSet<String> =
            reply.iter().flatten().map(|message| message.message_id.clone()).collect();
        assert_eq!(accepted.len(), 1, "{id} is accepted as one message: {reply:?}");
        assert_eq!(Some(&accepted), messages.get(id), "{id} is one message in all its attempts");
        assert!(arrived_ids.contains(id), "{id} was reported as accepted and never arrived");
    }
    let resend_after = history.resend_after.len();
    println!(
        "{} requests, {} calls, {resend_after} resends, {resent} of them after the last round",
        history.replies.len(),
        calls.len()
    );
    assert!(history.replies.len() > 300, "too little load: {}", history.replies.len());
}
