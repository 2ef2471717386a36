//! What goes wrong, and when: drawn by a seed.

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use crate::binary::{PATIENCE, Server, opened_again};
use crate::faults::{Call, Clock, Effect, On, Rule, Seen};
use crate::ledger::{Backup, Ledger, held};
use crate::proxy::{Line, Proxy};
use crate::summary::OPENED_AGAIN;

/// How often the trace is looked at: it is long.
const LOOKS: Duration = Duration::from_millis(200);

/// What falls on the server: its process, its disk, its clock. A new one needs its name here, in [`Fault::ALL`] or
/// another list, and an arm in [`Troubles::strike`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is killed.
    Kill,
    /// It is killed, and killed again as soon as it serves.
    KillTwice,
    /// It is asked to stop.
    Terminate,
    /// It does nothing for a while, and does not know that.
    Pause,
    /// No file of it may grow, until there is room again.
    FullDisk,
    /// As above, but it is killed before there is room.
    KillOnFullDisk,
    /// Writes to the log fail for want of room, some of them, or half of a write is made.
    PatchyDisk,
    /// Syncs take long.
    SlowSync,
    /// It is killed while a sync takes long: with webhooks under way.
    KillInSync,
    /// A sync fails, and the disk forgets what it was given.
    FailedSync,
    /// The power is cut at a sync, before or behind it.
    PowerCut,
    /// The power is cut when some webhooks were just answered 200: they must be on disk.
    PowerCutAtAnswer,
    /// The wall clock jumps, by hours, forward or back.
    ClockJump,
    /// Both clocks jump, so that all events before are older than events are kept, and it is time to look for them.
    Expire,
    /// No fault: a backup is made while all goes on.
    BackUp,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault: {self:?}")
    }
}

impl Fault {
    /// Faults under which nothing may get lost.
    pub(crate) const ALL: [Self; 14] = [
        Self::Kill,
        Self::KillTwice,
        Self::Terminate,
        Self::Pause,
        Self::FullDisk,
        Self::KillOnFullDisk,
        Self::PatchyDisk,
        Self::SlowSync,
        Self::KillInSync,
        Self::FailedSync,
        Self::PowerCut,
        Self::PowerCutAtAnswer,
        Self::ClockJump,
        Self::BackUp,
    ];

    /// Faults of a journal that was restored.
    pub(crate) const WHERE_RESTORED: [Self; 2] = [Self::Kill, Self::PowerCutAtAnswer];

    /// Faults of rounds in which events may expire.
    pub(crate) const WHERE_EVENTS_EXPIRE: [Self; 5] =
        [Self::Expire, Self::Kill, Self::Expire, Self::Terminate, Self::Expire];
}

/// What goes wrong on lines. A new one needs its name in [`Trouble::ALL`] and an arm in [`annoy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Cut,
    CutAll,
    CutHalfway,
    Stall,
    Slow,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Cut, Self::CutAll, Self::CutHalfway, Self::Stall, Self::Slow];
}

/// Takes one thing after the other, each once before any comes again, in an order that is drawn.
#[derive(Debug)]
struct Bag<T: 'static> {
    all: &'static [T],
    left: Vec<T>,
}

impl<T: Copy> Bag<T> {
    fn new(all: &'static [T]) -> Self {
        Self { all, left: Vec::new() }
    }

    fn draw(&mut self, random: &mut fastrand::Rng) -> T {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
            random.shuffle(&mut self.left);
        }
        self.left.pop().expect("there are some")
    }

    /// It comes again, as the last of those that are left.
    fn put_back(&mut self, one: T) {
        self.left.insert(0, one);
    }
}

/// Waits for a time that is drawn.
async fn a_while(random: &mut fastrand::Rng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.u64(millis))).await;
}

/// Does things to lines, without end.
pub(crate) async fn annoy(lines: &[Proxy], mut random: fastrand::Rng, ledger: &Ledger) {
    let mut bag = Bag::new(&Trouble::ALL);
    loop {
        a_while(&mut random, 50..500).await;
        let line = random.choice(lines).expect("there are lines");
        let trouble = bag.draw(&mut random);
        ledger.count(&format!("line: {trouble:?}"));
        match trouble {
            Trouble::Cut => line.cut(),
            Trouble::CutAll => lines.iter().for_each(Proxy::cut),
            Trouble::CutHalfway => line.set(Line::CutHalfway),
            Trouble::Stall => line.set(Line::Stalled),
            Trouble::Slow => line.set(Line::Slow(random.usize(100..5_000))),
        }
        // It lasts while one or two others are annoyed.
        if random.bool() {
            lines.iter().for_each(|line| line.set(Line::Clear));
        }
    }
}

/// Whether a call was made to fail, or a write to the log to be made by half: whole ones are of the log's head, of a
/// frame's, or of a page.
fn is_struck(seen: &Seen) -> bool {
    const WHOLE: [i64; 3] = [32, 24, 4096];
    // What fails without a rule gives -1.
    let failed = seen.result < -1;
    let of_the_log = seen.call == "write" && seen.file.ends_with("-wal");
    failed || (of_the_log && seen.result >= 0 && !WHOLE.contains(&seen.result))
}

fn is_sync(seen: &Seen) -> bool {
    seen.is_sync_of("")
}

/// Whether something was written and not synced when the process ended.
fn ended_in_sync(trace: &[Seen]) -> bool {
    trace.iter().rev().find(|seen| seen.call == "write" || is_sync(seen)).is_some_and(|last| !is_sync(last))
}

fn is_killed(ended: ExitStatus) -> bool {
    ended.signal() == Some(Signal::KILL.as_raw())
}

/// Whether a process has touched what it had mapped of a file that was cut off under it.
fn lost_a_mapping(ended: ExitStatus) -> bool {
    ended.signal() == Some(Signal::BUS.as_raw())
}

/// Strikes the server, one fault after the other.
pub(crate) struct Troubles<'a> {
    random: fastrand::Rng,
    bag: Bag<Fault>,
    ledger: &'a Ledger,
    /// How far clocks are off.
    clock: Clock,
    /// Whether the process has opened its store again, which it does once.
    opened_again: bool,
    /// How long a fault may take to strike, and the server to come through it.
    max_queue_wait: Duration,
}

impl<'a> Troubles<'a> {
    pub(crate) fn new(faults: &'static [Fault], random: fastrand::Rng, ledger: &'a Ledger) -> Self {
        let (bag, clock) = (Bag::new(faults), Clock::default());
        Self { random, bag, ledger, clock, opened_again: false, max_queue_wait: PATIENCE }
    }

    /// Strikes once, and brings the server back. A fault that struck nothing does not count, and comes again.
    pub(crate) async fn next(&mut self, server: &mut Server) {
        a_while(&mut self.random, 200..1_200).await;
        let fault = self.bag.draw(&mut self.random);
        if self.strike(fault, server).await {
            self.ledger.count(&fault.to_string());
        } else {
            self.ledger.count(&format!("struck nothing: {fault:?}"));
            self.bag.put_back(fault);
        }
    }

    /// Says whether it struck.
    async fn strike(&mut self, fault: Fault, server: &mut Server) -> bool {
        match fault {
            Fault::Kill => {
                server.kill().await;
                self.back(server).await;
            }
            Fault::KillTwice => {
                server.kill().await;
                self.back(server).await;
                server.kill().await;
                self.back(server).await;
            }
            Fault::Terminate => {
                if !server.terminate().await.success() {
                    self.ledger.count("wrong: did not stop in order");
                }
                self.back(server).await;
            }
            Fault::Pause => {
                server.pause();
                a_while(&mut self.random, 100..2_000).await;
                server.go_on();
            }
            Fault::FullDisk => {
                let told = self.fill(server).await;
                server.limit_files(None);
                return told;
            }
            Fault::KillOnFullDisk => {
                let told = self.fill(server).await;
                server.kill().await;
                self.back(server).await;
                return told;
            }
            Fault::PatchyDisk => {
                let effect = if self.random.bool() { Effect::Full } else { Effect::Short };
                let rule = Rule::times(self.random.u32(1..10), Call::Write(On::Log), effect);
                let rule = rule.after(self.random.u32(0..20));
                let struck = self.stands(rule, 300..1_000, server, |trace| trace.iter().any(is_struck)).await;
                self.unless_ended(server).await;
                return struck;
            }
            Fault::SlowSync => {
                let slow = self.slow_sync();
                // The first may have begun before.
                let struck = |trace: &[Seen]| trace.iter().filter(|seen| is_sync(seen)).count() > 1;
                return self.stands(slow, 500..1_500, server, struck).await;
            }
            Fault::KillInSync => {
                server.faults.set(&[self.slow_sync()]);
                a_while(&mut self.random, 300..800).await;
                server.kill().await;
                let struck = ended_in_sync(&server.faults.trace());
                self.back(server).await;
                return struck;
            }
            Fault::FailedSync => return self.fail_sync(server).await,
            Fault::PowerCut => {
                let seed = self.power_cut();
                let after = self.random.bool();
                let effect = if after { Effect::PowerCutAfter(seed) } else { Effect::PowerCut(seed) };
                let rule = Rule::once(Call::Sync(On::Any), effect).after(self.random.u32(0..5));
                return self.cut_power(server, rule, seed).await;
            }
            Fault::PowerCutAtAnswer => return self.cut_power_at_answer(server).await,
            Fault::ClockJump => {
                self.clock.realtime = self.random.i64(-10_000_000..10_000_000);
                server.faults.set_clock(self.clock);
                a_while(&mut self.random, 300..1_000).await;
            }
            Fault::Expire => {
                // More than an hour: that is how long events are kept in such rounds. And more than a minute: that is
                // how often they are looked for.
                self.clock.realtime += 4_000_000;
                self.clock.monotonic += 61_000;
                server.faults.set_clock(self.clock);
            }
            Fault::BackUp => self.back_up(server).await,
        }
        true
    }

    /// Lets a rule stand for a while, and if it has not struck by then, until it has, within bounds: it strikes only what
    /// is done for those who publish. Says whether it struck, by what was seen since.
    async fn stands(
        &mut self,
        rule: Rule,
        millis: std::ops::Range<u64>,
        server: &Server,
        struck: impl Fn(&[Seen]) -> bool,
    ) -> bool {
        let (before, until) = (server.faults.trace().len(), Instant::now() + self.max_queue_wait);
        server.faults.set(&[rule]);
        a_while(&mut self.random, millis).await;
        let mut has_struck = struck(&server.faults.trace()[before..]);
        while !has_struck && Instant::now() < until {
            tokio::time::sleep(LOOKS).await;
            has_struck = struck(&server.faults.trace()[before..]);
        }
        server.faults.set(&[]);
        has_struck
    }

    /// Has a sync fail, or two, and it may be one more behind that. At first a server is seen to come through one.
    async fn fail_sync(&mut self, server: &mut Server) -> bool {
        let times = if self.ledger.has(OPENED_AGAIN) { self.random.u32(1..3) } else { 1 };
        if !self.fail_syncs(times, server).await {
            return false;
        }
        match self.random.u8(0..3) {
            // Whoever believed the disk pays for it now.
            0 => {
                self.cut_power_at_answer(server).await;
            }
            1 => {
                self.fail_syncs(1, server).await;
            }
            _ => {}
        }
        true
    }

    /// Has so many syncs fail, and waits until the server has come through that. The second in the life of a process
    /// ends it, also while it opens its store again.
    async fn fail_syncs(&mut self, times: u32, server: &mut Server) -> bool {
        let file = if self.random.u8(0..4) == 0 { On::Any } else { On::Log };
        let rule = Rule::times(times, Call::Sync(file), Effect::Broken).after(self.random.u32(0..10));
        let before = server.faults.trace().len();
        let struck = self.stands(rule, 500..1_500, server, |trace| trace.iter().any(is_struck)).await;
        if struck {
            self.come_through(server, before).await;
        } else {
            self.unless_ended(server).await;
        }
        struck
    }

    /// Makes a backup. The first is the one that counts; after that there is nothing to do.
    async fn back_up(&mut self, server: &Server) {
        if held(&self.ledger.backup).is_some() {
            return;
        }
        let file = server.home.folder.path().join("switchboard.backup");
        let _quiet = self.ledger.changes.write().await;
        let began = self.ledger.now();
        match server.home.back_up(&file).await {
            Ok(newest) => {
                let backup = Backup { file, newest, began, done: self.ledger.now() };
                *held(&self.ledger.backup) = Some(backup);
            }
            Err(said) => self.ledger.count(&format!("wrong: {said}")),
        }
    }

    async fn cut_power_at_answer(&mut self, server: &mut Server) -> bool {
        let seed = self.power_cut();
        let rule = Rule::once(Call::Answer(200), Effect::PowerCut(seed)).after(self.random.u32(1..20));
        self.cut_power(server, rule, seed).await
    }

    /// What is left of what was not synced: nothing, or a part.
    fn power_cut(&mut self) -> u32 {
        if self.random.bool() { 0 } else { self.random.u32(1..) }
    }

    /// Cuts the power by a rule, or if that strikes nothing, by hand. Says whether the rule struck.
    async fn cut_power(&mut self, server: &mut Server, rule: Rule, seed: u32) -> bool {
        server.look_at_memory();
        server.faults.set(&[rule]);
        let by_rule = server.ended(Duration::from_secs(2)).await;
        let ended = match by_rule {
            Some(ended) => ended,
            None => {
                server.faults.cut_power(seed);
                server.ended(PATIENCE).await.expect("nothing survives this")
            }
        };
        // While the files are set back one after the other, the process runs: then the cut does not come to its end.
        if !is_killed(ended) && !lost_a_mapping(ended) {
            self.ledger.count(&format!("wrong: ended by itself where the power was to be cut: {ended}"));
        }
        self.back(server).await;
        by_rule.is_some_and(is_killed)
    }

    /// Starts the server anew, with clocks as they were.
    async fn back(&mut self, server: &mut Server) {
        server.faults.set_clock(self.clock);
        server.restart().await;
        self.opened_again = false;
        self.ledger.count("server restarts");
    }

    /// Starts the server anew if it has ended by itself, which it must not.
    async fn unless_ended(&mut self, server: &mut Server) {
        if server.ended(Duration::from_millis(500)).await.is_some() {
            self.ledger.count("wrong: ended by itself");
            self.back(server).await;
        }
    }

    /// Waits until the server has opened its store again and takes webhooks, or starts it anew if it has ended by itself,
    /// as it must when a second sync has failed in its life, and not before. What strikes it while it verifies its store
    /// would be the second. `before` is how much was seen before these syncs failed.
    async fn come_through(&mut self, server: &mut Server, before: usize) {
        let (admin, again) = (server.admin, self.opened_again);
        let mut published = self.ledger.published.subscribe();
        let serves = async {
            if again {
                // It has no other chance.
                std::future::pending::<()>().await;
            }
            opened_again(admin).await;
            // Some of them may have been answered before.
            for _ in 0..5 {
                let _ = published.changed().await;
            }
        };
        let ended = timeout(self.max_queue_wait, async {
            tokio::select! {
                _ = server.ended(Duration::MAX) => true,
                () = serves => false,
            }
        });
        match ended.await {
            Ok(false) => {
                self.opened_again = true;
                self.ledger.count(OPENED_AGAIN);
            }
            Ok(true) => {
                let failed = server.faults.trace()[before..].iter().filter(|seen| is_struck(seen)).count();
                self.ledger.count(if again || failed > 1 {
                    "server ended by itself"
                } else {
                    "wrong: ended at the first sync that failed"
                });
                self.back(server).await;
            }
            Err(_) => {
                self.ledger.count("wrong: neither served nor ended");
                server.kill().await;
                self.back(server).await;
            }
        }
    }

    /// Lets no file grow, until a webhook is refused for it. Says whether one was.
    async fn fill(&mut self, server: &Server) -> bool {
        let mut unstored = self.ledger.unstored.subscribe();
        let before = *unstored.borrow();
        server.limit_files(Some(0));
        let refused = unstored.wait_for(|count| *count > before);
        let told = timeout(Duration::from_secs(3), refused).await.is_ok();
        if told {
            self.ledger.count("full disks that were told as 503");
        }
        a_while(&mut self.random, 0..500).await;
        told
    }

    fn slow_sync(&mut self) -> Rule {
        let delay = Duration::from_millis(self.random.u64(50..400));
        Rule::always(Call::Sync(On::Any), Effect::Late(delay))
    }
}
