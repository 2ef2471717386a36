//! Serving through the first failure of the store's disk.
//!
//! A disk that did not keep what it was told to keep stops the server in order: nothing more is promised, what waits is
//! refused, streams end, and the store closes without moving its log. Then the same process opens the store again,
//! brings all of it to the disk once more, verifies it, and serves again. What was in memory is built anew; attempts that
//! were under way are unknown, as after a crash.
//!
//! **Invariants.** The listening sockets stay open all the while: whoever connects waits, and nobody else can take the
//! address. Only a server that is to stop, or has no second chance, gives them up as it stops. Nothing of the failed
//! store is told after the failure, and nothing of the new one before it was verified. It happens once in the life of a
//! process: a second failure, also while the store is opened again, ends it.

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
use crate::telemetry::metrics::{STORE_REOPENED, STORE_WRITABLE, install};

/// Builds the server and runs it until `stop` is cancelled, beyond one failure of the store's disk. `serving` is called
/// when it is built for the first time.
///
/// # Errors
///
/// When a part cannot be built, or fails and the server cannot go on.
pub async fn serve(
    config: &Config,
    listeners: Listeners,
    sandbox: Option<Arc<Sandbox>>,
    stop: CancellationToken,
    serving: impl FnOnce(Addresses),
) -> Result<(), Error> {
    install();
    counter!(STORE_REOPENED).absolute(0);
    let mut held = Some(RetainedSockets::by(&listeners)?);
    let app = App::build(config, listeners, sandbox.clone())?;
    serving(app.addresses());
    let mut running = Box::pin(app.run(stop.clone()));
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = stop.cancelled() => {
            // Whoever comes now must not be kept waiting for nothing.
            held = None;
            running.await
        }
    };
    let newest = match ended {
        Err(Error::StoreFailed { newest }) if !stop.is_cancelled() => newest,
        ended => return ended,
    };
    let Some(held) = held else { return Err(Error::StoreFailed { newest }) };
    tracing::error!(
        "the store's disk failed: the store is opened again, and verified before it is served from"
    );
    gauge!(STORE_WRITABLE).set(0.0);
    let accounts = Accounts::new(&config.accounts)?;
    let Some(opened) = stop.run_until_cancelled(reopened(config, &held, newest)).await else {
        return Err(Error::StoreFailed { newest });
    };
    let app = App::assemble(config, held.listeners()?, sandbox, accounts, opened?)?;
    drop(held);
    counter!(STORE_REOPENED).increment(1);
    tracing::warn!("the store was verified: serving again");
    match app.run(stop).await {
        Err(Error::StoreFailed { .. }) => Err(Error::StoreFailedAgain),
        ended => ended,
    }
}

/// Opens the store again and verifies it, which takes as long as reading all of it does. The operator may look on.
async fn reopened(config: &Config, held: &RetainedSockets, newest: Cursor) -> Result<StoreHandles, Error> {
    let path = config.journal.path.clone();
    let (done, opened) = oneshot::channel();
    // A thread that nobody waits for: whoever stops the server does not wait for the disk.
    std::thread::Builder::new()
        .name("store-verify".to_owned())
        .spawn(move || drop(done.send(StoreHandles::reopen(&path, newest))))
        .map_err(|source| Error::Ended(Some(source.into())))?;
    let operator = listener::serve(
        listening(&held.admin)?,
        admin::without_store(install()),
        ADMIN_LIMITS,
        CancellationToken::new(),
    );
    tokio::select! {
        opened = opened => opened.map_err(|_| Error::Ended(None))?.map_err(Error::NotReopened),
        () = operator => Err(Error::Ended(None)),
    }
}

/// The sockets that listen, a second time, without anybody who accepts.
struct RetainedSockets {
    grpc: std::net::TcpListener,
    webhook: std::net::TcpListener,
    admin: std::net::TcpListener,
}

impl RetainedSockets {
    fn by(listeners: &Listeners) -> Result<Self, Error> {
        let held = |listener: &TcpListener| {
            listener.as_fd().try_clone_to_owned().map(std::net::TcpListener::from).map_err(Error::Socket)
        };
        Ok(Self {
            grpc: held(&listeners.grpc)?,
            webhook: held(&listeners.webhook)?,
            admin: held(&listeners.admin)?,
        })
    }

    fn listeners(&self) -> Result<Listeners, Error> {
        Ok(Listeners {
            grpc: listening(&self.grpc)?,
            webhook: listening(&self.webhook)?,
            admin: listening(&self.admin)?,
        })
    }
}

/// The same socket, to accept from.
fn listening(held: &std::net::TcpListener) -> Result<TcpListener, Error> {
    held.try_clone().and_then(TcpListener::from_std).map_err(Error::Socket)
}
