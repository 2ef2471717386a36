//! Finishing attempts.
//!
//! An event may have proven more than the provider's reply did. Then the proof counts. Finishing an attempt again
//! changes nothing.

use super::super::{AttemptOutcome, FinishAttempt, FinishResult, OpResult};
use super::message_state::{accept, add_provider_id, apply_early_reports};
use super::requests::{RequestRow, RowState, mark_unknown};
use super::{RowError, Rows, Transaction};
use crate::domain::message::Message;
use crate::domain::request::RequestId;
use crate::domain::{AccountId, MessageState, UnixMillis};

impl<R: Rows> Transaction<R> {
    /// Finishes an attempt: see [`FinishAttempt`].
    pub(super) fn finish_attempt(&mut self, finish: FinishAttempt) -> Result<OpResult, RowError> {
        // The message gets the same time that its sender receives.
        let now = finish.end_time;
        let result = match finish.request.clone() {
            Some(id) => self.finish_request_attempt(&id, finish, now)?,
            None => FinishResult {
                record: None,
                message: self.finish_plain_send(finish.message, finish.outcome, now)?,
            },
        };
        Ok(OpResult::Finished(Box::new(result)))
    }

    /// When the retention of a finished attempt's record starts. The clock of the process that made the attempt may
    /// be behind. Without this correction the record would be deleted too soon.
    fn retention_start(&self, now: UnixMillis) -> UnixMillis {
        now.max(self.journal.last_receive)
    }

    /// Finishes an attempt at a request with an idempotency key.
    fn finish_request_attempt(
        &mut self,
        id: &RequestId,
        finish: FinishAttempt,
        now: UnixMillis,
    ) -> Result<FinishResult, RowError> {
        let FinishAttempt { account, request: _, attempt, replica_id, message: sent, outcome, end_time: _ } =
            finish;
        let Some((mut request, message)) = self.rows.request(&account, id)? else {
            let message = match sent {
                Some(sent) => self.rows.message(sent.id)?,
                None => None,
            };
            return Ok(FinishResult { record: None, message });
        };
        // If an earlier first attempt left no record, its late end has the same number but another message.
        let same = sent.is_none_or(|sent| request.message_id == Some(sent.id));
        let is_open = match request.state {
            RowState::InFlight => true,
            // An event proved the attempt first. The reply may still add the provider's ids.
            RowState::Accepted => matches!(outcome, AttemptOutcome::Accepted { .. }),
            RowState::Unknown => false,
        };
        if !(same && is_open && (request.attempt, request.replica_id) == (attempt, replica_id)) {
            return Ok(finish_result(request, message));
        }
        if outcome == AttemptOutcome::NotDone {
            return self.revert_attempt(&account, id, request, message, now);
        }

        let before = request.clone();
        let message = match message {
            Some(mut message) => {
                let before = message.clone();
                self.apply_outcome(&mut message, &outcome, now)?;
                if message != before {
                    self.rows.update_message(&message)?;
                    self.mark_changed(message.clone());
                }
                Some(message)
            }
            None => None,
        };
        let proven = message.as_ref().is_some_and(|message| message.state >= MessageState::Accepted);
        match outcome {
            AttemptOutcome::Unknown(unknown_outcome) if !proven => {
                request.state = RowState::Unknown;
                request.unknown_outcome = Some(unknown_outcome);
            }
            AttemptOutcome::Accepted { reply, .. } => {
                request.state = RowState::Accepted;
                request.unknown_outcome = None;
                request.reply = request.reply.or(reply);
            }
            AttemptOutcome::Unknown(_) | AttemptOutcome::NotDone => {
                request.state = RowState::Accepted;
                request.unknown_outcome = None;
            }
        }
        request.end_time.get_or_insert(self.retention_start(now));
        if request != before {
            self.rows.put_request(&account, id, &request)?;
        }
        Ok(finish_result(request, message))
    }

    /// Nothing was executed: restores the state before the attempt.
    fn revert_attempt(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        mut request: RequestRow,
        mut message: Option<Message>,
        now: UnixMillis,
    ) -> Result<FinishResult, RowError> {
        if request.unknown_outcome.is_none() {
            self.rows.delete_request(account, id)?;
            if let Some(message) = message {
                self.rows.delete_message(message.id)?;
                self.unmark_changed(message.id);
            }
            return Ok(FinishResult { record: None, message: None });
        }
        request.state = RowState::Unknown;
        request.attempt -= 1;
        request.end_time = Some(self.retention_start(now));
        self.rows.put_request(account, id, &request)?;
        if let Some(message) = &mut message {
            message.attempt = request.attempt;
            self.rows.update_message(message)?;
            self.mark_changed(message.clone());
        }
        Ok(finish_result(request, message))
    }

    /// Finishes a send without an idempotency key. Its message is inserted only now.
    fn finish_plain_send(
        &mut self,
        sent: Option<Message>,
        outcome: AttemptOutcome,
        now: UnixMillis,
    ) -> Result<Option<Message>, RowError> {
        let Some(sent) = sent else { return Ok(None) };
        let before = self.rows.message(sent.id)?;
        if outcome == AttemptOutcome::NotDone {
            return Ok(before);
        }
        let mut message = match &before {
            Some(before) => before.clone(),
            None => Message { state: MessageState::Pending, problem: None, ..sent },
        };
        self.apply_outcome(&mut message, &outcome, now)?;
        match before {
            Some(before) if before == message => {}
            Some(_) => {
                self.rows.update_message(&message)?;
                self.mark_changed(message.clone());
            }
            None => {
                self.rows.insert_message(&message)?;
                self.mark_changed(message.clone());
            }
        }
        Ok(Some(message))
    }

    /// Applies the outcome, and all reports that arrived before it, to a message.
    fn apply_outcome(
        &mut self,
        message: &mut Message,
        outcome: &AttemptOutcome,
        now: UnixMillis,
    ) -> Result<(), RowError> {
        if let AttemptOutcome::Accepted { provider_ids, recipient_wa_id, .. } = outcome {
            if recipient_wa_id.is_some() {
                message.recipient_wa_id.clone_from(recipient_wa_id);
            }
            for id in provider_ids.iter().filter(|id| !id.is_empty()) {
                self.rows.join_provider_id(&message.account, id, message.id, now)?;
                add_provider_id(message, id);
            }
        }
        let early = self.rows.take_early_reports(&message.account, message.id)?;
        let provider_state = match outcome {
            AttemptOutcome::Accepted { provider_state, .. } => provider_state,
            AttemptOutcome::Unknown(unknown_outcome) if early.is_empty() => {
                mark_unknown(message, unknown_outcome, now);
                return Ok(());
            }
            AttemptOutcome::Unknown(_) => &None,
            AttemptOutcome::NotDone => return Ok(()),
        };
        let accepted = accept(message, now);
        if message.state == MessageState::Accepted && provider_state.is_some() {
            message.provider_state.clone_from(provider_state);
        }
        apply_early_reports(message, early, now);
        if accepted {
            self.append_accepted(message)?;
        }
        Ok(())
    }
}

fn finish_result(request: RequestRow, message: Option<Message>) -> FinishResult {
    FinishResult { record: Some(request.record(message.clone())), message }
}
