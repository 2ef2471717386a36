//! Which events are trimmed, which subscriptions hold them, and which expire.

use std::collections::BTreeMap;

use super::*;
use crate::domain::EventCustomer;
use crate::domain::event::ReportRun;

/// Trims only events received before a time and not held.
fn unheld(before: i64) -> Trim {
    let force_before = UnixMillis(i64::MIN);
    Trim { force_before, ..Trim::older_than(UnixMillis(before), 100) }
}

/// Trims only events beyond this many bytes.
fn more_than(bytes: u64) -> Trim {
    Trim { max_bytes: Some(bytes), ..Trim::older_than(UnixMillis(i64::MIN), 100) }
}

/// An event of one of two types, with this many bytes.
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

/// A message from a customer, with this many bytes.
fn from_customer(account: &str, (phone_number, user_id): (&str, &str), bytes: usize) -> Op {
    let sender =
        Party { phone_number: phone_number.to_owned(), user_id: user_id.to_owned(), ..Party::default() };
    let mut op = written(false, EventId::generate().as_str(), sender, "", None, None);
    if let Op::Append(append) = &mut op {
        append.event.account = account.parse().expect("an id");
        append.raw = Bytes::from("x".repeat(bytes));
    }
    op
}

fn of_customers(addresses: &[&str]) -> Filter {
    let customers =
        addresses.iter().map(|text| text.parse::<Address>().expect("an address").into()).collect();
    Filter { customers, ..Filter::default() }
}

impl Opened {
    /// Appends an event of each account. Its receive time is ten times its sequence number.
    async fn events_of(&self, accounts: &[&str]) {
        let ops = accounts.iter().map(|account| append(account, None, "0123456789")).collect();
        self.store.commit(ops).await.expect("written");
        self.set_times();
    }

    fn set_times(&self) {
        self.connection().execute("UPDATE events SET receive_ms = sequence * 10", []).expect("written");
    }
}

/// How many events were trimmed, whether there are more, and which subscriptions expired.
fn summary(trimmed: Trimmed) -> (u64, bool, Vec<SubscriptionId>) {
    (trimmed.events, trimmed.more, trimmed.expired)
}

fn ids(ids: &[&str]) -> Vec<SubscriptionId> {
    ids.iter().map(|id| subscription(id)).collect()
}

#[tokio::test]
async fn unacknowledged_event_is_not_trimmed() {
    let opened = open();
    opened.events_of(&["acme", "globex", "acme", "globex", "acme"]).await;
    opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    assert_eq!(summary(opened.trim(unheld(1_000)).await), (1, false, vec![]));
    assert_eq!(opened.trim(unheld(1_000)).await, Trimmed::default(), "event 2 is held, so later events stay");
    opened.changed("s", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
    assert_eq!(opened.store.log_range(), LogRange { oldest: 4, newest: 5 });
    opened.changed("s", acknowledge(5)).await;
    assert_eq!(opened.trim(unheld(50)).await.events, 1, "event 5 is not old enough");
    opened.changed("s", Change::Seek(SeekPosition::After(4))).await;
    opened.changed("s", update(of(&["acme"]))).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "the new filter holds it");
    opened.changed("s", Change::Delete).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.bytes(), (0, 0));
}

#[tokio::test]
async fn trim_advances_subscriptions_over_unmatched_events() {
    let opened = open();
    opened.events_of(&["acme"; 5]).await;
    let made = opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    let after = opened.changed("t", create(of(&["globex"]), SeekPosition::After(4))).await;
    assert_eq!(summary(opened.trim(unheld(31)).await), (3, false, vec![]));
    assert_eq!(opened.subscription("s").await, Some(Subscription { sequence: 3, ..made.clone() }));
    assert_eq!(
        opened.subscription("t").await,
        Some(after.clone()),
        "it is positioned after the trimmed events"
    );
    assert_eq!(*opened.changed.lock().expect("unpoisoned"), [], "trimming publishes no change");
    opened.events_of(&["globex"]).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "it is not expired, so it holds matching events");
    assert_eq!(opened.reopen().subscription("s").await, Some(Subscription { sequence: 5, ..made }));
}

#[tokio::test]
async fn filter_by_type_holds_events() {
    let opened = open();
    let ops = vec![of_kind("acme", false, 1), of_kind("acme", true, 1), of_kind("acme", false, 1)];
    opened.store.commit(ops).await.expect("written");
    opened.set_times();
    let filter = Filter { types: vec![TypePattern::Exact(EventType::ReportRun)], ..Filter::default() };
    opened.changed("s", create(filter, SeekPosition::Oldest)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    opened.changed("s", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2);
}

#[tokio::test]
async fn filter_by_customer_holds_only_that_customers_events() {
    let opened = open();
    // All events have one account and type, so only the customer tells them apart.
    let customers = [("+551187654321", ""), ("+5511987654321", "US.7"), ("+15550100001", ""), ("", "US.7")];
    let ops = customers.map(|customer| from_customer("acme", customer, 1));
    opened.store.commit(ops.into()).await.expect("written");
    opened.set_times();
    opened.changed("phone", create(of_customers(&["+5511987654321"]), SeekPosition::After(1))).await;
    opened.changed("user", create(of_customers(&["bsuid:US.7"]), SeekPosition::Oldest)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1, "the second event is held by both");
    opened.changed("phone", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "the user id still holds it");
    opened.changed("user", acknowledge(2)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 2, "the last event is held by the user id alone");
    let trim = Trim { force_before: UnixMillis(1_000), ..unheld(1_000) };
    assert_eq!(opened.trim(trim).await.expired, [subscription("user")]);
}

#[tokio::test]
async fn subscription_that_loses_an_event_by_age_expires_once() {
    let opened = open();
    opened.events_of(&["globex", "acme", "globex", "acme", "acme"]).await;
    let held = opened.changed("s", create(of(&["acme"]), SeekPosition::Oldest)).await;
    let trim = Trim { force_before: UnixMillis(21), ..unheld(1_000) };
    assert_eq!(
        summary(opened.trim(trim).await),
        (5, false, ids(&["s"])),
        "an expired subscription holds nothing"
    );
    let lost = Subscription { sequence: 1, ..held };
    assert_eq!(opened.subscription("s").await, Some(lost), "its position stays right before the lost event");
    opened.events_of(&["acme"; 3]).await;
    assert_eq!(summary(opened.trim(unheld(61)).await), (1, false, vec![]));
    let opened = opened.reopen();
    assert_eq!(summary(opened.trim(unheld(71)).await), (1, false, vec![]));

    // At a position that is still stored, it holds events again and may expire again.
    opened.changed("s", acknowledge(7)).await;
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0);
    let trim = Trim::older_than(UnixMillis(1_000), 100);
    assert_eq!(summary(opened.trim(trim).await), (1, false, ids(&["s"])));
}

#[tokio::test]
async fn size_limit_trims_held_events() {
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
    assert_eq!([opened.position("acme").await, opened.position("all").await], [1, 0]);
    let (left, counted) = opened.bytes();
    assert_eq!(left, counted);
    let Trimmed { events, expired, .. } = opened.trim(more_than(0)).await;
    assert_eq!((events, expired), (3, ids(&["acme", "globex"])));
    assert_eq!(
        [opened.position("acme").await, opened.position("globex").await],
        [1, 2],
        "right before the lost events"
    );
    assert_eq!(opened.bytes(), (0, 0));
    assert_eq!(opened.trim(more_than(0)).await, Trimmed::default());
}

#[tokio::test]
async fn trim_step_respects_its_limits_and_reports_more() {
    let opened = open();
    opened.store.commit((0..3).map(|_| of_kind("acme", false, 1_000)).collect()).await.expect("written");
    opened.store.commit(vec![of_kind("acme", false, 50_000)]).await.expect("written");
    opened.set_times();
    let step = |step_events, step_bytes| Trim { step_events, step_bytes, ..unheld(1_000) };
    assert_eq!(summary(opened.trim(step(1, u64::MAX)).await), (1, true, vec![]));
    assert_eq!(summary(opened.trim(step(9, 10)).await), (1, true, vec![]));
    assert_eq!(summary(opened.trim(step(9, 3_000)).await), (1, true, vec![]));
    assert_eq!(summary(opened.trim(step(9, 3_000)).await), (1, false, vec![]), "alone");
    opened.events_of(&["acme"; 3]).await;
    let two_old = Trim { step_events: 2, ..unheld(61) };
    assert_eq!(summary(opened.trim(two_old).await), (2, false, vec![]), "the next event stays");
}

#[tokio::test]
async fn unreadable_row_does_not_block_writes() {
    let opened = open();
    opened.events_of(&["acme", "acme", "acme"]).await;
    opened.changed("s", create(of(&["globex"]), SeekPosition::Oldest)).await;
    let set = |what| opened.connection().execute(what, []).expect("written");
    set("UPDATE events SET type = 'of.tomorrow' WHERE sequence = 2");
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "the unreadable event may match");
    opened.changed("s", acknowledge(2)).await;
    set("UPDATE subscriptions SET types = 'of.tomorrow'");
    assert_eq!(opened.trim(unheld(1_000)).await.events, 1);
    assert_eq!(opened.trim(unheld(1_000)).await.events, 0, "the unreadable filter may match");
    assert_eq!(summary(opened.trim(more_than(0)).await), (1, false, ids(&["s"])));
}

#[tokio::test]
async fn steady_appending_and_trimming_by_size_stops_file_growth() {
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
            opened.connection().pragma_query_value(None, "page_count", |row| row.get(0)).expect("readable");
        sizes.push(pages * 4_096);
    }
    let (first, last) = (sizes[5], sizes[11]);
    assert_eq!(last, first, "{sizes:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Append { account: usize, content: usize, bytes: usize },
    Trim { before: u64, held_for: u64, max_bytes: Option<u64>, step_events: u32, step_bytes: u64 },
    Create { id: usize, filter: usize, back: u64 },
    Update { id: usize, filter: usize },
    Seek { id: usize, back: u64 },
    Acknowledge { id: usize, back: u64 },
    Delete { id: usize },
    Reopen,
}

const ACCOUNTS: [&str; 2] = ["acme", "globex"];
const IDS: [&str; 3] = ["a", "b", "c"];

/// The customers of the model's events, by phone number and user id.
const CUSTOMERS: [(&str, &str); 3] = [("+525512345678", ""), ("+15550100001", "US.7"), ("", "US.7")];
/// The contents of the model's events: no message, a report, and a message from each customer.
const CONTENTS: usize = 2 + CUSTOMERS.len();
const FILTERS: usize = 12;

/// The filters that the model distinguishes.
fn filter(index: usize) -> Filter {
    let types = [vec![], vec![TypePattern::parse("report.*")], vec![TypePattern::parse("message.*")]];
    let customers = [&["+5215512345678"][..], &["bsuid:US.7"], &["+15550100001", "+525512345678"]];
    let accounts = [of(&[]), of(&["acme"]), of(&["globex"])];
    match index / 3 {
        kind @ 0..3 => Filter { types: types[kind].clone(), ..accounts[index % 3].clone() },
        _ => of_customers(customers[index % 3]),
    }
}

fn op_of(account: usize, content: usize, bytes: usize) -> Op {
    match content.checked_sub(2) {
        Some(customer) => from_customer(ACCOUNTS[account], CUSTOMERS[customer], bytes),
        None => of_kind(ACCOUNTS[account], content == 1, bytes),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (id, filter, back) = (0..IDS.len(), 0..FILTERS, 0..8_u64);
    let trim = (0..40_u64, 0..6_u64, proptest::option::of(0..3_000_u64), 1..8_u32, 1..2_000_u64);
    let step = prop_oneof![
        8 => (0..2_usize, 0..CONTENTS, 0..400_usize)
            .prop_map(|(account, content, bytes)| Step::Append { account, content, bytes }),
        6 => trim.prop_map(|(before, held_for, max_bytes, step_events, step_bytes)| {
            Step::Trim { before, held_for, max_bytes, step_events, step_bytes }
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

/// An event of the model. Its sequence number is also its receive time.
struct ModelEvent {
    sequence: u64,
    account: AccountId,
    event_type: EventType,
    customer: EventCustomer,
    bytes: u64,
}

#[derive(Default)]
struct Model {
    events: std::collections::VecDeque<ModelEvent>,
    newest: u64,
    subscriptions: BTreeMap<&'static str, (u64, Filter)>,
}

impl Model {
    fn oldest(&self) -> u64 {
        self.events.front().map_or(self.newest + 1, |event| event.sequence)
    }

    /// Trims event by event, as [`Trim`] documents.
    fn trim(&mut self, trim: Trim) -> Trimmed {
        let mut trimmed = Trimmed::default();
        while let Some(event) = self.events.front() {
            let at = UnixMillis(event.sequence.cast_signed());
            let all: u64 = self.events.iter().map(|event| event.bytes).sum();
            let about = |filter: &Filter| filter.matches(&event.account, event.event_type, &event.customer);
            // All earlier events are trimmed, so a subscription that lost nothing is positioned right before this
            // event or later.
            let before = event.sequence - 1;
            let held =
                self.subscriptions.values().any(|(position, filter)| *position == before && about(filter));
            let goes = at < trim.force_before
                || trim.max_bytes.is_some_and(|most| all > most)
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
            for (id, (position, filter)) in &mut self.subscriptions {
                if *position == before && about(filter) {
                    trimmed.expired.push(subscription(id));
                } else if *position == before {
                    *position = event.sequence;
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
    fn random_trims_match_the_model(steps in steps()) {
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
                let positions: Vec<_> = opened.store.subscriptions(None, 10).await.expect("readable");
                let positions: Vec<_> = positions.iter().map(|s| (s.id.as_str(), s.sequence)).collect();
                let expected: Vec<_> = model.subscriptions.iter().map(|(id, (position, _))| (*id, *position)).collect();
                assert_eq!(positions, expected);
            }
        });
    }
}

impl Step {
    async fn take(self, opened: Opened, model: &mut Model) -> Opened {
        let newest = model.newest;
        match self {
            Self::Append { account: of, content, bytes } => {
                model.newest += 1;
                let op = op_of(of, content, bytes);
                let Op::Append(append) = &op else { unreachable!("an event") };
                let (event_type, customer) = (append.event.event_type(), append.event.customer());
                assert_eq!(opened.commit_one(op).await, OpResult::Appended(newest + 1));
                let kind = "UPDATE events SET receive_ms = sequence WHERE sequence = ?1
                    RETURNING length(event) + length(raw)";
                let bytes: i64 = opened
                    .connection()
                    .query_row(kind, [model.newest.cast_signed()], |row| row.get(0))
                    .expect("written");
                model.events.push_back(ModelEvent {
                    sequence: model.newest,
                    account: account(ACCOUNTS[of]),
                    event_type,
                    customer,
                    bytes: bytes.cast_unsigned(),
                });
            }
            Self::Trim { before, held_for, max_bytes, step_events, step_bytes } => {
                let at = |sequence: u64| UnixMillis(sequence.cast_signed());
                let (before, force_before) = (at(before), at(before.saturating_sub(held_for)));
                let trim = Trim { before, force_before, max_bytes, step_events, step_bytes };
                assert_eq!(opened.trim(trim).await, model.trim(trim), "{trim:?}");
            }
            Self::Create { id, filter: of, back } => {
                let position = newest.saturating_sub(back);
                let change = create(filter(of), SeekPosition::After(position));
                let exists = model.subscriptions.contains_key(IDS[id]);
                let expired = position + 1 < model.oldest();
                match opened.change(IDS[id], change).await {
                    Changed::Applied(_) if !exists && !expired => {
                        model.subscriptions.insert(IDS[id], (position, filter(of)));
                    }
                    Changed::Exists(_) if exists => {}
                    Changed::Expired { oldest } if !exists && expired => assert_eq!(oldest, model.oldest()),
                    other => panic!("{other:?}"),
                }
            }
            Self::Update { id, filter: of } => {
                opened.change(IDS[id], update(filter(of))).await;
                model.subscriptions.entry(IDS[id]).and_modify(|(_, is)| *is = filter(of));
            }
            Self::Seek { id, back } => {
                let to = newest.saturating_sub(back);
                opened.change(IDS[id], Change::Seek(SeekPosition::After(to))).await;
                if to + 1 < model.oldest() {
                    return opened;
                }
                model.subscriptions.entry(IDS[id]).and_modify(|(position, _)| *position = to);
            }
            Self::Acknowledge { id, back } => {
                let to = newest.saturating_sub(back);
                opened.change(IDS[id], acknowledge(to)).await;
                model.subscriptions.entry(IDS[id]).and_modify(|(position, _)| *position = to.max(*position));
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
