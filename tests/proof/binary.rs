//! The real binary, running again and again on the same ports and the same file.

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

pub(crate) const SECRET: &str = "a-secret-of-the-proof";

/// The accounts. Webhooks of both are signed with [`SECRET`].
pub(crate) const ACCOUNTS: [&str; 2] = ["acme", "globex"];

/// How long anything may take that must come to an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a configuration, a journal, and the logs of all processes.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    /// With more of `[journal]`.
    pub(crate) fn new(journal: &str) -> Self {
        // Beside what was built: on a disk, where a folder for temporary files may be memory.
        let folder = tempfile::Builder::new()
            .prefix("proof-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder");
        // Of a loopback address of our own nobody takes the ports while the server is down.
        let address = Ipv4Addr::new(127, fastrand::u8(1..=254), fastrand::u8(1..=254), fastrand::u8(1..=254));
        let mut text = format!(
            "[grpc]\nlisten = \"{address}:0\"\n[webhook]\nlisten = \"{address}:0\"\n[admin]\nlisten = \"{address}:0\"\n\
             [log]\nformat = \"json\"\n[shutdown]\ngrace = \"1s\"\n[journal]\npath = \"{}\"\n{journal}\n",
            folder.path().join("switchboard.db").display(),
        );
        for account in ACCOUNTS {
            text.push_str(&format!(
                "[[accounts]]\nid = \"{account}\"\nprovider = \"connectly\"\nbase_url = \"http://127.0.0.1:1\"\n\
                 business_id = \"00000000-0000-4000-8000-000000000001\"\napi_key = \"a-key\"\n\
                 webhook_secrets = [\"{SECRET}\"]\n"
            ));
        }
        std::fs::write(folder.path().join("switchboard.toml"), text).expect("written");
        Self { folder }
    }

    /// Loses the store.
    fn burn(&self) {
        for name in ["switchboard.db", "switchboard.db-wal", "switchboard.db-shm"] {
            let gone = std::fs::remove_file(self.folder.path().join(name));
            assert!(gone.is_ok() || name != "switchboard.db", "{gone:?}");
        }
    }

    /// Runs a command about the store to its end, on a good disk. Gives the newest number that it tells of.
    async fn run(&self, command: &str, option: &str, file: &Path) -> Result<u64, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        process.arg(command).arg("--config").arg(self.folder.path().join("switchboard.toml"));
        let done = process.arg(option).arg(file).kill_on_drop(true).output();
        let done =
            tokio::time::timeout(PATIENCE, done).await.map_err(|_| format!("{command} does not end"))?;
        let done = done.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout);
        let newest = said
            .split_once("up to sequence number ")
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        newest
            .filter(|_| done.status.success())
            .ok_or_else(|| format!("{command} fails: {}", String::from_utf8_lossy(&done.stderr)))
    }

    /// Backs the store up while it is served from. Gives the newest number in the backup.
    pub(crate) async fn back_up(&self, to: &Path) -> Result<u64, String> {
        self.run("backup", "--to", to).await
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

/// Where the server listens, in all its lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) webhook: SocketAddr,
    /// For the operator. In another life it listens elsewhere.
    admin: SocketAddr,
}

/// The server in its present life. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) home: Home,
    pub(crate) faults: Faults,
    pub(crate) at: Addresses,
    /// Where the present process answers the operator.
    pub(crate) admin: SocketAddr,
    child: Child,
    /// Copy what the processes say into the log.
    copying: JoinSet<()>,
    /// The most memory that a process had when it was looked at, in KiB.
    pub(crate) memory: u64,
}

impl Server {
    /// Starts it for the first time.
    pub(crate) async fn start(home: Home) -> Self {
        let faults = Faults::new(&home);
        let mut copying = JoinSet::new();
        let (child, at) = launch(&home, &faults, None, &mut copying).await.expect("it starts");
        Self { home, faults, at, admin: at.admin, child, copying, memory: 0 }
    }

    /// Starts it anew, whatever became of the last process.
    pub(crate) async fn restart(&mut self) {
        let began = tokio::time::Instant::now();
        loop {
            match launch(&self.home, &self.faults, Some(self.at), &mut self.copying).await {
                Ok((child, at)) => {
                    (self.child, self.admin) = (child, at.admin);
                    return;
                }
                // Somebody who listens on all addresses may have a port for a moment.
                Err(said) if said.contains("cannot listen") && began.elapsed() < PATIENCE => {}
                Err(said) => panic!("it does not start again: {said}"),
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended by itself: then that is found out by whoever waits for it.
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it without any warning.
    pub(crate) async fn kill(&mut self) {
        self.look_at_memory();
        self.signal(Signal::KILL);
        self.ended(PATIENCE).await.expect("nothing survives this");
    }

    /// Kills it, loses the store, makes one of a backup, and starts anew. Gives the newest number of what is restored.
    pub(crate) async fn restore(&mut self, from: &Path) -> Result<u64, String> {
        self.kill().await;
        self.home.burn();
        let newest = self.home.run("restore", "--from", from).await?;
        self.restart().await;
        Ok(newest)
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.look_at_memory();
        self.signal(Signal::TERM);
        self.ended(PATIENCE).await.expect("it stops when it is asked to")
    }

    /// Stops its clocks, as it seems to everybody else.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// How it ended, if it has or does so in this time.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await.ok()?;
        Some(ended.expect("it can be waited for"))
    }

    /// Lets no file of the process grow beyond so many bytes.
    pub(crate) fn limit_files(&self, most: Option<u64>) {
        if self.pid().is_some() {
            // None means no limit, for both ends.
            let _ = prlimit(self.pid(), Resource::Fsize, Rlimit { current: most, maximum: None });
        }
    }

    /// Looks how much memory the process has had at most.
    pub(crate) fn look_at_memory(&mut self) {
        let Some(id) = self.child.id() else { return };
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        self.memory = self.memory.max(most.and_then(|most| most.trim().parse().ok()).unwrap_or_default());
    }
}

/// Starts a process, and waits until it serves. What it says goes into the log.
async fn launch(
    home: &Home,
    faults: &Faults,
    at: Option<Addresses>,
    copying: &mut JoinSet<()>,
) -> Result<(Child, Addresses), String> {
    // Writing beyond a limit must be an error and not a signal.
    let mut command = std::process::Command::new("bash");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_switchboard")]);
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
        .expect("there is bash");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(home.log()).expect("a log");
    let mut file = tokio::fs::File::from_std(file);
    let (serving, told) = oneshot::channel();
    copying.spawn(async move {
        let (mut serving, mut said) = (Some(serving), String::new());
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(at) = addresses(&line)
                && let Some(serving) = serving.take()
            {
                let _ = serving.send(Ok(at));
            }
            if serving.is_some() {
                said.push_str(&line);
            }
            let _ = file.write_all(format!("{line}\n").as_bytes()).await;
        }
        let _ = file.flush().await;
        if let Some(serving) = serving {
            let _ = serving.send(Err(said));
        }
    });
    let told = tokio::time::timeout(PATIENCE, told).await.expect("it serves in time or ends");
    Ok((child, told.expect("it says so")?))
}

/// Where it listens, if this line says so.
fn addresses(line: &str) -> Option<Addresses> {
    let fields = serde_json::from_str::<serde_json::Value>(line).ok()?.get("fields")?.clone();
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    let listens =
        || Some(Addresses { grpc: address("grpc")?, webhook: address("webhook")?, admin: address("admin")? });
    (fields.get("message")? == "serving").then(listens).flatten()
}

/// Waits until a process tells its operator that it has opened its store again.
pub(crate) async fn opened_again(admin: SocketAddr) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    loop {
        // While it opens the store, somebody else answers there, and between the two nobody may.
        if let Ok(answer) = client.get(format!("http://{admin}/metrics")).send().await
            && let Ok(page) = answer.text().await
            && page.lines().any(|line| line == "switchboard_store_reopened_total 1")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
