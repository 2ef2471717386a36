//! The rows that the rules read and write.

use std::ops::ControlFlow;

use super::super::Error;
use super::RequestRow;
use crate::domain::event::{Identity, Party, ReportedFault};
use crate::domain::{
    AccountId, EventCustomer, EventId, EventType, Filter, Message, MessageId, MessageState, RequestId,
    Subscription, SubscriptionId, UnixMillis,
};

/// The rows of a store, as of an open transaction. A write is visible to later reads.
///
/// Each call is one statement or none on SQLite. A call that decides and writes at once, such as
/// [`insert_event`](Self::insert_event), exists because a read before the write would cost a second statement.
pub(in crate::store) trait Rows {
    /// A request and its message.
    fn request(
        &self,
        account: &AccountId,
        id: &RequestId,
    ) -> Result<Option<(RequestRow, Option<Message>)>, RowError>;

    /// Inserts or updates a request. An existing row keeps its fingerprint and its message.
    fn put_request(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        request: &RequestRow,
    ) -> Result<(), RowError>;

    /// Deletes a request, so its id can be reused.
    fn delete_request(&mut self, account: &AccountId, id: &RequestId) -> Result<(), RowError>;

    /// Marks a request accepted, if this is its message. Its end time is kept, or else is `now`.
    fn accept_request(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        message_id: MessageId,
        now: UnixMillis,
    ) -> Result<(), RowError>;

    /// Deletes at most `limit` requests that ended before a time, the earliest first. Returns how many.
    fn expire_requests(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError>;

    /// A message.
    fn message(&self, id: MessageId) -> Result<Option<Message>, RowError>;

    /// Inserts a message. If it exists, the existing row wins.
    fn insert_message(&mut self, message: &Message) -> Result<(), RowError>;

    /// Updates a message's state.
    fn update_message(&mut self, message: &Message) -> Result<(), RowError>;

    /// Deletes a message and the provider's ids of it.
    fn delete_message(&mut self, id: MessageId) -> Result<(), RowError>;

    /// Deletes at most `limit` messages that were created before a time and have no request, the earliest first.
    /// Returns how many.
    fn expire_messages(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError>;

    /// What is stored under a provider's id.
    fn provider_id(&self, account: &AccountId, id: &str) -> Result<Option<ProviderIdRow>, RowError>;

    /// Joins a provider's id to a message. The first message that has the id keeps it.
    fn join_provider_id(
        &mut self,
        account: &AccountId,
        id: &str,
        message_id: MessageId,
        now: UnixMillis,
    ) -> Result<(), RowError>;

    /// Stores a report until the message has a row.
    fn put_early_report(
        &mut self,
        account: &AccountId,
        id: &str,
        message_id: Option<MessageId>,
        report: &Report,
        now: UnixMillis,
    ) -> Result<(), RowError>;

    /// Takes the early reports of a message, with the provider's ids. The ids stay joined to the message.
    fn take_early_reports(
        &mut self,
        account: &AccountId,
        message_id: MessageId,
    ) -> Result<Vec<(String, Report)>, RowError>;

    /// Deletes at most `limit` early reports that were not updated since a time, the earliest first. Returns how many.
    fn expire_early_reports(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError>;

    /// Records that a customer wrote, unless a later time is stored.
    fn record_received(
        &mut self,
        account: &AccountId,
        sender: &Party,
        recipient: &Party,
        at: UnixMillis,
    ) -> Result<(), RowError>;

    /// Deletes at most `limit` conversations whose customer last wrote before a time. Returns how many.
    fn expire_conversations(&mut self, before: UnixMillis, limit: u32) -> Result<u64, RowError>;

    /// Whether an event with that identity is stored.
    fn has_event(&self, account: &AccountId, identity: &Identity) -> Result<bool, RowError>;

    /// The newest event of the account with the same bytes. The hash is only an index: the bytes are compared.
    fn equal_bytes(
        &self,
        account: &AccountId,
        hash: &RawHash,
        raw: &[u8],
    ) -> Result<Option<EventId>, RowError>;

    /// Inserts an event, unless its account has an event with its identity. Returns whether it was inserted.
    fn insert_event(&mut self, event: &NewEvent<'_>) -> Result<bool, RowError>;

    /// Visits the events from the oldest on, without their bodies, until `visit` breaks or fails.
    fn oldest_events(
        &self,
        visit: impl FnMut(&OldestEvent<'_>) -> Result<ControlFlow<()>, RowError>,
    ) -> Result<(), RowError>;

    /// Deletes the events up to and including a sequence number.
    fn delete_events(&mut self, up_to: u64) -> Result<(), RowError>;

    /// A subscription.
    fn subscription(&self, id: &SubscriptionId) -> Result<Option<Subscription>, RowError>;

    /// The number of subscriptions.
    fn count_subscriptions(&self) -> Result<u32, RowError>;

    /// Inserts or replaces a subscription.
    fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), RowError>;

    /// Deletes a subscription.
    fn delete_subscription(&mut self, id: &SubscriptionId) -> Result<(), RowError>;

    /// The subscriptions whose position is at least `from` and less than `to`, in the order of their ids.
    fn subscriptions_between(&self, from: u64, to: u64) -> Result<Vec<PositionedFilter>, RowError>;

    /// Moves the subscriptions whose position is at least `from` and less than `to` to `to`.
    fn advance_subscriptions(&mut self, from: u64, to: u64) -> Result<(), RowError>;

    /// Sets the position of a subscription.
    fn set_subscription_sequence(&mut self, id: &SubscriptionId, sequence: u64) -> Result<(), RowError>;
}

/// Why rows could not be read or written.
#[derive(Debug)]
pub(in crate::store) enum RowError {
    /// The engine failed.
    Engine(Error),
}

/// The first bytes of SHA-256 over a webhook's body.
pub(in crate::store) type RawHash = [u8; 16];

/// An event to insert.
pub(in crate::store) struct NewEvent<'a> {
    pub(in crate::store) sequence: u64,
    pub(in crate::store) id: &'a EventId,
    pub(in crate::store) account: &'a AccountId,
    pub(in crate::store) event_type: EventType,
    pub(in crate::store) receive_time: UnixMillis,
    pub(in crate::store) identity: Option<&'a Identity>,
    /// Present if the event has no identity.
    pub(in crate::store) raw_hash: Option<&'a RawHash>,
    pub(in crate::store) customer: &'a EventCustomer,
    pub(in crate::store) event: &'a [u8],
    pub(in crate::store) raw: &'a [u8],
}

/// The columns of an event that decide whether it is trimmed.
pub(in crate::store) struct OldestEvent<'row> {
    pub(in crate::store) sequence: u64,
    pub(in crate::store) receive_time: UnixMillis,
    /// The size of the event and of the webhook's body.
    pub(in crate::store) bytes: u64,
    pub(in crate::store) account: &'row str,
    pub(in crate::store) event_type: &'row str,
    pub(in crate::store) customer: EventCustomer,
}

/// The position and the filter of a subscription.
pub(in crate::store) struct PositionedFilter {
    pub(in crate::store) id: SubscriptionId,
    pub(in crate::store) sequence: u64,
    /// Absent if this version cannot read it.
    pub(in crate::store) filter: Option<Filter>,
}

/// What is stored under a provider's id.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct ProviderIdRow {
    /// The message, if it is known to be ours.
    pub(in crate::store) message_id: Option<MessageId>,
    /// The report that arrived before the message had a row.
    pub(in crate::store) early: Option<Report>,
}

/// A reported state.
#[derive(Clone, Debug)]
pub(in crate::store) struct Report {
    pub(in crate::store) state: MessageState,
    pub(in crate::store) provider_state: Option<String>,
    pub(in crate::store) fault: Option<ReportedFault>,
}

/// The state of the journal, with the oldest sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct JournalRow {
    pub(in crate::store) epoch: u64,
    pub(in crate::store) next_sequence: u64,
    pub(in crate::store) oldest: u64,
    pub(in crate::store) last_receive: UnixMillis,
    /// The latest receive time of any event that was trimmed, or may have been lost by a restore.
    pub(in crate::store) trimmed: Option<UnixMillis>,
    /// The size of the stored events.
    pub(in crate::store) bytes: u64,
    /// The newest generation assigned to any subscription.
    pub(in crate::store) generations: u64,
    /// When this file was made as a backup.
    pub(in crate::store) backup: Option<UnixMillis>,
    /// Until when unknown requests may have been executed. `None` once that time is over.
    pub(in crate::store) replay_guard_until: Option<UnixMillis>,
}
