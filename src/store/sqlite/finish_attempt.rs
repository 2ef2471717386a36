//! How attempts end.
//!
//! An event may have proven more than the reply did: then the proof counts. Ending an attempt a second time changes
//! nothing.

use super::super::{AttemptOutcome, FinishAttempt, FinishResult, OpResult};
use super::message_state::{accept, name, take};
use super::requests::{Request, State, doubted};
use super::transaction::Transaction;
use super::{messages, provider_messages, requests};
use crate::domain::message::Message;
use crate::domain::request::RequestId;
use crate::domain::{AccountId, MessageState, UnixMillis};

impl Transaction<'_> {
    /// Ends an attempt: see [`FinishAttempt`].
    pub(super) fn end(&mut self, end: FinishAttempt) -> rusqlite::Result<OpResult> {
        // The message's time is the one that its sender is told.
        let now = end.end_time;
        let ended = match end.request.clone() {
            Some(id) => self.end_attempt(&id, end, now)?,
            None => FinishResult { record: None, message: self.end_send(end.message, end.outcome, now)? },
        };
        Ok(OpResult::Finished(Box::new(ended)))
    }

    /// From when on the record of an attempt that ended then grows old. Whoever made the attempt goes by a clock that may be
    /// behind now; then the record would be forgotten too soon.
    fn ended_at(&self, now: UnixMillis) -> UnixMillis {
        now.max(self.journal.last_receive)
    }

    /// Ends an attempt at a request.
    fn end_attempt(
        &mut self,
        id: &RequestId,
        end: FinishAttempt,
        now: UnixMillis,
    ) -> rusqlite::Result<FinishResult> {
        let FinishAttempt { account, request: _, attempt, owner, message: sent, outcome, end_time: _ } = end;
        let Some((mut request, message)) = requests::find(&self.db, &account, id)? else {
            let message = sent.map(|sent| messages::find(&self.db, sent.id)).transpose()?.flatten();
            return Ok(FinishResult { record: None, message });
        };
        // A first attempt that comes after one of which nothing is left has its number, and another message.
        let same = sent.is_none_or(|sent| request.message_id == Some(sent.id));
        let open = match request.state {
            State::InFlight => true,
            // A proof came first. The reply may still tell the provider's ids.
            State::Accepted => matches!(outcome, AttemptOutcome::Accepted { .. }),
            State::Unknown => false,
        };
        if !(same && open && (request.attempt, request.owner) == (attempt, owner)) {
            return Ok(ended(request, message));
        }
        if outcome == AttemptOutcome::NotDone {
            return self.take_back(&account, id, request, message, now);
        }

        let kept = request.clone();
        let message = match message {
            Some(mut message) => {
                let before = message.clone();
                self.settle(&mut message, &outcome, now)?;
                if message != before {
                    messages::update(&self.db, &message)?;
                    self.mark_changed(message.clone());
                }
                Some(message)
            }
            None => None,
        };
        let proven = message.as_ref().is_some_and(|message| message.state >= MessageState::Accepted);
        match outcome {
            AttemptOutcome::Unknown(doubt) if !proven => {
                request.state = State::Unknown;
                request.doubt = Some(doubt);
            }
            AttemptOutcome::Accepted { reply, .. } => {
                request.state = State::Accepted;
                request.doubt = None;
                request.reply = request.reply.or(reply);
            }
            AttemptOutcome::Unknown(_) | AttemptOutcome::NotDone => {
                request.state = State::Accepted;
                request.doubt = None;
            }
        }
        request.ended.get_or_insert(self.ended_at(now));
        if request != kept {
            requests::put(&self.db, &account, id, &request)?;
        }
        Ok(ended(request, message))
    }

    /// Nothing was done: all is as before the attempt.
    fn take_back(
        &mut self,
        account: &AccountId,
        id: &RequestId,
        mut request: Request,
        mut message: Option<Message>,
        now: UnixMillis,
    ) -> rusqlite::Result<FinishResult> {
        if request.doubt.is_none() {
            requests::delete(&self.db, account, id)?;
            if let Some(message) = message {
                messages::delete(&self.db, message.id)?;
                self.unmark_changed(message.id);
            }
            return Ok(FinishResult { record: None, message: None });
        }
        request.state = State::Unknown;
        request.attempt -= 1;
        request.ended = Some(self.ended_at(now));
        requests::put(&self.db, account, id, &request)?;
        if let Some(message) = &mut message {
            message.attempt = request.attempt;
            messages::update(&self.db, message)?;
            self.mark_changed(message.clone());
        }
        Ok(ended(request, message))
    }

    /// Ends a send that cannot be repeated: its message gets its row only now.
    fn end_send(
        &mut self,
        sent: Option<Message>,
        outcome: AttemptOutcome,
        now: UnixMillis,
    ) -> rusqlite::Result<Option<Message>> {
        let Some(sent) = sent else { return Ok(None) };
        let before = messages::find(&self.db, sent.id)?;
        if outcome == AttemptOutcome::NotDone {
            return Ok(before);
        }
        let mut message = match &before {
            Some(before) => before.clone(),
            None => Message { state: MessageState::Pending, problem: None, ..sent },
        };
        self.settle(&mut message, &outcome, now)?;
        match before {
            Some(before) if before == message => {}
            Some(_) => {
                messages::update(&self.db, &message)?;
                self.mark_changed(message.clone());
            }
            None => {
                messages::insert(&self.db, &message)?;
                self.mark_changed(message.clone());
            }
        }
        Ok(Some(message))
    }

    /// Makes a message what the outcome, and all that was reported before it, say.
    fn settle(
        &mut self,
        message: &mut Message,
        outcome: &AttemptOutcome,
        now: UnixMillis,
    ) -> rusqlite::Result<()> {
        if let AttemptOutcome::Accepted { provider_ids, .. } = outcome {
            for id in provider_ids.iter().filter(|id| !id.is_empty()) {
                provider_messages::join(&self.db, &message.account, id, message.id, now)?;
                name(message, id);
            }
        }
        let early = provider_messages::take_early(&self.db, &message.account, message.id)?;
        let provider_state = match outcome {
            AttemptOutcome::Accepted { provider_state, .. } => provider_state,
            AttemptOutcome::Unknown(doubt) if early.is_empty() => {
                doubted(message, doubt, now);
                return Ok(());
            }
            AttemptOutcome::Unknown(_) => &None,
            AttemptOutcome::NotDone => return Ok(()),
        };
        let accepted = accept(message, now);
        if message.state == MessageState::Accepted && provider_state.is_some() {
            message.provider_state.clone_from(provider_state);
        }
        take(message, early, now);
        if accepted {
            self.tell_accepted(message)?;
        }
        Ok(())
    }
}

fn ended(request: Request, message: Option<Message>) -> FinishResult {
    FinishResult { record: Some(request.record(message.clone())), message }
}
