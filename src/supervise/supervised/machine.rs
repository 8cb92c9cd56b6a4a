//! Whether the worker is there, who waits for it, and when to come back.

use super::config::SupervisedConfig;
use crate::kernel::instant::Instant;
use crate::kernel::rng::Rolls;
use std::collections::VecDeque;
use std::time::Duration;

/// Down times that are remembered.
const REMEMBERED: usize = 8;

/// The queue and its worker, behind one lock. `Q` is what waits.
pub(super) struct Inbox<Q> {
    config: SupervisedConfig,
    /// By number, which grows.
    waiting: VecDeque<(u64, Q)>,
    next: u64,
    /// The worker that may take from the queue; the last one, if none may.
    worker: u64,
    /// Since when there is no worker; `None` if there is one.
    down_since: Option<Instant>,
    has_been_up: bool,
    down_times: VecDeque<Duration>,
    rolls: Rolls,
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no worker; come back after this time.
    Down(Duration),
    /// So many wait already.
    Full(usize),
}

impl<Q> Inbox<Q> {
    pub(super) fn new(config: SupervisedConfig, now: Instant, rolls: Rolls) -> Self {
        Self {
            config,
            waiting: VecDeque::new(),
            next: 0,
            worker: 0,
            down_since: Some(now),
            has_been_up: false,
            down_times: VecDeque::new(),
            rolls,
        }
    }

    /// Whether a call may wait.
    pub(super) fn admit(&mut self) -> Result<(), Refusal> {
        if self.down_since.is_some() {
            Err(Refusal::Down(self.retry_after()))
        } else if self.waiting.len() >= self.config.queue {
            Err(Refusal::Full(self.config.queue))
        } else {
            Ok(())
        }
    }

    /// Puts an admitted call behind the others; answers its number.
    pub(super) fn push(&mut self, call: Q) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, call));
        number
    }

    /// Takes one out of the queue whose caller has gone.
    pub(super) fn withdraw(&mut self, number: u64) -> Option<Q> {
        let place = self.waiting.binary_search_by_key(&number, |(at, _)| *at);
        self.waiting.remove(place.ok()?).map(|(_, call)| call)
    }

    /// A worker has come, and takes over from one that may be there. Answers its number.
    pub(super) fn come(&mut self, now: Instant) -> u64 {
        if let Some(since) = self.down_since.take().filter(|_| self.has_been_up) {
            if self.down_times.len() == REMEMBERED {
                self.down_times.pop_front();
            }
            self.down_times
                .push_back(now.saturating_duration_since(since));
        }
        self.has_been_up = true;
        self.worker += 1;
        self.worker
    }

    /// A worker has gone: what waited for it, if no other has taken over.
    pub(super) fn go(&mut self, worker: u64, now: Instant) -> Vec<Q> {
        if !self.is_worker(worker) {
            return Vec::new();
        }
        self.down_since = Some(now);
        self.waiting.drain(..).map(|(_, call)| call).collect()
    }

    /// Whether this is the worker, and is there.
    pub(super) fn is_worker(&self, worker: u64) -> bool {
        worker == self.worker && self.down_since.is_none()
    }

    pub(super) fn pop(&mut self) -> Option<Q> {
        self.waiting.pop_front().map(|(_, call)| call)
    }

    pub(super) fn is_up(&self) -> bool {
        self.down_since.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The longest of the last restarts, and a bit more.
    pub(super) fn retry_after(&mut self) -> Duration {
        let longest = self.down_times.iter().max().copied();
        let longest = longest.unwrap_or(self.config.expected);
        let share = self.config.jitter * self.rolls.roll();
        let more = Duration::try_from_secs_f64(longest.as_secs_f64() * share);
        longest.saturating_add(more.unwrap_or_default())
    }
}
