//! One check's results, and what they make of it. Time is an argument.

use super::config::CheckConfig;
use super::status::Level;
use crate::kernel::instant::Instant;
use std::fmt;

/// What a check has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// It has not had enough results to pass or fail.
    Starting,
    /// Enough clean results in a row.
    Passing,
    /// Enough failures in a row, the worst of them of this level.
    Failing(Level),
    /// Its last result is [too old](CheckConfig::stale_after), and no newer ones have decided yet.
    Stale,
}

impl CheckState {
    /// In `snake_case`, without the level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Passing => "passing",
            Self::Failing(_) => "failing",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for CheckState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// So many clean results in a row end an episode.
const CLEAN_TO_END: u32 = 2;

/// What a result did to the episode in which a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Episode {
    /// Nothing.
    Same,
    /// It began, or goes on at a worse level.
    Fails(Level),
    /// It is over: the check was clean twice in a row.
    Over,
}

const LONG_AGO: Instant = Instant::from_nanos(0);

const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// The decision of one check.
#[derive(Clone, Debug)]
pub(crate) struct CheckMachine {
    config: CheckConfig,
    /// Whether it is a start-up check: once passed, it is done.
    once: bool,
    /// Whether a start-up check holds it back.
    held: bool,
    state: CheckState,
    passes: u32,
    fails: u32,
    /// The worst level in the current run of failures.
    worst: Level,
    /// When it began to count.
    since: Instant,
    last: Option<Instant>,
    /// Until then it is not stale, however short the settings are by which it has become so since
    /// its last result.
    spared: Instant,
    /// Clean results in a row, and the level of the episode that is on.
    clean: u32,
    episode: Option<Level>,
}

impl CheckMachine {
    pub(crate) const fn new(config: CheckConfig, once: bool, held: bool, now: Instant) -> Self {
        Self {
            config,
            once,
            held,
            state: CheckState::Starting,
            passes: 0,
            fails: 0,
            worst: Level::Maintenance,
            since: now,
            last: None,
            spared: LONG_AGO,
            clean: 0,
            episode: None,
        }
    }

    pub(crate) const fn state(&self) -> CheckState {
        self.state
    }

    /// When the last result came in.
    pub(crate) const fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Whether it is a start-up check that has passed.
    pub(crate) fn is_done(&self) -> bool {
        self.once && self.state == CheckState::Passing
    }

    pub(crate) const fn is_held(&self) -> bool {
        self.held
    }

    pub(crate) const fn config(&self) -> CheckConfig {
        self.config
    }

    /// Takes other settings. What it has come to stays, and its counts with it: the thresholds are
    /// met by the next result. What was fresh is not stale at once because results are to come more
    /// often from now on: it has the new time for that from here.
    pub(crate) fn reconfigure(&mut self, config: CheckConfig, now: Instant) {
        let until = self.fresh_until();
        self.config = config;
        let anew = config.fresh_for().map_or(NEVER, |time| now + time);
        self.spared = until.min(anew);
    }

    /// The start-up checks before it have passed: it begins here.
    pub(crate) const fn release(&mut self, now: Instant) {
        self.held = false;
        self.since = now;
        self.spared = LONG_AGO;
    }

    /// The tree is started: who has had no result yet begins here.
    pub(crate) fn start(&mut self, now: Instant) {
        if self.last.is_none() {
            self.since = now;
            self.state = CheckState::Starting;
        }
    }

    /// Takes a result: clean, or a failure of that level.
    pub(crate) fn record(&mut self, now: Instant, failure: Option<Level>) -> Episode {
        if self.held || self.is_done() {
            return Episode::Same;
        }
        self.last = Some(now);
        self.spared = LONG_AGO;
        match failure {
            None => self.pass(),
            Some(level) => self.fail(now, level),
        }
    }

    fn pass(&mut self) -> Episode {
        self.fails = 0;
        self.passes = self.passes.saturating_add(1);
        self.clean = self.clean.saturating_add(1);
        if self.passes >= self.config.success_threshold {
            self.state = CheckState::Passing;
        }
        // A start-up check gets no second clean result: it is done.
        let is_over = self.clean >= CLEAN_TO_END || self.is_done();
        if is_over && self.episode.take().is_some() {
            Episode::Over
        } else {
            Episode::Same
        }
    }

    fn fail(&mut self, now: Instant, level: Level) -> Episode {
        if now < self.since + self.config.initial_delay {
            return Episode::Same;
        }
        self.clean = 0;
        self.passes = 0;
        self.worst = if self.fails == 0 {
            level
        } else {
            self.worst.max(level)
        };
        self.fails = self.fails.saturating_add(1);
        if let CheckState::Failing(before) = self.state {
            self.state = CheckState::Failing(before.max(level));
        } else if self.fails >= self.config.failure_threshold {
            self.state = CheckState::Failing(self.worst);
        }
        match self.state {
            CheckState::Failing(level) if self.episode < Some(level) => {
                self.episode = Some(level);
                Episode::Fails(level)
            }
            _ => Episode::Same,
        }
    }

    /// The last moment at which its result is not stale.
    pub(crate) fn fresh_until(&self) -> Instant {
        // Results that have not decided yet are in a row only as long as there is no gap.
        let is_stale = self.state == CheckState::Stale && self.passes == 0 && self.fails == 0;
        let is_settled = self.held || self.is_done() || is_stale;
        match self.config.fresh_for() {
            Some(time) if !is_settled => {
                let from = self.last.unwrap_or(self.since + self.config.initial_delay);
                self.spared.max(from + time)
            }
            _ => NEVER,
        }
    }

    /// Makes it stale if it is; whether it became so.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        if now <= self.fresh_until() {
            return false;
        }
        self.state = CheckState::Stale;
        // What comes next has to decide anew: one failure after a gap does not bring back the pass
        // from before it.
        self.passes = 0;
        self.fails = 0;
        self.clean = 0;
        true
    }
}
