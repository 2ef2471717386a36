//! One reader of the journal.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Gone, Journal};
use crate::domain::{Cursor, SubscriptionId};
use crate::store::{self, Stored};

/// A place in the journal that moves forward.
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    newest: watch::Receiver<u64>,
    position: u64,
    /// Nothing was read yet, and whatever is the oldest then will do.
    from_earliest: bool,
    /// It began at the place of this subscription.
    at_the_place_of: Option<SubscriptionId>,
    /// Something was read.
    begun: bool,
    gone: Gone,
    /// What was found missing when the place was looked for, and is not told yet.
    found_missing: Option<Gap>,
    with_raw: bool,
}

/// What a reader comes to next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Events.
    Run(Run),
    /// Events that are gone. Only with [`Gone::Skip`].
    Gap(Gap),
    /// Nothing yet, but the reader's place is this one now: what was before it is gone, and the reader misses nothing.
    MovedOn(Cursor),
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
        self.after.map(|after| self.resume.number - after.number)
    }
}

/// What the store has behind a place.
enum Behind {
    Events(Arc<[Stored]>),
    /// The events behind the place are gone, up to this number at least.
    Gone(u64),
}

impl Reader {
    pub(super) fn new(journal: Journal, position: u64, gone: Gone, with_raw: bool) -> Self {
        let newest = journal.tail.newest();
        Self {
            journal,
            newest,
            position,
            from_earliest: false,
            at_the_place_of: None,
            begun: false,
            gone,
            found_missing: None,
            with_raw,
        }
    }

    /// Takes whatever is the oldest event when it is read.
    pub(super) fn taking_the_oldest(mut self) -> Self {
        self.from_earliest = true;
        self
    }

    /// Begins at a subscription's place, wherever that is when it is read. From there on it is told of what is gone only
    /// where the subscription may have wanted it.
    pub(super) fn at_the_place_of(mut self, id: SubscriptionId) -> Self {
        self.at_the_place_of = Some(id);
        self
    }

    /// Tells first that an unknown number of events before its place are missing.
    pub(super) fn behind_missing(mut self) -> Self {
        self.found_missing = Some(Gap { after: None, resume: self.cursor() });
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
        if let Some(gap) = self.found_missing.take() {
            return Ok(Next::Gap(gap));
        }
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest <= self.position {
                self.newest.changed().await.map_err(|_| store::Error::Closed)?;
                continue;
            }
            let run = match self.journal.tail.run_behind(self.position) {
                Some(events) => Run { skip: skip(&events, self.position), events },
                None => match self.catch_up(newest).await? {
                    Behind::Events(events) => Run { events, skip: 0 },
                    Behind::Gone(number) if self.from_earliest => return Ok(self.move_on(number)),
                    Behind::Gone(number) => {
                        return match self.moved_on(number).await? {
                            Some(place) => Ok(self.move_on(place)),
                            None => self.miss(number).map(Next::Gap),
                        };
                    }
                },
            };
            self.from_earliest = false;
            self.begun = true;
            self.position = run.events().last().map_or(self.position, |event| event.number);
            return Ok(Next::Run(run));
        }
    }

    /// Reads what is behind the place. `newest` is on disk, and behind the place too.
    async fn catch_up(&self, newest: u64) -> Result<Behind, Error> {
        let page = self.journal.store.read(self.position, self.with_raw).await?;
        // Numbers have no holes, and there was an event behind this place: what is not there was trimmed.
        Ok(match page.events.first().map(|first| first.number) {
            Some(first) if first == self.position + 1 => Behind::Events(told(page.events, newest)),
            Some(first) => Behind::Gone(newest.min(first - 1)),
            None => Behind::Gone(newest),
        })
    }

    fn move_on(&mut self, number: u64) -> Next {
        self.position = number;
        Next::MovedOn(self.cursor())
    }

    /// Where the subscription stands by now from whose place this began, if it did not want what is gone. What another
    /// has acknowledged meanwhile it did want: that is missed, unless the reader can begin behind it.
    async fn moved_on(&self, gone: u64) -> Result<Option<u64>, Error> {
        let Some(id) = &self.at_the_place_of else { return Ok(None) };
        let standing = self.journal.store.subscription(id).await?;
        let standing = standing.filter(|standing| !self.begun || standing.acknowledged <= self.position);
        Ok(standing.map(|standing| standing.number).filter(|&number| number >= gone))
    }

    /// The events up to that number are gone.
    fn miss(&mut self, number: u64) -> Result<Gap, Error> {
        let resume = self.journal.cursor(number);
        match self.gone {
            Gone::Fail => Err(Error::CursorExpired { oldest: resume }),
            Gone::Skip => {
                let after = Some(self.cursor());
                self.position = number;
                Ok(Gap { after, resume })
            }
        }
    }
}

/// Without what is on disk and not told yet: a place there is not one that the journal is known to have come to.
fn told(events: Arc<[Stored]>, newest: u64) -> Arc<[Stored]> {
    match skip(&events, newest) {
        all if all == events.len() => events,
        some => events[..some].into(),
    }
}

fn skip(events: &[Stored], position: u64) -> usize {
    events.partition_point(|event| event.number <= position)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, open, trim};
    use super::*;

    /// What is on disk may be read a moment before the journal is told to have come to it.
    #[tokio::test]
    async fn what_is_not_told_yet_is_not_given() {
        let opened = open();
        append(&opened.journal, 4, 10).await;
        let reader = Reader::new(opened.journal.clone(), 0, Gone::Skip, false);
        let numbers = async |newest| match reader.catch_up(newest).await.expect("readable") {
            Behind::Events(events) => events.iter().map(|event| event.number).collect(),
            Behind::Gone(number) => vec![number],
        };
        assert_eq!(numbers(4).await, [1, 2, 3, 4]);
        assert_eq!(numbers(2).await, [1, 2]);
        trim(&opened.journal, 3).await;
        assert_eq!(numbers(4).await, [3], "gone up to there");
        assert_eq!(numbers(2).await, [2], "and as far as is told");
    }
}
