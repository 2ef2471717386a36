//! Attempts that end in the middle: before the call, or without a word.

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

const PATIENCE: Duration = Duration::from_secs(20);

/// A dispatch, whose store waits at each change to a message until it may go on.
struct Stage {
    dispatch: Dispatch,
    account: Arc<Account>,
    /// Is told when an intent is durable and nobody knows yet.
    intents: mpsc::UnboundedReceiver<()>,
    /// Dropping it lets the store go on for ever.
    go_on: blocking::Sender<()>,
    calls: Arc<AtomicUsize>,
    _folder: TempDir,
}

impl Stage {
    fn set() -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = "[[accounts]]\nid = 'acme'\nprovider = 'connectby'\nsecret_key = 'k'\n";
        let config = Config::parse(text, &BTreeMap::new()).expect("good");
        let (told, intents) = mpsc::unbounded_channel();
        let (go_on, may_go_on) = blocking::channel();
        let owner = ReplicaId::generate();
        let store = Store::open(Options {
            path: folder.path().join("switchboard.db"),
            encode: |_, _| Bytes::new(),
            committed: Box::new(move |changes| {
                if !changes.messages.is_empty() {
                    let _ = told.send(());
                    let _ = may_go_on.recv();
                }
            }),
            replica_id: owner,
            max_pages: None,
        });
        let store = store.expect("opens");
        let accounts = Accounts::new(&config.accounts).expect("set up");
        let account = Arc::clone(accounts.iter().next().expect("one"));
        let stopping = CancellationToken::new();
        let dispatch = Dispatch::new(accounts, store, owner, OnNotDone::new(|_, _| {}), stopping);
        Self { dispatch, account, intents, go_on, calls: Arc::default(), _folder: folder }
    }

    /// A send that the provider accepts.
    fn send(&self, request: &Request) -> impl Future<Output = Result<Message, Failure>> + use<> {
        let calls = Arc::clone(&self.calls);
        let call: Call = Box::new(move |_, _| {
            calls.fetch_add(1, Ordering::SeqCst);
            let accepted = AcceptedMessage { provider_ids: vec!["P1".to_owned()], provider_state: None };
            ready(Ok(Accepted::Message(accepted))).boxed()
        });
        let terms = SendOptions { request: Some(request.clone()), ..SendOptions::default() };
        let to = "+15550100001".parse().expect("an address");
        let draft = draft(MessageId::generate(), &self.account, &to, Channel::WhatsApp, None, &terms);
        let (dispatch, account) = (self.dispatch.clone(), Arc::clone(&self.account));
        let until = Instant::now() + PATIENCE;
        async move { Ok(dispatch.send_out(account, draft, terms.request, call, until).await?.value) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn request() -> Request {
    Request { id: "a".parse().expect("an id"), fingerprint: Fingerprint([7; 32]), resend_after: None }
}

#[tokio::test]
async fn a_caller_who_leaves_while_the_intent_is_written_has_nothing_sent_and_leaves_nothing_behind() {
    let mut stage = Stage::set();
    let mut send = Box::pin(stage.send(&request()));
    tokio::select! {
        _ = &mut send => panic!("too early"),
        told = stage.intents.recv() => told.expect("the store lives"),
    }
    drop(send);
    stage.go_on.send(()).expect("the store waits");
    stage.dispatch.drain().await;
    assert_eq!(stage.calls(), 0);
    let record = stage.dispatch.store.request(stage.account.id(), &request().id).await;
    assert_eq!(record.expect("readable"), None);
}

#[tokio::test]
async fn whoever_comes_while_the_intent_of_one_who_left_is_written_takes_it_over() {
    let mut stage = Stage::set();
    let mut first = Box::pin(stage.send(&request()));
    tokio::select! {
        _ = &mut first => panic!("too early"),
        told = stage.intents.recv() => told.expect("the store lives"),
    }
    let mut second = Box::pin(stage.send(&request()));
    assert!((&mut second).now_or_never().is_none(), "it has joined");
    drop(first);
    let Stage { dispatch, go_on, calls, .. } = stage;
    drop(go_on);
    assert_eq!(second.await.expect("accepted").attempt, 1);
    dispatch.drain().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_an_attempt_whose_task_is_gone_nobody_can_tell() {
    let stage = Stage::set();
    let begin = BeginAttempt {
        account: stage.account.id().clone(),
        request: request(),
        replica_id: stage.dispatch.owner,
        not_after: UnixMillis::now().plus(PATIENCE),
        message: None,
    };
    stage.dispatch.store.commit(vec![Op::BeginAttempt(Box::new(begin))]).await.expect("written");
    for resend_after in [None, Some(1)] {
        let request = Request { resend_after, ..request() };
        let until = Instant::now() + PATIENCE;
        let told = stage.dispatch.known(&stage.account, &request, until).await;
        let Err(Failure { attempt: Some(1), source, .. }) = told else { panic!("it may have been done") };
        assert!(matches!(*source, Cause::OutcomeUnknown(_)), "{source:?}");
    }
}
