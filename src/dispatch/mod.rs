//! Every call to a provider, from request to outcome.
//!
//! What a send needs is read while its caller waits. The write itself runs on a task of its own: once it is handed to
//! the provider it runs to its end, whoever hangs up, and its outcome is recorded. What has a [`Request`] is done once,
//! however often it is asked for.
//!
//! **Invariants.** Nothing goes out for a request while an earlier attempt at it may have been acted on, unless the
//! caller named that attempt. Every call passes its account's gate.

mod attempt;
mod gate;
mod read;
mod requests;
mod retry;
mod spool;
mod templates;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use attempt::{Accepted, Call, Known, Work};
pub use gate::Rejected;
use gate::{Class, Gates};
use requests::Requests;
pub use spool::Spool;
pub use templates::TemplateMismatch;
use templates::Templates;

use crate::domain::message::{CallbackData, Content, Message, Outgoing, SESSION_WINDOW};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::Request;
use crate::domain::{Address, Channel, MessageId, MessageState, PhoneNumber, UnixMillis};
use crate::provider::{Account, Accounts, Error as ProviderError, Upload};
use crate::store::{ReplicaId, Store};

/// The most outcomes of sends without a request's id that wait for a store that cannot write.
const MOST_UNWRITTEN: usize = 10_000;

/// Makes all calls to providers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatch {
    accounts: Accounts,
    store: Store,
    owner: ReplicaId,
    on_not_done: OnNotDone,
    gates: Gates,
    requests: Requests,
    templates: Templates,
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// Room for files that are taken in.
    places: Arc<Semaphore>,
    /// Room for outcomes that the store could not take yet.
    unwritten: Arc<Semaphore>,
}

/// Is called, after the store has recorded it, when an attempt at a message ended and the provider did nothing.
#[derive(Clone)]
pub struct OnNotDone(Arc<dyn Fn(MessageId, &Failure) + Send + Sync>);

impl OnNotDone {
    /// Calls `notify`.
    pub fn new(notify: impl Fn(MessageId, &Failure) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }
}

impl fmt::Debug for OnNotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnNotDone")
    }
}

/// How a send is to be done.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// Makes it repeatable.
    pub request: Option<Request>,
    /// When the caller stops waiting. Absent: never.
    pub deadline: Option<Instant>,
    /// Whether to refuse what cannot be delivered, because the customer is known not to have written lately.
    pub check_session_window: bool,
    /// Whether to send a template without holding it against the provider's list.
    pub skip_template_check: bool,
}

/// What was done, now or before.
#[derive(Clone, Debug)]
pub struct Completed<T> {
    /// What came of it.
    pub value: T,
    /// Whether it was done for an earlier request of the same id.
    pub replayed: bool,
}

/// What an attempt came to that was accepted.
#[derive(Clone, Debug)]
struct WriteResult {
    /// The message, where it was a send.
    message: Option<Box<Message>>,
    /// The reply, where it was another write.
    reply: Option<Bytes>,
    /// Whether it was done for an earlier request of the same id.
    replayed: bool,
}

/// A write that was not done, or of which nobody can tell.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the write was not done")]
pub struct Failure {
    /// The message, where it was a send that came so far as to have one.
    pub message_id: Option<MessageId>,
    /// Which attempt, where the write is repeatable and came so far.
    pub attempt: Option<u32>,
    /// Why. Shared by all who wait for one attempt.
    pub source: Arc<Cause>,
}

/// Why a call was not done, or why nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// What came of it at the provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// What must be read before could not be read. Nothing was sent.
    #[error("the send could not be prepared")]
    NotPrepared(#[source] ProviderError),
    /// The account's gate did not let it through. Nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It does not fit its template. Nothing was sent.
    #[error("the message does not fit its template")]
    TemplateMismatch(Vec<TemplateMismatch>),
    /// The customer has not written within 24 hours, as far as is known. Nothing was sent.
    #[error("the conversation's window is closed")]
    WindowClosed {
        /// Since when.
        since: UnixMillis,
    },
    /// An earlier request of the same id asked for something else. Nothing was sent.
    #[error("the request's id stands for another request")]
    Reused,
    /// An earlier attempt may have been done, and the caller has not said to make another. Nothing was sent now.
    #[error("the outcome of an earlier attempt is unknown: {}", .0.cause)]
    OutcomeUnknown(UnknownOutcome),
    /// That the write is about to begin could not be written down. Nothing was sent.
    #[error("the store cannot be written or read")]
    Unrecorded,
    /// The server stops. Nothing was sent.
    #[error("the server is stopping")]
    Stopping,
    /// The write's task died; it may have been done.
    #[error("the write broke off inside the server")]
    BrokeOff,
}

impl Failure {
    /// One before there was an attempt.
    fn of(cause: Cause) -> Self {
        Self { message_id: None, attempt: None, source: Arc::new(cause) }
    }
}

impl Dispatch {
    /// Makes calls with these accounts.
    pub fn new(
        accounts: Accounts,
        store: Store,
        owner: ReplicaId,
        on_not_done: OnNotDone,
        stopping: CancellationToken,
    ) -> Self {
        let gates = Gates::new(&accounts, &stopping);
        let templates = Templates::new(&accounts);
        Self {
            accounts,
            store,
            owner,
            on_not_done,
            gates,
            requests: Requests::default(),
            templates,
            stopping,
            tasks: TaskTracker::new(),
            places: Arc::new(Semaphore::new(spool::MOST_FILES)),
            unwritten: Arc::new(Semaphore::new(MOST_UNWRITTEN)),
        }
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Does a write at a provider that is no send, trying again only what has provably not been done. On a task of its
    /// own, so that whoever asked may hang up.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn write<T, F>(
        &self,
        account: &Arc<Account>,
        operation: &'static str,
        deadline: Option<Instant>,
        write: impl Fn(Arc<Account>) -> F + Send + Sync + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        // Nobody else waits for it, so its value need not be one that can be kept.
        let value = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&value);
        let write = move |account| {
            let keep = Arc::clone(&keep);
            write(account).map_ok(move |value| {
                *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Bytes::new()
            })
        };
        self.write_once(account, operation, None, deadline, write).await?;
        let value = value.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(value.expect("a write that was accepted has its value"))
    }

    /// Does a write that is no send, once for each request: a repetition gets the bytes of the first reply.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn write_once<F>(
        &self,
        account: &Arc<Account>,
        operation: &'static str,
        request: Option<Request>,
        deadline: Option<Instant>,
        write: impl Fn(Arc<Account>) -> F + Send + Sync + 'static,
    ) -> Result<Completed<Bytes>, Failure>
    where
        F: Future<Output = Result<Bytes, ProviderError>> + Send + 'static,
    {
        let until = self.gates.of(account).until(deadline);
        let reply = |WriteResult { reply, replayed, .. }: WriteResult| Completed {
            value: reply.expect("a write that is no send keeps its reply"),
            replayed,
        };
        if let Some(request) = &request
            && let Known::Settled(known) = self.known(account, request, until).await?
        {
            return Ok(reply(known));
        }
        let call: Call = Box::new(move |account, _| write(account).map_ok(Accepted::Write).boxed());
        let account = Arc::clone(account);
        let work = Work { account, operation, class: Class::Write, request, message: None };
        self.attempt(work, call, until).await.map(reply)
    }

    /// Sends a message and waits for the outcome.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn send(
        &self,
        account: Arc<Account>,
        message: Outgoing,
        terms: SendOptions,
    ) -> Result<Completed<Message>, Failure> {
        let until = self.gates.of(&account).until(terms.deadline);
        let prepares = matches!(message.content, Content::Template(_));
        let message_id = match self.known_send(&account, &terms, until, prepares).await? {
            Known::Settled(known) => return Ok(sent(known)),
            Known::Undone { message_id } => message_id.unwrap_or_else(MessageId::generate),
        };
        if terms.check_session_window && !prepares {
            self.check_window(&account, &message.to, message.sender.as_ref()).await?;
        }
        let callback_data = message.callback_data.clone();
        let draft = draft(message_id, &account, &message.to, message.channel, callback_data, &terms);
        let prepared = self.prepare(&account, message, terms.skip_template_check, terms.deadline);
        let failed = |cause| Failure { message_id: Some(message_id), attempt: None, source: Arc::new(cause) };
        let prepared = Arc::new(prepared.await.map_err(failed)?);
        let call: Call = Box::new(move |account, attempt| {
            let prepared = Arc::clone(&prepared);
            let attempt = attempt.expect("a send has a message");
            async move { account.send(&prepared, attempt).await.map(Accepted::Message) }.boxed()
        });
        self.send_out(account, draft, terms.request, call, until).await
    }

    /// Sends a file and waits for the outcome.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    ///
    /// # Panics
    ///
    /// When the account takes no files: [`Account::uploads`] tells.
    pub async fn send_media(
        &self,
        account: Arc<Account>,
        to: Address,
        channel: Channel,
        callback_data: Option<CallbackData>,
        file: Upload,
        terms: SendOptions,
    ) -> Result<Completed<Message>, Failure> {
        let until = self.gates.of(&account).until(terms.deadline);
        let message_id = match self.known_send(&account, &terms, until, false).await? {
            Known::Settled(known) => return Ok(sent(known)),
            Known::Undone { message_id } => message_id.unwrap_or_else(MessageId::generate),
        };
        if terms.check_session_window {
            self.check_window(&account, &to, None).await?;
        }
        let draft = draft(message_id, &account, &to, channel, callback_data, &terms);
        let call: Call = Box::new(move |account, _| {
            let (to, file) = (to.clone(), file.clone());
            let send = async move {
                let uploads = account.uploads().expect("files go only to accounts that take them");
                uploads.send_media(&to, file).await.map(Accepted::Message)
            };
            send.boxed()
        });
        self.send_out(account, draft, terms.request, call, until).await
    }

    /// What is known of a send, where something is to be done for it that a repetition must not wait for or fail at.
    /// Where nothing is, the attempt finds out by itself.
    async fn known_send(
        &self,
        account: &Account,
        terms: &SendOptions,
        until: Instant,
        prepares: bool,
    ) -> Result<Known, Failure> {
        match &terms.request {
            Some(request) if prepares || terms.check_session_window => {
                self.known(account, request, until).await
            }
            Some(_) | None => Ok(Known::Undone { message_id: None }),
        }
    }

    async fn send_out(
        &self,
        account: Arc<Account>,
        draft: Message,
        request: Option<Request>,
        call: Call,
        until: Instant,
    ) -> Result<Completed<Message>, Failure> {
        let (operation, class) = ("send", Class::Send);
        let work = Work { account, operation, class, request, message: Some(draft) };
        self.attempt(work, call, until).await.map(sent)
    }

    /// Refuses what goes to a customer who is known not to have written within 24 hours.
    async fn check_window(
        &self,
        account: &Account,
        to: &Address,
        sender: Option<&PhoneNumber>,
    ) -> Result<(), Failure> {
        let last = self.store.last_received(account.id(), to, sender).await;
        let last = last.map_err(|_| Failure::of(Cause::Unrecorded))?;
        match last.map(|last| last.plus(SESSION_WINDOW)) {
            Some(closed) if closed <= UnixMillis::now() => {
                Err(Failure::of(Cause::WindowClosed { since: closed }))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Makes room for a file that is to be uploaded. None when there are as many as there may be.
    pub fn spool(&self) -> Option<Spool> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Spool::new)
    }

    /// Takes no more writes, and waits until those under way have ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A message as it is before an attempt at it.
fn draft(
    id: MessageId,
    account: &Account,
    to: &Address,
    channel: Channel,
    callback_data: Option<CallbackData>,
    terms: &SendOptions,
) -> Message {
    let now = UnixMillis::now();
    Message {
        id,
        provider_ids: Vec::new(),
        account: account.id().clone(),
        provider: account.provider(),
        to: to.clone(),
        channel,
        state: MessageState::Pending,
        provider_state: None,
        problem: None,
        request_id: terms.request.as_ref().map(|request| request.id.clone()),
        attempt: 1,
        callback_data,
        create_time: now,
        update_time: now,
    }
}

fn sent(outcome: WriteResult) -> Completed<Message> {
    let WriteResult { message, replayed, .. } = outcome;
    Completed { value: *message.expect("a send that was accepted has a message"), replayed }
}
