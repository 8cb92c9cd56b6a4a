//! The real breaker and the naive model, side by side: each step is taken by both, and then
//! everything that can be asked is compared.

use crate::naive::{Dropped, How, Mode, Model, Settings, State, Ticket, Window};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::event::Subscriber;
use backstop::kernel::managed::Isolation;
use backstop::kernel::outcome::Verdict;
use backstop::kernel::window::Counts;
use backstop::policy::circuit_breaker as real;
use backstop::policy::circuit_breaker::{CircuitBreakerEvent, EventKind, WindowSnapshot};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Rejection};
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::time::Duration;

/// One step.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A call from admission to outcome, if it is admitted.
    Call {
        how: How,
        takes: u64,
    },
    /// Admits a call that stays out.
    Acquire,
    /// Ends one that is out.
    Finish {
        which: usize,
        how: How,
    },
    Advance(u64),
    StepBack(u64),
    /// There and back, without a look in between.
    Wobble(u64),
    /// To the very end of the wait, if it is open.
    WaitAsTold,
    Reset,
    Force(bool),
    Isolate,
    LetGo,
    SetMode(Mode),
    MoveTo(State),
    Reconfigure(Settings),
}

/// What was asked, what the breaker said, what the model said.
pub(crate) type Disagreement = String;

/// So many calls may be out at once.
const MOST_OUT: usize = 12;
const MOST_GUARDS: usize = 3;

pub(crate) struct Pair {
    breaker: CircuitBreaker,
    clock: ManualClock,
    events: Subscriber<CircuitBreakerEvent>,
    model: Model,
    out: Vec<(real::OwnedPermit, Ticket)>,
    guards: Vec<Isolation>,
    grain: Duration,
    seen: Seen,
}

/// What a run went through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) steps: u64,
    /// Calls that were recorded.
    pub(crate) outcomes: u64,
    /// Closed circuits that opened because of their window or a row of failures.
    pub(crate) trips: u64,
    pub(crate) resets: u64,
    /// Times without a call for ten windows and more, while there was something in the window.
    pub(crate) gaps: u64,
    /// Times at which a bucket begins to the nanosecond, while there was something in the window.
    pub(crate) edges: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, more: Self) {
        self.steps += more.steps;
        self.outcomes += more.outcomes;
        self.trips += more.trips;
        self.resets += more.resets;
        self.gaps += more.gaps;
        self.edges += more.edges;
    }
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

#[expect(clippy::cast_precision_loss, reason = "at most a million")]
fn share(millionths: u64) -> f64 {
    millionths as f64 / 1e6
}

/// The settings as the breaker takes them.
pub(crate) fn config(settings: &Settings) -> CircuitBreakerConfig {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let factor = settings.factor as f64;
    let small = |number: u64| u32::try_from(number).expect("a small number");
    let mut config = CircuitBreakerConfig::default()
        .window(match settings.window {
            Window::None => real::Window::none(),
            Window::Count(size) => real::Window::count(small(size as u64)),
            Window::Time { width, buckets } => {
                real::Window::time(nanos(width) * small(buckets), small(buckets))
            }
        })
        .minimum_calls(small(settings.minimum))
        .failures_only(settings.failures_only)
        .open_wait(nanos(settings.base), factor, nanos(settings.cap))
        .open_wait_jitter(0.0)
        .max_hint(nanos(settings.max_hint))
        .probes(small(settings.probes))
        .probe_decision(if settings.judge_when_all_are_in {
            real::ProbeDecision::All
        } else {
            real::ProbeDecision::Early
        })
        .dropped_calls(match settings.dropped {
            Dropped::Ignored => real::DroppedCalls::Ignored,
            Dropped::Failure => real::DroppedCalls::Failure,
            Dropped::FailureIfSlow => real::DroppedCalls::FailureIfSlow,
        })
        .auto_half_open(settings.auto_half_open);
    config = match settings.failure_rate {
        Some(rate) => config.failure_rate(share(rate)),
        None => config.without_failure_rate(),
    };
    if let Some(most) = settings.consecutive {
        config = config.consecutive_failures(most);
    }
    if let Some((limit, rate)) = settings.slow {
        config = config.slow_calls(nanos(limit), share(rate));
    }
    if let Some(wait) = settings.probe_max_wait {
        config = config.probe_max_wait(nanos(wait));
    }
    if let Some(limit) = settings.half_open_limit {
        config = config.half_open_limit(nanos(limit));
    }
    config
}

fn verdict(how: How) -> Option<Verdict> {
    Some(match how {
        How::Success => Verdict::success(),
        How::Failure { hint: None } => Verdict::failure(),
        How::Failure { hint: Some(hint) } => Verdict::failure().with_hint(nanos(hint)),
        How::Ignored => Verdict::ignored(),
        How::Dropped => return None,
    })
}

fn counts(counts: Counts) -> (u64, u64, u64) {
    (counts.recorded, counts.failed, counts.slow)
}

fn same<T: PartialEq + Debug>(what: &str, breaker: &T, model: &T) -> Result<(), Disagreement> {
    if breaker == model {
        Ok(())
    } else {
        Err(format!(
            "{what}: the breaker says {breaker:?}, the model says {model:?}"
        ))
    }
}

impl Pair {
    /// Both of them, closed. The clock's coarse reading lags by up to `grain`.
    pub(crate) fn new(settings: Settings, grain: Duration) -> Self {
        let clock = Clock::manual_with_grain(grain);
        let now = clock.clock().now().as_nanos();
        let breaker = CircuitBreaker::with_clock("pair", config(&settings), &clock)
            .unwrap_or_else(|error| panic!("{settings:?}: {error}"));
        let events = breaker.subscribe(NonZeroUsize::new(1_000).expect("not zero"));
        let grain_nanos = u64::try_from(grain.as_nanos()).expect("a short grain");
        Self {
            breaker,
            clock,
            events,
            model: Model::new(settings, grain_nanos, now),
            out: Vec::new(),
            guards: Vec::new(),
            grain,
            seen: Seen::default(),
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// What it went through so far.
    pub(crate) fn seen(&self) -> Seen {
        let totals = self.model.totals();
        Seen {
            outcomes: totals.success + totals.failure,
            ..self.seen
        }
    }

    /// Takes one step and compares.
    pub(crate) fn step(&mut self, op: Op) -> Result<(), Disagreement> {
        self.seen.steps += 1;
        if let (Op::Advance(by), Window::Time { width, buckets }) = (&op, self.model.window()) {
            let filled = self.model.counts().0 > 0;
            let to_edge = self.model.to_next_edge().map(|left| by.checked_sub(left));
            let at_edge = matches!(to_edge, Some(Some(past)) if past % width == 0);
            self.seen.gaps += u64::from(filled && *by >= 10 * width * buckets);
            self.seen.edges += u64::from(filled && at_edge);
        }
        self.take(op)?;
        self.compare()
    }

    fn take(&mut self, op: Op) -> Result<(), Disagreement> {
        match op {
            Op::Call { how, takes } => return self.call(how, takes),
            Op::Acquire => return self.acquire(),
            Op::Finish { which, how } if !self.out.is_empty() => {
                let (permit, ticket) = self.out.swap_remove(which % self.out.len());
                match verdict(how) {
                    Some(verdict) => permit.record(verdict),
                    None => drop(permit),
                }
                self.model.finish(ticket, how);
            }
            Op::Advance(by) => self.advance(by),
            Op::StepBack(by) => self.step_back(by),
            Op::Wobble(by) => {
                self.advance(by);
                self.step_back(by);
            }
            Op::WaitAsTold => self.advance(self.model.remaining().unwrap_or(0)),
            Op::Reset => {
                self.breaker.reset();
                self.model.reset();
            }
            Op::Force(forced) => {
                if forced {
                    self.breaker.force_open();
                } else {
                    self.breaker.release_force_open();
                }
                self.model.force(forced);
            }
            Op::Isolate if self.guards.len() < MOST_GUARDS => {
                self.guards.push(self.breaker.isolate());
                self.model.isolate();
            }
            // Nothing is out, or enough guards are alive.
            Op::Finish { .. } | Op::Isolate => {}
            Op::LetGo => {
                if self.guards.pop().is_some() {
                    self.model.release();
                }
            }
            Op::SetMode(mode) => {
                self.breaker.set_mode(match mode {
                    Mode::Normal => real::Mode::Normal,
                    Mode::Disabled => real::Mode::Disabled,
                    Mode::MetricsOnly => real::Mode::MetricsOnly,
                });
                self.model.set_mode(mode);
            }
            Op::MoveTo(to) => {
                let target = real::State::ALL.iter().find(|s| s.as_str() == to.name());
                let target = *target.expect("a state by that name");
                let moved = self.breaker.transition_to(target).is_ok();
                return same("moved by hand", &moved, &self.model.move_to(to));
            }
            Op::Reconfigure(settings) => {
                let taken = self.breaker.reconfigure(config(&settings));
                same("reconfigured", &taken, &Ok(()))?;
                self.model.reconfigure(settings);
            }
        }
        Ok(())
    }

    fn advance(&mut self, by: u64) {
        self.clock.advance(nanos(by));
        self.model.advance(by);
    }

    fn step_back(&mut self, by: u64) {
        self.clock.step_back(nanos(by));
        self.model.step_back(by);
    }

    fn call(&mut self, how: How, takes: u64) -> Result<(), Disagreement> {
        let breaker = self.breaker.clone();
        let permit = breaker.try_acquire();
        let Some(ticket) = self.admission(permit.as_ref().err())? else {
            return Ok(());
        };
        self.advance(takes);
        match verdict(how) {
            Some(verdict) => permit.expect("admitted, as the model says").record(verdict),
            None => drop(permit),
        }
        self.model.finish(ticket, how);
        Ok(())
    }

    fn acquire(&mut self) -> Result<(), Disagreement> {
        if self.out.len() < MOST_OUT {
            let permit = self.breaker.try_acquire_owned();
            let ticket = self.admission(permit.as_ref().err())?;
            self.out.extend(permit.ok().zip(ticket));
        }
        Ok(())
    }

    /// Lets the model decide on an admission, and compares.
    fn admission(&mut self, refused: Option<&Rejection>) -> Result<Option<Ticket>, Disagreement> {
        let admission = self.model.acquire();
        let kind = refused.map(|refused| refused.kind().as_str());
        let model_kind = admission.err().map(|(kind, _)| kind);
        same("refused", &kind, &model_kind)?;
        let told = refused.and_then(Rejection::retry_after);
        let left = admission.err().and_then(|(_, left)| left).map(nanos);
        // On a clock that lags, one may be told to wait up to a grain longer, never shorter.
        let agree = match (told, left) {
            (Some(told), Some(left)) => told >= left && told <= left + self.grain,
            (told, left) => told == left,
        };
        if !agree {
            same("retry_after", &told, &left)?;
        }
        Ok(admission.ok())
    }

    fn compare(&mut self) -> Result<(), Disagreement> {
        same(
            "state",
            &self.breaker.state().as_str(),
            &self.model.state().name(),
        )?;
        let snapshot = self.breaker.snapshot();
        self.model.look();
        let model = &mut self.model;
        same(
            "state after a look",
            &snapshot.state.as_str(),
            &model.state().name(),
        )?;
        same("counts", &counts(snapshot.counts), &model.counts())?;
        same(
            "remaining",
            &snapshot.remaining,
            &model.remaining().map(nanos),
        )?;
        same("opens", &snapshot.opens, &model.opens())?;
        let events: Vec<_> = std::iter::from_fn(|| self.events.try_recv())
            .map(|event| told(&event.kind))
            .collect();
        same("events", &events, &model.events())?;
        for (from, to, why) in events {
            self.seen.resets += u64::from(from == "reset");
            let by_itself = ["failure_rate", "slow_rate", "consecutive"].contains(&why);
            self.seen.trips += u64::from(to == "open" && by_itself);
        }
        self.compare_totals()?;
        // The call by call content says little more and costs much.
        if self.seen.steps % 8 == 0 {
            self.compare_content(&snapshot.window)?;
            self.compare_trip()?;
        }
        Ok(())
    }

    fn compare_totals(&self) -> Result<(), Disagreement> {
        let (real, model) = (self.breaker.totals(), self.model.totals());
        same("totals", &totals(&real), &model)
    }

    fn compare_content(&self, window: &WindowSnapshot) -> Result<(), Disagreement> {
        let model = &self.model;
        match (window, model.window()) {
            (WindowSnapshot::None, Window::None) => Ok(()),
            (WindowSnapshot::Count(calls), Window::Count(_)) => {
                same("calls in the window", calls, &model.spelled())
            }
            (WindowSnapshot::Time { calls, .. }, Window::Time { .. }) => {
                same("buckets", calls, &model.buckets())
            }
            (other, window) => Err(format!("a window {other:?} where the model has {window:?}")),
        }
    }

    fn compare_trip(&self) -> Result<(), Disagreement> {
        let trip = self.breaker.last_trip().map(|trip| {
            (
                trip.at.as_nanos(),
                trip.reason.as_str(),
                counts(trip.counts),
            )
        });
        same("last trip", &trip, &self.model.trip())
    }
}

fn totals(real: &real::Totals) -> crate::naive::Totals {
    crate::naive::Totals {
        success: real.success,
        failure: real.failure,
        slow: real.slow,
        ignored: real.ignored,
        dropped: real.dropped,
        late: real.late,
        rejected_open: real.rejected_open,
        rejected_forced_open: real.rejected_forced_open,
        rejected_probes_full: real.rejected_probes_full,
    }
}

fn told(event: &EventKind) -> crate::naive::Event {
    match event {
        EventKind::StateChanged {
            from, to, reason, ..
        } => (from.as_str(), to.as_str(), reason.as_str()),
        EventKind::WouldHaveOpened { .. } => ("would_have_opened", "", ""),
        EventKind::ProbeWrittenOff => ("probe_written_off", "", ""),
        EventKind::Reset => ("reset", "", ""),
        EventKind::Reconfigured => ("reconfigured", "", ""),
        _ => ("unknown", "", ""),
    }
}
