//! Keepers of named subscriptions: they make them, look at them and change them. Readers read and acknowledge.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::domain::Cursor;
use switchboard::pb::v1;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::{
    EventFilter, StartPosition, create_subscription_request, seek_subscription_request,
};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::binary::PATIENCE;
use crate::ledger::{Ledger, held};
use crate::reader::{connect, filter, timestamp};
use crate::record::{Answer, Call, Kept, Start, Wanted, What};

/// How long a keeper waits between two things that it does, in milliseconds.
const PACE: std::ops::Range<u64> = 100..900;

/// How long one who was not answered waits before he asks again.
const BEFORE_AGAIN: Duration = Duration::from_millis(50);

/// What a keeper does beside looking.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Nothing.
    Looking,
    /// It seeks, back most of the time.
    Seeking,
    /// It gives it one of these filters.
    Updating(Vec<Wanted>),
    /// It deletes it, and makes it anew.
    Replacing,
}

/// A subscription, as those who read it know it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: &'static str,
    /// The filter of each generation that was told, and the one that is, or is about to be, in force.
    filters: Mutex<(BTreeMap<u64, Wanted>, Wanted)>,
}

impl Known {
    pub(crate) fn new(id: &'static str, wanted: Wanted) -> Self {
        Self { id, filters: Mutex::new((BTreeMap::new(), wanted)) }
    }

    /// What streams of a generation want.
    pub(crate) fn wanted(&self, generation: u64) -> Wanted {
        let (told, latest) = &*held(&self.filters);
        // Whoever hears of a generation before the keeper does hears of the change that is under way.
        told.get(&generation).unwrap_or(latest).clone()
    }

    fn is_about(&self, wanted: Wanted) {
        held(&self.filters).1 = wanted;
    }

    fn tell(&self, generation: u64, wanted: Wanted) {
        held(&self.filters).0.insert(generation, wanted);
    }
}

/// One who keeps a subscription, on a good line.
pub(crate) struct Keeper {
    pub(crate) known: Arc<Known>,
    pub(crate) manner: Manner,
    pub(crate) to: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) ledger: Arc<Ledger>,
}

impl Keeper {
    /// Makes it, or finds it as it is. Whoever reads it may begin then.
    pub(crate) async fn begin(&mut self) {
        let mut channel = None;
        let start = if self.random.bool() { Start::Earliest } else { Start::Latest };
        self.create(&mut channel, start).await;
        if let Answer::Stands { generation: Some(generation), wanted, .. } =
            self.ask(&mut channel, What::Get).await
        {
            self.known.is_about(wanted.clone());
            self.known.tell(generation, wanted);
        }
    }

    /// Keeps it until nothing is published any more, and looks at it until it has come to the goal.
    pub(crate) async fn run(mut self) {
        let mut channel = None;
        let enough = self.ledger.enough.clone();
        let mut pause = Duration::ZERO;
        while enough.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = Duration::from_millis(self.random.u64(PACE));
            let ledger = Arc::clone(&self.ledger);
            // Not while a backup is made: nobody could tell whether the change is in it.
            let _quiet = ledger.changes.read().await;
            if self.random.u8(0..3) == 0 {
                self.change(&mut channel).await;
            } else {
                self.ask_once(&mut channel, What::Get).await;
            }
        }
        let mut goal = self.ledger.goal.subscribe();
        let goal = match self.ledger.give_up.run_until_cancelled(goal.wait_for(Option::is_some)).await {
            Some(Ok(goal)) => goal.expect("waited for"),
            Some(Err(_)) | None => return,
        };
        while !self.ledger.give_up.is_cancelled() {
            match self.ask_once(&mut channel, What::Get).await {
                Answer::Stands { place, .. } if place.number >= goal => return,
                Answer::Stands { .. } | Answer::Unknown | Answer::Gone | Answer::Refused(_) => {}
            }
            tokio::time::sleep(BEFORE_AGAIN).await;
        }
    }

    async fn create(&mut self, channel: &mut Option<Channel>, start: Start) {
        let wanted = self.known.wanted(0);
        match self.ask(channel, What::Create { wanted: wanted.clone(), start }).await {
            Answer::Stands { generation, .. } => self.known.tell(generation.unwrap_or(1), wanted),
            Answer::Refused(_) | Answer::Unknown | Answer::Gone => {}
        }
    }

    async fn change(&mut self, channel: &mut Option<Channel>) {
        match self.manner.clone() {
            Manner::Looking => {}
            Manner::Seeking => {
                // Not too far back, as a rule: it holds what is behind its place.
                let places = (0..4).filter_map(|_| self.ledger.some_place(&mut self.random));
                let known = places.max_by_key(|(cursor, _)| cursor.number);
                let start = match (known, self.random.u8(0..6)) {
                    (Some((cursor, _)), 1..) => Start::After(cursor, Kept::EarlierEvent),
                    (Some((_, received)), 0) => Start::Since(received),
                    (None, _) => Start::Earliest,
                };
                self.ledger.count("subscriptions sought");
                self.ask(channel, What::Seek(start)).await;
            }
            Manner::Updating(filters) => {
                let wanted = self.random.choice(&filters).expect("there are some").clone();
                self.known.is_about(wanted.clone());
                self.ledger.count("subscriptions updated");
                if let Answer::Stands { generation: Some(generation), .. } =
                    self.ask(channel, What::Update(wanted.clone())).await
                {
                    self.known.tell(generation, wanted);
                }
            }
            Manner::Replacing => {
                self.ledger.count("subscriptions made anew");
                self.ask(channel, What::Delete).await;
                let start = match (self.ledger.some_place(&mut self.random), self.random.u8(0..3)) {
                    (Some((cursor, _)), 0) => Start::After(cursor, Kept::EarlierEvent),
                    (_, 1) => Start::Earliest,
                    (Some(_) | None, _) => Start::Latest,
                };
                // What was to be its place may be gone.
                if let Answer::Refused(_) =
                    self.ask(channel, What::Create { wanted: self.known.wanted(0), start }).await
                {
                    self.create(channel, Start::Earliest).await;
                }
            }
        }
    }

    /// Asks until it is answered.
    async fn ask(&mut self, channel: &mut Option<Channel>, what: What) -> Answer {
        loop {
            let answer = self.ask_once(channel, what.clone()).await;
            if answer != Answer::Unknown || self.ledger.give_up.is_cancelled() {
                return answer;
            }
            tokio::time::sleep(BEFORE_AGAIN).await;
        }
    }

    async fn ask_once(&self, channel: &mut Option<Channel>, what: What) -> Answer {
        if channel.is_none() {
            *channel = connect(self.to).await;
        }
        let Some(line) = channel.clone() else { return Answer::Unknown };
        let answer = ask(&self.ledger, line, self.known.id, what, PATIENCE).await;
        if answer == Answer::Unknown {
            *channel = None;
        }
        answer
    }
}

/// Asks once, and writes down what was answered.
pub(crate) async fn ask(
    ledger: &Ledger,
    line: Channel,
    id: &'static str,
    what: What,
    max_queue_wait: Duration,
) -> Answer {
    let asked = ledger.now();
    let answer = match timeout(max_queue_wait, request(line, id.to_owned(), &what)).await {
        Ok(Ok(answer)) => answer.unwrap_or_else(|| Answer::Refused("a place that cannot be read".to_owned())),
        Ok(Err(status)) => refused(&status),
        Err(_) => Answer::Unknown,
    };
    ledger.count(match (&what, &answer) {
        (What::Acknowledge { .. }, Answer::Stands { .. }) => "acknowledgements answered",
        (What::Acknowledge { .. }, Answer::Unknown) => "acknowledgements not answered",
        (What::Acknowledge { .. }, Answer::Refused(_) | Answer::Gone) => "acknowledgements refused",
        (_, Answer::Stands { expired: true, .. }) => "subscriptions seen expired",
        (_, Answer::Stands { .. } | Answer::Gone) => "other calls of subscriptions answered",
        (_, Answer::Unknown) => "other calls of subscriptions not answered",
        (_, Answer::Refused(_)) => "other calls of subscriptions refused",
    });
    let call = Call { subscription: id, what, asked, ended: ledger.now(), answer: answer.clone() };
    held(&ledger.calls).push(call);
    answer
}

/// None where the answer cannot be read.
async fn request(line: Channel, subscription: String, what: &What) -> Result<Option<Answer>, Status> {
    let mut client = EventServiceClient::new(line);
    let stands = |found: Option<v1::Subscription>| {
        let found = found?;
        let (place, generation) = (found.cursor.parse().ok()?, Some(found.generation));
        let EventFilter { accounts, types } = found.filter.unwrap_or_default();
        Some(Answer::Stands { place, generation, expired: found.expired, wanted: Wanted { accounts, types } })
    };
    Ok(match what {
        What::Create { wanted, start } => {
            use create_subscription_request::Start as Place;
            let start = Some(match start {
                Start::Latest | Start::SubscriptionId(_) => Place::Position(StartPosition::Latest.into()),
                Start::Earliest => Place::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => Place::AfterCursor(cursor.to_string()),
                Start::Since(moment) => Place::Since(timestamp(*moment)),
            });
            let request = v1::CreateSubscriptionRequest { subscription, filter: filter(wanted), start };
            stands(client.create_subscription(request).await?.into_inner().subscription)
        }
        What::Update(wanted) => {
            let filter = Some(filter(wanted).unwrap_or_default());
            let request = v1::UpdateSubscriptionRequest { subscription, filter };
            stands(client.update_subscription(request).await?.into_inner().subscription)
        }
        What::Seek(start) => {
            use seek_subscription_request::Target;
            let place = Some(match start {
                Start::Latest | Start::SubscriptionId(_) => Place::Position(StartPosition::Latest.into()),
                Start::Earliest => Place::Position(StartPosition::Earliest.into()),
                Start::After(cursor, _) => Place::AfterCursor(cursor.to_string()),
                Start::Since(moment) => Place::Since(timestamp(*moment)),
            });
            let request = v1::SeekSubscriptionRequest { subscription, place };
            stands(client.seek_subscription(request).await?.into_inner().subscription)
        }
        What::Delete => {
            client.delete_subscription(v1::DeleteSubscriptionRequest { subscription }).await?;
            Some(Answer::Gone)
        }
        What::Get => {
            let request = v1::GetSubscriptionRequest { subscription };
            stands(client.get_subscription(request).await?.into_inner().subscription)
        }
        What::Acknowledge { cursor, generation } => {
            let (cursor, generation) = (cursor.to_string(), *generation);
            let request = v1::AcknowledgeRequest { subscription, cursor, generation };
            let stands = client.acknowledge(request).await?.into_inner().cursor.parse::<Cursor>();
            stands.ok().map(|place| Answer::Stands {
                place,
                generation: None,
                expired: false,
                wanted: Wanted::default(),
            })
        }
    })
}

/// What a failure says of what was asked for.
fn refused(status: &Status) -> Answer {
    match status.get_error_details().error_info() {
        Some(info) if status.code() != Code::Unavailable => Answer::Refused(info.reason.clone()),
        // It says itself that it was not done, or nobody says anything.
        Some(_) | None => Answer::Unknown,
    }
}
