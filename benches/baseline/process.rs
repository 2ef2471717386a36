//! Servers in processes of their own, started from this same binary and steered over their standard input: one word
//! a line, one line in answer. A server ends when its input closes, so none outlives the run.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::{Result, baseline, switchboard, upstream};

/// What a process can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Answers every send with the same reply.
    Upstream,
    /// The floor of sends.
    BareSends,
    /// The floor of delivery: a broadcast of messages.
    BareStream,
    /// A stricter floor of delivery: a broadcast of shared messages.
    BareStreamShared,
    /// The floor of ingest.
    BareIngress,
    /// The whole gateway.
    Gateway,
    /// Our event streams over a journal that is fed in-process.
    Streams,
}

/// A server that runs here, in the process that it has to itself.
pub(crate) trait Serving {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Where it takes webhooks, if not there.
    fn webhook(&self) -> SocketAddr {
        self.address()
    }

    /// Makes so many events happen.
    fn publish(&mut self, runtime: &Runtime, events: usize) -> Result<()> {
        let _ = (runtime, events);
        Err("nothing can be published here".into())
    }

    /// Stops in order.
    fn stop(self: Box<Self>, runtime: &Runtime) -> Result<()> {
        let _ = runtime;
        Ok(())
    }
}

/// A server that only listens.
#[derive(Debug)]
pub(crate) struct Listening(pub(crate) SocketAddr);

impl Serving for Listening {
    fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Is a server until the standard input closes.
pub(crate) fn serve(role: Role, folder: &Path, upstream: Option<SocketAddr>) -> Result<()> {
    let provider = || upstream.ok_or("--upstream is missing");
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut serving: Box<dyn Serving> = match role {
        Role::Upstream => Box::new(upstream::start(&runtime)?),
        Role::BareSends => Box::new(baseline::sends::start(&runtime, provider()?)?),
        Role::BareStream => Box::new(baseline::stream::start_cloning(&runtime)?),
        Role::BareStreamShared => Box::new(baseline::stream::start_sharing(&runtime)?),
        Role::BareIngress => Box::new(baseline::ingress::start(&runtime)?),
        Role::Gateway => Box::new(switchboard::Gateway::start(&runtime, folder, upstream)?),
        Role::Streams => Box::new(switchboard::Streams::start(&runtime, folder)?),
    };
    println!("{} {}", serving.address(), serving.webhook());
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("publish", events) => {
                serving.publish(&runtime, events.parse()?)?;
                println!("published");
            }
            ("memory", _) => println!("{}", resident()?),
            // Of all threads, also of those that have ended; user and system together.
            _ => {
                let spent = clock_gettime(ClockId::ProcessCPUTime);
                println!("{} {}", spent.tv_sec, spent.tv_nsec);
            }
        }
    }
    serving.stop(&runtime)?;
    runtime.shutdown_background();
    Ok(())
}

/// The bytes that this process has in memory, as Linux tells them.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("there is no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024)
}

/// A server in another process.
#[derive(Debug)]
pub(crate) struct Server {
    role: Role,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
    webhook: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(role: Role, folder: &Path, upstream: Option<&Self>) -> Result<Self> {
        let name = role.to_possible_value().expect("no role is skipped");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve").arg(name.get_name()).arg("--dir").arg(folder);
        if let Some(upstream) = upstream {
            command.arg("--upstream").arg(upstream.address.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line)?;
        let not_started = || format!("the server {} did not start", name.get_name());
        let (address, webhook) = line.trim().split_once(' ').ok_or_else(not_started)?;
        let (address, webhook) = (address.parse()?, webhook.parse()?);
        Ok(Self { role, child, input, output, address, webhook })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes webhooks.
    pub(crate) fn webhook(&self) -> SocketAddr {
        self.webhook
    }

    /// How much memory it has resident, in bytes.
    pub(crate) fn memory(&mut self) -> Result<f64> {
        self.say("memory")?;
        Ok(self.answer()?.parse()?)
    }

    /// The CPU time that it has spent so far.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        self.say("cpu")?;
        let answer = self.answer()?;
        let (seconds, nanos) = answer.split_once(' ').ok_or("an answer of another kind")?;
        Ok(Duration::from_secs(seconds.parse()?) + Duration::from_nanos(nanos.parse()?))
    }

    /// Makes so many events happen there. [`published`](Self::published) tells when they have.
    pub(crate) fn publish(&mut self, events: usize) -> Result<()> {
        self.say(&format!("publish {events}"))
    }

    /// Waits until the events have happened.
    pub(crate) fn published(&mut self) -> Result<()> {
        self.answer().map(|_| ())
    }

    /// Stops it in order, and waits until it is gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{:?} ended with {status}", self.role).into()) }
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let mut input = self.input.as_ref().ok_or("it was stopped")?;
        Ok(input.write_all(format!("{line}\n").as_bytes())?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{:?} ended by itself", self.role).into());
        }
        Ok(line.trim().to_owned())
    }
}
