//! Each check fails on records that break its promise, and on nothing else.

use switchboard::domain::Cursor;
use tonic::Code;

use super::{Broken, check};
use crate::record::{
    Direction, End, Given, Kept, Key, Page, Post, Records, Seen, Start, Stream, Walk, Wanted,
};

/// How many events there are. Those with even numbers are statuses, every fifth has no identity.
const NEWEST: u64 = 20;

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
    let earlier = number.checked_sub(5).filter(|earlier| *earlier > 0 && number % 5 == 0);
    Seen {
        cursor: at(number),
        id: format!("evt_{number}"),
        content: 1_000 + number,
        account: "globex".to_owned(),
        event_type: if number % 2 == 0 { "message.status" } else { "message.received" }.to_owned(),
        // Two by two in one millisecond.
        receive_ms: i64::try_from(number / 2).expect("small"),
        key: Some(key(number)),
        possible_duplicate_of: earlier.map(|earlier| format!("evt_{earlier}")).unwrap_or_default(),
    }
}

fn started(number: u64, newest: u64) -> Given {
    Given::Started { cursor: at(number), oldest: at(0), newest: at(newest) }
}

/// Every event in turn, delivered once, one after the other.
fn post(number: u64) -> Post {
    Post { key: key(number), began: number * 10, tries: 1, accepted: vec![number * 10 + 5] }
}

fn stream(reader: &str, start: Start, opened: u64, given: Vec<Given>, end: End) -> Stream {
    Stream { reader: reader.to_owned(), wanted: Wanted::default(), start, skips: false, opened, given, end }
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

/// Streams: 0 and 1 are one reader's from the start on, broken off once; 2 is live; 3 wants statuses; 4 reads since a
/// time.
fn good() -> Records {
    let mut whole = vec![started(0, 8)];
    whole.extend(events(1..=8));
    whole.push(Given::Heartbeat(at(8)));
    whole.extend(events(9..=12));
    let mut resumed = vec![started(8, 15)];
    resumed.extend(events(9..=NEWEST));
    resumed.push(Given::Heartbeat(at(NEWEST)));
    let mut live = vec![started(4, 4)];
    live.extend(events(5..=NEWEST));
    live.push(Given::Closing { cursor: at(NEWEST), shutdown: false });
    let mut statuses = vec![started(0, 0), Given::Heartbeat(at(1))];
    statuses.extend(events((1..=NEWEST).filter(|number| number % 2 == 0)));
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
        whole: (1..=NEWEST).map(event).collect(),
        trimmed: 0,
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
fn an_event_that_is_left_out_is_a_hole() {
    let told = broken(|records| {
        let gone = position(&records.streams[2], 9);
        records.streams[2].given.remove(gone);
    });
    assert_eq!(told, ["no_holes", "resumable"]);
    // Of what a filter chooses.
    let told = broken(|records| {
        let gone = position(&records.streams[3], 4);
        records.streams[3].given.remove(gone);
    });
    assert_eq!(told, ["no_holes", "resumable"]);
    // On one stream, where another of the same reader gave it.
    let told = broken(|records| {
        let gone = position(&records.streams[0], 10);
        records.streams[0].given.remove(gone);
    });
    assert_eq!(told, ["no_holes"]);
    // The first behind the start.
    let told = broken(|records| {
        records.streams[1].given.remove(1);
    });
    assert_eq!(told, ["no_holes"]);
}

#[test]
fn events_in_another_order_are_told() {
    let told = broken(|records| {
        let first = position(&records.streams[2], 9);
        records.streams[2].given.swap(first, first + 1);
    });
    assert_eq!(told, ["ordered", "no_holes"]);
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
fn an_event_that_comes_twice_on_a_stream_is_told() {
    let told = broken(|records| {
        let twice = position(&records.streams[2], 9);
        let event = records.streams[2].given[twice].clone();
        records.streams[2].given.insert(twice, event);
    });
    assert_eq!(told, ["no_duplicate_within_a_stream"]);
}

#[test]
fn an_event_that_is_not_wanted_is_told() {
    let told = broken(|records| {
        let before = position(&records.streams[3], 4);
        records.streams[3].given.insert(before, Given::Event(event(3)));
    });
    assert_eq!(told, ["only_what_is_wanted"]);
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
fn a_heartbeat_that_is_ahead_or_goes_back_is_told() {
    // Past the next event.
    let told = broken(|records| {
        let next = position(&records.streams[2], 9);
        records.streams[2].given.insert(next, Given::Heartbeat(at(9)));
    });
    assert_eq!(told, ["bookmarkable"]);
    // Past what is on no stream behind it.
    let told = broken(|records| records.streams[0].given.push(Given::Heartbeat(at(15))));
    assert_eq!(told, ["bookmarkable"]);
    // Past the journal's end.
    let told = broken(|records| records.streams[1].given.push(Given::Heartbeat(at(NEWEST + 1))));
    assert_eq!(told, ["bookmarkable"]);
    // Back.
    let told = broken(|records| {
        let next = position(&records.streams[2], 9);
        records.streams[2].given.insert(next, Given::Heartbeat(at(7)));
    });
    assert_eq!(told, ["bookmarkable"]);
    // Not past what the filter hides: that it may.
    let told = broken(|records| {
        let next = position(&records.streams[3], 4);
        records.streams[3].given.insert(next, Given::Heartbeat(at(3)));
    });
    assert_eq!(told, [""; 0]);
    // A closing is held to the same.
    let told = broken(|records| {
        records.streams[2].given.pop();
        records.streams[2].given.push(Given::Closing { cursor: at(NEWEST - 1), shutdown: false });
    });
    assert!(told.contains(&"bookmarkable"), "{told:?}");
}

#[test]
fn a_stream_that_starts_elsewhere_is_told() {
    let told = broken(|records| records.streams[1].given[0] = started(9, 15));
    assert!(told.contains(&"starts_where_it_was_asked_to"), "{told:?}");
    // At the latest that was the latest long before.
    let told = broken(|records| {
        records.streams[2].given[0] = started(3, 4);
        records.streams[2].given.insert(1, Given::Event(event(4)));
    });
    assert_eq!(told, ["nothing_from_before_the_start"]);
    // Since a time: too early, and too late.
    for (start, expected) in [(5, "nothing_from_before_the_start"), (8, "starts_where_it_was_asked_to")] {
        let told = broken(|records| {
            records.streams[4].given.truncate(1);
            records.streams[4].given[0] = started(start, NEWEST);
            records.streams[4].given.extend(events(start + 1..=NEWEST));
        });
        assert_eq!(told, [expected], "{start}");
    }
    // Something from before the start.
    let told = broken(|records| records.streams[1].given.insert(1, Given::Event(event(8))));
    assert_eq!(told, ["starts_where_it_was_asked_to"]);
}

#[test]
fn what_a_reader_loses_over_a_reconnect_is_told() {
    let told = broken(|records| {
        let Start::After(..) = records.streams[1].start else { panic!("it is resumed") };
        records.streams[1].start = Start::After(at(14), Kept::Heartbeat);
        records.streams[1].given.drain(1..=6);
        records.streams[1].given[0] = started(14, 15);
    });
    assert_eq!(told, ["resumable"]);
    let told = broken(|records| records.streams[2].given.clear());
    assert_eq!(told, ["resumable", "everything_settles"]);
}

#[test]
fn a_stream_without_its_form_is_told() {
    let expected = ["streams_have_their_form"];
    let refused = |code, reason: &str| End::Refused { code, reason: reason.to_owned() };
    let told = broken(|records| {
        records.streams[0].given.insert(1, started(0, 8));
    });
    assert_eq!(told, expected);
    let told = broken(|records| {
        let Some(closing) = records.streams[2].given.pop() else { panic!("closing") };
        let last = records.streams[2].given.len() - 1;
        records.streams[2].given.insert(last, closing);
    });
    assert!(told.starts_with(&expected), "{told:?}");
    assert_eq!(broken(|records| records.streams[0].given.push(Given::Nonsense("?".to_owned()))), expected);
    for end in [
        End::Ok,
        refused(Code::OutOfRange, "CURSOR_LOST"),
        refused(Code::OutOfRange, "CURSOR_EXPIRED"),
        refused(Code::InvalidArgument, "CURSOR_MALFORMED"),
        refused(Code::Internal, "SERVER_STOPPING"),
        refused(Code::Internal, ""),
    ] {
        assert_eq!(broken(|records| records.streams[0].end = end.clone()), expected, "{end:?}");
    }
    for end in [refused(Code::Unavailable, "STORE_UNAVAILABLE"), End::Left, End::Silent] {
        assert_eq!(broken(|records| records.streams[0].end = end), [""; 0]);
    }
}

#[test]
fn a_gap_where_nothing_was_trimmed_is_told_and_one_that_tells_what_was_is_not() {
    let gap = |after: u64, resume: u64, missed| Given::Gap {
        after: Some(at(after)),
        resume: at(resume),
        missed: Some(missed),
    };
    let with = |trimmed: u64, told: Given| {
        broken(|records| {
            records.trimmed = trimmed;
            let gone = usize::try_from(trimmed).expect("small");
            records.whole.drain(..gone);
            records.walks.clear();
            let stream = &mut records.streams[2];
            stream.skips = true;
            let (from, to) = (position(stream, 9), position(stream, 10));
            stream.given.drain(from..=to);
            stream.given.insert(from, told);
        })
    };
    assert_eq!(with(10, gap(8, 10, 2)), [""; 0]);
    assert!(with(0, gap(8, 10, 2)).contains(&"gaps_are_told"));
    assert!(with(10, gap(8, 10, 3)).contains(&"gaps_are_told"), "wrongly counted");
    assert!(with(10, gap(7, 10, 3)).contains(&"gaps_are_told"), "from before where the stream was");
    let not_asked_for = broken(|records| records.streams[1].given.push(gap(20, 21, 1)));
    assert!(not_asked_for.contains(&"gaps_are_told"));
    // Without being told.
    assert!(with(10, Given::Heartbeat(at(8))).contains(&"no_holes"));
}

#[test]
fn a_reader_that_does_not_come_to_the_end_is_told() {
    assert_eq!(broken(|records| records.streams[1].end = End::Lagging), ["everything_settles"]);
    let told = broken(|records| {
        records.streams[3].given.pop();
    });
    assert_eq!(told, ["resumable", "everything_settles"]);
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
