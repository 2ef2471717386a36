//! A transaction under way, and what it has done: to be believed only once it is committed.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction as SqlTransaction, TransactionBehavior, params};

use super::super::{Encode, Op, OpResult, StoredEvent, SubscriptionChange};
use super::schema::Journal;
use super::{conversations, messages, provider_messages, requests};
use crate::domain::{Message, MessageId, UnixMillis};

/// A transaction under way.
pub(super) struct Transaction<'db> {
    pub(super) db: SqlTransaction<'db>,
    pub(super) journal: Journal,
    pub(super) encode: Encode,
    pub(super) appended: Vec<StoredEvent>,
    pub(super) subscriptions: Vec<SubscriptionChange>,
    begun_at: Journal,
    changed_messages: ChangedMessages,
}

/// What a transaction did.
pub(super) struct CommittedBatch {
    pub(super) journal: Journal,
    pub(super) appended: Vec<StoredEvent>,
    pub(super) messages: Vec<Message>,
    pub(super) subscriptions: Vec<SubscriptionChange>,
}

/// Messages that are new or stand differently, each once, as it stands; in the order in which they were first touched.
#[derive(Default)]
struct ChangedMessages {
    messages: Vec<Option<Message>>,
    places: HashMap<MessageId, usize>,
}

impl<'db> Transaction<'db> {
    pub(super) fn start(db: &'db mut Connection, journal: Journal, encode: Encode) -> rusqlite::Result<Self> {
        let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self {
            db,
            journal,
            encode,
            appended: Vec::new(),
            subscriptions: Vec::new(),
            begun_at: journal,
            changed_messages: ChangedMessages::default(),
        })
    }

    pub(super) fn apply(&mut self, op: Op) -> rusqlite::Result<OpResult> {
        match op {
            Op::Append(new) => self.append(*new),
            Op::BeginAttempt(begin) => self.begin(*begin),
            Op::FinishAttempt(end) => self.end(*end),
            Op::Expire { now, requests, messages, most } => {
                self.journal.replay_guard_until =
                    self.journal.replay_guard_until.filter(|until| now < *until);
                self.forget(requests, messages, most)
            }
            Op::Trim(trim) => self.trim(trim),
            Op::Subscription(id, change) => self.change_subscription(id, *change),
        }
    }

    pub(super) fn commit(self) -> rusqlite::Result<CommittedBatch> {
        if self.journal != self.begun_at {
            let Journal {
                next_sequence, last_receive, trimmed, bytes, replay_guard_until, generations, ..
            } = self.journal;
            self.db
                .prepare_cached(
                    "UPDATE journal SET next_sequence = ?1, last_receive_ms = ?2, trimmed_ms = ?3, bytes = ?4,
                         replay_guard_until_ms = ?5, generations = ?6
                     WHERE id = 1",
                )?
                .execute(params![
                    next_sequence.cast_signed(),
                    last_receive.0,
                    trimmed.map(|at| at.0),
                    bytes.cast_signed(),
                    replay_guard_until.map(|until| until.0),
                    generations.cast_signed(),
                ])?;
        }
        self.db.commit()?;
        Ok(CommittedBatch {
            journal: self.journal,
            appended: self.appended,
            messages: self.changed_messages.messages.into_iter().flatten().collect(),
            subscriptions: self.subscriptions,
        })
    }

    /// The moment, by a clock that never goes back.
    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis::now().max(self.journal.last_receive)
    }

    /// Has it told how a message stands.
    pub(super) fn mark_changed(&mut self, message: Message) {
        let ChangedMessages { messages, places } = &mut self.changed_messages;
        let place = *places.entry(message.id).or_insert(messages.len());
        if place == messages.len() {
            messages.push(None);
        }
        messages[place] = Some(message);
    }

    /// Has nothing told of a message that is no more.
    pub(super) fn unmark_changed(&mut self, id: MessageId) {
        if let Some(&place) = self.changed_messages.places.get(&id) {
            self.changed_messages.messages[place] = None;
        }
    }

    fn forget(
        &mut self,
        requests: UnixMillis,
        messages: UnixMillis,
        most: u32,
    ) -> rusqlite::Result<OpResult> {
        // Requests first: messages of those that stay, stay.
        let rows = [
            requests::forget(&self.db, requests, most)?,
            messages::forget(&self.db, messages, most)?,
            provider_messages::forget(&self.db, messages, most)?,
            conversations::forget(&self.db, messages, most)?,
        ];
        Ok(OpResult::Expired(rows.into_iter().max().unwrap_or(0)))
    }
}
