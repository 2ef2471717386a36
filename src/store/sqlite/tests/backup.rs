//! Backups, and stores made out of them.

use super::*;
use crate::domain::{Cursor, Filter};
use crate::store::{Change, Place};

/// In one hour.
fn soon() -> Option<UnixMillis> {
    Some(UnixMillis::now().plus(std::time::Duration::from_secs(3_600)))
}

impl Opened {
    fn path(&self) -> PathBuf {
        self.folder.path().join("switchboard.db")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn back_up(&self) -> PathBuf {
        let to = self.file("backup");
        back_up(&self.path(), &to).expect("backed up");
        to
    }
}

/// Opens the store that is made of a backup, in a folder of its own.
fn restored(backup: &Path, doubt_until: Option<UnixMillis>) -> Opened {
    let folder = TempDir::new().expect("a folder");
    restore(backup, &folder.path().join("switchboard.db"), doubt_until).expect("restored");
    open_in(folder, None)
}

fn at(opened: &Opened, number: u64) -> Cursor {
    Cursor { epoch: opened.store.epoch(), number }
}

#[tokio::test]
async fn a_backup_of_an_open_store_is_one_moment_of_it() {
    let opened = open();
    for n in 0..50 {
        opened.one(append("acme", None, &n.to_string())).await;
    }
    let sent = opened.in_doubt("doubted").await;
    let id: SubscriptionId = "billing".parse().expect("an id");
    let create = Change::Create { filter: Filter::default(), place: Place::Behind(7) };
    opened.one(Op::Subscription(id.clone(), Box::new(create))).await;
    let (stop, go_on) = (Arc::new(Mutex::new(false)), 50_u64);
    // It is written to meanwhile.
    let writing = {
        let (store, stop) = (opened.store.clone(), Arc::clone(&stop));
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        tokio::spawn(async move {
            let mut newest = go_on;
            while !*stop.lock().expect("unpoisoned") {
                store.commit(vec![append("acme", None, "more")]).await.expect("written");
                newest += 1;
            }
            newest
        })
    };
    let (from, to) = (opened.path(), opened.file("backup"));
    let extent = tokio::task::spawn_blocking(move || back_up(&from, &to)).await.expect("no panic");
    *stop.lock().expect("unpoisoned") = true;
    let written = writing.await.expect("no panic");
    let extent = extent.expect("backed up");
    assert!((50..=written).contains(&extent.newest), "{extent:?} of {written}");

    let restored = restored(&opened.file("backup"), soon());
    assert_eq!(restored.store.extent(), extent);
    let (mut behind, mut all) = (0, Vec::new());
    while let page = restored.store.read(behind, true).await.expect("readable")
        && let Some(last) = page.events.last()
    {
        behind = last.number;
        all.extend(numbers(&page));
    }
    assert_eq!(all, (1..=extent.newest).collect::<Vec<_>>());
    assert_eq!(restored.stands("doubted").await, Some(("unknown", 1)));
    assert_eq!(restored.state(sent).await, Some(MessageState::Unknown));
    let kept = restored.store.subscription(&id).await.expect("readable").expect("kept");
    assert_eq!(kept.number, 7);
    assert_eq!(restored.one(append("acme", None, "new")).await, Done::Appended(extent.newest + 1));
}

#[tokio::test]
async fn a_cursor_from_before_the_backup_names_the_same_place_and_a_later_one_is_known_as_lost() {
    let opened = open();
    opened.one(append("acme", None, "1")).await;
    opened.one(append("acme", None, "2")).await;
    let backup = opened.back_up();
    opened.one(append("acme", None, "lost")).await;

    let first = restored(&backup, None);
    assert_ne!(first.store.epoch(), opened.store.epoch());
    first.one(append("acme", None, "another 3")).await;
    for (cursor, located) in [
        (at(&opened, 0), Located::At(0)),
        (at(&opened, 2), Located::At(2)),
        (at(&opened, 3), Located::Lost(2)),
        (at(&first, 3), Located::At(3)),
        (at(&first, 99), Located::At(99)),
        (Cursor { epoch: !first.store.epoch(), number: 1 }, Located::Foreign),
    ] {
        assert_eq!(first.store.locate(cursor), located, "{cursor:?}");
    }

    // And over several restores.
    let second = restored(&first.back_up(), None);
    for (cursor, located) in [
        (at(&opened, 2), Located::At(2)),
        (at(&opened, 3), Located::Lost(2)),
        (at(&first, 3), Located::At(3)),
        (at(&first, 4), Located::Lost(3)),
    ] {
        assert_eq!(second.store.locate(cursor), located, "{cursor:?}");
    }
    // A sibling's cursors are another journal's: it is not known what it went on with.
    let sibling = restored(&backup, None);
    assert_eq!(sibling.store.locate(at(&first, 2)), Located::Foreign);
    let reopened = second.reopen();
    assert_eq!(reopened.store.locate(at(&opened, 3)), Located::Lost(2));
}

#[tokio::test]
async fn a_request_that_a_restored_store_does_not_know_may_have_been_made_until_the_doubt_ends() {
    let opened = open();
    opened.in_doubt("doubted").await;
    let (_, sent) = opened.attempt("done", None).await;
    opened.end("done", 1, accepted(&["P"])).await;
    opened.attempt("in-flight", None).await;
    let backup = opened.back_up();

    let in_doubt = restored(&backup, soon());
    assert_eq!(in_doubt.stands("in-flight").await, Some(("unknown", 1)));
    assert_eq!(in_doubt.stands("doubted").await, Some(("unknown", 1)));
    assert!(matches!(in_doubt.begin("done", None).await, Begun::Known(Record { message: Some(message), .. })
        if message.id == sent));
    for _ in 0..2 {
        let Begun::Known(record) = in_doubt.begin("new", None).await else { panic!("it may have been made") };
        assert_eq!(record.attempt, 1);
        assert_eq!(record.standing, Standing::Unknown(doubt(Uncertainty::Restored)));
        assert_eq!(record.message, None);
    }
    assert_eq!(in_doubt.record("new").await, None, "nothing was written");
    let (number, _) = in_doubt.attempt("new", Some(1)).await;
    assert_eq!(number, 2);
    in_doubt.end("new", 2, Outcome::NotDone).await;
    // All is as before the attempt.
    assert!(matches!(in_doubt.begin("new", None).await, Begun::Known(Record { attempt: 1, .. })));
    // It outlives a restart.
    let in_doubt = in_doubt.reopen();
    assert!(matches!(in_doubt.begin("new", None).await, Begun::Known(_)));

    for accepting in [None, Some(UnixMillis::now())] {
        let restored = restored(&backup, accepting);
        assert_eq!(restored.attempt("new", None).await.0, 1);
    }
}

#[tokio::test]
async fn a_backup_cannot_be_served_from_and_is_left_as_it_is() {
    let opened = open();
    opened.one(append("acme", None, "1")).await;
    let backup = opened.back_up();
    let bytes = std::fs::read(&backup).expect("readable");
    let refused = Store::open(Options {
        path: backup.clone(),
        encode,
        committed: Box::new(|_| {}),
        owner: Owner::generate(),
        max_pages: None,
    });
    assert!(matches!(refused, Err(Error::Backup { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&backup).expect("readable"), bytes);
    assert!(!opened.file("backup-wal").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let opened = open();
    let mode = std::fs::metadata(opened.back_up()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn only_a_sound_backup_is_restored_and_nothing_is_written_over() {
    let opened = open();
    for n in 0..200 {
        opened.one(append("acme", None, &n.to_string().repeat(100))).await;
    }
    let backup = opened.back_up();
    let elsewhere = TempDir::new().expect("a folder");
    let to = elsewhere.path().join("switchboard.db");

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
    assert!(matches!(no_backup, Err(Error::NoBackup { .. })), "{no_backup:?}");

    let mut bytes = std::fs::read(&backup).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0x5a);
    let damaged = elsewhere.path().join("damaged");
    std::fs::write(&damaged, &bytes).expect("written");
    let refused = restore(&damaged, &to, None);
    assert!(matches!(refused, Err(Error::Damaged { .. } | Error::Broken(_))), "{refused:?}");
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
async fn a_generation_that_was_given_after_the_backup_is_not_given_again_after_the_restore() {
    let opened = open();
    let made = opened.changed("s", create(Filter::default(), Place::Newest)).await;
    let backup = opened.back_up();
    let lost = opened.changed("s", Change::Seek(Place::Newest)).await;
    let restored = restored(&backup, None);
    assert_eq!(restored.subscription("s").await, Some(made));
    let sought = restored.changed("s", Change::Seek(Place::Newest)).await;
    assert!(sought.generation > lost.generation, "{sought:?}");
}
