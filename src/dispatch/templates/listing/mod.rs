//! The cached list of an account's templates.
//!
//! A list is read page by page, on demand. A lookup that does not find its template on the pages read so far has the
//! next page read. All lookups wait for the same page.
//!
//! **Invariants.** At most one page of an account is being read at a time. A lookup that stops waiting does not cancel
//! the page for others. A list is at most as old as its first page. The cache of an account is bounded. A template that
//! did not fit is reported as not cached, never as absent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::Instant;

use super::super::{Cause, Dispatch};
use crate::domain::UnknownReason;
use crate::domain::template::{Definition, Page, TemplateListStart};
use crate::provider::{Account, Error as ProviderError, NextPage, PageCursor};

/// The maximum age of a list.
const MAX_AGE: Duration = Duration::from_mins(5);

/// The limits of the cache of one account. WhatsApp allows an account a few thousand templates.
const MAX_TEMPLATES: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// The minimum interval between two invalidations.
const MIN_INVALIDATION_INTERVAL: Duration = Duration::from_secs(2);

/// The newest list of an account.
#[derive(Debug, Default)]
pub(super) struct TemplateCache {
    state: Mutex<State>,
    /// Held while a page is read.
    page_lock: Arc<AsyncMutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Arc<CachedList>>,
    invalidated_at: Option<Instant>,
}

/// How new a list must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freshness {
    /// At most [`MAX_AGE`] old.
    WithinMaxAge,
    /// Its first page was requested at this moment or later.
    StartedSince(Instant),
}

/// What a list holds for a name and a language.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The templates with that name and language: one, or one for each of several channels.
    Found(Vec<Arc<Definition>>),
    /// The account has no such template.
    Absent,
    /// The cache does not hold all of the account's templates, and holds none with that name and language.
    NotCached,
}

/// One list of an account's templates, as far as it has been read.
#[derive(Debug)]
pub(super) struct CachedList {
    pages: Mutex<Pages>,
    changed: watch::Sender<()>,
    page_lock: Arc<AsyncMutex<()>>,
}

#[derive(Debug)]
struct Pages {
    /// When the first page was requested. Absent while the list waits for the page lock.
    started_at: Option<Instant>,
    by_name: HashMap<(String, String), Vec<Arc<Definition>>>,
    templates: usize,
    bytes: usize,
    cursor: PageCursor,
    next: NextRead,
}

#[derive(Debug)]
enum NextRead {
    /// There is a further page, which no lookup has needed yet.
    Page(TemplateListStart),
    /// A page is being read.
    Reading,
    /// The list is complete.
    End,
    /// There are more templates than the cache can hold.
    Full,
    /// The read failed at that moment.
    Failed(Instant, Arc<Cause>),
}

impl TemplateCache {
    /// Returns the newest list if it is fresh enough, or else a new one.
    pub(super) fn list(&self, freshness: Freshness) -> Arc<CachedList> {
        let mut state = lock(&self.state);
        let newest = state.newest.as_ref().filter(|newest| newest.satisfies(freshness));
        match newest {
            Some(newest) => Arc::clone(newest),
            None => Arc::clone(state.newest.insert(Arc::new(CachedList::new(Arc::clone(&self.page_lock))))),
        }
    }

    /// Whether the newest list failed to be read within the last `time`.
    pub(super) fn failed_within(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        state.newest.as_ref().is_some_and(|newest| match lock(&newest.pages).next {
            NextRead::Failed(at, _) => at.elapsed() < time,
            NextRead::Page(_) | NextRead::Reading | NextRead::End | NextRead::Full => false,
        })
    }

    /// Drops the newest list, because a refusal by the provider contradicts it. Rate limited by
    /// [`MIN_INVALIDATION_INTERVAL`]: a series of sends that are refused for their content does not mean that templates
    /// keep changing.
    pub(super) fn invalidate(&self) {
        let mut state = lock(&self.state);
        if state.invalidated_at.is_none_or(|at| at.elapsed() >= MIN_INVALIDATION_INTERVAL) {
            state.invalidated_at = Some(Instant::now());
            state.newest = None;
        }
    }
}

impl CachedList {
    fn new(page_lock: Arc<AsyncMutex<()>>) -> Self {
        let pages = Pages {
            started_at: None,
            by_name: HashMap::new(),
            templates: 0,
            bytes: 0,
            cursor: PageCursor::default(),
            next: NextRead::Page(TemplateListStart::First),
        };
        Self { pages: Mutex::new(pages), changed: watch::Sender::new(()), page_lock }
    }

    /// When its first page was requested.
    pub(super) fn started_at(&self) -> Option<Instant> {
        lock(&self.pages).started_at
    }

    fn satisfies(&self, freshness: Freshness) -> bool {
        let pages = lock(&self.pages);
        match (&pages.next, pages.started_at, freshness) {
            (NextRead::Failed(..), _, _) => false,
            // Its first page will be requested later than now.
            (_, None, _) => true,
            (_, Some(started_at), Freshness::WithinMaxAge) => started_at.elapsed() < MAX_AGE,
            (_, Some(started_at), Freshness::StartedSince(moment)) => started_at >= moment,
        }
    }

    /// Looks up a name and a language. Reads further pages as needed.
    pub(super) async fn find(
        self: &Arc<Self>,
        dispatch: &Dispatch,
        account: &Arc<Account>,
        name: &str,
        language: &str,
    ) -> Result<Lookup, Arc<Cause>> {
        let mut changed = self.changed.subscribe();
        let key = (name.to_owned(), language.to_owned());
        loop {
            changed.mark_unchanged();
            {
                let mut pages = lock(&self.pages);
                if let Some(found) = pages.by_name.get(&key) {
                    return Ok(Lookup::Found(found.clone()));
                }
                match &pages.next {
                    NextRead::Page(_) => {
                        if let NextRead::Page(start) = std::mem::replace(&mut pages.next, NextRead::Reading) {
                            let page = PageRead { list: Arc::clone(self), delivered: false };
                            let (dispatch, account) = (dispatch.clone(), Arc::clone(account));
                            dispatch.tasks.clone().spawn(page.run(dispatch, account, start));
                        }
                    }
                    NextRead::Reading => {}
                    NextRead::End => return Ok(Lookup::Absent),
                    NextRead::Full => return Ok(Lookup::NotCached),
                    NextRead::Failed(_, cause) => return Err(Arc::clone(cause)),
                }
            }
            changed.changed().await.expect("the list owns the sender");
        }
    }
}

/// The read of one page. However it ends, it wakes the lookups that wait for it.
struct PageRead {
    list: Arc<CachedList>,
    delivered: bool,
}

impl PageRead {
    async fn run(mut self, dispatch: Dispatch, account: Arc<Account>, start: TemplateListStart) {
        let page_lock = Arc::clone(&self.list.page_lock).lock_owned().await;
        lock(&self.list.pages).started_at.get_or_insert_with(Instant::now);
        let page = match account.templates() {
            Some(templates) => {
                let read = || templates.list_templates(&start);
                let page = dispatch.read(&account, "list_templates", None, read);
                // No client may be waiting for this read, so a stop does not wait for it either.
                dispatch.stopping.run_until_cancelled(page).await.unwrap_or(Err(Cause::Stopping))
            }
            None => Ok(Page { templates: Vec::new(), after: None, before: None }),
        };
        drop(page_lock);
        self.deliver(page);
    }

    fn deliver(&mut self, page: Result<Page, Cause>) {
        self.delivered = true;
        let mut pages = lock(&self.list.pages);
        pages.next = match page {
            Ok(page) => pages.add(page),
            Err(cause) => NextRead::Failed(Instant::now(), Arc::new(cause)),
        };
        drop(pages);
        self.list.changed.send_replace(());
    }
}

impl Drop for PageRead {
    fn drop(&mut self) {
        if !self.delivered {
            let task_failed = ProviderError::Unknown { cause: UnknownReason::ServerFailed, fault: None };
            self.deliver(Err(Cause::Provider(task_failed)));
        }
    }
}

impl Pages {
    /// Caches the templates of a page, up to the limits, and returns what to read next.
    fn add(&mut self, page: Page) -> NextRead {
        for mut template in page.templates {
            // The template's own JSON is kept, because a provider may require it in a send. It includes the components'
            // JSON.
            for component in &mut template.components {
                component.raw_json = String::new();
            }
            self.templates += 1;
            // Twice its size, to account for the fields parsed from it.
            self.bytes += 2 * template.raw_json.len();
            if self.templates > MAX_TEMPLATES || self.bytes > MAX_BYTES {
                return NextRead::Full;
            }
            let key = (template.name.clone(), template.language.clone());
            self.by_name.entry(key).or_default().push(Arc::new(template));
        }
        match self.cursor.step(page.after) {
            NextPage::After(cursor) => NextRead::Page(TemplateListStart::After(cursor)),
            NextPage::End => NextRead::End,
            // The page limit was reached, so the remaining pages are unknown.
            NextPage::TooManyPages => NextRead::Full,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
