//! An open transaction and its changes. They count only after the commit.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction as SqlTransaction, TransactionBehavior, params};

use super::super::{Encode, Op, OpResult, StoredEvent, SubscriptionChange};
use super::schema::JournalRow;
use super::{conversations, messages, provider_messages, requests};
use crate::domain::{Message, MessageId, UnixMillis};

/// An open transaction.
pub(super) struct Transaction<'db> {
    pub(super) db: SqlTransaction<'db>,
    pub(super) journal: JournalRow,
    pub(super) encode: Encode,
    pub(super) appended: Vec<StoredEvent>,
    pub(super) subscriptions: Vec<SubscriptionChange>,
    initial_journal: JournalRow,
    changed_messages: ChangedMessages,
}

/// The changes of a committed transaction.
pub(super) struct CommittedBatch {
    pub(super) journal: JournalRow,
    pub(super) appended: Vec<StoredEvent>,
    pub(super) messages: Vec<Message>,
    pub(super) subscriptions: Vec<SubscriptionChange>,
}

/// New and changed messages, each once with its final state, in the order of their first change.
#[derive(Default)]
struct ChangedMessages {
    messages: Vec<Option<Message>>,
    index_by_id: HashMap<MessageId, usize>,
}

impl<'db> Transaction<'db> {
    pub(super) fn start(
        db: &'db mut Connection,
        journal: JournalRow,
        encode: Encode,
    ) -> rusqlite::Result<Self> {
        let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self {
            db,
            journal,
            encode,
            appended: Vec::new(),
            subscriptions: Vec::new(),
            initial_journal: journal,
            changed_messages: ChangedMessages::default(),
        })
    }

    pub(super) fn apply(&mut self, op: Op) -> rusqlite::Result<OpResult> {
        match op {
            Op::Append(new) => self.append(*new),
            Op::BeginAttempt(begin) => self.begin_attempt(*begin),
            Op::FinishAttempt(finish) => self.finish_attempt(*finish),
            Op::Expire { now, requests, messages, max_rows } => {
                self.journal.replay_guard_until =
                    self.journal.replay_guard_until.filter(|until| now < *until);
                self.expire(requests, messages, max_rows)
            }
            Op::Trim(trim) => self.trim(trim),
            Op::Subscription(id, change) => self.change_subscription(id, *change),
        }
    }

    pub(super) fn commit(self) -> rusqlite::Result<CommittedBatch> {
        if self.journal != self.initial_journal {
            let JournalRow {
                next_sequence,
                last_receive,
                trimmed,
                bytes,
                replay_guard_until,
                generations,
                ..
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

    /// The current time, which never goes backwards.
    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis::now().max(self.journal.last_receive)
    }

    /// Queues a change notification for a message.
    pub(super) fn mark_changed(&mut self, message: Message) {
        let ChangedMessages { messages, index_by_id } = &mut self.changed_messages;
        let index = *index_by_id.entry(message.id).or_insert(messages.len());
        if index == messages.len() {
            messages.push(None);
        }
        messages[index] = Some(message);
    }

    /// Drops the notification of a deleted message.
    pub(super) fn unmark_changed(&mut self, id: MessageId) {
        if let Some(&index) = self.changed_messages.index_by_id.get(&id) {
            self.changed_messages.messages[index] = None;
        }
    }

    fn expire(
        &mut self,
        requests: UnixMillis,
        messages: UnixMillis,
        max_rows: u32,
    ) -> rusqlite::Result<OpResult> {
        // Requests first, because a message cannot be deleted before its request.
        let rows = [
            requests::expire(&self.db, requests, max_rows)?,
            messages::expire(&self.db, messages, max_rows)?,
            provider_messages::expire(&self.db, messages, max_rows)?,
            conversations::expire(&self.db, messages, max_rows)?,
        ];
        Ok(OpResult::Expired(rows.into_iter().max().unwrap_or(0)))
    }
}
