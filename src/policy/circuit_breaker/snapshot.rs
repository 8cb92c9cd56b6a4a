//! A circuit breaker's state as a value: to look at, to store, to put back.

use super::config::Shape;
use super::control::{Locked, Mode};
use super::event::{Reason, State};
use super::machine::Machine;
use crate::kernel::config::ConfigError;
#[cfg(feature = "serde")]
use crate::kernel::config::duration_text;
use crate::kernel::instant::Instant;
use crate::kernel::window::{Class, Counts};
use std::time::Duration;

/// A breaker's state at one moment. With the feature `serde` it can be stored, and put back by
/// [`restore`](super::CircuitBreaker::restore) in another process.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct CircuitBreakerSnapshot {
    /// The state.
    pub state: State,
    /// The mode that was set by hand.
    pub mode: Mode,
    /// Whether it was forced open by hand (not by an isolation guard).
    pub forced_open: bool,
    /// How long an open circuit will stay open. It is frozen while it is stored.
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "duration_text::option"
        )
    )]
    pub remaining: Option<Duration>,
    /// How often it opened in a row.
    pub opens: u32,
    /// What the window counts; in the half-open state, what the probes came back with.
    pub counts: Counts,
    /// What the window holds.
    pub window: WindowSnapshot,
}

/// What a window holds, call by call or bucket by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum WindowSnapshot {
    /// No window.
    None,
    /// The calls, oldest first: `.` succeeded, `F` failed, `s` was slow, `S` failed and was slow.
    Count(String),
    /// The buckets, newest first.
    Time {
        /// Milliseconds of a bucket.
        bucket_ms: u64,
        /// Of each bucket: calls that succeeded, failed, were slow, failed and were slow.
        calls: Vec<[u64; 4]>,
    },
}

const LETTERS: [(char, Class); 4] = [
    ('.', Class::Ok),
    ('F', Class::Failed),
    ('s', Class::Slow),
    ('S', Class::FailedSlow),
];

fn letter(class: Class) -> char {
    LETTERS[class as usize].0
}

fn class(letter: char) -> Result<Class, ConfigError> {
    LETTERS
        .iter()
        .find(|(known, _)| *known == letter)
        .map(|(_, class)| *class)
        .ok_or_else(|| {
            ConfigError::new("window.count", format_args!("{letter:?}"), "one of . F s S")
        })
}

/// What an exporter shows of a breaker, all of one moment.
pub(crate) struct Figures {
    pub(crate) state: State,
    /// As in a [snapshot](CircuitBreakerSnapshot::counts).
    pub(crate) counts: Counts,
    /// Whether successes are counted in the totals.
    pub(crate) has_successes: bool,
}

impl Machine {
    pub(super) fn read_figures(&self) -> Figures {
        self.locked(|locked| {
            let now = locked.machine.front.clock.now();
            let (state, counts) = locked.state_and_counts(now);
            let word = locked.word();
            Figures {
                state,
                counts,
                has_successes: word.counts_totals() || word.window() > 0,
            }
        })
    }

    pub(super) fn read_snapshot(&self) -> CircuitBreakerSnapshot {
        self.locked(|locked| locked.snapshot())
    }

    pub(super) fn put_back(&self, snapshot: &CircuitBreakerSnapshot) -> Result<(), ConfigError> {
        // Everything that can be wrong with it is found before anything changes.
        let classes = match &snapshot.window {
            WindowSnapshot::Count(calls) => {
                calls.chars().map(class).collect::<Result<Vec<_>, _>>()?
            }
            WindowSnapshot::None | WindowSnapshot::Time { .. } => Vec::new(),
        };
        let Counts {
            recorded,
            failed,
            slow,
        } = snapshot.counts;
        if failed > recorded || slow > recorded {
            return Err(ConfigError::new(
                "counts",
                format_args!("{failed} failed and {slow} slow of {recorded}"),
                "at most as many failed or slow as recorded",
            ));
        }
        self.locked(|locked| locked.put_back(snapshot, &classes));
        Ok(())
    }
}

impl Locked<'_> {
    fn snapshot(&mut self) -> CircuitBreakerSnapshot {
        let now = self.machine.front.clock.now();
        let (state, counts) = self.state_and_counts(now);
        CircuitBreakerSnapshot {
            state,
            mode: self.control.mode,
            forced_open: self.control.forced_by_hand,
            remaining: (state == State::Open).then(|| self.end().saturating_duration_since(now)),
            opens: self.control.opens,
            counts,
            window: self.window_snapshot(),
        }
    }

    /// The state, and what its calls came to: the probes in the half-open state, else the window.
    fn state_and_counts(&mut self, now: Instant) -> (State, Counts) {
        self.settle(now);
        let state = self.word().state();
        let counts = if state == State::HalfOpen {
            self.control.probes.counts()
        } else {
            self.counts()
        };
        (state, counts)
    }

    fn window_snapshot(&self) -> WindowSnapshot {
        match (
            self.machine.front.windows.get(self.window()),
            self.control.rules.window,
        ) {
            (Some(window), _) => WindowSnapshot::Time {
                bucket_ms: u64::try_from(window.shape().width.as_millis()).unwrap_or(u64::MAX),
                calls: window.buckets(
                    self.word().generation(),
                    window.now(&self.machine.front.clock),
                ),
            },
            (None, Shape::Count(_)) => {
                WindowSnapshot::Count(self.control.ring.classes().map(letter).collect())
            }
            (None, _) => WindowSnapshot::None,
        }
    }

    fn put_back(&mut self, snapshot: &CircuitBreakerSnapshot, classes: &[Class]) {
        let now = self.machine.front.clock.now();
        let state = self.own_state(snapshot);
        self.control.mode = snapshot.mode;
        self.control.forced_by_hand = snapshot.forced_open;
        self.control.opens = snapshot.opens;
        let rules = &self.control.rules;
        let longest = rules.wait.longest().max(rules.given.max_hint);
        let remaining = snapshot.remaining.unwrap_or_default().min(longest);
        if state == State::Open {
            self.control.wait = remaining;
            self.open_until(now + remaining, Reason::ByHand, None);
        }
        self.control.probes.clear();
        if state == State::HalfOpen {
            self.control.half_open_since = now;
            self.control.probes.restore(snapshot.counts);
        }
        let wait = (state == State::Open).then_some(remaining);
        self.enter(state, now, Reason::ByHand, wait);
        if matches!(state, State::Closed | State::MetricsOnly) {
            self.put_back_window(snapshot, classes, now);
        }
        self.settle(now);
    }

    /// The state to go to: forcing and modes first, then what the circuit had come to.
    fn own_state(&self, snapshot: &CircuitBreakerSnapshot) -> State {
        let is_forced = snapshot.forced_open || self.control.isolations > 0;
        match (is_forced, snapshot.mode, snapshot.state) {
            (true, ..) => State::ForcedOpen,
            (false, Mode::Disabled, _) => State::Disabled,
            (false, Mode::MetricsOnly, _) => State::MetricsOnly,
            (false, Mode::Normal, State::Open) => State::Open,
            (false, Mode::Normal, State::HalfOpen) => State::HalfOpen,
            (false, Mode::Normal, _) => State::Closed,
        }
    }

    /// Fills the window, if it has the shape that the stored one had. It is judged with the next
    /// outcome.
    fn put_back_window(
        &mut self,
        snapshot: &CircuitBreakerSnapshot,
        classes: &[Class],
        now: Instant,
    ) {
        for class in classes {
            self.control.ring.record(*class);
        }
        if let (Some(window), WindowSnapshot::Time { bucket_ms, calls }) = (
            self.machine.front.windows.get(self.window()),
            &snapshot.window,
        ) {
            if window.shape().width == Duration::from_millis(*bucket_ms) {
                window.restore(self.word().generation(), now, calls);
            }
        }
        self.control.unjudged = true;
        self.refresh();
    }
}
