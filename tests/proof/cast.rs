//! Who takes part in a round.

use std::sync::Arc;

use crate::reader::Habit;
use crate::record::{Kept, Seen, Start, Wanted};
use crate::round::Kind;
use crate::subscription::{Known, Manner};

pub(crate) fn of_types(types: &[&str]) -> Wanted {
    Wanted { types: types.iter().map(|&word| word.to_owned()).collect(), ..Wanted::default() }
}

pub(crate) fn of_account(account: &str, types: &[&str]) -> Wanted {
    Wanted { accounts: vec![account.to_owned()], ..of_types(types) }
}

/// A name, habits, what is wanted, whether gaps are, and where to start.
pub(crate) type Who = (&'static str, Habit, Wanted, bool, Start);

/// The readers who keep their place themselves. Of a journal that was restored, they come with places from before.
pub(crate) fn readers(kind: Kind, newest: u64, lost: &[Seen]) -> Vec<Who> {
    let all = Wanted::default;
    match kind {
        Kind::Strict => vec![
            ("all", Habit::Steady, all(), false, Start::Earliest),
            ("all, slow", Habit::Slow, all(), false, Start::Earliest),
            ("all, leaving", Habit::Leaving, all(), true, Start::Earliest),
            ("live", Habit::Steady, all(), false, Start::Latest),
            ("live, slow", Habit::Slow, all(), true, Start::Latest),
            ("live, leaving", Habit::Leaving, all(), false, Start::Latest),
            ("statuses", Habit::Leaving, of_types(&["message.status"]), false, Start::Earliest),
            ("messages of acme", Habit::Steady, of_account("acme", &["message.*"]), true, Start::Earliest),
            ("unknown of globex", Habit::Leaving, of_account("globex", &["unknown"]), false, Start::Latest),
            ("nothing", Habit::Leaving, of_types(&["report.run"]), false, Start::Earliest),
            ("since", Habit::ComingBackSince, all(), false, Start::Since(0)),
            (
                "since, of acme",
                Habit::ComingBackSince,
                of_account("acme", &[]),
                true,
                Start::Since(i64::MAX / 1_000_000),
            ),
        ],
        Kind::Expiring => vec![
            ("all", Habit::Steady, all(), true, Start::Earliest),
            ("all, slow", Habit::Slow, all(), false, Start::Earliest),
            ("live, slow", Habit::Slow, all(), true, Start::Latest),
            ("statuses", Habit::Leaving, of_types(&["message.status"]), false, Start::Earliest),
            ("unknown of globex", Habit::Leaving, of_account("globex", &["unknown"]), false, Start::Latest),
            ("nothing", Habit::Leaving, of_types(&["report.run"]), true, Start::Earliest),
            ("since", Habit::ComingBackSince, of_types(&["message.status"]), true, Start::Since(0)),
        ],
        Kind::Held => vec![
            ("all", Habit::Steady, all(), true, Start::Earliest),
            ("all, leaving", Habit::Leaving, all(), true, Start::Earliest),
            ("live, leaving", Habit::Leaving, all(), false, Start::Latest),
            ("since", Habit::ComingBackSince, all(), true, Start::Since(0)),
        ],
        Kind::Restored => {
            let at = |number: u64| {
                let event = lost.iter().find(|event| event.number() >= number).or(lost.last());
                event.map_or(Start::Earliest, |event| Start::After(event.cursor, Kept::BeforeRestore))
            };
            let received = lost.first().map_or(0, |event| event.receive_ms);
            vec![
                ("all", Habit::Steady, all(), false, Start::Earliest),
                ("an early place", Habit::Leaving, all(), false, at(newest / 3)),
                ("the last place", Habit::Steady, all(), false, at(newest)),
                ("a lost place", Habit::Steady, all(), false, at(newest + 1)),
                ("the last lost place", Habit::Leaving, all(), true, at(u64::MAX)),
                ("statuses", Habit::Leaving, of_types(&["message.status"]), false, at(newest / 2)),
                ("live", Habit::Leaving, all(), false, Start::Latest),
                ("since", Habit::ComingBackSince, of_types(&["unknown"]), false, Start::Since(received)),
            ]
        }
    }
}

/// A subscription, its keeper's manner, and its readers: their names, habits, and whether they want gaps.
pub(crate) type Subscribed = (Arc<Known>, Manner, Vec<(&'static str, Habit, bool)>);

/// The subscriptions. All but one leave the large messages out.
pub(crate) fn subscriptions() -> Vec<Subscribed> {
    let small = || of_types(&["message.status", "unknown"]);
    let known = |id, wanted| Arc::new(Known::new(id, wanted));
    let filters =
        vec![of_types(&["message.status"]), of_types(&["unknown"]), of_account("acme", &["unknown"])];
    vec![
        (
            known("steady", Wanted::default()),
            Manner::Looking,
            vec![("reads steady", Habit::Acknowledging, true)],
        ),
        (
            known("pair", small()),
            Manner::Looking,
            vec![("reads pair", Habit::Acknowledging, true), ("reads pair too", Habit::Late, false)],
        ),
        (known("late", small()), Manner::Looking, vec![("reads late", Habit::Late, false)]),
        (known("away", small()), Manner::Looking, vec![("reads away", Habit::Away, true)]),
        (known("far-away", small()), Manner::Looking, vec![("reads far-away", Habit::Away, false)]),
        (known("sought", small()), Manner::Seeking, vec![("reads sought", Habit::Late, true)]),
        (
            known("updated", filters[0].clone()),
            Manner::Updating(filters),
            vec![("reads updated", Habit::Acknowledging, true)],
        ),
        (known("replaced", small()), Manner::Replacing, vec![("reads replaced", Habit::Late, false)]),
        (
            known("rare", of_types(&["report.run"])),
            Manner::Looking,
            vec![("reads rare", Habit::Acknowledging, false)],
        ),
    ]
}
