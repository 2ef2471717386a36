//! Pages of the journal, compared with a list in memory.

use proptest::prelude::*;

use super::*;

const ALL: PageLimits = PageLimits { events: 1_000, bytes: 1 << 30 };

fn sequences(page: &EventPage) -> Vec<u64> {
    page.events.iter().map(|event| event.sequence).collect()
}

async fn list(journal: &Journal, start: ListStart, limits: PageLimits) -> Result<EventPage, Error> {
    journal.list(start, limits, true, |_| true).await
}

#[tokio::test]
async fn empty_journal_lists_an_empty_page() {
    let opened = open();
    let journal = &opened.journal;
    let empty = journal.cursor(0);
    for start in [
        ListStart::Oldest,
        ListStart::Newest,
        ListStart::After(empty),
        ListStart::Before(empty),
        ListStart::Since(UnixMillis(0)),
        ListStart::Since(UnixMillis(i64::MAX)),
    ] {
        let page = list(journal, start, ALL).await.expect("readable");
        assert_eq!((sequences(&page), page.previous, page.next), (vec![], empty, empty), "{start:?}");
        assert!(page.reached_oldest && page.reached_newest, "{start:?}");
    }
}

#[tokio::test]
async fn expired_lost_and_foreign_cursors_fail_differently() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 5, 10).await;
    trim(journal, 3).await;
    for start in [ListStart::After, ListStart::Before] {
        let result = list(journal, start(journal.cursor(2)), ALL).await.map(|_| ());
        let Err(Error::CursorExpired { oldest }) = result else { panic!("{result:?}") };
        assert_eq!(oldest, journal.cursor(3));
        let result = list(journal, start(journal.cursor(6)), ALL).await.map(|_| ());
        assert!(
            matches!(result, Err(Error::CursorLost { newest }) if newest == journal.cursor(5)),
            "{result:?}"
        );
        let foreign = Cursor { epoch: !journal.cursor(4).epoch, sequence: 4 };
        let result = list(journal, start(foreign), ALL).await.map(|_| ());
        assert!(matches!(result, Err(Error::ForeignCursor)), "{result:?}");
    }
    let result = list(journal, ListStart::Since(UnixMillis(0)), ALL).await.map(|_| ());
    assert!(
        matches!(result, Err(Error::CursorExpired { oldest }) if oldest == journal.cursor(3)),
        "{result:?}"
    );
    let before = list(journal, ListStart::Before(journal.cursor(3)), ALL).await.expect("readable");
    assert!(before.events.is_empty() && before.reached_oldest && !before.reached_newest);
    assert_eq!(sequences(&list(journal, ListStart::Oldest, ALL).await.expect("readable")), [4, 5]);
}

/// A scan that matches nothing may need more than one call.
#[tokio::test]
async fn one_call_scans_a_bounded_range_and_advances() {
    let opened = open();
    let journal = &opened.journal;
    append(journal, 40, 1_000_000).await;
    let none = async |start| journal.list(start, ALL, true, |_| false).await.expect("readable");
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
    assert!([first, second, last, before].iter().all(|page| page.events.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_adjacent_while_events_are_appended() {
    const COUNT: usize = 300;
    let opened = open();
    let journal = &opened.journal;
    append(journal, 50, 10).await;
    let limits = PageLimits { events: 7, ..ALL };
    let forward = async {
        let (mut seen, mut start) = (Vec::new(), ListStart::Oldest);
        while seen.len() < COUNT {
            let page = list(journal, start, limits).await.expect("readable");
            seen.extend(sequences(&page));
            start = ListStart::After(page.next);
            // At the end of the journal, the loop does not block.
            tokio::task::yield_now().await;
        }
        seen
    };
    let back = async {
        let (mut seen, mut start) = (Vec::new(), ListStart::Newest);
        loop {
            let page = list(journal, start, limits).await.expect("readable");
            seen.extend(sequences(&page).into_iter().rev());
            start = ListStart::Before(page.previous);
            if page.reached_oldest {
                return seen;
            }
        }
    };
    let (forward, back, ()) = tokio::join!(forward, back, append(journal, COUNT - 50, 10));
    assert_eq!(forward, (1..=COUNT as u64).collect::<Vec<_>>());
    let newest = back[0];
    assert_eq!(back, (1..=newest).rev().collect::<Vec<_>>());
}

/// The model's events: sequence number and size of the body.
type Model = std::collections::VecDeque<(u64, usize)>;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Trim(u32),
    List { direction: Direction, events: usize, bytes: usize, divisor: u64 },
}

#[derive(Clone, Debug)]
enum Direction {
    Oldest,
    Newest,
    After(prop::sample::Index),
    Before(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let direction = prop_oneof![
        1 => Just(Direction::Oldest),
        1 => Just(Direction::Newest),
        2 => any::<prop::sample::Index>().prop_map(Direction::After),
        2 => any::<prop::sample::Index>().prop_map(Direction::Before),
    ];
    let step = prop_oneof![
        6 => (0_usize..50).prop_map(Step::Append),
        1 => (1_u32..4).prop_map(Step::Trim),
        4 => (direction, 1_usize..5, 1_usize..200, 1_u64..4)
            .prop_map(|(direction, events, bytes, divisor)| Step::List { direction, events, bytes, divisor }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Checks a page against the model: it holds all matching events between its positions, and nothing else.
fn check(page: &EventPage, model: &Model, newest: u64, limits: PageLimits, matches: impl Fn(u64) -> bool) {
    let (previous, next) = (page.previous.sequence, page.next.sequence);
    let between = || model.iter().filter(|(sequence, _)| (previous + 1..=next).contains(sequence));
    let expected: Vec<u64> =
        between().map(|(sequence, _)| *sequence).filter(|&sequence| matches(sequence)).collect();
    assert_eq!(sequences(page), expected);
    assert!(expected.len() <= limits.events);
    let bytes: usize = between().filter(|(sequence, _)| matches(*sequence)).map(|(_, size)| size).sum();
    assert!(bytes <= limits.bytes || expected.len() == 1, "{bytes} of {}", limits.bytes);
    assert_eq!(page.reached_newest, next == newest);
    let oldest = model.front().map_or(newest + 1, |(sequence, _)| *sequence);
    assert_eq!(page.reached_oldest, previous + 1 == oldest);
    assert!(previous < next || page.reached_newest || page.reached_oldest, "the page advances");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn journal_pages_match_pages_of_a_list(steps in steps()) {
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
                    Step::Trim(max) => {
                        trim(journal, max).await;
                        model.drain(..model.len().min(max as usize));
                    }
                    Step::List { direction, events, bytes, divisor } => {
                        let limits = PageLimits { events, bytes };
                        let before_oldest = model.front().map_or(newest, |(sequence, _)| sequence - 1);
                        let positions = usize::try_from(newest - before_oldest).expect("few") + 1;
                        let sequence = |index: prop::sample::Index| {
                            journal.cursor(before_oldest + index.index(positions) as u64)
                        };
                        let (mut start, forward) = match direction {
                            Direction::Oldest => (ListStart::Oldest, true),
                            Direction::Newest => (ListStart::Newest, false),
                            Direction::After(index) => (ListStart::After(sequence(index)), true),
                            Direction::Before(index) => (ListStart::Before(sequence(index)), false),
                        };
                        let matches = |sequence: u64| sequence.is_multiple_of(divisor);
                        // From there to the end of the journal, page by page. Each page starts where the previous one
                        // ended.
                        let mut last = None;
                        loop {
                            let page = journal.list(start, limits, true, |event| matches(event.sequence)).await;
                            let page = page.expect("readable");
                            check(&page, &model, newest, limits, matches);
                            let (from, to, end) = if forward {
                                (page.previous, page.next, page.reached_newest)
                            } else {
                                (page.next, page.previous, page.reached_oldest)
                            };
                            assert!(last.is_none_or(|last| last == from), "pages are adjacent");
                            last = Some(to);
                            if end {
                                break;
                            }
                            assert_ne!(from, to, "the page advances");
                            start = if forward { ListStart::After(to) } else { ListStart::Before(to) };
                        }
                    }
                }
            }
        });
    }
}
