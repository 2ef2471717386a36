//! The workload: the subscribers and subscriptions of a round.

use std::sync::Arc;

use crate::history::{CursorOrigin, Filter, ObservedEvent, Start};
use crate::round::Scenario;
use crate::subscriber::SubscriberBehavior;
use crate::subscription_manager::{ManagedSubscription, ManagerBehavior};

pub(crate) fn of_types(types: &[&str]) -> Filter {
    Filter { types: types.iter().map(|&name| name.to_owned()).collect(), ..Filter::default() }
}

pub(crate) fn of_account(account: &str, types: &[&str]) -> Filter {
    Filter { accounts: vec![account.to_owned()], ..of_types(types) }
}

/// A subscriber: its name, behavior, filter, whether it requests gaps, and its start.
pub(crate) type SubscriberSpec = (&'static str, SubscriberBehavior, Filter, bool, Start);

/// The subscribers that save their own cursor. `journal_before` is the journal before the restore, and `newest` the
/// last sequence number in the backup: the subscribers of a restored journal resume from cursors of that journal.
pub(crate) fn subscribers(
    scenario: Scenario,
    newest: u64,
    journal_before: &[ObservedEvent],
) -> Vec<SubscriberSpec> {
    use SubscriberBehavior::{Reconnecting, ReconnectingByTime, Slow, Steady};
    let all = Filter::default;
    let statuses = || of_types(&["message.status"]);
    let nothing = || of_types(&["report.run"]);
    match scenario {
        Scenario::Strict => vec![
            ("all", Steady, all(), false, Start::Earliest),
            ("all, slow", Slow, all(), false, Start::Earliest),
            ("all, reconnecting", Reconnecting, all(), true, Start::Earliest),
            ("live", Steady, all(), false, Start::Latest),
            ("live, slow", Slow, all(), true, Start::Latest),
            ("live, reconnecting", Reconnecting, all(), false, Start::Latest),
            ("statuses", Reconnecting, statuses(), false, Start::Earliest),
            ("messages of acme", Steady, of_account("acme", &["message.*"]), true, Start::Earliest),
            ("unknown of globex", Reconnecting, of_account("globex", &["unknown"]), false, Start::Latest),
            ("nothing", Reconnecting, nothing(), false, Start::Earliest),
            ("since", ReconnectingByTime, all(), false, Start::Since(0)),
            (
                "since, of acme",
                ReconnectingByTime,
                of_account("acme", &[]),
                true,
                Start::Since(i64::MAX / 1_000_000),
            ),
        ],
        Scenario::Expiring => vec![
            ("all", Steady, all(), true, Start::Earliest),
            ("all, slow", Slow, all(), false, Start::Earliest),
            ("live, slow", Slow, all(), true, Start::Latest),
            ("statuses", Reconnecting, statuses(), false, Start::Earliest),
            ("unknown of globex", Reconnecting, of_account("globex", &["unknown"]), false, Start::Latest),
            ("nothing", Reconnecting, nothing(), true, Start::Earliest),
            ("since", ReconnectingByTime, statuses(), true, Start::Since(0)),
        ],
        Scenario::Held => vec![
            ("all", Steady, all(), true, Start::Earliest),
            ("all, reconnecting", Reconnecting, all(), true, Start::Earliest),
            ("live, reconnecting", Reconnecting, all(), false, Start::Latest),
            ("since", ReconnectingByTime, all(), true, Start::Since(0)),
        ],
        Scenario::Restored => {
            let at = |sequence: u64| {
                let event = journal_before
                    .iter()
                    .find(|event| event.sequence() >= sequence)
                    .or(journal_before.last());
                event.map_or(Start::Earliest, |event| Start::After(event.cursor, CursorOrigin::BeforeRestore))
            };
            let received = journal_before.first().map_or(0, |event| event.receive_ms);
            vec![
                ("all", Steady, all(), false, Start::Earliest),
                ("early cursor", Reconnecting, all(), false, at(newest / 3)),
                ("last restored cursor", Steady, all(), false, at(newest)),
                ("first lost cursor", Steady, all(), false, at(newest + 1)),
                ("last lost cursor", Reconnecting, all(), true, at(u64::MAX)),
                ("statuses", Reconnecting, statuses(), false, at(newest / 2)),
                ("live", Reconnecting, all(), false, Start::Latest),
                ("since", ReconnectingByTime, of_types(&["unknown"]), false, Start::Since(received)),
            ]
        }
    }
}

/// A subscription, its manager's behavior, and its subscribers: their names, behaviors, and whether they request gaps.
pub(crate) type SubscriptionSpec =
    (Arc<ManagedSubscription>, ManagerBehavior, Vec<(&'static str, SubscriberBehavior, bool)>);

/// The subscriptions. All filters but one exclude the large messages.
pub(crate) fn subscriptions() -> Vec<SubscriptionSpec> {
    use ManagerBehavior::{Observing, Recreating, Seeking, Updating};
    use SubscriberBehavior::{Absent, Acknowledging, AcknowledgingLate};
    let small = || of_types(&["message.status", "unknown"]);
    let named = |id, filter| Arc::new(ManagedSubscription::new(id, filter));
    let filters =
        vec![of_types(&["message.status"]), of_types(&["unknown"]), of_account("acme", &["unknown"])];
    vec![
        (named("steady", Filter::default()), Observing, vec![("steady/1", Acknowledging, true)]),
        (
            named("pair", small()),
            Observing,
            vec![("pair/1", Acknowledging, true), ("pair/2", AcknowledgingLate, false)],
        ),
        (named("late", small()), Observing, vec![("late/1", AcknowledgingLate, false)]),
        (named("absent", small()), Observing, vec![("absent/1", Absent, true)]),
        (named("absent-without-gaps", small()), Observing, vec![("absent-without-gaps/1", Absent, false)]),
        (named("sought", small()), Seeking, vec![("sought/1", AcknowledgingLate, true)]),
        (named("updated", filters[0].clone()), Updating(filters), vec![("updated/1", Acknowledging, true)]),
        (named("recreated", small()), Recreating, vec![("recreated/1", AcknowledgingLate, false)]),
        (named("rare", of_types(&["report.run"])), Observing, vec![("rare/1", Acknowledging, false)]),
    ]
}
