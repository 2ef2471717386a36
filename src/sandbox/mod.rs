//! Both providers, imitated on loopback over HTTP, with faults on demand.
//!
//! The sandbox owns two small HTTP servers that answer as ConnectBy and Connectly are documented to, a
//! record of every call that reached them, and, at Connectly, the life that follows an accepted send:
//! signed `sent`, `delivered` and `read` webhooks and then a customer's answer. It promises that a fault
//! does on the wire what its name says, down to connections that are cut before, in the middle of or
//! after an exchange. It writes the providers' JSON by itself and never shares a type with the client
//! side: what both sides took from one type, no test could catch.
//!
//! [`Sandbox::start`] gives a running sandbox; [`ConnectBy`] and [`Connectly`] are its cheap handles.

mod call_log;
pub mod connectby;
mod connection;
mod connection_flags;
pub mod connectly;
mod endpoint;
mod exchange;
mod fault;
mod listener;
mod multipart;
mod operation;
mod reply;
#[cfg(test)]
mod tests;

pub use call_log::Call;
pub use connectby::ConnectBy;
pub use connectly::Connectly;
pub use endpoint::Endpoint;
pub use fault::{Fault, FaultDetail, FaultMalformed, FaultRule};
pub use operation::{Operation, UnknownOperation};

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use endpoint::ListenerCommand;
use exchange::{Exchange, FakeProvider};
use listener::{AcceptLoop, BoundPort, Stop};

/// How long [`Sandbox::shutdown`] lets calls and webhooks in progress finish before it cuts them.
const GRACE: Duration = Duration::from_secs(2);

/// What a sandbox is started with; the default needs no files and listens on two free loopback ports.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The imitated ConnectBy.
    pub connectby: connectby::Options,
    /// The imitated Connectly.
    pub connectly: connectly::Options,
}

impl Options {
    /// The defaults, with every delay of Connectly's automatic life set to zero.
    pub fn instant() -> Self {
        let connectly = connectly::Options { timing: connectly::Timing::INSTANT, ..Default::default() };
        Self { connectly, ..Self::default() }
    }
}

/// Two running providers. Dropping it stops them at once; [`Sandbox::shutdown`] stops them in order.
#[derive(Debug)]
pub struct Sandbox {
    connectby: ConnectBy,
    connectly: Connectly,
    stop: Stop,
    tasks: TaskTracker,
    _stops_on_drop: DropGuard,
}

impl Sandbox {
    /// Binds both listeners and starts answering. Must be called inside a tokio runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let kill = CancellationToken::new();
        let stop = Stop { graceful: kill.child_token(), kill: kill.clone() };
        let tasks = TaskTracker::new();

        let (port, endpoint, commands) = bind(options.connectby.listen)?;
        let connectby = ConnectBy::new(endpoint.clone(), options.connectby);
        serve(&tasks, port, endpoint, commands, connectby.fake_provider(), &stop);

        let (port, endpoint, commands) = bind(options.connectly.listen)?;
        let connectly = Connectly::new(endpoint.clone(), options.connectly, tasks.clone(), &stop)?;
        serve(&tasks, port, endpoint, commands, connectly.fake_provider(), &stop);

        Ok(Self { connectby, connectly, stop, tasks, _stops_on_drop: kill.drop_guard() })
    }

    /// The imitated ConnectBy.
    pub fn connectby(&self) -> &ConnectBy {
        &self.connectby
    }

    /// The imitated Connectly.
    pub fn connectly(&self) -> &Connectly {
        &self.connectly
    }

    /// Stops accepting, gives what is in progress two seconds, and cuts the rest. Webhooks that still
    /// wait for their time are dropped.
    pub async fn shutdown(self) {
        self.stop.graceful.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            self.stop.kill.cancel();
            self.tasks.wait().await;
        }
    }
}

fn bind(listen: std::net::SocketAddr) -> io::Result<(BoundPort, Endpoint, mpsc::Receiver<ListenerCommand>)> {
    let port = BoundPort::bind(listen)?;
    let (sender, commands) = mpsc::channel(1);
    let endpoint = Endpoint::new(port.address(), sender);
    Ok((port, endpoint, commands))
}

fn serve(
    tasks: &TaskTracker,
    port: BoundPort,
    endpoint: Endpoint,
    commands: mpsc::Receiver<ListenerCommand>,
    fake_provider: Arc<dyn FakeProvider>,
    stop: &Stop,
) {
    let exchange = Exchange::new(endpoint, fake_provider);
    tasks.spawn(AcceptLoop::new(port, exchange, stop.clone()).run(commands));
}
