//! [`Rows`] by prepared statements.

use std::ops::ControlFlow;

use rusqlite::{Connection, Transaction as SqlTransaction, TransactionBehavior, params};

use super::{conversations, events, messages, provider_messages, requests, subscriptions};
use crate::domain::event::{Identity, Party};
use crate::domain::{
    AccountId, EventId, Message, MessageId, RequestId, Subscription, SubscriptionId, UnixMillis,
};
use crate::store::Error;
use crate::store::rules::{
    JournalRow, NewEvent, OldestEvent, PositionedFilter, ProviderIdRow, RawHash, Report, RequestRow,
    RowError, Rows,
};

/// The rows of an open SQLite transaction. Every row is readable, so none is ever missing.
pub(super) struct SqliteRows<'db> {
    pub(super) db: SqlTransaction<'db>,
}

impl<'db> SqliteRows<'db> {
    pub(super) fn begin(db: &'db mut Connection) -> rusqlite::Result<Self> {
        Ok(Self { db: db.transaction_with_behavior(TransactionBehavior::Immediate)? })
    }

    /// Commits the rows, and the journal's state if it has changed.
    pub(super) fn commit(self, before: JournalRow, after: JournalRow) -> rusqlite::Result<()> {
        if after != before {
            let JournalRow {
                next_sequence,
                last_receive,
                trimmed,
                bytes,
                replay_guard_until,
                generations,
                ..
            } = after;
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
        self.db.commit()
    }
}

impl From<rusqlite::Error> for RowError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Engine(Error::of_write(source))
    }
}

impl Rows for SqliteRows<'_> {
    fn request(
        &self,
        account: &AccountId,
        id: &RequestId,
    ) -> Result<Option<(RequestRow, Option<Message>)>, RowError> {
        Ok(requests::find(&self.db, account, id)?)
    }

    fn put_request(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        request: &RequestRow,
    ) -> Result<(), RowError> {
        Ok(requests::put(&self.db, account, id, request)?)
    }

    fn delete_request(&mut self, account: &AccountId, id: &RequestId) -> Result<(), RowError> {
        Ok(requests::delete(&self.db, account, id)?)
    }

    fn accept_request(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        message_id: MessageId,
        now: UnixMillis,
    ) -> Result<(), RowError> {
        Ok(requests::accept(&self.db, account, id, message_id, now)?)
    }

    fn expire_requests(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError> {
        Ok(requests::expire(&self.db, before, limit)?)
    }

    fn message(&self, id: MessageId) -> Result<Option<Message>, RowError> {
        Ok(messages::find(&self.db, id)?)
    }

    fn insert_message(&mut self, message: &Message) -> Result<(), RowError> {
        Ok(messages::insert(&self.db, message)?)
    }

    fn update_message(&mut self, message: &Message) -> Result<(), RowError> {
        Ok(messages::update(&self.db, message)?)
    }

    fn delete_message(&mut self, id: MessageId) -> Result<(), RowError> {
        Ok(messages::delete(&self.db, id)?)
    }

    fn expire_messages(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError> {
        Ok(messages::expire(&self.db, before, limit)?)
    }

    fn provider_id(&self, account: &AccountId, id: &str) -> Result<Option<ProviderIdRow>, RowError> {
        Ok(provider_messages::find(&self.db, account, id)?)
    }

    fn join_provider_id(
        &mut self,
        account: &AccountId,
        id: &str,
        message_id: MessageId,
        now: UnixMillis,
    ) -> Result<(), RowError> {
        Ok(provider_messages::join(&self.db, account, id, message_id, now)?)
    }

    fn put_early_report(
        &mut self,
        account: &AccountId,
        id: &str,
        message_id: Option<MessageId>,
        report: &Report,
        now: UnixMillis,
    ) -> Result<(), RowError> {
        Ok(provider_messages::put_early(&self.db, account, id, message_id, report, now)?)
    }

    fn take_early_reports(
        &mut self,
        account: &AccountId,
        message_id: MessageId,
    ) -> Result<Vec<(String, Report)>, RowError> {
        Ok(provider_messages::take_early(&self.db, account, message_id)?)
    }

    fn expire_early_reports(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError> {
        Ok(provider_messages::expire(&self.db, before, limit)?)
    }

    fn record_received(
        &mut self,
        account: &AccountId,
        sender: &Party,
        recipient: &Party,
        at: UnixMillis,
    ) -> Result<(), RowError> {
        Ok(conversations::received(&self.db, account, sender, recipient, at)?)
    }

    fn expire_conversations(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError> {
        Ok(conversations::expire(&self.db, before, limit)?)
    }

    fn has_event(&self, account: &AccountId, identity: &Identity) -> Result<bool, RowError> {
        Ok(events::exists(&self.db, account, identity)?)
    }

    fn equal_bytes(
        &self,
        account: &AccountId,
        hash: &RawHash,
        raw: &[u8],
    ) -> Result<Option<EventId>, RowError> {
        Ok(events::find_equal_bytes(&self.db, account, hash, raw)?)
    }

    fn insert_event(&mut self, event: &NewEvent<'_>) -> Result<bool, RowError> {
        Ok(events::insert(&self.db, event)?)
    }

    fn oldest_events(
        &self,
        visit: impl FnMut(&OldestEvent<'_>) -> Result<ControlFlow<()>, RowError>,
    ) -> Result<(), RowError> {
        events::visit_oldest(&self.db, visit)
    }

    fn delete_events(&mut self, up_to: u64) -> Result<(), RowError> {
        Ok(events::delete(&self.db, up_to)?)
    }

    fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, RowError> {
        Ok(subscriptions::find(&self.db, id)?)
    }

    fn count_subscriptions(&self) -> Result<u32, RowError> {
        Ok(subscriptions::count(&self.db)?)
    }

    fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), RowError> {
        Ok(subscriptions::put(&self.db, subscription)?)
    }

    fn delete_subscription(&mut self, id: &SubscriptionId) -> Result<(), RowError> {
        Ok(subscriptions::delete(&self.db, id)?)
    }

    fn subscriptions_between(&self, from: u64, to: u64) -> Result<Vec<PositionedFilter>, RowError> {
        Ok(subscriptions::between(&self.db, from, to)?)
    }

    fn advance_subscriptions(&mut self, from: u64, to: u64) -> Result<(), RowError> {
        Ok(subscriptions::advance(&self.db, from, to)?)
    }

    fn set_subscription_sequence(&mut self, id: &SubscriptionId, sequence: u64) -> Result<(), RowError> {
        Ok(subscriptions::set_sequence(&self.db, id, sequence)?)
    }
}
