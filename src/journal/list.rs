//! Pieces of the journal, forward and back from a place.
//!
//! **Invariants.** A piece holds every wanted event between its two places, in order. It is made with bounded work and
//! of bounded size, and leads on: unless it has come to the journal's end, it has moved.

use super::{Error, Journal, OnExpired};
use crate::domain::{Cursor, UnixMillis};
use crate::store::StoredEvent;

/// How many of the store's pages one piece may look through.
const MAX_STORE_PAGES: usize = 16;

/// What an event costs in an answer beside its bytes: keys and lengths.
const EVENT_OVERHEAD: usize = 16;

/// Which piece of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStart {
    /// From the oldest event on.
    Oldest,
    /// The newest events.
    Newest,
    /// The events behind a place.
    After(Cursor),
    /// The events before a place.
    Before(Cursor),
    /// The events that were received at a moment or later.
    Since(UnixMillis),
}

/// How much a piece may hold.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// The most events; one at least.
    pub events: usize,
    /// The most bytes of events, as they go over the wire. A larger event comes alone.
    pub bytes: usize,
}

/// All that is wanted between two places.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The wanted events, in order.
    pub events: Vec<StoredEvent>,
    /// The place before them.
    pub previous: Cursor,
    /// The place behind them.
    pub next: Cursor,
    /// Nothing is left before them.
    pub reached_oldest: bool,
    /// Nothing was behind them.
    pub reached_newest: bool,
}

impl Journal {
    /// Looks through the journal from a place, and collects what is wanted. With `with_raw`, events come with the
    /// webhook's body.
    ///
    /// # Errors
    ///
    /// When the place cannot be read from, or the store cannot be read.
    pub async fn list(
        &self,
        start: ListStart,
        limits: PageLimits,
        with_raw: bool,
        matches: impl Fn(&StoredEvent) -> bool + Send,
    ) -> Result<EventPage, Error> {
        let builder = PageBuilder { matches, limits, with_raw, bytes: 0, events: Vec::new() };
        let log_range = self.store.log_range();
        match start {
            ListStart::Oldest => self.list_after(log_range.oldest - 1, true, builder).await,
            ListStart::After(cursor) => {
                self.list_after(self.sequence_of(cursor, OnExpired::Fail)?, false, builder).await
            }
            ListStart::Since(moment) => {
                self.list_after(self.sequence_at(moment).await?, false, builder).await
            }
            ListStart::Newest => self.list_before(log_range.newest, true, builder).await,
            ListStart::Before(cursor) => {
                self.list_before(self.sequence_of(cursor, OnExpired::Fail)?, false, builder).await
            }
        }
    }

    /// Looks through what is behind a place. With `any_oldest`, a place whose events were trimmed meanwhile moves on.
    async fn list_after<W: Fn(&StoredEvent) -> bool>(
        &self,
        mut start: u64,
        from_oldest: bool,
        mut builder: PageBuilder<W>,
    ) -> Result<EventPage, Error> {
        // Only what has been told: the cursors that go out are good at once.
        let newest = self.store.log_range().newest;
        let mut position = start;
        'scan: for _ in 0..MAX_STORE_PAGES {
            if position >= newest || builder.is_full() {
                break;
            }
            let page = self.store.read(position, builder.with_raw).await?;
            let first = page.events.first().map(|first| first.sequence);
            if first != Some(position + 1) {
                // What is not there was trimmed.
                let trimmed = first.map_or(newest, |first| first - 1);
                if position != start {
                    // What was looked through is a piece. Whoever goes on from there is told.
                    break;
                } else if from_oldest {
                    (start, position) = (trimmed, trimmed);
                    continue;
                }
                return Err(self.cursor_expired(trimmed));
            }
            for event in page.events.iter().take_while(|event| event.sequence <= newest) {
                if !builder.add(event) {
                    break 'scan;
                }
                position = event.sequence;
            }
        }
        Ok(self.page(builder.events, start, position, newest))
    }

    /// Looks through what is before a place, backwards. With `any_newest`, it may be that nothing is left there.
    async fn list_before<W: Fn(&StoredEvent) -> bool>(
        &self,
        start: u64,
        from_newest: bool,
        mut builder: PageBuilder<W>,
    ) -> Result<EventPage, Error> {
        let newest = self.store.log_range().newest;
        let mut position = start;
        'scan: for _ in 0..MAX_STORE_PAGES {
            if position < self.store.log_range().oldest || builder.is_full() {
                break;
            }
            let page = self.store.read_before(position, builder.with_raw).await?;
            if page.events.is_empty() && position == start && !from_newest {
                return Err(self.cursor_expired(self.store.log_range().oldest - 1));
            } else if page.events.is_empty() {
                break;
            }
            for event in page.events.iter().rev() {
                if !builder.add(event) {
                    break 'scan;
                }
                position = event.sequence - 1;
            }
        }
        builder.events.reverse();
        Ok(self.page(builder.events, position, start, newest))
    }

    fn page(&self, events: Vec<StoredEvent>, previous: u64, next: u64, newest: u64) -> EventPage {
        EventPage {
            events,
            previous: self.cursor(previous),
            next: self.cursor(next),
            reached_oldest: previous < self.store.log_range().oldest,
            reached_newest: next >= newest,
        }
    }
}

/// What was found so far.
struct PageBuilder<W> {
    matches: W,
    limits: PageLimits,
    with_raw: bool,
    bytes: usize,
    events: Vec<StoredEvent>,
}

impl<W: Fn(&StoredEvent) -> bool> PageBuilder<W> {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limits.events
    }

    /// Takes an event, or passes it over when it is not wanted. False when there is no room for more: then the piece
    /// ends before it.
    fn add(&mut self, event: &StoredEvent) -> bool {
        if self.is_full() {
            return false;
        }
        if !(self.matches)(event) {
            return true;
        }
        let raw = event.raw.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = self.bytes + EVENT_OVERHEAD + event.event.len() + raw;
        let fits = self.events.is_empty() || bytes <= self.limits.bytes;
        if fits {
            self.bytes = bytes;
            self.events.push(event.clone());
        }
        fits
    }
}
