//! A slow backup that still reads the store while the server is killed, started, or loses its disk.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use switchboard::pb::v1::StartPosition;
use switchboard::pb::v1::subscribe_request::Start as From;

use crate::support::binary::Server;
use crate::support::cli::{path_str, succeeds};
use crate::support::faults::{Call, Effect, Faults, On, Rule};
use crate::support::faulty_host::FaultyHost;
use crate::support::gateway::{text_of, within};

/// A backup that never ends, because its writes are delayed. Dropping it kills it.
struct Backup {
    child: Child,
    _faults: Faults,
}

impl Backup {
    /// Waits until it reads the store.
    async fn start(host: &FaultyHost) -> Self {
        let (store, to) = (file(host, "switchboard.db"), file(host, "slow"));
        let faults = Faults::new(&host.home);
        let late = Rule::always(Call::Write(On::Any), Effect::Late(Duration::from_secs(3_600)));
        faults.set(&[late.after(1)]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(["backup", "--store", path_str(&store), "--to", path_str(&to)]);
        let mut command = faults.on(command);
        // The delay affects the files that it writes, not the store.
        command.env("FAULTS_FILES", file(host, ".switchboard-"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        within(async {
            while faults.trace().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self { child, _faults: faults }
    }

    fn kill(mut self) {
        self.child.kill().expect("still running");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(host: &FaultyHost, name: &str) -> PathBuf {
    host.home.folder.path().join(name)
}

/// Temporary files, which have no final name yet.
fn unnamed_files(host: &FaultyHost) -> Vec<String> {
    let files = std::fs::read_dir(host.home.folder.path()).expect("readable").flatten();
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".switchboard-")).collect()
}

/// The texts of the oldest events.
async fn texts(server: &Server, events: usize) -> Vec<String> {
    let mut stream = server.subscribe(From::Position(StartPosition::Earliest.into())).await;
    stream.events(events).await.iter().map(|event| text_of(event).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_while_a_backup_reads_the_store() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    let backup = Backup::start(&host).await;
    assert_eq!(host.post(&server, "meanwhile").await, Some(200));
    server.kill();
    let synced = host.faults.trace().len();
    let server = host.start();
    // The server syncs the part of the write-ahead log that it cannot checkpoint before it delivers those events.
    let trace = host.faults.trace();
    assert!(trace[synced..].iter().any(|seen| seen.is_sync_of("-wal") && seen.result == 0), "{trace:?}");
    assert_eq!(host.post(&server, "after").await, Some(200));
    assert_eq!(texts(&server, 3).await, ["before", "meanwhile", "after"]);
    assert!(server.terminate(), "graceful shutdown");
    let server = host.start();
    backup.kill();
    assert_eq!(host.post(&server, "end").await, Some(200));
    assert!(server.terminate(), "graceful shutdown");
}

/// Verification needs exclusive access to the file. The server waits for the reader to end, and calls wait meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn store_with_failed_disk_is_verified_after_the_backup_ends() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "before").await, Some(200));
    let backup = Backup::start(&host).await;
    host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    host.logged(&server, "another process has the store open").await;
    backup.kill();
    host.post_until_accepted(&server, "after").await;
    let first = texts(&server, 1).await;
    assert_eq!(first, ["before"]);
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_waits_for_a_backup_can_be_stopped() {
    let host = FaultyHost::new();
    let server = host.start();
    let _backup = Backup::start(&host).await;
    host.faults.set(&[Rule::once(Call::Sync(On::Log), Effect::Broken)]);
    assert_eq!(host.post(&server, "refused").await, Some(503));
    host.logged(&server, "another process has the store open").await;
    assert!(!server.terminate(), "the store is not verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_backup_deletes_leftovers_but_not_files_in_use() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "1").await, Some(200));
    Backup::start(&host).await.kill();
    let killed = unnamed_files(&host);
    assert!(!killed.is_empty());
    let _running = Backup::start(&host).await;
    let store = file(&host, "switchboard.db");
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&file(&host, "backup"))]);
    let left = unnamed_files(&host);
    assert!(!left.is_empty() && !left.iter().any(|name| killed.contains(name)), "{killed:?}, then {left:?}");
    assert!(server.terminate(), "graceful shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_after_kill_9_contains_every_acknowledged_event() {
    let host = FaultyHost::new();
    let server = host.start();
    for id in ["1", "2", "3"] {
        assert_eq!(host.post(&server, id).await, Some(200));
    }
    server.kill();
    let (store, backup) = (file(&host, "switchboard.db"), file(&host, "backup"));
    let log = std::fs::metadata(file(&host, "switchboard.db-wal")).expect("the log exists").len();
    assert!(log > 0);
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    let left = std::fs::metadata(file(&host, "switchboard.db-wal")).expect("the log exists").len();
    assert_eq!(left, log);
    host.home.delete_store();
    succeeds(&["restore", "--store", path_str(&store), "--from", path_str(&backup)]);
    let server = host.start();
    assert_eq!(texts(&server, 3).await, ["1", "2", "3"]);
    assert!(server.terminate(), "graceful shutdown");
}

/// The disk of the backup and the disk of the restored store are full.
#[tokio::test(flavor = "multi_thread")]
async fn backup_to_full_disk_leaves_no_file_and_names_the_path() {
    let host = FaultyHost::new();
    let server = host.start();
    assert_eq!(host.post(&server, "1").await, Some(200));
    let (store, backup, other) =
        (file(&host, "switchboard.db"), file(&host, "backup"), file(&host, "other.db"));
    let full = Faults::new(&host.home);
    full.set(&[Rule::always(Call::Write(On::Any), Effect::Full)]);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(arguments);
        let output = full.on(command).env("FAULTS_FILES", file(&host, ".switchboard-")).output();
        let output = output.expect("the binary starts");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("text")
    };
    let output = run(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    assert!(output.contains("full") && output.contains(path_str(&backup)), "{output}");
    assert!(!backup.exists() && unnamed_files(&host).is_empty());
    succeeds(&["backup", "--store", path_str(&store), "--to", path_str(&backup)]);
    let output = run(&["restore", "--store", path_str(&other), "--from", path_str(&backup)]);
    assert!(output.contains(path_str(&other)), "{output}");
    assert!(!other.exists() && unnamed_files(&host).is_empty());
    assert!(server.terminate(), "graceful shutdown");
}
