//! Templates, held against the provider's list before they are sent.
//!
//! **Invariants.** Nothing is refused on the word of a reading that is older than the request: it is read again first.
//! At Connectly, which needs no definition to send, the list can only keep back what certainly does not fit; a list that
//! cannot be had, or a template that is not in it, keeps nothing back.
//!
//! There is no least time between two readings for refusals: it would keep back for as long a template that has just
//! been approved. All who are refused while a page is being read share the next reading, so that there is at most one
//! under way and one waiting.

mod check;
mod listing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Cause, Dispatch};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::{Definition, Filled};
use crate::domain::{AccountId, ProviderFault, RefusalReason, UnknownReason};
use crate::provider::{Account, Accounts, Error as ProviderError, Prepared, template_not_found};
use listing::{CachedList, Found, TemplateCache, Wanted};

/// How long it may take to read what a send needs, where its caller waits for ever.
const PREPARATION: Duration = Duration::from_mins(1);

/// The longest that a send waits for a list that it can do without. Of a short deadline, it is half.
const SPARED: Duration = Duration::from_secs(3);

/// How long a list that could not be read is not asked for again by sends that can do without it.
const PAUSE: Duration = Duration::from_secs(10);

/// Something that does not fit a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateMismatch {
    /// The field's path in the request, `template.body[1]`.
    pub field: String,
    /// What the template wants. Never quotes what was given.
    pub problem: String,
}

/// What is known of the templates of all accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    by_account: Arc<HashMap<AccountId, TemplateCache>>,
}

impl Templates {
    /// Nothing is known yet.
    pub(super) fn new(accounts: &Accounts) -> Self {
        let shelf = |account: &Arc<Account>| (account.id().clone(), TemplateCache::default());
        Self { by_account: Arc::new(accounts.iter().map(shelf).collect()) }
    }

    fn of(&self, account: &Account) -> &TemplateCache {
        self.by_account.get(account.id()).expect("each account has its shelf")
    }
}

/// What a reading makes of a send.
enum Judged {
    /// It may go. Where the reading has the template, with it.
    Fits(Option<Arc<Definition>>),
    /// It must not.
    TemplateMismatch(Vec<TemplateMismatch>),
    /// There is no such template.
    Absent,
}

impl Dispatch {
    /// Reads what a message needs, and holds it against that. Nothing is sent.
    pub(super) async fn prepare(
        &self,
        account: &Arc<Account>,
        message: Outgoing,
        skip_check: bool,
        deadline: Option<Instant>,
    ) -> Result<Prepared, Cause> {
        let Content::Template(filled) = &message.content else {
            return Ok(account.prepare(message, None));
        };
        let asked = Instant::now();
        let longest = asked + PREPARATION;
        let until = deadline.map_or(longest, |deadline| deadline.min(longest));
        let definition = if account.needs_definition() {
            let found = timeout_at(until, self.definition(account, filled, skip_check, asked, until));
            let late = |_| {
                Cause::NotPrepared(ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None })
            };
            Some(found.await.map_err(late)??)
        } else {
            if !skip_check {
                let spared = SPARED.min(until.saturating_duration_since(asked) / 2);
                self.check_if_possible(account, filled, asked, asked + spared).await?;
            }
            None
        };
        Ok(account.prepare(message, definition))
    }

    /// Takes note of what a provider said to a send, which may mean that what is known of its templates is old.
    pub(super) fn templates_outdated(&self, account: &Account, fault: &ProviderFault) {
        if matches!(
            fault.refusal,
            RefusalReason::TemplateNotFound
                | RefusalReason::TemplatePaused
                | RefusalReason::TemplateParametersRejected
        ) {
            self.templates.of(account).outdate();
        }
    }

    /// Finds the template that a send cannot do without.
    async fn definition(
        &self,
        account: &Arc<Account>,
        filled: &Filled,
        skip_check: bool,
        asked: Instant,
        until: Instant,
    ) -> Result<Arc<Definition>, Cause> {
        let shelf = self.templates.of(account);
        let mut listing = shelf.listing(Wanted::Good);
        loop {
            let judged = self.classify(&listing, account, filled, skip_check).await;
            let is_new = listing.begun().is_some_and(|begun| begun >= asked);
            return match judged {
                Ok(Judged::Fits(Some(definition))) => Ok(definition),
                // There are too many to keep.
                Ok(Judged::Fits(None)) => {
                    let find = || account.find_template(&filled.name, &filled.language);
                    let found = self.read(account, "list_templates", Some(until), find).await;
                    let found = vec![Arc::new(found.map_err(unprepared)?)];
                    match fitting(account, &found, filled, skip_check) {
                        Ok(definition) => Ok(definition),
                        Err(misfits) => Err(Cause::TemplateMismatch(misfits)),
                    }
                }
                _ if !is_new => {
                    listing = shelf.listing(Wanted::Since(asked));
                    continue;
                }
                Ok(Judged::TemplateMismatch(misfits)) => Err(Cause::TemplateMismatch(misfits)),
                Ok(Judged::Absent) => Err(Cause::NotPrepared(template_not_found(account.provider()))),
                Err(cause) => Err(again(&cause)),
            };
        }
    }

    /// Holds a send against the list, if the list can be had. Only what certainly does not fit is an error.
    async fn check_if_possible(
        &self,
        account: &Arc<Account>,
        filled: &Filled,
        asked: Instant,
        until: Instant,
    ) -> Result<(), Cause> {
        let shelf = self.templates.of(account);
        // Without a language it is the provider's default, whatever that is.
        if filled.language.is_empty() || shelf.failed_within(PAUSE) {
            return Ok(());
        }
        let mut listing = shelf.listing(Wanted::Good);
        loop {
            // Nor is there any waiting for one that hangs already.
            let until = listing.begun().map_or(until, |begun| until.min(begun + SPARED));
            match timeout_at(until, self.classify(&listing, account, filled, false)).await {
                Ok(Ok(Judged::TemplateMismatch(misfits))) => {
                    if listing.begun().is_some_and(|begun| begun >= asked) {
                        return Err(Cause::TemplateMismatch(misfits));
                    }
                    listing = shelf.listing(Wanted::Since(asked));
                }
                Ok(Ok(Judged::Fits(_) | Judged::Absent) | Err(_)) | Err(_) => return Ok(()),
            }
        }
    }

    async fn classify(
        &self,
        listing: &Arc<CachedList>,
        account: &Arc<Account>,
        filled: &Filled,
        skip_check: bool,
    ) -> Result<Judged, Arc<Cause>> {
        Ok(match listing.find(self, account, &filled.name, &filled.language).await? {
            Found::There(found) => match fitting(account, &found, filled, skip_check) {
                Ok(definition) => Judged::Fits(Some(definition)),
                Err(misfits) => Judged::TemplateMismatch(misfits),
            },
            Found::Absent => Judged::Absent,
            Found::Unlisted => Judged::Fits(None),
        })
    }
}

/// The first template that a send fits, or what is wrong with the first.
fn fitting(
    account: &Account,
    found: &[Arc<Definition>],
    filled: &Filled,
    skip_check: bool,
) -> Result<Arc<Definition>, Vec<TemplateMismatch>> {
    let mut told = Vec::new();
    for template in found {
        let misfits =
            if skip_check { Vec::new() } else { check::misfits(account.provider(), template, filled) };
        if misfits.is_empty() {
            return Ok(Arc::clone(template));
        }
        if told.is_empty() {
            told = misfits;
        }
    }
    Err(told)
}

/// Why a read failed, as the reason why a send could not be prepared.
fn unprepared(cause: Cause) -> Cause {
    match cause {
        Cause::Provider(error) | Cause::NotPrepared(error) => Cause::NotPrepared(error),
        Cause::Rejected(held) => Cause::Rejected(held),
        Cause::Stopping => Cause::Stopping,
        Cause::TemplateMismatch(_)
        | Cause::WindowClosed { .. }
        | Cause::Reused
        | Cause::OutcomeUnknown(_)
        | Cause::Unrecorded
        | Cause::BrokeOff => unreachable!("only writes end like this"),
    }
}

/// The same, told to one more of those who waited for the read.
fn again(cause: &Arc<Cause>) -> Cause {
    let told = |error: &ProviderError| {
        Cause::NotPrepared(match error {
            ProviderError::NotSent(_) => ProviderError::NotSent(Some(Box::new(Arc::clone(cause)))),
            ProviderError::Refused(fault) => ProviderError::Refused(fault.clone()),
            ProviderError::Unknown { cause, fault } => {
                ProviderError::Unknown { cause: *cause, fault: fault.clone() }
            }
            ProviderError::PreconditionFailed(_) => unreachable!("only writes end like this"),
        })
    };
    match &**cause {
        Cause::Provider(error) | Cause::NotPrepared(error) => told(error),
        Cause::Rejected(held) => Cause::Rejected(*held),
        Cause::Stopping => Cause::Stopping,
        Cause::TemplateMismatch(_)
        | Cause::WindowClosed { .. }
        | Cause::Reused
        | Cause::OutcomeUnknown(_)
        | Cause::Unrecorded
        | Cause::BrokeOff => unreachable!("only writes end like this"),
    }
}
