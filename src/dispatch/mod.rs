//! A send, from request to outcome.
//!
//! What a send needs is read while its caller waits. The send itself runs on a task of its own: whoever asked may hang
//! up, it runs to its end, and its outcome is counted and logged all the same. Nothing is ever sent twice by itself.

mod spool;

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

pub use spool::Spool;

use crate::domain::message::{Message, Outgoing};
use crate::domain::{Address, Channel, MessageId, MessageState, UnixMillis};
use crate::provider::{Accepted, Account, Accounts, Error as ProviderError, Uncertainty, Upload};
use crate::telemetry::metrics::{SENDS, WRITES, outcome};

/// How long it may take to read what a send needs, its template above all.
const PREPARATION: Duration = Duration::from_secs(60);

/// Sends messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatch {
    accounts: Accounts,
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

/// A send that was not accepted.
#[derive(Debug, thiserror::Error)]
#[error("message {message_id} was not accepted")]
pub struct Failure {
    /// The message, which had its id before anything went out.
    pub message_id: MessageId,
    /// Why.
    pub source: Cause,
}

/// Why a send was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// What came of it at the provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// What must be read before could not be read. Nothing was sent.
    #[error("the send could not be prepared")]
    NotPrepared(#[source] ProviderError),
    /// The server stops, and nothing was sent.
    #[error("the server is stopping")]
    Stopping,
    /// The send's task died; the message may have gone out.
    #[error("the send broke off inside the server")]
    BrokeOff,
}

impl Dispatch {
    /// Sends with these accounts.
    pub fn new(accounts: Accounts) -> Self {
        Self { accounts, tasks: TaskTracker::new(), places: Arc::new(Semaphore::new(spool::MOST_FILES)) }
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Sends a message, once, and waits for the outcome. Dropping the future ends the wait, not the send.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn send(&self, account: Arc<Account>, message: Outgoing) -> Result<Message, Failure> {
        let message_id = MessageId::generate();
        let (to, channel) = (message.to.clone(), message.channel);
        // Reading is done while the caller waits, and ends when the caller leaves.
        let prepared = match tokio::time::timeout(PREPARATION, account.prepare(message)).await {
            Ok(prepared) => prepared,
            Err(_) => Err(ProviderError::Unknown { cause: Uncertainty::TimedOut, fault: None }),
        };
        let prepared = prepared.map_err(|error| {
            tell(&account, message_id, outcome::NOT_SENT, Some(&error));
            Failure { message_id, source: Cause::NotPrepared(error) }
        })?;
        let sending = {
            let account = Arc::clone(&account);
            async move { account.send(&prepared).await }
        };
        self.message(account, message_id, to, channel, sending).await
    }

    /// Sends a file, once, and waits for the outcome. Dropping the future ends the wait, not the send.
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
        file: Upload,
    ) -> Result<Message, Failure> {
        let sending = {
            let (account, to) = (Arc::clone(&account), to.clone());
            async move {
                let uploads = account.uploads().expect("files go only to accounts that take them");
                uploads.send_media(&to, file).await
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
        sending: impl Future<Output = Result<Accepted, ProviderError>> + Send + 'static,
    ) -> Result<Message, Failure> {
        self.spawn(run(account, message_id, to, channel, sending))
            .await
            .map_err(|source| Failure { message_id, source })
    }

    /// Does another write at a provider than a send: on a task of its own, so that whoever asked may hang up.
    ///
    /// # Errors
    ///
    /// Every outcome but the provider's "yes".
    pub async fn write<T: Send + 'static>(
        &self,
        account: &Account,
        operation: &'static str,
        write: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, Cause> {
        let account = account.id().clone();
        self.spawn(async move {
            let result = write.await;
            let outcome = outcome_of(&result);
            counter!(WRITES, "account" => account.to_string(), "operation" => operation, "outcome" => outcome)
                .increment(1);
            if let Err(error) = &result {
                let error = error as &dyn std::error::Error;
                tracing::warn!(%account, operation, outcome, error, "a write was not accepted");
            }
            result
        })
        .await
    }

    async fn spawn<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T, ProviderError>> + Send + 'static,
    ) -> Result<T, Cause> {
        if self.tasks.is_closed() {
            return Err(Cause::Stopping);
        }
        match self.tasks.spawn(write).await {
            Ok(result) => result.map_err(Cause::Provider),
            Err(_) => Err(Cause::BrokeOff),
        }
    }

    /// Takes no more sends, and waits until those under way have ended.
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
    sending: impl Future<Output = Result<Accepted, ProviderError>>,
) -> Result<Message, ProviderError> {
    let create_time = UnixMillis::now();
    let result = sending.await;
    tell(&account, id, outcome_of(&result), result.as_ref().err());
    let accepted = result?;
    Ok(Message {
        id,
        provider_ids: accepted.provider_ids,
        account: account.id().clone(),
        provider: account.provider(),
        to,
        channel,
        state: MessageState::Accepted,
        provider_state: accepted.provider_state,
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

const fn outcome_of<T>(result: &Result<T, ProviderError>) -> &'static str {
    match result {
        Ok(_) => outcome::ACCEPTED,
        Err(ProviderError::Refused(_)) => outcome::REFUSED,
        Err(ProviderError::NotSent(_)) => outcome::NOT_SENT,
        Err(ProviderError::Unknown { .. }) => outcome::UNKNOWN,
    }
}
