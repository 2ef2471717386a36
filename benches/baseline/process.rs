//! Servers in separate processes, started from this same binary. The benchmark writes one command per line to a server's
//! standard input, and the server writes one line in reply. A server exits when its input closes, so no server process
//! outlives the benchmark.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::{Result, baseline, switchboard, upstream};

/// The server that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The provider: returns the same reply to every send.
    Upstream,
    /// The baseline for sends.
    BaselineSends,
    /// The baseline for delivery: a broadcast channel of messages.
    BaselineStream,
    /// A stricter baseline for delivery: a broadcast channel of shared messages.
    BaselineStreamShared,
    /// The baseline for ingest.
    BaselineIngress,
    /// The whole of Switchboard.
    Gateway,
    /// Switchboard's event streams, with events appended in-process.
    Streams,
}

/// A server that runs in this process.
pub(crate) trait LocalServer {
    /// The address that it listens on.
    fn address(&self) -> SocketAddr;

    /// The address for webhooks, if it differs.
    fn webhook(&self) -> SocketAddr {
        self.address()
    }

    /// Publishes the given number of events.
    fn publish(&mut self, runtime: &Runtime, events: usize) -> Result<()> {
        let _ = (runtime, events);
        Err("this server cannot publish events".into())
    }

    /// Stops the server gracefully.
    fn stop(self: Box<Self>, runtime: &Runtime) -> Result<()> {
        let _ = runtime;
        Ok(())
    }
}

/// A server without further operations.
#[derive(Debug)]
pub(crate) struct ListeningServer(pub(crate) SocketAddr);

impl LocalServer for ListeningServer {
    fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Runs a server until the standard input closes.
pub(crate) fn serve(role: Role, folder: &Path, upstream: Option<SocketAddr>) -> Result<()> {
    let provider = || upstream.ok_or("--upstream is missing");
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut server: Box<dyn LocalServer> = match role {
        Role::Upstream => Box::new(upstream::start(&runtime)?),
        Role::BaselineSends => Box::new(baseline::sends::start(&runtime, provider()?)?),
        Role::BaselineStream => Box::new(baseline::stream::start_cloning(&runtime)?),
        Role::BaselineStreamShared => Box::new(baseline::stream::start_sharing(&runtime)?),
        Role::BaselineIngress => Box::new(baseline::ingress::start(&runtime)?),
        Role::Gateway => Box::new(switchboard::Gateway::start(&runtime, folder, upstream)?),
        Role::Streams => Box::new(switchboard::Streams::start(&runtime, folder)?),
    };
    println!("{} {}", server.address(), server.webhook());
    for line in std::io::stdin().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("publish", events) => {
                server.publish(&runtime, events.parse()?)?;
                println!("published");
            }
            ("memory", _) => println!("{}", resident()?),
            // User and system time of all threads, ended ones included.
            _ => {
                let spent = clock_gettime(ClockId::ProcessCPUTime);
                println!("{} {}", spent.tv_sec, spent.tv_nsec);
            }
        }
    }
    server.stop(&runtime)?;
    runtime.shutdown_background();
    Ok(())
}

/// The resident memory of this process in bytes, from procfs. Linux only.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("/proc/self/status has no VmRSS")?;
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
    /// Starts the process and waits until the server listens.
    pub(crate) fn start(role: Role, folder: &Path, upstream: Option<&Self>) -> Result<Self> {
        let name = role.to_possible_value().expect("no role is skipped");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve").arg(name.get_name()).arg("--dir").arg(folder);
        if let Some(upstream) = upstream {
            command.arg("--upstream").arg(upstream.address.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
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

    /// The address for webhooks.
    pub(crate) fn webhook(&self) -> SocketAddr {
        self.webhook
    }

    /// The server's resident memory, in bytes.
    pub(crate) fn memory(&mut self) -> Result<f64> {
        self.send_command("memory")?;
        Ok(self.read_reply()?.parse()?)
    }

    /// The CPU time that the server has used since its start.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        self.send_command("cpu")?;
        let reply = self.read_reply()?;
        let (seconds, nanos) = reply.split_once(' ').ok_or("unexpected reply to `cpu`")?;
        Ok(Duration::from_secs(seconds.parse()?) + Duration::from_nanos(nanos.parse()?))
    }

    /// Starts to publish the given number of events. Call [`published`](Self::published) to wait for the end.
    pub(crate) fn publish(&mut self, events: usize) -> Result<()> {
        self.send_command(&format!("publish {events}"))
    }

    /// Waits until the events have been published.
    pub(crate) fn published(&mut self) -> Result<()> {
        self.read_reply().map(|_| ())
    }

    /// Stops the server gracefully and waits until its process has exited.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.input = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{:?} exited with {status}", self.role).into()) }
    }

    fn send_command(&mut self, line: &str) -> Result<()> {
        let mut input = self.input.as_ref().ok_or("the server was stopped")?;
        Ok(input.write_all(format!("{line}\n").as_bytes())?)
    }

    fn read_reply(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("{:?} exited unexpectedly", self.role).into());
        }
        Ok(line.trim().to_owned())
    }
}
