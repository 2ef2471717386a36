//! The stream of updates of one watched message.
//!
//! **Invariant.** A watcher gets the states of its message in the order in which the message moves forward, and the
//! newest state when the message no longer moves.

use std::time::Duration;

use tokio::time::sleep;

use super::watch::{MessageWatch, Notification};
use super::{Messages, StoreUnreadable, unreadable};
use crate::dispatch::Failure;
use crate::domain::message::FAILURE_FINAL_AFTER;
use crate::domain::{Message, MessageState, UnixMillis};
use crate::store::{MessageKey, RequestState};

/// The longest single sleep. The system clock may be set meanwhile, so the stream rereads it.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);

/// An update of a watched message.
#[derive(Clone, Debug)]
pub enum Update {
    /// The message's present state.
    Message(Box<Message>),
    /// No further update will come.
    Ended(WatchEnd),
}

/// Why no further update will come.
#[derive(Clone, Debug)]
pub enum WatchEnd {
    /// The message's state is terminal.
    Terminal,
    /// The provider does not report the message's status.
    NotTracked,
    /// The message's retention has ended.
    Expired,
    /// The first attempt was refused or not sent, so the store has no message.
    NotDone(Failure),
}

/// The updates of one watched message.
#[derive(Debug)]
pub struct MessageStream {
    messages: Messages,
    watch: MessageWatch,
    /// Whether the provider reports the message's status.
    tracked: bool,
    message: Message,
    /// Whether the first update was returned.
    started: bool,
    /// Whether the state of the last message that was returned was terminal already.
    was_terminal: bool,
}

/// Whether further updates are possible.
#[derive(Debug)]
enum WatchState {
    Ended(WatchEnd),
    /// An update may come until this moment.
    Open(UnixMillis),
}

impl MessageStream {
    pub(super) fn new(messages: Messages, watch: MessageWatch, tracked: bool, message: Message) -> Self {
        Self { messages, watch, tracked, message, started: false, was_terminal: false }
    }

    /// Waits for the next update. The first one comes at once. Must not be called after [`Update::Ended`].
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn next(&mut self) -> Result<Update, StoreUnreadable> {
        if !self.started {
            self.started = true;
            return Ok(self.advance(self.message.clone()));
        }
        loop {
            let until = match self.watch_state().await? {
                WatchState::Open(until) => until,
                // A change may be committed but not notified yet.
                WatchState::Ended(end) => match self.read().await? {
                    Some(message) if self.is_newer(&message) => return Ok(self.advance(message)),
                    // A failure becomes terminal by time alone. The watcher gets the message once more then.
                    Some(message) if matches!(end, WatchEnd::Terminal) && !self.was_terminal => {
                        return Ok(self.advance(message));
                    }
                    Some(_) | None => return Ok(Update::Ended(end)),
                },
            };
            let notification = tokio::select! {
                notification = self.watch.next() => notification,
                () = sleep(sleep_time(UnixMillis::now(), until)) => continue,
            };
            let message = match notification {
                Notification::Changed(message) if message.state > self.message.state => {
                    Some(Message::clone(&message))
                }
                // The notification is not newer than what was read.
                Notification::Changed(message) if !self.is_newer(&message) => continue,
                // Both have the same state. Only the store knows which is newer.
                Notification::Changed(_) => self.read().await?,
                Notification::NotDone(failure) => match self.read().await? {
                    None => return Ok(Update::Ended(WatchEnd::NotDone(Failure::clone(&failure)))),
                    // The message of an earlier attempt remains.
                    message => message,
                },
            };
            match message {
                Some(message) if self.is_newer(&message) => return Ok(self.advance(message)),
                Some(_) => {}
                None => return Ok(Update::Ended(WatchEnd::Expired)),
            }
        }
    }

    fn is_newer(&self, message: &Message) -> bool {
        message.state >= self.message.state && *message != self.message
    }

    fn advance(&mut self, message: Message) -> Update {
        self.was_terminal = message.is_terminal(UnixMillis::now());
        self.message = message;
        Update::Message(Box::new(self.message.clone()))
    }

    async fn read(&self) -> Result<Option<Message>, StoreUnreadable> {
        self.messages.find(&self.message.account, &MessageKey::Id(self.message.id)).await
    }

    async fn watch_state(&self) -> Result<WatchState, StoreUnreadable> {
        let in_flight = match &self.message.request_id {
            // An attempt in flight matters only if the provider reports no status.
            Some(request_id) if !self.tracked => {
                let record = self.messages.store.request(&self.message.account, request_id).await;
                record.map_err(unreadable)?.and_then(|record| match record.state {
                    RequestState::InFlight { not_after, .. } => Some(not_after),
                    RequestState::Accepted { .. } | RequestState::Unknown(_) => None,
                })
            }
            Some(_) | None => None,
        };
        Ok(watch_state(&self.message, self.tracked, in_flight, self.messages.retention, UnixMillis::now()))
    }
}

/// Whether further updates of a message are possible. `in_flight`: when an attempt in flight has ended at the latest.
fn watch_state(
    message: &Message,
    tracked: bool,
    in_flight: Option<UnixMillis>,
    retention: Duration,
    now: UnixMillis,
) -> WatchState {
    let expires_at = message.create_time.plus(retention);
    let (end, at) = match message.state {
        MessageState::Read => (WatchEnd::Terminal, UnixMillis(i64::MIN)),
        MessageState::Failed => (WatchEnd::Terminal, message.update_time.plus(FAILURE_FINAL_AFTER)),
        MessageState::Unknown | MessageState::Accepted | MessageState::Sent | MessageState::Delivered
            if !tracked =>
        {
            match in_flight {
                // An attempt that did nothing may end without a notification, so the record is read again then.
                Some(not_after) if not_after > now => return WatchState::Open(not_after.min(expires_at)),
                Some(_) | None => (WatchEnd::NotTracked, UnixMillis(i64::MIN)),
            }
        }
        MessageState::Pending
        | MessageState::Unknown
        | MessageState::Accepted
        | MessageState::Sent
        | MessageState::Delivered => (WatchEnd::Expired, expires_at),
    };
    if at <= now {
        WatchState::Ended(end)
    } else if expires_at <= now {
        WatchState::Ended(WatchEnd::Expired)
    } else {
        WatchState::Open(at.min(expires_at))
    }
}

fn sleep_time(now: UnixMillis, until: UnixMillis) -> Duration {
    // One millisecond more, so the moment has passed when the sleep ends.
    let millis = u64::try_from(until.0.saturating_sub(now.0)).unwrap_or_default().saturating_add(1);
    Duration::from_millis(millis).min(MAX_SLEEP)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::message::ContentKind;
    use crate::domain::{Channel, MessageId, Provider};

    const DAY: i64 = 24 * 3_600 * 1_000;

    const RETENTION: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// A message that was created and last changed at time 0.
    pub(crate) fn message(state: MessageState) -> Message {
        Message {
            id: MessageId::generate(),
            provider_ids: Vec::new(),
            account: "acme".parse().expect("an id"),
            provider: Provider::CONNECTLY,
            to: "+15550100001".parse().expect("an address"),
            sender: None,
            recipient_wa_id: None,
            channel: Channel::WhatsApp,
            content_kind: ContentKind::Text,
            template_name: None,
            campaign_name: None,
            state,
            provider_state: None,
            problem: None,
            request_id: None,
            attempt: 1,
            callback_data: None,
            create_time: UnixMillis(0),
            update_time: UnixMillis(0),
        }
    }

    /// The watch state of a message in that state, at that time, as text.
    fn describe(state: MessageState, tracked: bool, in_flight: Option<i64>, now: i64) -> String {
        let watch_state =
            watch_state(&message(state), tracked, in_flight.map(UnixMillis), RETENTION, UnixMillis(now));
        match watch_state {
            WatchState::Ended(end) => format!("{end:?}"),
            WatchState::Open(until) => format!("until {}", until.0),
        }
    }

    #[test]
    fn read_ends_a_watch_at_once_and_failed_after_a_day() {
        use MessageState::{Failed, Read};
        for tracked in [true, false] {
            assert_eq!(describe(Read, tracked, None, 1), "Terminal");
            assert_eq!(describe(Read, tracked, None, 40 * DAY), "Terminal");
            assert_eq!(describe(Failed, tracked, None, DAY - 1), format!("until {DAY}"));
            assert_eq!(describe(Failed, tracked, None, DAY), "Terminal");
        }
    }

    #[test]
    fn non_terminal_message_is_watched_until_it_expires() {
        use MessageState::{Accepted, Delivered, Pending, Sent, Unknown};
        let expires_at = 30 * DAY;
        for state in [Pending, Unknown, Accepted, Sent, Delivered] {
            assert_eq!(describe(state, true, None, 1), format!("until {expires_at}"), "{state:?}");
            assert_eq!(
                describe(state, true, None, expires_at - 1),
                format!("until {expires_at}"),
                "{state:?}"
            );
            assert_eq!(describe(state, true, None, expires_at), "Expired", "{state:?}");
        }
        let late = Message { update_time: UnixMillis(expires_at - 5), ..message(MessageState::Failed) };
        let before = watch_state(&late, true, None, RETENTION, UnixMillis(expires_at - 1));
        assert!(matches!(before, WatchState::Open(until) if until.0 == expires_at));
        let after = watch_state(&late, true, None, RETENTION, UnixMillis(expires_at));
        assert!(matches!(after, WatchState::Ended(WatchEnd::Expired)));
    }

    #[test]
    fn untracked_watch_ends_with_the_last_attempts_outcome() {
        use MessageState::{Accepted, Pending, Unknown};
        assert_eq!(describe(Accepted, false, None, 1), "NotTracked");
        assert_eq!(describe(Unknown, false, None, 1), "NotTracked");
        assert_eq!(describe(Pending, false, None, 1), format!("until {}", 30 * DAY));
        assert_eq!(describe(Unknown, false, Some(500), 1), "until 500");
        assert_eq!(describe(Unknown, false, Some(500), 500), "NotTracked");
    }

    #[test]
    fn long_sleep_is_limited_to_reread_the_clock() {
        assert_eq!(sleep_time(UnixMillis(0), UnixMillis(30 * DAY)), MAX_SLEEP);
        assert_eq!(sleep_time(UnixMillis(100), UnixMillis(250)), Duration::from_millis(151));
        assert_eq!(sleep_time(UnixMillis(300), UnixMillis(250)), Duration::from_millis(1));
    }
}
