//! One round: a server and a journal of its own, publishers, readers and faults, until all has settled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::binary::{Home, PATIENCE, Server};
use crate::ledger::{Ledger, held};
use crate::lister::Lister;
use crate::proxy::{Line, Proxy};
use crate::publisher::{Publisher, Wares};
use crate::reader::{self, Habit, Reader};
use crate::record::{Records, Start, Wanted};
use crate::summary::{self, Summary};
use crate::trouble::{Fault, Troubles, annoy};

/// Whether events may expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// Nothing is ever trimmed.
    Long,
    /// What is more than an hour old is trimmed, and the clock jumps.
    Short,
}

/// What a round is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// For how long faults fall.
    pub(crate) faults: Duration,
    pub(crate) retention: Retention,
}

/// What came of a round.
pub(crate) struct Outcome {
    pub(crate) records: Records,
    pub(crate) summary: Summary,
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

fn of_types(types: &[&str]) -> Wanted {
    Wanted { types: types.iter().map(|&word| word.to_owned()).collect(), ..Wanted::default() }
}

fn of_account(account: &str, types: &[&str]) -> Wanted {
    Wanted { accounts: vec![account.to_owned()], ..of_types(types) }
}

/// A name, habits, what is wanted, whether gaps are, and where to start.
type Who = (&'static str, Habit, Wanted, bool, Start);

fn readers() -> Vec<Who> {
    let all = Wanted::default;
    vec![
        ("all", Habit::Steady, all(), false, Start::Earliest),
        ("all, slow", Habit::Slow, all(), false, Start::Earliest),
        ("all, leaving", Habit::Leaving, all(), true, Start::Earliest),
        ("live", Habit::Steady, all(), false, Start::Latest),
        ("live, slow", Habit::Slow, all(), true, Start::Latest),
        ("live, leaving", Habit::Leaving, all(), false, Start::Latest),
        ("statuses", Habit::Leaving, of_types(&["message.status"]), false, Start::Earliest),
        ("messages of acme", Habit::Steady, of_account("acme", &["message.*"]), true, Start::Earliest),
        ("unknown of globex", Habit::Leaving, of_account("globex", &["unknown"]), false, Start::Latest),
        ("nothing", Habit::Leaving, of_types(&["report.completed"]), false, Start::Earliest),
        ("since", Habit::ComingBackSince, all(), false, Start::Since(0)),
        (
            "since, of acme",
            Habit::ComingBackSince,
            of_account("acme", &[]),
            true,
            Start::Since(i64::MAX / 1_000_000),
        ),
    ]
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
    let ledger = Arc::new(Ledger::new());
    let retention = match plan.retention {
        Retention::Long => "30d",
        Retention::Short => "1h",
    };
    let mut server = Server::start(Home::new(retention)).await;
    let (mut lines, mut wrong) = (Vec::new(), Vec::new());

    let (mut publishers, mut reading) = (JoinSet::new(), JoinSet::new());
    for n in 0..8 {
        let wares = if n == 0 { Wares::Large } else { Wares::Small };
        let to = line(&mut lines, server.at.webhook).await;
        let (random, ledger) = (random.fork(), Arc::clone(&ledger));
        publishers.spawn(Publisher { name: format!("p{n}"), wares, to, random, ledger }.run());
    }
    for (name, habit, wanted, skips, start) in readers() {
        let to = line(&mut lines, server.at.grpc).await;
        let (name, random, ledger) = (name.to_owned(), random.fork(), Arc::clone(&ledger));
        reading.spawn(Reader { name, habit, wanted, skips, start, to, random, ledger }.run());
    }
    for wanted in [Wanted::default(), of_account("globex", &["message.status", "unknown"])] {
        let to = line(&mut lines, server.at.grpc).await;
        let (random, ledger) = (random.fork(), Arc::clone(&ledger));
        reading.spawn(Lister { wanted, to, random, ledger }.run());
    }

    let faults: &'static [Fault] = match plan.retention {
        Retention::Long => &Fault::ALL,
        Retention::Short => &Fault::WHERE_EVENTS_EXPIRE,
    };
    // Slow readers fall behind by themselves first.
    let mut fallen = ledger.published.subscribe();
    let fell = fallen.wait_for(|_| ledger.has(summary::FELL_BEHIND));
    wrong
        .extend(timeout(PATIENCE, fell).await.err().map(|_| "no slow reader fell behind in time".to_owned()));
    let mut troubles = Troubles::new(faults, random.fork(), &ledger);
    let until = Instant::now() + plan.faults;
    // A slow machine is given more time, not less to prove.
    let at_last = until + PATIENCE;
    tokio::select! {
        () = annoy(&lines, random.fork(), &ledger) => {}
        // A fault that has begun comes to its end.
        () = async {
            let enough = || summary::too_little(&ledger.counts(), plan.retention).is_empty();
            while Instant::now() < until || (Instant::now() < at_last && !enough()) {
                troubles.next(&mut server).await;
            }
        } => {}
    }

    wrong.extend(settle(&ledger, &mut server, &lines, &mut publishers).await);
    let (trimmed, whole) = match timeout(PATIENCE, reader::whole(server.at.grpc)).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(said)) => {
            wrong.push(said);
            (0, Vec::new())
        }
        Err(_) => {
            wrong.push("the whole journal cannot be read in time".to_owned());
            (0, Vec::new())
        }
    };
    ledger.goal.send_replace(Some(whole.last().map_or(trimmed, |event| event.number())));
    wrong.extend(all_end(&ledger, &mut reading).await);
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
        whole,
        trimmed,
    };
    let summary = Summary::new(&records, counts, server.memory);
    Outcome { records, summary, wrong, server }
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
