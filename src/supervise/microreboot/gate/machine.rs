//! The decision: who goes in, who waits, who is refused and what they are told. No user code.

#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined moves its ticket through memory: 30 instructions more"
)]

use super::config::{GateConfig, Idempotence};
use super::control::Control;
use super::stripe::{End, Shut, Stripes, Sums, Ticket};
use crate::kernel::clock::Clock;
use crate::kernel::instant::{Instant, saturating_nanos};
use crate::kernel::name::Name;
use crate::kernel::rejection::{Executed, NEVER, Rejection, RejectionKind};
use crate::kernel::rng::nth_rolls;
use crate::kernel::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use crate::supervise::microreboot::record::CallsSeen;
use std::fmt;
use std::time::Duration;

/// The policy's type, in rejections.
pub(super) const POLICY: &str = "gate";

/// No call has failed for so long: the next failure is a new onset.
const QUIET: Duration = Duration::from_secs(10);

/// Failures are not noted more often than this: many threads would write one line.
const NOTED: Duration = Duration::from_millis(1);

pub(super) struct Machine {
    pub(super) stripes: Stripes,
    /// In nanoseconds; [`NEVER`] for none.
    objective: AtomicU64,
    /// What idempotent callers are told, in nanoseconds, before jitter; [`NEVER`] while down.
    pub(super) hint: AtomicU64,
    /// When a call last failed, in nanoseconds of the coarse clock; 0 for never.
    failed_at: AtomicU64,
    /// Calls that were written off: cut, and still not gone when the gate was opened again.
    pub(super) written_off: AtomicU64,
    /// By how much hints are spread, in parts per million.
    jitter: AtomicU32,
    /// Numbers the draws of jitter.
    draws: AtomicU64,
    seed: u64,
    pub(super) clock: Clock,
    pub(super) name: Name,
    pub(super) control: Mutex<Control>,
}

/// A call inside: where, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    pub(super) ticket: Ticket,
    /// When it asked, in nanoseconds; 0 if nobody wants to know.
    pub(super) asked: u64,
}

impl Machine {
    pub(super) fn new(name: Name, clock: Clock, config: GateConfig) -> Self {
        let stripes = Stripes::new();
        stripes.configure(config.drain.is_some(), config.objective.is_some());
        Self {
            stripes,
            objective: AtomicU64::new(config.objective.map_or(NEVER, saturating_nanos)),
            hint: AtomicU64::new(saturating_nanos(config.expected)),
            failed_at: AtomicU64::new(0),
            written_off: AtomicU64::new(0),
            jitter: AtomicU32::new(config.jitter.parts_per_million()),
            draws: AtomicU64::new(0),
            seed: fastrand::u64(..),
            clock,
            name,
            control: Mutex::new(Control::new(config)),
        }
    }

    /// When a call asks that waits, if its duration is measured.
    pub(super) fn asked(&self) -> u64 {
        if self.objective.load(Ordering::Relaxed) == NEVER {
            return 0;
        }
        self.reading()
    }

    #[cold]
    #[inline(never)]
    fn reading(&self) -> u64 {
        let objective = Duration::from_nanos(self.objective.load(Ordering::Relaxed));
        if self.clock.is_coarse_enough_for(objective) {
            self.clock.coarse().as_nanos()
        } else {
            self.clock.now().as_nanos()
        }
    }

    /// Goes in, if the gate is open.
    #[inline(always)]
    pub(super) fn enter(&self) -> Result<Admitted, Shut> {
        let (ticket, is_timed) = self.stripes.enter()?;
        let asked = if is_timed { self.reading() } else { 0 };
        Ok(Admitted { ticket, asked })
    }

    /// The same for a call that asked before.
    pub(super) fn enter_late(&self, asked: u64) -> Result<Admitted, Shut> {
        let (ticket, _) = self.stripes.enter()?;
        Ok(Admitted { ticket, asked })
    }

    /// A call has ended. One that was written off is not counted again.
    #[inline(always)]
    pub(super) fn leave(&self, admitted: Admitted, failed: bool) {
        let Admitted { ticket, asked } = admitted;
        if self.stripes.is_of_the_past(ticket) {
            return self.stripes.leave_uncounted(ticket);
        }
        let end = if failed {
            self.note_failure();
            End::Failed
        } else if asked != 0 && self.is_slow(asked) {
            End::Slow
        } else {
            End::Well
        };
        self.stripes.leave(ticket, end);
    }

    #[cold]
    fn is_slow(&self, asked: u64) -> bool {
        let objective = self.objective.load(Ordering::Relaxed);
        objective != NEVER && self.reading().saturating_sub(asked) > objective
    }

    /// The first failure after a quiet time is an onset: what was counted until then is kept.
    #[cold]
    #[inline(never)]
    fn note_failure(&self) {
        let now = self.clock.coarse().as_nanos().max(1);
        let last = self.failed_at.load(Ordering::Relaxed);
        let since = Duration::from_nanos(now.saturating_sub(last));
        if last != 0 && since < NOTED {
            return;
        }
        let relaxed = Ordering::Relaxed;
        let noted = self
            .failed_at
            .compare_exchange(last, now, relaxed, relaxed)
            .is_ok();
        if noted && (last == 0 || since >= QUIET) {
            let seen = self.seen();
            self.control.lock().onset = seen;
        }
    }

    /// The calls that ended before the present run of failures; before now if there is none.
    pub(super) fn onset(&self) -> CallsSeen {
        let last = self.failed_at.load(Ordering::Relaxed);
        let now = self.clock.coarse().as_nanos();
        if last == 0 || Duration::from_nanos(now.saturating_sub(last)) >= QUIET {
            return self.seen();
        }
        self.control.lock().onset
    }

    /// The calls that have ended since the gate was made.
    pub(super) fn seen(&self) -> CallsSeen {
        let Sums {
            ended,
            failed,
            slow,
            refused,
        } = self.stripes.sums();
        let written_off = self.written_off.load(Ordering::Relaxed);
        let sum = |parts: [u64; 3]| parts.into_iter().fold(0, u64::saturating_add);
        let all = sum([ended, refused, written_off]);
        let bad = sum([failed, slow, refused]).saturating_add(written_off);
        CallsSeen {
            bad: bad.min(all),
            all,
        }
    }

    /// How long callers are told to stay away: longer than the longest of the last reboots. None
    /// while nobody knows.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let hint = self.hint.load(Ordering::Relaxed);
        if hint == NEVER {
            return None;
        }
        let from = Duration::from_nanos(hint);
        let jitter = f64::from(self.jitter.load(Ordering::Relaxed)) / 1e6;
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let to = from.saturating_add(from.mul_f64(jitter));
        Some(nth_rolls(self.seed, draw).between(from, to))
    }

    /// The refusal of a call at a shut gate.
    #[cold]
    pub(super) fn refuse(&self, idempotence: Idempotence) -> Rejection {
        self.refused(RejectionKind::Restarting)
            .with_retry_after(self.hint_for(idempotence))
    }

    fn hint_for(&self, idempotence: Idempotence) -> Option<Duration> {
        match idempotence {
            Idempotence::Unknown => None,
            Idempotence::Idempotent => self.retry_after(),
        }
    }

    /// The refusal of a call that would have waited, where there are no timers.
    #[cold]
    pub(super) fn refuse_no_runtime(&self) -> Rejection {
        self.refused(RejectionKind::NoRuntime)
    }

    fn refused(&self, kind: RejectionKind) -> Rejection {
        self.note_failure();
        self.stripes.refuse();
        Rejection::new(POLICY, self.name.clone(), kind)
    }

    /// What becomes of a call that was dropped while it ran.
    #[cold]
    pub(super) fn cut_off(&self, idempotence: Idempotence) -> Rejection {
        Rejection::new(POLICY, self.name.clone(), RejectionKind::Restarting)
            .with_executed(Executed::Unknown)
            .with_retry_after(self.hint_for(idempotence))
    }

    pub(super) fn reconfigure(&self, config: GateConfig) {
        let mut control = self.control.lock();
        self.stripes
            .configure(config.drain.is_some(), config.objective.is_some());
        let objective = config.objective.map_or(NEVER, saturating_nanos);
        self.objective.store(objective, Ordering::Relaxed);
        self.jitter
            .store(config.jitter.parts_per_million(), Ordering::Relaxed);
        control.config = config;
        self.publish_hint(&control);
    }

    pub(super) fn publish_hint(&self, control: &Control) {
        let hint = control.hint().map_or(NEVER, saturating_nanos);
        self.hint.store(hint, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("name", &self.name)
            .field("is_shut", &self.stripes.is_shut())
            .finish_non_exhaustive()
    }
}
