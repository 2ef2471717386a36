//! Each check fails on records that break its promise, and on nothing else.

mod restored;
mod streams;
mod subscriptions;

use switchboard::domain::Cursor;
use switchboard::pb::v1::ClosingReason;
use tonic::Code;

use super::{Broken, check};
use crate::record::{
    Answer, Call, Direction, End, Given, Kept, Key, Page, Post, Records, Seen, Start, Stream, Walk, Wanted,
    What,
};

/// How many events there are. Those with even numbers are statuses, every fifth has no identity.
const NEWEST: u64 = 20;

const BILLING: &str = "billing";

fn at(number: u64) -> Cursor {
    Cursor { epoch: 7, number }
}

fn key(number: u64) -> Key {
    match number % 5 {
        0 => Key::Body("globex".to_owned(), 55),
        _ => Key::Identity("globex".to_owned(), format!("message {number}")),
    }
}

fn event(number: u64) -> Seen {
    let earlier = number.checked_sub(5).filter(|earlier| *earlier > 0 && number.is_multiple_of(5));
    Seen {
        cursor: at(number),
        id: format!("evt_{number}"),
        content: 1_000 + number,
        account: "globex".to_owned(),
        event_type: if number.is_multiple_of(2) { "message.status" } else { "message.received" }.to_owned(),
        // Two by two in one millisecond.
        receive_ms: i64::try_from(number / 2).expect("small"),
        key: Some(key(number)),
        possible_duplicate_of: earlier.map(|earlier| format!("evt_{earlier}")).unwrap_or_default(),
    }
}

fn started(number: u64, newest: u64) -> Given {
    Given::Started { cursor: at(number), oldest: at(0), newest: at(newest), generation: 0 }
}

/// Every event in turn, delivered once, one after the other.
fn post(number: u64) -> Post {
    Post { key: key(number), began: number * 10, tries: 1, accepted: vec![number * 10 + 5] }
}

fn stream(reader: &str, start: Start, opened: u64, given: Vec<Given>, end: End) -> Stream {
    let (reader, wanted) = (reader.to_owned(), Wanted::default());
    Stream { reader, wanted, start, skips: false, opened, began: opened + 1, given, end }
}

fn events(numbers: impl IntoIterator<Item = u64>) -> impl Iterator<Item = Given> {
    numbers.into_iter().map(|number| Given::Event(event(number)))
}

fn page(previous: u64, next: u64, asked: u64) -> Page {
    Page {
        asked,
        events: (previous + 1..=next).map(event).collect(),
        previous: at(previous),
        next: at(next),
        reached_oldest: previous == 0,
        reached_newest: next == NEWEST,
    }
}

/// Streams: 5 to 8 are of a subscription; 0 and 1 are one reader's from the start on, broken off once; 2 is live; 3 wants statuses; 4 reads since a
/// time.
fn good() -> Records {
    let mut records = alone();
    subscribe(&mut records);
    records
}

fn alone() -> Records {
    let mut whole = vec![started(0, 8)];
    whole.extend(events(1..=8));
    whole.push(Given::Heartbeat(at(8)));
    whole.extend(events(9..=12));
    let mut resumed = vec![started(8, 15)];
    resumed.extend(events(9..=NEWEST));
    resumed.push(Given::Heartbeat(at(NEWEST)));
    let mut live = vec![started(4, 4)];
    live.extend(events(5..=NEWEST));
    live.push(Given::Closing { cursor: at(NEWEST), reason: ClosingReason::Shutdown });
    let mut statuses = vec![started(0, 0), Given::Heartbeat(at(1))];
    statuses.extend(events((1..=NEWEST).filter(|number| number.is_multiple_of(2))));
    let mut since = vec![started(7, NEWEST)];
    since.extend(events(8..=NEWEST));
    let only_statuses = Wanted { types: vec!["message.status".to_owned()], ..Wanted::default() };
    Records {
        posts: (1..=NEWEST).map(post).collect(),
        streams: vec![
            stream("all", Start::Earliest, 86, whole, End::Broken),
            stream("all", Start::After(at(8), Kept::Heartbeat), 156, resumed, End::Settled),
            stream("live", Start::Latest, 46, live, End::Settled),
            Stream {
                wanted: only_statuses,
                ..stream("statuses", Start::Earliest, 0, statuses, End::Settled)
            },
            stream("since", Start::Since(4), 1_000, since, End::Settled),
        ],
        walks: vec![
            Walk {
                wanted: Wanted::default(),
                direction: Direction::Forward,
                start: Start::Earliest,
                pages: vec![page(0, 8, 80), page(8, NEWEST, 1_000)],
                settled: true,
                refused: None,
            },
            Walk {
                wanted: Wanted::default(),
                direction: Direction::Back,
                start: Start::After(at(15), Kept::Event),
                pages: vec![page(9, 15, 1_000), page(0, 9, 1_001)],
                settled: false,
                refused: None,
            },
        ],
        calls: Vec::new(),
        epoch: 7,
        restored: None,
        holds: true,
        whole: (1..=NEWEST).map(event).collect(),
        trimmed: 0,
    }
}

/// A subscription: it is read up to 10, and acknowledged up to 5, and once up to 3; read on; sought back to 8; given
/// another filter at 14, and read to the end.
fn subscribe(records: &mut Records) {
    let stands = |place: u64, generation: Option<u64>| Answer::Stands {
        place: at(place),
        generation,
        expired: false,
        wanted: Wanted::default(),
    };
    let statuses = Wanted { types: vec!["message.status".to_owned()], ..Wanted::default() };
    let acknowledge = |number, generation| What::Acknowledge { cursor: at(number), generation };
    let create = What::Create { wanted: Wanted::default(), start: Start::Earliest };
    let stale = Answer::Refused("SUBSCRIPTION_GENERATION_STALE".to_owned());
    let calls = [
        (create, 1, stands(0, Some(1))),
        (acknowledge(5, 1), 100, stands(5, None)),
        (acknowledge(3, 1), 102, stands(5, None)),
        (What::Get, 104, stands(5, Some(1))),
        (acknowledge(12, 1), 130, stands(12, None)),
        (What::Seek(Start::After(at(8), Kept::EarlierEvent)), 140, stands(8, Some(2))),
        (acknowledge(12, 1), 142, stale),
        (acknowledge(14, 2), 160, stands(14, None)),
        (What::Update(statuses.clone()), 170, stands(14, Some(3))),
        (acknowledge(NEWEST, 3), 1_000, stands(NEWEST, None)),
        (What::Get, 1_002, stands(NEWEST, Some(3))),
    ];
    records.calls.extend(calls.into_iter().map(|(what, asked, answer)| Call {
        subscription: BILLING,
        what,
        asked,
        ended: asked + 1,
        answer,
    }));
    let changed =
        End::Refused { code: Code::Unavailable, reason: "SUBSCRIPTION_CHANGED".to_owned(), place: None };
    for (opened, from, newest, generation, to, end) in [
        (46, 0, 4, 1, 10, End::Broken),
        (116, 5, 11, 1, 12, changed),
        (150, 8, 14, 2, 15, End::Left),
        (176, 14, 17, 3, NEWEST, End::Settled),
    ] {
        let mut given =
            vec![Given::Started { cursor: at(from), oldest: at(0), newest: at(newest), generation }];
        let wanted = if generation == 3 { statuses.clone() } else { Wanted::default() };
        given.extend(events((from + 1..=to).filter(|number| wanted.matches(&event(*number)))));
        if matches!(end, End::Refused { .. }) {
            given.push(Given::Closing { cursor: at(to), reason: ClosingReason::SubscriptionChanged });
        }
        let stream = stream("reads billing", Start::SubscriptionId(BILLING), opened, given, end);
        records.streams.push(Stream { wanted, ..stream });
    }
}

/// The promises that are broken when something is changed in records that are good.
fn broken(change: impl FnOnce(&mut Records)) -> Vec<&'static str> {
    let mut records = good();
    change(&mut records);
    check(&records).into_iter().map(|Broken { promise, .. }| promise).collect()
}

/// Takes the event of a number out of a stream.
fn position(stream: &Stream, number: u64) -> usize {
    let is = |given: &Given| matches!(given, Given::Event(event) if event.number() == number);
    stream.given.iter().position(is).expect("it is there")
}

#[test]
fn good_records_break_nothing() {
    assert_eq!(check(&good()), []);
}

#[test]
fn a_receive_time_that_goes_back_is_told() {
    let told = broken(|records| {
        records.whole[9].receive_ms = 0;
    });
    assert_eq!(told, ["receive_times_never_go_back"]);
    let told = broken(|records| {
        let late = position(&records.streams[2], 12);
        let Given::Event(event) = &mut records.streams[2].given[late] else { panic!("an event") };
        event.receive_ms = 0;
    });
    assert_eq!(told, ["ordered"]);
}

#[test]
fn readers_that_are_given_different_events_at_one_place_are_told() {
    // Another event.
    let told = broken(|records| {
        let other = position(&records.streams[0], 12);
        let Given::Event(event) = &mut records.streams[0].given[other] else { panic!("an event") };
        event.id = "evt_other".to_owned();
    });
    assert_eq!(told, ["readers_agree"]);
    // The same event, with other bytes.
    let told = broken(|records| records.walks[0].pages[0].events[0].content = 0);
    assert_eq!(told, ["readers_agree"]);
    // One that nobody finds again: it was told before it was durable.
    let told = broken(|records| records.streams[0].given.push(Given::Event(event(NEWEST + 1))));
    assert!(told.starts_with(&["readers_agree"]), "{told:?}");
    // The same event at two places.
    let told = broken(|records| records.whole[19].id = "evt_1".to_owned());
    assert!(told.starts_with(&["readers_agree"]), "{told:?}");
    // A journal that was made anew.
    let told = broken(|records| {
        let Given::Event(event) = &mut records.streams[0].given[1] else { panic!("an event") };
        event.cursor.epoch = 8;
    });
    assert_eq!(told, ["readers_agree"]);
}

#[test]
fn a_journal_with_a_hole_is_told() {
    let told = broken(|records| {
        records.whole.remove(9);
    });
    // Others were given what is not there.
    assert!(told.contains(&"numbers_are_contiguous"), "{told:?}");
}

#[test]
fn what_was_answered_200_and_is_not_there_is_told() {
    let told = broken(|records| records.posts.push(post(NEWEST + 1)));
    assert_eq!(told, ["every_200_is_in_the_journal"]);
    // A body without an identity, of which one delivery too few is there.
    let told = broken(|records| records.posts.push(post(5)));
    assert_eq!(told, ["every_200_is_in_the_journal"]);
    // What was never answered 200 may be there or not.
    let unanswered = |number| Post { accepted: Vec::new(), ..post(number) };
    assert_eq!(broken(|records| records.posts.push(unanswered(NEWEST + 1))), [""; 0]);
    assert_eq!(broken(|records| records.posts[0].accepted.clear()), [""; 0]);
    // And what has an identity may be answered as often as it is delivered.
    assert_eq!(
        broken(|records| records.posts.push(Post { began: 500, accepted: vec![505], ..post(1) })),
        [""; 0]
    );
}

#[test]
fn what_nobody_posted_is_told() {
    let told = broken(|records| {
        records.posts.remove(1);
    });
    assert_eq!(told, ["nothing_that_nobody_posted"]);
    // A second event of one identity.
    let told = broken(|records| {
        records.posts.remove(16);
        records.whole[16].key = Some(key(1));
    });
    assert!(told.contains(&"nothing_that_nobody_posted"), "{told:?}");
    let told = broken(|records| {
        for (number, stream) in [(7, 0), (7, 2)] {
            let at = position(&records.streams[stream], number);
            let Given::Event(event) = &mut records.streams[stream].given[at] else { panic!("an event") };
            event.key = None;
        }
        records.whole[6].key = None;
    });
    assert!(told.contains(&"nothing_that_nobody_posted"), "{told:?}");
}

#[test]
fn an_identity_may_come_again_when_its_event_was_trimmed() {
    let again = |trimmed: u64| {
        broken(|records| {
            // What was number 1 is delivered once more, and becomes the newest event.
            records.posts.retain(|post| post.key != key(NEWEST - 1));
            records.posts[0].tries = 2;
            records.posts[0].accepted.push(195);
            for event in &mut records.whole {
                if event.number() == NEWEST - 1 {
                    event.key = Some(key(1));
                }
            }
            records.trimmed = trimmed;
            records.whole.retain(|event| event.number() > trimmed);
            records.walks.clear();
        })
    };
    assert_eq!(again(1), [""; 0]);
    assert!(again(0).contains(&"nothing_that_nobody_posted"));
}

#[test]
fn an_equal_body_that_is_marked_wrongly_is_told() {
    let told = broken(|records| records.whole[9].possible_duplicate_of.clear());
    assert_eq!(told, ["equal_bodies_are_marked"]);
    let told = broken(|records| records.whole[14].possible_duplicate_of = "evt_5".to_owned());
    assert_eq!(told, ["equal_bodies_are_marked"]);
    let told = broken(|records| records.whole[0].possible_duplicate_of = "evt_5".to_owned());
    assert_eq!(told, ["equal_bodies_are_marked"]);
}

#[test]
fn a_journal_in_another_order_than_answers_is_told() {
    let told = broken(|records| {
        records.posts[0].began = 900;
        records.posts[0].accepted = vec![905];
    });
    assert_eq!(told, ["answered_before_is_before"]);
}

#[test]
fn a_200_that_cannot_be_read_at_once_is_told() {
    let told = broken(|records| records.streams[0].opened = 96);
    assert_eq!(told, ["a_200_can_be_read_at_once"]);
    let told = broken(|records| {
        records.walks[0].pages.pop();
        records.walks[0].settled = false;
        records.walks[0].pages[0].reached_newest = true;
        records.walks[0].pages[0].asked = 100;
    });
    assert_eq!(told, ["a_200_can_be_read_at_once"]);
}

#[test]
fn pages_that_do_not_meet_are_told() {
    let told = broken(|records| {
        records.walks[0].pages[1] = page(9, NEWEST, 1_000);
    });
    assert_eq!(told, ["pages_meet"]);
    let told = broken(|records| records.walks[1].pages[1] = page(0, 10, 1_001));
    assert_eq!(told, ["pages_meet"]);
    let told = broken(|records| records.walks[1].pages[0] = page(9, 14, 1_000));
    assert_eq!(told, ["pages_meet"]);
}

#[test]
fn a_page_that_lacks_an_event_or_has_one_too_many_is_told() {
    let told = broken(|records| {
        records.walks[0].pages[0].events.remove(3);
    });
    assert_eq!(told, ["pages_are_whole"]);
    assert_eq!(broken(|records| records.walks[1].pages[0].events.swap(0, 1)), ["pages_are_whole"]);
    assert_eq!(broken(|records| records.walks[1].pages[0].events.push(event(16))), ["pages_are_whole"]);
}

#[test]
fn a_walk_that_ends_early_or_stands_still_is_told() {
    let told = broken(|records| {
        records.walks[0].pages.pop();
    });
    assert_eq!(told, ["walks_reach_their_end"]);
    let told = broken(|records| {
        let mut still = page(8, 8, 100);
        still.reached_newest = false;
        records.walks[0].pages.insert(1, still);
    });
    assert_eq!(told, ["walks_reach_their_end"]);
    let told = broken(|records| {
        records.walks[1].pages.pop();
        records.walks[1].pages[0].reached_oldest = true;
    });
    assert_eq!(told, ["walks_reach_their_end"]);
    assert_eq!(
        broken(|records| records.walks[0].refused = Some("CURSOR_LOST".to_owned())),
        ["walks_reach_their_end"]
    );
}
