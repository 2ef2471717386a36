//! Pieces of the journal, against a list in memory.

use proptest::prelude::*;

use super::*;

const ALL: PageLimits = PageLimits { events: 1_000, bytes: 1 << 30 };

fn sequences(piece: &EventPage) -> Vec<u64> {
    piece.events.iter().map(|event| event.sequence).collect()
}

async fn list(journal: &Journal, place: ListStart, bounds: PageLimits) -> Result<EventPage, Error> {
    journal.list(place, bounds, true, |_| true).await
}

#[tokio::test]
async fn an_empty_journal_is_a_piece_without_events() {
    let opened = open();
    let journal = &opened.journal;
    let start = journal.cursor(0);
    for place in [
        ListStart::Oldest,
        ListStart::Newest,
        ListStart::After(start),
        ListStart::Before(start),
        ListStart::Since(UnixMillis(0)),
        ListStart::Since(UnixMillis(i64::MAX)),
    ] {
        let piece = list(journal, place, ALL).await.expect("readable");
        assert_eq!((sequences(&piece), piece.previous, piece.next), (vec![], start, start), "{place:?}");
        assert!(piece.reached_oldest && piece.reached_newest, "{place:?}");
    }
}

#[tokio::test]
async fn places_that_are_gone_ahead_or_elsewhere_are_told_apart() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    for place in [ListStart::After, ListStart::Before] {
        let told = list(journal, place(journal.cursor(2)), ALL).await.map(|_| ());
        let Err(Error::CursorExpired { oldest }) = told else { panic!("{told:?}") };
        assert_eq!(oldest, journal.cursor(3));
        let told = list(journal, place(journal.cursor(6)), ALL).await.map(|_| ());
        assert!(matches!(told, Err(Error::CursorLost { newest }) if newest == journal.cursor(5)), "{told:?}");
        let elsewhere = Cursor { epoch: !journal.cursor(4).epoch, sequence: 4 };
        let told = list(journal, place(elsewhere), ALL).await.map(|_| ());
        assert!(matches!(told, Err(Error::ForeignCursor)), "{told:?}");
    }
    let told = list(journal, ListStart::Since(UnixMillis(0)), ALL).await.map(|_| ());
    assert!(matches!(told, Err(Error::CursorExpired { oldest }) if oldest == journal.cursor(3)), "{told:?}");
    let before = list(journal, ListStart::Before(journal.cursor(3)), ALL).await.expect("readable");
    assert!(before.events.is_empty() && before.reached_oldest && !before.reached_newest);
    assert_eq!(sequences(&list(journal, ListStart::Oldest, ALL).await.expect("readable")), [4, 5]);
}

/// More than one call may look through, of which nothing is wanted.
#[tokio::test]
async fn one_call_looks_through_so_much_and_leads_on() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 40, 1_000_000).await;
    let none = async |place| journal.list(place, ALL, true, |_| false).await.expect("readable");
    let first = none(ListStart::Oldest).await;
    assert!(!first.reached_newest && first.reached_oldest && first.next.sequence > 0);
    let second = none(ListStart::After(first.next)).await;
    assert!(second.reached_newest && !second.reached_oldest);
    assert_eq!((second.previous, second.next), (first.next, journal.cursor(40)));
    let last = none(ListStart::Newest).await;
    assert!(last.reached_newest && !last.reached_oldest && last.previous.sequence < 40);
    let before = none(ListStart::Before(last.previous)).await;
    assert!(!before.reached_newest && before.reached_oldest);
    assert_eq!((before.previous, before.next), (journal.cursor(0), last.previous));
    assert!([first, second, last, before].iter().all(|piece| piece.events.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_meet_while_events_come_in() {
    const COUNT: usize = 300;
    let opened = open();
    let journal = &opened.journal;
    append(journal, 50, 10).await;
    let bounds = PageLimits { events: 7, ..ALL };
    let forward = async {
        let (mut seen, mut place) = (Vec::new(), ListStart::Oldest);
        while seen.len() < COUNT {
            let piece = list(journal, place, bounds).await.expect("readable");
            seen.extend(sequences(&piece));
            place = ListStart::After(piece.next);
            // At the journal's end nothing is waited for.
            tokio::task::yield_now().await;
        }
        seen
    };
    let back = async {
        let (mut seen, mut place) = (Vec::new(), ListStart::Newest);
        loop {
            let piece = list(journal, place, bounds).await.expect("readable");
            seen.extend(sequences(&piece).into_iter().rev());
            place = ListStart::Before(piece.previous);
            if piece.reached_oldest {
                return seen;
            }
        }
    };
    let (forward, back, ()) = tokio::join!(forward, back, append(journal, COUNT - 50, 10));
    assert_eq!(forward, (1..=COUNT as u64).collect::<Vec<_>>());
    let newest = back[0];
    assert_eq!(back, (1..=newest).rev().collect::<Vec<_>>());
}

/// An event of the model: its number, and how large its body is.
type Model = std::collections::VecDeque<(u64, usize)>;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Trim(u32),
    List { way: Way, page: usize, bytes: usize, divisor: u64 },
}

#[derive(Clone, Debug)]
enum Way {
    Oldest,
    Newest,
    After(prop::sample::Index),
    Before(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let way = prop_oneof![
        1 => Just(Way::Oldest),
        1 => Just(Way::Newest),
        2 => any::<prop::sample::Index>().prop_map(Way::After),
        2 => any::<prop::sample::Index>().prop_map(Way::Before),
    ];
    let step = prop_oneof![
        6 => (0_usize..50).prop_map(Step::Append),
        1 => (1_u32..4).prop_map(Step::Trim),
        4 => (way, 1_usize..5, 1_usize..200, 1_u64..4)
            .prop_map(|(way, page, bytes, divisor)| Step::List { way, page, bytes, divisor }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Checks a piece against the model: all that is wanted between its places, and nothing else.
fn check(piece: &EventPage, model: &Model, newest: u64, bounds: PageLimits, wanted: impl Fn(u64) -> bool) {
    let (previous, next) = (piece.previous.sequence, piece.next.sequence);
    let between = || model.iter().filter(|(sequence, _)| (previous + 1..=next).contains(sequence));
    let expected: Vec<u64> =
        between().map(|(sequence, _)| *sequence).filter(|&sequence| wanted(sequence)).collect();
    assert_eq!(sequences(piece), expected);
    assert!(expected.len() <= bounds.events);
    let bytes: usize = between().filter(|(sequence, _)| wanted(*sequence)).map(|(_, size)| size).sum();
    assert!(bytes <= bounds.bytes || expected.len() == 1, "{bytes} of {}", bounds.bytes);
    assert_eq!(piece.reached_newest, next == newest);
    let oldest = model.front().map_or(newest + 1, |(sequence, _)| *sequence);
    assert_eq!(piece.reached_oldest, previous + 1 == oldest);
    assert!(previous < next || piece.reached_newest || piece.reached_oldest, "it leads on");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pages_of_a_journal_are_pages_of_a_list(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let opened = open();
            let journal = &opened.journal;
            let (mut model, mut newest) = (Model::new(), 0);
            for step in steps {
                match step {
                    Step::Append(bytes) => {
                        append(journal, 1, bytes).await;
                        newest += 1;
                        model.push_back((newest, bytes));
                    }
                    Step::Trim(most) => {
                        trim(journal, most).await;
                        model.drain(..model.len().min(most as usize));
                    }
                    Step::List { way, page, bytes, divisor } => {
                        let bounds = PageLimits { events: page, bytes };
                        let before_oldest = model.front().map_or(newest, |(sequence, _)| sequence - 1);
                        let places = usize::try_from(newest - before_oldest).expect("few") + 1;
                        let sequence = |index: prop::sample::Index| {
                            journal.cursor(before_oldest + index.index(places) as u64)
                        };
                        let (mut place, forward) = match way {
                            Way::Oldest => (ListStart::Oldest, true),
                            Way::Newest => (ListStart::Newest, false),
                            Way::After(index) => (ListStart::After(sequence(index)), true),
                            Way::Before(index) => (ListStart::Before(sequence(index)), false),
                        };
                        let wanted = |sequence: u64| sequence.is_multiple_of(divisor);
                        // From there to the journal's end, page by page, each meeting the last.
                        let mut last = None;
                        loop {
                            let piece = journal.list(place, bounds, true, |event| wanted(event.sequence)).await;
                            let piece = piece.expect("readable");
                            check(&piece, &model, newest, bounds, wanted);
                            let (from, to, end) = if forward {
                                (piece.previous, piece.next, piece.reached_newest)
                            } else {
                                (piece.next, piece.previous, piece.reached_oldest)
                            };
                            assert!(last.is_none_or(|last| last == from), "pages meet");
                            last = Some(to);
                            if end {
                                break;
                            }
                            assert_ne!(from, to, "it leads on");
                            place = if forward { ListStart::After(to) } else { ListStart::Before(to) };
                        }
                    }
                }
            }
        });
    }
}
