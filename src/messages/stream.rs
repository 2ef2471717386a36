//! How messages and conversations stand, for those who ask and those who watch.
//!
//! **Invariant.** Whoever watches a message is told of states in the order in which it moves forward, and of the newest
//! there is when nothing moves any more.

use std::time::Duration;

use tokio::time::sleep;

use super::watch::{MessageWatch, Notification};
use super::{Messages, StoreUnreadable, unreadable};
use crate::dispatch::Failure;
use crate::domain::{Message, MessageState, UnixMillis};
use crate::store::{MessageKey, RequestState};

/// How long a message that failed may still turn out to be delivered.
const QUIET: Duration = Duration::from_secs(24 * 3_600);

/// The longest single sleep: the machine's clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(3_600);

/// What is new of a message.
#[derive(Clone, Debug)]
pub enum Update {
    /// It stands like this now.
    Message(Box<Message>),
    /// Nothing more will come.
    Ended(WatchEnd),
}

/// Why nothing more will come of a message.
#[derive(Clone, Debug)]
pub enum WatchEnd {
    /// It is at its end.
    Terminal,
    /// The provider reports nothing more.
    NotTracked,
    /// It is so old that it is forgotten.
    Expired,
    /// Its first attempt was refused or not sent, and left no record.
    NotDone(Failure),
}

/// A message that somebody watches.
#[derive(Debug)]
pub struct MessageStream {
    messages: Messages,
    watching: MessageWatch,
    /// Whether the provider reports what becomes of it.
    tracked: bool,
    message: Message,
    /// Whether it was told of yet.
    told: bool,
}

/// What follows from how a message stands.
#[derive(Debug)]
enum Outlook {
    Over(WatchEnd),
    /// Something may come, until then.
    Open(UnixMillis),
}

impl MessageStream {
    pub(super) fn new(messages: Messages, watching: MessageWatch, tracked: bool, message: Message) -> Self {
        Self { messages, watching, tracked, message, told: false }
    }

    /// Waits for what is new. The first comes at once; nothing comes after the end.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Update, StoreUnreadable> {
        if !self.told {
            self.told = true;
            return Ok(Update::Message(Box::new(self.message.clone())));
        }
        loop {
            let until = match self.outlook().await? {
                Outlook::Open(until) => until,
                // What changed just now may not have been told yet.
                Outlook::Over(end) => match self.read().await? {
                    Some(message) if self.moves_on_to(&message) => return Ok(self.tell(message)),
                    Some(_) | None => return Ok(Update::Ended(end)),
                },
            };
            let word = tokio::select! {
                word = self.watching.next() => word,
                () = sleep(nap(UnixMillis::now(), until)) => continue,
            };
            let message = match word {
                Notification::Changed(message) if message.state > self.message.state => {
                    Some(Message::clone(&message))
                }
                // What was told is older than what was read, or the same.
                Notification::Changed(message) if !self.moves_on_to(&message) => continue,
                // Which of the two is newer, only the store knows.
                Notification::Changed(_) => self.read().await?,
                Notification::NotDone(failure) => match self.read().await? {
                    None => return Ok(Update::Ended(WatchEnd::NotDone(Failure::clone(&failure)))),
                    // There was an attempt before, which stands.
                    message => message,
                },
            };
            match message {
                Some(message) if self.moves_on_to(&message) => return Ok(self.tell(message)),
                Some(_) => {}
                None => return Ok(Update::Ended(WatchEnd::Expired)),
            }
        }
    }

    fn moves_on_to(&self, message: &Message) -> bool {
        message.state >= self.message.state && *message != self.message
    }

    fn tell(&mut self, message: Message) -> Update {
        self.message = message;
        Update::Message(Box::new(self.message.clone()))
    }

    async fn read(&self) -> Result<Option<Message>, StoreUnreadable> {
        self.messages.find(&self.message.account, &MessageKey::Id(self.message.id)).await
    }

    async fn outlook(&self) -> Result<Outlook, StoreUnreadable> {
        let in_flight = match &self.message.request_id {
            // Where statuses come, it makes no difference.
            Some(request_id) if !self.tracked => {
                let record = self.messages.store.request(&self.message.account, request_id).await;
                record.map_err(unreadable)?.and_then(|record| match record.state {
                    RequestState::InFlight { not_after, .. } => Some(not_after),
                    RequestState::Accepted { .. } | RequestState::Unknown(_) => None,
                })
            }
            Some(_) | None => None,
        };
        Ok(outlook(&self.message, self.tracked, in_flight, self.messages.retention, UnixMillis::now()))
    }
}

/// What follows from how a message stands now. `in_flight`: when an attempt that is under way has ended for certain.
fn outlook(
    message: &Message,
    tracked: bool,
    in_flight: Option<UnixMillis>,
    kept: Duration,
    now: UnixMillis,
) -> Outlook {
    let forgotten = message.create_time.plus(kept);
    let (end, at) = match message.state {
        MessageState::Read => (WatchEnd::Terminal, UnixMillis(i64::MIN)),
        MessageState::Failed => (WatchEnd::Terminal, message.update_time.plus(QUIET)),
        MessageState::Unknown | MessageState::Accepted | MessageState::Sent | MessageState::Delivered
            if !tracked =>
        {
            match in_flight {
                // That nothing was done need not be told; then it is looked at again.
                Some(not_after) if not_after > now => return Outlook::Open(not_after.min(forgotten)),
                Some(_) | None => (WatchEnd::NotTracked, UnixMillis(i64::MIN)),
            }
        }
        MessageState::Pending
        | MessageState::Unknown
        | MessageState::Accepted
        | MessageState::Sent
        | MessageState::Delivered => (WatchEnd::Expired, forgotten),
    };
    if at <= now {
        Outlook::Over(end)
    } else if forgotten <= now {
        Outlook::Over(WatchEnd::Expired)
    } else {
        Outlook::Open(at.min(forgotten))
    }
}

fn nap(now: UnixMillis, until: UnixMillis) -> Duration {
    // A millisecond more, so that the moment has come when the sleep ends.
    let millis = u64::try_from(until.0.saturating_sub(now.0)).unwrap_or_default().saturating_add(1);
    Duration::from_millis(millis).min(NAP)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{Channel, MessageId, Provider};

    const DAY: i64 = 24 * 3_600 * 1_000;

    const KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// One that was made and last changed at the moment 0.
    pub(crate) fn message(state: MessageState) -> Message {
        Message {
            id: MessageId::generate(),
            provider_ids: Vec::new(),
            account: "acme".parse().expect("an id"),
            provider: Provider::Connectly,
            to: "+15550100001".parse().expect("an address"),
            channel: Channel::WhatsApp,
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

    /// What is told of a message in that state, at that moment.
    fn told(state: MessageState, tracked: bool, in_flight: Option<i64>, now: i64) -> String {
        let outlook = outlook(&message(state), tracked, in_flight.map(UnixMillis), KEPT, UnixMillis(now));
        match outlook {
            Outlook::Over(end) => format!("{end:?}"),
            Outlook::Open(until) => format!("until {}", until.0),
        }
    }

    #[test]
    fn a_message_that_was_read_is_at_its_end_and_one_that_failed_is_after_a_quiet_day() {
        use MessageState::{Failed, Read};
        for tracked in [true, false] {
            assert_eq!(told(Read, tracked, None, 1), "Terminal");
            assert_eq!(told(Read, tracked, None, 40 * DAY), "Terminal");
            assert_eq!(told(Failed, tracked, None, DAY - 1), format!("until {DAY}"));
            assert_eq!(told(Failed, tracked, None, DAY), "Terminal");
        }
    }

    #[test]
    fn a_message_is_watched_until_it_is_forgotten() {
        use MessageState::{Accepted, Delivered, Pending, Sent, Unknown};
        let forgotten = 30 * DAY;
        for state in [Pending, Unknown, Accepted, Sent, Delivered] {
            assert_eq!(told(state, true, None, 1), format!("until {forgotten}"), "{state:?}");
            assert_eq!(told(state, true, None, forgotten - 1), format!("until {forgotten}"), "{state:?}");
            assert_eq!(told(state, true, None, forgotten), "Expired", "{state:?}");
        }
        let late = Message { update_time: UnixMillis(forgotten - 5), ..message(MessageState::Failed) };
        let soon = outlook(&late, true, None, KEPT, UnixMillis(forgotten - 1));
        assert!(matches!(soon, Outlook::Open(until) if until.0 == forgotten));
        let gone = outlook(&late, true, None, KEPT, UnixMillis(forgotten));
        assert!(matches!(gone, Outlook::Over(WatchEnd::Expired)));
    }

    #[test]
    fn where_the_provider_reports_nothing_the_outcome_of_the_last_attempt_is_the_end() {
        use MessageState::{Accepted, Pending, Unknown};
        assert_eq!(told(Accepted, false, None, 1), "NotTracked");
        assert_eq!(told(Unknown, false, None, 1), "NotTracked");
        assert_eq!(told(Pending, false, None, 1), format!("until {}", 30 * DAY));
        assert_eq!(told(Unknown, false, Some(500), 1), "until 500");
        assert_eq!(told(Unknown, false, Some(500), 500), "NotTracked");
    }

    #[test]
    fn a_watcher_looks_at_the_clock_now_and_then() {
        assert_eq!(nap(UnixMillis(0), UnixMillis(30 * DAY)), NAP);
        assert_eq!(nap(UnixMillis(100), UnixMillis(250)), Duration::from_millis(151));
        assert_eq!(nap(UnixMillis(300), UnixMillis(250)), Duration::from_millis(1));
    }
}
