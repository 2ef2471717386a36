//! What events change in our messages: a status advances the state, and our own tag proves acceptance.
//!
//! **Invariants.** A state only moves forward. A message is accepted if and only if its request is. Each acceptance
//! appends `message.accepted` in the same transaction, exactly once. If a provider's id is joined to a message, the
//! message is accepted.

use super::super::StatusEffect;
use super::{ProviderIdRow, Report, RowError, Rows, Transaction};
use crate::domain::event::{MessageStatus, Payload, Proof, ReportedFault};
use crate::domain::message::MessageProblem;
use crate::domain::{
    AccountId, Event, Message, MessageId, MessageState, Provider, ProviderFault, RefusalReason, UnixMillis,
};

impl<R: Rows> Transaction<R> {
    /// Applies an event to its message. Returns what a status event means for the message.
    pub(super) fn apply_event(
        &mut self,
        event: &Event,
        proof: Option<&Proof>,
        now: UnixMillis,
    ) -> Result<Option<StatusEffect>, RowError> {
        let status = match &event.payload {
            Payload::MessageStatus(status) => Some(status),
            Payload::MessageReceived(_)
            | Payload::MessageAccepted(_)
            | Payload::MessageEcho(_)
            | Payload::ReportRun(_)
            | Payload::Unknown { .. } => None,
        };
        let provider_id = match status {
            Some(status) => Some(status.provider_message_id.as_str()),
            None => proof.and_then(|proof| proof.provider_message_id.as_deref()),
        };
        let provider_id = provider_id.filter(|id| !id.is_empty());
        let known = match provider_id {
            Some(id) => self.rows.provider_id(&event.account, id)?.unwrap_or_default(),
            None => ProviderIdRow::default(),
        };
        // The message was learnt from an earlier event, or our tag names it. The earlier knowledge wins.
        let tagged_id = proof.map(|proof| proof.attempt.message_id);
        let message_id = known.message_id.or(tagged_id);
        let message = match message_id {
            Some(id) => self.rows.message(id)?,
            None => None,
        };
        // An event cannot change another account's message.
        let foreign = message.as_ref().is_some_and(|message| message.account != event.account);
        let status_effect = match (message, message_id.filter(|_| !foreign)) {
            (Some(message), Some(_)) => self.update_message(message, provider_id, known, status, now)?,
            (_, message_id) => {
                self.store_early_report(&event.account, message_id, provider_id, known, status, now)?
            }
        };
        Ok(status.map(|_| status_effect))
    }

    /// Our message was accepted, and has the reported state.
    fn update_message(
        &mut self,
        mut message: Message,
        provider_id: Option<&str>,
        known: ProviderIdRow,
        status: Option<&MessageStatus>,
        now: UnixMillis,
    ) -> Result<StatusEffect, RowError> {
        let before = message.clone();
        if let Some(id) = provider_id
            && known.message_id.is_none()
        {
            self.rows.join_provider_id(&message.account, id, message.id, now)?;
        }
        let early = match known.early {
            Some(_) => self.rows.take_early_reports(&message.account, message.id)?,
            None => Vec::new(),
        };
        let accepted = accept(&mut message, now);
        provider_id.into_iter().for_each(|id| add_provider_id(&mut message, id));
        apply_early_reports(&mut message, early, now);
        if accepted {
            if let Some(request_id) = &message.request_id {
                self.rows.accept_request(&message.account, request_id, message.id, now)?;
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
            self.rows.update_message(&message)?;
            self.mark_changed(message);
        }
        Ok(status_effect)
    }

    /// The message has no row: it is not ours, its send has not finished, or it was deleted. The report is stored
    /// under the provider's id.
    fn store_early_report(
        &mut self,
        account: &AccountId,
        message_id: Option<MessageId>,
        provider_id: Option<&str>,
        known: ProviderIdRow,
        status: Option<&MessageStatus>,
        now: UnixMillis,
    ) -> Result<StatusEffect, RowError> {
        // Our tag proves at least that the provider accepted the message.
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
            // A proof without a provider's id is stored under Switchboard's own id, which no provider assigns.
            let own_id = message_id.map(|id| id.to_string());
            if let Some(id) = provider_id.or(own_id.as_deref()) {
                self.rows.put_early_report(account, id, message_id, &after, now)?;
            }
        }
        Ok(StatusEffect { message_id, state_after, stale })
    }
}

/// Returns the report with the later state. If both states are equal, the first report.
fn furthest(first: Option<Report>, second: Option<Report>) -> Option<Report> {
    match (first, second) {
        (Some(first), Some(second)) if second.state > first.state => Some(second),
        (Some(first), _) => Some(first),
        (None, second) => second,
    }
}

/// The report of a status event, if its state is known to this version.
fn report(status: &MessageStatus) -> Option<Report> {
    status.status.map(|state| Report {
        state,
        provider_state: Some(status.provider_status.clone())
            .filter(|provider_state| !provider_state.is_empty()),
        fault: status.fault.clone(),
    })
}

/// Makes a message accepted, unless its state is already that far. Returns whether the state changed.
pub(super) fn accept(message: &mut Message, now: UnixMillis) -> bool {
    let changed = message.state < MessageState::Accepted;
    if changed {
        message.state = MessageState::Accepted;
        message.problem = None;
        message.update_time = now;
    }
    changed
}

/// Adds a provider's id to a message.
pub(super) fn add_provider_id(message: &mut Message, provider_id: &str) {
    if !message.provider_ids.iter().any(|known| known == provider_id) {
        message.provider_ids.push(provider_id.to_owned());
    }
}

/// Applies the reports that arrived before the message had a row.
pub(super) fn apply_early_reports(message: &mut Message, early: Vec<(String, Report)>, now: UnixMillis) {
    let own_id = message.id.to_string();
    for (provider_id, report) in early {
        if provider_id != own_id {
            add_provider_id(message, &provider_id);
        }
        apply_report(message, report, now);
    }
}

/// Moves a message forward to a reported state. An earlier state changes nothing.
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

/// The fault of a failure that the provider did not explain.
fn unexplained_failure(provider: Provider) -> ReportedFault {
    ReportedFault { fault: ProviderFault::new(provider, RefusalReason::Other), raw_json: String::new() }
}
