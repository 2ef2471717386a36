//! One reader of the journal.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Journal};
use crate::domain::Cursor;
use crate::store::{self, Stored};

/// A place in the journal that moves forward.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    newest: watch::Receiver<u64>,
    position: u64,
    /// Nothing was read yet, and whatever is the oldest then will do.
    from_earliest: bool,
    with_raw: bool,
}

/// Consecutive events, at least one.
#[derive(Clone, Debug)]
pub struct Run {
    events: Arc<[Stored]>,
    skip: usize,
}

impl Run {
    /// The events.
    pub fn events(&self) -> &[Stored] {
        &self.events[self.skip..]
    }
}

impl Reader {
    pub(super) fn new(journal: Journal, position: u64, from_earliest: bool, with_raw: bool) -> Self {
        let newest = journal.tail.newest();
        Self { journal, newest, position, from_earliest, with_raw }
    }

    /// The place that the reader has come to.
    pub fn cursor(&self) -> Cursor {
        self.journal.cursor(self.position)
    }

    /// Waits for the next events and moves behind them.
    ///
    /// Dropping the future before it is ready loses nothing.
    ///
    /// # Errors
    ///
    /// When the events behind the place are gone, or the store cannot be read.
    pub async fn next(&mut self) -> Result<Run, Error> {
        loop {
            if *self.newest.borrow_and_update() <= self.position {
                self.newest.changed().await.map_err(|_| store::Error::Closed)?;
                continue;
            }
            let run = match self.journal.tail.run_behind(self.position) {
                Some(events) => Run { skip: skip(&events, self.position), events },
                None => Run { events: self.catch_up().await?, skip: 0 },
            };
            self.from_earliest = false;
            self.position = run.events().last().map_or(self.position, |event| event.number);
            return Ok(run);
        }
    }

    async fn catch_up(&self) -> Result<Arc<[Stored]>, Error> {
        let page = self.journal.store.read(self.position, self.with_raw).await?;
        match page.events.first() {
            Some(first) if first.number == self.position + 1 || self.from_earliest => Ok(page.events),
            // Numbers have no holes, and there is an event behind this place: it was trimmed.
            _ => Err(Error::CursorExpired { oldest: self.journal.cursor(self.journal.extent().oldest - 1) }),
        }
    }
}

fn skip(events: &[Stored], position: u64) -> usize {
    events.partition_point(|event| event.number <= position)
}
