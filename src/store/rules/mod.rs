//! The rules of the store: what each op changes, and what it returns.
//!
//! **Invariants.** The rules read and change rows only through [`Rows`], so they know no SQL and no engine. Everything
//! that a batch changes is in its rows and in its [`Transaction`], and counts only after the commit.

mod events;
mod finish_attempt;
mod message_state;
mod requests;
mod rows;
mod subscriptions;
mod trim;

use std::collections::HashMap;

use super::{Encode, Op, OpResult, StoredEvent, SubscriptionChange};
use crate::domain::{Message, MessageId, UnixMillis};

pub(super) use requests::{RequestRow, RowState, mark_unknown, presumed_lost};
pub(super) use rows::{
    JournalRow, NewEvent, OldestEvent, PositionedFilter, ProviderIdRow, RawHash, Report, RowError, Rows,
};

/// A batch of ops in progress.
pub(in crate::store) struct Transaction<R> {
    rows: R,
    journal: JournalRow,
    encode: Encode,
    appended: Vec<StoredEvent>,
    subscriptions: Vec<SubscriptionChange>,
    changed_messages: ChangedMessages,
}

/// The changes of a batch.
pub(in crate::store) struct Batch {
    pub(in crate::store) journal: JournalRow,
    pub(in crate::store) appended: Vec<StoredEvent>,
    pub(in crate::store) messages: Vec<Message>,
    pub(in crate::store) subscriptions: Vec<SubscriptionChange>,
}

/// New and changed messages, each once with its final state, in the order of their first change.
#[derive(Default)]
struct ChangedMessages {
    messages: Vec<Option<Message>>,
    index_by_id: HashMap<MessageId, usize>,
}

impl<R: Rows> Transaction<R> {
    pub(in crate::store) fn start(rows: R, journal: JournalRow, encode: Encode) -> Self {
        Self {
            rows,
            journal,
            encode,
            appended: Vec::new(),
            subscriptions: Vec::new(),
            changed_messages: ChangedMessages::default(),
        }
    }

    pub(in crate::store) fn apply(&mut self, op: Op) -> Result<OpResult, RowError> {
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

    /// Ends the batch. The engine commits the rows, and the journal's state with them.
    pub(in crate::store) fn finish(self) -> (R, Batch) {
        let batch = Batch {
            journal: self.journal,
            appended: self.appended,
            messages: self.changed_messages.messages.into_iter().flatten().collect(),
            subscriptions: self.subscriptions,
        };
        (self.rows, batch)
    }

    /// The current time, which never goes backwards.
    fn now(&self) -> UnixMillis {
        UnixMillis::now().max(self.journal.last_receive)
    }

    /// Queues a change notification for a message.
    fn mark_changed(&mut self, message: Message) {
        let ChangedMessages { messages, index_by_id } = &mut self.changed_messages;
        let index = *index_by_id.entry(message.id).or_insert(messages.len());
        if index == messages.len() {
            messages.push(None);
        }
        messages[index] = Some(message);
    }

    /// Drops the notification of a deleted message.
    fn unmark_changed(&mut self, id: MessageId) {
        if let Some(&index) = self.changed_messages.index_by_id.get(&id) {
            self.changed_messages.messages[index] = None;
        }
    }

    fn expire(
        &mut self,
        requests: UnixMillis,
        messages: UnixMillis,
        max_rows: u32,
    ) -> Result<OpResult, RowError> {
        // Requests first, because a message cannot be deleted before its request.
        let rows = [
            self.rows.expire_requests(requests, max_rows)?,
            self.rows.expire_messages(messages, max_rows)?,
            self.rows.expire_early_reports(messages, max_rows)?,
            self.rows.expire_conversations(messages, max_rows)?,
        ];
        Ok(OpResult::Expired(rows.into_iter().max().unwrap_or(0)))
    }
}
