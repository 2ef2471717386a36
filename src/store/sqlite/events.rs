//! Appending events to the journal. For deleting them, see `trim`.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::super::{Append, OpResult, Stamp, StatusEffect, StoredEvent};
use super::conversations;
use super::transaction::Transaction;
use crate::domain::event::{Identity, Party, Payload};
use crate::domain::{AccountId, Cursor, CustomerHash, Event, EventId, Message, UnixMillis};

impl Transaction<'_> {
    /// Appends an event and applies what it reports about messages and conversations.
    pub(super) fn append(&mut self, new: Append) -> rusqlite::Result<OpResult> {
        let Append { event, identity, proof, raw } = new;
        let now = self.now();
        let status_effect = match (&event.payload, &proof) {
            (Payload::MessageStatus(_), _) | (_, Some(_)) => {
                // A duplicate must not change a message. For other events the insert itself finds the duplicate,
                // because they change nothing else.
                if let Some(identity) = &identity
                    && self.is_duplicate(&event.account, identity)?
                {
                    return Ok(OpResult::Duplicate);
                }
                self.apply_event(&event, proof.as_ref(), now)?
            }
            (_, None) => None,
        };
        let result = self.insert_event(&event, identity.as_ref(), raw, status_effect, now)?;
        if let (Some((sender, recipient)), OpResult::Appended(_)) =
            (customer_message(&event.payload), &result)
        {
            let at = event.occur_time.map_or(now, |at| at.min(now));
            conversations::received(&self.db, &event.account, sender, recipient, at)?;
        }
        Ok(result)
    }

    /// Appends `message.accepted` with the message's current state. A second call for the same message changes
    /// nothing.
    pub(super) fn append_accepted(&mut self, message: &Message) -> rusqlite::Result<()> {
        let identity = Identity::accepted(message.id);
        // An outcome may be written long after it became known. The event is received now.
        let now = self.now();
        self.insert_event(&Event::accepted(message.clone()), Some(&identity), Bytes::new(), None, now)?;
        Ok(())
    }

    fn is_duplicate(&self, account: &AccountId, identity: &Identity) -> rusqlite::Result<bool> {
        self.db
            .prepare_cached("SELECT 1 FROM events WHERE account = ?1 AND identity = ?2")?
            .exists(params![account.as_str(), identity.as_str()])
    }

    fn insert_event(
        &mut self,
        event: &Event,
        identity: Option<&Identity>,
        raw: Bytes,
        status_effect: Option<StatusEffect>,
        receive_time: UnixMillis,
    ) -> rusqlite::Result<OpResult> {
        let sequence = self.journal.next_sequence;
        let (raw_hash, possible_duplicate_of) = match identity {
            Some(_) => (None, None),
            None => {
                let hash = hash(&raw);
                let earlier = self.find_equal_bytes(&event.account, &hash, &raw)?;
                (Some(hash), earlier)
            }
        };
        let cursor = Cursor { epoch: self.journal.epoch, sequence };
        let bytes =
            (self.encode)(event, &Stamp { cursor, receive_time, possible_duplicate_of, status_effect });
        let event_type = event.event_type();
        let customer = event.customer();
        let inserted = self
            .db
            .prepare_cached(
                "INSERT INTO events
                     (sequence, id, account, type, receive_ms, identity, raw_hash, customer, customer_alias_1,
                      customer_alias_2, event, raw)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
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
                customer.customer.as_ref().map(CustomerHash::as_bytes),
                customer.aliases[0].as_ref().map(CustomerHash::as_bytes),
                customer.aliases[1].as_ref().map(CustomerHash::as_bytes),
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
            customer,
            event: bytes,
            raw: Some(raw),
        });
        Ok(OpResult::Appended(sequence))
    }

    /// Finds the newest earlier event of the account with the same bytes. The hash is only an index: the bytes are
    /// compared.
    fn find_equal_bytes(
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

/// The sender and the recipient, if a customer wrote.
fn customer_message(payload: &Payload) -> Option<(&Party, &Party)> {
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
