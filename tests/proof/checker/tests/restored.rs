//! Checks of a journal that was restored from a backup.

use switchboard::domain::Cursor;
use tonic::Code;

use super::{NEWEST, alone, at, check, event, post, stream};
use crate::record::{Answer, Call, End, Given, Kept, Records, Restored, Seen, Start, Wanted, What};

/// The last that is in the backup.
const BACKUP: u64 = 12;

fn now(number: u64) -> Cursor {
    Cursor { epoch: 9, number }
}

/// Of an event that came after the backup.
fn anew(number: u64) -> Seen {
    Seen {
        cursor: now(number),
        id: format!("evt_{number}_again"),
        possible_duplicate_of: String::new(),
        ..event(number)
    }
}

fn given(from: u64) -> Vec<Given> {
    let started = Given::Started { cursor: now(from), oldest: now(0), newest: now(BACKUP), generation: 0 };
    let events = (from + 1..=14).map(|number| if number <= BACKUP { event(number) } else { anew(number) });
    std::iter::once(started).chain(events.map(Given::Event)).collect()
}

/// The backup has 12 events. What came behind them is lost, and two of it came again. One reader comes with a place that
/// is there, and one with a place that is not.
fn good() -> Records {
    let lost = Restored { newest: BACKUP, lost: (1..=NEWEST).map(event).collect() };
    let mut posts: Vec<_> = (1..=NEWEST).map(post).collect();
    for (number, post) in (1..).zip(&mut posts) {
        match number {
            ..=BACKUP => {}
            13 | 14 => {
                post.tries += 1;
                post.accepted = vec![2_000 + number];
            }
            _ => post.accepted.clear(),
        }
    }
    let refused =
        End::Refused { code: Code::OutOfRange, reason: "CURSOR_LOST".to_owned(), place: Some(now(BACKUP)) };
    Records {
        posts,
        streams: vec![
            stream("there", Start::After(at(7), Kept::BeforeRestore), 1_900, given(7), End::Settled),
            stream("lost", Start::After(at(13), Kept::BeforeRestore), 1_900, Vec::new(), refused),
            stream("lost", Start::After(now(BACKUP), Kept::Lost), 1_901, given(BACKUP), End::Settled),
        ],
        epoch: 9,
        whole: (1..=BACKUP).map(event).chain((13..=14).map(anew)).collect(),
        restored: Some(lost),
        ..Records::default()
    }
}

fn broken(change: impl FnOnce(&mut Records)) -> Vec<&'static str> {
    let mut records = good();
    change(&mut records);
    check(&records).into_iter().map(|broken| broken.promise).collect()
}

#[test]
fn a_journal_that_goes_on_where_its_backup_ends_breaks_nothing() {
    assert_eq!(check(&good()), []);
}

#[test]
fn what_is_restored_as_something_else_is_told() {
    // Another event in its place, for everybody.
    let told = broken(|records| {
        records.whole[9].content = 0;
        for stream in &mut records.streams {
            for given in &mut stream.given {
                if let Given::Event(event) = given
                    && event.number() == 10
                {
                    event.content = 0;
                }
            }
        }
    });
    assert_eq!(told, ["readers_agree"]);
    // The old epoch, for everything.
    let told = broken(|records| {
        records.epoch = 7;
        let old = |cursor: &mut Cursor| cursor.epoch = 7;
        records.whole.iter_mut().for_each(|event| old(&mut event.cursor));
        for given in records.streams.iter_mut().flat_map(|stream| &mut stream.given) {
            match given {
                Given::Event(event) => old(&mut event.cursor),
                Given::Started { cursor, oldest, newest, .. } => {
                    [cursor, oldest, newest].into_iter().for_each(old)
                }
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(told.contains(&"readers_agree"), "{told:?}");
    // The old epoch, for what came later.
    let told = broken(|records| records.whole[13].cursor.epoch = 7);
    assert_eq!(told, ["readers_agree"]);
}

#[test]
fn a_place_that_is_lost_and_not_told_so_is_told() {
    let lost = ["lost_is_told"];
    // It is given a stream, from there.
    let told = broken(|records| {
        records.streams[1].given = given(13);
        records.streams[1].end = End::Left;
    });
    assert!(told.contains(&lost[0]), "{told:?}");
    // It is told to go on elsewhere.
    let elsewhere = |records: &mut Records, number: u64| {
        let End::Refused { place, .. } = &mut records.streams[1].end else { panic!("refused") };
        *place = Some(now(number));
    };
    assert_eq!(broken(|records| elsewhere(records, 13)), lost);
    assert_eq!(broken(|records| elsewhere(records, 11)), lost);
    // What is there is told to be lost.
    let told = broken(|records| {
        let mut refused = records.streams[1].clone();
        refused.start = Start::After(at(BACKUP), Kept::BeforeRestore);
        records.streams.insert(0, refused);
    });
    assert_eq!(told, lost);
}

/// Number 12 was received at 6.
#[test]
fn a_time_since_which_events_may_be_lost_and_that_is_not_told_so_is_told() {
    let refused = |reason: &str| End::Refused {
        code: Code::OutOfRange,
        reason: reason.to_owned(),
        place: Some(now(BACKUP)),
    };
    // Then it goes on behind what was restored.
    let since = |moment: i64, given_then: Vec<Given>, end: End| {
        broken(|records| {
            let on = Start::After(now(BACKUP), Kept::Lost);
            records.streams.push(stream("since", Start::Since(moment), 1_900, given_then, end));
            records.streams.push(stream("since", on, 1_901, given(BACKUP), End::Settled));
        })
    };
    assert_eq!(since(6, Vec::new(), refused("CURSOR_EXPIRED")), [""; 0]);
    assert_eq!(since(6, given(11), End::Settled), ["lost_is_told"]);
    assert_eq!(since(8, Vec::new(), refused("CURSOR_EXPIRED")), ["streams_have_their_form"]);
}

#[test]
fn what_was_answered_200_before_the_backup_and_is_not_restored_is_told() {
    let told = broken(|records| records.posts[14].accepted = vec![155]);
    assert_eq!(told, ["every_200_is_in_the_journal"]);
}

#[test]
fn of_what_came_before_only_that_counts_which_was_answered_before_the_backup_began() {
    let acknowledge = |asked: u64| Call {
        subscription: "billing",
        what: What::Acknowledge { cursor: at(1), generation: 1 },
        asked,
        ended: asked + 2,
        answer: Answer::Stands { place: at(1), generation: None, expired: false, wanted: Wanted::default() },
    };
    let past = Records { calls: vec![acknowledge(10), acknowledge(124), acknowledge(140)], ..alone() };
    let records = Records::default().behind(&past, BACKUP, 125, 130);
    let answered: Vec<bool> = records.posts.iter().map(|post| !post.accepted.is_empty()).collect();
    assert_eq!(answered, (1..=NEWEST).map(|number| number * 10 + 5 < 125).collect::<Vec<_>>());
    assert!(records.posts.iter().all(|post| post.tries == 1));
    let answers: Vec<bool> = records.calls.iter().map(|call| call.answer != Answer::Unknown).collect();
    assert_eq!(answers, [true, false], "and the third is lost");
}
