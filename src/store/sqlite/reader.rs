//! Short reads, beside the writer and never in its way.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Row, params};
use tokio::sync::Semaphore;

use super::super::{Error, PAGE_BYTES, PAGE_EVENTS, Page, Stored};
use super::schema;
use crate::domain::{AccountId, EventType};

/// A few connections that readers take turns with.
#[derive(Clone, Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

const CONNECTIONS: usize = 4;

impl Readers {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let idle = (0..CONNECTIONS)
            .map(|_| {
                let db = Connection::open_with_flags(path, flags)?;
                schema::keep_statements(&db)?;
                Ok(db)
            })
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Runs a short read beside the writer, when a connection is free.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Error::Closed)?;
        let idle = Arc::clone(&self.idle);
        let read = tokio::task::spawn_blocking(move || {
            let db = idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()
                .expect("there are as many connections as permits");
            let result = read(&db);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            drop(permit);
            result
        });
        read.await.map_err(|_| Error::Closed)?
    }
}

pub(super) fn page(db: &Connection, after: u64, with_raw: bool) -> Result<Page, Error> {
    let failed = |source| Error::Failed(Arc::new(source));
    // One statement, so one snapshot: whether `after` was trimmed is seen as of the same moment as the events.
    let mut statement = db
        .prepare_cached(if with_raw {
            "SELECT number, account, type, event, raw FROM events WHERE number > ?1 ORDER BY number LIMIT ?2"
        } else {
            "SELECT number, account, type, event FROM events WHERE number > ?1 ORDER BY number LIMIT ?2"
        })
        .map_err(failed)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after, PAGE_EVENTS]).map_err(failed)?;
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut last: Option<AccountId> = None;
    while bytes < PAGE_BYTES {
        let Some(row) = rows.next().map_err(failed)? else { break };
        let stored = stored(row, with_raw, &mut last)?;
        bytes += stored.event.len() + stored.raw.as_ref().map_or(0, bytes::Bytes::len);
        events.push(stored);
    }
    Ok(Page { events: events.into() })
}

/// Reads a row. Rows of one account often follow each other, so the last id is kept and shared.
fn stored(row: &Row<'_>, with_raw: bool, last: &mut Option<AccountId>) -> Result<Stored, Error> {
    let failed = |source| Error::Failed(Arc::new(source));
    let text = |column| {
        row.get_ref(column)
            .map_err(failed)?
            .as_str()
            .map_err(|_| Error::Corrupt(format!("column {column} is no text")))
    };
    let blob = |column| {
        row.get_ref(column)
            .map_err(failed)?
            .as_blob()
            .map(bytes::Bytes::copy_from_slice)
            .map_err(|_| Error::Corrupt(format!("column {column} is no blob")))
    };
    let number = row.get::<_, i64>(0).map_err(failed)?.cast_unsigned();
    let account = text(1)?;
    let account = match last {
        Some(same) if same.as_str() == account => same.clone(),
        _ => {
            let id = AccountId::from_str(account)
                .map_err(|_| Error::Corrupt(format!("event {number} has no account")))?;
            last.insert(id).clone()
        }
    };
    let event_type = EventType::from_name(text(2)?).ok_or_else(|| {
        Error::Corrupt(format!("event {number} has a type that this version does not know"))
    })?;
    Ok(Stored {
        number,
        account,
        event_type,
        event: blob(3)?,
        raw: if with_raw { Some(blob(4)?) } else { None },
    })
}
