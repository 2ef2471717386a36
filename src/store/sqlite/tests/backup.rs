//! Backups, and stores restored from them.

use super::*;
use crate::domain::{Cursor, Filter};
use crate::store::{Change, SeekPosition};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

impl Opened {
    fn path(&self) -> PathBuf {
        self.folder.path().join("switchboard.db")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The journal's row, read from the file.
    fn journal(&self) -> schema::JournalRow {
        schema::read(&self.connection()).expect("readable")
    }

    fn back_up(&self) -> PathBuf {
        let to = self.file("backup");
        back_up(&self.path(), &to).expect("backed up");
        to
    }
}

/// Restores a backup in a folder of its own, and opens the store.
fn restored(backup: &Path, replay_guard: Option<Duration>) -> Opened {
    let folder = TempDir::new().expect("a folder");
    restore(backup, &folder.path().join("switchboard.db"), replay_guard).expect("restored");
    open_in(folder, None)
}

fn new_request(id: &str) -> Request {
    Request { id: request(id), fingerprint: Fingerprint([7; 32]), resend_after: None }
}

fn at(opened: &Opened, number: u64) -> Cursor {
    Cursor { epoch: opened.store.epoch(), sequence: number }
}

#[tokio::test]
async fn backup_of_an_open_store_is_a_snapshot() {
    let opened = open();
    for n in 0..50 {
        opened.commit_one(append("acme", None, &n.to_string())).await;
    }
    let sent = opened.unknown_attempt("unknown").await;
    let id: SubscriptionId = "billing".parse().expect("an id");
    let created = create(Filter::default(), SeekPosition::After(7));
    opened.commit_one(Op::Subscription(id.clone(), Box::new(created))).await;
    let (stop, start) = (Arc::new(Mutex::new(false)), 50_u64);
    // Appends continue during the backup.
    let writing = {
        let (store, stop) = (opened.store.clone(), Arc::clone(&stop));
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        tokio::spawn(async move {
            let mut newest = start;
            while !*stop.lock().expect("unpoisoned") {
                store.commit(vec![append("acme", None, "more")]).await.expect("written");
                newest += 1;
            }
            newest
        })
    };
    let (from, to) = (opened.path(), opened.file("backup"));
    let log_range = tokio::task::spawn_blocking(move || back_up(&from, &to)).await.expect("no panic");
    *stop.lock().expect("unpoisoned") = true;
    let written = writing.await.expect("no panic");
    let log_range = log_range.expect("backed up");
    assert!((50..=written).contains(&log_range.newest), "{log_range:?} of {written}");

    let restored = restored(&opened.file("backup"), Some(HOUR));
    assert_eq!(restored.store.log_range(), log_range);
    let (mut after, mut all) = (0, Vec::new());
    while let page = restored.store.read(after, true).await.expect("readable")
        && let Some(last) = page.events.last()
    {
        after = last.sequence;
        all.extend(sequences(&page));
    }
    assert_eq!(all, (1..=log_range.newest).collect::<Vec<_>>());
    assert_eq!(restored.request_state("unknown").await, Some(("unknown", 1)));
    assert_eq!(restored.state(sent).await, Some(MessageState::Unknown));
    let kept = restored.store.subscription(&id).await.expect("readable").expect("kept");
    assert_eq!(kept.sequence, 7);
    assert_eq!(
        restored.commit_one(append("acme", None, "new")).await,
        OpResult::Appended(log_range.newest + 1)
    );
}

#[tokio::test]
async fn cursor_before_backup_stays_valid_and_later_one_is_lost() {
    let opened = open();
    opened.commit_one(append("acme", None, "1")).await;
    opened.commit_one(append("acme", None, "2")).await;
    let backup = opened.back_up();
    opened.commit_one(append("acme", None, "lost")).await;

    let first = restored(&backup, None);
    assert_ne!(first.store.epoch(), opened.store.epoch());
    first.commit_one(append("acme", None, "another 3")).await;
    for (cursor, located) in [
        (at(&opened, 0), CursorLocation::At(0)),
        (at(&opened, 2), CursorLocation::At(2)),
        (at(&opened, 3), CursorLocation::Lost(2)),
        (at(&first, 3), CursorLocation::At(3)),
        (at(&first, 99), CursorLocation::At(99)),
        (Cursor { epoch: !first.store.epoch(), sequence: 1 }, CursorLocation::Foreign),
    ] {
        assert_eq!(first.store.locate(cursor), located, "{cursor:?}");
    }

    // The same across several restores.
    let second = restored(&first.back_up(), None);
    for (cursor, located) in [
        (at(&opened, 2), CursorLocation::At(2)),
        (at(&opened, 3), CursorLocation::Lost(2)),
        (at(&first, 3), CursorLocation::At(3)),
        (at(&first, 4), CursorLocation::Lost(3)),
    ] {
        assert_eq!(second.store.locate(cursor), located, "{cursor:?}");
    }
    // Cursors of a sibling restore are foreign, because this store does not know the sibling's later history.
    let sibling = restored(&backup, None);
    assert_eq!(sibling.store.locate(at(&first, 2)), CursorLocation::Foreign);
    let reopened = second.reopen();
    assert_eq!(reopened.store.locate(at(&opened, 3)), CursorLocation::Lost(2));
}

#[tokio::test]
async fn since_before_restore_reports_trimmed_and_after_it_does_not() {
    let opened = open();
    opened.commit_one(append("acme", None, "kept")).await;
    let before = UnixMillis::now();
    let backup = opened.back_up();
    assert!(!opened.store.since(UnixMillis(0)).await.expect("readable").trimmed);
    opened.commit_one(append("acme", None, "lost")).await;
    let restored = restored(&backup, None);
    let after = UnixMillis::now().plus(Duration::from_millis(1));
    for (moment, after) in [(UnixMillis(0), 0), (before.plus(Duration::from_millis(1)), 1)] {
        assert_eq!(
            restored.store.since(moment).await.expect("readable"),
            TimeLocation { after, trimmed: true }
        );
    }
    assert_eq!(
        restored.store.since(after).await.expect("readable"),
        TimeLocation { after: 1, trimmed: false }
    );
}

#[tokio::test]
async fn unknown_request_is_unknown_until_replay_guard_ends() {
    let opened = open();
    opened.unknown_attempt("unknown").await;
    let (_, sent) = opened.attempt("done", None).await;
    opened.finish_request("done", 1, accepted(&["P"])).await;
    opened.attempt("in-flight", None).await;
    let backup = opened.back_up();

    let guarded = restored(&backup, Some(HOUR));
    assert_eq!(guarded.request_state("in-flight").await, Some(("unknown", 1)));
    assert_eq!(guarded.request_state("unknown").await, Some(("unknown", 1)));
    assert!(
        matches!(guarded.begin("done", None).await, BeginResult::Known(RequestRecord { message: Some(message), .. })
        if message.id == sent)
    );
    for _ in 0..2 {
        let BeginResult::Known(record) = guarded.begin("new", None).await else {
            panic!("the request may have been executed")
        };
        assert_eq!(record.attempt, 1);
        assert_eq!(record.state, RequestState::Unknown(unknown_outcome(UnknownReason::Restored)));
        assert_eq!(record.message, None);
    }
    assert_eq!(guarded.record("new").await, None, "nothing was written");
    let (number, _) = guarded.attempt("new", Some(1)).await;
    assert_eq!(number, 2);
    guarded.finish_request("new", 2, AttemptOutcome::NotDone).await;
    // The state is as before the attempt.
    assert!(matches!(guarded.begin("new", None).await, BeginResult::Known(RequestRecord { attempt: 1, .. })));
    // The guard survives a restart.
    let guarded = guarded.reopen();
    assert!(matches!(guarded.begin("new", None).await, BeginResult::Known(_)));

    // The guard ends when the certain time reaches it, independent of receive times.
    let until = guarded.journal().replay_guard_until.expect("the guard is on");
    for (now, over) in [(until.0 - 1, false), (until.0, true)] {
        let expire = Op::Expire {
            now: UnixMillis(now),
            requests: UnixMillis(0),
            messages: UnixMillis(0),
            max_rows: 10,
        };
        guarded.commit_one(expire).await;
        let known = guarded
            .store
            .request_with_replay_guard(&account("acme"), &new_request("other"))
            .await
            .expect("readable");
        assert_eq!(known.is_none(), over);
    }
    assert_eq!(guarded.attempt("other", None).await.0, 1);
    let guarded = guarded.reopen();
    assert_eq!(guarded.attempt("new", None).await.0, 1);

    let accepting = restored(&backup, None);
    assert_eq!(accepting.attempt("new", None).await.0, 1);
}

#[tokio::test]
async fn lookup_before_begin_returns_the_same_record_as_begin() {
    let opened = open();
    opened.unknown_attempt("unknown").await;
    let restored = restored(&opened.back_up(), Some(HOUR));
    for (id, resend_after) in [("unknown", None), ("new", None), ("new", Some(1)), ("new", Some(7))] {
        let request = Request { resend_after, ..new_request(id) };
        let before =
            restored.store.request_with_replay_guard(&account("acme"), &request).await.expect("readable");
        match (before, restored.begin(id, resend_after).await) {
            (Some(before), BeginResult::Known(known)) => assert_eq!(before, known, "{id}"),
            (None, BeginResult::Attempt { number, .. }) => {
                assert_eq!(Some(number), resend_after.map(|after| after + 1), "{id}");
                restored.finish_request(id, number, AttemptOutcome::NotDone).await;
            }
            other => panic!("{id}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn second_restore_never_shortens_replay_guard_unless_accepted() {
    let opened = open();
    let first = restored(&opened.back_up(), Some(24 * HOUR));
    let until = first.journal().replay_guard_until.expect("the guard is on");
    let backup = first.back_up();
    assert_eq!(restored(&backup, Some(HOUR)).journal().replay_guard_until, Some(until));
    assert!(restored(&backup, Some(48 * HOUR)).journal().replay_guard_until > Some(until));
    assert_eq!(restored(&backup, None).journal().replay_guard_until, None);
}

#[tokio::test]
async fn clock_behind_the_backup_does_not_shorten_replay_guard() {
    let opened = open();
    let backup = opened.back_up();
    let tomorrow = UnixMillis::now().plus(24 * HOUR);
    Connection::open(&backup)
        .and_then(|db| db.execute("UPDATE journal SET backup_ms = ?1", [tomorrow.0]))
        .expect("made");
    assert_eq!(restored(&backup, Some(HOUR)).journal().replay_guard_until, Some(tomorrow.plus(HOUR)));
}

#[tokio::test]
async fn backup_and_restore_refuse_an_older_format() {
    let folder = TempDir::new().expect("a folder");
    let (path, to) = (folder.path().join("old.db"), folder.path().join("new.db"));
    Connection::open(&path).and_then(|db| db.execute_batch(super::opening::OLDER_FORMAT)).expect("made");
    let bytes = std::fs::read(&path).expect("readable");
    for result in [back_up(&path, &to).map(drop), restore(&path, &to, None).map(drop)] {
        let refused = matches!(&result, Err(Error::TooOld { path: named, found: 4, .. }) if *named == path);
        assert!(refused, "{result:?}");
    }
    assert_eq!(std::fs::read(&path).expect("readable"), bytes);
    assert!(!to.exists());
}

#[tokio::test]
async fn restore_refuses_a_store_that_is_not_a_backup() {
    let opened = open();
    opened.commit_one(append("acme", None, "1")).await;
    let (path, to) = (opened.folder.path().join("switchboard.db"), opened.folder.path().join("restored.db"));
    let mut health = opened.store.health();
    drop(opened.store);
    // The channel closes when the writer has released the file.
    while health.changed().await.is_ok() {}
    let result = restore(&path, &to, None);
    assert!(matches!(&result, Err(Error::NotABackup { path: named }) if *named == path), "{result:?}");
    assert!(!to.exists());
}

#[tokio::test]
async fn refusal_names_the_refused_file() {
    let folder = TempDir::new().expect("a folder");
    let (path, to) = (folder.path().join("theirs.db"), folder.path().join("switchboard.db"));
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE theirs (x)")).expect("made");
    let result = restore(&path, &to, None).expect_err("foreign").to_string();
    assert!(result.contains("theirs.db"), "{result}");
}

#[tokio::test]
async fn opening_a_backup_is_refused_and_leaves_it_unchanged() {
    let opened = open();
    opened.commit_one(append("acme", None, "1")).await;
    let backup = opened.back_up();
    let bytes = std::fs::read(&backup).expect("readable");
    let refused = Store::open(Options {
        path: backup.clone(),
        encode,
        committed: Box::new(|_| {}),
        replica_id: ReplicaId::generate(),
        max_pages: None,
    });
    assert!(matches!(refused, Err(Error::IsBackup { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&backup).expect("readable"), bytes);
    assert!(!opened.file("backup-wal").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn backup_is_readable_only_by_its_file_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let opened = open();
    let mode = std::fs::metadata(opened.back_up()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn only_an_intact_backup_is_restored_without_overwriting() {
    let opened = open();
    for n in 0..200 {
        opened.commit_one(append("acme", None, &n.to_string().repeat(100))).await;
    }
    let backup = opened.back_up();
    let elsewhere = TempDir::new().expect("a folder");
    let to = elsewhere.path().join("switchboard.db");

    for beside in ["switchboard.db-wal", "switchboard.db-journal"] {
        let there = elsewhere.path().join(beside);
        std::fs::write(&there, "of another").expect("written");
        let result = restore(&backup, &to, None);
        assert!(matches!(&result, Err(Error::Exists { path }) if *path == there), "{result:?}");
        std::fs::remove_file(there).expect("there");
    }
    let open_already = restore(&backup, &opened.path(), None);
    assert!(matches!(open_already, Err(Error::InUse { .. })), "{open_already:?}");
    let again = back_up(&opened.path(), &backup);
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    let nothing = back_up(&elsewhere.path().join("none"), &elsewhere.path().join("backup"));
    assert!(matches!(nothing, Err(Error::Open { .. })), "{nothing:?}");
    let nowhere = back_up(&opened.path(), &elsewhere.path().join("none/backup"));
    assert!(matches!(nowhere, Err(Error::Folder { .. })), "{nowhere:?}");

    let path = opened.path();
    drop(opened.store);
    let there = restore(&backup, &path, None);
    assert!(matches!(there, Err(Error::Exists { .. } | Error::InUse { .. })), "{there:?}");
    let plain = elsewhere.path().join("plain");
    std::fs::copy(&path, &plain).expect("copied");
    let no_backup = restore(&plain, &to, None);
    assert!(matches!(no_backup, Err(Error::NotABackup { .. })), "{no_backup:?}");

    let mut bytes = std::fs::read(&backup).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0x5a);
    let damaged = elsewhere.path().join("damaged");
    std::fs::write(&damaged, &bytes).expect("written");
    let refused = restore(&damaged, &to, None);
    assert!(matches!(refused, Err(Error::Damaged { .. } | Error::DiskFailed(_))), "{refused:?}");
    std::fs::write(&damaged, &bytes[..middle]).expect("written");
    let refused = restore(&damaged, &to, None);
    assert!(refused.is_err(), "{refused:?}");
    std::fs::write(&damaged, "no database").expect("written");
    let refused = restore(&damaged, &to, None);
    assert!(refused.is_err(), "{refused:?}");

    let left: Vec<_> = std::fs::read_dir(elsewhere.path()).expect("readable").flatten().collect();
    let names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
    assert!(
        !to.exists() && !names.iter().any(|name| name.to_string_lossy().contains(".switchboard-")),
        "{names:?}"
    );
    restore(&backup, &to, None).expect("restored");
}

#[tokio::test]
async fn empty_file_is_not_a_store() {
    let elsewhere = TempDir::new().expect("a folder");
    let (empty, to) = (elsewhere.path().join("empty"), elsewhere.path().join("backup"));
    std::fs::write(&empty, "").expect("written");
    let result = back_up(&empty, &to);
    assert!(matches!(result, Err(Error::Foreign { .. })), "{result:?}");
    let result = restore(&empty, &to, None);
    assert!(matches!(result, Err(Error::Foreign { .. })), "{result:?}");
    assert!(!to.exists());
}

#[tokio::test]
async fn leftovers_are_deleted_and_similar_names_are_not() {
    let opened = open();
    let kept = [".switchboard-token", ".switchboard-unfinished-business", "switchboard-unfinished-a.tmp"];
    let deleted = [".switchboard-unfinished-Ab3xYz.tmp", ".switchboard-unfinished-Ab3xYz.tmp-journal"];
    for name in kept.iter().chain(&deleted) {
        std::fs::write(opened.file(name), "").expect("written");
    }
    opened.back_up();
    assert_eq!(kept.map(|name| opened.file(name).exists()), [true; 3]);
    assert_eq!(deleted.map(|name| opened.file(name).exists()), [false; 2]);
}

#[tokio::test]
async fn concurrent_backups_in_one_folder_are_all_complete() {
    let opened = open();
    for n in 0..50 {
        opened.commit_one(append("acme", None, &n.to_string())).await;
    }
    let made: Vec<_> = std::thread::scope(|scope| {
        let backing_up: Vec<_> = (0..8)
            .map(|n| {
                let (path, to) = (opened.path(), opened.file(&format!("backup-{n}")));
                scope.spawn(move || back_up(&path, &to))
            })
            .collect();
        backing_up.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    for made in made {
        assert_eq!(made.expect("backed up"), LogRange { oldest: 1, newest: 50 });
    }
}

#[tokio::test]
async fn generation_assigned_after_backup_is_not_reused_by_restore() {
    let opened = open();
    let made = opened.changed("s", create(Filter::default(), SeekPosition::Newest)).await;
    let backup = opened.back_up();
    let lost = opened.changed("s", Change::Seek(SeekPosition::Newest)).await;
    let restored = restored(&backup, None);
    assert_eq!(restored.subscription("s").await, Some(made));
    let sought = restored.changed("s", Change::Seek(SeekPosition::Newest)).await;
    assert!(sought.generation > lost.generation, "{sought:?}");
}
