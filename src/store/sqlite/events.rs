//! The journal's events: appending. How they go is in `trim`.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::{Append, OpResult, Stamp, StatusEffect, StoredEvent};
use super::conversations;
use super::transaction::Transaction;
use crate::domain::event::{Identity, Party, Payload};
use crate::domain::{AccountId, Cursor, Event, EventId, Message, UnixMillis};

impl Transaction<'_> {
    /// Puts an event at the end, with all that it tells of messages and conversations.
    pub(super) fn append(&mut self, new: Append) -> rusqlite::Result<OpResult> {
        let Append { event, identity, proof, raw } = new;
        let now = self.now();
        let life = match (&event.payload, &proof) {
            (Payload::MessageStatus(_), _) | (_, Some(_)) => {
                // What is known already changes nothing. Other events need not be looked for: they change nothing else.
                if let Some(identity) = &identity
                    && self.appended_before(&event.account, identity)?
                {
                    return Ok(OpResult::Duplicate);
                }
                self.follow(&event, proof.as_ref(), now)?
            }
            (_, None) => None,
        };
        let done = self.put(&event, identity.as_ref(), raw, life, now)?;
        if let (Some((sender, recipient)), OpResult::Appended(_)) = (written(&event.payload), &done) {
            let at = event.occur_time.map_or(now, |at| at.min(now));
            conversations::received(&self.db, &event.account, sender, recipient, at)?;
        }
        Ok(done)
    }

    /// Tells that the provider has taken a message, as it stands. Once: a second time nothing happens.
    pub(super) fn tell_accepted(&mut self, message: &Message) -> rusqlite::Result<()> {
        let identity = Identity::accepted(message.id);
        // An outcome may be written long after it was known; it is received now.
        let now = self.now();
        self.put(&Event::accepted(message.clone()), Some(&identity), Bytes::new(), None, now)?;
        Ok(())
    }

    fn appended_before(&self, account: &AccountId, identity: &Identity) -> rusqlite::Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM events WHERE account = ?1 AND identity = ?2")?
            .exists(params![account.as_str(), identity.as_str()])
    }

    fn put(
        &mut self,
        event: &Event,
        identity: Option<&Identity>,
        raw: Bytes,
        life: Option<StatusEffect>,
        receive_time: UnixMillis,
    ) -> rusqlite::Result<OpResult> {
        let sequence = self.journal.next_sequence;
        let (raw_hash, possible_duplicate_of) = match identity {
            Some(_) => (None, None),
            None => {
                let hash = hash(&raw);
                let earlier = self.equal_bytes(&event.account, &hash, &raw)?;
                (Some(hash), earlier)
            }
        };
        let cursor = Cursor { epoch: self.journal.epoch, sequence };
        let bytes = (self.encode)(event, &Stamp { cursor, receive_time, possible_duplicate_of, life });
        let event_type = event.event_type();
        let inserted = self
            .db
            .prepare_cached(
                "INSERT INTO events (sequence, id, account, type, receive_ms, identity, raw_hash, event, raw)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (account, identity) WHERE identity IS NOT NULL DO NOTHING",
            )?
            .execute(params![
                sequence.cast_signed(),
                event.id.as_str(),
                event.account.as_str(),
                event_type.as_str(),
                receive_time.0,
                identity.map(Identity::as_str),
                raw_hash.as_ref().map(|hash| hash.as_slice()),
                bytes.as_ref(),
                raw.as_ref(),
            ])?;
        if inserted == 0 {
            return Ok(OpResult::Duplicate);
        }
        self.journal.next_sequence += 1;
        self.journal.bytes += (bytes.len() + raw.len()) as u64;
        self.journal.last_receive = receive_time;
        self.appended.push(StoredEvent {
            sequence,
            account: event.account.clone(),
            event_type,
            event: bytes,
            raw: Some(raw),
        });
        Ok(OpResult::Appended(sequence))
    }

    /// Finds the newest earlier event of the account with the same bytes. The hash finds it, the bytes decide.
    fn equal_bytes(
        &self,
        account: &AccountId,
        hash: &RawHash,
        raw: &Bytes,
    ) -> rusqlite::Result<Option<EventId>> {
        self.db
            .prepare_cached(
                "SELECT id FROM events WHERE account = ?1 AND raw_hash = ?2 AND raw = ?3
                 ORDER BY sequence DESC LIMIT 1",
            )?
            .query_row(params![account.as_str(), hash.as_slice(), raw.as_ref()], |row| row.get(0))
            .optional()
            .map(|id| id.map(EventId::from_stored))
    }
}

/// Who wrote to whom, where a customer did.
fn written(payload: &Payload) -> Option<(&Party, &Party)> {
    match payload {
        Payload::MessageReceived(message) => Some((&message.sender, &message.recipient)),
        Payload::MessageAccepted(_)
        | Payload::MessageStatus(_)
        | Payload::MessageEcho(_)
        | Payload::ReportRun(_)
        | Payload::Unknown { .. } => None,
    }
}

type RawHash = [u8; 16];

fn hash(raw: &Bytes) -> RawHash {
    let digest = Sha256::digest(raw);
    let mut start = RawHash::default();
    start.copy_from_slice(&digest[..16]);
    start
}
