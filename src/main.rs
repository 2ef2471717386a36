//! The command line.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use switchboard::app::{self, Addresses, Listeners};
use switchboard::backup::{self, StoreFile};
use switchboard::config::{Config, Environment};
use switchboard::sandbox::{Options, Sandbox};
use switchboard::{cli, demo, telemetry};
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
        /// The configuration file. `switchboard reference` explains every key.
        #[arg(long)]
        config: PathBuf,
    },
    /// Serve two demo accounts with simulated providers on loopback.
    ///
    /// The sandbox needs no file, no credentials and no network. Environment variables override its configuration:
    /// SWITCHBOARD__GRPC__LISTEN, SWITCHBOARD__WEBHOOK__LISTEN and SWITCHBOARD__ADMIN__LISTEN set its addresses,
    /// SWITCHBOARD__LOG__FILTER its log. `switchboard reference` explains every key.
    Sandbox {
        /// Store events in this file. By default, they are deleted when the sandbox stops.
        #[arg(long)]
        store: Option<PathBuf>,
    },
    /// Check a configuration, including the environment, and print all its errors.
    Check {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Ask the running server of a configuration whether it is healthy. The exit status is 0 if it is.
    Health {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The service to ask for, such as `switchboard.v1.EventService`. By default, the whole server.
        #[arg(long, default_value = "", hide_default_value = true)]
        service: String,
    },
    /// Write a backup of the store to one file. `serve` may be running.
    ///
    /// The backup has the journal and all other stored data. It contains messages and personal data, and only its owner can
    /// read it. `serve` refuses a backup; `restore` creates a store from it.
    Backup {
        #[command(flatten)]
        store: StoreFile,
        /// The backup file to write. It must not exist.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Create a store from a backup. The store must not exist.
    ///
    /// Events received after the backup are lost. A subscriber whose cursor is after the backup gets CURSOR_LOST. Sends
    /// made after the backup are lost too. Therefore, for the time that a request_id is remembered (24 hours by default), a
    /// send with an unknown request_id fails with SEND_OUTCOME_UNKNOWN. Set resend_after_attempt to 1 to send it.
    Restore {
        #[command(flatten)]
        store: StoreFile,
        /// The backup file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Treat unknown request_ids as new ones at once.
        ///
        /// Messages that were sent after the backup may then be sent twice. The same holds for sends whose outcome is still
        /// unknown since an earlier restore.
        #[arg(long)]
        accept_repeats: bool,
    },
    /// Print the reference configuration: every key, its meaning and its default.
    Reference,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error),
    };
    let code = runtime.block_on(run());
    // A task that waits for an unresponsive disk must not delay the exit.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { config } => return serve(config).await.unwrap_or_else(|error| print_error(&*error)),
        Command::Sandbox { store } => sandbox(store).await,
        Command::Check { config } => check(config),
        Command::Health { config, service } => health(config, &service).await,
        Command::Backup { store, to } => backup::back_up(store, &to),
        Command::Restore { store, from, accept_repeats } => backup::restore(store, &from, accept_repeats),
        Command::Reference => cli::say(switchboard::config::REFERENCE.trim_end()).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print_error(&*error),
    }
}

/// Logs why the server ended. A failure before the log exists is printed instead.
fn log_failure(error: &dyn Error) -> ExitCode {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(&format!(": {error}"));
        cause = error.source();
    }
    tracing::error!(error = %chain, "server failed");
    ExitCode::FAILURE
}

/// Prints an error and its causes to standard error.
fn print_error(error: &dyn Error) -> ExitCode {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "switchboard: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(out, "  caused by: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

fn check(config: PathBuf) -> Result<(), Box<dyn Error>> {
    let (path, config) = (&config, Config::load(Some(&config), &Environment)?);
    for warning in config.warnings(path) {
        cli::say(format_args!("warning: {warning}"))?;
    }
    if let Err(too_few) = app::raise_open_files_limit(&config) {
        cli::say(format_args!("warning: {too_few}"))?;
    }
    let accounts = config.accounts.len();
    let noun = if accounts == 1 { "account" } else { "accounts" };
    cli::say(format_args!("configuration is valid: {accounts} {noun}"))?;
    Ok(())
}

async fn health(config: PathBuf, service: &str) -> Result<(), Box<dyn Error>> {
    let config = Config::load(Some(&config), &Environment)?;
    app::check_health(config.grpc.listen, service).await?;
    cli::say("serving")?;
    Ok(())
}

async fn serve(path: PathBuf) -> Result<ExitCode, Box<dyn Error>> {
    let config = Config::load(Some(&path), &Environment)?;
    // It outlives the last line, also that of a failure.
    let _flush_on_drop = telemetry::log_to_stderr(&config.log)?;
    Ok(match run_server(&path, &config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => log_failure(&*error),
    })
}

async fn run_server(path: &Path, config: &Config) -> Result<(), Box<dyn Error>> {
    let accounts: Vec<String> = config.accounts.iter().map(|account| account.id.to_string()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %path.display(),
        store = %config.journal.path.display(),
        accounts = accounts.join(","),
        "starting"
    );
    for warning in config.warnings(path) {
        tracing::warn!("{warning}");
    }
    let listeners = Listeners::bind(config)?;
    let serving = |at: Addresses, newest_sequence: u64| {
        tracing::info!(grpc = %at.grpc, webhook = %at.webhook, admin = %at.admin, newest_sequence, "serving");
    };
    app::serve(config, listeners, None, shutdown_on_signal()?, serving).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn sandbox(store: Option<PathBuf>) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let store = store.unwrap_or_else(|| folder.path().join("switchboard.db"));
    let demo = demo::start(&store, Options::default(), &Environment).await?;
    let _flush_on_drop = telemetry::log_to_stderr(&demo.config.log)?;
    let sandbox = Arc::new(demo.sandbox);
    let serving = |at, _| {
        let _ = cli::say(demo::welcome(at));
    };
    app::serve(&demo.config, demo.listeners, Some(Arc::clone(&sandbox)), shutdown_on_signal()?, serving)
        .await?;
    if let Some(sandbox) = Arc::into_inner(sandbox) {
        Sandbox::shutdown(sandbox).await;
    }
    Ok(())
}

/// Makes a write over the file size limit (`ulimit -f`) fail as on a full disk. By default, the signal ends the process.
#[cfg(target_os = "linux")]
fn fail_writes_over_the_file_size_limit() -> std::io::Result<()> {
    // A handler stays in place, also without a receiver.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn fail_writes_over_the_file_size_limit() -> std::io::Result<()> {
    Ok(())
}

/// Returns a token that SIGINT or SIGTERM cancels. A second signal ends the process at once. SIGHUP, whose default is to
/// end the process, is only logged.
fn shutdown_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hung_up = signal(SignalKind::hangup())?;
    fail_writes_over_the_file_size_limit()?;
    let stopping = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "runs as long as the process")]
    tokio::spawn(async move {
        let mut any = async || {
            loop {
                tokio::select! {
                    _ = interrupted.recv() => return,
                    _ = terminated.recv() => return,
                    _ = hung_up.recv() => {
                        tracing::warn!("SIGHUP ignored: the configuration is read only at the start");
                    }
                }
            }
        };
        any().await;
        stopping.cancel();
        any().await;
        std::process::exit(130);
    });
    Ok(stop)
}
