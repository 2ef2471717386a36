//! One reader of the journal.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Journal, OnExpired};
use crate::domain::{Cursor, SubscriptionId};
use crate::store::{self, StoredEvent};

/// A place in the journal that moves forward.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    newest: watch::Receiver<u64>,
    position: u64,
    /// Nothing was read yet, and whatever is the oldest then will do.
    from_earliest: bool,
    /// It began at the place of this subscription.
    from_subscription: Option<SubscriptionId>,
    /// Something was read.
    has_read: bool,
    on_expired: OnExpired,
    /// What was found missing when the place was looked for, and is not told yet.
    initial_gap: Option<Gap>,
    with_raw: bool,
}

/// What a reader comes to next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Events.
    Events(EventBatch),
    /// Events that are gone. Only with [`OnExpired::Skip`].
    Gap(Gap),
    /// Nothing yet, but the reader's place is this one now: what was before it is gone, and the reader misses nothing.
    MovedOn(Cursor),
}

/// Consecutive events, at least one.
#[derive(Clone, Debug)]
pub struct EventBatch {
    events: Arc<[StoredEvent]>,
    skip: usize,
}

impl EventBatch {
    /// The events.
    pub fn events(&self) -> &[StoredEvent] {
        &self.events[self.skip..]
    }
}

/// Events that a reader should have come to and that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The place behind which they were. Absent when it is not known, for the reader was to start at a moment.
    pub after: Option<Cursor>,
    /// The place where the reader goes on.
    pub resume: Cursor,
}

impl Gap {
    /// How many they are, if that is known: numbers have no holes.
    pub fn missed(&self) -> Option<u64> {
        self.after.map(|after| self.resume.sequence - after.sequence)
    }
}

/// What the store has behind a place.
enum StoreRead {
    Events(Arc<[StoredEvent]>),
    /// The events behind the place are gone, up to this number at least.
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

    /// Takes whatever is the oldest event when it is read.
    pub(super) fn from_oldest(mut self) -> Self {
        self.from_earliest = true;
        self
    }

    /// Begins at a subscription's place, wherever that is when it is read. From there on it is told of what is gone only
    /// where the subscription may have wanted it.
    pub(super) fn from_subscription(mut self, id: SubscriptionId) -> Self {
        self.from_subscription = Some(id);
        self
    }

    /// Tells first that an unknown number of events before its place are missing.
    pub(super) fn with_initial_gap(mut self) -> Self {
        self.initial_gap = Some(Gap { after: None, resume: self.cursor() });
        self
    }

    /// The place that the reader has come to.
    pub fn cursor(&self) -> Cursor {
        self.journal.cursor(self.position)
    }

    /// Waits for the next events and moves behind them, or behind those that are gone.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    ///
    /// When the events behind the place are gone and the reader does not skip them, or the store cannot be read.
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

    /// Reads what is behind the place. `newest` is on disk, and behind the place too.
    async fn read_store(&self, newest: u64) -> Result<StoreRead, Error> {
        let page = self.journal.store.read(self.position, self.with_raw).await?;
        // Numbers have no holes, and there was an event behind this place: what is not there was trimmed.
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

    /// Where the subscription stands by now from whose place this began, if it did not want what is gone. What another
    /// has acknowledged meanwhile it did want: that is missed, unless the reader can begin behind it.
    async fn position_after_trim(&self, trimmed: u64) -> Result<Option<u64>, Error> {
        let Some(id) = &self.from_subscription else { return Ok(None) };
        let state = self.journal.store.subscription(id).await?;
        let state = state.filter(|state| !self.has_read || state.acknowledged <= self.position);
        Ok(state.map(|state| state.sequence).filter(|&sequence| sequence >= trimmed))
    }

    /// The events up to that number are gone.
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

/// Without what is on disk and not told yet: a place there is not one that the journal is known to have come to.
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

    /// What is on disk may be read a moment before the journal is told to have come to it.
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
        assert_eq!(sequences(4).await, [3], "gone up to there");
        assert_eq!(sequences(2).await, [2], "and as far as is told");
    }
}
