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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + SECOND * u32::try_from(seconds).unwrap()
    }

    /// Down since time 10; two may wait, and the first restart is expected to take 3 s.
    fn inbox(rolls: impl IntoIterator<Item = f64>) -> Inbox<char> {
        let config = SupervisedConfig::default()
            .queue(2)
            .expected(3 * SECOND)
            .jitter(0.5);
        Inbox::new(config, at(10), Rolls::script(rolls))
    }

    #[test]
    fn calls_wait_in_order_while_there_is_a_worker_and_room() {
        let mut inbox = inbox([]);
        assert!(!inbox.is_up());
        assert_eq!(inbox.admit(), Err(Refusal::Down(3 * SECOND)));
        let worker = inbox.come(at(11));
        assert!(inbox.is_up() && inbox.is_worker(worker));
        assert_eq!(inbox.admit(), Ok(()));
        let first = inbox.push('a');
        assert_eq!((inbox.len(), inbox.admit()), (1, Ok(())));
        let second = inbox.push('b');
        assert_eq!((inbox.len(), inbox.admit()), (2, Err(Refusal::Full(2))));
        assert_eq!(inbox.pop(), Some('a'));
        // Numbers are not used again: who withdraws what was taken takes nobody else's.
        let third = inbox.push('c');
        assert!(first < second && second < third);
        assert_eq!(inbox.withdraw(first), None);
        assert_eq!(inbox.withdraw(second), Some('b'));
        assert_eq!(inbox.withdraw(second), None);
        assert_eq!(
            (inbox.len(), inbox.pop(), inbox.pop()),
            (1, Some('c'), None)
        );
    }

    #[test]
    fn the_last_worker_to_come_is_the_worker() {
        let mut inbox = inbox([]);
        let old = inbox.come(at(11));
        let new = inbox.come(at(12));
        assert!(inbox.is_worker(new) && !inbox.is_worker(old));
        inbox.push('a');
        assert_eq!(inbox.go(old, at(13)), []);
        assert!(inbox.is_up() && inbox.len() == 1);
        inbox.push('b');
        assert_eq!(inbox.go(new, at(14)), ['a', 'b']);
        assert!(!inbox.is_up() && !inbox.is_worker(new) && inbox.len() == 0);
        // It goes once.
        assert_eq!(inbox.go(new, at(15)), []);
        inbox.come(at(16));
        assert_eq!(inbox.retry_after(), 2 * SECOND);
    }

    #[test]
    fn the_longest_of_the_last_eight_restarts_says_when_to_come_back() {
        let rolls = [0.0, 0.5, 1.0].into_iter().chain([0.0; 20]);
        let mut inbox = inbox(rolls);
        // The way up at first is no restart.
        let mut worker = inbox.come(at(100));
        assert_eq!(inbox.retry_after(), 3 * SECOND);
        assert_eq!(inbox.retry_after(), 3_750 * SECOND / 1_000);
        assert_eq!(inbox.retry_after(), 4_500 * SECOND / 1_000);
        let mut restart = |from: u64, length: u64| {
            inbox.go(worker, at(from));
            worker = inbox.come(at(from + length));
            inbox.retry_after()
        };
        assert_eq!(restart(200, 20), 20 * SECOND);
        for n in 0..7 {
            let longest = restart(300 + 10 * n, 1);
            if n == 6 {
                assert_eq!(longest, 20 * SECOND, "the eighth of eight");
            }
        }
        assert_eq!(restart(400, 2), 2 * SECOND, "it is the ninth");
    }
}
