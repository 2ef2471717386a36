//! Checks templates against the provider's list before they are sent.
//!
//! **Invariants.** A send is never refused because of a list that was read before the request arrived: the list is read
//! again first. If a provider needs no definition to send, the list can only refuse what certainly does not match.
//! There, an unavailable list, or a template that is not in it, refuses nothing.
//!
//! There is no minimum interval between two reads that confirm a mismatch. An interval would delay the use of a
//! template that was just approved. All sends that do not match while a page is being read share the next read, so at
//! most one read is running and one is waiting.

mod listing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Cause, Dispatch};
use crate::domain::message::{Content, Outgoing};
use crate::domain::template::{Definition, Filled};
use crate::domain::{AccountId, ProviderFault, RefusalReason, UnknownReason};
use crate::provider::{
    self, Account, Accounts, Error as ProviderError, PreparedSend, TemplateMismatch, template_not_found,
};
use listing::{CachedList, Freshness, Lookup, TemplateCache};

/// How long the reads before a send may take if the client set no deadline.
const MAX_PREPARATION: Duration = Duration::from_mins(1);

/// The longest wait for a list that the send does not need. With a short deadline it is half of the remaining time.
const MAX_OPTIONAL_WAIT: Duration = Duration::from_secs(3);

/// How long sends that do not need the list skip it after a failed read.
const FAILED_READ_PAUSE: Duration = Duration::from_secs(10);

/// The cached templates of all accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    by_account: Arc<HashMap<AccountId, TemplateCache>>,
}

impl Templates {
    /// Makes an empty cache for each account.
    pub(super) fn new(accounts: &Accounts) -> Self {
        let cache = |account: &Arc<Account>| (account.id().clone(), TemplateCache::default());
        Self { by_account: Arc::new(accounts.iter().map(cache).collect()) }
    }

    fn of(&self, account: &Account) -> &TemplateCache {
        self.by_account.get(account.id()).expect("each account has a cache")
    }
}

/// The result of checking a send against a list.
enum CheckResult {
    /// The send matches. Holds the definition, if the list contains it.
    Matches(Option<Arc<Definition>>),
    /// The send does not match.
    Mismatch(Vec<TemplateMismatch>),
    /// The provider has no such template.
    Absent,
}

impl Dispatch {
    /// Reads what a message needs before it is sent, and checks the message against it. Sends nothing.
    pub(super) async fn prepare(
        &self,
        account: &Arc<Account>,
        message: Outgoing,
        skip_check: bool,
        deadline: Option<Instant>,
    ) -> Result<Box<dyn PreparedSend>, Cause> {
        let definition = match (&message.content, account.templates()) {
            (Content::Template(filled), Some(templates)) => {
                self.check_filled(account, templates, filled, skip_check, deadline).await?
            }
            _ => None,
        };
        let prepared = account.prepare(message, definition);
        prepared.map_err(|fault| Cause::NotPrepared(ProviderError::Refused(fault)))
    }

    /// Checks a template message, and finds the definition if the send needs it.
    async fn check_filled(
        &self,
        account: &Arc<Account>,
        templates: &dyn provider::Templates,
        filled: &Filled,
        skip_check: bool,
        deadline: Option<Instant>,
    ) -> Result<Option<Arc<Definition>>, Cause> {
        let requested_at = Instant::now();
        let limit = requested_at + MAX_PREPARATION;
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        if templates.needs_definition() {
            let found = timeout_at(
                until,
                self.definition(account, templates, filled, skip_check, requested_at, until),
            );
            let timed_out = |_| {
                Cause::NotPrepared(ProviderError::Unknown { cause: UnknownReason::TimedOut, fault: None })
            };
            return found.await.map_err(timed_out)?.map(Some);
        }
        if !skip_check {
            let wait = MAX_OPTIONAL_WAIT.min(until.saturating_duration_since(requested_at) / 2);
            self.check_if_possible(account, templates, filled, requested_at, requested_at + wait).await?;
        }
        Ok(None)
    }

    /// Invalidates the cached list if the provider's refusal of a send means that it may be outdated.
    pub(super) fn invalidate_templates(&self, account: &Account, fault: &ProviderFault) {
        if matches!(
            fault.refusal,
            RefusalReason::TemplateNotFound
                | RefusalReason::TemplatePaused
                | RefusalReason::TemplateParametersRejected
        ) {
            self.templates.of(account).invalidate();
        }
    }

    /// Finds the definition that a send needs.
    async fn definition(
        &self,
        account: &Arc<Account>,
        templates: &dyn provider::Templates,
        filled: &Filled,
        skip_check: bool,
        requested_at: Instant,
        until: Instant,
    ) -> Result<Arc<Definition>, Cause> {
        let cache = self.templates.of(account);
        let mut list = cache.list(Freshness::WithinMaxAge);
        loop {
            let checked = self.check_template(&list, account, templates, filled, skip_check).await;
            let is_new = list.started_at().is_some_and(|started_at| started_at >= requested_at);
            return match checked {
                Ok(CheckResult::Matches(Some(definition))) => Ok(definition),
                // The account has more templates than the cache holds.
                Ok(CheckResult::Matches(None)) => {
                    let find = || templates.find_template(&filled.name, &filled.language);
                    let found = self.read(account, "list_templates", Some(until), find).await;
                    let found = found.map_err(|cause| not_prepared(&Arc::new(cause)))?;
                    match first_match(templates, &[Arc::new(found)], filled, skip_check) {
                        Ok(definition) => Ok(definition),
                        Err(mismatches) => Err(Cause::TemplateMismatch(mismatches)),
                    }
                }
                _ if !is_new => {
                    list = cache.list(Freshness::StartedSince(requested_at));
                    continue;
                }
                Ok(CheckResult::Mismatch(mismatches)) => Err(Cause::TemplateMismatch(mismatches)),
                Ok(CheckResult::Absent) => Err(Cause::NotPrepared(template_not_found(account.provider()))),
                Err(cause) => Err(not_prepared(&cause)),
            };
        }
    }

    /// Checks a send against the list, if the list is available. Fails only if the send certainly does not match.
    async fn check_if_possible(
        &self,
        account: &Arc<Account>,
        templates: &dyn provider::Templates,
        filled: &Filled,
        requested_at: Instant,
        until: Instant,
    ) -> Result<(), Cause> {
        let cache = self.templates.of(account);
        // Without a language the provider uses its default, which is not known here.
        if filled.language.is_empty() || cache.failed_within(FAILED_READ_PAUSE) {
            return Ok(());
        }
        let mut list = cache.list(Freshness::WithinMaxAge);
        loop {
            // A read that has already hung for this long is not waited for.
            let until =
                list.started_at().map_or(until, |started_at| until.min(started_at + MAX_OPTIONAL_WAIT));
            match timeout_at(until, self.check_template(&list, account, templates, filled, false)).await {
                Ok(Ok(CheckResult::Mismatch(mismatches))) => {
                    if list.started_at().is_some_and(|started_at| started_at >= requested_at) {
                        return Err(Cause::TemplateMismatch(mismatches));
                    }
                    list = cache.list(Freshness::StartedSince(requested_at));
                }
                Ok(Ok(CheckResult::Matches(_) | CheckResult::Absent) | Err(_)) | Err(_) => return Ok(()),
            }
        }
    }

    async fn check_template(
        &self,
        list: &Arc<CachedList>,
        account: &Arc<Account>,
        templates: &dyn provider::Templates,
        filled: &Filled,
        skip_check: bool,
    ) -> Result<CheckResult, Arc<Cause>> {
        Ok(match list.find(self, account, &filled.name, &filled.language).await? {
            Lookup::Found(found) => match first_match(templates, &found, filled, skip_check) {
                Ok(definition) => CheckResult::Matches(Some(definition)),
                Err(mismatches) => CheckResult::Mismatch(mismatches),
            },
            Lookup::Absent => CheckResult::Absent,
            Lookup::NotCached => CheckResult::Matches(None),
        })
    }
}

/// The first template that the send matches, or else the mismatches with the first template.
fn first_match(
    templates: &dyn provider::Templates,
    found: &[Arc<Definition>],
    filled: &Filled,
    skip_check: bool,
) -> Result<Arc<Definition>, Vec<TemplateMismatch>> {
    let mut first_mismatches = Vec::new();
    for template in found {
        let mismatches = if skip_check { Vec::new() } else { templates.mismatches(template, filled) };
        if mismatches.is_empty() {
            return Ok(Arc::clone(template));
        }
        if first_mismatches.is_empty() {
            first_mismatches = mismatches;
        }
    }
    Err(first_mismatches)
}

/// Converts the error of a read, which several sends may share, into the error of one send.
fn not_prepared(cause: &Arc<Cause>) -> Cause {
    let copy = |error: &ProviderError| match error {
        ProviderError::NotSent(_) => ProviderError::NotSent(Some(Box::new(Arc::clone(cause)))),
        ProviderError::Refused(fault) => ProviderError::Refused(fault.clone()),
        ProviderError::Unknown { cause, fault } => {
            ProviderError::Unknown { cause: *cause, fault: fault.clone() }
        }
        ProviderError::PreconditionFailed(_) => unreachable!("only writes have preconditions"),
    };
    match &**cause {
        Cause::Provider(error) | Cause::NotPrepared(error) => Cause::NotPrepared(copy(error)),
        Cause::Rejected(rejected) => Cause::Rejected(*rejected),
        Cause::Stopping => Cause::Stopping,
        Cause::TemplateMismatch(_)
        | Cause::WindowClosed { .. }
        | Cause::Reused
        | Cause::OutcomeUnknown(_)
        | Cause::StoreUnavailable
        | Cause::StoreUnreadable
        | Cause::TaskFailed => unreachable!("a read never fails with this cause"),
    }
}
