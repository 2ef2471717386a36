//! The server under test: processes of the real binary, one after the other, on the same ports and the same store.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::faults::Faults;

pub(crate) const SECRET: &str = "robustness-secret";

/// The accounts. [`SECRET`] signs the webhooks of both.
pub(crate) const ACCOUNTS: [&str; 2] = ["acme", "globex"];

/// The deadline of every wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with the configuration, the journal, and the log of all processes.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    /// Writes the configuration. `journal` is added to its `[journal]` section.
    pub(crate) fn new(journal: &str) -> Self {
        // In the target directory, which is on a disk. The directory for temporary files may be in memory.
        let folder = tempfile::Builder::new()
            .prefix("robustness-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("create a folder");
        // A random loopback address: no other program takes its ports while the server is down.
        let address = Ipv4Addr::new(127, fastrand::u8(1..=254), fastrand::u8(1..=254), fastrand::u8(1..=254));
        let mut text = format!(
            "[grpc]\nlisten = \"{address}:0\"\n[webhook]\nlisten = \"{address}:0\"\n[admin]\nlisten = \"{address}:0\"\n\
             [log]\nformat = \"json\"\n[shutdown]\ndelay = \"0s\"\ngrace = \"1s\"\n[journal]\npath = \"{}\"\n{journal}\n",
            folder.path().join("switchboard.db").display(),
        );
        for account in ACCOUNTS {
            text.push_str(&format!(
                "[[accounts]]\nid = \"{account}\"\nprovider = \"connectly\"\nbase_url = \"http://127.0.0.1:1\"\n\
                 business_id = \"00000000-0000-4000-8000-000000000001\"\napi_key = \"a-key\"\n\
                 webhook_secrets = [\"{SECRET}\"]\n"
            ));
        }
        std::fs::write(folder.path().join("switchboard.toml"), text).expect("write the configuration");
        Self { folder }
    }

    /// Deletes the store.
    fn delete_store(&self) {
        for name in ["switchboard.db", "switchboard.db-wal", "switchboard.db-shm"] {
            let removed = std::fs::remove_file(self.folder.path().join(name));
            assert!(removed.is_ok() || name != "switchboard.db", "{removed:?}");
        }
    }

    /// Runs a store command to completion, without disk faults. Returns the last sequence number that it prints.
    async fn run(&self, command: &str, option: &str, file: &Path) -> Result<u64, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        process.arg(command).arg("--config").arg(self.folder.path().join("switchboard.toml"));
        let done = process.arg(option).arg(file).kill_on_drop(true).output();
        let done = tokio::time::timeout(DEADLINE, done)
            .await
            .map_err(|_| format!("{command} did not finish within the deadline"))?;
        let done = done.map_err(|error| error.to_string())?;
        let output = String::from_utf8_lossy(&done.stdout);
        let newest = output
            .split_once("up to sequence number ")
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        newest
            .filter(|_| done.status.success())
            .ok_or_else(|| format!("{command} failed: {}", String::from_utf8_lossy(&done.stderr)))
    }

    /// Backs up the store while the server runs. Returns the last sequence number in the backup.
    pub(crate) async fn back_up(&self, to: &Path) -> Result<u64, String> {
        self.run("backup", "--to", to).await
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

/// The addresses that the server listens on. The gRPC and webhook addresses survive restarts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) webhook: SocketAddr,
    /// The admin address. Each process uses another port.
    admin: SocketAddr,
}

/// The running server process. Dropping it kills the process.
pub(crate) struct Server {
    pub(crate) home: Home,
    pub(crate) faults: Faults,
    pub(crate) at: Addresses,
    /// The admin address of the present process.
    pub(crate) admin: SocketAddr,
    child: Child,
    /// Tasks that copy the processes' output into the log.
    log_copiers: JoinSet<()>,
    /// The highest peak memory of all processes at their samples, in KiB.
    pub(crate) memory: u64,
}

impl Server {
    /// Starts the first process.
    pub(crate) async fn start(home: Home) -> Self {
        let faults = Faults::new(&home);
        let mut log_copiers = JoinSet::new();
        let (child, at) = launch(&home, &faults, None, &mut log_copiers).await.expect("the server starts");
        Self { home, faults, at, admin: at.admin, child, log_copiers, memory: 0 }
    }

    /// Starts a new process after the last one has exited.
    pub(crate) async fn restart(&mut self) {
        let began = tokio::time::Instant::now();
        loop {
            match launch(&self.home, &self.faults, Some(self.at), &mut self.log_copiers).await {
                Ok((child, at)) => {
                    (self.child, self.admin) = (child, at.admin);
                    return;
                }
                // A program that listens on all addresses may hold a port for a moment.
                Err(error) if error.contains("cannot listen") && began.elapsed() < DEADLINE => {}
                Err(error) => panic!("the server does not restart: {error}"),
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // The process may have exited already. The caller that waits for it notices.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGKILL and waits for the exit.
    pub(crate) async fn kill(&mut self) {
        self.sample_memory();
        self.signal(Signal::KILL);
        self.exited(DEADLINE).await.expect("SIGKILL ends the process");
    }

    /// Kills the server, deletes the store, restores a backup and restarts. Returns the last restored sequence
    /// number.
    pub(crate) async fn restore(&mut self, from: &Path) -> Result<u64, String> {
        self.kill().await;
        self.home.delete_store();
        let newest = self.home.run("restore", "--from", from).await?;
        self.restart().await;
        Ok(newest)
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.sample_memory();
        self.signal(Signal::TERM);
        self.exited(DEADLINE).await.expect("the server exits after SIGTERM")
    }

    /// Sends SIGSTOP. Other processes and the clocks continue.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The exit status, if the process exits within this time.
    pub(crate) async fn exited(&mut self, within: Duration) -> Option<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await.ok()?;
        Some(ended.expect("wait for the process"))
    }

    /// Limits the size of the process's files, in bytes.
    pub(crate) fn limit_files(&self, limit: Option<u64>) {
        if self.pid().is_some() {
            // `None` removes the soft and the hard limit.
            let _ = prlimit(self.pid(), Resource::Fsize, Rlimit { current: limit, maximum: None });
        }
    }

    /// Updates `memory` with the present process's peak memory.
    pub(crate) fn sample_memory(&mut self) {
        let Some(id) = self.child.id() else { return };
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        self.memory = self.memory.max(peak.and_then(|peak| peak.trim().parse().ok()).unwrap_or_default());
    }
}

/// Starts a process and waits until it serves. Its output is copied into the log.
async fn launch(
    home: &Home,
    faults: &Faults,
    at: Option<Addresses>,
    log_copiers: &mut JoinSet<()>,
) -> Result<(Child, Addresses), String> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("serve").arg("--config").arg(home.folder.path().join("switchboard.toml"));
    if let Some(at) = at {
        command.env("SWITCHBOARD__GRPC__LISTEN", at.grpc.to_string());
        command.env("SWITCHBOARD__WEBHOOK__LISTEN", at.webhook.to_string());
    }
    let mut child = Command::from(faults.on(command))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("bash is installed");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(home.log()).expect("open the log");
    let mut file = tokio::fs::File::from_std(file);
    let (serving, started) = oneshot::channel();
    log_copiers.spawn(async move {
        let (mut serving, mut output) = (Some(serving), String::new());
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(at) = addresses(&line)
                && let Some(serving) = serving.take()
            {
                let _ = serving.send(Ok(at));
            }
            if serving.is_some() {
                output.push_str(&line);
            }
            let _ = file.write_all(format!("{line}\n").as_bytes()).await;
        }
        let _ = file.flush().await;
        if let Some(serving) = serving {
            let _ = serving.send(Err(output));
        }
    });
    let started = tokio::time::timeout(DEADLINE, started)
        .await
        .expect("the server serves or exits within the deadline");
    Ok((child, started.expect("the log copier reports the start")?))
}

/// The listen addresses, if this log line contains them.
fn addresses(line: &str) -> Option<Addresses> {
    let fields = serde_json::from_str::<serde_json::Value>(line).ok()?.get("fields")?.clone();
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    let listens =
        || Some(Addresses { grpc: address("grpc")?, webhook: address("webhook")?, admin: address("admin")? });
    (fields.get("message")? == "serving").then(listens).flatten()
}

/// Waits until the process's metrics report that it has reopened its store.
pub(crate) async fn await_store_reopened(admin: SocketAddr) {
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("build the HTTP client");
    loop {
        // While the store opens, another listener serves this address, and between the two the connection is refused.
        if let Ok(response) = client.get(format!("http://{admin}/metrics")).send().await
            && let Ok(page) = response.text().await
            && page.lines().any(|line| line == "switchboard_store_reopened_total 1")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
