//! Which events are trimmed, who holds them, and what becomes of those that lose one.

use std::collections::BTreeMap;

use super::*;
use crate::domain::event::ReportRun;

/// Takes what was received before a moment and is not held, and nothing else.
fn unheld(before: i64) -> Trim {
    let held_before = UnixMillis(i64::MIN);
    Trim { held_before, ..Trim::older_than(UnixMillis(before), 100) }
}

/// Takes what is more than so many bytes, and nothing else.
fn more_than(bytes: u64) -> Trim {
    Trim { most_bytes: Some(bytes), ..Trim::older_than(UnixMillis(i64::MIN), 100) }
}

/// An event of one of two types, with so many bytes.
fn of_kind(account: &str, report: bool, bytes: usize) -> Op {
    let mut op = append(account, None, &"x".repeat(bytes));
    if let (Op::Append(append), true) = (&mut op, report) {
        append.event.payload = Payload::ReportRun(ReportRun {
            report_id: String::new(),
            name: String::new(),
            report_type: String::new(),
            status: None,
            provider_status: String::new(),
            run_id: String::new(),
            url: "x".to_owned(),
            expire_time: None,
            create_time: None,
        });
    }
    op
}

impl Opened {
    /// Appends an event of each account, received at ten times its number.
    async fn events_of(&self, accounts: &[&str]) {
        let ops = accounts.iter().map(|account| append(account, None, "0123456789")).collect();
        self.store.commit(ops).await.expect("written");
        self.set_times();
    }

    fn set_times(&self) {
        self.beside().execute("UPDATE events SET receive_ms = sequence * 10", []).expect("written");
    }
}

/// How many went, whether there is more, and who has lost one.
fn told(trimmed: Trimmed) -> (u64, bool, Vec<SubscriptionId>) {
    (trimmed.events, trimmed.more, trimmed.expired)
}

fn ids(ids: &[&str]) -> Vec<SubscriptionId> {
    ids.iter().map(|id| subscription(id)).collect()
}

#[tokio::test]
async fn an_event_stays_as_long_as_a_subscription_has_not_acknowledged_it() {
    let opened = open();
    opened.events_of(&["acme", "globex", "acme", "globex", "acme"]).await;
    opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    assert_eq!(told(opened.trim(unheld(1_000)).await), (1, false, vec![]));
    assert_eq!(
        opened.trim(unheld(1_000)).await,
        Trimmed::default(),
        "2 is held, and holds up what is behind it"
    );
    opened.changed("s", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
    assert_eq!(opened.store.log_range(), LogRange { oldest: 4, newest: 5 });
    opened.changed("s", acknowledge(5)).await;
    assert_eq!(opened.trim(unheld(50)).await.events, 1, "5 is not old enough");
    opened.changed("s", Change::Seek(SeekPosition::After(4))).await;
    opened.changed("s", Change::Update(of(&["acme"]))).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "the new filter holds it");
    opened.changed("s", Change::Delete).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.bytes(), (0, 0));
}

#[tokio::test]
async fn what_no_subscription_is_about_goes_and_they_move_on_without_a_trace() {
    let opened = open();
    opened.events_of(&["acme"; 5]).await;
    let made = opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    let after = opened.changed("t", create(of(&["globex"]), SeekPosition::After(4))).await;
    assert_eq!(told(opened.trim(unheld(31)).await), (3, false, vec![]));
    assert_eq!(opened.subscription("s").await, Some(Subscription { sequence: 3, ..made.clone() }));
    assert_eq!(opened.subscription("t").await, Some(after.clone()), "it stands behind all that went");
    assert_eq!(*opened.changed.lock().expect("unpoisoned"), [], "nobody has set it");
    opened.events_of(&["globex"]).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
    assert_eq!(
        opened.trim(unheld(1_000)).await.events,
        0,
        "it was not expired, and so holds what it is about"
    );
    assert_eq!(opened.reopen().subscription("s").await, Some(Subscription { sequence: 5, ..made }));
}

#[tokio::test]
async fn types_are_held_as_accounts_are() {
    let opened = open();
    let ops = vec![of_kind("acme", false, 1), of_kind("acme", true, 1), of_kind("acme", false, 1)];
    opened.store.commit(ops).await.expect("written");
    opened.set_times();
    let filter = Filter { accounts: vec![], types: vec![TypePattern::Exact(EventType::ReportRun)] };
    opened.changed("s", create(filter, SeekPosition::Oldest)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    opened.changed("s", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
}

#[tokio::test]
async fn a_subscription_that_loses_an_event_by_age_is_expired_and_told_once() {
    let opened = open();
    opened.events_of(&["globex", "acme", "globex", "acme", "acme"]).await;
    let held = opened.changed("s", create(of(&["acme"]), SeekPosition::Oldest)).await;
    let trim = Trim { held_before: UnixMillis(21), ..unheld(1_000) };
    assert_eq!(told(opened.trim(trim).await), (5, false, ids(&["s"])), "it holds nothing");
    let lost = Subscription { sequence: 1, ..held };
    assert_eq!(opened.subscription("s").await, Some(lost), "its place stays right before what it lost");
    opened.events_of(&["acme"; 3]).await;
    assert_eq!(told(opened.trim(unheld(61)).await), (1, false, vec![]));
    let opened = opened.reopen();
    assert_eq!(told(opened.trim(unheld(71)).await), (1, false, vec![]));

    // At a place that is left it holds again, and may expire again.
    opened.changed("s", acknowledge(7)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0);
    let trim = Trim::older_than(UnixMillis(1_000), 100);
    assert_eq!(told(opened.trim(trim).await), (1, false, ids(&["s"])));
}

#[tokio::test]
async fn size_wins_over_whoever_holds_an_event() {
    let opened = open();
    opened.events_of(&["globex", "acme", "globex", "acme"]).await;
    let (total, _) = opened.bytes();
    for (id, filter) in [("acme", of(&["acme"])), ("all", Filter::default()), ("globex", of(&["globex"]))] {
        opened.changed(id, create(filter, SeekPosition::Oldest)).await;
    }
    opened.changed("globex", acknowledge(1)).await;
    assert_eq!(opened.trim(more_than(total.cast_unsigned())).await, Trimmed::default());
    let Trimmed { events, expired, .. } = opened.trim(more_than(total.cast_unsigned() - 1)).await;
    assert_eq!((events, expired), (1, ids(&["all"])));
    assert_eq!([opened.place("acme").await, opened.place("all").await], [1, 0]);
    let (left, counted) = opened.bytes();
    assert_eq!(left, counted);
    let Trimmed { events, expired, .. } = opened.trim(more_than(0)).await;
    assert_eq!((events, expired), (3, ids(&["acme", "globex"])));
    assert_eq!(
        [opened.place("acme").await, opened.place("globex").await],
        [1, 2],
        "right before what they lost"
    );
    assert_eq!(opened.bytes(), (0, 0));
    assert_eq!(opened.trim(more_than(0)).await, Trimmed::default());
}

#[tokio::test]
async fn a_step_is_bounded_by_events_and_bytes_and_says_whether_there_is_more() {
    let opened = open();
    opened.store.commit((0..3).map(|_| of_kind("acme", false, 1_000)).collect()).await.expect("written");
    opened.store.commit(vec![of_kind("acme", false, 50_000)]).await.expect("written");
    opened.set_times();
    let step = |step_events, step_bytes| Trim { step_events, step_bytes, ..unheld(1_000) };
    assert_eq!(told(opened.trim(step(1, u64::MAX)).await), (1, true, vec![]));
    assert_eq!(told(opened.trim(step(9, 10)).await), (1, true, vec![]));
    assert_eq!(told(opened.trim(step(9, 3_000)).await), (1, true, vec![]));
    assert_eq!(told(opened.trim(step(9, 3_000)).await), (1, false, vec![]), "alone");
    opened.events_of(&["acme"; 3]).await;
    let two_old = Trim { step_events: 2, ..unheld(61) };
    assert_eq!(told(opened.trim(two_old).await), (2, false, vec![]), "the next stays");
}

#[tokio::test]
async fn a_row_that_this_version_cannot_read_does_not_keep_the_store_from_writing() {
    let opened = open();
    opened.events_of(&["acme", "acme", "acme"]).await;
    opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    let set = |what| opened.beside().execute(what, []).expect("written");
    set("UPDATE events SET type = 'of.tomorrow' WHERE sequence = 2");
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "it may be what the subscription is about");
    opened.changed("s", acknowledge(2)).await;
    set("UPDATE subscriptions SET types = 'of.tomorrow'");
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "it may be about this");
    assert_eq!(told(opened.trim(more_than(0)).await), (1, false, ids(&["s"])));
}

#[tokio::test]
async fn a_file_under_steady_appending_and_trimming_by_size_stops_growing() {
    let opened = open();
    let (size, most) = (2_000, 400_000);
    let mut sizes = Vec::new();
    for _ in 0..12 {
        for _ in 0..10 {
            let mut ops: Vec<Op> = (0..20).map(|_| of_kind("acme", false, size)).collect();
            ops.push(Op::Trim(more_than(most)));
            opened.store.commit(ops).await.expect("written");
        }
        let pages: i64 =
            opened.beside().pragma_query_value(None, "page_count", |row| row.get(0)).expect("readable");
        sizes.push(pages * 4_096);
    }
    let (first, last) = (sizes[5], sizes[11]);
    assert_eq!(last, first, "{sizes:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Append { account: usize, report: bool, bytes: usize },
    Trim { before: u64, held_for: u64, most_bytes: Option<u64>, step_events: u32, step_bytes: u64 },
    Create { id: usize, filter: usize, back: u64 },
    Update { id: usize, filter: usize },
    Seek { id: usize, back: u64 },
    Acknowledge { id: usize, back: u64 },
    Delete { id: usize },
    Reopen,
}

const ACCOUNTS: [&str; 2] = ["acme", "globex"];
const IDS: [&str; 3] = ["a", "b", "c"];

/// All there are that are told apart here.
fn filter(index: usize) -> Filter {
    let types = if index >= 3 { vec![TypePattern::parse("report.*")] } else { Vec::new() };
    let accounts = [of(&[]), of(&["acme"]), of(&["globex"])][index % 3].accounts.clone();
    Filter { accounts, types }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, filter, back) = (0..IDS.len(), 0..6_usize, 0..8_u64);
    let trim = (0..40_u64, 0..6_u64, proptest::option::of(0..3_000_u64), 1..8_u32, 1..2_000_u64);
    let step = prop_oneof![
        8 => (0..2_usize, any::<bool>(), 0..400_usize)
            .prop_map(|(account, report, bytes)| Step::Append { account, report, bytes }),
        6 => trim.prop_map(|(before, held_for, most_bytes, step_events, step_bytes)| {
            Step::Trim { before, held_for, most_bytes, step_events, step_bytes }
        }),
        3 => (id.clone(), filter.clone(), back.clone()).prop_map(|(id, filter, back)| Step::Create { id, filter, back }),
        1 => (id.clone(), filter).prop_map(|(id, filter)| Step::Update { id, filter }),
        1 => (id.clone(), back.clone()).prop_map(|(id, back)| Step::Seek { id, back }),
        3 => (id.clone(), back).prop_map(|(id, back)| Step::Acknowledge { id, back }),
        1 => id.prop_map(|id| Step::Delete { id }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..50)
}

/// An event of the model: its number is also the moment at which it was received.
struct Known {
    sequence: u64,
    account: AccountId,
    event_type: EventType,
    bytes: u64,
}

#[derive(Default)]
struct Model {
    events: std::collections::VecDeque<Known>,
    newest: u64,
    subscriptions: BTreeMap<&'static str, (u64, Filter)>,
}

impl Model {
    fn oldest(&self) -> u64 {
        self.events.front().map_or(self.newest + 1, |event| event.sequence)
    }

    /// Trims one event after the other, by the words of [`Trim`].
    fn trim(&mut self, trim: Trim) -> Trimmed {
        let mut trimmed = Trimmed::default();
        while let Some(event) = self.events.front() {
            let at = UnixMillis(event.sequence.cast_signed());
            let all: u64 = self.events.iter().map(|event| event.bytes).sum();
            let about = |filter: &Filter| filter.matches(&event.account, event.event_type);
            // All before it is gone: whoever has lost nothing stands right before it, or behind it.
            let before = event.sequence - 1;
            let held = self.subscriptions.values().any(|(place, filter)| *place == before && about(filter));
            let goes = at < trim.held_before
                || trim.most_bytes.is_some_and(|most| all > most)
                || (at < trim.before && !held);
            if !goes {
                break;
            }
            let full = trimmed.events == u64::from(trim.step_events)
                || (trimmed.events > 0 && trimmed.bytes + event.bytes > trim.step_bytes);
            if full {
                trimmed.more = true;
                break;
            }
            for (id, (place, filter)) in &mut self.subscriptions {
                if *place == before && about(filter) {
                    trimmed.expired.push(subscription(id));
                } else if *place == before {
                    *place = event.sequence;
                }
            }
            trimmed.events += 1;
            trimmed.bytes += event.bytes;
            self.events.pop_front();
        }
        trimmed.expired.sort();
        trimmed
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn trimming_does_what_its_words_say(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut opened = open();
            let mut model = Model::default();
            for step in steps {
                opened = step.take(opened, &mut model).await;
                let expected: Vec<u64> = model.events.iter().map(|event| event.sequence).collect();
                assert_eq!(sequences(&opened.store.read(0, false).await.expect("readable")), expected);
                let oldest = expected.first().copied().unwrap_or(model.newest + 1);
                assert_eq!(opened.store.log_range(), LogRange { oldest, newest: model.newest });
                let bytes: u64 = model.events.iter().map(|event| event.bytes).sum();
                assert_eq!(opened.bytes(), (bytes.cast_signed(), bytes.cast_signed()));
                let places: Vec<_> = opened.store.subscriptions(None, 10).await.expect("readable");
                let places: Vec<_> = places.iter().map(|s| (s.id.as_str(), s.sequence)).collect();
                let expected: Vec<_> = model.subscriptions.iter().map(|(id, (place, _))| (*id, *place)).collect();
                assert_eq!(places, expected);
            }
        });
    }
}

impl Step {
    async fn take(self, opened: Opened, model: &mut Model) -> Opened {
        let newest = model.newest;
        match self {
            Self::Append { account: of, report, bytes } => {
                model.newest += 1;
                assert_eq!(
                    opened.one(of_kind(ACCOUNTS[of], report, bytes)).await,
                    OpResult::Appended(newest + 1)
                );
                let kind = "UPDATE events SET receive_ms = sequence WHERE sequence = ?1
                    RETURNING length(event) + length(raw)";
                let bytes: i64 = opened
                    .beside()
                    .query_row(kind, [model.newest.cast_signed()], |row| row.get(0))
                    .expect("written");
                model.events.push_back(Known {
                    sequence: model.newest,
                    account: account(ACCOUNTS[of]),
                    event_type: if report { EventType::ReportRun } else { EventType::Unknown },
                    bytes: bytes.cast_unsigned(),
                });
            }
            Self::Trim { before, held_for, most_bytes, step_events, step_bytes } => {
                let at = |sequence: u64| UnixMillis(sequence.cast_signed());
                let (before, held_before) = (at(before), at(before.saturating_sub(held_for)));
                let trim = Trim { before, held_before, most_bytes, step_events, step_bytes };
                assert_eq!(opened.trim(trim).await, model.trim(trim), "{trim:?}");
            }
            Self::Create { id, filter: of, back } => {
                let place = newest.saturating_sub(back);
                let change = create(filter(of), SeekPosition::After(place));
                let exists = model.subscriptions.contains_key(IDS[id]);
                let gone = place + 1 < model.oldest();
                match opened.change(IDS[id], change).await {
                    Changed::Stands(_) if !exists && !gone => {
                        model.subscriptions.insert(IDS[id], (place, filter(of)));
                    }
                    Changed::Exists(_) if exists => {}
                    Changed::Expired { oldest } if !exists && gone => assert_eq!(oldest, model.oldest()),
                    other => panic!("{other:?}"),
                }
            }
            Self::Update { id, filter: of } => {
                opened.change(IDS[id], Change::Update(filter(of))).await;
                model.subscriptions.entry(IDS[id]).and_modify(|(_, is)| *is = filter(of));
            }
            Self::Seek { id, back } => {
                let to = newest.saturating_sub(back);
                opened.change(IDS[id], Change::Seek(SeekPosition::After(to))).await;
                if to + 1 < model.oldest() {
                    return opened;
                }
                model.subscriptions.entry(IDS[id]).and_modify(|(place, _)| *place = to);
            }
            Self::Acknowledge { id, back } => {
                let to = newest.saturating_sub(back);
                opened.change(IDS[id], acknowledge(to)).await;
                model.subscriptions.entry(IDS[id]).and_modify(|(place, _)| *place = to.max(*place));
            }
            Self::Delete { id } => {
                opened.change(IDS[id], Change::Delete).await;
                model.subscriptions.remove(IDS[id]);
            }
            Self::Reopen => return opened.reopen(),
        }
        opened
    }
}
