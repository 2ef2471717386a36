//! Tests of the store through its public interface.

mod backup;
mod expiry;
mod finish_attempt;
mod journal;
mod listing;
mod message_state;
mod model;
mod opening;
mod reopening;
mod requests;
mod subscriptions;
mod trimming;

use std::sync::Mutex;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::event::{
    Identity, MessageStatus, Party, Payload, Proof, ReportedContent, ReportedMessage,
};
use crate::domain::message::ContentKind;
use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::{Fingerprint, Request};
use crate::domain::{
    Address, AttemptId, Channel, Event, EventId, EventType, Filter, Labels, MessageId, MessageState,
    Provider, TypePattern, UnknownReason,
};
use crate::store::{
    Append, AttemptOutcome, BeginAttempt, BeginResult, Change, Changed, FinishAttempt, FinishResult,
    MAX_SUBSCRIPTIONS, ReplicaId, RequestState, SeekPosition, Stamp, StatusEffect, StoredEvent,
    SubscriptionChange, Trim, Trimmed,
};

/// Encodes what a test checks of an event, as text: its id, its sequence number, the id of its duplicate, and its
/// effect on a message.
fn encode(event: &Event, stamp: &Stamp) -> Bytes {
    let duplicate = stamp.possible_duplicate_of.as_ref().map_or("", EventId::as_str);
    let status_effect = stamp.status_effect.map(|StatusEffect { message_id, state_after, stale }| {
        let message = message_id.map(|id| id.to_string()).unwrap_or_default();
        format!("{message} {state_after:?} {stale}")
    });
    let state = match &event.payload {
        Payload::MessageAccepted(message) => format!("{} {:?}", message.id, message.state),
        _ => String::new(),
    };
    let (id, number) = (event.id.as_str(), stamp.cursor.sequence);
    let receive_time = stamp.receive_time.0;
    format!("{id} {number} {duplicate} {}{state}\n{receive_time}", status_effect.unwrap_or_default()).into()
}

/// The receive time of an event that [`encode`] wrote.
fn receive_time(event: &StoredEvent) -> UnixMillis {
    let text = String::from_utf8_lossy(&event.event);
    let (_, time) = text.rsplit_once('\n').expect("it ends with the time");
    UnixMillis(time.parse().expect("a number"))
}

pub(super) struct Opened {
    pub(super) store: Store,
    committed: Arc<Mutex<Vec<StoredEvent>>>,
    /// The changed messages, for each commit that changed any.
    notified: Arc<Mutex<Vec<Vec<Message>>>>,
    /// The published subscription changes.
    changed: Arc<Mutex<Vec<SubscriptionChange>>>,
    replica_id: ReplicaId,
    folder: TempDir,
}

fn open_in(folder: TempDir, max_pages: Option<u32>) -> Opened {
    let committed = Arc::new(Mutex::new(Vec::new()));
    let notified = Arc::new(Mutex::new(Vec::new()));
    let changed = Arc::new(Mutex::new(Vec::new()));
    let (events, messages, subscriptions) =
        (Arc::clone(&committed), Arc::clone(&notified), Arc::clone(&changed));
    let replica_id = ReplicaId::generate();
    let store = Store::open(Options {
        path: folder.path().join("switchboard.db"),
        encode,
        committed: Box::new(move |changes| {
            events.lock().expect("unpoisoned").extend(changes.events.iter().cloned());
            if !changes.messages.is_empty() {
                messages.lock().expect("unpoisoned").push(changes.messages);
            }
            subscriptions.lock().expect("unpoisoned").extend(changes.subscriptions);
        }),
        replica_id,
        max_pages,
    })
    .expect("opens");
    Opened { store, committed, notified, changed, replica_id, folder }
}

pub(super) fn open() -> Opened {
    open_in(TempDir::new().expect("a folder"), None)
}

impl Opened {
    /// Closes the store as a clean shutdown does, and reopens the file.
    fn reopen(self) -> Self {
        drop(self.store);
        open_in(self.folder, None)
    }
}

fn append(account: &str, identity: Option<Identity>, raw: &str) -> Op {
    Op::Append(Box::new(Append {
        event: Event {
            id: EventId::generate(),
            account: account.parse().expect("an id"),
            provider: Provider::CONNECTLY,
            occur_time: None,
            callback_data: None,
            payload: Payload::Unknown { topic: String::new(), problem: String::new() },
        },
        identity,
        proof: None,
        raw: Bytes::copy_from_slice(raw.as_bytes()),
    }))
}

fn sequences(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.sequence).collect()
}

/// A message to send.
fn draft() -> Message {
    let now = UnixMillis::now();
    Message {
        id: MessageId::generate(),
        provider_ids: Vec::new(),
        account: account("acme"),
        provider: Provider::CONNECTLY,
        to: "+15550100001".parse().expect("an address"),
        sender: None,
        recipient_wa_id: None,
        channel: Channel::WhatsApp,
        content_kind: ContentKind::Text,
        template_name: None,
        campaign_name: None,
        state: MessageState::Pending,
        provider_state: None,
        problem: None,
        request_id: None,
        attempt: 1,
        callback_data: Some("{\"order\": 77}".parse().expect("JSON")),
        create_time: now,
        update_time: now,
    }
}

fn subscription(id: &str) -> SubscriptionId {
    id.parse().expect("an id")
}

fn change_op(id: &str, change: Change) -> Op {
    Op::Subscription(subscription(id), Box::new(change))
}

/// A filter for the events of these accounts.
fn of(accounts: &[&str]) -> Filter {
    Filter { accounts: accounts.iter().map(|id| account(id)).collect(), ..Filter::default() }
}

fn create(filter: Filter, position: SeekPosition) -> Change {
    Change::Create { filter, labels: Labels::default(), position }
}

/// Replaces the filter.
fn update(filter: Filter) -> Change {
    Change::Update { filter: Some(filter), labels: None }
}

fn acknowledge(number: u64) -> Change {
    Change::Acknowledge { sequence: number, generation: None }
}

fn account(id: &str) -> AccountId {
    id.parse().expect("an id")
}

fn request(id: &str) -> RequestId {
    id.parse().expect("an id")
}

fn accepted(provider_ids: &[&str]) -> AttemptOutcome {
    AttemptOutcome::Accepted {
        reply: None,
        provider_ids: provider_ids.iter().map(|&id| id.to_owned()).collect(),
        provider_state: None,
        recipient_wa_id: None,
    }
}

fn unknown_outcome(cause: UnknownReason) -> UnknownOutcome {
    UnknownOutcome { cause, fault: None }
}

fn unknown() -> AttemptOutcome {
    AttemptOutcome::Unknown(unknown_outcome(UnknownReason::TimedOut))
}

fn proof(message_id: MessageId, number: u32, provider_message_id: Option<&str>) -> Option<Proof> {
    let attempt = AttemptId { message_id, number };
    Some(Proof { attempt, provider_message_id: provider_message_id.map(str::to_owned) })
}

/// A status with Connectly's word for the state. `None` gives a word that is not known.
fn status(of: &str, provider_id: &str, state: Option<MessageState>, proof: Option<Proof>) -> Op {
    let word = state.map_or_else(|| "played".to_owned(), |state| format!("{state:?}").to_lowercase());
    let mut op = append(of, Some(Identity::status(provider_id, &word)), "");
    if let Op::Append(append) = &mut op {
        append.proof = proof;
        append.event.payload = Payload::MessageStatus(MessageStatus {
            provider_message_id: provider_id.to_owned(),
            status: state,
            provider_status: word,
            fault: None,
            sender: Party::default(),
            recipient: Party::default(),
            campaign_name: String::new(),
        });
    }
    op
}

/// A message from a customer, or an echo of ours.
fn written(
    echo: bool,
    id: &str,
    sender: Party,
    own: &str,
    at: Option<UnixMillis>,
    proof: Option<Proof>,
) -> Op {
    let mut op = append("acme", Some(Identity::message(id)), "");
    if let Op::Append(append) = &mut op {
        append.proof = proof;
        append.event.occur_time = at;
        let message = ReportedMessage {
            provider_message_id: id.to_owned(),
            sender,
            recipient: Party { phone_number: own.to_owned(), ..Party::default() },
            reply_to: None,
            referral: None,
            metadata_json: String::new(),
            content: ReportedContent::Text("hi".to_owned()),
        };
        append.event.payload =
            if echo { Payload::MessageEcho(message) } else { Payload::MessageReceived(message) };
    }
    op
}

/// A customer's answer with our tag, but without the provider's id of the message that it answers.
fn answer(id: &str, proof: Option<Proof>) -> Op {
    written(false, id, Party::default(), "", None, proof)
}

impl Opened {
    async fn commit_one(&self, op: Op) -> OpResult {
        let mut done = self.store.commit(vec![op]).await.expect("written");
        done.pop().expect("one op, one result")
    }

    fn begin_op(&self, id: &str, resend_after: Option<u32>, draft: Option<Message>) -> Op {
        Op::BeginAttempt(Box::new(BeginAttempt {
            account: account("acme"),
            request: Request { id: request(id), fingerprint: Fingerprint([7; 32]), resend_after },
            replica_id: self.replica_id,
            not_after: UnixMillis(UnixMillis::now().0 + 60_000),
            message: draft,
        }))
    }

    async fn change(&self, id: &str, change: Change) -> Changed {
        match self.commit_one(change_op(id, change)).await {
            OpResult::Changed(changed) => *changed,
            other => panic!("{other:?}"),
        }
    }

    /// Applies a change to a subscription, and returns its state.
    async fn changed(&self, id: &str, change: Change) -> Subscription {
        match self.change(id, change).await {
            Changed::Applied(state) => state,
            other => panic!("{other:?}"),
        }
    }

    async fn subscription(&self, id: &str) -> Option<Subscription> {
        self.store.subscription(&subscription(id)).await.expect("readable")
    }

    /// The sequence number up to which a subscription has acknowledged everything.
    async fn position(&self, id: &str) -> u64 {
        self.subscription(id).await.expect("there is one").sequence
    }

    async fn trim(&self, trim: Trim) -> Trimmed {
        match self.commit_one(Op::Trim(trim)).await {
            OpResult::Trimmed(trimmed) => trimmed,
            other => panic!("{other:?}"),
        }
    }

    /// A second connection to the store's file.
    fn connection(&self) -> Connection {
        Connection::open(self.folder.path().join("switchboard.db")).expect("opens")
    }

    /// The size of the events: as the journal records it, and as computed.
    fn bytes(&self) -> (i64, i64) {
        let query = "SELECT (SELECT bytes FROM journal), (SELECT coalesce(sum(length(event) + length(raw)), 0) FROM events)";
        self.connection().query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("readable")
    }

    async fn begin(&self, id: &str, resend_after: Option<u32>) -> BeginResult {
        match self.commit_one(self.begin_op(id, resend_after, Some(draft()))).await {
            OpResult::Begun(begun) => *begun,
            other => panic!("{other:?}"),
        }
    }

    /// Begins an attempt that may be made.
    async fn attempt(&self, id: &str, resend_after: Option<u32>) -> (u32, MessageId) {
        match self.begin(id, resend_after).await {
            BeginResult::Attempt { number, message_id: Some(message_id) } => (number, message_id),
            other => panic!("{other:?}"),
        }
    }

    fn finish_op(
        &self,
        id: Option<&str>,
        attempt: u32,
        message: Option<Message>,
        outcome: AttemptOutcome,
    ) -> Op {
        Op::FinishAttempt(Box::new(FinishAttempt {
            account: account("acme"),
            request: id.map(request),
            attempt,
            replica_id: self.replica_id,
            message,
            outcome,
            end_time: UnixMillis::now(),
        }))
    }

    async fn finish(&self, op: Op) -> FinishResult {
        match self.commit_one(op).await {
            OpResult::Finished(ended) => *ended,
            other => panic!("{other:?}"),
        }
    }

    /// Finishes an attempt at a request.
    async fn finish_request(&self, id: &str, attempt: u32, outcome: AttemptOutcome) -> FinishResult {
        self.finish(self.finish_op(Some(id), attempt, None, outcome)).await
    }

    /// Finishes a send without a request.
    async fn sent(&self, message: &Message, outcome: AttemptOutcome) -> FinishResult {
        self.finish(self.finish_op(None, 1, Some(message.clone()), outcome)).await
    }

    /// A request whose first attempt has an unknown outcome.
    async fn unknown_attempt(&self, id: &str) -> MessageId {
        let (number, message_id) = self.attempt(id, None).await;
        self.finish_request(id, number, unknown()).await;
        message_id
    }

    async fn record(&self, id: &str) -> Option<RequestRecord> {
        self.store.request(&account("acme"), &request(id)).await.expect("readable")
    }

    /// The request's state as a word, and the attempt's number.
    async fn request_state(&self, id: &str) -> Option<(&'static str, u32)> {
        self.record(id).await.map(|record| {
            let word = match record.state {
                RequestState::InFlight { .. } => "in flight",
                RequestState::Accepted { .. } => "accepted",
                RequestState::Unknown(_) => "unknown",
            };
            (word, record.attempt)
        })
    }

    async fn message(&self, id: MessageId) -> Option<Message> {
        self.store.message(&account("acme"), &MessageKey::Id(id)).await.expect("readable")
    }

    async fn state(&self, id: MessageId) -> Option<MessageState> {
        self.message(id).await.map(|message| message.state)
    }

    /// The types of all events, with the effect part of [`encode`].
    async fn events(&self) -> Vec<(EventType, String)> {
        let page = self.store.read(0, false).await.expect("readable");
        let text = |event: &StoredEvent| {
            let text = String::from_utf8_lossy(&event.event);
            text.lines().next().unwrap_or("").to_owned()
        };
        page.events
            .iter()
            .map(|event| (event.event_type, text(event).splitn(4, ' ').nth(3).unwrap_or("").to_owned()))
            .collect()
    }

    /// How many `message.accepted` events a message has.
    async fn times_accepted(&self, id: MessageId) -> usize {
        let events = self.events().await;
        let of = |(kind, text): &&(EventType, String)| {
            *kind == EventType::MessageAccepted && text.starts_with(&id.to_string())
        };
        events.iter().filter(of).count()
    }

    fn notified(&self) -> Vec<Vec<Message>> {
        std::mem::take(&mut *self.notified.lock().expect("unpoisoned"))
    }
}
