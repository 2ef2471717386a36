//! Builds the parts from the configuration, runs them, and stops them in order.
//!
//! The listeners are bound before the server is built, and a token stops the server. So the code that starts a server
//! knows its addresses at once and never polls until it is up.

mod grpc_server;
mod health;
mod open_files;
mod reopen;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics::gauge;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::admin::Admin;
use crate::api::{self, Api};
use crate::config::{self, Config};
use crate::dispatch::{Dispatch, OnNotDone};
use crate::domain::Cursor;
use crate::journal::{Journal, SubscriptionChanges, Tail};
use crate::listener::{self, Limits};
use crate::maintenance::{Gauges, Retention, RetentionPolicy};
use crate::messages::{MessageWatchers, Messages};
use crate::provider::{self, Accounts};
use crate::sandbox::Sandbox;
use crate::store::{self, Health, ReplicaId, Store};
use crate::telemetry::metrics::{STORE_WRITABLE, install, register_account, render};
use crate::webhook::Ingress;

pub use health::{HealthError, check_health};
pub use open_files::{TooFewOpenFiles, raise_open_files_limit};
pub use reopen::serve;

/// The maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

/// The minimum time that the store has for closing.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits of the operator's listener. A scraper's idle connection must survive the time between two scrapes.
const ADMIN_LIMITS: Limits = Limits {
    section: "admin",
    connections: 256,
    idle: Duration::from_secs(180),
    slow: Duration::from_secs(10),
};

/// Bound sockets that listen.
#[derive(Debug)]
pub struct Listeners {
    /// For clients.
    pub grpc: TcpListener,
    /// For providers.
    pub webhook: TcpListener,
    /// For the operator.
    pub admin: TcpListener,
}

/// The addresses of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For clients.
    pub grpc: SocketAddr,
    /// For providers.
    pub webhook: SocketAddr,
    /// For the operator.
    pub admin: SocketAddr,
}

/// A server that is built and ready to run.
#[derive(Debug)]
pub struct App {
    listeners: Listeners,
    addresses: Addresses,
    routes: Routes,
    grpc: config::Grpc,
    ingress: Router,
    webhook_limits: Limits,
    admin: Router,
    dispatch: Dispatch,
    store: Store,
    leaving: CancellationToken,
    stopping: CancellationToken,
    background: JoinSet<()>,
    delay: Duration,
    grace: Duration,
}

/// An open store and the receivers of its commits.
struct StoreHandles {
    store: Store,
    tail: Arc<Tail>,
    message_watchers: MessageWatchers,
    subscription_changes: SubscriptionChanges,
    replica_id: ReplicaId,
}

/// Why a server does not start, or stops without a request to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be bound.
    #[error("cannot listen on {address} ({section}.listen)")]
    Bind {
        /// The section of the configuration.
        section: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A listening socket has no address, or cannot be duplicated.
    #[error("cannot use a listening socket")]
    Socket(#[source] std::io::Error),
    /// An account cannot be set up.
    #[error("cannot set up an account")]
    Account(#[from] provider::SetupError),
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[from] store::Error),
    /// The disk failed to persist a write, so the data on it cannot be trusted. Only [`serve`] or the next process may
    /// use it, after it has read all of it again. Nothing in this process has the store open any longer.
    #[error(
        "the store's disk failed; the server stops because it can no longer guarantee that data is durable"
    )]
    StoreFailed {
        /// The newest position that the store has published.
        newest: Cursor,
    },
    /// The disk failed, and a part of this process still has the store open.
    #[error("the store's disk failed, and the store did not close in time")]
    StoreStuck,
    /// The disk failed, and the data on it cannot be trusted.
    #[error("the store's disk failed, and the store could not be opened again and verified")]
    NotReopened(#[source] store::Error),
    /// The disk failed, the store was opened again, and the disk failed once more.
    #[error("the store's disk failed for the second time; check the disk before you start the server again")]
    StoreFailedAgain,
    /// A listener or a task ended before the server was stopped.
    #[error("a part of the server ended unexpectedly")]
    Ended(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
}

impl Listeners {
    /// Binds the addresses of the configuration. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// If one of them cannot be bound.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            grpc: bind("grpc", config.grpc.listen)?,
            webhook: bind("webhook", config.webhook.listen)?,
            admin: bind("admin", config.admin.listen)?,
        })
    }

    /// Returns the bound addresses. Port 0 is replaced by the port that the system chose.
    ///
    /// # Errors
    ///
    /// If a socket has no address.
    pub fn addresses(&self) -> Result<Addresses, Error> {
        let address = |listener: &TcpListener| listener.local_addr().map_err(Error::Socket);
        Ok(Addresses {
            grpc: address(&self.grpc)?,
            webhook: address(&self.webhook)?,
            admin: address(&self.admin)?,
        })
    }
}

/// Binds with a long backlog, because all subscribers reconnect at once after a restart.
fn bind(section: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of an ended process in TIME_WAIT must not keep the next process from binding.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| Error::Bind { section, address, source })
}

impl StoreHandles {
    fn open(path: &Path) -> Result<Self, store::Error> {
        Self::open_with(path, Store::open)
    }

    /// See [`Store::reopen`].
    fn reopen(path: &Path, newest: Cursor) -> Result<Self, store::Error> {
        Self::open_with(path, |options| Store::reopen(options, newest))
    }

    fn open_with(
        path: &Path,
        open: impl FnOnce(store::Options) -> Result<Store, store::Error>,
    ) -> Result<Self, store::Error> {
        let (tail, message_watchers, subscription_changes) =
            (Arc::new(Tail::new()), MessageWatchers::new(), SubscriptionChanges::new());
        let replica_id = ReplicaId::generate();
        let store = open(store::Options {
            path: path.to_owned(),
            encode: api::encode_event,
            committed: {
                let (tail, message_watchers, subscription_changes) =
                    (Arc::clone(&tail), message_watchers.clone(), subscription_changes.clone());
                Box::new(move |changes| {
                    tail.push(changes.events);
                    message_watchers.notify_changed(changes.messages);
                    subscription_changes.notify(changes.subscriptions);
                })
            },
            replica_id,
            max_pages: None,
        })?;
        Ok(Self { store, tail, message_watchers, subscription_changes, replica_id })
    }
}

impl App {
    /// Builds all parts and opens the journal. The server responds to nothing before [`run`](Self::run). Clients that
    /// connect meanwhile wait.
    ///
    /// # Errors
    ///
    /// If a part cannot be built.
    pub fn build(
        config: &Config,
        listeners: Listeners,
        sandbox: Option<Arc<Sandbox>>,
    ) -> Result<Self, Error> {
        // Opening the store may create its file, so everything that can fail without it comes first.
        let accounts = Accounts::new(&config.accounts)?;
        Self::with_accounts(config, listeners, sandbox, accounts)
    }

    /// Like [`build`](Self::build), with the clients of other providers than those of this library.
    ///
    /// # Errors
    ///
    /// If the store cannot be opened.
    pub fn with_accounts(
        config: &Config,
        listeners: Listeners,
        sandbox: Option<Arc<Sandbox>>,
        accounts: Accounts,
    ) -> Result<Self, Error> {
        Self::assemble(config, listeners, sandbox, accounts, StoreHandles::open(&config.journal.path)?)
    }

    fn assemble(
        config: &Config,
        listeners: Listeners,
        sandbox: Option<Arc<Sandbox>>,
        accounts: Accounts,
        handles: StoreHandles,
    ) -> Result<Self, Error> {
        let StoreHandles { store, tail, message_watchers, subscription_changes, replica_id } = handles;
        let addresses = listeners.addresses()?;
        install();
        accounts.iter().for_each(|account| register_account(account.id().as_str()));
        let (leaving, stopping) = (CancellationToken::new(), CancellationToken::new());
        let journal = Journal::new(store.clone(), tail, subscription_changes);
        let policy = RetentionPolicy {
            events: config.journal.retention,
            unacknowledged_events: config.journal.subscription_retention,
            event_bytes: config.journal.retention_bytes,
            requests: config.sends.request_id_retention,
            messages: config.sends.retention,
        };
        let retention = Retention::new(store.clone(), policy);
        let gauges = Gauges::new(store.clone());
        let dispatch = Dispatch::new(
            accounts.clone(),
            store.clone(),
            replica_id,
            OnNotDone::new({
                let message_watchers = message_watchers.clone();
                move |message_id, failure| message_watchers.notify_not_done(message_id, failure)
            }),
            stopping.clone(),
        );
        let messages =
            Messages::new(accounts.clone(), store.clone(), message_watchers, config.sends.retention);
        let health = store.health();
        let webhook_limits = Limits {
            section: "webhook",
            connections: config.webhook.max_connections,
            idle: config.webhook.idle_timeout,
            slow: config.webhook.read_timeout,
        };
        let ingress = Ingress::new(&config.webhook, accounts, journal.clone()).router();
        let admin = Admin { store: health.clone(), leaving: leaving.clone(), metrics: render }.router();
        let (routes, health_task) = Api {
            dispatch: dispatch.clone(),
            messages,
            journal: journal.clone(),
            webhook: config.webhook.clone(),
            leaving: leaving.clone(),
            stopping: stopping.clone(),
            sandbox,
        }
        .routes();
        let mut grpc = config.grpc.clone();
        if let Err(too_few) = raise_open_files_limit(config) {
            tracing::warn!("{too_few}");
            grpc.max_connections = too_few.grpc_connections;
        }
        let routes =
            if grpc.web_origins.is_empty() { routes } else { api::with_grpc_web(routes, &grpc.web_origins) };

        let mut background = JoinSet::new();
        background.spawn(run_until_stopped(stopping.clone(), retention.run()));
        background.spawn(run_until_stopped(stopping.clone(), gauges.run()));
        background.spawn({
            let stopping = stopping.clone();
            async move {
                health_task.await;
                stopping.cancelled().await;
            }
        });
        background.spawn(run_until_stopped(stopping.clone(), update_writable_gauge(health)));
        let config::Shutdown { delay, grace } = config.shutdown;
        Ok(Self {
            listeners,
            addresses,
            routes,
            grpc,
            ingress,
            webhook_limits,
            admin,
            dispatch,
            store,
            leaving,
            stopping,
            background,
            delay,
            grace,
        })
    }

    /// Returns the addresses of the server.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `stop` is cancelled, and reports not ready while it serves for `shutdown.delay` more. Then it stops in
    /// order. Streams close and new calls are rejected. Sends and
    /// webhooks in progress finish. Then the store closes. Work that has not finished within the configured grace
    /// period is aborted.
    ///
    /// # Errors
    ///
    /// If a part fails and the server cannot continue.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            listeners,
            routes,
            grpc,
            ingress,
            webhook_limits,
            admin,
            dispatch,
            store,
            leaving,
            stopping,
            mut background,
            delay,
            grace,
            ..
        } = self;
        let mut servers = JoinSet::new();
        servers.spawn(grpc_server::serve(listeners.grpc, routes, grpc, stopping.clone()));
        let webhooks = listener::serve(listeners.webhook, ingress, webhook_limits, stopping.clone());
        servers.spawn(async {
            webhooks.await;
            Ok(())
        });
        // The operator's listener serves until all other parts have stopped.
        let stopped = CancellationToken::new();
        let mut admin_server = JoinSet::new();
        admin_server.spawn(listener::serve(listeners.admin, admin, ADMIN_LIMITS, stopped.clone()));

        let mut health = store.health();
        let failure = tokio::select! {
            () = leave(&stop, &leaving, delay) => None,
            () = wait_until_dead(&mut health) => Some(Error::StoreFailed { newest: store.newest() }),
            Some(ended) = servers.join_next() => Some(unexpected_end(ended)),
            Some(ended) = admin_server.join_next() => Some(unexpected_end(ended.map(Ok))),
            Some(ended) = background.join_next() => Some(unexpected_end(ended.map(Ok))),
        };

        tracing::info!("stopping");
        leaving.cancel();
        stopping.cancel();
        let drained = async {
            while servers.join_next().await.is_some() {}
            dispatch.drain().await;
            while background.join_next().await.is_some() {}
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!(
                grace_seconds = grace.as_secs(),
                "shutdown grace period exceeded: aborting the remaining calls and tasks"
            );
        }
        servers.shutdown().await;
        background.shutdown().await;
        stopped.cancel();
        admin_server.shutdown().await;
        // Aborted connections may still hold handles to the store. So the store gets a command to close, and does not
        // wait until the last handle is dropped.
        let closed = async {
            store.close().await;
            while health.changed().await.is_ok() {}
        };
        let stuck = tokio::time::timeout(grace.max(STORE_CLOSE_TIMEOUT), closed).await.is_err();
        if stuck {
            tracing::warn!("store did not close in time");
        }
        match failure {
            None => Ok(()),
            Some(Error::StoreFailed { .. }) if stuck => Err(Error::StoreStuck),
            // `newest` is read again, because commits in progress at the failure have been published since.
            Some(Error::StoreFailed { .. }) => Err(Error::StoreFailed { newest: store.newest() }),
            Some(failure) => Err(failure),
        }
    }
}

type ServeError = Box<dyn std::error::Error + Send + Sync>;

fn unexpected_end(ended: Result<Result<(), ServeError>, JoinError>) -> Error {
    Error::Ended(match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(error) => Some(error.into()),
    })
}

/// Waits for `stop`. Then reports not ready, and gives load balancers the time to notice while the server still serves.
async fn leave(stop: &CancellationToken, leaving: &CancellationToken, delay: Duration) {
    stop.cancelled().await;
    leaving.cancel();
    if !delay.is_zero() {
        tracing::info!(delay_seconds = delay.as_secs_f64(), "not ready: serving until the delay has passed");
        tokio::time::sleep(delay).await;
    }
}

/// Runs a task until the server stops. A task that ends earlier is a failure.
async fn run_until_stopped(stopping: CancellationToken, task: impl Future<Output = ()>) {
    stopping.run_until_cancelled(task).await;
}

/// Waits until the store can no longer be trusted.
async fn wait_until_dead(store: &mut watch::Receiver<Health>) {
    // A closed channel means that the writer has ended.
    let _ = store.wait_for(|health| *health == Health::Dead).await;
}

async fn update_writable_gauge(mut store: watch::Receiver<Health>) {
    loop {
        let writable = *store.borrow_and_update() == Health::Writable;
        gauge!(STORE_WRITABLE).set(if writable { 1.0 } else { 0.0 });
        if store.changed().await.is_err() {
            return;
        }
    }
}
