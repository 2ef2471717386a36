//! What events tell of our messages: statuses move them forward, and our own mark proves that they were taken.
//!
//! **Invariants.** A state only moves forward. A message is accepted exactly when its request is, and whoever accepts a
//! message tells it, in the same transaction: once. A provider's id that is joined to a message has made it accepted.

use super::super::StatusEffect;
use super::provider_messages::{self, Known, Report};
use super::transaction::Transaction;
use super::{messages, requests};
use crate::domain::event::{MessageStatus, Payload, Proof, ReportedFault};
use crate::domain::message::MessageProblem;
use crate::domain::{
    AccountId, Event, Message, MessageId, MessageState, Provider, ProviderFault, RefusalReason, UnixMillis,
};

impl Transaction<'_> {
    /// Takes what an event tells of a message. Says what a status means for it.
    pub(super) fn follow(
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
            | Payload::ReportRun(_)
            | Payload::Unknown { .. } => None,
        };
        let provider_id = match status {
            Some(status) => Some(status.provider_message_id.as_str()),
            None => proof.and_then(|proof| proof.provider_message_id.as_deref()),
        };
        let provider_id = provider_id.filter(|id| !id.is_empty());
        let known = match provider_id {
            Some(id) => provider_messages::find(&self.db, &event.account, id)?.unwrap_or_default(),
            None => Known::default(),
        };
        // Whose id it is was learnt before, or our mark says it; what was learnt first stands.
        let mark = proof.map(|proof| proof.attempt.message_id);
        let message_id = known.message_id.or(mark);
        let message = match message_id {
            Some(id) => messages::find(&self.db, id)?,
            None => None,
        };
        // Another account's message is none of this event's business.
        let foreign = message.as_ref().is_some_and(|message| message.account != event.account);
        let life = match (message, message_id.filter(|_| !foreign)) {
            (Some(message), Some(_)) => self.advance(message, provider_id, known, status, now)?,
            (_, message_id) => {
                self.keep_early(&event.account, message_id, provider_id, known, status, now)?
            }
        };
        Ok(status.map(|_| life))
    }

    /// A message of ours is proven, and has the state that is reported.
    fn advance(
        &mut self,
        mut message: Message,
        provider_id: Option<&str>,
        known: Known,
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
        provider_id.into_iter().for_each(|id| name(&mut message, id));
        take(&mut message, early, now);
        if accepted {
            if let Some(request_id) = &message.request_id {
                requests::accept(&self.db, &message.account, request_id, message.id, now)?;
            }
            self.tell_accepted(&message)?;
        }
        let reported = status.and_then(report);
        let stale = reported.as_ref().is_some_and(|report| report.state <= message.state);
        if let Some(report) = reported {
            report_to(&mut message, report, now);
        }
        let life = StatusEffect { message_id: Some(message.id), state_after: Some(message.state), stale };
        if message != before {
            messages::update(&self.db, &message)?;
            self.mark_changed(message);
        }
        Ok(life)
    }

    /// The message has no row: it is not ours, or its send has not ended, or it is forgotten. What is reported is kept
    /// under the provider's id.
    fn keep_early(
        &mut self,
        account: &AccountId,
        message_id: Option<MessageId>,
        provider_id: Option<&str>,
        known: Known,
        status: Option<&MessageStatus>,
        now: UnixMillis,
    ) -> rusqlite::Result<StatusEffect> {
        // Our mark proves at least that it was taken.
        let proven = message_id.map(|_| Report { state: MessageState::Accepted, word: None, fault: None });
        let floor = further(known.early.clone(), proven);
        let reported = status.and_then(report);
        let stale = match (&reported, &floor) {
            (Some(reported), Some(floor)) => reported.state <= floor.state,
            (Some(_), None) | (None, _) => false,
        };
        let after = further(floor, reported);
        let state_after = after.as_ref().map(|report| report.state);
        let news = state_after != known.early.map(|report| report.state) || message_id != known.message_id;
        if let Some(after) = after.filter(|_| news) {
            // A proof without a provider's id is kept under our own, which no provider gives.
            let own_id = message_id.map(|id| id.to_string());
            if let Some(id) = provider_id.or(own_id.as_deref()) {
                provider_messages::keep(&self.db, account, id, message_id, &after, now)?;
            }
        }
        Ok(StatusEffect { message_id, state_after, stale })
    }
}

/// The report that is further along; of two alike, the first.
fn further(first: Option<Report>, second: Option<Report>) -> Option<Report> {
    match (first, second) {
        (Some(first), Some(second)) if second.state > first.state => Some(second),
        (Some(first), _) => Some(first),
        (None, second) => second,
    }
}

/// What a status reports, if its word is one we know.
fn report(status: &MessageStatus) -> Option<Report> {
    status.status.map(|state| Report {
        state,
        word: Some(status.provider_status.clone()).filter(|word| !word.is_empty()),
        fault: status.fault.clone(),
    })
}

/// Makes a message accepted, unless it is so far. Says whether that is news.
pub(super) fn accept(message: &mut Message, now: UnixMillis) -> bool {
    let news = message.state < MessageState::Accepted;
    if news {
        message.state = MessageState::Accepted;
        message.problem = None;
        message.update_time = now;
    }
    news
}

/// Adds an id of the provider's to a message.
pub(super) fn name(message: &mut Message, provider_id: &str) {
    if !message.provider_ids.iter().any(|known| known == provider_id) {
        message.provider_ids.push(provider_id.to_owned());
    }
}

/// Takes over what was reported before a message had a row.
pub(super) fn take(message: &mut Message, early: Vec<(String, Report)>, now: UnixMillis) {
    let own_id = message.id.to_string();
    for (provider_id, report) in early {
        if provider_id != own_id {
            name(message, &provider_id);
        }
        report_to(message, report, now);
    }
}

/// Moves a message forward to what is reported, if that is forward.
fn report_to(message: &mut Message, report: Report, now: UnixMillis) {
    if report.state <= message.state {
        return;
    }
    message.problem = match report.state {
        MessageState::Failed => {
            Some(MessageProblem::Failed(report.fault.unwrap_or_else(|| unexplained(message.provider))))
        }
        MessageState::Pending
        | MessageState::Unknown
        | MessageState::Accepted
        | MessageState::Sent
        | MessageState::Delivered
        | MessageState::Read => None,
    };
    message.state = report.state;
    message.provider_state = report.word;
    message.update_time = now;
}

/// A failure of which the provider did not say more.
fn unexplained(provider: Provider) -> ReportedFault {
    let fault = ProviderFault {
        provider,
        refusal: RefusalReason::Other,
        http_status: None,
        code: None,
        kind: None,
        trace_id: None,
        retry_after: None,
        route: None,
    };
    ReportedFault { fault, raw_json: String::new() }
}
