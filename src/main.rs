//! The command line.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use switchboard::app::{self, Addresses, Listeners};
use switchboard::backup::{self, StoreFile};
use switchboard::config::{Config, Environment};
use switchboard::sandbox::{Options, Sandbox};
use switchboard::{demo, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// One gRPC service in front of two WhatsApp-business REST APIs, ConnectBy and Connectly.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the accounts of a configuration.
    Serve {
        /// The configuration. Every key is explained by `switchboard reference`.
        #[arg(long)]
        config: PathBuf,
    },
    /// Serve two demo accounts whose providers are imitated on loopback: no file, no credentials, no network.
    Sandbox {
        /// Keep events in this file. By default they are gone when the sandbox stops.
        #[arg(long)]
        store: Option<PathBuf>,
    },
    /// Read a configuration, environment included, and print every fault in it.
    Check {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Write a backup of the journal, and of all else that is kept, in one file: also while `serve` is running.
    ///
    /// The file holds messages and persons, and is readable for its owner alone. It is no store: `serve` refuses it, and
    /// `restore` makes a store of it.
    Backup {
        #[command(flatten)]
        store: StoreFile,
        /// The file to write. It must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Make a store out of a backup, where there is none.
    ///
    /// What came after the backup is lost, and subscribers who had come further are told so (CURSOR_LOST). Sends that were
    /// made after it are not known any more: so for as long as a request_id is remembered (24 hours by default), a
    /// request_id that is not known is answered SEND_OUTCOME_UNKNOWN, and sent only with resend_after_attempt 1.
    Restore {
        #[command(flatten)]
        store: StoreFile,
        /// The backup.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Take request_ids that are not known for new ones at once: what was sent after the backup may be sent twice, and
        /// also what is still in doubt since an earlier restore.
        #[arg(long)]
        accept_repeats: bool,
    },
    /// Print the reference configuration: every key, what it means and its default.
    Reference,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&error);
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    // What waits for a disk that does not answer must not keep the process.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { config } => serve(config).await,
        Command::Sandbox { store } => sandbox(store).await,
        Command::Check { config } => check(config),
        Command::Backup { store, to } => backup::back_up(store, &to),
        Command::Restore { store, from, accept_repeats } => backup::restore(store, &from, accept_repeats),
        Command::Reference => {
            telemetry::print_line(switchboard::config::REFERENCE.trim_end()).map_err(Into::into)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&*error);
            ExitCode::FAILURE
        }
    }
}

/// Says why nothing came of it, to whoever listens.
fn tell(error: &dyn Error) {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "switchboard: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(out, "  because: {error}");
        cause = error.source();
    }
}

fn check(config: PathBuf) -> Result<(), Box<dyn Error>> {
    let config = Config::load(Some(&config), &Environment)?;
    telemetry::print_line(format_args!("{} accounts, no faults", config.accounts.len()))?;
    Ok(())
}

async fn serve(config: PathBuf) -> Result<(), Box<dyn Error>> {
    let config = Config::load(Some(&config), &Environment)?;
    telemetry::log_to_stderr(&config.log);
    let listeners = Listeners::bind(&config)?;
    let serving = |at: Addresses| {
        tracing::info!(grpc = %at.grpc, webhook = %at.webhook, admin = %at.admin, "serving");
    };
    app::serve(&config, listeners, None, signalled()?, serving).await?;
    Ok(())
}

async fn sandbox(store: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = store.unwrap_or_else(|| folder.path().join("switchboard.db"));
    let demo = demo::start(&store, Options::default(), &Environment).await?;
    telemetry::log_to_stderr(&demo.config.log);
    let sandbox = Arc::new(demo.sandbox);
    let serving = |at| {
        let _ = telemetry::print_line(demo::welcome(at));
    };
    app::serve(&demo.config, demo.listeners, Some(Arc::clone(&sandbox)), signalled()?, serving).await?;
    if let Some(sandbox) = Arc::into_inner(sandbox) {
        Sandbox::shutdown(sandbox).await;
    }
    Ok(())
}

/// Is cancelled by SIGINT or SIGTERM. A second signal ends the process at once.
fn signalled() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process")]
    tokio::spawn(async move {
        let mut any = async || {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        };
        any().await;
        stopping.cancel();
        any().await;
        std::process::exit(130);
    });
    Ok(stop)
}
