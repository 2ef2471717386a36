//! Sends, while the process is killed again and again: what callers were told must be true, and a blind retry must never
//! send twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use switchboard::pb::v1::message_service_client::MessageServiceClient;
use switchboard::pb::v1::{Message, SendMessageRequest};
use switchboard::sandbox::connectly::Topic;
use switchboard::sandbox::{Fault, FaultRule, Operation, Options, Sandbox};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::binary::{API_KEY, Home, SECRET, Server};
use crate::gateway::{metadata, reason, text, within};

/// The account of [`Home`].
const ACCOUNT: &str = "globex";

/// How many callers send at once.
const CALLERS: usize = 24;

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

/// What callers were told, by the id of their request.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<String, Vec<Result<Message, Status>>>>>);

impl Told {
    /// Notes that a request goes out, of which nobody may ever hear again.
    fn begins(&self, id: &str) {
        self.0.lock().expect("unpoisoned").entry(id.to_owned()).or_default();
    }

    fn hears(&self, id: &str, result: Result<Message, Status>) {
        self.0.lock().expect("unpoisoned").entry(id.to_owned()).or_default().push(result);
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().expect("unpoisoned").keys().cloned().collect()
    }

    fn heard(&self) -> usize {
        self.0.lock().expect("unpoisoned").values().map(Vec::len).sum()
    }
}

/// A send whose text and `request_id` are the same, so that what arrives can be told apart.
fn request(id: &str, resend_after_attempt: u32) -> SendMessageRequest {
    SendMessageRequest { request_id: id.to_owned(), resend_after_attempt, ..text(ACCOUNT, id) }
}

async fn send(channel: &Channel, request: SendMessageRequest) -> Result<Message, Status> {
    let sent = within(MessageServiceClient::new(channel.clone()).send_message(request)).await;
    sent.map(|response| response.into_inner().message.expect("an answer holds the message"))
}

/// Repeats every request, many at a time.
async fn repeat(server: &Server, told: &Told, requests: Vec<SendMessageRequest>) {
    let channel = server.channel().await;
    futures_util::stream::iter(requests)
        .for_each_concurrent(CALLERS, |request| async {
            let id = request.request_id.clone();
            told.hears(&id, send(&channel, request).await);
        })
        .await;
}

/// Whether a call was refused: it was answered with a "no", so another may be made.
fn refused(status: Option<u16>) -> bool {
    matches!(status, Some(400 | 429))
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
    options.connectly.business_id = "00000000-0000-4000-8000-000000000001".to_owned();
    options.connectly.webhook_secret = SECRET.to_owned();
    let sandbox = Sandbox::start(options).await.expect("starts");
    let provider = sandbox.connectly();
    let home = Home::new(provider.base_url().as_str());
    let told = Told::default();

    for round in 0..5 {
        let server = Server::start(home.command());
        let target = format!("http://{}/webhooks/{ACCOUNT}", server.webhook).parse().expect("a URL");
        provider.set_webhook_target(Topic::DeliveryStatus, Some(target));
        let channel = server.channel().await;
        let enough = told.heard() + 50 + random.below(400);
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (channel, told) = (channel.clone(), told.clone());
            let (provider, mut random) = (provider.clone(), Random(seed ^ (round * 1_000 + caller as u64)));
            callers.spawn(async move {
                for n in 0.. {
                    if let Some(fault) = fault(&mut random) {
                        provider.set_fault(FaultRule::once(fault).on(Operation::SendMessage)).await;
                    }
                    let id = format!("{round}-{caller}-{n}");
                    told.begins(&id);
                    let result = send(&channel, request(&id, 0)).await;
                    // Without details, it is not the server who speaks.
                    let gone = result
                        .as_ref()
                        .is_err_and(|status| status.get_error_details().error_info().is_none());
                    if gone {
                        return;
                    }
                    told.hears(&id, result);
                }
            });
        }
        while told.heard() < enough {
            tokio::task::yield_now().await;
        }
        server.kill();
        while let Some(ended) = callers.join_next().await {
            ended.expect("callers do not fail");
        }
        // Before the next round, all of it is repeated in part by callers who know nothing.
        let server = Server::start(home.command());
        let some =
            told.ids().into_iter().filter(|_| random.below(3) == 0).map(|id| request(&id, 0)).collect();
        repeat(&server, &told, some).await;
        server.kill();
    }

    provider.clear_faults().await.expect("clears");
    let server = Server::start(home.command());
    for _ in 0..2 {
        repeat(&server, &told, told.ids().iter().map(|id| request(id, 0)).collect()).await;
    }
    // What is still unknown is sent once more, by callers who say that they know: and that, too, blindly repeated.
    let unknown: Vec<SendMessageRequest> = {
        let told = told.0.lock().expect("unpoisoned");
        let last = told.iter().map(|(id, results)| (id, results.last().expect("repeated")));
        last.filter_map(|(id, result)| {
            let status = result.as_ref().err()?;
            assert_eq!(reason(status), "SEND_OUTCOME_UNKNOWN", "{id}: {status:?}");
            Some(request(id, metadata(status, "attempt").parse().expect("a number")))
        })
        .collect()
    };
    let resent = unknown.len();
    for _ in 0..2 {
        repeat(&server, &told, unknown.clone()).await;
    }
    assert!(server.terminate(), "stops in order");

    let calls = provider.calls();
    assert_eq!(calls.len(), provider.arrivals(Operation::SendMessage), "every call is on record");
    let mut arrivals: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for call in &calls {
        let body = call.json().expect("JSON");
        let id = body["message"]["text"].as_str().expect("a text").to_owned();
        let attempt = body["callbackData"]["sb"].as_str().expect("our mark").to_owned();
        if !refused(call.status) {
            *arrivals.entry((id.clone(), attempt)).or_default() += 1;
        }
        if matches!(call.status, Some(200..300)) {
            taken.insert(id);
        }
    }
    let twice: Vec<_> = arrivals.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    let told = told.0.lock().expect("unpoisoned");
    for (id, results) in told.iter() {
        let accepted: BTreeSet<&str> =
            results.iter().flatten().map(|message| message.message_id.as_str()).collect();
        assert_eq!(accepted.len(), 1, "{id} was accepted in the end, as one message: {results:?}");
        assert!(taken.contains(id), "{id} was told to be accepted, and never arrived");
    }
    println!("{} requests, {} calls, {resent} sent once more", told.len(), calls.len());
    assert!(told.len() > 300, "there was load: {}", told.len());
}
