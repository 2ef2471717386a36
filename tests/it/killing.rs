//! Sends, while the process is killed again and again: what callers were told must be true, and a blind retry must never
//! send twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use switchboard::pb::v1::get_message_request::Key;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::send_messages_response::Result as Outcome;
use switchboard::pb::v1::{
    GetMessageRequest, Message, MessageState, SendMessageRequest, SendMessagesRequest, SendMessagesResponse,
};
use switchboard::sandbox::connectly::ConnectlyTopic;
use switchboard::sandbox::{Connectly, Fault, FaultRule, Operation, Options, Sandbox};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::binary::{API_KEY, BUSINESS, Home, SECRET, Server};
use crate::gateway::{metadata, reason, text, within};

/// The account of [`Home`].
const ACCOUNT: &str = "globex";

/// How many callers send at once.
const CALLERS: usize = 24;

/// How many messages a caller of streams has on one.
const ON_A_STREAM: usize = 5;

/// Numbers that look random and come again with their seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("less than a usize")
    }
}

/// The next fault, if there is to be one. Each strikes one call of whoever comes next.
fn fault(random: &mut Random) -> Option<Fault> {
    Some(match random.below(40) {
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
struct Failed {
    reason: String,
    /// Which attempt, where it says.
    attempt: Option<u32>,
}

type Heard = Result<Message, Failed>;

/// The process is gone: it is not the server who speaks.
#[derive(Debug)]
struct Gone;

impl Failed {
    fn of(status: &Status) -> Result<Self, Gone> {
        if status.get_error_details().error_info().is_none() {
            return Err(Gone);
        }
        Ok(Self { reason: reason(status), attempt: metadata(status, "attempt").parse().ok() })
    }

    /// The attempt of which nobody can tell.
    fn unknown(&self) -> Option<u32> {
        (self.reason == "SEND_OUTCOME_UNKNOWN").then(|| self.attempt.expect("it says which"))
    }
}

/// What is known outside of the server.
#[derive(Default)]
struct Facts {
    /// What callers were told, by the id of their request.
    heard: BTreeMap<String, Vec<Heard>>,
    /// The attempts after which callers asked for another, by the id of their request: more may not be made.
    named: BTreeSet<(String, u32)>,
    /// The furthest state that was told of each message to somebody who asked.
    seen: BTreeMap<String, i32>,
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Facts>>);

impl Told {
    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().expect("unpoisoned")
    }

    /// Notes that a request goes out, of which nobody may ever hear again.
    fn begins(&self, request: &SendMessageRequest) {
        let mut facts = self.facts();
        facts.heard.entry(request.request_id.clone()).or_default();
        if request.resend_after_attempt > 0 {
            facts.named.insert((request.request_id.clone(), request.resend_after_attempt));
        }
    }

    fn hears(&self, id: &str, heard: Heard) {
        self.facts().heard.entry(id.to_owned()).or_default().push(heard);
    }

    fn ids(&self) -> Vec<String> {
        self.facts().heard.keys().cloned().collect()
    }

    fn heard(&self) -> usize {
        self.facts().heard.values().map(Vec::len).sum()
    }

    /// The newest that was heard of each request.
    fn last(&self) -> Vec<(String, Heard)> {
        let facts = self.facts();
        let last = facts.heard.iter().filter_map(|(id, heard)| Some((id.clone(), heard.last()?.clone())));
        last.collect()
    }
}

/// A send whose text and `request_id` are the same, so that what arrives can be told apart.
fn request(id: &str, resend_after_attempt: u32) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), resend_after_attempt, ..text(ACCOUNT, id) }
}

async fn send(channel: &Channel, told: &Told, request: SendMessageRequest) -> Result<Heard, Gone> {
    told.begins(&request);
    let id = request.request_id.clone();
    let sent = within(MessageServiceClient::new(channel.clone()).send_message(request)).await;
    let heard = match sent {
        Ok(response) => Ok(response.into_inner().message.expect("an answer holds the message")),
        Err(status) => Err(Failed::of(&status)?),
    };
    told.hears(&id, heard.clone());
    Ok(heard)
}

/// Sends over one stream.
async fn send_all(channel: &Channel, told: &Told, requests: Vec<SendMessageRequest>) -> Result<(), Gone> {
    requests.iter().for_each(|request| told.begins(request));
    let requests: Vec<_> = requests
        .into_iter()
        .map(|request| SendMessagesRequest { tag: request.request_id.clone(), request: Some(request) })
        .collect();
    let mut client = MessageServiceClient::new(channel.clone());
    let open = client.send_messages(stream::iter(requests));
    let mut answers = within(open).await.map_err(|_| Gone)?.into_inner();
    while let Some(SendMessagesResponse { tag, result }) =
        within(answers.message()).await.map_err(|_| Gone)?
    {
        let heard = match result.expect("never empty") {
            Outcome::Response(response) => Ok(response.message.expect("an answer holds the message")),
            Outcome::Error(error) => {
                let attempt = error.metadata.get("attempt").and_then(|attempt| attempt.parse().ok());
                Err(Failed { reason: error.reason, attempt })
            }
        };
        told.hears(&tag, heard);
    }
    Ok(())
}

/// Asks how a message stands that there must be, and holds the answer against what was told before.
async fn ask(channel: &Channel, told: &Told, key: Key) -> Result<Message, Gone> {
    let before = told.facts().seen.clone();
    let asked = GetMessageRequest { account: ACCOUNT.to_owned(), key: Some(key.clone()) };
    let found = match within(MessageServiceClient::new(channel.clone()).get_message(asked)).await {
        Ok(found) => found.into_inner().message.expect("there"),
        Err(status) => panic!("{key:?}: {:?}", Failed::of(&status)?),
    };
    let floor = before.get(&found.message_id).copied().unwrap_or_default();
    assert!(found.state >= floor, "{key:?} went back from {floor} to {:?}", found.state());
    let mut facts = told.facts();
    let seen = facts.seen.entry(found.message_id.clone()).or_default();
    *seen = found.state.max(*seen);
    Ok(found)
}

/// Repeats every request, many at a time.
async fn repeat(server: &Server, told: &Told, requests: Vec<SendMessageRequest>) {
    let channel = server.channel().await;
    stream::iter(requests)
        .for_each_concurrent(CALLERS, |request| async {
            let _ = send(&channel, told, request).await.expect("the server stands");
        })
        .await;
}

/// Whether a call was refused: it was answered with a "no", so another may be made.
fn refused(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 429))
}

/// Sends until the process is gone; now and then it sends once more what nobody can tell of, and asks how things stand.
async fn call(channel: Channel, told: Told, provider: Connectly, name: String, mut random: Random) -> Gone {
    let streams = random.below(3) == 0;
    for n in 0.. {
        if let Some(fault) = fault(&mut random) {
            provider.set_fault(FaultRule::once(fault).on(Operation::SendMessage)).await;
        }
        let id = format!("{name}-{n}");
        let heard = if streams {
            let requests = (0..ON_A_STREAM).map(|part| request(&format!("{id}-{part}"), 0)).collect();
            send_all(&channel, &told, requests).await.map(|()| None)
        } else {
            send(&channel, &told, request(&id, 0)).await.map(Some)
        };
        let heard = match heard {
            Ok(heard) => heard,
            Err(gone) => return gone,
        };
        let next = match heard {
            Some(Ok(message)) if random.below(4) == 0 => {
                let key = match random.below(2) {
                    0 => Key::MessageId(message.message_id.clone()),
                    _ => Key::RequestId(id),
                };
                ask(&channel, &told, key).await.map(|found| assert_eq!(found.message_id, message.message_id))
            }
            Some(Err(failed)) if random.below(2) == 0 => match failed.unknown() {
                Some(attempt) => send(&channel, &told, request(&id, attempt)).await.map(drop),
                None => Ok(()),
            },
            Some(Ok(_) | Err(_)) | None => Ok(()),
        };
        if let Err(gone) = next {
            return gone;
        }
    }
    unreachable!("it goes on until the process is gone")
}

/// Asks of every message that was told to be accepted.
async fn ask_of_all(server: &Server, told: &Told) {
    let channel = server.channel().await;
    let accepted: BTreeSet<String> = {
        let facts = told.facts();
        facts.heard.values().flatten().flatten().map(|message| message.message_id.clone()).collect()
    };
    stream::iter(accepted)
        .for_each_concurrent(CALLERS, |id| async {
            ask(&channel, told, Key::MessageId(id)).await.expect("the server stands");
        })
        .await;
}

/// Has the provider report a part of what it took. What is reported is known from then on.
async fn report(server: &Server, told: &Told, provider: &Connectly, random: &mut Random) {
    let channel = server.channel().await;
    let some: Vec<String> = provider.accepted().into_iter().filter(|_| random.below(4) == 0).collect();
    stream::iter(some)
        .for_each_concurrent(CALLERS, |id| async {
            let delivery = provider.inject_status(&id, "delivered").await.expect("it was accepted");
            assert_eq!(delivery.status, Some(200));
            let found = ask(&channel, told, Key::ProviderMessageId(id)).await.expect("the server stands");
            assert!(found.state() >= MessageState::Delivered, "{found:?}");
            let again = send(&channel, told, request(&found.request_id, 0)).await.expect("the server stands");
            assert_eq!(again.expect("it is proven").message_id, found.message_id);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blind_retries_after_kill_9_never_send_twice_and_success_was_never_told_of_nothing() {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let seed =
        std::env::var("SWITCHBOARD_TEST_SEED").map_or(seed as u64, |seed| seed.parse().expect("a number"));
    println!("SWITCHBOARD_TEST_SEED={seed}");
    let mut random = Random(seed);

    let mut options = Options::instant();
    options.connectly.auto_reply = false;
    options.connectly.api_key = API_KEY.to_owned();
    options.connectly.business_id = BUSINESS.to_owned();
    options.connectly.webhook_secret = SECRET.to_owned();
    let sandbox = Sandbox::start(options).await.expect("starts");
    let provider = sandbox.connectly();
    let home = Home::new(provider.base_url().as_str());
    let told = Told::default();
    let start = || {
        let server = Server::start(home.command());
        let target: url::Url =
            format!("http://{}/webhooks/{ACCOUNT}", server.webhook).parse().expect("a URL");
        provider.set_webhook_target(ConnectlyTopic::DeliveryStatus, Some(target));
        server
    };

    for round in 0..5 {
        let server = start();
        let channel = server.channel().await;
        let enough = told.heard() + 50 + random.below(400);
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let random = Random(seed ^ (round * 1_000 + caller as u64));
            let name = format!("{round}-{caller}");
            callers.spawn(call(channel.clone(), told.clone(), provider.clone(), name, random));
        }
        while told.heard() < enough {
            tokio::task::yield_now().await;
        }
        server.kill();
        while let Some(ended) = callers.join_next().await {
            let Gone = ended.expect("callers do not fail");
        }
        // Before the next round, all of it is repeated in part by callers who know nothing.
        let server = start();
        ask_of_all(&server, &told).await;
        let some =
            told.ids().into_iter().filter(|_| random.below(3) == 0).map(|id| request(&id, 0)).collect();
        repeat(&server, &told, some).await;
        report(&server, &told, provider, &mut random).await;
        server.kill();
    }

    provider.clear_faults().await.expect("clears");
    let server = start();
    for _ in 0..2 {
        repeat(&server, &told, told.ids().iter().map(|id| request(id, 0)).collect()).await;
    }
    // What is still unknown is sent once more, by callers who say that they know: and that, too, blindly repeated.
    let unknown = told.last().into_iter().filter_map(|(id, heard)| {
        let failed = heard.err()?;
        let attempt = failed.unknown().unwrap_or_else(|| panic!("{id}: {failed:?}"));
        Some(request(&id, attempt))
    });
    let unknown: Vec<SendMessageRequest> = unknown.collect();
    let resent = unknown.len();
    for _ in 0..2 {
        repeat(&server, &told, unknown.clone()).await;
    }
    report(&server, &told, provider, &mut random).await;
    ask_of_all(&server, &told).await;
    assert!(server.terminate(), "stops in order");

    let facts = told.facts();
    let calls = provider.calls();
    assert_eq!(calls.len(), provider.arrivals(Operation::SendMessage), "every call is on record");
    let mut arrivals: BTreeMap<(String, u32), usize> = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in &calls {
        let body = call.json().expect("JSON");
        let id = body["message"]["text"].as_str().expect("a text").to_owned();
        let mark = body["callbackData"]["sb"].as_str().expect("our mark");
        let (message_id, attempt) = mark.split_once('/').expect("our mark");
        let attempt: u32 = attempt.parse().expect("a number");
        assert!(
            attempt == 1 || facts.named.contains(&(id.clone(), attempt - 1)),
            "nobody asked for attempt {attempt} of {id}"
        );
        if !refused(call.status) {
            *arrivals.entry((id.clone(), attempt)).or_default() += 1;
            messages.entry(id.clone()).or_default().insert(message_id.to_owned());
        }
        if matches!(call.status, Some(200..300)) {
            taken.insert(id);
        }
    }
    let twice: Vec<_> = arrivals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    for (id, heard) in &facts.heard {
        let accepted: BTreeSet<String> =
            heard.iter().flatten().map(|message| message.message_id.clone()).collect();
        assert_eq!(accepted.len(), 1, "{id} was accepted in the end, as one message: {heard:?}");
        assert_eq!(Some(&accepted), messages.get(id), "{id} is one message, in all its attempts");
        assert!(taken.contains(id), "{id} was told to be accepted, and never arrived");
    }
    let named = facts.named.len();
    println!(
        "{} requests, {} calls, {named} named attempts, {resent} of them in the end",
        facts.heard.len(),
        calls.len()
    );
    assert!(facts.heard.len() > 300, "there was load: {}", facts.heard.len());
}
