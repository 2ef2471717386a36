//! Statistics over rounds.

use std::time::Duration;

/// One value from each round of a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Combines two measurements round by round, because servers in the same round ran under the same conditions.
    pub(crate) fn with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(&this, &that)| combine(this, that)).collect())
    }

    /// The median. For an even number of rounds, it is the mean of the two middle values.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    pub(crate) fn smallest(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn largest(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The requests of one round, as the client measured them.
#[derive(Clone, Debug)]
pub(crate) struct LoadResult {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl LoadResult {
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed }
    }

    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile of the latencies, in microseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.latencies, percent).map_or(f64::NAN, micros)
    }
}

/// A percentile of sorted values.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * percent / 100).min(last)).copied()
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The results of all rounds of one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadRounds {
    pub(crate) per_second: Rounds,
    pub(crate) p50: Rounds,
    pub(crate) p99: Rounds,
    /// The server's CPU time per request, in microseconds.
    pub(crate) cpu: Rounds,
}

impl LoadRounds {
    /// Adds a round and the CPU time that the server used in it.
    pub(crate) fn push(&mut self, load: &LoadResult, spent: Duration) {
        self.per_second.push(load.per_second());
        self.p50.push(load.percentile(50));
        self.p99.push(load.percentile(99));
        self.cpu.push(micros(spent) / load.count() as f64);
    }
}
