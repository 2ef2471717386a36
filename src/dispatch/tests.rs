//! Attempts that end between the intent and the call, or without an outcome.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as blocking;
use std::time::Duration;

use futures_util::future::ready;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::config::Config;
use crate::domain::request::Fingerprint;
use crate::provider::AcceptedMessage;
use crate::store::{BeginAttempt, Op, Options};

const DEADLINE: Duration = Duration::from_secs(20);

/// A dispatch whose store blocks after each commit that changes a message, until the test resumes it.
struct Fixture {
    dispatch: Dispatch,
    account: Arc<Account>,
    /// Receives a value when an intent is durable and the attempt's task does not know it yet.
    intents: mpsc::UnboundedReceiver<()>,
    /// Each value resumes the store once. Dropping it unblocks the store permanently.
    resume: blocking::Sender<()>,
    calls: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = "[[accounts]]\nid = 'acme'\nprovider = 'connectby'\nsecret_key = 'k'\n";
        let config = Config::parse(text, &BTreeMap::new()).expect("valid");
        let (committed, intents) = mpsc::unbounded_channel();
        let (resume, resumed) = blocking::channel();
        let replica_id = ReplicaId::generate();
        let store = Store::open(Options {
            path: folder.path().join("switchboard.db"),
            encode: |_, _| Bytes::new(),
            committed: Box::new(move |changes| {
                if !changes.messages.is_empty() {
                    let _ = committed.send(());
                    let _ = resumed.recv();
                }
            }),
            replica_id,
            max_pages: None,
        });
        let store = store.expect("opens");
        let accounts = Accounts::new(&config.accounts).expect("valid accounts");
        let account = Arc::clone(accounts.iter().next().expect("one account"));
        let stopping = CancellationToken::new();
        let dispatch = Dispatch::new(accounts, store, replica_id, OnNotDone::new(|_, _| {}), stopping);
        Self { dispatch, account, intents, resume, calls: Arc::default(), _folder: folder }
    }

    /// A send that the provider accepts.
    fn send(&self, request: &Request) -> impl Future<Output = Result<Message, Failure>> + use<> {
        let calls = Arc::clone(&self.calls);
        let call: Call = Box::new(move |_, _| {
            calls.fetch_add(1, Ordering::SeqCst);
            let accepted = AcceptedMessage {
                provider_ids: vec!["P1".to_owned()],
                provider_state: None,
                recipient_wa_id: None,
            };
            ready(Ok(Accepted::Message(accepted))).boxed()
        });
        let options = SendOptions { request: Some(request.clone()), ..SendOptions::default() };
        let to = "+15550100001".parse().expect("an address");
        let draft = draft(MessageId::generate(), &self.account, &to, Channel::WhatsApp, &options);
        let (dispatch, account) = (self.dispatch.clone(), Arc::clone(&self.account));
        let until = Instant::now() + DEADLINE;
        async move { Ok(dispatch.send_draft(account, draft, options.request, call, until).await?.value) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn request() -> Request {
    Request { id: "a".parse().expect("an id"), fingerprint: Fingerprint([7; 32]), resend_after: None }
}

#[tokio::test]
async fn disconnect_during_the_intent_sends_and_records_nothing() {
    let mut fixture = Fixture::new();
    let mut send = Box::pin(fixture.send(&request()));
    tokio::select! {
        _ = &mut send => panic!("the send ended before its intent was durable"),
        intent = fixture.intents.recv() => intent.expect("the store is open"),
    }
    drop(send);
    fixture.resume.send(()).expect("the store waits");
    fixture.dispatch.drain().await;
    assert_eq!(fixture.calls(), 0);
    let record = fixture.dispatch.store.request(fixture.account.id(), &request().id).await;
    assert_eq!(record.expect("readable"), None);
}

#[tokio::test]
async fn repeat_during_an_abandoned_intent_continues_the_attempt() {
    let mut fixture = Fixture::new();
    let mut first = Box::pin(fixture.send(&request()));
    tokio::select! {
        _ = &mut first => panic!("the send ended before its intent was durable"),
        intent = fixture.intents.recv() => intent.expect("the store is open"),
    }
    let mut second = Box::pin(fixture.send(&request()));
    assert!((&mut second).now_or_never().is_none(), "it has joined");
    drop(first);
    let Fixture { dispatch, resume, calls, .. } = fixture;
    drop(resume);
    assert_eq!(second.await.expect("accepted").attempt, 1);
    dispatch.drain().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn attempt_without_a_task_has_an_unknown_outcome() {
    let fixture = Fixture::new();
    let begin = BeginAttempt {
        account: fixture.account.id().clone(),
        request: request(),
        replica_id: fixture.dispatch.replica_id,
        not_after: UnixMillis::now().plus(DEADLINE),
        message: None,
    };
    fixture.dispatch.store.commit(vec![Op::BeginAttempt(Box::new(begin))]).await.expect("written");
    for resend_after in [None, Some(1)] {
        let request = Request { resend_after, ..request() };
        let until = Instant::now() + DEADLINE;
        let earlier = fixture.dispatch.find_earlier(&fixture.account, &request, until).await;
        let Err(Failure { attempt: Some(1), source, .. }) = earlier else {
            panic!("the outcome must be unknown")
        };
        assert!(matches!(*source, Cause::OutcomeUnknown(_)), "{source:?}");
    }
}
