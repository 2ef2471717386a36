//! Numbers out of rounds.

use std::time::Duration;

/// One number from each round of a measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Round by round: floor and ours of one round saw the same machine.
    pub(crate) fn with(&self, other: &Self, combine: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(&this, &that)| combine(this, that)).collect())
    }

    /// The median; of an even number of rounds, the mean of the two in the middle.
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

/// What a client saw in one round of requests.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Load {
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

    /// The latency that so many of a hundred requests stay within, in microseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.latencies, percent).map_or(f64::NAN, micros)
    }
}

/// The value that so many of a hundred stay within, out of sorted ones.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((sorted.len() * percent / 100).min(last)).copied()
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// What the rounds of one load said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) per_second: Rounds,
    pub(crate) p50: Rounds,
    pub(crate) p99: Rounds,
    /// The server's CPU time for a request, in microseconds.
    pub(crate) cpu: Rounds,
}

impl Seen {
    /// Takes in a round, and the CPU time that the server spent in it.
    pub(crate) fn push(&mut self, load: &Load, spent: Duration) {
        self.per_second.push(load.per_second());
        self.p50.push(load.percentile(50));
        self.p99.push(load.percentile(99));
        self.cpu.push(micros(spent) / load.count() as f64);
    }
}
