//! Readers of history: they walk through the journal page by page, while it grows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::Cursor;
use switchboard::pb::v1::event_service_client::EventServiceClient;
use switchboard::pb::v1::list_events_request::Anchor;
use switchboard::pb::v1::{ListEventsRequest, ListEventsResponse, StartPosition};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::ledger::{Ledger, held};
use crate::reader::{connect, filter, timestamp};
use crate::record::{Direction, Kept, Page, Seen, Start, Walk, Wanted};

/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a lister that found nobody waits before it asks again.
const BEFORE_AGAIN: Duration = Duration::from_millis(50);

/// One who walks.
pub(crate) struct Lister {
    pub(crate) wanted: Wanted,
    pub(crate) to: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) ledger: Arc<Ledger>,
}

impl Lister {
    /// Walks here and there until faults are over; then once from each end to the other.
    pub(crate) async fn run(mut self) {
        let mut goal = self.ledger.goal.subscribe();
        let mut channel = None;
        while goal.borrow_and_update().is_none() {
            let walk = self.somewhere();
            self.walk(&mut channel, walk, false).await;
        }
        for (direction, start) in [(Direction::Forward, Start::Earliest), (Direction::Back, Start::Latest)] {
            self.walk(&mut channel, (direction, start), true).await;
        }
    }

    /// Where to walk next.
    fn somewhere(&mut self) -> (Direction, Start) {
        let direction = if self.random.bool() { Direction::Forward } else { Direction::Back };
        let known = self.ledger.some_place(&mut self.random);
        let start = match (direction, self.random.u8(0..3), known) {
            (Direction::Forward, 0, Some((_, received))) => Start::Since(received),
            (_, 1, Some((cursor, _))) => Start::After(cursor, Kept::Event),
            (Direction::Forward, ..) => Start::Earliest,
            (Direction::Back, ..) => Start::Latest,
        };
        (direction, start)
    }

    /// Walks to the end. When faults are over, a walk that has not come there begins anew.
    async fn walk(
        &mut self,
        channel: &mut Option<Channel>,
        (direction, start): (Direction, Start),
        settled: bool,
    ) {
        let mut walk =
            Walk { wanted: self.wanted.clone(), direction, start, pages: Vec::new(), settled, refused: None };
        let page_size = self.random.u32(1..400).max(if settled { 200 } else { 1 });
        loop {
            if self.ledger.give_up.is_cancelled() || (!settled && self.ledger.goal.borrow().is_some()) {
                break;
            }
            let asked = self.ledger.now();
            let request = ListEventsRequest {
                filter: filter(&self.wanted),
                place: Some(place(&walk)),
                page_size,
                include_raw: false,
            };
            match ask(channel, self.to, request).await {
                Ok(response) => match page(asked, response) {
                    Some(page) => {
                        let (end, what) = match direction {
                            Direction::Forward => (page.reached_newest, "pages forward"),
                            Direction::Back => (page.reached_oldest, "pages back"),
                        };
                        self.ledger.count(what);
                        walk.pages.push(page);
                        if end {
                            break;
                        }
                    }
                    None => {
                        walk.refused = Some("a page that cannot be read".to_owned());
                        break;
                    }
                },
                Err(None) => {
                    *channel = None;
                    tokio::time::sleep(BEFORE_AGAIN).await;
                }
                Err(Some(reason)) => {
                    walk.refused = Some(reason);
                    break;
                }
            }
        }
        held(&self.ledger.walks).push(walk);
    }
}

fn place(walk: &Walk) -> Place {
    let at = |cursor: Cursor| match walk.direction {
        Direction::Forward => Place::AfterCursor(cursor.to_string()),
        Direction::Back => Place::BeforeCursor(cursor.to_string()),
    };
    match (walk.pages.last(), walk.start) {
        (Some(page), _) => at(match walk.direction {
            Direction::Forward => page.next,
            Direction::Back => page.previous,
        }),
        (None, Start::After(cursor, _)) => at(cursor),
        (None, Start::Since(moment)) => Place::Since(timestamp(moment)),
        (None, Start::Earliest) => Place::Position(StartPosition::Earliest.into()),
        (None, Start::Latest | Start::SubscriptionId(_)) => Place::Position(StartPosition::Latest.into()),
    }
}

/// Asks for a page. Fails with the reason that the server gave; without one, if it is to be asked again.
async fn ask(
    channel: &mut Option<Channel>,
    to: SocketAddr,
    request: ListEventsRequest,
) -> Result<ListEventsResponse, Option<String>> {
    if channel.is_none() {
        *channel = connect(to).await;
    }
    let line = channel.clone().ok_or(None)?;
    let mut client = EventServiceClient::new(line);
    let answer = tokio::time::timeout(TIMEOUT, client.list_events(request)).await.map_err(|_| None)?;
    answer.map(tonic::Response::into_inner).map_err(|status| refused(&status))
}

/// Why a page was refused, where asking again does not help.
fn refused(status: &Status) -> Option<String> {
    let reason = status.get_error_details().error_info()?.reason.clone();
    let passes = ["SERVER_STOPPING", "STORE_UNAVAILABLE"].contains(&reason.as_str());
    (!passes || status.code() != tonic::Code::Unavailable).then_some(reason)
}

/// None where a cursor or an event cannot be read.
fn page(asked: u64, response: ListEventsResponse) -> Option<Page> {
    Some(Page {
        asked,
        events: response.events.into_iter().map(Seen::of).collect::<Option<_>>()?,
        previous: response.previous_cursor.parse().ok()?,
        next: response.next_cursor.parse().ok()?,
        reached_oldest: response.reached_oldest,
        reached_newest: response.reached_newest,
    })
}
