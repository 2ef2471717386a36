//! The end of the journal in memory. Readers that keep up are served from it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::store::StoredEvent;

/// The maximum number of bytes of events in the tail. The newest batch always stays, even if it is larger.
const TAIL_BYTES: usize = 16 << 20;

/// The approximate cost of an event besides its bytes. It makes many tiny events count too.
const EVENT_OVERHEAD: usize = 128;

/// The newest batches of events, shared by all readers. Each batch is one commit of the writer.
#[derive(Debug)]
pub struct Tail {
    batches: RwLock<Batches>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Batches {
    batches: VecDeque<Arc<[StoredEvent]>>,
    bytes: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self::new()
    }
}

impl Tail {
    /// Makes an empty tail.
    pub fn new() -> Self {
        Self { batches: RwLock::default(), newest: watch::Sender::new(0) }
    }

    /// Sets the newest sequence number of the journal that was opened.
    pub(super) fn start_at(&self, newest: u64) {
        self.newest.send_replace(newest);
    }

    /// Adds events that have become durable.
    pub fn push(&self, batch: Arc<[StoredEvent]>) {
        let Some(newest) = batch.last().map(|event| event.sequence) else { return };
        {
            let mut batches = self.batches.write().unwrap_or_else(PoisonError::into_inner);
            batches.bytes += size(&batch);
            batches.batches.push_back(batch);
            while batches.bytes > TAIL_BYTES && batches.batches.len() > 1 {
                if let Some(oldest) = batches.batches.pop_front() {
                    batches.bytes -= size(&oldest);
                }
            }
        }
        // The batch is in the tail by now, so a reader that wakes up finds it.
        self.newest.send_replace(newest);
    }

    /// Watches the sequence number of the newest event.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Returns the batch that contains the event after `sequence`, if it is in the tail.
    pub(super) fn batch_after(&self, sequence: u64) -> Option<Arc<[StoredEvent]>> {
        let batches = self.batches.read().unwrap_or_else(PoisonError::into_inner);
        let at = batches
            .batches
            .partition_point(|batch| batch.last().is_none_or(|last| last.sequence <= sequence));
        let batch = batches.batches.get(at)?;
        (batch.first()?.sequence <= sequence + 1).then(|| Arc::clone(batch))
    }
}

fn size(batch: &[StoredEvent]) -> usize {
    batch
        .iter()
        .map(|event| EVENT_OVERHEAD + event.event.len() + event.raw.as_ref().map_or(0, bytes::Bytes::len))
        .sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::{EventCustomer, EventType};

    fn batch(sequences: std::ops::RangeInclusive<u64>, bytes: usize) -> Arc<[StoredEvent]> {
        sequences
            .map(|sequence| StoredEvent {
                sequence,
                account: "acme".parse().expect("an id"),
                event_type: EventType::Unknown,
                customer: EventCustomer::default(),
                event: Bytes::from(vec![0; bytes]),
                raw: None,
            })
            .collect()
    }

    fn first(batch: Option<Arc<[StoredEvent]>>) -> Option<u64> {
        batch.map(|batch| batch[0].sequence)
    }

    #[test]
    fn batch_after_returns_the_batch_with_the_next_event() {
        let tail = Tail::new();
        tail.push(batch(5..=7, 10));
        tail.push(batch(8..=8, 10));
        assert_eq!(first(tail.batch_after(3)), None, "event 4 is not in the tail");
        assert_eq!(first(tail.batch_after(4)), Some(5));
        assert_eq!(first(tail.batch_after(6)), Some(5));
        assert_eq!(first(tail.batch_after(7)), Some(8));
        assert_eq!(first(tail.batch_after(8)), None);
        assert_eq!(*tail.newest().borrow(), 8);
    }

    #[test]
    fn tail_respects_its_byte_limit_but_keeps_the_newest_batch() {
        let tail = Tail::new();
        tail.push(batch(1..=1, TAIL_BYTES / 2));
        tail.push(batch(2..=2, TAIL_BYTES / 2 - 1_000));
        assert_eq!(first(tail.batch_after(0)), Some(1));
        tail.push(batch(3..=3, 2_000));
        assert_eq!(first(tail.batch_after(0)), None);
        assert_eq!(first(tail.batch_after(1)), Some(2));
        tail.push(batch(4..=4, 2 * TAIL_BYTES));
        assert_eq!(first(tail.batch_after(2)), None);
        assert_eq!(first(tail.batch_after(3)), Some(4));
    }
}
