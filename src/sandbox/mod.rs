//! Both providers, simulated on loopback over HTTP, with injectable faults.
//!
//! The sandbox has two small HTTP servers that reply as ConnectBy and Connectly document it, and a log of every call
//! that reached them. After an accepted send, the simulated Connectly delivers signed `sent`, `delivered` and `read`
//! webhooks and then a customer's reply.
//!
//! **Invariant:** a fault does on the wire what its name says. This includes connections that are cut before, during or
//! after an exchange.
//!
//! **Invariant:** the sandbox writes the providers' JSON itself and shares no type with the provider clients. No test
//! could find an error in a type that both sides share.
//!
//! [`Sandbox::start`] returns a running sandbox. [`ConnectBy`] and [`Connectly`] are its handles, and are cheap to
//! clone.

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

/// The options of a sandbox. The defaults need no files and listen on two free loopback ports.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The options of the simulated ConnectBy.
    pub connectby: connectby::Options,
    /// The options of the simulated Connectly.
    pub connectly: connectly::Options,
}

impl Options {
    /// The defaults, but without the delays of Connectly's automatic webhooks.
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
    /// Binds both listeners and starts serving. Must be called inside a tokio runtime.
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

    /// The simulated ConnectBy.
    pub fn connectby(&self) -> &ConnectBy {
        &self.connectby
    }

    /// The simulated Connectly.
    pub fn connectly(&self) -> &Connectly {
        &self.connectly
    }

    /// Stops accepting, lets calls and webhooks in progress finish for two seconds, and cuts the rest. Webhooks that
    /// are not yet due are dropped.
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
