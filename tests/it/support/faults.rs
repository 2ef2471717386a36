//! A disk that fails, lies and loses power, and a clock that jumps, beneath the real binary. Linux only.
//!
//! [`Faults`] loads a small library (`faults/preload.c`, whose head says what it can do) into a server's process. Its
//! words are the library's: a [`Rule`] strikes calls of one kind on the store's files, until it is [`set`](Faults::set)
//! anew; a [`Seen`] is a line of its trace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::binary::Home;

/// The library, built once for all tests of a run.
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
        assert!(built.expect("there is a C compiler, cc").success());
        (folder, library)
    });
    library
}

/// A file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The database.
    Database,
    /// The log, which every commit is written to.
    Log,
    /// Any of them.
    Any,
}

/// What is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A write to a file.
    Write(On),
    /// A file is cut off.
    Truncate(On),
    /// A file is synced, in whichever way.
    Sync(On),
    /// A file is synced by `fsync`: before the store is verified. The engine itself uses `fdatasync`.
    SyncAll(On),
    /// An HTTP/1 request goes out, to a provider.
    Request,
    /// An HTTP/1 answer of that status goes out, to a provider's webhook.
    Answer(u16),
}

/// What becomes of the calls that are struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// `EIO`: they fail and do nothing. Of a sync: what was written before is lost without being missing.
    Broken,
    /// `ENOSPC`: they fail and do nothing.
    Full,
    /// Half is written.
    Short,
    /// They are made so much later.
    Late(Duration),
    /// The power is cut before; see [`Faults::cut_power`].
    PowerCut(u32),
    /// The power is cut when the call was made, before the program hears of it.
    PowerCutAfter(u32),
    /// Afterwards the page cache has forgotten what the disk lost.
    Forget,
}

/// Calls that are struck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    call: Call,
    effect: Effect,
    after: u32,
    times: Option<u32>,
}

impl Rule {
    /// Strikes all of them.
    pub(crate) fn always(call: Call, effect: Effect) -> Self {
        Self { call, effect, after: 0, times: None }
    }

    /// Strikes the next.
    pub(crate) fn once(call: Call, effect: Effect) -> Self {
        Self::times(1, call, effect)
    }

    /// Strikes the next so many.
    pub(crate) fn times(times: u32, call: Call, effect: Effect) -> Self {
        Self { call, effect, after: 0, times: Some(times) }
    }

    /// Lets so many through first.
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

/// A call that was seen, in the order in which they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `write`, `truncate`, `fsync`, `fdatasync`, `unlink`, `request`, `answer` or `cut`.
    pub(crate) call: String,
    /// The file's name, `200` of an answer, `POST:/v1/…` of a request.
    pub(crate) file: String,
    /// What the call returned; when it failed by a rule, its negative `errno`.
    pub(crate) result: i64,
}

impl Seen {
    /// Whether it is a sync of the store's log, or of what ends otherwise.
    pub(crate) fn is_sync_of(&self, end: &str) -> bool {
        ["fsync", "fdatasync"].contains(&self.call.as_str()) && self.file.ends_with(end)
    }
}

/// How far the clocks of a server are off, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// The wall clock, in either direction.
    pub(crate) realtime: i64,
    /// The monotonic clock: it never goes back.
    pub(crate) monotonic: i64,
}

/// What one server suffers: the processes of one [`Home`], one after the other.
pub(crate) struct Faults {
    folder: TempDir,
    store: PathBuf,
    /// Each set of commands that there was. They are known by their inode, which must not be given out twice.
    kept: Mutex<Vec<File>>,
}

impl Faults {
    /// None yet.
    pub(crate) fn new(home: &Home) -> Self {
        let folder = TempDir::new().expect("a folder");
        let faults =
            Self { folder, store: home.folder.path().join("switchboard.db"), kept: Mutex::default() };
        faults.set(&[]);
        faults
    }

    /// Has a command suffer them. It may be a shell that becomes the server.
    pub(crate) fn on(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", library())
            .env("FAULTS_FILES", &self.store)
            .env("FAULTS_COMMAND", self.folder.path().join("command"))
            .env("FAULTS_TRACE", self.folder.path().join("trace"));
        command
    }

    /// From the server's next call on, these are the rules, and no others. Clocks stay.
    pub(crate) fn set(&self, rules: &[Rule]) {
        self.command(&rules.iter().map(|rule| rule.line()).collect::<String>());
    }

    /// From the server's next look on, its clocks are so far off; rules are gone.
    pub(crate) fn set_clock(&self, clock: Clock) {
        let Clock { realtime, monotonic } = clock;
        self.command(&format!("clock realtime {realtime}\nclock monotonic {monotonic}\n"));
    }

    /// Cuts the power: every file of the store is set back to what is on disk, and the process is killed. With a seed,
    /// sectors that were written and not synced may be on disk too, some of them.
    pub(crate) fn cut_power(&self, seed: u32) {
        self.command(&format!("cut {seed}\n"));
    }

    fn command(&self, text: &str) {
        let (new, path) = (self.folder.path().join("new"), self.folder.path().join("command"));
        std::fs::write(&new, text).expect("written");
        let file = File::open(&new).expect("there");
        std::fs::rename(new, path).expect("renamed");
        self.kept.lock().expect("unpoisoned").push(file);
    }

    /// All that was seen so far, of all processes.
    pub(crate) fn trace(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(self.folder.path().join("trace")).unwrap_or_default();
        // The last line may be under way.
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
