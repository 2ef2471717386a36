//! Listers: clients that page through the journal with `ListEvents` while it grows.

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

use crate::history::{CursorOrigin, Direction, Filter, Listing, ObservedEvent, Page, Start};
use crate::recorder::{Recorder, lock};
use crate::subscriber::{connect, event_filter, timestamp};

/// The deadline of one page request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Delay before a retry.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// A client that lists events.
pub(crate) struct Lister {
    pub(crate) filter: Filter,
    pub(crate) server: SocketAddr,
    pub(crate) random: fastrand::Rng,
    pub(crate) recorder: Arc<Recorder>,
}

impl Lister {
    /// Runs random listings until the target is set, then one full listing in each direction.
    pub(crate) async fn run(mut self) {
        let mut target = self.recorder.target.subscribe();
        let mut channel = None;
        while target.borrow_and_update().is_none() {
            let start = self.random_start();
            self.list(&mut channel, start, false).await;
        }
        for start in [(Direction::Forward, Start::Earliest), (Direction::Backward, Start::Latest)] {
            self.list(&mut channel, start, true).await;
        }
    }

    fn random_start(&mut self) -> (Direction, Start) {
        let direction = if self.random.bool() { Direction::Forward } else { Direction::Backward };
        let known = self.recorder.random_cursor(&mut self.random);
        let start = match (direction, self.random.u8(0..3), known) {
            (Direction::Forward, 0, Some((_, received))) => Start::Since(received),
            (_, 1, Some((cursor, _))) => Start::After(cursor, CursorOrigin::Event),
            (Direction::Forward, ..) => Start::Earliest,
            (Direction::Backward, ..) => Start::Latest,
        };
        (direction, start)
    }

    /// Requests pages until the end. A random listing stops when the target is set.
    async fn list(
        &mut self,
        channel: &mut Option<Channel>,
        (direction, start): (Direction, Start),
        full_scan: bool,
    ) {
        let filter = self.filter.clone();
        let mut listing = Listing { filter, direction, start, pages: Vec::new(), full_scan, failure: None };
        let page_size = self.random.u32(1..400).max(if full_scan { 200 } else { 1 });
        loop {
            if self.recorder.abort.is_cancelled() || (!full_scan && self.recorder.target.borrow().is_some()) {
                break;
            }
            let invoked = self.recorder.now();
            let request = ListEventsRequest {
                filter: event_filter(&self.filter),
                anchor: Some(page_start(&listing)),
                page_size,
                include_raw: false,
            };
            match request_page(channel, self.server, request).await {
                Ok(response) => match parse_page(invoked, response) {
                    Some(page) => {
                        let (end, counter) = match direction {
                            Direction::Forward => (page.reached_newest, "pages listed forward"),
                            Direction::Backward => (page.reached_oldest, "pages listed backward"),
                        };
                        self.recorder.count(counter);
                        listing.pages.push(page);
                        if end {
                            break;
                        }
                    }
                    None => {
                        listing.failure = Some("the page contains an invalid cursor or event".to_owned());
                        break;
                    }
                },
                Err(None) => {
                    *channel = None;
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                Err(Some(reason)) => {
                    listing.failure = Some(reason);
                    break;
                }
            }
        }
        lock(&self.recorder.listings).push(listing);
    }
}

/// Where the next page starts.
fn page_start(listing: &Listing) -> Anchor {
    let at = |cursor: Cursor| match listing.direction {
        Direction::Forward => Anchor::AfterCursor(cursor.to_string()),
        Direction::Backward => Anchor::BeforeCursor(cursor.to_string()),
    };
    match (listing.pages.last(), listing.start) {
        (Some(page), _) => at(match listing.direction {
            Direction::Forward => page.next,
            Direction::Backward => page.previous,
        }),
        (None, Start::After(cursor, _)) => at(cursor),
        (None, Start::Since(time)) => Anchor::Since(timestamp(time)),
        (None, Start::Earliest) => Anchor::Position(StartPosition::Earliest.into()),
        (None, Start::Latest | Start::Subscription(_)) => Anchor::Position(StartPosition::Latest.into()),
    }
}

/// Requests a page. Fails with the server's reason, or with `None` if the request can be retried.
async fn request_page(
    channel: &mut Option<Channel>,
    server: SocketAddr,
    request: ListEventsRequest,
) -> Result<ListEventsResponse, Option<String>> {
    if channel.is_none() {
        *channel = connect(server).await;
    }
    let mut client = EventServiceClient::new(channel.clone().ok_or(None)?);
    let response = tokio::time::timeout(TIMEOUT, client.list_events(request)).await.map_err(|_| None)?;
    response.map(tonic::Response::into_inner).map_err(|status| permanent_failure(&status))
}

/// The reason of a failure that a retry does not resolve.
fn permanent_failure(status: &Status) -> Option<String> {
    let reason = status.get_error_details().error_info()?.reason.clone();
    let is_transient = ["SERVER_STOPPING", "STORE_UNAVAILABLE"].contains(&reason.as_str());
    (!is_transient || status.code() != tonic::Code::Unavailable).then_some(reason)
}

/// Returns `None` if a cursor or an event is invalid.
fn parse_page(invoked: u64, response: ListEventsResponse) -> Option<Page> {
    Some(Page {
        invoked,
        events: response.events.into_iter().map(ObservedEvent::from_proto).collect::<Option<_>>()?,
        previous: response.previous_cursor.parse().ok()?,
        next: response.next_cursor.parse().ok()?,
        reached_oldest: response.reached_oldest,
        reached_newest: response.reached_newest,
    })
}
