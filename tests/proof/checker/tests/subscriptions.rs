//! Checks of named subscriptions.

use tonic::Code;

use super::{BILLING, NEWEST, at, broken, position};
use crate::record::{Answer, Call, End, Given, Records, Start, Wanted, What};

fn stands(number: u64) -> Answer {
    Answer::Stands { place: at(number), generation: None, expired: false, wanted: Wanted::default() }
}

fn expired(number: u64) -> Answer {
    Answer::Stands { place: at(number), generation: Some(3), expired: true, wanted: Wanted::default() }
}

/// A call at a moment, put into its place.
fn call(records: &mut Records, asked: u64, what: What, answer: Answer) {
    let before = records.calls.partition_point(|call| call.asked < asked);
    records.calls.insert(before, Call { subscription: BILLING, what, asked, ended: asked + 1, answer });
}

fn acknowledge(number: u64, generation: u64) -> What {
    What::Acknowledge { cursor: at(number), generation }
}

/// The call that was asked for then.
fn asked(records: &mut Records, moment: u64) -> &mut Call {
    records.calls.iter_mut().find(|call| call.asked == moment).expect("it is there")
}

fn refused(code: Code, reason: &str, place: Option<u64>) -> End {
    End::Refused { code, reason: reason.to_owned(), place: place.map(at) }
}

#[test]
fn an_acknowledgement_that_is_lost_is_told() {
    // The stream behind it starts before it.
    let told = broken(|records| call(records, 106, acknowledge(7, 1), stands(7)));
    assert_eq!(told, ["acknowledged_is_durable"]);
    // One that nobody answered may be done or not, and so may one that was answered while the stream was asked for.
    assert_eq!(broken(|records| call(records, 106, acknowledge(7, 1), Answer::Unknown)), [""; 0]);
    assert_eq!(broken(|records| call(records, 116, acknowledge(7, 1), stands(7))), [""; 0]);
    // A seek takes it back: that is what it is for.
    let without_the_seek = broken(|records| records.calls.retain(|call| !matches!(call.what, What::Seek(_))));
    assert!(without_the_seek.contains(&"acknowledged_is_durable"), "{without_the_seek:?}");
    // What stands is found, by whoever asks.
    let not_found = || Answer::Refused("SUBSCRIPTION_NOT_FOUND".to_owned());
    assert_eq!(broken(|records| asked(records, 104).answer = not_found()), ["acknowledged_is_durable"]);
    let told = broken(|records| {
        let mut refused_one = records.streams[7].clone();
        refused_one.given.clear();
        refused_one.end = refused(Code::NotFound, "SUBSCRIPTION_NOT_FOUND", None);
        records.streams.insert(7, refused_one);
    });
    assert_eq!(told, ["acknowledged_is_durable"]);
}

#[test]
fn a_place_that_goes_back_is_told() {
    let goes_back = ["acknowledge_never_goes_back"];
    assert_eq!(broken(|records| asked(records, 102).answer = stands(3)), goes_back);
    assert_eq!(broken(|records| asked(records, 104).answer = stands(4)), goes_back);
    // Over an update, too.
    let told = broken(|records| {
        asked(records, 170).answer = stands(13);
        records.streams[8].given[0] = super::started(13, 17);
    });
    assert!(told.contains(&goes_back[0]), "{told:?}");
    // Of what was under way at once, nobody knows which came first.
    assert_eq!(
        broken(|records| {
            asked(records, 102).answer = stands(3);
            asked(records, 102).asked = 100;
        }),
        [""; 0]
    );
}

#[test]
fn an_acknowledgement_that_undoes_a_change_is_told() {
    let told = broken(|records| {
        asked(records, 142).answer = stands(12);
        records.streams[7].given.drain(1..=4);
        records.streams[7].given[0] =
            Given::Started { cursor: at(12), oldest: at(0), newest: at(14), generation: 2 };
    });
    assert_eq!(told, ["late_acknowledgements_are_refused"]);
}

#[test]
fn a_subscription_that_misses_an_event_is_told() {
    // No stream gave it.
    let told = broken(|records| {
        for stream in [5, 6] {
            let gone = position(&records.streams[stream], 7);
            records.streams[stream].given.remove(gone);
        }
    });
    assert_eq!(told, ["no_holes", "a_subscription_misses_nothing"]);
    // A stream that starts behind what was acknowledged.
    let told = broken(|records| {
        records.streams[6].given.remove(1);
        records.streams[6].given[0] =
            Given::Started { cursor: at(6), oldest: at(0), newest: at(11), generation: 1 };
    });
    assert_eq!(told, ["a_subscription_misses_nothing"]);
    // Whoever looks.
    assert_eq!(broken(|records| asked(records, 104).answer = stands(6)), ["a_subscription_misses_nothing"]);
    // The last, that is never given.
    let told = broken(|records| {
        let last = position(&records.streams[8], NEWEST);
        records.streams[8].given[last] = Given::Heartbeat(at(NEWEST));
    });
    assert_eq!(told, ["bookmarkable", "a_subscription_misses_nothing"]);
}

/// The last stream is told that all up to 16 is gone, by a gap.
fn with_a_gap(records: &mut Records) {
    records.trimmed = 16;
    records.whole.drain(..16);
    records.walks.clear();
    records.streams[8].skips = true;
    let gone = position(&records.streams[8], 16);
    records.streams[8].given[gone] = Given::Gap { after: Some(at(14)), resume: at(16), missed: Some(2) };
}

#[test]
fn a_held_event_that_is_let_go_is_told() {
    assert_eq!(broken(with_a_gap), ["held_events_stay"]);
    let expires = |change: fn(&mut Records)| {
        broken(|records| {
            records.holds = false;
            with_a_gap(records);
            change(records);
        })
    };
    assert_eq!(expires(|_| {}), [""; 0]);
    // Somebody sees that the journal begins behind it.
    let sees = |oldest: u64| {
        broken(|records| {
            records.trimmed = oldest;
            records.whole.drain(..usize::try_from(oldest).expect("small"));
            records.walks.clear();
            let Given::Started { oldest: told, .. } = &mut records.streams[6].given[0] else {
                panic!("started")
            };
            *told = at(oldest);
        })
    };
    assert_eq!(sees(5), [""; 0]);
    assert_eq!(sees(6), ["held_events_stay"]);
    let told = broken(|records| call(records, 180, What::Get, expired(14)));
    assert!(told.contains(&"held_events_stay"), "{told:?}");
}

#[test]
fn what_expires_without_a_word_is_told() {
    let told = broken(|records| {
        records.holds = false;
        with_a_gap(records);
        let gap = records.streams[8].given.remove(1);
        assert!(matches!(gap, Given::Gap { .. }));
    });
    assert_eq!(told, ["no_holes", "expired_is_told"]);
    // It is known to have expired, and one who wants no gaps is given a stream.
    let known = |skips: bool| {
        broken(|records| {
            records.holds = false;
            with_a_gap(records);
            call(records, 173, What::Get, expired(14));
            records.streams[8].skips = skips;
        })
    };
    assert_eq!(known(true), [""; 0]);
    assert!(known(false).contains(&"expired_is_told"));
    // Nothing is gone.
    assert!(broken(|records| call(records, 173, What::Get, expired(14))).contains(&"expired_is_told"));
}

#[test]
fn a_subscription_that_does_not_come_to_the_end_is_told() {
    let told = broken(|records| {
        asked(records, 1_000).answer = Answer::Unknown;
        asked(records, 1_002).answer = stands(19);
    });
    assert_eq!(told, ["subscriptions_settle"]);
}

#[test]
fn what_is_made_anew_begins_anew() {
    let again = |place: u64| {
        broken(|records| {
            let create = What::Create { wanted: Wanted::default(), start: Start::Latest };
            call(records, 1_010, What::Delete, Answer::Unknown);
            call(records, 1_012, What::Delete, Answer::Refused("SUBSCRIPTION_NOT_FOUND".to_owned()));
            call(records, 1_014, create, stands(place));
            call(records, 1_016, What::Get, stands(NEWEST));
        })
    };
    assert_eq!(again(NEWEST), [""; 0]);
    assert_eq!(again(3), ["a_subscription_misses_nothing"], "nobody has acknowledged that");
}
