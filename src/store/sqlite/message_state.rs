//! What events tell of our messages: statuses move them forward, and our own tagged_id proves that they were taken.
//!
//! **Invariants.** A state only moves forward. A message is accepted exactly when its request is, and whoever accepts a
//! message tells it, in the same transaction: once. A provider's id that is joined to a message has made it accepted.

use super::super::StatusEffect;
use super::provider_messages::{self, ProviderIdRow, Report};
use super::transaction::Transaction;
use super::{messages, requests};
use crate::domain::event::{MessageStatus, Payload, Proof, ReportedFault};
use crate::domain::message::MessageProblem;
use crate::domain::{
    AccountId, Event, Message, MessageId, MessageState, Provider, ProviderFault, RefusalReason, UnixMillis,
};

impl Transaction<'_> {
    /// Takes what an event tells of a message. Says what a status means for it.
    pub(super) fn apply_event(
        &mut self,
        event: &Event,
        proof: Option<&Proof>,
        now: UnixMillis,
    ) -> rusqlite::Result<Option<StatusEffect>> {
        let status = match &event.payload {
            Payload::MessageStatus(status) => Some(status),
            Payload::MessageReceived(_)
            | Payload::MessageAccepted(_)
            | Payload::MessageEcho(_)
            | Payload::ReportCompleted(_)
            | Payload::Unknown { .. } => None,
        };
        let provider_id = match status {
            Some(status) => Some(status.provider_message_id.as_str()),
            None => proof.and_then(|proof| proof.provider_message_id.as_deref()),
        };
        let provider_id = provider_id.filter(|id| !id.is_empty());
        let known = match provider_id {
            Some(id) => provider_messages::find(&self.db, &event.account, id)?.unwrap_or_default(),
            None => ProviderIdRow::default(),
        };
        // Whose id it is was learnt before, or our tagged_id says it; what was learnt first stands.
        let tagged_id = proof.map(|proof| proof.attempt.message_id);
        let message_id = known.message_id.or(tagged_id);
        let message = match message_id {
            Some(id) => messages::find(&self.db, id)?,
            None => None,
        };
        // Another account's message is none of this event's business.
        let foreign = message.as_ref().is_some_and(|message| message.account != event.account);
        let status_effect = match (message, message_id.filter(|_| !foreign)) {
            (Some(message), Some(_)) => self.update_message(message, provider_id, known, status, now)?,
            (_, message_id) => {
                self.store_early_report(&event.account, message_id, provider_id, known, status, now)?
            }
        };
        Ok(status.map(|_| status_effect))
    }

    /// A message of ours is proven, and has the state that is reported.
    fn update_message(
        &mut self,
        mut message: Message,
        provider_id: Option<&str>,
        known: ProviderIdRow,
        status: Option<&MessageStatus>,
        now: UnixMillis,
    ) -> rusqlite::Result<StatusEffect> {
        let before = message.clone();
        if let Some(id) = provider_id
            && known.message_id.is_none()
        {
            provider_messages::join(&self.db, &message.account, id, message.id, now)?;
        }
        let early = match known.early {
            Some(_) => provider_messages::take_early(&self.db, &message.account, message.id)?,
            None => Vec::new(),
        };
        let accepted = accept(&mut message, now);
        provider_id.into_iter().for_each(|id| add_provider_id(&mut message, id));
        apply_early_reports(&mut message, early, now);
        if accepted {
            if let Some(request_id) = &message.request_id {
                requests::accept(&self.db, &message.account, request_id, message.id, now)?;
            }
            self.append_accepted(&message)?;
        }
        let reported = status.and_then(report);
        let stale = reported.as_ref().is_some_and(|report| report.state <= message.state);
        if let Some(report) = reported {
            apply_report(&mut message, report, now);
        }
        let status_effect =
            StatusEffect { message_id: Some(message.id), state_after: Some(message.state), stale };
        if message != before {
            messages::update(&self.db, &message)?;
            self.mark_changed(message);
        }
        Ok(status_effect)
    }

    /// The message has no row: it is not ours, or its send has not ended, or it is forgotten. What is reported is kept
    /// under the provider's id.
    fn store_early_report(
        &mut self,
        account: &AccountId,
        message_id: Option<MessageId>,
        provider_id: Option<&str>,
        known: ProviderIdRow,
        status: Option<&MessageStatus>,
        now: UnixMillis,
    ) -> rusqlite::Result<StatusEffect> {
        // Our tagged_id proves at least that it was taken.
        let proven =
            message_id.map(|_| Report { state: MessageState::Accepted, provider_state: None, fault: None });
        let stored = furthest(known.early.clone(), proven);
        let reported = status.and_then(report);
        let stale = match (&reported, &stored) {
            (Some(reported), Some(stored)) => reported.state <= stored.state,
            (Some(_), None) | (None, _) => false,
        };
        let after = furthest(stored, reported);
        let state_after = after.as_ref().map(|report| report.state);
        let changed = state_after != known.early.map(|report| report.state) || message_id != known.message_id;
        if let Some(after) = after.filter(|_| changed) {
            // A proof without a provider's id is kept under our own, which no provider gives.
            let own_id = message_id.map(|id| id.to_string());
            if let Some(id) = provider_id.or(own_id.as_deref()) {
                provider_messages::put_early(&self.db, account, id, message_id, &after, now)?;
            }
        }
        Ok(StatusEffect { message_id, state_after, stale })
    }
}

/// The report that is furthest along; of two alike, the first.
fn furthest(first: Option<Report>, second: Option<Report>) -> Option<Report> {
    match (first, second) {
        (Some(first), Some(second)) if second.state > first.state => Some(second),
        (Some(first), _) => Some(first),
        (None, second) => second,
    }
}

/// What a status reports, if its provider_state is one we know.
fn report(status: &MessageStatus) -> Option<Report> {
    status.status.map(|state| Report {
        state,
        provider_state: Some(status.provider_status.clone())
            .filter(|provider_state| !provider_state.is_empty()),
        fault: status.fault.clone(),
    })
}

/// Makes a message accepted, unless it is so far. Says whether that is changed.
pub(super) fn accept(message: &mut Message, now: UnixMillis) -> bool {
    let changed = message.state < MessageState::Accepted;
    if changed {
        message.state = MessageState::Accepted;
        message.problem = None;
        message.update_time = now;
    }
    changed
}

/// Adds an id of the provider's to a message.
pub(super) fn add_provider_id(message: &mut Message, provider_id: &str) {
    if !message.provider_ids.iter().any(|known| known == provider_id) {
        message.provider_ids.push(provider_id.to_owned());
    }
}

/// Takes over what was reported before a message had a row.
pub(super) fn apply_early_reports(message: &mut Message, early: Vec<(String, Report)>, now: UnixMillis) {
    let own_id = message.id.to_string();
    for (provider_id, report) in early {
        if provider_id != own_id {
            add_provider_id(message, &provider_id);
        }
        apply_report(message, report, now);
    }
}

/// Moves a message forward to what is reported, if that is forward.
fn apply_report(message: &mut Message, report: Report, now: UnixMillis) {
    if report.state <= message.state {
        return;
    }
    message.problem = match report.state {
        MessageState::Failed => Some(MessageProblem::Failed(
            report.fault.unwrap_or_else(|| unexplained_failure(message.provider)),
        )),
        MessageState::Pending
        | MessageState::Unknown
        | MessageState::Accepted
        | MessageState::Sent
        | MessageState::Delivered
        | MessageState::Read => None,
    };
    message.state = report.state;
    message.provider_state = report.provider_state;
    message.update_time = now;
}

/// A failure of which the provider did not say more.
fn unexplained_failure(provider: Provider) -> ReportedFault {
    ReportedFault { fault: ProviderFault::new(provider, RefusalReason::Other), raw_json: String::new() }
}
