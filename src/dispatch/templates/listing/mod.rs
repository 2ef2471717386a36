//! A reading of an account's templates, and the account's newest one.
//!
//! A reading goes as far as somebody needs it: whoever looks for a template that is not among those read so far has the
//! next page read, and all who look wait for the same page.
//!
//! **Invariants.** At most one page of an account is being read at a time, and whoever waits for it may leave without
//! ending it for the others. What a reading says is at most as old as its first page. What is kept of an account is
//! bounded; what did not fit is told as unlisted, never as absent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, watch};
use tokio::time::Instant;

use super::super::{Cause, Dispatch};
use crate::domain::UnknownReason;
use crate::domain::template::{Definition, Page, TemplateListStart};
use crate::provider::{Account, Error as ProviderError, NextPage, PageCursor};

/// How long a reading is good for.
const GOOD_FOR: Duration = Duration::from_mins(5);

/// The most that is kept of an account. WhatsApp allows an account some thousand templates.
const MOST_TEMPLATES: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;

/// How soon after a reading was thrown away another one is not.
const OUTDATED_AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// An account's newest reading.
#[derive(Debug, Default)]
pub(super) struct TemplateCache {
    state: Mutex<State>,
    /// Whose turn it is to read a page.
    turn: Arc<Turn<()>>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Arc<CachedList>>,
    outdated: Option<Instant>,
}

/// How new a reading must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// As new as any that is good.
    Good,
    /// Begun not before this.
    Since(Instant),
}

/// What a reading says of a name and a language.
#[derive(Debug)]
pub(super) enum Found {
    /// There are templates of that name in that language: one, or one for each of several channels.
    There(Vec<Arc<Definition>>),
    /// There are none.
    Absent,
    /// The account has more than is kept, and they are not among what is kept.
    Unlisted,
}

/// A reading of an account's templates.
#[derive(Debug)]
pub(super) struct CachedList {
    read: Mutex<Read>,
    news: watch::Sender<()>,
    turn: Arc<Turn<()>>,
}

#[derive(Debug)]
struct Read {
    /// When its first page was asked for; absent while it waits for its turn.
    begun: Option<Instant>,
    by_name: HashMap<(String, String), Vec<Arc<Definition>>>,
    templates: usize,
    bytes: usize,
    walk: PageCursor,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// There is more, and nobody has needed it yet.
    Page(TemplateListStart),
    /// It is being read.
    Reading,
    /// There is no more.
    End,
    /// There is more, but no room for it.
    Full,
    /// It could not be read.
    Failed(Instant, Arc<Cause>),
}

impl TemplateCache {
    /// The newest reading if it is new enough, or else a new one.
    pub(super) fn listing(&self, wanted: Wanted) -> Arc<CachedList> {
        let mut state = lock(&self.state);
        let newest = state.newest.as_ref().filter(|newest| newest.is(wanted));
        match newest {
            Some(newest) => Arc::clone(newest),
            None => Arc::clone(state.newest.insert(Arc::new(CachedList::new(Arc::clone(&self.turn))))),
        }
    }

    /// Whether the newest reading failed, and not long ago.
    pub(super) fn failed_within(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        state.newest.as_ref().is_some_and(|newest| match lock(&newest.read).next {
            Next::Failed(at, _) => at.elapsed() < time,
            Next::Page(_) | Next::Reading | Next::End | Next::Full => false,
        })
    }

    /// Throws the newest reading away, because the provider has said something that speaks against it. Not time and again:
    /// many sends in a row that are refused for what is in them say nothing new of the templates.
    pub(super) fn outdate(&self) {
        let mut state = lock(&self.state);
        if state.outdated.is_none_or(|outdated| outdated.elapsed() >= OUTDATED_AT_MOST_EVERY) {
            state.outdated = Some(Instant::now());
            state.newest = None;
        }
    }
}

impl CachedList {
    fn new(turn: Arc<Turn<()>>) -> Self {
        let read = Read {
            begun: None,
            by_name: HashMap::new(),
            templates: 0,
            bytes: 0,
            walk: PageCursor::default(),
            next: Next::Page(TemplateListStart::First),
        };
        Self { read: Mutex::new(read), news: watch::Sender::new(()), turn }
    }

    /// When it was begun, if it was.
    pub(super) fn begun(&self) -> Option<Instant> {
        lock(&self.read).begun
    }

    fn is(&self, wanted: Wanted) -> bool {
        let read = lock(&self.read);
        match (&read.next, read.begun, wanted) {
            (Next::Failed(..), _, _) => false,
            // It will begin later than now.
            (_, None, _) => true,
            (_, Some(begun), Wanted::Good) => begun.elapsed() < GOOD_FOR,
            (_, Some(begun), Wanted::Since(moment)) => begun >= moment,
        }
    }

    /// What it says of a name and a language, reading on as far as it must.
    pub(super) async fn find(
        self: &Arc<Self>,
        dispatch: &Dispatch,
        account: &Arc<Account>,
        name: &str,
        language: &str,
    ) -> Result<Found, Arc<Cause>> {
        let mut news = self.news.subscribe();
        let key = (name.to_owned(), language.to_owned());
        loop {
            news.mark_unchanged();
            {
                let mut read = lock(&self.read);
                if let Some(found) = read.by_name.get(&key) {
                    return Ok(Found::There(found.clone()));
                }
                match &read.next {
                    Next::Page(_) => {
                        if let Next::Page(place) = std::mem::replace(&mut read.next, Next::Reading) {
                            let page = PageRead { listing: Arc::clone(self), told: false };
                            let (dispatch, account) = (dispatch.clone(), Arc::clone(account));
                            dispatch.tasks.clone().spawn(page.read(dispatch, account, place));
                        }
                    }
                    Next::Reading => {}
                    Next::End => return Ok(Found::Absent),
                    Next::Full => return Ok(Found::Unlisted),
                    Next::Failed(_, cause) => return Err(Arc::clone(cause)),
                }
            }
            news.changed().await.expect("the sender is the listing's own");
        }
    }
}

/// The reading of one page. However it ends, those who wait for it are told.
struct PageRead {
    listing: Arc<CachedList>,
    told: bool,
}

impl PageRead {
    async fn read(mut self, dispatch: Dispatch, account: Arc<Account>, place: TemplateListStart) {
        let turn = Arc::clone(&self.listing.turn).lock_owned().await;
        lock(&self.listing.read).begun.get_or_insert_with(Instant::now);
        let read = || account.list_templates(&place);
        let page = dispatch.read(&account, "list_templates", None, read).await;
        drop(turn);
        self.tell(page);
    }

    fn tell(&mut self, page: Result<Page, Cause>) {
        self.told = true;
        let mut read = lock(&self.listing.read);
        read.next = match page {
            Ok(page) => read.take(page),
            Err(cause) => Next::Failed(Instant::now(), Arc::new(cause)),
        };
        drop(read);
        self.listing.news.send_replace(());
    }
}

impl Drop for PageRead {
    fn drop(&mut self) {
        if !self.told {
            let broke_off = ProviderError::Unknown { cause: UnknownReason::ServerFailed, fault: None };
            self.tell(Err(Cause::Provider(broke_off)));
        }
    }
}

impl Read {
    /// Keeps the templates of a page, as far as there is room, and says where it goes on.
    fn take(&mut self, page: Page) -> Next {
        for mut template in page.templates {
            // The whole is kept, for ConnectBy wants it back; its parts are in it.
            for component in &mut template.components {
                component.raw_json = String::new();
            }
            self.templates += 1;
            // Twice, for what is read of it beside it.
            self.bytes += 2 * template.raw_json.len();
            if self.templates > MOST_TEMPLATES || self.bytes > MOST_BYTES {
                return Next::Full;
            }
            let key = (template.name.clone(), template.language.clone());
            self.by_name.entry(key).or_default().push(Arc::new(template));
        }
        match self.walk.step(page.after) {
            NextPage::After(cursor) => Next::Page(TemplateListStart::After(cursor)),
            NextPage::End => Next::End,
            // Nobody has so many: but what is there may be there.
            NextPage::TooManyPages => Next::Full,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
