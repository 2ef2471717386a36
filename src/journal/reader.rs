//! One reader of the journal.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Journal, OnExpired};
use crate::domain::{Cursor, SubscriptionId};
use crate::store::{self, StoredEvent};

/// A position in the journal that moves forward.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    newest: watch::Receiver<u64>,
    position: u64,
    /// Nothing was read yet, and the reader starts at whichever event is the oldest at its first read.
    from_earliest: bool,
    /// The subscription at whose position the reader started.
    from_subscription: Option<SubscriptionId>,
    /// At least one batch was read.
    has_read: bool,
    on_expired: OnExpired,
    /// A gap that was found when the start was resolved and is not reported yet.
    initial_gap: Option<Gap>,
    with_raw: bool,
}

/// The result of one read.
#[derive(Clone, Debug)]
pub enum Next {
    /// The next events.
    Events(EventBatch),
    /// The next events were trimmed. Only with [`OnExpired::Skip`].
    Gap(Gap),
    /// No events, but the reader is at this position now: events before it were trimmed, and the reader misses none of
    /// them.
    MovedOn(Cursor),
}

/// Consecutive events, at least one.
#[derive(Clone, Debug)]
pub struct EventBatch {
    events: Arc<[StoredEvent]>,
    skip: usize,
}

impl EventBatch {
    /// Returns the events.
    pub fn events(&self) -> &[StoredEvent] {
        &self.events[self.skip..]
    }
}

/// Events that the reader missed because they were trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The position before the missed events. Absent if it is unknown because the reader started at a time.
    pub after: Option<Cursor>,
    /// The position at which the reader resumes.
    pub resume: Cursor,
}

impl Gap {
    /// Returns the number of missed events, if it is known. Sequence numbers have no gaps.
    pub fn missed(&self) -> Option<u64> {
        self.after.map(|after| self.resume.sequence - after.sequence)
    }
}

/// What the store has after a position.
enum StoreRead {
    Events(Arc<[StoredEvent]>),
    /// The events after the position were trimmed, at least up to this sequence number.
    Trimmed(u64),
}

impl Reader {
    pub(super) fn new(journal: Journal, position: u64, on_expired: OnExpired, with_raw: bool) -> Self {
        let newest = journal.tail.newest();
        Self {
            journal,
            newest,
            position,
            from_earliest: false,
            from_subscription: None,
            has_read: false,
            on_expired,
            initial_gap: None,
            with_raw,
        }
    }

    /// Starts at whichever event is the oldest at the first read.
    pub(super) fn starting_at_oldest(mut self) -> Self {
        self.from_earliest = true;
        self
    }

    /// Starts at the subscription's position at the time of the first read. If events are trimmed later, the reader
    /// reports them only if the subscription may have wanted them.
    pub(super) fn starting_at_subscription(mut self, id: SubscriptionId) -> Self {
        self.from_subscription = Some(id);
        self
    }

    /// Reports a gap of unknown size before the first read.
    pub(super) fn with_initial_gap(mut self) -> Self {
        self.initial_gap = Some(Gap { after: None, resume: self.cursor() });
        self
    }

    /// Returns the reader's position.
    pub fn cursor(&self) -> Cursor {
        self.journal.cursor(self.position)
    }

    /// Waits for the next events and moves after them, or after a gap.
    ///
    /// Cancel-safe: dropping the future loses no events.
    ///
    /// # Errors
    ///
    /// If the next events were trimmed and the reader does not skip them, or the store cannot be read.
    pub async fn next(&mut self) -> Result<Next, Error> {
        if let Some(gap) = self.initial_gap.take() {
            return Ok(Next::Gap(gap));
        }
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest <= self.position {
                self.newest.changed().await.map_err(|_| store::Error::Closed)?;
                continue;
            }
            let batch = match self.journal.tail.batch_after(self.position) {
                Some(events) => EventBatch { skip: count_up_to(&events, self.position), events },
                None => match self.read_store(newest).await? {
                    StoreRead::Events(events) => EventBatch { events, skip: 0 },
                    StoreRead::Trimmed(sequence) if self.from_earliest => return Ok(self.move_to(sequence)),
                    StoreRead::Trimmed(sequence) => {
                        return match self.position_after_trim(sequence).await? {
                            Some(position) => Ok(self.move_to(position)),
                            None => self.skip_trimmed(sequence).map(Next::Gap),
                        };
                    }
                },
            };
            self.from_earliest = false;
            self.has_read = true;
            self.position = batch.events().last().map_or(self.position, |event| event.sequence);
            return Ok(Next::Events(batch));
        }
    }

    /// Reads the events after the position. `newest` is durable and after the position.
    async fn read_store(&self, newest: u64) -> Result<StoreRead, Error> {
        let page = self.journal.store.read(self.position, self.with_raw).await?;
        // Sequence numbers have no gaps, and there was an event after this position. If it is missing now, it was
        // trimmed.
        Ok(match page.events.first().map(|first| first.sequence) {
            Some(first) if first == self.position + 1 => StoreRead::Events(up_to(page.events, newest)),
            Some(first) => StoreRead::Trimmed(newest.min(first - 1)),
            None => StoreRead::Trimmed(newest),
        })
    }

    fn move_to(&mut self, sequence: u64) -> Next {
        self.position = sequence;
        Next::MovedOn(self.cursor())
    }

    /// Returns the subscription's current position if none of the trimmed events matched the subscription. If another
    /// reader acknowledged trimmed events after this reader began to read, they did match, and this reader has missed
    /// them. A reader that has not begun can start after them.
    async fn position_after_trim(&self, trimmed: u64) -> Result<Option<u64>, Error> {
        let Some(id) = &self.from_subscription else { return Ok(None) };
        let state = self.journal.store.subscription(id).await?;
        let state = state.filter(|state| !self.has_read || state.acknowledged <= self.position);
        Ok(state.map(|state| state.sequence).filter(|&sequence| sequence >= trimmed))
    }

    /// Handles a trim of the events up to `sequence`.
    fn skip_trimmed(&mut self, sequence: u64) -> Result<Gap, Error> {
        let resume = self.journal.cursor(sequence);
        match self.on_expired {
            OnExpired::Fail => Err(Error::CursorExpired { oldest: resume }),
            OnExpired::Skip => {
                let after = Some(self.cursor());
                self.position = sequence;
                Ok(Gap { after, resume })
            }
        }
    }
}

/// Drops events after `newest`. They are committed but not published, so their cursors are not valid yet.
fn up_to(events: Arc<[StoredEvent]>, newest: u64) -> Arc<[StoredEvent]> {
    match count_up_to(&events, newest) {
        count if count == events.len() => events,
        count => events[..count].into(),
    }
}

fn count_up_to(events: &[StoredEvent], sequence: u64) -> usize {
    events.partition_point(|event| event.sequence <= sequence)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, open, trim};
    use super::*;

    /// A read can find an event shortly before its commit is published.
    #[tokio::test]
    async fn committed_events_are_hidden_until_published() {
        let opened = open();
        append(&opened.journal, 4, 10).await;
        let reader = Reader::new(opened.journal.clone(), 0, OnExpired::Skip, false);
        let sequences = async |newest| match reader.read_store(newest).await.expect("readable") {
            StoreRead::Events(events) => events.iter().map(|event| event.sequence).collect(),
            StoreRead::Trimmed(sequence) => vec![sequence],
        };
        assert_eq!(sequences(4).await, [1, 2, 3, 4]);
        assert_eq!(sequences(2).await, [1, 2]);
        trim(&opened.journal, 3).await;
        assert_eq!(sequences(4).await, [3], "trimmed up to here");
        assert_eq!(sequences(2).await, [2], "trimmed up to the newest published event");
    }
}
