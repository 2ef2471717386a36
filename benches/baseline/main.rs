//! The benchmarks: what Switchboard costs over a **floor**, the least code that could do the same.
//!
//! ```text
//! cargo bench                        all parts, about six minutes
//! cargo bench -- sends ingest        some of them: sends, delivery, catchup, ingest, latency, idle
//! cargo bench -- --quick             a run that only shows that everything works
//! cargo bench -- --dir /mnt/disk     with the journal on another disk
//! ```
//!
//! Every server, ours and each floor, is a process of its own, made from this same binary, so that its CPU time is its
//! own. Floor and ours take turns within one run, each round gives one ratio, and what is printed is the median of the
//! rounds with the smallest and the largest. A target that is missed is reported and is no failure: the exit code
//! tells only whether everything ran.

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

/// Whatever breaks ends the run.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Measures Switchboard against floors, on loopback.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// What to measure; everything when nothing is named.
    parts: Vec<Part>,
    /// Few and short rounds: shows that everything runs, its numbers mean little.
    #[arg(long)]
    quick: bool,
    /// The folder for the journal. By default one under `target/`.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    dir: PathBuf,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be this server instead.
    #[arg(long, hide = true)]
    serve: Option<Role>,
    /// Where that server finds the provider.
    #[arg(long, hide = true)]
    upstream: Option<SocketAddr>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// `SendMessage`, against a bare tonic server that makes the same HTTP call.
    Sends,
    /// Bursts of events to many subscribers, against a bare tonic stream fed by a broadcast channel.
    Delivery,
    /// One reader from the beginning of a long journal.
    Catchup,
    /// Signed webhooks, on disk before they are answered, against a bare hyper endpoint that stores nothing.
    Ingest,
    /// From a webhook's POST to the subscriber's hand, at a steady rate.
    Latency,
    /// Memory of subscribers to whom nothing happens.
    Idle,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.serve {
        Some(role) => process::serve(role, &arguments.dir, arguments.upstream),
        // `cargo test --benches` runs this too, unoptimised.
        None if !arguments.bench => {
            println!("nothing is measured: this is run by `cargo bench`");
            Ok(())
        }
        None => measure(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broke off: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
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
        "A ratio is ours / floor, the median of the rounds (smallest-largest). Load and servers share the cores.\n"
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
        "{:.0} s in all{}",
        started.elapsed().as_secs_f64(),
        if arguments.quick { ", --quick" } else { "" }
    );
    Ok(())
}
