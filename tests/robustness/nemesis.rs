//! The nemesis: injects faults into the server and the network, in a seeded random order.

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use crate::binary::{DEADLINE, Server, await_store_reopened};
use crate::coverage::STORE_REOPENED;
use crate::faults::{Call, Clock, Effect, On, Rule, Seen};
use crate::proxy::{Proxy, ProxyMode};
use crate::recorder::{Backup, Recorder, lock};

/// How often the nemesis reads the trace of system calls. The trace is long.
const TRACE_POLL: Duration = Duration::from_millis(200);

/// A fault of the server: of its process, its disk or its clocks. A new one needs a variant here, an entry in
/// [`ServerFault::ALL`] or another list, and an arm in [`Nemesis::inject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerFault {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and another as soon as the server serves again.
    KillTwice,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP, and SIGCONT after a while. The process cannot notice the pause.
    Pause,
    /// No file of the process can grow for a while.
    FullDisk,
    /// Like `FullDisk`, and the process is killed while the disk is full.
    KillOnFullDisk,
    /// Some writes to the WAL fail with ENOSPC or are short.
    IntermittentWrites,
    /// Each fsync takes long.
    SlowSync,
    /// SIGKILL during a slow fsync, while webhooks are in flight.
    KillInSync,
    /// An fsync fails, and the disk loses the data that it should have made durable.
    FailedSync,
    /// Power failure at an fsync, before or after it.
    PowerCut,
    /// Power failure right after webhooks were answered with 200. They must be durable.
    PowerCutAtResponse,
    /// The wall clock jumps forward or back by hours.
    ClockJump,
    /// Both clocks jump. All earlier events then exceed their retention, and the next retention check is due.
    Expire,
    /// Not a fault: makes a backup while publishers and subscribers are active.
    Backup,
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault: {self:?}")
    }
}

impl ServerFault {
    /// Faults under which the server must lose nothing.
    pub(crate) const ALL: [Self; 14] = [
        Self::Kill,
        Self::KillTwice,
        Self::Terminate,
        Self::Pause,
        Self::FullDisk,
        Self::KillOnFullDisk,
        Self::IntermittentWrites,
        Self::SlowSync,
        Self::KillInSync,
        Self::FailedSync,
        Self::PowerCut,
        Self::PowerCutAtResponse,
        Self::ClockJump,
        Self::Backup,
    ];

    /// Faults of a restored journal.
    pub(crate) const RESTORED: [Self; 2] = [Self::Kill, Self::PowerCutAtResponse];

    /// Faults of rounds in which events expire.
    pub(crate) const EXPIRING: [Self; 5] =
        [Self::Expire, Self::Kill, Self::Expire, Self::Terminate, Self::Expire];
}

/// A fault of the network. A new one needs an entry in [`NetworkFault::ALL`] and an arm in [`disturb_network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    Cut,
    CutAll,
    CutMidChunk,
    Stall,
    Throttle,
}

impl NetworkFault {
    const ALL: [Self; 5] = [Self::Cut, Self::CutAll, Self::CutMidChunk, Self::Stall, Self::Throttle];
}

/// Draws items in random order. Each is drawn once before any is repeated.
#[derive(Debug)]
struct ShuffledCycle<T: 'static> {
    all: &'static [T],
    remaining: Vec<T>,
}

impl<T: Copy> ShuffledCycle<T> {
    fn new(all: &'static [T]) -> Self {
        Self { all, remaining: Vec::new() }
    }

    fn draw(&mut self, random: &mut fastrand::Rng) -> T {
        if self.remaining.is_empty() {
            self.remaining = self.all.to_vec();
            random.shuffle(&mut self.remaining);
        }
        self.remaining.pop().expect("the list of items is not empty")
    }

    /// Schedules an item again, after all that remain in this cycle.
    fn put_back(&mut self, item: T) {
        self.remaining.insert(0, item);
    }
}

/// Sleeps for a random time, in milliseconds.
async fn sleep_random(random: &mut fastrand::Rng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.u64(millis))).await;
}

/// Injects network faults until it is dropped.
pub(crate) async fn disturb_network(proxies: &[Proxy], mut random: fastrand::Rng, recorder: &Recorder) {
    let mut cycle = ShuffledCycle::new(&NetworkFault::ALL);
    loop {
        sleep_random(&mut random, 50..500).await;
        let proxy = random.choice(proxies).expect("the list of proxies is not empty");
        let fault = cycle.draw(&mut random);
        recorder.count(&format!("network fault: {fault:?}"));
        match fault {
            NetworkFault::Cut => proxy.cut(),
            NetworkFault::CutAll => proxies.iter().for_each(Proxy::cut),
            NetworkFault::CutMidChunk => proxy.set(ProxyMode::CutMidChunk),
            NetworkFault::Stall => proxy.set(ProxyMode::Stalled),
            NetworkFault::Throttle => proxy.set(ProxyMode::Throttled(random.usize(100..5_000))),
        }
        // On average a fault stays active while one or two other proxies are disturbed.
        if random.bool() {
            proxies.iter().for_each(|proxy| proxy.set(ProxyMode::Forward));
        }
    }
}

/// Whether an injected fault affected this call: it failed by a rule, or a write to the WAL was short. A complete
/// write is a WAL header, a frame header, or a page.
fn was_injected(seen: &Seen) -> bool {
    const WHOLE: [i64; 3] = [32, 24, 4096];
    // A call that fails without a rule returns -1.
    let failed = seen.result < -1;
    let is_wal_write = seen.call == "write" && seen.file.ends_with("-wal");
    failed || (is_wal_write && seen.result >= 0 && !WHOLE.contains(&seen.result))
}

fn is_sync(seen: &Seen) -> bool {
    seen.is_sync_of("")
}

/// Whether the last write had not been synced when the process exited.
fn exited_in_sync(trace: &[Seen]) -> bool {
    trace.iter().rev().find(|seen| seen.call == "write" || is_sync(seen)).is_some_and(|last| !is_sync(last))
}

fn is_killed(exit: ExitStatus) -> bool {
    exit.signal() == Some(Signal::KILL.as_raw())
}

/// Whether the process accessed a mapped file that the power cut had truncated (SIGBUS).
fn is_bus_error(exit: ExitStatus) -> bool {
    exit.signal() == Some(Signal::BUS.as_raw())
}

/// Injects faults into the server, one after another.
pub(crate) struct Nemesis<'a> {
    random: fastrand::Rng,
    cycle: ShuffledCycle<ServerFault>,
    recorder: &'a Recorder,
    /// The present clock offsets.
    clock: Clock,
    /// Whether the present process has reopened its store. It does so once.
    has_reopened: bool,
    /// How long a fault may take to have an effect, and the server to recover.
    timeout_limit: Duration,
}

impl<'a> Nemesis<'a> {
    pub(crate) fn new(faults: &'static [ServerFault], random: fastrand::Rng, recorder: &'a Recorder) -> Self {
        let (cycle, clock) = (ShuffledCycle::new(faults), Clock::default());
        Self { random, cycle, recorder, clock, has_reopened: false, timeout_limit: DEADLINE }
    }

    /// Injects the next fault and restores the server. A fault without effect is not counted and is scheduled again.
    pub(crate) async fn next(&mut self, server: &mut Server) {
        sleep_random(&mut self.random, 200..1_200).await;
        let fault = self.cycle.draw(&mut self.random);
        if self.inject(fault, server).await {
            self.recorder.count(&fault.to_string());
        } else {
            self.recorder.count(&format!("no effect: {fault:?}"));
            self.cycle.put_back(fault);
        }
    }

    /// Returns whether the fault had an effect.
    async fn inject(&mut self, fault: ServerFault, server: &mut Server) -> bool {
        match fault {
            ServerFault::Kill => {
                server.kill().await;
                self.restart(server).await;
            }
            ServerFault::KillTwice => {
                server.kill().await;
                self.restart(server).await;
                server.kill().await;
                self.restart(server).await;
            }
            ServerFault::Terminate => {
                if !server.terminate().await.success() {
                    self.recorder.count("error: the server did not shut down cleanly");
                }
                self.restart(server).await;
            }
            ServerFault::Pause => {
                server.pause();
                sleep_random(&mut self.random, 100..2_000).await;
                server.resume();
            }
            ServerFault::FullDisk => {
                let reported = self.fill_disk(server).await;
                server.limit_files(None);
                return reported;
            }
            ServerFault::KillOnFullDisk => {
                let reported = self.fill_disk(server).await;
                server.kill().await;
                self.restart(server).await;
                return reported;
            }
            ServerFault::IntermittentWrites => {
                let effect = if self.random.bool() { Effect::Full } else { Effect::Short };
                let rule = Rule::times(self.random.u32(1..10), Call::Write(On::Log), effect);
                let rule = rule.after(self.random.u32(0..20));
                let had_effect =
                    self.apply_rule(rule, 300..1_000, server, |trace| trace.iter().any(was_injected)).await;
                self.restart_if_exited(server).await;
                return had_effect;
            }
            ServerFault::SlowSync => {
                let slow = self.slow_sync();
                // The first fsync may have started before the rule was set.
                let shows_effect = |trace: &[Seen]| trace.iter().filter(|seen| is_sync(seen)).count() > 1;
                return self.apply_rule(slow, 500..1_500, server, shows_effect).await;
            }
            ServerFault::KillInSync => {
                server.faults.set(&[self.slow_sync()]);
                sleep_random(&mut self.random, 300..800).await;
                server.kill().await;
                let had_effect = exited_in_sync(&server.faults.trace());
                self.restart(server).await;
                return had_effect;
            }
            ServerFault::FailedSync => return self.fail_sync(server).await,
            ServerFault::PowerCut => {
                let seed = self.power_cut();
                let after = self.random.bool();
                let effect = if after { Effect::PowerCutAfter(seed) } else { Effect::PowerCut(seed) };
                let rule = Rule::once(Call::Sync(On::Any), effect).after(self.random.u32(0..5));
                return self.cut_power(server, rule, seed).await;
            }
            ServerFault::PowerCutAtResponse => return self.cut_power_at_response(server).await,
            ServerFault::ClockJump => {
                self.clock.realtime = self.random.i64(-10_000_000..10_000_000);
                server.faults.set_clock(self.clock);
                sleep_random(&mut self.random, 300..1_000).await;
            }
            ServerFault::Expire => {
                // More than an hour, the retention of these rounds, and more than a minute, the interval of the
                // retention check.
                self.clock.realtime += 4_000_000;
                self.clock.monotonic += 61_000;
                server.faults.set_clock(self.clock);
            }
            ServerFault::Backup => self.back_up(server).await,
        }
        true
    }

    /// Applies a rule for a random time, then until it has an effect or the time limit passes: only the publishers'
    /// traffic triggers it. Returns whether the trace shows an effect.
    async fn apply_rule(
        &mut self,
        rule: Rule,
        millis: std::ops::Range<u64>,
        server: &Server,
        shows_effect: impl Fn(&[Seen]) -> bool,
    ) -> bool {
        let (before, until) = (server.faults.trace().len(), Instant::now() + self.timeout_limit);
        server.faults.set(&[rule]);
        sleep_random(&mut self.random, millis).await;
        let mut had_effect = shows_effect(&server.faults.trace()[before..]);
        while !had_effect && Instant::now() < until {
            tokio::time::sleep(TRACE_POLL).await;
            had_effect = shows_effect(&server.faults.trace()[before..]);
        }
        server.faults.set(&[]);
        had_effect
    }

    /// Makes one or two fsyncs fail, and sometimes another one later. A first failure is single until one recovery
    /// was seen.
    async fn fail_sync(&mut self, server: &mut Server) -> bool {
        let times = if self.recorder.has_counted(STORE_REOPENED) { self.random.u32(1..3) } else { 1 };
        if !self.fail_syncs(times, server).await {
            return false;
        }
        match self.random.u8(0..3) {
            // If the server trusted the disk after the failure, the power cut now loses data.
            0 => {
                self.cut_power_at_response(server).await;
            }
            1 => {
                self.fail_syncs(1, server).await;
            }
            _ => {}
        }
        true
    }

    /// Makes `times` fsyncs fail and waits for the recovery. The second failure in the life of a process ends it,
    /// also while it reopens its store.
    async fn fail_syncs(&mut self, times: u32, server: &mut Server) -> bool {
        let file = if self.random.u8(0..4) == 0 { On::Any } else { On::Log };
        let rule = Rule::times(times, Call::Sync(file), Effect::Broken).after(self.random.u32(0..10));
        let before = server.faults.trace().len();
        let had_effect =
            self.apply_rule(rule, 500..1_500, server, |trace| trace.iter().any(was_injected)).await;
        if had_effect {
            self.await_recovery(server, before).await;
        } else {
            self.restart_if_exited(server).await;
        }
        had_effect
    }

    /// Makes a backup, once per run.
    async fn back_up(&mut self, server: &Server) {
        if lock(&self.recorder.backup).is_some() {
            return;
        }
        let file = server.home.folder.path().join("switchboard.backup");
        let _no_changes = self.recorder.subscription_changes.write().await;
        let began = self.recorder.now();
        match server.home.back_up(&file).await {
            Ok(newest) => {
                let backup = Backup { file, newest, began, completed: self.recorder.now() };
                *lock(&self.recorder.backup) = Some(backup);
            }
            Err(error) => self.recorder.count(&format!("error: {error}")),
        }
    }

    async fn cut_power_at_response(&mut self, server: &mut Server) -> bool {
        let seed = self.power_cut();
        let rule = Rule::once(Call::Answer(200), Effect::PowerCut(seed)).after(self.random.u32(1..20));
        self.cut_power(server, rule, seed).await
    }

    /// The seed of a power cut. With 0 all unsynced data is lost, otherwise a part of it.
    fn power_cut(&mut self) -> u32 {
        if self.random.bool() { 0 } else { self.random.u32(1..) }
    }

    /// Cuts the power by a rule, or directly if the rule has no effect within two seconds. Returns whether the rule
    /// had an effect.
    async fn cut_power(&mut self, server: &mut Server, rule: Rule, seed: u32) -> bool {
        server.sample_memory();
        server.faults.set(&[rule]);
        let by_rule = server.exited(Duration::from_secs(2)).await;
        let exit = match by_rule {
            Some(exit) => exit,
            None => {
                server.faults.cut_power(seed);
                server.exited(DEADLINE).await.expect("a power cut ends the process")
            }
        };
        // The process still runs while the files are rolled back one by one, and SIGBUS can end it before the cut
        // does.
        if !is_killed(exit) && !is_bus_error(exit) {
            self.recorder.count(&format!("error: the process exited before the power cut: {exit}"));
        }
        self.restart(server).await;
        by_rule.is_some_and(is_killed)
    }

    /// Restarts the server with the present clock offsets.
    async fn restart(&mut self, server: &mut Server) {
        server.faults.set_clock(self.clock);
        server.restart().await;
        self.has_reopened = false;
        self.recorder.count("server restarts");
    }

    /// Restarts the server if it has exited by itself, and counts that as an error.
    async fn restart_if_exited(&mut self, server: &mut Server) {
        if server.exited(Duration::from_millis(500)).await.is_some() {
            self.recorder.count("error: the server exited by itself");
            self.restart(server).await;
        }
    }

    /// Waits until the server has reopened its store and accepts webhooks, or restarts it if it has exited by itself.
    /// It must exit by itself after the second failed fsync in its life, and not before. A failure while it verifies
    /// the store counts as the second. `before` is the length of the trace before these failures.
    async fn await_recovery(&mut self, server: &mut Server, before: usize) {
        let (admin, reopened_before) = (server.admin, self.has_reopened);
        let mut published = self.recorder.published_bytes.subscribe();
        let serves = async {
            if reopened_before {
                // A process reopens its store only once.
                std::future::pending::<()>().await;
            }
            await_store_reopened(admin).await;
            // Some of the counted webhooks may have been accepted before the failure.
            for _ in 0..5 {
                let _ = published.changed().await;
            }
        };
        let ended = timeout(self.timeout_limit, async {
            tokio::select! {
                _ = server.exited(Duration::MAX) => true,
                () = serves => false,
            }
        });
        match ended.await {
            Ok(false) => {
                self.has_reopened = true;
                self.recorder.count(STORE_REOPENED);
            }
            Ok(true) => {
                let failed = server.faults.trace()[before..].iter().filter(|seen| was_injected(seen)).count();
                self.recorder.count(if reopened_before || failed > 1 {
                    "server exited by itself"
                } else {
                    "error: exited after the first failed fsync"
                });
                self.restart(server).await;
            }
            Err(_) => {
                self.recorder.count("error: neither served nor exited");
                server.kill().await;
                self.restart(server).await;
            }
        }
    }

    /// Prevents all files from growing until a webhook is answered with 503. Returns whether that happened.
    async fn fill_disk(&mut self, server: &Server) -> bool {
        let mut webhooks_503 = self.recorder.webhooks_503.subscribe();
        let before = *webhooks_503.borrow();
        server.limit_files(Some(0));
        let refused = webhooks_503.wait_for(|count| *count > before);
        let reported = timeout(Duration::from_secs(3), refused).await.is_ok();
        if reported {
            self.recorder.count("full disks reported as 503");
        }
        sleep_random(&mut self.random, 0..500).await;
        reported
    }

    fn slow_sync(&mut self) -> Rule {
        let delay = Duration::from_millis(self.random.u64(50..400));
        Rule::always(Call::Sync(On::Any), Effect::Late(delay))
    }
}
