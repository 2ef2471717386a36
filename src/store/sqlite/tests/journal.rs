//! The journal: sequence numbers, duplicates, pages, trimming, full disks.

use super::*;

#[tokio::test]
async fn appended_events_are_contiguous_and_survive_restart() {
    let opened = open();
    let epoch = opened.store.epoch();
    for n in 1..=3 {
        let done = opened.store.commit(vec![append("acme", None, &n.to_string())]).await;
        assert_eq!(done.expect("written"), [OpResult::Appended(n)]);
    }
    let opened = opened.reopen();
    assert_eq!(opened.store.epoch(), epoch);
    assert_eq!(opened.store.log_range(), LogRange { oldest: 1, newest: 3 });
    let page = opened.store.read(1, true).await.expect("readable");
    assert_eq!(sequences(&page), [2, 3]);
    assert_eq!(page.events[0].raw.as_deref(), Some("2".as_bytes()));
    assert!(opened.store.read(3, true).await.expect("readable").events.is_empty());
}

#[tokio::test]
async fn duplicate_identity_in_account_is_dropped_even_after_restart() {
    let opened = open();
    let identity = || Some(Identity::message("M1"));
    let twice = vec![append("acme", identity(), "a"), append("acme", identity(), "other bytes")];
    assert_eq!(
        opened.store.commit(twice).await.expect("written"),
        [OpResult::Appended(1), OpResult::Duplicate]
    );
    let opened = opened.reopen();
    let again = vec![append("acme", identity(), "a"), append("globex", identity(), "a")];
    assert_eq!(
        opened.store.commit(again).await.expect("written"),
        [OpResult::Duplicate, OpResult::Appended(2)]
    );
    let statuses = vec![
        append("acme", Some(Identity::status("M1", "sent")), "s"),
        append("acme", Some(Identity::status("M1", "read")), "s"),
    ];
    assert_eq!(
        opened.store.commit(statuses).await.expect("written"),
        [OpResult::Appended(3), OpResult::Appended(4)]
    );
}

#[tokio::test]
async fn equal_bytes_without_identity_are_appended_and_marked() {
    let opened = open();
    let ops = vec![append("acme", None, "x"), append("acme", None, "x"), append("acme", None, "x")];
    opened.store.commit(ops).await.expect("written");
    opened.store.commit(vec![append("globex", None, "x")]).await.expect("written");
    let page = opened.store.read(0, false).await.expect("readable");
    let texts: Vec<Vec<String>> = page
        .events
        .iter()
        .map(|e| String::from_utf8_lossy(&e.event).split(' ').map(str::to_owned).collect())
        .collect();
    assert_eq!(texts[0][2], "");
    assert_eq!(texts[1][2], texts[0][0]);
    assert_eq!(texts[2][2], texts[1][0]);
    assert_eq!(texts[3][2], "", "another account's bytes are not a duplicate");
}

#[tokio::test]
async fn sequence_numbers_are_not_reused_after_trimming_everything() {
    let opened = open();
    opened
        .store
        .commit((0..5).map(|n| append("acme", None, &n.to_string())).collect())
        .await
        .expect("written");
    let soon = UnixMillis(UnixMillis::now().0 + 1_000);
    let done = opened.store.commit(vec![Op::Trim(Trim::older_than(soon, 3))]).await.expect("written");
    assert_eq!(trimmed(&done), 3);
    assert_eq!(opened.store.log_range(), LogRange { oldest: 4, newest: 5 });
    let done = opened.store.commit(vec![Op::Trim(Trim::older_than(soon, 100))]).await.expect("written");
    assert_eq!(trimmed(&done), 2);
    let opened = opened.reopen();
    assert_eq!(opened.store.log_range(), LogRange { oldest: 6, newest: 5 });
    let done = opened.store.commit(vec![append("acme", None, "next")]).await.expect("written");
    assert_eq!(done, [OpResult::Appended(6)]);
}

#[tokio::test]
async fn trimming_keeps_younger_events() {
    let opened = open();
    opened.store.commit(vec![append("acme", None, "1")]).await.expect("written");
    let done = opened
        .store
        .commit(vec![Op::Trim(Trim::older_than(UnixMillis(UnixMillis::now().0 - 60_000), 10))])
        .await;
    assert_eq!(trimmed(&done.expect("written")), 0);
}

#[tokio::test]
async fn full_disk_fails_whole_commits_and_recovers_after_trim() {
    let opened = open_in(TempDir::new().expect("a folder"), Some(40));
    let health = opened.store.health();
    let big = "x".repeat(20_000);
    let mut kept = 0;
    let refused = loop {
        let ops = vec![append("acme", None, &format!("{kept}{big}")), append("acme", None, "small")];
        match opened.store.commit(ops).await {
            Ok(_) => kept += 2,
            Err(error) => break error,
        }
        assert!(kept < 100, "40 pages cannot hold this");
    };
    assert!(matches!(refused, Error::Full(_)), "{refused:?}");
    assert_eq!(*health.borrow(), Health::Failing);
    assert_eq!(opened.store.log_range().newest, kept, "a failed commit leaves nothing");
    assert_eq!(opened.committed.lock().expect("unpoisoned").len() as u64, kept);

    let soon = UnixMillis(UnixMillis::now().0 + 1_000);
    opened
        .store
        .commit(vec![Op::Trim(Trim::older_than(soon, 100))])
        .await
        .expect("trimming needs no disk space");
    assert_eq!(*health.borrow(), Health::Writable);
    let done = opened.store.commit(vec![append("acme", None, &big)]).await.expect("freed space is reused");
    assert_eq!(done, [OpResult::Appended(kept + 1)], "an unused sequence number is not skipped");
}

/// Message states stay readable while the store cannot write.
#[tokio::test]
async fn read_barrier_succeeds_after_a_failed_commit() {
    let opened = open_in(TempDir::new().expect("a folder"), Some(40));
    let too_big = append("acme", None, &"x".repeat(1_000_000));
    let (refused, read_barrier) =
        tokio::join!(opened.store.commit(vec![too_big]), opened.store.read_barrier());
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    read_barrier.expect("the commit has failed");
    opened.store.close().await;
    let mut health = opened.store.health();
    while health.changed().await.is_ok() {}
    assert!(matches!(opened.store.read_barrier().await, Err(Error::Closed)));
}

#[tokio::test]
async fn closing_writes_queued_commits_and_rejects_later_ones() {
    let opened = open();
    let waiting = opened.store.commit(vec![append("acme", None, "1")]);
    let (done, ()) = tokio::join!(waiting, opened.store.close());
    assert_eq!(done.expect("written"), [OpResult::Appended(1)]);
    let mut health = opened.store.health();
    while health.changed().await.is_ok() {}
    let late = opened.store.commit(vec![append("acme", None, "2")]).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    let late = opened.store.read(0, false).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    assert_eq!(opened.reopen().store.read(0, false).await.expect("readable").events.len(), 1);
}

#[tokio::test]
async fn concurrent_callers_share_commits_and_get_their_own_results() {
    let opened = open();
    let calls =
        (0..500).map(|n| {
            let store = opened.store.clone();
            async move {
                store.commit(vec![append("acme", Some(Identity::message(&(n / 2).to_string())), "b")]).await
            }
        });
    let results = futures_util::future::join_all(calls).await;
    let mut appended: Vec<u64> = results
        .into_iter()
        .filter_map(|result| match result.expect("written")[..] {
            [OpResult::Appended(sequence)] => Some(sequence),
            _ => None,
        })
        .collect();
    appended.sort_unstable();
    assert_eq!(appended, (1..=250).collect::<Vec<_>>());
    let notified: Vec<u64> =
        opened.committed.lock().expect("unpoisoned").iter().map(|event| event.sequence).collect();
    assert_eq!(notified, appended, "commits are published in order, each event once");
}

#[tokio::test]
async fn large_events_end_pages_early_without_gaps() {
    let opened = open();
    let big = "x".repeat(400_000);
    opened
        .store
        .commit((0..5).map(|n| append("acme", None, &format!("{n}{big}"))).collect())
        .await
        .expect("written");
    let first = opened.store.read(0, true).await.expect("readable");
    assert_eq!(sequences(&first), [1, 2, 3]);
    assert_eq!(sequences(&opened.store.read(3, true).await.expect("readable")), [4, 5]);
    assert_eq!(sequences(&opened.store.read(0, false).await.expect("readable")), [1, 2, 3, 4, 5]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Trim(u32),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..12).prop_map(Step::Append),
        1 => (1_u32..5).prop_map(Step::Trim),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Compares the store with a plain list, under random appends, trims and reopenings.
    #[test]
    fn random_steps_match_a_plain_list(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut opened = open();
            let mut model: std::collections::VecDeque<(u64, u8)> = std::collections::VecDeque::new();
            let mut next = 1;
            for step in steps {
                match step {
                    Step::Append(id) => {
                        let op = append("acme", Some(Identity::message(&id.to_string())), "b");
                        let done = opened.store.commit(vec![op]).await.expect("written");
                        if model.iter().any(|(_, known)| *known == id) {
                            assert_eq!(done, [OpResult::Duplicate]);
                        } else {
                            assert_eq!(done, [OpResult::Appended(next)]);
                            model.push_back((next, id));
                            next += 1;
                        }
                    }
                    Step::Trim(most) => {
                        let before = UnixMillis(UnixMillis::now().0 + 1_000);
                        let done = opened.store.commit(vec![Op::Trim(Trim::older_than(before, most))]).await.expect("written");
                        let expected = model.len().min(most as usize);
                        model.drain(..expected);
                        assert_eq!(trimmed(&done), expected as u64);
                    }
                    Step::Reopen => opened = opened.reopen(),
                }
                let expected: Vec<u64> = model.iter().map(|(sequence, _)| *sequence).collect();
                assert_eq!(sequences(&opened.store.read(0, false).await.expect("readable")), expected);
                let oldest = expected.first().copied().unwrap_or(next);
                assert_eq!(opened.store.log_range(), LogRange { oldest, newest: next - 1 });
            }
        });
    }
}

/// Creates events and sets their receive times in the file. Several events may share a time.
async fn received_at(times: &[i64]) -> Opened {
    let opened = open();
    let ops = times.iter().enumerate().map(|(n, _)| append("acme", None, &n.to_string())).collect();
    opened.store.commit(ops).await.expect("written");
    let db = Connection::open(opened.folder.path().join("switchboard.db")).expect("opens");
    for (sequence, time) in (1_i64..).zip(times) {
        db.execute(
            "UPDATE events SET receive_ms = ?1 WHERE sequence = ?2",
            rusqlite::params![time, sequence],
        )
        .expect("written");
    }
    opened
}

#[tokio::test]
async fn since_returns_position_before_first_event_at_or_after_time() {
    let opened = received_at(&[10, 20, 20, 20, 30]).await;
    for (moment, after) in
        [(i64::MIN, 0), (9, 0), (10, 0), (11, 1), (20, 1), (21, 4), (30, 4), (31, 5), (i64::MAX, 5)]
    {
        let since = opened.store.since(UnixMillis(moment)).await.expect("readable");
        assert_eq!(since, TimeLocation { after, trimmed: false }, "{moment}");
    }
    let ends = opened.store.time_range().await.expect("readable");
    assert_eq!(ends, Some(TimeRange { oldest: UnixMillis(10), newest: UnixMillis(30) }));
}

#[tokio::test]
async fn since_reports_trimmed_events_even_after_restart() {
    let opened = received_at(&[10, 20, 20, 20, 30]).await;
    let since = async |opened: &Opened, moment| {
        let TimeLocation { after, trimmed } = opened.store.since(UnixMillis(moment)).await.expect("readable");
        (after, trimmed)
    };
    let trim = Op::Trim(Trim::older_than(UnixMillis(25), 3));
    let done = opened.store.commit(vec![trim]).await.expect("written");
    assert_eq!(trimmed(&done), 3);
    let opened = opened.reopen();
    for (moment, expected) in
        [(0, (3, true)), (20, (3, true)), (21, (4, false)), (30, (4, false)), (31, (5, false))]
    {
        assert_eq!(since(&opened, moment).await, expected, "{moment}");
    }
    let trim = Op::Trim(Trim::older_than(UnixMillis(31), 100));
    let done = opened.store.commit(vec![trim]).await.expect("written");
    assert_eq!(trimmed(&done), 2);
    assert_eq!(since(&opened, 30).await, (5, true));
    assert_eq!(since(&opened, 31).await, (5, false), "no later event exists");
    assert_eq!(opened.store.time_range().await.expect("readable"), None);
}

#[tokio::test]
async fn pages_before_a_position_hold_nearest_events_in_order() {
    let opened = open();
    let big = "x".repeat(400_000);
    let ops = (0..5).map(|n| append("acme", None, &format!("{n}{big}"))).collect();
    opened.store.commit(ops).await.expect("written");
    let before = async |sequence, with_raw| {
        sequences(&opened.store.read_before(sequence, with_raw).await.expect("readable"))
    };
    assert_eq!(before(5, true).await, [3, 4, 5]);
    assert_eq!(before(2, true).await, [1, 2]);
    assert_eq!(before(4, false).await, [1, 2, 3, 4]);
    assert_eq!(before(u64::MAX, false).await, [1, 2, 3, 4, 5]);
    assert_eq!(before(0, false).await, [0; 0]);
    let soon = UnixMillis(UnixMillis::now().0 + 1_000);
    opened.store.commit(vec![Op::Trim(Trim::older_than(soon, 3))]).await.expect("written");
    assert_eq!(before(3, false).await, [0; 0]);
    assert_eq!(before(5, false).await, [4, 5]);
}

/// How many events a trim deleted.
fn trimmed(done: &[OpResult]) -> u64 {
    match done {
        [OpResult::Trimmed(trimmed)] => trimmed.events,
        other => panic!("not a trim: {other:?}"),
    }
}
