//! A circuit breaker by the letter of its rules and as naive as can be: it keeps each outcome with
//! the time at which it came, counts them anew whenever it is asked, and shares no code with the
//! crate.
//!
//! Times are nanoseconds, rates are millionths.

use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Window {
    None,
    Count(usize),
    Time { width: u64, buckets: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Ignored,
    Failure,
    FailureIfSlow,
}

/// What the breaker is told, without jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) window: Window,
    pub(crate) consecutive: Option<u32>,
    pub(crate) failure_rate: Option<u64>,
    /// Limit and rate.
    pub(crate) slow: Option<(u64, u64)>,
    pub(crate) minimum: u64,
    pub(crate) failures_only: bool,
    pub(crate) base: u64,
    pub(crate) factor: u64,
    pub(crate) cap: u64,
    pub(crate) max_hint: u64,
    pub(crate) probes: u64,
    pub(crate) judge_when_all_are_in: bool,
    pub(crate) probe_max_wait: Option<u64>,
    pub(crate) half_open_limit: Option<u64>,
    pub(crate) dropped: Dropped,
    pub(crate) auto_half_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Open,
    HalfOpen,
    ForcedOpen,
    Disabled,
    MetricsOnly,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Normal,
    Disabled,
    MetricsOnly,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Success,
    Failure { hint: Option<u64> },
    Ignored,
    Dropped,
}

/// An outcome and when it came.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: i128,
    failed: bool,
    slow: bool,
}

/// Recorded, failed, slow.
pub(crate) type Counts = (u64, u64, u64);

/// What happened: from, to and why of a change of state; else what, twice empty.
pub(crate) type Event = (&'static str, &'static str, &'static str);

/// When and why the circuit tripped, and what the window counted then.
pub(crate) type Trip = (u64, &'static str, Counts);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) success: u64,
    pub(crate) failure: u64,
    pub(crate) slow: u64,
    pub(crate) ignored: u64,
    pub(crate) dropped: u64,
    pub(crate) late: u64,
    pub(crate) rejected_open: u64,
    pub(crate) rejected_forced_open: u64,
    pub(crate) rejected_probes_full: u64,
}

/// An admitted call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    generation: u64,
    kind: Kind,
    since: u64,
    /// Somebody asked how long it takes when it was admitted.
    timed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unrecorded,
    Recorded,
    Probe(u64),
}

/// Why a call is refused, and when to come back.
pub(crate) type Refusal = (&'static str, Option<u64>);

/// Where the buckets of a time window lie. They outlive the outcomes in them.
#[derive(Clone, Copy, Debug)]
struct Grid {
    width: i128,
    /// Where the newest bucket that anybody saw begins; none before the first outcome.
    newest: Option<i128>,
    /// The next outcome begins a bucket.
    unaligned: bool,
}

impl Grid {
    fn align(&mut self, now: i128) {
        // With a clock that stepped back, the newest bucket stays the newest; its bounds move down
        // to where a bucket can begin now.
        let newest = self.newest.unwrap_or(now);
        self.newest = Some(now + (newest - now).div_euclid(self.width) * self.width);
        self.unaligned = false;
    }

    fn see(&mut self, now: i128) {
        if let Some(newest) = &mut self.newest {
            *newest += (now - *newest).max(0) / self.width * self.width;
        }
    }

    /// How many bucket boundaries lie between `at` and the newest time seen.
    fn age(&self, at: i128) -> i128 {
        self.newest
            .map_or(0, |newest| -(at - newest).div_euclid(self.width))
    }
}

pub(crate) struct Model {
    settings: Settings,
    /// The window reads the time in multiples of this.
    grain: u64,
    now: u64,
    state: State,
    generation: u64,
    calls: VecDeque<Call>,
    grids: BTreeMap<Window, Grid>,
    row: u32,
    crossed: bool,
    end: u64,
    wait: u64,
    opens: u32,
    half_open_since: u64,
    probes_sent: u64,
    probes_out: Vec<(u64, u64)>,
    probes_in: Counts,
    mode: Mode,
    forced: bool,
    guards: u32,
    trip: Option<Trip>,
    totals: Totals,
    events: Vec<Event>,
}

fn reaches(rate: u64, bad: u64, all: u64) -> bool {
    all > 0 && u128::from(bad) * 1_000_000 >= u128::from(rate) * u128::from(all)
}

impl Model {
    pub(crate) fn new(settings: Settings, grain: u64, now: u64) -> Self {
        Self {
            settings,
            grain,
            now,
            state: State::Closed,
            generation: 0,
            calls: VecDeque::new(),
            grids: BTreeMap::new(),
            row: 0,
            crossed: false,
            end: 0,
            wait: 0,
            opens: 0,
            half_open_since: 0,
            probes_sent: 0,
            probes_out: Vec::new(),
            probes_in: (0, 0, 0),
            mode: Mode::Normal,
            forced: false,
            guards: 0,
            trip: None,
            totals: Totals::default(),
            events: Vec::new(),
        }
    }

    // --- Time ---

    pub(crate) fn advance(&mut self, by: u64) {
        self.now = self.now.saturating_add(by);
    }

    pub(crate) fn step_back(&mut self, by: u64) {
        self.now = self.now.saturating_sub(by);
    }

    fn since(&self, then: u64) -> u64 {
        self.now.saturating_sub(then)
    }

    /// The time as the window reads it: coarse where a bucket is 20 grains or more.
    fn window_now(&self) -> i128 {
        let grain = self.grain;
        i128::from(match self.settings.window {
            Window::Time { width, .. } if grain > 0 && width >= 20 * grain => {
                self.now - self.now % grain
            }
            _ => self.now,
        })
    }

    // --- The window ---

    fn grid(&mut self) -> Option<&mut Grid> {
        let Window::Time { width, .. } = self.settings.window else {
            return None;
        };
        Some(self.grids.entry(self.settings.window).or_insert(Grid {
            width: i128::from(width),
            newest: None,
            unaligned: true,
        }))
    }

    /// Lets go of what is out of the window.
    fn slide(&mut self) {
        let now = self.window_now();
        match self.settings.window {
            Window::None => self.calls.clear(),
            Window::Count(size) => {
                while self.calls.len() > size {
                    self.calls.pop_front();
                }
            }
            Window::Time { buckets, .. } => {
                if let Some(grid) = self.grid() {
                    grid.see(now);
                    let grid = *grid;
                    self.calls
                        .retain(|call| grid.age(call.at) < i128::from(buckets));
                }
            }
        }
    }

    fn keep(&mut self, failed: bool, slow: bool) {
        let now = self.window_now();
        let mut at = now;
        if let Some(grid) = self.grid() {
            if grid.unaligned {
                grid.align(now);
            }
            grid.see(now);
            at = grid.newest.unwrap_or(now).max(now);
        }
        self.calls.push_back(Call { at, failed, slow });
        self.slide();
    }

    fn window_counts(&self) -> Counts {
        let all = self.calls.len();
        let failed = self.calls.iter().filter(|call| call.failed).count();
        let slow = self.calls.iter().filter(|call| call.slow).count();
        (all as u64, failed as u64, slow as u64)
    }

    /// The calls of a count window, oldest first, as a snapshot spells them.
    pub(crate) fn spelled(&self) -> String {
        let letter = |call: &Call| match (call.failed, call.slow) {
            (false, false) => '.',
            (true, false) => 'F',
            (false, true) => 's',
            (true, true) => 'S',
        };
        self.calls.iter().map(letter).collect()
    }

    /// The calls of each bucket of a time window, newest first: succeeded, failed, slow, both.
    pub(crate) fn buckets(&self) -> Vec<[u64; 4]> {
        let Window::Time { buckets, .. } = self.settings.window else {
            return Vec::new();
        };
        let mut counts = vec![[0; 4]; usize::try_from(buckets).unwrap_or(0)];
        if let Some(grid) = self.grids.get(&self.settings.window) {
            for call in &self.calls {
                let age = usize::try_from(grid.age(call.at)).unwrap_or(0);
                counts[age][usize::from(call.failed) + 2 * usize::from(call.slow)] += 1;
            }
        }
        counts
    }

    fn verdict(&self) -> Option<&'static str> {
        let counts @ (all, failed, slow) = self.window_counts();
        let settings = &self.settings;
        let judges = counts.0 >= settings.minimum && settings.window != Window::None;
        if judges && (settings.failure_rate).is_some_and(|rate| reaches(rate, failed, all)) {
            Some("failure_rate")
        } else if judges && (settings.slow).is_some_and(|(_, rate)| reaches(rate, slow, all)) {
            Some("slow_rate")
        } else if (settings.consecutive).is_some_and(|most| self.row >= most) {
            Some("consecutive")
        } else {
            None
        }
    }

    // --- States ---

    fn enter(&mut self, to: State, why: &'static str) {
        self.generation += 1;
        self.calls.clear();
        self.row = 0;
        self.crossed = false;
        if self.state != to {
            self.events.push((self.state.name(), to.name(), why));
        }
        self.state = to;
    }

    fn open(&mut self, why: &'static str, hint: Option<u64>) {
        self.opens += 1;
        let mut wait = self.settings.base;
        for _ in 1..self.opens {
            wait = wait
                .saturating_mul(self.settings.factor)
                .min(self.settings.cap);
        }
        if let Some(hint) = hint.filter(|hint| *hint > 0) {
            wait = hint.min(self.settings.max_hint);
        }
        self.wait = wait;
        self.end = self.now.saturating_add(wait);
        self.enter(State::Open, why);
    }

    fn half_open(&mut self, why: &'static str) {
        self.half_open_since = self.now;
        self.probes_out.clear();
        self.probes_in = (0, 0, 0);
        self.enter(State::HalfOpen, why);
    }

    fn close(&mut self, why: &'static str) {
        self.opens = 0;
        self.enter(State::Closed, why);
    }

    fn judge_probes(&mut self, hint: Option<u64>) {
        let (all, failed, slow) = self.probes_in;
        let settings = &self.settings;
        let missing = settings.probes.saturating_sub(all);
        let fails_with = |more: u64| {
            reaches(
                settings.failure_rate.unwrap_or(500_000),
                failed + more,
                settings.probes,
            ) || settings
                .slow
                .is_some_and(|(_, rate)| reaches(rate, slow + more, settings.probes))
        };
        if settings.judge_when_all_are_in && missing > 0 {
            return;
        }
        if fails_with(0) {
            self.open("probes_failed", hint);
        } else if !fails_with(missing) {
            self.close("probes_passed");
        }
    }

    fn add_probe(&mut self, failed: bool, slow: bool) {
        let (all, failed_before, slow_before) = self.probes_in;
        self.probes_in = (
            all + 1,
            failed_before + u64::from(failed),
            slow_before + u64::from(slow),
        );
    }

    /// What follows from time passing in the half-open state, when somebody asks.
    fn settle(&mut self) {
        if self.state != State::HalfOpen {
            return;
        }
        let longest = (self.settings.probe_max_wait).unwrap_or(self.wait.max(self.settings.base));
        let (silent, out): (Vec<_>, Vec<_>) = std::mem::take(&mut self.probes_out)
            .into_iter()
            .partition(|(_, since)| self.since(*since) >= longest);
        self.probes_out = out;
        for _ in silent {
            self.add_probe(true, false);
            self.events.push(("probe_written_off", "", ""));
        }
        self.judge_probes(None);
        let limit = self.settings.half_open_limit;
        if self.state == State::HalfOpen
            && limit.is_some_and(|limit| self.since(self.half_open_since) >= limit)
        {
            self.open("half_open_limit", None);
        }
    }

    // --- Looking ---

    pub(crate) fn state(&mut self) -> State {
        if self.state == State::Open && self.now >= self.end && self.settings.auto_half_open {
            self.half_open("wait_over");
        }
        self.state
    }

    /// Draws the conclusions that a snapshot draws.
    pub(crate) fn look(&mut self) {
        self.state();
        self.settle();
        self.slide();
    }

    pub(crate) fn counts(&self) -> Counts {
        match self.state {
            State::HalfOpen => self.probes_in,
            _ => self.window_counts(),
        }
    }

    pub(crate) fn remaining(&self) -> Option<u64> {
        (self.state == State::Open).then(|| self.end.saturating_sub(self.now))
    }

    pub(crate) fn opens(&self) -> u32 {
        self.opens
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    pub(crate) fn trip(&self) -> Option<Trip> {
        self.trip
    }

    pub(crate) fn window(&self) -> Window {
        self.settings.window
    }

    /// How long until the next bucket begins, if there are buckets.
    pub(crate) fn to_next_edge(&self) -> Option<u64> {
        let grid = self.grids.get(&self.settings.window)?;
        let into = (i128::from(self.now) - grid.newest?).rem_euclid(grid.width);
        u64::try_from(grid.width - into).ok()
    }

    /// What happened since the last time this was asked.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    // --- Calls ---

    pub(crate) fn acquire(&mut self) -> Result<Ticket, Refusal> {
        self.settle();
        if self.state == State::Open {
            if self.now < self.end {
                self.totals.rejected_open += 1;
                return Err(("open", Some(self.end - self.now)));
            }
            self.half_open("wait_over");
        }
        let kind = match self.state {
            State::ForcedOpen => {
                self.totals.rejected_forced_open += 1;
                return Err(("forced_open", None));
            }
            State::HalfOpen => {
                if self.probes_out.len() as u64 + self.probes_in.0 >= self.settings.probes {
                    self.totals.rejected_probes_full += 1;
                    return Err(("probes_full", None));
                }
                self.probes_sent += 1;
                self.probes_out.push((self.probes_sent, self.now));
                Kind::Probe(self.probes_sent)
            }
            State::Disabled => Kind::Unrecorded,
            State::Closed | State::Open | State::MetricsOnly => Kind::Recorded,
        };
        Ok(Ticket {
            generation: self.generation,
            kind,
            since: self.now,
            timed: self.settings.slow.is_some(),
        })
    }

    pub(crate) fn finish(&mut self, ticket: Ticket, how: How) {
        if ticket.kind == Kind::Unrecorded {
            return;
        }
        if let Kind::Probe(_) = ticket.kind {
            self.settle();
        }
        if ticket.generation != self.generation || !self.takes_back(ticket) {
            self.totals.late += 1;
            return;
        }
        let limit = self.settings.slow.map(|(limit, _)| limit);
        let slow = ticket.timed && limit.is_some_and(|limit| self.since(ticket.since) > limit);
        let (failed, hint) = match (how, self.settings.dropped) {
            (How::Success, _) => (false, None),
            (How::Failure { hint }, _) => (true, hint),
            (How::Ignored, _) => {
                self.totals.ignored += 1;
                return;
            }
            (How::Dropped, Dropped::Failure) => (true, None),
            (How::Dropped, Dropped::FailureIfSlow) if slow => (true, None),
            (How::Dropped, _) => {
                self.totals.dropped += 1;
                return;
            }
        };
        self.totals.success += u64::from(!failed);
        self.totals.failure += u64::from(failed);
        self.totals.slow += u64::from(slow);
        if let Kind::Probe(_) = ticket.kind {
            self.add_probe(failed, slow);
            self.judge_probes(hint);
        } else {
            self.record(failed, slow, hint);
        }
    }

    /// A probe's place becomes free; `false` if it was written off.
    fn takes_back(&mut self, ticket: Ticket) -> bool {
        let Kind::Probe(id) = ticket.kind else {
            return true;
        };
        let before = self.probes_out.len();
        self.probes_out.retain(|(out, _)| *out != id);
        self.probes_out.len() < before
    }

    fn record(&mut self, failed: bool, slow: bool, hint: Option<u64>) {
        self.keep(failed, slow);
        if self.settings.consecutive.is_some() {
            self.row = if failed { self.row + 1 } else { 0 };
        }
        if self.settings.failures_only && !failed && !slow {
            return;
        }
        let verdict = self.verdict();
        match (self.state, verdict) {
            (State::Closed, Some(why)) => {
                self.trip = Some((self.now, why, self.window_counts()));
                self.open(why, hint);
            }
            (State::MetricsOnly, verdict) => {
                if verdict.is_some() && !self.crossed {
                    self.events.push(("would_have_opened", "", ""));
                }
                self.crossed = verdict.is_some();
            }
            _ => {}
        }
    }

    // --- By hand ---

    fn standing(&self) -> State {
        match self.mode {
            _ if self.forced || self.guards > 0 => State::ForcedOpen,
            Mode::Normal => State::Closed,
            Mode::Disabled => State::Disabled,
            Mode::MetricsOnly => State::MetricsOnly,
        }
    }

    fn restart(&mut self) {
        self.opens = 0;
        self.enter(self.standing(), "by_hand");
    }

    fn apply_modes(&mut self) {
        let to = self.standing();
        let own = [State::Closed, State::Open, State::HalfOpen];
        if to != self.state && !(to == State::Closed && own.contains(&self.state)) {
            self.restart();
        }
    }

    pub(crate) fn reset(&mut self) {
        self.mode = Mode::Normal;
        self.forced = false;
        self.trip = None;
        if let Some(grid) = self.grid() {
            grid.unaligned = true;
        }
        self.restart();
        self.events.push(("reset", "", ""));
    }

    pub(crate) fn force(&mut self, forced: bool) {
        self.forced = forced;
        self.apply_modes();
    }

    pub(crate) fn isolate(&mut self) {
        self.guards += 1;
        self.apply_modes();
    }

    pub(crate) fn release(&mut self) {
        self.guards -= 1;
        self.apply_modes();
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.apply_modes();
    }

    /// Whether it may be moved there by hand.
    pub(crate) fn move_to(&mut self, to: State) -> bool {
        match (self.state, to) {
            (from, to) if from == to => {}
            (State::Closed | State::HalfOpen, State::Open) => self.open("by_hand", None),
            (State::Open, State::HalfOpen) => self.half_open("by_hand"),
            (State::Open | State::HalfOpen, State::Closed) => self.close("by_hand"),
            _ => return false,
        }
        true
    }

    pub(crate) fn reconfigure(&mut self, settings: Settings) {
        let reshaped = settings.window != self.settings.window;
        if settings.consecutive.is_none() {
            self.row = 0;
        }
        self.settings = settings;
        if reshaped {
            if let Some(grid) = self.grid() {
                grid.unaligned = true;
            }
            if matches!(self.state, State::Closed | State::MetricsOnly) {
                self.enter(self.state, "by_hand");
            }
        }
        self.events.push(("reconfigured", "", ""));
    }
}
