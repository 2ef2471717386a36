//! Benchmarks: the cost of Switchboard compared with a **baseline**, the minimal code for the same work.
//!
//! ```text
//! cargo bench                        all parts, about six minutes
//! cargo bench -- sends ingest        selected parts: sends, delivery, catchup, ingest, latency, idle
//! cargo bench -- --quick             a short run that only checks that everything works
//! cargo bench -- --dir /mnt/disk     puts the journal on another disk
//! ```
//!
//! Each server, Switchboard or baseline, is a separate process started from this same binary, which makes its CPU time
//! measurable. Baseline and Switchboard alternate within one run. Each round gives one ratio, and the output shows the
//! median of the rounds and their range. A missed target is reported but is not a failure: the exit code reports only
//! whether everything ran.

mod baseline;
mod catchup;
mod delivery;
mod disk;
mod idle;
mod ingest;
mod latency;
mod measure;
mod process;
mod sample;
mod sends;
mod subscribers;
mod switchboard;
mod table;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};

use disk::Disk;
use process::Role;

/// Any error, which ends the run.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Compares Switchboard with minimal baseline servers, on loopback.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// The parts to measure. By default all of them.
    parts: Vec<Part>,
    /// Few and short rounds, to check that everything works. The results are not meaningful.
    #[arg(long)]
    quick: bool,
    /// The folder for the journal. By default one under `target/`.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// The flag that `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Run this server instead of measuring.
    #[arg(long, hide = true)]
    serve: Option<Role>,
    /// The address of the provider for that server.
    #[arg(long, hide = true)]
    upstream: Option<SocketAddr>,
}

/// The parts of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `SendMessage`, compared with a minimal tonic server that makes the same HTTP call.
    Sends,
    /// Bursts of events to many subscribers, compared with a minimal tonic stream from a broadcast channel.
    Delivery,
    /// One subscriber that reads a long journal from the beginning.
    Catchup,
    /// Signed webhooks, committed before the response, compared with a minimal hyper endpoint that stores nothing.
    Ingest,
    /// Latency from a webhook's POST to the subscriber, at a fixed rate.
    Latency,
    /// Memory per idle subscriber.
    Idle,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.serve {
        Some(role) => process::serve(role, &arguments.dir, arguments.upstream),
        // `cargo test --benches` runs this binary too, without optimisation.
        None if !arguments.bench => {
            println!("nothing was measured: run this with `cargo bench`");
            Ok(())
        }
        None => measure(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark failed: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let wants = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let disk = Disk::at(&arguments.dir)?;
    println!("{disk}");
    println!(
        "Ratio: switchboard / baseline, as the median of the rounds (smallest-largest). Clients and servers share the cores.\n"
    );
    if wants(Part::Sends) {
        println!("{}", runtime.block_on(sends::measure(&disk, arguments.quick))?);
    }
    if wants(Part::Delivery) {
        println!("{}", runtime.block_on(delivery::measure(&disk, arguments.quick))?);
    }
    if wants(Part::Catchup) {
        println!("{}", runtime.block_on(catchup::measure(&disk, arguments.quick))?);
    }
    if wants(Part::Ingest) {
        println!("{}", runtime.block_on(ingest::measure(&disk, arguments.quick))?);
    }
    if wants(Part::Latency) {
        println!("{}", runtime.block_on(latency::measure(&disk, arguments.quick))?);
    }
    if wants(Part::Idle) {
        println!("{}", runtime.block_on(idle::measure(&disk, arguments.quick))?);
    }
    println!("{}", Disk::at(&arguments.dir)?);
    println!(
        "total: {:.0} s{}",
        started.elapsed().as_secs_f64(),
        if arguments.quick { ", --quick" } else { "" }
    );
    Ok(())
}
