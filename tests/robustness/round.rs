//! A round: one server with its own journal, publishers, subscribers and faults. The round ends after the drain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::Cursor;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::binary::{DEADLINE, Home, Server};
use crate::coverage::{self, Summary};
use crate::history::{Filter, History, Start};
use crate::lister::Lister;
use crate::nemesis::{Nemesis, ServerFault, disturb_network};
use crate::proxy::{Proxy, ProxyMode};
use crate::publisher::{Publisher, Traffic};
use crate::recorder::{Backup, Recorder, lock};
use crate::subscriber::{self, Subscriber};
use crate::subscription_manager::SubscriptionManager;
use crate::workload;

/// The configuration and the faults of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Retention trims nothing. All faults are injected.
    Strict,
    /// The clock jumps. Events older than one hour are trimmed, unless a subscription holds them.
    Held,
    /// The clock jumps. Events older than one hour and events above the size limit are trimmed, also if a
    /// subscription holds them.
    Expiring,
    /// Follows a strict round: its store is deleted and restored from a backup.
    Restored,
}

impl Scenario {
    /// The `[journal]` section of the configuration.
    fn journal(self) -> &'static str {
        match self {
            Self::Strict | Self::Restored => "retention = \"30d\"",
            Self::Held => "retention = \"1h\"\nsubscription_retention = \"3650d\"",
            // The smallest size that the configuration accepts.
            Self::Expiring => {
                "retention = \"1h\"\nsubscription_retention = \"1h\"\nretention_bytes = 16777216"
            }
        }
    }

    /// The faults of the server.
    pub(crate) fn faults(self) -> &'static [ServerFault] {
        match self {
            Self::Strict => &ServerFault::ALL,
            Self::Held | Self::Expiring => &ServerFault::EXPIRING,
            Self::Restored => &ServerFault::RESTORED,
        }
    }

    /// The minimum time of fault injection, in which most faults take effect once.
    fn fault_duration(self) -> Duration {
        match self {
            Self::Strict => Duration::from_secs(16),
            Self::Held => Duration::from_secs(12),
            Self::Expiring => Duration::from_secs(6),
            Self::Restored => Duration::from_secs(1),
        }
    }

    /// Whether the workload has large messages and slow subscribers.
    fn has_large_messages(self) -> bool {
        match self {
            Self::Strict | Self::Expiring => true,
            Self::Held | Self::Restored => false,
        }
    }
}

/// The parameters of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
}

/// The result of one journal's run.
pub(crate) struct JournalRun {
    pub(crate) scenario: Scenario,
    pub(crate) history: History,
    pub(crate) summary: Summary,
}

/// The result of a round.
pub(crate) struct RoundResult {
    pub(crate) runs: Vec<JournalRun>,
    /// Errors that are not part of a history.
    pub(crate) errors: Vec<String>,
    server: Server,
}

impl RoundResult {
    /// Keeps the folder with the journal, the configuration and the log for analysis, and returns its path.
    pub(crate) fn keep_files(self) -> PathBuf {
        let Server { home, .. } = self.server;
        home.folder.keep()
    }
}

/// Starts a proxy and returns its address.
async fn proxy_to(proxies: &mut Vec<Proxy>, to: std::net::SocketAddr) -> std::net::SocketAddr {
    let proxy = Proxy::start(to).await;
    let address = proxy.address;
    proxies.push(proxy);
    address
}

/// Runs a round.
pub(crate) async fn run_round(plan: Plan) -> RoundResult {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut server = Server::start(Home::new(plan.scenario.journal())).await;
    let mut errors = Vec::new();
    let recorder = Arc::new(Recorder::new());
    let first = run_journal(plan.scenario, &recorder, &mut server, &mut random, None, &mut errors).await;
    let mut runs = vec![first];
    let backup = lock(&recorder.backup).clone();
    if let Some(backup) = backup {
        match server.restore(&backup.file).await {
            Ok(newest) if newest == backup.newest => {
                let (recorder, past) = (Arc::new(recorder.continued()), &runs[0].history);
                let past = Some((past, &backup));
                let restored =
                    run_journal(Scenario::Restored, &recorder, &mut server, &mut random, past, &mut errors)
                        .await;
                runs.push(restored);
            }
            Ok(newest) => {
                errors.push(format!("the restore ended at sequence {newest}, the backup was {backup:?}"))
            }
            Err(error) => errors.push(error),
        }
    }
    RoundResult { runs, errors, server }
}

/// Runs the workload and the faults on one journal until all participants are done. `past` is the run before the
/// restore.
async fn run_journal(
    scenario: Scenario,
    recorder: &Arc<Recorder>,
    server: &mut Server,
    random: &mut fastrand::Rng,
    past: Option<(&History, &Backup)>,
    errors: &mut Vec<String>,
) -> JournalRun {
    let (mut proxies, mut publishers, mut clients) = (Vec::new(), JoinSet::new(), JoinSet::new());
    let (newest, journal_before) =
        past.map_or((0, &[][..]), |(past, backup)| (backup.newest, &past.final_journal[..]));
    for event in journal_before.iter().filter(|event| event.sequence() <= newest) {
        recorder.remember_cursor(event.cursor, event.receive_ms);
    }
    for n in 0..8 {
        let traffic = if n == 0 && scenario.has_large_messages() { Traffic::Large } else { Traffic::Small };
        let to = proxy_to(&mut proxies, server.at.webhook).await;
        let (random, recorder) = (random.fork(), Arc::clone(recorder));
        publishers.spawn(Publisher { name: format!("p{n}"), traffic, server: to, random, recorder }.run());
    }
    for (name, behavior, filter, wants_gaps, start) in workload::subscribers(scenario, newest, journal_before)
    {
        let to = proxy_to(&mut proxies, server.at.grpc).await;
        let (name, random, recorder) = (name.to_owned(), random.fork(), Arc::clone(recorder));
        let subscriber = Subscriber {
            name,
            behavior,
            filter,
            wants_gaps,
            start,
            subscription: None,
            server: to,
            random,
            recorder,
        };
        clients.spawn(subscriber.run());
    }
    for (subscription, behavior, subscribers) in workload::subscriptions() {
        let (to, fork, shared) = (server.at.grpc, random.fork(), Arc::clone(recorder));
        let mut manager = SubscriptionManager {
            subscription: Arc::clone(&subscription),
            behavior,
            server: to,
            random: fork,
            recorder: shared,
        };
        manager.set_up().await;
        clients.spawn(manager.run());
        for (name, behavior, wants_gaps) in subscribers {
            let (filter, start) = (Filter::default(), Start::Subscription(subscription.id));
            let to = proxy_to(&mut proxies, server.at.grpc).await;
            let (name, random, recorder) = (name.to_owned(), random.fork(), Arc::clone(recorder));
            let subscription = Some(Arc::clone(&subscription));
            let subscriber = Subscriber {
                name,
                behavior,
                filter,
                wants_gaps,
                start,
                subscription,
                server: to,
                random,
                recorder,
            };
            clients.spawn(subscriber.run());
        }
    }
    for filter in [Filter::default(), workload::of_account("globex", &["message.status", "unknown"])] {
        let to = proxy_to(&mut proxies, server.at.grpc).await;
        let (random, recorder) = (random.fork(), Arc::clone(recorder));
        clients.spawn(Lister { filter, server: to, random, recorder }.run());
    }

    if scenario.has_large_messages() {
        // Slow subscribers must leave the tail before any fault is injected.
        let mut published = recorder.published_bytes.subscribe();
        let overtaken = published.wait_for(|_| recorder.has_counted(coverage::LEFT_THE_TAIL));
        let in_time = timeout(DEADLINE, overtaken).await;
        errors
            .extend(in_time.err().map(|_| "no slow subscriber was overtaken by the tail in time".to_owned()));
    }
    let mut nemesis = Nemesis::new(scenario.faults(), random.fork(), recorder);
    let until = Instant::now() + scenario.fault_duration();
    // A slow machine gets more time to reach the minimum coverage.
    let latest = until + DEADLINE;
    tokio::select! {
        () = disturb_network(&proxies, random.fork(), recorder) => {}
        // A fault that has begun is completed.
        () = async {
            let enough = || coverage::insufficient_coverage(&recorder.counts(), scenario).is_empty();
            while Instant::now() < until || (Instant::now() < latest && !enough()) {
                nemesis.next(server).await;
            }
        } => {}
    }

    errors.extend(drain(recorder, server, &proxies, &mut publishers).await);
    let (start, final_journal) = match timeout(DEADLINE, subscriber::read_whole_journal(server.at.grpc)).await
    {
        Ok(Ok(journal)) => journal,
        Ok(Err(error)) => {
            errors.push(error);
            (Cursor { epoch: 0, sequence: 0 }, Vec::new())
        }
        Err(_) => {
            errors.push("the whole journal was not read within the deadline".to_owned());
            (Cursor { epoch: 0, sequence: 0 }, Vec::new())
        }
    };
    recorder.target.send_replace(Some(final_journal.last().map_or(start.sequence, |event| event.sequence())));
    errors.extend(await_subscribers(recorder, &mut clients).await);
    drop(proxies);

    server.sample_memory();
    let counts = recorder.counts();
    errors.extend(
        counts
            .iter()
            .filter(|(counter, _)| counter.starts_with("error: "))
            .map(|(counter, n)| format!("{counter}: {n}")),
    );
    let history = History {
        webhooks: std::mem::take(&mut *lock(&recorder.webhooks)),
        streams: std::mem::take(&mut *lock(&recorder.streams)),
        listings: std::mem::take(&mut *lock(&recorder.listings)),
        operations: std::mem::take(&mut *lock(&recorder.operations)),
        epoch: start.epoch,
        restored: None,
        retains_unacknowledged: scenario != Scenario::Expiring,
        final_journal,
        trimmed: start.sequence,
    };
    let history = match past {
        Some((past, backup)) => history.after_restore(past, backup.newest, backup.began, backup.completed),
        None => history,
    };
    let summary = Summary::new(&history, counts, server.memory);
    JournalRun { scenario, history, summary }
}

/// Removes all faults and waits for the publishers. Then it restarts the server, so no request is in flight.
async fn drain(
    recorder: &Recorder,
    server: &mut Server,
    proxies: &[Proxy],
    publishers: &mut JoinSet<()>,
) -> Vec<String> {
    server.faults.set(&[]);
    server.limit_files(None);
    proxies.iter().for_each(|proxy| proxy.set(ProxyMode::Forward));
    recorder.stop_publishing.cancel();
    let deadline = Instant::now() + DEADLINE;
    let mut errors = Vec::new();
    while let Ok(Some(ended)) = timeout_at(deadline, publishers.join_next()).await {
        errors.extend(ended.err().map(|error| format!("publisher failed: {error}")));
    }
    if !publishers.is_empty() {
        errors.push("webhooks were not accepted within the deadline after the last fault".to_owned());
    }
    publishers.shutdown().await;
    // Abandoned webhooks may still be in flight. A server that has shut down has completed them.
    if !server.terminate().await.success() {
        errors.push("the server did not shut down cleanly".to_owned());
    }
    server.restart().await;
    errors
}

/// Waits until subscribers, listers and managers reach the target.
async fn await_subscribers(recorder: &Recorder, clients: &mut JoinSet<()>) -> Vec<String> {
    let mut errors = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while let Ok(Some(ended)) = timeout_at(deadline, clients.join_next()).await {
        errors.extend(ended.err().map(|error| format!("client failed: {error}")));
    }
    recorder.abort.cancel();
    while let Some(ended) = clients.join_next().await {
        errors.extend(ended.err().map(|error| format!("client failed: {error}")));
    }
    errors
}
