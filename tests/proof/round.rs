//! One round: a server and a journal of its own, publishers, readers and faults, until all has settled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::Cursor;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::binary::{Home, PATIENCE, Server};
use crate::cast;
use crate::ledger::{Backup, Ledger, held};
use crate::lister::Lister;
use crate::proxy::{Line, Proxy};
use crate::publisher::{Publisher, Wares};
use crate::reader::{self, Reader};
use crate::record::{Records, Start, Wanted};
use crate::subscription::Keeper;
use crate::summary::{self, Summary};
use crate::trouble::{Fault, Troubles, annoy};

/// What a round is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing is ever trimmed, and all faults fall.
    Strict,
    /// The clock jumps. What is more than an hour old is trimmed, unless a subscription holds it.
    Held,
    /// The clock jumps. What is more than an hour old is trimmed, and what is too much, whoever holds it.
    Expiring,
    /// What comes behind a strict round: its journal is lost, and restored from a backup.
    Restored,
}

impl Kind {
    /// What the configuration says of the journal.
    fn journal(self) -> &'static str {
        match self {
            Self::Strict | Self::Restored => "retention = \"30d\"",
            Self::Held => "retention = \"1h\"\nsubscription_retention = \"3650d\"",
            // The least that it may be.
            Self::Expiring => {
                "retention = \"1h\"\nsubscription_retention = \"1h\"\nretention_bytes = 16777216"
            }
        }
    }

    /// What falls on the server.
    pub(crate) fn faults(self) -> &'static [Fault] {
        match self {
            Self::Strict => &Fault::ALL,
            Self::Held | Self::Expiring => &Fault::WHERE_EVENTS_EXPIRE,
            Self::Restored => &Fault::WHERE_RESTORED,
        }
    }

    /// For how long faults fall: about enough for each to strike.
    fn lasts(self) -> Duration {
        match self {
            Self::Strict => Duration::from_secs(16),
            Self::Held => Duration::from_secs(12),
            Self::Expiring => Duration::from_secs(6),
            Self::Restored => Duration::from_secs(1),
        }
    }

    /// Whether there are large messages, and readers that are slow.
    fn is_large(self) -> bool {
        match self {
            Self::Strict | Self::Expiring => true,
            Self::Held | Self::Restored => false,
        }
    }
}

/// What a round is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
}

/// One journal's part of a round.
pub(crate) struct Act {
    pub(crate) kind: Kind,
    pub(crate) records: Records,
    pub(crate) summary: Summary,
}

/// What came of a round.
pub(crate) struct Outcome {
    pub(crate) acts: Vec<Act>,
    /// What went wrong and stands in no record.
    pub(crate) wrong: Vec<String>,
    server: Server,
}

impl Outcome {
    /// Keeps the journal, the configuration and the log for whoever looks for the reason.
    pub(crate) fn keep(self) -> PathBuf {
        let Server { home, .. } = self.server;
        home.folder.keep()
    }
}

/// Lays a line for somebody.
async fn line(lines: &mut Vec<Proxy>, to: std::net::SocketAddr) -> std::net::SocketAddr {
    let line = Proxy::to(to).await;
    let at = line.at;
    lines.push(line);
    at
}

/// Plays a round.
pub(crate) async fn play(plan: Plan) -> Outcome {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut server = Server::start(Home::new(plan.kind.journal())).await;
    let mut wrong = Vec::new();
    let ledger = Arc::new(Ledger::new());
    let first = act(plan.kind, &ledger, &mut server, &mut random, None, &mut wrong).await;
    let mut acts = vec![first];
    let backup = held(&ledger.backup).clone();
    if let Some(backup) = backup {
        match server.restore(&backup.file).await {
            Ok(newest) if newest == backup.newest => {
                let (ledger, past) = (Arc::new(ledger.behind()), &acts[0].records);
                let past = Some((past, &backup));
                let act = act(Kind::Restored, &ledger, &mut server, &mut random, past, &mut wrong).await;
                acts.push(act);
            }
            Ok(newest) => wrong.push(format!("{newest} is restored, of {backup:?}")),
            Err(said) => wrong.push(said),
        }
    }
    Outcome { acts, wrong, server }
}

/// Plays until all has settled. With a past, that was before the journal was restored.
async fn act(
    kind: Kind,
    ledger: &Arc<Ledger>,
    server: &mut Server,
    random: &mut fastrand::Rng,
    past: Option<(&Records, &Backup)>,
    wrong: &mut Vec<String>,
) -> Act {
    let (mut lines, mut publishers, mut reading) = (Vec::new(), JoinSet::new(), JoinSet::new());
    let (newest, lost) = past.map_or((0, &[][..]), |(past, backup)| (backup.newest, &past.whole[..]));
    for event in lost.iter().filter(|event| event.number() <= newest) {
        ledger.knows(event.cursor, event.receive_ms);
    }
    for n in 0..8 {
        let wares = if n == 0 && kind.is_large() { Wares::Large } else { Wares::Small };
        let to = line(&mut lines, server.at.webhook).await;
        let (random, ledger) = (random.fork(), Arc::clone(ledger));
        publishers.spawn(Publisher { name: format!("p{n}"), wares, to, random, ledger }.run());
    }
    for (name, habit, wanted, skips, start) in cast::readers(kind, newest, lost) {
        let to = line(&mut lines, server.at.grpc).await;
        let (name, random, ledger) = (name.to_owned(), random.fork(), Arc::clone(ledger));
        let reader = Reader { name, habit, wanted, skips, start, subscription: None, to, random, ledger };
        reading.spawn(reader.run());
    }
    for (known, manner, readers) in cast::subscriptions() {
        let (to, fork, book) = (server.at.grpc, random.fork(), Arc::clone(ledger));
        let mut keeper = Keeper { known: Arc::clone(&known), manner, to, random: fork, ledger: book };
        keeper.begin().await;
        reading.spawn(keeper.run());
        for (name, habit, skips) in readers {
            let (wanted, start) = (Wanted::default(), Start::SubscriptionId(known.id));
            let to = line(&mut lines, server.at.grpc).await;
            let (name, random, ledger) = (name.to_owned(), random.fork(), Arc::clone(ledger));
            let subscription = Some(Arc::clone(&known));
            let reader = Reader { name, habit, wanted, skips, start, subscription, to, random, ledger };
            reading.spawn(reader.run());
        }
    }
    for wanted in [Wanted::default(), cast::of_account("globex", &["message.status", "unknown"])] {
        let to = line(&mut lines, server.at.grpc).await;
        let (random, ledger) = (random.fork(), Arc::clone(ledger));
        reading.spawn(Lister { wanted, to, random, ledger }.run());
    }

    if kind.is_large() {
        // Slow readers fall behind by themselves first.
        let mut fallen = ledger.published.subscribe();
        let fell = fallen.wait_for(|_| ledger.has(summary::FELL_BEHIND));
        let in_time = timeout(PATIENCE, fell).await;
        wrong.extend(in_time.err().map(|_| "no slow reader fell behind in time".to_owned()));
    }
    let mut troubles = Troubles::new(kind.faults(), random.fork(), ledger);
    let until = Instant::now() + kind.lasts();
    // A slow machine is given more time, not less to prove.
    let at_last = until + PATIENCE;
    tokio::select! {
        () = annoy(&lines, random.fork(), ledger) => {}
        // A fault that has begun comes to its end.
        () = async {
            let enough = || summary::too_little(&ledger.counts(), kind).is_empty();
            while Instant::now() < until || (Instant::now() < at_last && !enough()) {
                troubles.next(server).await;
            }
        } => {}
    }

    wrong.extend(settle(ledger, server, &lines, &mut publishers).await);
    let (start, whole) = match timeout(PATIENCE, reader::whole(server.at.grpc)).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(said)) => {
            wrong.push(said);
            (Cursor { epoch: 0, number: 0 }, Vec::new())
        }
        Err(_) => {
            wrong.push("the whole journal cannot be read in time".to_owned());
            (Cursor { epoch: 0, number: 0 }, Vec::new())
        }
    };
    ledger.goal.send_replace(Some(whole.last().map_or(start.number, |event| event.number())));
    wrong.extend(all_end(ledger, &mut reading).await);
    drop(lines);

    server.look_at_memory();
    let counts = ledger.counts();
    wrong.extend(
        counts.iter().filter(|(what, _)| what.starts_with("wrong")).map(|(what, n)| format!("{what}: {n}")),
    );
    let records = Records {
        posts: std::mem::take(&mut *held(&ledger.posts)),
        streams: std::mem::take(&mut *held(&ledger.streams)),
        walks: std::mem::take(&mut *held(&ledger.walks)),
        calls: std::mem::take(&mut *held(&ledger.calls)),
        epoch: start.epoch,
        restored: None,
        holds: kind != Kind::Expiring,
        whole,
        trimmed: start.number,
    };
    let records = match past {
        Some((past, backup)) => records.behind(past, backup.newest, backup.began, backup.done),
        None => records,
    };
    let summary = Summary::new(&records, counts, server.memory);
    Act { kind, records, summary }
}

/// Ends faults. Publishers deliver what they have begun; then nothing is under way any more.
async fn settle(
    ledger: &Ledger,
    server: &mut Server,
    lines: &[Proxy],
    publishers: &mut JoinSet<()>,
) -> Vec<String> {
    server.faults.set(&[]);
    server.limit_files(None);
    lines.iter().for_each(|line| line.set(Line::Clear));
    ledger.enough.cancel();
    let deadline = Instant::now() + PATIENCE;
    let mut wrong = Vec::new();
    while let Ok(Some(ended)) = timeout_at(deadline, publishers.join_next()).await {
        wrong.extend(ended.err().map(|error| format!("a publisher: {error}")));
    }
    if !publishers.is_empty() {
        wrong.push("webhooks are not taken, long after the last fault".to_owned());
    }
    publishers.shutdown().await;
    // What publishers gave up may be under way still. A server that has stopped has dealt with it.
    if !server.terminate().await.success() {
        wrong.push("the server does not stop in order".to_owned());
    }
    server.restart().await;
    wrong
}

/// Waits for readers to come to the goal.
async fn all_end(ledger: &Ledger, reading: &mut JoinSet<()>) -> Vec<String> {
    let mut wrong = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while let Ok(Some(ended)) = timeout_at(deadline, reading.join_next()).await {
        wrong.extend(ended.err().map(|error| format!("a reader: {error}")));
    }
    ledger.give_up.cancel();
    while let Some(ended) = reading.join_next().await {
        wrong.extend(ended.err().map(|error| format!("a reader: {error}")));
    }
    wrong
}
