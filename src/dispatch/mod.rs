//! Every call to a provider, from request to outcome.
//!
//! A send reads what it needs while its client waits. The write itself runs on its own task. Once the provider call has
//! started, it runs to its end even if the client disconnects, and its outcome is recorded. A write with a [`Request`]
//! is made once, however often it is requested.
//!
//! **Invariants.** If an earlier attempt at a request may have succeeded, no further attempt is made, unless the client
//! named that attempt. Every call passes its account's gate.

mod attempt;
mod gate;
mod in_flight;
mod read;
mod retry;
mod spool;
mod templates;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use attempt::{Accepted, Call, EarlierResult, WriteJob};
pub use gate::Rejected;
use gate::{Class, Gates};
use in_flight::InFlightTable;
pub use spool::{MAX_FILES as MAX_UPLOADS, Spool};
use templates::Templates;

use crate::domain::message::{CallbackData, Content, ContentKind, Message, Outgoing, SESSION_WINDOW};
use crate::domain::outcome::UnknownOutcome;
use crate::domain::request::Request;
use crate::domain::{Address, Channel, MessageId, MessageState, PhoneNumber, UnixMillis};
pub use crate::provider::TemplateMismatch;
use crate::provider::{Account, Accounts, Error as ProviderError, PreparedSend, Upload};
use crate::store::{ReplicaId, Store};

/// The maximum number of sends without a request id whose outcome waits for a store that cannot write.
const MAX_UNRECORDED: usize = 10_000;

/// Makes all calls to providers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatch {
    accounts: Accounts,
    store: Store,
    replica_id: ReplicaId,
    on_not_done: OnNotDone,
    gates: Gates,
    in_flight: InFlightTable,
    templates: Templates,
    stopping: CancellationToken,
    tasks: TaskTracker,
    /// One slot for each file that is being uploaded.
    spool_slots: Arc<Semaphore>,
    /// One slot for each outcome that the store could not record yet.
    unrecorded_slots: Arc<Semaphore>,
}

/// A callback for an attempt at a message that was refused or not sent. It runs after the store has recorded that
/// outcome.
#[derive(Clone)]
pub struct OnNotDone(Arc<NotDoneCallback>);

type NotDoneCallback = dyn Fn(MessageId, &Failure) + Send + Sync;

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

/// The options of a send.
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// The idempotency key, if the send has one.
    pub request: Option<Request>,
    /// When the client stops waiting. Absent: never.
    pub deadline: Option<Instant>,
    /// Whether to fail a send whose session window is known to be closed.
    pub check_session_window: bool,
    /// Whether to send a template without checking it against the provider's list.
    pub skip_template_check: bool,
}

/// A successful write.
#[derive(Clone, Debug)]
pub struct Completed<T> {
    /// Its result.
    pub value: T,
    /// Whether an earlier request with the same id made it.
    pub replayed: bool,
}

/// The result of an attempt that the provider accepted.
#[derive(Clone, Debug)]
struct AcceptedWrite {
    /// The message, if the write is a send.
    message: Option<Box<Message>>,
    /// The reply, if the write is not a send.
    reply: Option<Bytes>,
    /// Whether an earlier request with the same id made it.
    replayed: bool,
}

/// A write that failed, or whose outcome is unknown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the write failed")]
pub struct Failure {
    /// The message, if the write is a send that got far enough to have one.
    pub message_id: Option<MessageId>,
    /// The number of the attempt, if the write has a request id and an attempt was recorded.
    pub attempt: Option<u32>,
    /// The cause. All waiters of one attempt share it.
    pub source: Arc<Cause>,
}

/// Why a call failed, or why its outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The outcome at the provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A read that the send depends on failed. Nothing was sent.
    #[error("a read before the send failed")]
    NotPrepared(#[source] ProviderError),
    /// The account's gate rejected it. Nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The message does not match its template. Nothing was sent.
    #[error("the message does not match its template")]
    TemplateMismatch(Vec<TemplateMismatch>),
    /// As far as the store knows, the customer has not written within 24 hours. Nothing was sent.
    #[error("the session window is closed")]
    WindowClosed {
        /// When it closed.
        since: UnixMillis,
    },
    /// An earlier request with the same id had other content. Nothing was sent.
    #[error("the request id was used for a different request")]
    Reused,
    /// The outcome of an earlier attempt is unknown, and the client did not allow another one. Nothing was sent now.
    #[error("the outcome of an earlier attempt is unknown: {}", .0.cause)]
    OutcomeUnknown(UnknownOutcome),
    /// The store could not record that an attempt is about to begin. Nothing was sent.
    #[error("the store cannot be written")]
    StoreUnavailable,
    /// The store could not be read, so earlier attempts are not known. Nothing was sent now.
    #[error("the store cannot be read")]
    StoreUnreadable,
    /// The server is stopping. Nothing was sent.
    #[error("the server is stopping")]
    Stopping,
    /// The write's task ended without a result. The write may have succeeded.
    #[error("the write failed inside the server; its outcome is unknown")]
    TaskFailed,
}

impl Failure {
    /// A failure before there was an attempt.
    fn before_attempt(cause: Cause) -> Self {
        Self { message_id: None, attempt: None, source: Arc::new(cause) }
    }
}

impl Dispatch {
    /// Makes calls with these accounts.
    pub fn new(
        accounts: Accounts,
        store: Store,
        replica_id: ReplicaId,
        on_not_done: OnNotDone,
        stopping: CancellationToken,
    ) -> Self {
        let gates = Gates::new(&accounts, &stopping);
        let templates = Templates::new(&accounts);
        Self {
            accounts,
            store,
            replica_id,
            on_not_done,
            gates,
            in_flight: InFlightTable::default(),
            templates,
            stopping,
            tasks: TaskTracker::new(),
            spool_slots: Arc::new(Semaphore::new(spool::MAX_FILES)),
            unrecorded_slots: Arc::new(Semaphore::new(MAX_UNRECORDED)),
        }
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Makes a write that is not a send, and retries while the provider did nothing. It runs on its own task, so the
    /// client may disconnect. A write with a request id is made once: a repeated request gets the bytes of the first
    /// reply.
    ///
    /// # Errors
    ///
    /// If the provider does not accept the write, or its outcome is unknown.
    pub async fn write<F>(
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
        let until = self.gates.of(account).wait_limit(deadline);
        let reply = |AcceptedWrite { reply, replayed, .. }: AcceptedWrite| Completed {
            value: reply.expect("an accepted write that is not a send has a reply"),
            replayed,
        };
        if let Some(request) = &request
            && let EarlierResult::Accepted(earlier) = self.find_earlier(account, request, until).await?
        {
            return Ok(reply(earlier));
        }
        let call: Call = Box::new(move |account, _| write(account).map_ok(Accepted::Write).boxed());
        let account = Arc::clone(account);
        let job = WriteJob { account, operation, class: Class::Write, request, message: None };
        self.attempt(job, call, until).await.map(reply)
    }

    /// Sends a message and waits for the outcome.
    ///
    /// # Errors
    ///
    /// If the provider does not accept the message, or the outcome is unknown.
    pub async fn send(
        &self,
        account: Arc<Account>,
        message: Outgoing,
        options: SendOptions,
    ) -> Result<Completed<Message>, Failure> {
        let until = self.gates.of(&account).wait_limit(options.deadline);
        let is_template = matches!(message.content, Content::Template(_));
        let message_id = match self.find_earlier_send(&account, &options, until, is_template).await? {
            EarlierResult::Accepted(earlier) => return Ok(sent(earlier)),
            EarlierResult::NotAccepted { message_id } => message_id.unwrap_or_else(MessageId::generate),
        };
        if options.check_session_window && !is_template {
            self.check_window(&account, &message.to, message.sender.as_ref()).await?;
        }
        let draft = Message {
            sender: message.sender.clone(),
            content_kind: message.content.kind(),
            template_name: message.content.template_name().map(str::to_owned),
            campaign_name: Some(message.campaign_name.clone()).filter(|name| !name.is_empty()),
            callback_data: message.callback_data.clone(),
            ..draft(message_id, &account, &message.to, message.channel, &options)
        };
        let prepared = self.prepare(&account, message, options.skip_template_check, options.deadline);
        let failed = |cause| Failure { message_id: Some(message_id), attempt: None, source: Arc::new(cause) };
        let prepared = Arc::<dyn PreparedSend>::from(prepared.await.map_err(failed)?);
        let call: Call = Box::new(move |_, attempt| {
            let prepared = Arc::clone(&prepared);
            let attempt = attempt.expect("a send has a message");
            async move { prepared.send(attempt).await.map(Accepted::Message) }.boxed()
        });
        self.send_draft(account, draft, options.request, call, until).await
    }

    /// Sends a file and waits for the outcome.
    ///
    /// # Errors
    ///
    /// If the provider does not accept the file, or the outcome is unknown.
    ///
    /// # Panics
    ///
    /// If the account does not support uploads: check [`Account::uploads`] first.
    pub async fn send_media(
        &self,
        account: Arc<Account>,
        to: Address,
        channel: Channel,
        callback_data: Option<CallbackData>,
        file: Upload,
        options: SendOptions,
    ) -> Result<Completed<Message>, Failure> {
        let until = self.gates.of(&account).wait_limit(options.deadline);
        let message_id = match self.find_earlier_send(&account, &options, until, false).await? {
            EarlierResult::Accepted(earlier) => return Ok(sent(earlier)),
            EarlierResult::NotAccepted { message_id } => message_id.unwrap_or_else(MessageId::generate),
        };
        if options.check_session_window {
            self.check_window(&account, &to, None).await?;
        }
        let draft = Message { callback_data, ..draft(message_id, &account, &to, channel, &options) };
        let call: Call = Box::new(move |account, _| {
            let (to, file) = (to.clone(), file.clone());
            let send = async move {
                let uploads = account.uploads().expect("the account supports uploads");
                uploads.send_media(&to, file).await.map(Accepted::Message)
            };
            send.boxed()
        });
        self.send_draft(account, draft, options.request, call, until).await
    }

    /// Finds the result of an earlier send, if this send reads or checks something before its attempt. A repeated
    /// request must neither wait for those reads nor fail at those checks. Without them, the attempt itself finds the
    /// result.
    async fn find_earlier_send(
        &self,
        account: &Account,
        options: &SendOptions,
        until: Instant,
        is_template: bool,
    ) -> Result<EarlierResult, Failure> {
        match &options.request {
            Some(request) if is_template || options.check_session_window => {
                self.find_earlier(account, request, until).await
            }
            Some(_) | None => Ok(EarlierResult::NotAccepted { message_id: None }),
        }
    }

    async fn send_draft(
        &self,
        account: Arc<Account>,
        draft: Message,
        request: Option<Request>,
        call: Call,
        until: Instant,
    ) -> Result<Completed<Message>, Failure> {
        let (operation, class) = ("send", Class::Send);
        let job = WriteJob { account, operation, class, request, message: Some(draft) };
        self.attempt(job, call, until).await.map(sent)
    }

    /// Fails if the customer is known not to have written within 24 hours.
    async fn check_window(
        &self,
        account: &Account,
        to: &Address,
        sender: Option<&PhoneNumber>,
    ) -> Result<(), Failure> {
        let last = self.store.last_received(account.id(), to, sender).await;
        let last = last.map_err(|_| Failure::before_attempt(Cause::StoreUnavailable))?;
        match last.map(|last| last.plus(SESSION_WINDOW)) {
            Some(closed) if closed <= UnixMillis::now() => {
                Err(Failure::before_attempt(Cause::WindowClosed { since: closed }))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Reserves a slot for a file that is about to be uploaded. Returns none if all slots are taken.
    pub fn spool(&self) -> Option<Spool> {
        Arc::clone(&self.spool_slots).try_acquire_owned().ok().map(Spool::new)
    }

    /// Accepts no further writes, and waits until those in flight have ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A file's message before its first attempt. Other messages replace what is particular to them.
fn draft(id: MessageId, account: &Account, to: &Address, channel: Channel, options: &SendOptions) -> Message {
    let now = UnixMillis::now();
    Message {
        id,
        provider_ids: Vec::new(),
        account: account.id().clone(),
        provider: account.provider(),
        to: to.clone(),
        sender: None,
        recipient_wa_id: None,
        channel,
        content_kind: ContentKind::Media,
        template_name: None,
        campaign_name: None,
        state: MessageState::Pending,
        provider_state: None,
        problem: None,
        request_id: options.request.as_ref().map(|request| request.id.clone()),
        attempt: 1,
        callback_data: None,
        create_time: now,
        update_time: now,
    }
}

fn sent(accepted: AcceptedWrite) -> Completed<Message> {
    let AcceptedWrite { message, replayed, .. } = accepted;
    Completed { value: *message.expect("an accepted send has a message"), replayed }
}
