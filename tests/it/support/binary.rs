//! The real binary as a process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard::pb::v1::SubscribeRequest;
use switchboard::pb::v1::subscribe_request::Start as From;
use switchboard::sandbox::connectly::sign;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::gateway::{Subscriber, TIMEOUT, subscribe};

/// The account in the configuration of [`Home`].
pub(crate) const ACCOUNT: &str = "globex";
pub(crate) const SECRET: &str = "a-webhook-secret-that-must-not-leak";
pub(crate) const BUSINESS_ID: &str = "00000000-0000-4000-8000-000000000001";
pub(crate) const API_KEY: &str = "an-api-key-that-must-not-leak";

/// A running `switchboard serve`. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Reads the log to its end.
    collecting: Option<std::thread::JoinHandle<()>>,
    /// Whether the thread keeps reading the log.
    keep_reading: Arc<AtomicBool>,
    /// Whether the pipe of the log stays open when the thread stops reading.
    keep_open: Arc<AtomicBool>,
    pub(crate) grpc: SocketAddr,
    pub(crate) webhook: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Arc<Mutex<String>>,
}

/// A folder with a configuration and a store.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    pub(crate) fn new(base_url: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = format!(
            "[grpc]\nlisten = \"127.0.0.1:0\"\n[webhook]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nformat = \"json\"\n[shutdown]\ndelay = \"0s\"\n\
             [journal]\npath = \"{}\"\n\
             [[accounts]]\nid = \"{ACCOUNT}\"\nprovider = \"connectly\"\nbase_url = \"{base_url}\"\n\
             business_id = \"{BUSINESS_ID}\"\n\
             api_key = {{ env = \"GLOBEX_API_KEY\" }}\nwebhook_secrets = [\"{SECRET}\"]\n",
            folder.path().join("switchboard.db").display(),
        );
        std::fs::write(folder.path().join("switchboard.toml"), text).expect("written");
        Self { folder }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("switchboard.toml")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.arg("serve").arg("--config").arg(self.config());
        command
    }

    /// The server under a limit of the shell's `ulimit`, such as `-n 64`.
    #[cfg(target_os = "linux")]
    pub(crate) fn command_with_ulimit(&self, limit: &str) -> Command {
        let serve = self.command();
        let mut limited = Command::new("bash");
        limited.arg("-c").arg(format!("ulimit {limit}; exec \"$@\"")).arg("bash").arg(serve.get_program());
        limited.args(serve.get_args()).envs(serve.get_envs().filter_map(|(key, value)| Some((key, value?))));
        limited
    }

    /// Deletes the files of the store, as a lost disk would.
    pub(crate) fn delete_store(&self) {
        for name in ["switchboard.db", "switchboard.db-wal", "switchboard.db-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
    }
}

impl Server {
    /// Starts a command and waits until its log contains the addresses that it serves.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .env("GLOBEX_API_KEY", API_KEY)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let mut at: HashMap<String, SocketAddr> = HashMap::new();
        while at.is_empty() {
            let mut line = String::new();
            assert_ne!(
                lines.read_line(&mut line).expect("readable"),
                0,
                "ended: {}",
                log.lock().expect("unpoisoned")
            );
            let fields =
                serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default()["fields"].clone();
            if fields["message"] == "serving" {
                for name in ["grpc", "webhook", "admin"] {
                    let address = fields[name].as_str().expect("an address").parse().expect("an address");
                    at.insert(name.to_owned(), address);
                }
            }
            log.lock().expect("unpoisoned").push_str(&line);
        }
        let kept = Arc::clone(&log);
        let keep_reading = Arc::new(AtomicBool::new(true));
        let is_wanted = Arc::clone(&keep_reading);
        let keep_open = Arc::new(AtomicBool::new(false));
        let stays_open = Arc::clone(&keep_open);
        let collecting = std::thread::spawn(move || {
            let mut lines = lines.lines();
            for line in lines.by_ref().map_while(Result::ok) {
                kept.lock().expect("unpoisoned").push_str(&line);
                if !is_wanted.load(Ordering::SeqCst) {
                    break;
                }
            }
            if stays_open.load(Ordering::SeqCst) {
                std::mem::forget(lines);
            }
        });
        let (grpc, webhook, admin) = (at["grpc"], at["webhook"], at["admin"]);
        Self { collecting: Some(collecting), keep_reading, keep_open, child, grpc, webhook, admin, log }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc))
            .expect("a URI")
            .connect()
            .await
            .expect("connects")
    }

    pub(crate) async fn subscribe(&self, start: From) -> Subscriber {
        let request = SubscribeRequest { start: Some(start), ..SubscribeRequest::default() };
        subscribe(self.channel().await, request).await.expect("subscribed")
    }

    /// Reads one more line of the log and then closes the pipe. Later writes of the log fail.
    #[cfg(target_os = "linux")]
    pub(crate) fn close_log(&self) {
        self.keep_reading.store(false, Ordering::SeqCst);
    }

    /// Reads one more line of the log and then leaves the pipe open without reading it.
    #[cfg(target_os = "linux")]
    pub(crate) fn stop_reading_log(&self) {
        self.keep_open.store(true, Ordering::SeqCst);
        self.keep_reading.store(false, Ordering::SeqCst);
    }

    /// Waits until the pipe is closed.
    #[cfg(target_os = "linux")]
    pub(crate) async fn log_closed(&self) {
        while !self.collecting.as_ref().expect("not ended").is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// Sends SIGKILL. Unlike a power cut, this keeps the page cache.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("still running");
        self.child.wait().expect("reaped");
    }

    /// Waits until the process exits. Returns its status and its whole log.
    #[cfg(target_os = "linux")]
    pub(crate) async fn wait_for_exit(mut self) -> (std::process::ExitStatus, String) {
        let ended = super::gateway::within(async {
            loop {
                match self.child.try_wait().expect("waitable") {
                    Some(status) => return status,
                    None => tokio::task::yield_now().await,
                }
            }
        });
        let status = ended.await;
        self.collecting.take().expect("once").join().expect("reads to the end");
        let log = self.log.lock().expect("unpoisoned").clone();
        (status, log)
    }

    /// Sends SIGTERM and waits for the exit. Returns whether the exit status is 0.
    pub(crate) fn terminate(mut self) -> bool {
        let killed =
            Command::new("kill").arg(self.child.id().to_string()).status().expect("`kill` is installed");
        assert!(killed.success());
        let began = Instant::now();
        loop {
            match self.child.try_wait().expect("waitable") {
                Some(status) => {
                    self.collecting.take().expect("once").join().expect("reads to the end");
                    return status.success();
                }
                None if began.elapsed() > TIMEOUT => panic!("the server does not stop"),
                None => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts a signed webhook to the account of [`Home`] and returns the HTTP status. None if the server did not answer.
pub(crate) async fn post(client: &reqwest::Client, webhook: SocketAddr, body: String) -> Option<u16> {
    let signature = sign(SECRET, body.as_bytes());
    let request = client
        .post(format!("http://{webhook}/webhooks/{ACCOUNT}"))
        .header("x-connectly-hmac-sha256", signature)
        .timeout(Duration::from_secs(10))
        .body(body);
    request.send().await.ok().map(|answer| answer.status().as_u16())
}
