//! Disk faults, power cuts and clock jumps under the real binary. Linux only.
//!
//! [`Faults`] loads a small library into a server's process with `LD_PRELOAD`. The head of `faults/preload.c` documents it.
//! A [`Rule`] applies to one kind of call on the store's files until the next [`set`](Faults::set). A [`Seen`] is one line
//! of the trace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::binary::Home;

/// The library, built once per test run.
fn library() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, library) = BUILT.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        let library = folder.path().join("preload.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/faults/preload.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"])
            .args([&library, &source])
            .args(["-lpthread", "-ldl"])
            .status();
        assert!(built.expect("a C compiler `cc`").success());
        (folder, library)
    });
    library
}

/// A file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The database.
    Database,
    /// The write-ahead log, which every commit is written to.
    Log,
    /// Every file of the store.
    Any,
}

/// The kind of call that a rule applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A write to a file.
    Write(On),
    /// A truncation of a file.
    Truncate(On),
    /// A sync of a file by `fsync` or `fdatasync`.
    Sync(On),
    /// A sync by `fsync`, which the store uses before it verifies. SQLite itself uses `fdatasync`.
    SyncAll(On),
    /// The start of an HTTP/1 request to a provider.
    Request,
    /// The start of an HTTP/1 response with that status to a provider's webhook.
    Answer(u16),
}

/// The effect on the calls that a rule applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The call fails with `EIO` and does nothing. After a failed sync, earlier writes are readable but not on disk.
    Broken,
    /// The call fails with `ENOSPC` and does nothing.
    Full,
    /// The call writes half of the bytes.
    Short,
    /// The call is delayed.
    Late(Duration),
    /// The power is cut before the call, with a seed; see [`Faults::cut_power`].
    PowerCut(u32),
    /// The power is cut after the call and before it returns to the program.
    PowerCutAfter(u32),
    /// After the call, the page cache no longer contains pages that the disk lost.
    Forget,
}

/// A fault and the calls that it applies to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    call: Call,
    effect: Effect,
    after: u32,
    times: Option<u32>,
}

impl Rule {
    /// Applies to every call.
    pub(crate) fn always(call: Call, effect: Effect) -> Self {
        Self { call, effect, after: 0, times: None }
    }

    /// Applies to the next call.
    pub(crate) fn once(call: Call, effect: Effect) -> Self {
        Self::times(1, call, effect)
    }

    /// Applies to the next `times` calls.
    pub(crate) fn times(times: u32, call: Call, effect: Effect) -> Self {
        Self { call, effect, after: 0, times: Some(times) }
    }

    /// Skips `after` calls first.
    pub(crate) fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    fn line(self) -> String {
        let on = |on| match on {
            On::Database => ".db".to_owned(),
            On::Log => ".db-wal".to_owned(),
            On::Any => "*".to_owned(),
        };
        let (call, file) = match self.call {
            Call::Write(file) => ("write", on(file)),
            Call::Truncate(file) => ("truncate", on(file)),
            Call::Sync(file) => ("sync", on(file)),
            Call::SyncAll(file) => ("fsync", on(file)),
            Call::Request => ("request", "*".to_owned()),
            Call::Answer(status) => ("answer", status.to_string()),
        };
        let (effect, argument) = match self.effect {
            Effect::Broken => ("fail", 5),
            Effect::Full => ("fail", 28),
            Effect::Short => ("short", 0),
            Effect::Late(delay) => ("delay", delay.as_millis()),
            Effect::PowerCut(seed) => ("cut", u128::from(seed)),
            Effect::PowerCutAfter(seed) => ("cut_after", u128::from(seed)),
            Effect::Forget => ("forget", 0),
        };
        let (after, times) = (self.after, self.times.map_or(-1, i64::from));
        format!("{call} {file} {effect} {argument} {after} {times}\n")
    }
}

/// A traced call. The trace is in the order in which calls ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `write`, `truncate`, `fsync`, `fdatasync`, `unlink`, `request`, `answer` or `cut`.
    pub(crate) call: String,
    /// The file's name, or `200` for a response, or `POST:/v1/…` for a request.
    pub(crate) file: String,
    /// The result of the call, or the negative `errno` if a rule made it fail.
    pub(crate) result: i64,
}

impl Seen {
    /// Whether it is a sync of a file whose name ends with `end`.
    pub(crate) fn is_sync_of(&self, end: &str) -> bool {
        ["fsync", "fdatasync"].contains(&self.call.as_str()) && self.file.ends_with(end)
    }
}

/// The shift of a server's clocks in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// The wall clock, forward or backward.
    pub(crate) realtime: i64,
    /// The monotonic clock, which never goes back.
    pub(crate) monotonic: i64,
}

/// The faults of the processes of one [`Home`], one process after the other.
pub(crate) struct Faults {
    folder: TempDir,
    store: PathBuf,
    /// Every command file so far. The library detects a new one by its inode, so the inodes must stay in use.
    kept: Mutex<Vec<File>>,
}

impl Faults {
    /// Starts without rules.
    pub(crate) fn new(home: &Home) -> Self {
        let folder = TempDir::new().expect("a folder");
        let faults =
            Self { folder, store: home.folder.path().join("switchboard.db"), kept: Mutex::default() };
        faults.set(&[]);
        faults
    }

    /// Adds the library to a command. The command may be a shell that becomes the server.
    pub(crate) fn on(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_FILES", &self.store)
            .env("FAULTS_COMMAND", self.folder.path().join("command"))
            .env("FAULTS_TRACE", self.folder.path().join("trace"));
        command
    }

    /// Replaces the rules from the server's next call on. Clock shifts stay.
    pub(crate) fn set(&self, rules: &[Rule]) {
        self.command(&rules.iter().map(|rule| rule.line()).collect::<String>());
    }

    /// Shifts the clocks from the server's next read of a clock on. Removes every rule.
    pub(crate) fn set_clock(&self, clock: Clock) {
        let Clock { realtime, monotonic } = clock;
        self.command(&format!("clock realtime {realtime}\nclock monotonic {monotonic}\n"));
    }

    /// Cuts the power: sets every file of the store back to its durable content and kills the process. A seed other than
    /// 0 makes a random part of the unsynced sectors durable.
    pub(crate) fn cut_power(&self, seed: u32) {
        self.command(&format!("cut {seed}\n"));
    }

    fn command(&self, text: &str) {
        let (new, path) = (self.folder.path().join("new"), self.folder.path().join("command"));
        std::fs::write(&new, text).expect("written");
        let file = File::open(&new).expect("present");
        std::fs::rename(new, path).expect("renamed");
        self.kept.lock().expect("unpoisoned").push(file);
    }

    /// The trace of all processes so far.
    pub(crate) fn trace(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(self.folder.path().join("trace")).unwrap_or_default();
        // The last line may be incomplete.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [_, call, file, result] => Seen {
                    call: call.to_owned(),
                    file: file.to_owned(),
                    result: result.parse().expect("a number"),
                },
                _ => panic!("not a line of a trace: {line}"),
            })
            .collect()
    }
}
