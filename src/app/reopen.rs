//! Recovery from the first failure of the store's disk.
//!
//! If the disk fails to persist a write, for example at a failed fsync, the server stops in order. It confirms nothing
//! more, rejects waiting writes and ends streams. The store closes without checkpointing its log. The same process then
//! opens the store again, writes all of its content to the disk once more, verifies it, and serves again. All state in
//! memory is rebuilt. The outcome of attempts in progress is unknown, as after a crash.
//!
//! **Invariants.** The listening sockets stay open, so clients that connect wait and no other process can take the
//! address. A server that is asked to stop, or that has already recovered once, closes them as it stops. Nothing of the
//! failed store is published after the failure, and nothing of the new one before it is verified. A process recovers
//! once. A second failure, also during the recovery, ends it.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use metrics::{counter, gauge};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{ADMIN_LIMITS, Accounts, Addresses, App, Error, Listeners, StoreHandles};
use crate::admin;
use crate::config::Config;
use crate::domain::Cursor;
use crate::listener;
use crate::sandbox::Sandbox;
use crate::telemetry::metrics::{STORE_REOPENED, STORE_WRITABLE, install, render};

/// Builds the server and runs it until `stop` is cancelled. It recovers from the first failure of the store's disk.
/// `serving` is called after the first build, with the addresses and the sequence number of the newest event.
///
/// # Errors
///
/// If a part cannot be built, or fails and the server cannot continue.
pub async fn serve(
    config: &Config,
    listeners: Listeners,
    sandbox: Option<Arc<Sandbox>>,
    stop: CancellationToken,
    serving: impl FnOnce(Addresses, u64),
) -> Result<(), Error> {
    install();
    counter!(STORE_REOPENED).absolute(0);
    let mut retained = Some(RetainedSockets::new(&listeners)?);
    let app = App::build(config, listeners, sandbox.clone())?;
    serving(app.addresses(), app.store.log_range().newest);
    let mut running = Box::pin(app.run(stop.clone()));
    let result = tokio::select! {
        result = &mut running => result,
        () = stop.cancelled() => {
            // The server does not recover after this, so new connections must not wait for it.
            retained = None;
            running.await
        }
    };
    let newest = match result {
        Err(Error::StoreFailed { newest }) if !stop.is_cancelled() => newest,
        result => return result,
    };
    let Some(retained) = retained else { return Err(Error::StoreFailed { newest }) };
    tracing::error!("store disk failed: reopening the store and verifying it before serving again");
    gauge!(STORE_WRITABLE).set(0.0);
    let accounts = Accounts::new(&config.accounts)?;
    let Some(handles) = stop.run_until_cancelled(reopen_store(config, &retained, newest)).await else {
        return Err(Error::StoreFailed { newest });
    };
    let app = App::assemble(config, retained.listeners()?, sandbox, accounts, handles?)?;
    drop(retained);
    counter!(STORE_REOPENED).increment(1);
    tracing::warn!("store verified: serving again");
    match app.run(stop).await {
        Err(Error::StoreFailed { .. }) => Err(Error::StoreFailedAgain),
        result => result,
    }
}

/// Opens the store again and verifies it. This takes as long as reading all of it. The operator's listener serves
/// meanwhile.
async fn reopen_store(
    config: &Config,
    retained: &RetainedSockets,
    newest: Cursor,
) -> Result<StoreHandles, Error> {
    let path = config.journal.path.clone();
    let (sender, receiver) = oneshot::channel();
    // A detached thread, so stopping the server does not wait for the disk.
    std::thread::Builder::new()
        .name("store-verify".to_owned())
        .spawn(move || drop(sender.send(StoreHandles::reopen(&path, newest))))
        .map_err(|source| Error::Ended(Some(source.into())))?;
    let admin_server = listener::serve(
        from_std(&retained.admin)?,
        admin::without_store(render),
        ADMIN_LIMITS,
        CancellationToken::new(),
    );
    tokio::select! {
        opened = receiver => opened.map_err(|_| Error::Ended(None))?.map_err(Error::NotReopened),
        () = admin_server => Err(Error::Ended(None)),
    }
}

/// Duplicates of the listening sockets. Nothing accepts from them.
struct RetainedSockets {
    grpc: std::net::TcpListener,
    webhook: std::net::TcpListener,
    admin: std::net::TcpListener,
}

impl RetainedSockets {
    fn new(listeners: &Listeners) -> Result<Self, Error> {
        let retained = |listener: &TcpListener| {
            listener.as_fd().try_clone_to_owned().map(std::net::TcpListener::from).map_err(Error::Socket)
        };
        Ok(Self {
            grpc: retained(&listeners.grpc)?,
            webhook: retained(&listeners.webhook)?,
            admin: retained(&listeners.admin)?,
        })
    }

    fn listeners(&self) -> Result<Listeners, Error> {
        Ok(Listeners {
            grpc: from_std(&self.grpc)?,
            webhook: from_std(&self.webhook)?,
            admin: from_std(&self.admin)?,
        })
    }
}

/// Duplicates a socket as one that can accept.
fn from_std(retained: &std::net::TcpListener) -> Result<TcpListener, Error> {
    retained.try_clone().and_then(TcpListener::from_std).map_err(Error::Socket)
}
