//! What goes wrong, and when: drawn by a seed.

use std::fmt;
use std::time::Duration;

use crate::binary::{PATIENCE, Server};
use crate::faults::{Call, Clock, Effect, On, Rule};
use crate::ledger::{Backup, Ledger, held};
use crate::proxy::{Line, Proxy};

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

/// Strikes the server, one fault after the other.
pub(crate) struct Troubles<'a> {
    random: fastrand::Rng,
    bag: Bag<Fault>,
    ledger: &'a Ledger,
    /// How far clocks are off.
    clock: Clock,
}

impl<'a> Troubles<'a> {
    pub(crate) fn new(faults: &'static [Fault], random: fastrand::Rng, ledger: &'a Ledger) -> Self {
        Self { random, bag: Bag::new(faults), ledger, clock: Clock::default() }
    }

    /// Strikes once, and brings the server back.
    pub(crate) async fn next(&mut self, server: &mut Server) {
        a_while(&mut self.random, 200..1_200).await;
        let fault = self.bag.draw(&mut self.random);
        self.strike(fault, server).await;
        self.ledger.count(&fault.to_string());
    }

    async fn strike(&mut self, fault: Fault, server: &mut Server) {
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
                self.fill(server).await;
                server.limit_files(None);
            }
            Fault::KillOnFullDisk => {
                self.fill(server).await;
                server.kill().await;
                self.back(server).await;
            }
            Fault::PatchyDisk => {
                let effect = if self.random.bool() { Effect::Full } else { Effect::Short };
                let rule = Rule::times(self.random.u32(1..10), Call::Write(On::Log), effect);
                server.faults.set(&[rule.after(self.random.u32(0..20))]);
                a_while(&mut self.random, 300..1_000).await;
                server.faults.set(&[]);
                self.unless_ended(server).await;
            }
            Fault::SlowSync => {
                self.slow_sync(server);
                a_while(&mut self.random, 500..1_500).await;
                server.faults.set(&[]);
            }
            Fault::KillInSync => {
                self.slow_sync(server);
                a_while(&mut self.random, 300..800).await;
                server.kill().await;
                self.back(server).await;
            }
            Fault::FailedSync => {
                let file = if self.random.u8(0..4) == 0 { On::Any } else { On::Log };
                let failed = Rule::times(self.random.u32(1..3), Call::Sync(file), Effect::Broken);
                server.faults.set(&[failed.after(self.random.u32(0..10))]);
                a_while(&mut self.random, 500..1_500).await;
                server.faults.set(&[]);
                self.come_through(server).await;
                if self.random.bool() {
                    // Whoever believed the disk pays for it now.
                    self.cut_power_at_answer(server).await;
                }
            }
            Fault::PowerCut => {
                let seed = self.power_cut();
                let after = self.random.bool();
                let effect = if after { Effect::PowerCutAfter(seed) } else { Effect::PowerCut(seed) };
                let rule = Rule::once(Call::Sync(On::Any), effect).after(self.random.u32(0..5));
                self.cut_power(server, rule, seed).await;
            }
            Fault::PowerCutAtAnswer => self.cut_power_at_answer(server).await,
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
    }

    /// Makes a backup. The first is the one that counts.
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

    async fn cut_power_at_answer(&mut self, server: &mut Server) {
        let seed = self.power_cut();
        let rule = Rule::once(Call::Answer(200), Effect::PowerCut(seed)).after(self.random.u32(1..20));
        self.cut_power(server, rule, seed).await;
    }

    /// What is left of what was not synced: nothing, or a part.
    fn power_cut(&mut self) -> u32 {
        if self.random.bool() { 0 } else { self.random.u32(1..) }
    }

    /// Cuts the power by a rule, or if that strikes nothing, by hand.
    async fn cut_power(&mut self, server: &mut Server, rule: Rule, seed: u32) {
        server.look_at_memory();
        server.faults.set(&[rule]);
        if server.ended(Duration::from_secs(2)).await.is_none() {
            server.faults.cut_power(seed);
            server.ended(PATIENCE).await.expect("nothing survives this");
        }
        self.back(server).await;
    }

    /// Starts the server anew, with clocks as they were.
    async fn back(&mut self, server: &mut Server) {
        server.faults.set_clock(self.clock);
        server.restart().await;
        self.ledger.count("server restarts");
    }

    /// Starts the server anew if it has ended by itself, which it must not.
    async fn unless_ended(&mut self, server: &mut Server) {
        if server.ended(Duration::from_millis(500)).await.is_some() {
            self.ledger.count("wrong: ended by itself");
            self.back(server).await;
        }
    }

    /// Waits until the server takes webhooks again, or starts it anew if it has ended by itself, as it may when the disk
    /// does not keep what it was told to. What strikes it while it verifies its store would be the second failure.
    async fn come_through(&mut self, server: &mut Server) {
        let mut published = self.ledger.published.subscribe();
        let taken = async {
            // Some of them may have been answered before.
            for _ in 0..5 {
                let _ = published.changed().await;
            }
        };
        let ended = tokio::select! {
            ended = server.ended(PATIENCE) => ended.is_some(),
            () = taken => false,
        };
        if ended {
            self.ledger.count("server ended by itself");
            self.back(server).await;
        }
    }

    /// Lets no file grow, until a webhook is refused for it.
    async fn fill(&mut self, server: &Server) {
        let mut unstored = self.ledger.unstored.subscribe();
        let before = *unstored.borrow();
        server.limit_files(Some(0));
        let refused = unstored.wait_for(|count| *count > before);
        if tokio::time::timeout(Duration::from_secs(3), refused).await.is_ok() {
            self.ledger.count("full disks that were told as 503");
        }
        a_while(&mut self.random, 0..500).await;
    }

    fn slow_sync(&mut self, server: &Server) {
        let delay = Duration::from_millis(self.random.u64(50..400));
        server.faults.set(&[Rule::always(Call::Sync(On::Any), Effect::Late(delay))]);
    }
}
