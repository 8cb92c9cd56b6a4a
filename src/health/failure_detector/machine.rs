//! The decision: what the heartbeats so far say of now.

use super::config::{FailureDetectorConfig, Model};
use super::tail;
use crate::kernel::instant::{Instant, saturating_nanos};
use std::collections::VecDeque;
use std::f64::consts::LN_10;
use std::time::Duration;

/// A longer interval counts as this one (19 hours). So the figures of 100,000 of them stay within 128 bits.
const LONGEST: u64 = 1 << 46;

/// In the exponential model the mean is never taken for shorter than this part of the estimate. With the
/// default threshold, 8, a sender is then not suspected before 8 ln 10 / 10 = 1.8 of its intervals, whatever
/// burst has filled the window. Nothing else bounds it: what is suspected is not recorded, so a mean that
/// was too short would stay.
const MOST_OFTEN: f64 = 10.0;

/// What one sender's heartbeats say.
#[derive(Debug)]
pub(super) struct Machine {
    config: FailureDetectorConfig,
    last: Option<Instant>,
    intervals: Intervals,
    heartbeats: u64,
}

impl Machine {
    pub(super) fn new(config: FailureDetectorConfig) -> Self {
        Self {
            config,
            last: None,
            intervals: Intervals::new(&config),
            heartbeats: 0,
        }
    }

    /// A heartbeat came. The time since the one before is recorded only if the sender was not suspected by
    /// then: the length of an outage says nothing of the intervals after it.
    pub(super) fn heartbeat(&mut self, now: Instant) {
        self.heartbeats = self.heartbeats.saturating_add(1);
        if let Some(last) = self.last {
            // An earlier time is of a clock that stepped back: that is no interval.
            if now >= last && !self.is_suspected(now) {
                self.intervals.record(now.saturating_duration_since(last));
            }
        }
        self.last = Some(now);
    }

    /// How suspicious the silence is; 0 before the first heartbeat.
    pub(super) fn phi(&self, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let silence = now.saturating_duration_since(last);
        let seconds = silence.as_secs_f64();
        match self.config.model {
            Model::Normal => {
                let (mean, deviation) = self.intervals.mean_and_deviation();
                let mean = mean + self.config.pause.as_secs_f64();
                let deviation = deviation.max(self.config.min_deviation.as_secs_f64());
                tail::exponent((seconds - mean) / deviation)
            }
            Model::Exponential => {
                let mean = self.intervals.mean_and_deviation().0;
                let floor = self.config.first_estimate.as_secs_f64() / MOST_OFTEN;
                seconds / (mean.max(floor) * LN_10)
            }
            Model::Deadline if silence > self.config.deadline => f64::INFINITY,
            Model::Deadline => 0.0,
        }
    }

    pub(super) fn is_suspected(&self, now: Instant) -> bool {
        self.phi(now) >= self.config.threshold
    }

    pub(super) const fn last(&self) -> Option<Instant> {
        self.last
    }

    pub(super) const fn heartbeats(&self) -> u64 {
        self.heartbeats
    }

    /// The mean of the intervals that count.
    pub(super) fn mean(&self) -> Duration {
        Duration::try_from_secs_f64(self.intervals.mean_and_deviation().0).unwrap_or(Duration::MAX)
    }
}

/// The last intervals, in nanoseconds, and their sums. The sums are exact, so that a window that slides for
/// years does not drift.
#[derive(Debug)]
struct Intervals {
    window: usize,
    nanos: VecDeque<u64>,
    sum: u128,
    sum_of_squares: u128,
}

impl Intervals {
    fn new(config: &FailureDetectorConfig) -> Self {
        let mut intervals = Self {
            window: usize::try_from(config.window).unwrap_or(usize::MAX),
            nanos: VecDeque::new(),
            sum: 0,
            sum_of_squares: 0,
        };
        let (estimate, quarter) = (config.first_estimate, config.first_estimate / 4);
        intervals.record(estimate.saturating_sub(quarter));
        intervals.record(estimate.saturating_add(quarter));
        intervals
    }

    fn record(&mut self, interval: Duration) {
        // Zero would make the mean zero, and the first silence infinitely suspicious.
        let nanos = saturating_nanos(interval).clamp(1, LONGEST);
        if self.nanos.len() >= self.window {
            if let Some(oldest) = self.nanos.pop_front() {
                self.sum -= u128::from(oldest);
                self.sum_of_squares -= square(oldest);
            }
        }
        self.nanos.push_back(nanos);
        self.sum += u128::from(nanos);
        self.sum_of_squares += square(nanos);
    }

    /// In seconds. The deviation is that of the whole window (divided by n).
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums beyond 2^53 are exact enough"
    )]
    fn mean_and_deviation(&self) -> (f64, f64) {
        let count = self.nanos.len() as u128;
        // In integers: the difference of two large floats would be noise. Each side is below 2^126.
        let variance = count * self.sum_of_squares - self.sum * self.sum;
        let count = count as f64;
        let mean = self.sum as f64 / count;
        let deviation = (variance as f64).sqrt() / count;
        (mean / 1e9, deviation / 1e9)
    }
}

fn square(nanos: u64) -> u128 {
    u128::from(nanos) * u128::from(nanos)
}
