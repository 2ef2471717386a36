//! Switchboard, as the benchmarks run it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use switchboard::api::{self, Api};
use switchboard::app::{self, Addresses, App, Listeners};
use switchboard::config::Config;
use switchboard::dispatch::{Dispatch, OnNotDone};
use switchboard::journal::{Journal, SubscriptionChanges, Tail};
use switchboard::messages::{MessageWatchers, Messages};
use switchboard::provider::Accounts;
use switchboard::store::{self, ReplicaId, Store};
use switchboard::telemetry;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::Result;
use crate::process::LocalServer;
use crate::sample::{self, ACCOUNT, API_KEY, BUSINESS_ID, WEBHOOK_SECRET};

/// The whole server, as `switchboard serve` runs it.
#[derive(Debug)]
pub(crate) struct Gateway {
    addresses: Addresses,
    stop: CancellationToken,
    running: JoinHandle<Result<(), app::Error>>,
    _journal: TempDir,
}

impl Gateway {
    /// Starts the server. Sends need `upstream`; webhooks do not.
    pub(crate) fn start(runtime: &Runtime, folder: &Path, upstream: Option<SocketAddr>) -> Result<Self> {
        let journal = tempfile::tempdir_in(folder)?;
        let no_provider = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let config = config(journal.path(), upstream.unwrap_or(no_provider))?;
        drop(telemetry::log_to_stderr(&config.log)?);
        let _entered = runtime.enter();
        let listeners = Listeners::bind(&config)?;
        let app = App::build(&config, listeners, None)?;
        let addresses = app.addresses();
        let stop = CancellationToken::new();
        let running = runtime.spawn(app.run(stop.clone()));
        Ok(Self { addresses, stop, running, _journal: journal })
    }
}

impl LocalServer for Gateway {
    fn address(&self) -> SocketAddr {
        self.addresses.grpc
    }

    fn webhook(&self) -> SocketAddr {
        self.addresses.webhook
    }

    fn stop(self: Box<Self>, runtime: &Runtime) -> Result<()> {
        self.stop.cancel();
        Ok(runtime.block_on(self.running)??)
    }
}

/// Switchboard's gRPC services and journal without the HTTP ingress. The process appends events directly, which limits
/// the measurement to delivery as far as possible.
#[derive(Debug)]
pub(crate) struct Streams {
    address: SocketAddr,
    journal: Journal,
    stop: CancellationToken,
    _folder: TempDir,
}

/// The number of events in each commit, the same as a group commit with this many webhooks in flight.
pub(crate) const COMMIT: usize = 64;

impl Streams {
    pub(crate) fn start(runtime: &Runtime, folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let config = config(folder.path(), SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))?;
        drop(telemetry::log_to_stderr(&config.log)?);
        let _ = telemetry::metrics::install();
        let _entered = runtime.enter();
        let tail = Arc::new(Tail::new());
        let committed_tail = Arc::clone(&tail);
        let owner = ReplicaId::generate();
        let store = Store::open(store::Options {
            path: config.journal.path.clone(),
            encode: api::encode_event,
            committed: Box::new(move |changes| committed_tail.push(changes.events)),
            replica_id: owner,
            max_pages: None,
        })?;
        let journal = Journal::new(store.clone(), tail, SubscriptionChanges::new());
        let stop = CancellationToken::new();
        let accounts = Accounts::new(&config.accounts)?;
        let api = Api {
            dispatch: Dispatch::new(
                accounts.clone(),
                store.clone(),
                owner,
                OnNotDone::new(|_, _| {}),
                stop.clone(),
            ),
            messages: Messages::new(accounts, store, MessageWatchers::new(), config.sends.retention),
            journal: journal.clone(),
            webhook: config.webhook.clone(),
            leaving: stop.clone(),
            stopping: stop.clone(),
            sandbox: None,
        };
        let (routes, maintain_health) = api.routes();
        runtime.spawn(maintain_health);
        let listener = runtime.block_on(TcpListener::bind(config.grpc.listen))?;
        let address = listener.local_addr()?;
        // The same settings as in `app`.
        let server = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .max_concurrent_streams(Some(2_048))
            .add_routes(routes)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        runtime.spawn(server);
        Ok(Self { address, journal, stop, _folder: folder })
    }
}

impl LocalServer for Streams {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn publish(&mut self, runtime: &Runtime, events: usize) -> Result<()> {
        let mut remaining = events;
        while remaining > 0 {
            let batch = remaining.min(COMMIT);
            let appends = (0..batch).map(|_| sample::append()).collect();
            runtime.block_on(self.journal.append(appends))?;
            remaining -= batch;
        }
        Ok(())
    }

    fn stop(self: Box<Self>, _: &Runtime) -> Result<()> {
        self.stop.cancel();
        Ok(())
    }
}

fn config(journal: &Path, upstream: SocketAddr) -> Result<Config> {
    let path = toml::Value::from(journal.join("switchboard.db").to_string_lossy().into_owned());
    let text = format!(
        r#"
        grpc.listen = "127.0.0.1:0"
        webhook.listen = "127.0.0.1:0"
        admin.listen = "127.0.0.1:0"
        journal.path = {path}
        log.filter = "warn"
        shutdown.delay = "0s"

        [[accounts]]
        id = "{ACCOUNT}"
        provider = "connectly"
        base_url = "http://{upstream}"
        business_id = "{BUSINESS_ID}"
        api_key = "{API_KEY}"
        webhook_secrets = ["{WEBHOOK_SECRET}"]
        # The benchmark measures the cost of the gate, so the limits must not reject calls.
        gate.calls_per_second = 100000
        gate.calls_in_flight = 4096
        "#
    );
    Ok(Config::parse(&text, &BTreeMap::new())?)
}
