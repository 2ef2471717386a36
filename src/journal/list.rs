//! Listing: pages of the journal, forward or backward from a position.
//!
//! **Invariants.** A page holds every matching event between its two positions, in order. One call does bounded work
//! and returns a page of bounded size. A page that has not reached the end of the journal has advanced.

use super::{Error, Journal, OnExpired};
use crate::domain::{Cursor, UnixMillis};
use crate::store::StoredEvent;

/// The maximum number of store pages that one call reads.
const MAX_STORE_PAGES: usize = 16;

/// The bytes of keys and lengths that an event adds to a response.
const EVENT_OVERHEAD: usize = 16;

/// Where a page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStart {
    /// At the oldest event, forward.
    Oldest,
    /// At the newest event, backward.
    Newest,
    /// After a cursor, forward.
    After(Cursor),
    /// Before a cursor, backward.
    Before(Cursor),
    /// At the first event that was received at this time or later, forward.
    Since(UnixMillis),
}

/// The limits of one page.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// The maximum number of events, at least 1.
    pub events: usize,
    /// The maximum number of bytes of events on the wire. A larger event is returned alone.
    pub bytes: usize,
}

/// All matching events between two positions.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The matching events, in order.
    pub events: Vec<StoredEvent>,
    /// The position before them.
    pub previous: Cursor,
    /// The position after them.
    pub next: Cursor,
    /// Whether the page reaches the oldest event.
    pub reached_oldest: bool,
    /// Whether the page reaches the newest event.
    pub reached_newest: bool,
}

impl Journal {
    /// Scans the journal from a position and collects the matching events. With `with_raw`, events include the
    /// webhook's body.
    ///
    /// # Errors
    ///
    /// If the start cannot be read from, or the store cannot be read.
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

    /// Scans forward from `start`. With `from_oldest`, the start moves forward if its events are trimmed during the
    /// scan.
    async fn list_after<W: Fn(&StoredEvent) -> bool>(
        &self,
        mut start: u64,
        from_oldest: bool,
        mut builder: PageBuilder<W>,
    ) -> Result<EventPage, Error> {
        // Events that are committed but not published yet are left out, so every returned cursor is valid at once.
        let newest = self.store.log_range().newest;
        let mut position = start;
        'scan: for _ in 0..MAX_STORE_PAGES {
            if position >= newest || builder.is_full() {
                break;
            }
            let page = self.store.read(position, builder.with_raw).await?;
            let first = page.events.first().map(|first| first.sequence);
            if first != Some(position + 1) {
                // The events up to here were trimmed.
                let trimmed = first.map_or(newest, |first| first - 1);
                if position != start {
                    // The events so far form a page. A call that continues from its end fails with `CursorExpired`.
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

    /// Scans backward from `start`. With `from_newest`, an empty result is valid.
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

/// The events that were found so far.
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

    /// Adds an event if it matches. Returns false if the page is full; the page then ends before this event.
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
