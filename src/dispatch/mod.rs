//! Every call to a provider, from request to outcome.
//!
//! What a send needs is read while its caller waits. The write itself runs on a task of its own: once it is handed to
//! the provider it runs to its end, whoever hangs up, and its outcome is recorded. What has a [`Request`] is done once,
//! however often it is asked for.
//!
//! **Invariants.** Nothing goes out for a request while an earlier attempt at it may have been acted on, unless the
//! caller named that attempt. Every call passes its account's gate.

mod gate;
mod lives;
mod read;
mod retry;
mod spool;
mod templates;

use std::sync::Arc;

use bytes::Bytes;
use metrics::counter;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use gate::Gates;
pub use gate::Held;
pub use lives::Lives;
pub use spool::Spool;
pub use templates::Misfit;

use crate::domain::message::{CallbackData, Message, Outgoing};
use crate::domain::outcome::Doubt;
use crate::domain::request::Request;
use crate::domain::{Address, AttemptId, Channel, MessageId, MessageState, UnixMillis};
use crate::provider::{Accepted, Account, Accounts, Error as ProviderError, Upload};
use crate::store::{Owner, Store};
use crate::telemetry::metrics::{SENDS, WRITES, outcome};

/// Makes all calls to providers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatch {
    accounts: Accounts,
    store: Store,
    owner: Owner,
    lives: Lives,
    gates: Gates,
    stopping: CancellationToken,
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

/// How a send is to be done.
#[derive(Clone, Debug, Default)]
pub struct Terms {
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
pub struct Done<T> {
    /// What came of it.
    pub value: T,
    /// Whether it was done for an earlier request of the same id.
    pub replayed: bool,
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
    Held(#[from] Held),
    /// It does not fit its template. Nothing was sent.
    #[error("the message does not fit its template")]
    Unfit(Vec<Misfit>),
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
    Doubtful(Doubt),
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

impl Dispatch {
    /// Makes calls with these accounts.
    pub fn new(
        accounts: Accounts,
        store: Store,
        owner: Owner,
        lives: Lives,
        stopping: CancellationToken,
    ) -> Self {
        let gates = Gates::new(&accounts, &stopping);
        Self {
            accounts,
            store,
            owner,
            lives,
            gates,
            stopping,
            tasks: TaskTracker::new(),
            places: Arc::new(Semaphore::new(spool::MOST_FILES)),
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
        let provider = Arc::clone(account);
        let account = account.id().clone();
        let gate = Arc::clone(self.gates.of(&provider));
        self.spawn(async move {
            let until = gate.until(deadline);
            let mut tries = retry::Tries::new(gate::Class::Write);
            let result = loop {
                let pass = gate.enter(gate::Class::Write, until).await?;
                let result = write(Arc::clone(&provider)).await;
                pass.ended(&result);
                match result.as_ref().err().and_then(|error| tries.after(error, until)) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => break result,
                }
            };
            let outcome = outcome_of(&result);
            counter!(WRITES, "account" => account.to_string(), "operation" => operation, "outcome" => outcome)
                .increment(1);
            if let Err(error) = &result {
                let error = error as &dyn std::error::Error;
                tracing::warn!(%account, operation, outcome, error, "a write was not accepted");
            }
            result.map_err(Cause::Provider)
        })
        .await
        .map_err(|cause| Failure { message_id: None, attempt: None, source: Arc::new(cause) })
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
        _request: Option<Request>,
        deadline: Option<Instant>,
        write: impl Fn(Arc<Account>) -> F + Send + Sync + 'static,
    ) -> Result<Done<Bytes>, Failure>
    where
        F: Future<Output = Result<Bytes, ProviderError>> + Send + 'static,
    {
        let value = self.write(account, operation, deadline, write).await?;
        Ok(Done { value, replayed: false })
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
        terms: Terms,
    ) -> Result<Done<Message>, Failure> {
        let message_id = MessageId::generate();
        let (to, channel) = (message.to.clone(), message.channel);
        let prepared = self
            .prepare(&account, message, terms.skip_template_check, terms.deadline)
            .await
            .map_err(|cause| Failure { message_id: None, attempt: None, source: Arc::new(cause) })?;
        let sending = {
            let account = Arc::clone(&account);
            let gate = Arc::clone(self.gates.of(&account));
            async move {
                let until = gate.until(terms.deadline);
                let mut tries = retry::Tries::new(gate::Class::Send);
                loop {
                    let pass = gate.enter(gate::Class::Send, until).await?;
                    let result = account.send(&prepared, AttemptId { message_id, number: 1 }).await;
                    pass.ended(&result);
                    match result.as_ref().err().and_then(|error| tries.after(error, until)) {
                        Some(delay) => tokio::time::sleep(delay).await,
                        None => break result.map_err(Cause::Provider),
                    }
                }
            }
        };
        self.message(account, message_id, to, channel, sending).await
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
        _callback_data: Option<CallbackData>,
        file: Upload,
        _terms: Terms,
    ) -> Result<Done<Message>, Failure> {
        let sending = {
            let (account, to) = (Arc::clone(&account), to.clone());
            async move {
                let uploads = account.uploads().expect("files go only to accounts that take them");
                uploads.send_media(&to, file).await.map_err(Cause::Provider)
            }
        };
        self.message(account, MessageId::generate(), to, channel, sending).await
    }

    /// Makes room for a file that is to be uploaded. None when there are as many as there may be.
    pub fn spool(&self) -> Option<Spool> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Spool::new)
    }

    async fn message(
        &self,
        account: Arc<Account>,
        message_id: MessageId,
        to: Address,
        channel: Channel,
        sending: impl Future<Output = Result<Accepted, Cause>> + Send + 'static,
    ) -> Result<Done<Message>, Failure> {
        let sent = self.spawn(run(account, message_id, to, channel, sending)).await;
        sent.map(|value| Done { value, replayed: false }).map_err(|cause| Failure {
            message_id: Some(message_id),
            attempt: None,
            source: Arc::new(cause),
        })
    }

    async fn spawn<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, Cause>> + Send + 'static,
    ) -> Result<T, Cause> {
        if self.tasks.is_closed() {
            return Err(Cause::Stopping);
        }
        match self.tasks.spawn(write).await {
            Ok(result) => result,
            Err(_) => Err(Cause::BrokeOff),
        }
    }

    /// Takes no more writes, and waits until those under way have ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn run(
    account: Arc<Account>,
    id: MessageId,
    to: Address,
    channel: Channel,
    sending: impl Future<Output = Result<Accepted, Cause>>,
) -> Result<Message, Cause> {
    let create_time = UnixMillis::now();
    let result = sending.await;
    let accepted = match result {
        Ok(accepted) => {
            tell(&account, id, outcome::ACCEPTED, None);
            accepted
        }
        Err(Cause::Provider(error)) => {
            tell(&account, id, outcome_of(&Err::<(), _>(&error)), Some(&error));
            return Err(Cause::Provider(error));
        }
        Err(cause) => return Err(cause),
    };
    Ok(Message {
        id,
        provider_ids: accepted.provider_ids,
        account: account.id().clone(),
        provider: account.provider(),
        to,
        channel,
        state: MessageState::Accepted,
        provider_state: accepted.provider_state,
        trouble: None,
        request_id: None,
        attempt: 1,
        callback_data: None,
        create_time,
        update_time: UnixMillis::now(),
    })
}

/// Counts a send, and logs one that failed.
fn tell(account: &Account, id: MessageId, outcome: &'static str, error: Option<&ProviderError>) {
    counter!(SENDS, "account" => account.id().to_string(), "outcome" => outcome).increment(1);
    if let Some(error) = error {
        let error = error as &dyn std::error::Error;
        tracing::warn!(account = %account.id(), message_id = %id, outcome, error, "a message was not accepted");
    }
}

fn outcome_of<T, E: std::borrow::Borrow<ProviderError>>(result: &Result<T, E>) -> &'static str {
    match result.as_ref().map_err(std::borrow::Borrow::borrow) {
        Ok(_) => outcome::ACCEPTED,
        Err(ProviderError::Refused(_)) => outcome::REFUSED,
        Err(ProviderError::NotSent(_)) => outcome::NOT_SENT,
        Err(ProviderError::Unknown { .. }) => outcome::UNKNOWN,
    }
}
