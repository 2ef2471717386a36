//! The part of a simulated provider that both providers have in common.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::call_log::{Call, CallLog};
use super::fault::{Fault, FaultRule, FaultRules};
use super::operation::Operation;

/// A command to the accept loop, which replies when it has executed it.
#[derive(Debug)]
pub(super) enum ListenerCommand {
    Close(oneshot::Sender<()>),
    Open(oneshot::Sender<io::Result<()>>),
}

/// One provider's address, its log of calls and its faults. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    base_url: Url,
    log: Mutex<CallLog>,
    faults: FaultRules,
    listener: mpsc::Sender<ListenerCommand>,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, listener: mpsc::Sender<ListenerCommand>) -> Self {
        let base_url = Url::parse(&format!("http://{address}")).expect("a socket address is valid in a URL");
        let shared = Shared { base_url, log: Mutex::default(), faults: FaultRules::default(), listener };
        Self { shared: Arc::new(shared) }
    }

    /// The provider's URL: `http://127.0.0.1:<port>/`.
    pub fn base_url(&self) -> Url {
        self.shared.base_url.clone()
    }

    /// The calls that were read, oldest first. They include calls that a fault then cut or refused. The newest 10 000
    /// are stored, and at most 64 MiB of bodies.
    pub fn calls(&self) -> Vec<Call> {
        self.log(|log| log.calls())
    }

    /// Deletes the logged calls and resets the counts of arrivals.
    pub fn clear_calls(&self) {
        self.log(CallLog::clear);
    }

    /// How many calls of this operation were read since the start or the last [`clear_calls`](Self::clear_calls).
    pub fn arrivals(&self, operation: Operation) -> usize {
        self.log(|log| log.arrivals(Some(operation)))
    }

    /// How many calls were sent to a route that does not exist.
    pub fn unknown_route_arrivals(&self) -> usize {
        self.log(|log| log.arrivals(None))
    }

    /// Adds a rule after the existing ones. When the method returns, the rule applies. For [`Fault::Refuse`], the port
    /// then refuses connections, and open connections are closed.
    pub async fn set_fault(&self, rule: FaultRule) {
        let refuses = rule.fault == Fault::Refuse;
        self.shared.faults.set(rule);
        if refuses {
            let (done, wait) = oneshot::channel();
            if self.shared.listener.send(ListenerCommand::Close(done)).await.is_ok() {
                // If no reply arrives, the sandbox has stopped, and its port refuses connections too.
                let _ = wait.await;
            }
        }
    }

    /// Removes all rules, and listens again if the port was refusing.
    pub async fn clear_faults(&self) -> io::Result<()> {
        self.shared.faults.clear();
        let (done, wait) = oneshot::channel();
        let stopped = || io::Error::other("the sandbox has been stopped");
        self.shared.listener.send(ListenerCommand::Open(done)).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?
    }

    /// The active rules in order, with the number of times that they still apply.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.shared.faults.list()
    }

    pub(super) fn fault_rules(&self) -> &FaultRules {
        &self.shared.faults
    }

    pub(super) fn record(&self, call: Call) -> u64 {
        self.log(|log| log.record(call))
    }

    pub(super) fn set_status(&self, sequence: u64, status: u16) {
        self.log(|log| log.set_status(sequence, status));
    }

    fn log<T>(&self, access: impl FnOnce(&mut CallLog) -> T) -> T {
        access(&mut self.shared.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &self.shared.base_url.as_str())
            .field("faults", &self.faults())
            .finish_non_exhaustive()
    }
}
