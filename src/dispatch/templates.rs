//! Templates, held against the provider's list before they are sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Cause, Dispatch};
use crate::domain::message::Outgoing;
use crate::domain::{ProviderFault, Uncertainty};
use crate::provider::{Account, Error as ProviderError, Prepared};

/// How long it may take to read what a send needs, its template above all.
const PREPARATION: Duration = Duration::from_secs(60);

/// Something that does not fit a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field's path in the request, `template.body[1]`.
    pub field: String,
    /// What the template wants. Never quotes what was given.
    pub problem: String,
}

impl Dispatch {
    /// Notes that the provider has refused a send in a way that says that its templates have changed.
    pub(super) fn templates_outdated(&self, _account: &Account, _fault: &ProviderFault) {}

    /// Reads what a message needs, and holds it against that. Nothing is sent.
    pub(super) async fn prepare(
        &self,
        account: &Arc<Account>,
        message: Outgoing,
        _skip_check: bool,
        _deadline: Option<Instant>,
    ) -> Result<Prepared, Cause> {
        let prepared = match tokio::time::timeout(PREPARATION, account.prepare(message)).await {
            Ok(prepared) => prepared,
            Err(_) => Err(ProviderError::Unknown { cause: Uncertainty::TimedOut, fault: None }),
        };
        prepared.map_err(Cause::NotPrepared)
    }
}
