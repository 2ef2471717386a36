//! Tests of the checks on a journal that was restored from a backup.

use switchboard::domain::Cursor;
use tonic::Code;

use super::{NEWEST, at, event, good_without_subscription, stream, violations, webhook};
use crate::history::{
    Completion, CursorOrigin, Filter, History, ObservedEvent, Operation, OperationKind, Restored, Start,
    StreamEnd, StreamItem,
};

/// The last sequence number in the backup.
const BACKUP: u64 = 12;

fn restored_at(sequence: u64) -> Cursor {
    Cursor { epoch: 9, sequence }
}

/// An event that was stored after the restore.
fn new_event(sequence: u64) -> ObservedEvent {
    ObservedEvent {
        cursor: restored_at(sequence),
        id: format!("evt_{sequence}_again"),
        possible_duplicate_of: String::new(),
        ..event(sequence)
    }
}

fn items_from(from: u64) -> Vec<StreamItem> {
    let started = StreamItem::Started {
        cursor: restored_at(from),
        oldest: restored_at(0),
        newest: restored_at(BACKUP),
        generation: 0,
    };
    let events = (from + 1..=14)
        .map(|sequence| if sequence <= BACKUP { event(sequence) } else { new_event(sequence) });
    std::iter::once(started).chain(events.map(StreamItem::Event)).collect()
}

/// A history without violations. The backup has 12 events, the later ones are lost, and two of those were delivered
/// again. One subscriber resumes from a restored cursor, and one from a lost cursor.
fn good() -> History {
    let lost = Restored { newest: BACKUP, journal_before: (1..=NEWEST).map(event).collect() };
    let mut webhooks: Vec<_> = (1..=NEWEST).map(webhook).collect();
    for (sequence, webhook) in (1..).zip(&mut webhooks) {
        match sequence {
            ..=BACKUP => {}
            13 | 14 => {
                webhook.attempts += 1;
                webhook.accepted_at = vec![2_000 + sequence];
            }
            _ => webhook.accepted_at.clear(),
        }
    }
    let refused = StreamEnd::Failed {
        code: Code::OutOfRange,
        reason: "CURSOR_LOST".to_owned(),
        position: Some(restored_at(BACKUP)),
    };
    History {
        webhooks,
        streams: vec![
            stream(
                "there",
                Start::After(at(7), CursorOrigin::BeforeRestore),
                1_900,
                items_from(7),
                StreamEnd::CaughtUp,
            ),
            stream("lost", Start::After(at(13), CursorOrigin::BeforeRestore), 1_900, Vec::new(), refused),
            stream(
                "lost",
                Start::After(restored_at(BACKUP), CursorOrigin::Lost),
                1_901,
                items_from(BACKUP),
                StreamEnd::CaughtUp,
            ),
        ],
        epoch: 9,
        final_journal: (1..=BACKUP).map(event).chain((13..=14).map(new_event)).collect(),
        restored: Some(lost),
        ..History::default()
    }
}

fn violations_after(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = good();
    change(&mut history);
    violations(&history).into_iter().map(|violation| violation.check).collect()
}

#[test]
fn good_restored_history_has_no_violations() {
    assert_eq!(violations(&good()), []);
}

#[test]
fn changed_restored_event_is_reported() {
    // All participants see another event at a restored sequence number.
    let violations = violations_after(|history| {
        history.final_journal[9].content = 0;
        for stream in &mut history.streams {
            for item in &mut stream.items {
                if let StreamItem::Event(event) = item
                    && event.sequence() == 10
                {
                    event.content = 0;
                }
            }
        }
    });
    assert_eq!(violations, ["subscribers_agree"]);
    // All cursors have the old epoch.
    let violations = violations_after(|history| {
        history.epoch = 7;
        let old = |cursor: &mut Cursor| cursor.epoch = 7;
        history.final_journal.iter_mut().for_each(|event| old(&mut event.cursor));
        for item in history.streams.iter_mut().flat_map(|stream| &mut stream.items) {
            match item {
                StreamItem::Event(event) => old(&mut event.cursor),
                StreamItem::Started { cursor, oldest, newest, .. } => {
                    [cursor, oldest, newest].into_iter().for_each(old)
                }
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(violations.contains(&"subscribers_agree"), "{violations:?}");
    // An event from after the restore has the old epoch.
    let violations = violations_after(|history| history.final_journal[13].cursor.epoch = 7);
    assert_eq!(violations, ["subscribers_agree"]);
}

#[test]
fn unreported_lost_cursor_is_reported() {
    let lost = ["lost_cursors_are_reported"];
    // A stream starts at the lost cursor.
    let violations = violations_after(|history| {
        history.streams[1].items = items_from(13);
        history.streams[1].end = StreamEnd::Disconnected;
    });
    assert!(violations.contains(&lost[0]), "{violations:?}");
    // The failure reports another cursor to resume from.
    let elsewhere = |history: &mut History, sequence: u64| {
        let StreamEnd::Failed { position, .. } = &mut history.streams[1].end else { panic!("refused") };
        *position = Some(restored_at(sequence));
    };
    assert_eq!(violations_after(|history| elsewhere(history, 13)), lost);
    assert_eq!(violations_after(|history| elsewhere(history, 11)), lost);
    // A restored cursor is reported as lost.
    let violations = violations_after(|history| {
        let mut refused = history.streams[1].clone();
        refused.start = Start::After(at(BACKUP), CursorOrigin::BeforeRestore);
        history.streams.insert(0, refused);
    });
    assert_eq!(violations, lost);
}

/// Event 12 was received at time 6.
#[test]
fn start_since_time_of_possible_loss_must_fail() {
    let refused = |reason: &str| StreamEnd::Failed {
        code: Code::OutOfRange,
        reason: reason.to_owned(),
        position: Some(restored_at(BACKUP)),
    };
    // The subscriber then resumes from the last restored event.
    let since = |time: i64, items: Vec<StreamItem>, end: StreamEnd| {
        violations_after(|history| {
            let on = Start::After(restored_at(BACKUP), CursorOrigin::Lost);
            history.streams.push(stream("since", Start::Since(time), 1_900, items, end));
            history.streams.push(stream("since", on, 1_901, items_from(BACKUP), StreamEnd::CaughtUp));
        })
    };
    assert_eq!(since(6, Vec::new(), refused("CURSOR_EXPIRED")), [""; 0]);
    assert_eq!(since(6, items_from(11), StreamEnd::CaughtUp), ["lost_cursors_are_reported"]);
    assert_eq!(since(8, Vec::new(), refused("CURSOR_EXPIRED")), ["stream_protocol_is_valid"]);
}

#[test]
fn accepted_before_backup_but_not_restored_is_reported() {
    let violations = violations_after(|history| history.webhooks[14].accepted_at = vec![155]);
    assert_eq!(violations, ["accepted_webhooks_are_stored"]);
}

#[test]
fn only_responses_before_the_backup_count_after_a_restore() {
    let acknowledge = |invoked: u64| Operation {
        subscription: "billing",
        kind: OperationKind::Acknowledge { cursor: at(1), generation: 1 },
        invoked,
        completed: invoked + 2,
        completion: Completion::Ok {
            position: at(1),
            generation: None,
            expired: false,
            filter: Filter::default(),
        },
    };
    let past = History {
        operations: vec![acknowledge(10), acknowledge(124), acknowledge(140)],
        ..good_without_subscription()
    };
    let history = History::default().after_restore(&past, BACKUP, 125, 130);
    let answered: Vec<bool> =
        history.webhooks.iter().map(|webhook| !webhook.accepted_at.is_empty()).collect();
    assert_eq!(answered, (1..=NEWEST).map(|sequence| sequence * 10 + 5 < 125).collect::<Vec<_>>());
    assert!(history.webhooks.iter().all(|webhook| webhook.attempts == 1));
    let answers: Vec<bool> = history.operations.iter().map(|op| op.completion != Completion::Info).collect();
    assert_eq!(answers, [true, false], "the third operation is lost");
}
