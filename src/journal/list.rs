//! Pieces of the journal, forward and back from a place.
//!
//! **Invariants.** A piece holds every wanted event between its two places, in order. It is made with bounded work and
//! of bounded size, and leads on: unless it has come to the journal's end, it has moved.

use super::{Error, Journal};
use crate::domain::{Cursor, UnixMillis};
use crate::store::{Since, Stored};

/// How many of the store's pages one piece may look through.
const STEPS: usize = 16;

/// What an event costs in an answer beside its bytes: keys and lengths.
const EVENT_OVERHEAD: usize = 16;

/// Which piece of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
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
pub struct Bounds {
    /// The most events; one at least.
    pub events: usize,
    /// The most bytes of events, as they go over the wire. A larger event comes alone.
    pub bytes: usize,
}

/// All that is wanted between two places.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The wanted events, in order.
    pub events: Vec<Stored>,
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
        place: Place,
        bounds: Bounds,
        with_raw: bool,
        wanted: impl Fn(&Stored) -> bool + Send,
    ) -> Result<Piece, Error> {
        let collected = Collected { wanted, bounds, bytes: 0, events: Vec::new() };
        let extent = self.store.extent();
        match place {
            Place::Oldest => self.list_behind(extent.oldest - 1, true, with_raw, collected).await,
            Place::After(cursor) => self.list_behind(self.kept(cursor)?, false, with_raw, collected).await,
            Place::Since(moment) => match self.store.since(moment).await? {
                Since { behind, trimmed: false } => {
                    self.list_behind(behind, false, with_raw, collected).await
                }
                Since { behind, trimmed: true } => Err(Error::CursorExpired { oldest: self.cursor(behind) }),
            },
            Place::Newest => self.list_before(extent.newest, true, with_raw, collected).await,
            Place::Before(cursor) => self.list_before(self.kept(cursor)?, false, with_raw, collected).await,
        }
    }

    /// Looks through what is behind a place. With `any_oldest`, a place whose events were trimmed meanwhile moves on.
    async fn list_behind<W: Fn(&Stored) -> bool>(
        &self,
        mut place: u64,
        any_oldest: bool,
        with_raw: bool,
        mut collected: Collected<W>,
    ) -> Result<Piece, Error> {
        // Only what has been told: the cursors that go out are good at once.
        let newest = self.store.extent().newest;
        let mut at = place;
        'looking: for _ in 0..STEPS {
            if at >= newest || collected.is_full() {
                break;
            }
            let page = self.store.read(at, with_raw).await?;
            let first = page.events.first().map(|first| first.number);
            if first != Some(at + 1) {
                // What is not there was trimmed.
                let left = first.map_or(newest, |first| first - 1);
                if at != place {
                    // What was looked through is a piece. Whoever goes on from there is told.
                    break;
                } else if any_oldest {
                    (place, at) = (left, left);
                    continue;
                }
                return Err(Error::CursorExpired { oldest: self.cursor(left) });
            }
            for event in page.events.iter().take_while(|event| event.number <= newest) {
                if !collected.take(event) {
                    break 'looking;
                }
                at = event.number;
            }
        }
        Ok(self.piece(collected.events, place, at, newest))
    }

    /// Looks through what is before a place, backwards. With `any_newest`, it may be that nothing is left there.
    async fn list_before<W: Fn(&Stored) -> bool>(
        &self,
        place: u64,
        any_newest: bool,
        with_raw: bool,
        mut collected: Collected<W>,
    ) -> Result<Piece, Error> {
        let newest = self.store.extent().newest;
        let mut at = place;
        'looking: for _ in 0..STEPS {
            if at < self.store.extent().oldest || collected.is_full() {
                break;
            }
            let page = self.store.read_before(at, with_raw).await?;
            if page.events.is_empty() && at == place && !any_newest {
                return Err(Error::CursorExpired { oldest: self.cursor(self.store.extent().oldest - 1) });
            } else if page.events.is_empty() {
                break;
            }
            for event in page.events.iter().rev() {
                if !collected.take(event) {
                    break 'looking;
                }
                at = event.number - 1;
            }
        }
        collected.events.reverse();
        Ok(self.piece(collected.events, at, place, newest))
    }

    fn piece(&self, events: Vec<Stored>, previous: u64, next: u64, newest: u64) -> Piece {
        Piece {
            events,
            previous: self.cursor(previous),
            next: self.cursor(next),
            reached_oldest: previous < self.store.extent().oldest,
            reached_newest: next >= newest,
        }
    }
}

/// What was found so far.
struct Collected<W> {
    wanted: W,
    bounds: Bounds,
    bytes: usize,
    events: Vec<Stored>,
}

impl<W: Fn(&Stored) -> bool> Collected<W> {
    fn is_full(&self) -> bool {
        self.events.len() >= self.bounds.events
    }

    /// Takes an event, or passes it over when it is not wanted. False when there is no room for more: then the piece
    /// ends before it.
    fn take(&mut self, event: &Stored) -> bool {
        if self.is_full() {
            return false;
        }
        if !(self.wanted)(event) {
            return true;
        }
        let raw = event.raw.as_ref().map_or(0, bytes::Bytes::len);
        let bytes = self.bytes + EVENT_OVERHEAD + event.event.len() + raw;
        let fits = self.events.is_empty() || bytes <= self.bounds.bytes;
        if fits {
            self.bytes = bytes;
            self.events.push(event.clone());
        }
        fits
    }
}
