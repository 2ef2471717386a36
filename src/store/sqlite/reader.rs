//! Short reads that run in parallel with the writer and never block it.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};
use tokio::sync::{Semaphore, watch};

use super::super::{Error, Health, PAGE_BYTES, PAGE_EVENTS, Page, StoredEvent, TimeLocation, TimeRange};
use super::column::customer;
use super::schema;
use crate::domain::{AccountId, EventType, UnixMillis};

/// A small pool of read connections.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<ReadConnection>>>,
    permits: Arc<Semaphore>,
    /// Limits page reads to fewer connections than there are. Pages can be slow, and single-row reads must not queue
    /// for them.
    pages: Arc<Semaphore>,
}

/// A connection. It keeps the store's health channel open until it is closed.
#[derive(Debug)]
struct ReadConnection {
    db: Connection,
    _open: Arc<watch::Sender<Health>>,
}

const CONNECTIONS: usize = 4;

impl Readers {
    pub(super) fn open(path: &Path, health: &Arc<watch::Sender<Health>>) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let idle = (0..CONNECTIONS)
            .map(|_| {
                let db = Connection::open_with_flags(path, flags)?;
                schema::configure_statements(&db)?;
                schema::disable_checkpoint_on_close(&db)?;
                Ok(ReadConnection { db, _open: Arc::clone(health) })
            })
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(idle)),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            pages: Arc::new(Semaphore::new(CONNECTIONS - 1)),
        })
    }

    /// Reads a page on a connection that is not reserved for shorter reads.
    pub(super) async fn page(&self, range: PageRange, with_raw: bool) -> Result<Page, Error> {
        let page_permit = Arc::clone(&self.pages).acquire_owned().await.map_err(|_| Error::Closed)?;
        let read = move |db: &Connection| {
            // The read continues if the caller stops waiting, so it keeps the permit.
            let _page_permit = page_permit;
            page(db, range, with_raw)
        };
        self.run(read).await
    }

    /// Runs a short read once a connection is free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let (idle, permits) = (Arc::clone(&self.idle), Arc::clone(&self.permits));
        let read = tokio::task::spawn_blocking(move || {
            // There is one connection per permit, until the pool is closed.
            let connection =
                idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(Error::Closed)?;
            let result = read(&connection.db);
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if !permits.is_closed() {
                idle.push(connection);
            }
            drop(permit);
            result
        });
        read.await.map_err(|_| Error::Closed)?
    }

    /// Closes the pool. A connection in use closes when its read ends.
    pub(super) fn close(&self) {
        self.pages.close();
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The events of a page.
#[derive(Clone, Copy, Debug)]
pub(super) enum PageRange {
    /// From the event after this sequence number on.
    After(u64),
    /// Up to and including this sequence number.
    UpTo(u64),
}

fn page(db: &Connection, range: PageRange, with_raw: bool) -> Result<Page, Error> {
    let failed = |source| Error::Failed(Arc::new(source));
    let (sequence, order) = match range {
        PageRange::After(sequence) => (sequence, "sequence > ?1 ORDER BY sequence"),
        PageRange::UpTo(sequence) => (sequence, "sequence <= ?1 ORDER BY sequence DESC"),
    };
    let raw = if with_raw { ", raw" } else { "" };
    let query = format!(
        "SELECT sequence, account, type, customer, customer_alias_1, customer_alias_2, event{raw} FROM events WHERE {order} LIMIT ?2"
    );
    // One statement is one snapshot, so a gap before the first event is seen in the same state as the events.
    let mut statement = db.prepare_cached(&query).map_err(failed)?;
    let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![sequence, PAGE_EVENTS]).map_err(failed)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut last: Option<AccountId> = None;
    while bytes < PAGE_BYTES {
        let Some(row) = rows.next().map_err(failed)? else { break };
        let stored = read_event(row, with_raw, &mut last)?;
        bytes += stored.event.len() + stored.raw.as_ref().map_or(0, bytes::Bytes::len);
        events.push(stored);
    }
    if let PageRange::UpTo(_) = range {
        events.reverse();
    }
    Ok(Page { events: events.into() })
}

/// Finds the first event received at a time or later. Receive times never decrease, and sequence numbers are
/// contiguous. A binary search reads a few rows, without an index that every append would have to update.
pub(super) fn locate_time(db: &Connection, moment: UnixMillis) -> rusqlite::Result<TimeLocation> {
    // One snapshot for all queries.
    let snapshot = db.unchecked_transaction()?;
    let (next_sequence, trimmed) = snapshot
        .prepare_cached("SELECT next_sequence, trimmed_ms FROM journal WHERE id = 1")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let oldest: Option<i64> = snapshot
        .prepare_cached("SELECT sequence FROM events ORDER BY sequence LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let mut received = snapshot.prepare_cached("SELECT receive_ms FROM events WHERE sequence = ?1")?;
    let (mut first, mut end) = (oldest.unwrap_or(next_sequence), next_sequence);
    while first < end {
        let middle = first + (end - first) / 2;
        let at: i64 = received.query_row(params![middle], |row| row.get(0))?;
        if at < moment.0 {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(TimeLocation { after: (first - 1).cast_unsigned(), trimmed: trimmed.is_some_and(|at| at >= moment.0) })
}

/// When the first event after each sequence number was received.
pub(super) fn received_after(
    db: &Connection,
    sequences: &[u64],
) -> rusqlite::Result<Vec<Option<UnixMillis>>> {
    let mut first =
        db.prepare_cached("SELECT receive_ms FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT 1")?;
    sequences
        .iter()
        .map(|sequence| {
            first.query_row([sequence.cast_signed()], |row| row.get(0).map(UnixMillis)).optional()
        })
        .collect()
}

/// The receive times of the oldest and the newest event.
pub(super) fn time_range(db: &Connection) -> rusqlite::Result<Option<TimeRange>> {
    db.prepare_cached(
        "SELECT (SELECT receive_ms FROM events ORDER BY sequence LIMIT 1),
                (SELECT receive_ms FROM events ORDER BY sequence DESC LIMIT 1)",
    )?
    .query_row([], |row| {
        let (oldest, newest): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(oldest
            .zip(newest)
            .map(|(oldest, newest)| TimeRange { oldest: UnixMillis(oldest), newest: UnixMillis(newest) }))
    })
}

/// Reads a row. Consecutive rows often have the same account, so its id is shared.
fn read_event(row: &Row<'_>, with_raw: bool, last: &mut Option<AccountId>) -> Result<StoredEvent, Error> {
    let failed = |source| Error::Failed(Arc::new(source));
    let text = |column| {
        row.get_ref(column)
            .map_err(failed)?
            .as_str()
            .map_err(|_| Error::Corrupt(format!("column {column} is not text")))
    };
    let blob = |column| {
        row.get_ref(column)
            .map_err(failed)?
            .as_blob()
            .map(bytes::Bytes::copy_from_slice)
            .map_err(|_| Error::Corrupt(format!("column {column} is not a blob")))
    };
    let sequence = row.get::<_, i64>(0).map_err(failed)?.cast_unsigned();
    let account = text(1)?;
    let account = match last {
        Some(same) if same.as_str() == account => same.clone(),
        _ => {
            let id = AccountId::from_str(account)
                .map_err(|_| Error::Corrupt(format!("event {sequence} has no valid account")))?;
            last.insert(id).clone()
        }
    };
    let event_type = EventType::from_name(text(2)?)
        .ok_or_else(|| Error::Corrupt(format!("event {sequence} has an unknown type")))?;
    Ok(StoredEvent {
        sequence,
        account,
        event_type,
        customer: customer(row, 3).map_err(Error::of_read)?,
        event: blob(6)?,
        raw: if with_raw { Some(blob(7)?) } else { None },
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::tests::open;
    use super::*;

    #[tokio::test]
    async fn page_reads_leave_a_connection_for_row_reads() {
        let opened = open();
        let readers = &opened.store.readers;
        // All permits for page reads are taken.
        let reading = u32::try_from(CONNECTIONS - 1).expect("few");
        let pages = Arc::clone(&readers.pages).acquire_many_owned(reading).await.expect("open");
        let connections = Arc::clone(&readers.permits).acquire_many_owned(reading).await.expect("open");
        let mut next = Box::pin(readers.page(PageRange::After(0), false));
        assert!((&mut next).now_or_never().is_none(), "the page read waits for a permit");
        readers.run(|db| time_range(db).map_err(Error::of_read)).await.expect("readable");
        assert!((&mut next).now_or_never().is_none(), "the page read still waits");
        drop((pages, connections));
        next.await.expect("readable");
    }
}
