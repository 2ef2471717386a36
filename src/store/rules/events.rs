//! Appending events to the journal. For deleting them, see `trim`.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::super::{Append, OpResult, Stamp, StatusEffect, StoredEvent};
use super::{NewEvent, RawHash, RowError, Rows, Transaction};
use crate::domain::event::{Identity, Party, Payload};
use crate::domain::{Cursor, Event, Message, UnixMillis};

impl<R: Rows> Transaction<R> {
    /// Appends an event and applies what it reports about messages and conversations.
    pub(super) fn append(&mut self, new: Append) -> Result<OpResult, RowError> {
        let Append { event, identity, proof, raw } = new;
        let now = self.now();
        let status_effect = match (&event.payload, &proof) {
            (Payload::MessageStatus(_), _) | (_, Some(_)) => {
                // A duplicate must not change a message. For other events the insert itself finds the duplicate,
                // because they change nothing else.
                if let Some(identity) = &identity
                    && self.rows.has_event(&event.account, identity)?
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
            self.rows.record_received(&event.account, sender, recipient, at)?;
        }
        Ok(result)
    }

    /// Appends `message.accepted` with the message's current state. A second call for the same message changes
    /// nothing.
    pub(super) fn append_accepted(&mut self, message: &Message) -> Result<(), RowError> {
        let identity = Identity::accepted(message.id);
        // An outcome may be written long after it became known. The event is received now.
        let now = self.now();
        self.insert_event(&Event::accepted(message.clone()), Some(&identity), Bytes::new(), None, now)?;
        Ok(())
    }

    fn insert_event(
        &mut self,
        event: &Event,
        identity: Option<&Identity>,
        raw: Bytes,
        status_effect: Option<StatusEffect>,
        receive_time: UnixMillis,
    ) -> Result<OpResult, RowError> {
        let sequence = self.journal.next_sequence;
        let (raw_hash, possible_duplicate_of) = match identity {
            Some(_) => (None, None),
            None => {
                let hash = hash(&raw);
                let earlier = self.rows.equal_bytes(&event.account, &hash, &raw)?;
                (Some(hash), earlier)
            }
        };
        let cursor = Cursor { epoch: self.journal.epoch, sequence };
        let bytes =
            (self.encode)(event, &Stamp { cursor, receive_time, possible_duplicate_of, status_effect });
        let event_type = event.event_type();
        let customer = event.customer();
        let inserted = self.rows.insert_event(&NewEvent {
            sequence,
            id: &event.id,
            account: &event.account,
            event_type,
            receive_time,
            identity,
            raw_hash: raw_hash.as_ref(),
            customer: &customer,
            event: &bytes,
            raw: &raw,
        })?;
        if !inserted {
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

fn hash(raw: &Bytes) -> RawHash {
    let digest = Sha256::digest(raw);
    let mut start = RawHash::default();
    start.copy_from_slice(&digest[..16]);
    start
}
