//! The machine and the journal's disk. Results for durable writes are meaningless without them.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Result;
use crate::measure::{micros, percentile};

/// A folder, and the current state of its disk and of the machine.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    file_system: String,
    sync_median: Duration,
    sync_p99: Duration,
    cores: usize,
    load_average: String,
}

/// The number of fdatasync calls per measurement.
const SYNCS: usize = 200;

/// A small append, about the size of a commit with one event.
const APPEND: [u8; 512] = [b'x'; 512];

impl Disk {
    /// Measures the disk under a folder.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let (sync_median, sync_p99) = sync(&folder)?;
        Ok(Self {
            file_system: file_system(&folder),
            folder,
            sync_median,
            sync_p99,
            cores: std::thread::available_parallelism()?.get(),
            load_average: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| text.split(' ').next().map(str::to_owned))
                .unwrap_or_else(|| "unknown".to_owned()),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the file system keeps its files in memory only.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }

    /// Measures fdatasync again. Returns the median and the 99th percentile, in microseconds.
    pub(crate) fn sync(&self) -> Result<(f64, f64)> {
        let (median, p99) = sync(&self.folder)?;
        Ok((micros(median), micros(p99)))
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores, load average {}; {} ({}): fdatasync of a {} byte append takes {:.0} us, p99 {:.0} us",
            self.cores,
            self.load_average,
            self.folder.display(),
            self.file_system,
            APPEND.len(),
            micros(self.sync_median),
            micros(self.sync_p99),
        )?;
        if self.is_memory() {
            write!(f, "\nWARNING: this is memory, not a disk. Pass a folder on a disk with --dir.")?;
        }
        Ok(())
    }
}

/// Measures fdatasync of a small append. Returns the median and the 99th percentile.
fn sync(folder: &Path) -> Result<(Duration, Duration)> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    let mut latencies = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&APPEND)?;
        file.sync_data()?;
        latencies.push(started.elapsed());
    }
    latencies.sort_unstable();
    let percentile = |percent| percentile(&latencies, percent).unwrap_or_default();
    Ok((percentile(50), percentile(99)))
}

/// The type of the folder's file system, which is that of the deepest mount above it. Linux only.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((Path::new(words.next()?), words.next()?))
        })
        .filter(|(mount, _)| folder.starts_with(mount))
        // If a folder has several mounts, the last one is in effect, and `max_by_key` returns the last maximum.
        .max_by_key(|(mount, _)| mount.components().count())
        .map_or_else(|| "unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}
