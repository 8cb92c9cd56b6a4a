//! What is published of a bulkhead.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::figures::{Figure, Figures};
use super::meters::{Level, Tally};
use crate::kernel::managed::Managed;
use crate::kernel::rejection::RejectionKind;
use crate::observe::names::{
    BULKHEAD_IN_FLIGHT, BULKHEAD_LIMIT, BULKHEAD_WAITING, BULKHEAD_WAITS, POLICY_CALLS,
    POLICY_REJECTIONS,
};
use crate::policy::bulkhead::{
    Bulkhead, BulkheadSnapshot, Compartment, IsolatedBulkhead, LastWords, Totals, WeakBulkhead,
    WeakCompartment,
};
use std::sync::Arc;

const REASONS: [Figure<Totals>; 4] = [
    (RejectionKind::Full.as_str(), |totals| totals.refused_full),
    ("wait_over", |totals| totals.refused_wait_over),
    (RejectionKind::ForcedOpen.as_str(), |totals| {
        totals.refused_forced_open
    }),
    (RejectionKind::NoRuntime.as_str(), |totals| {
        totals.refused_no_runtime
    }),
];

const WAITS: [Figure<Totals>; 3] = [
    ("admitted", |totals| totals.waited),
    ("dropped", |totals| totals.cancelled),
    ("wait_over", |totals| totals.refused_wait_over),
];

impl Exported for Bulkhead {}

impl Sealed for Bulkhead {
    fn source(&self) -> Box<dyn Source> {
        One::of(self, self.downgrade(), self.last_words())
    }
}

impl Exported for Compartment {}

impl Sealed for Compartment {
    fn source(&self) -> Box<dyn Source> {
        One::of(self, self.downgrade(), self.last_words())
    }
}

/// Published as the bulkhead that admits its calls.
impl Exported for IsolatedBulkhead {}

impl Sealed for IsolatedBulkhead {
    fn source(&self) -> Box<dyn Source> {
        self.admission().source()
    }
}

/// What a weak handle leads to, while it is there.
trait Weak: Send + Sync + 'static {
    /// How it stands, what it counted, and whether it counts what has finished.
    fn read(&self) -> Option<(BulkheadSnapshot, Totals, bool)>;
}

impl Weak for WeakBulkhead {
    fn read(&self) -> Option<(BulkheadSnapshot, Totals, bool)> {
        let bulkhead = self.upgrade()?;
        Some((
            bulkhead.snapshot(),
            bulkhead.totals(),
            bulkhead.counts_totals(),
        ))
    }
}

impl Weak for WeakCompartment {
    fn read(&self) -> Option<(BulkheadSnapshot, Totals, bool)> {
        let compartment = self.upgrade()?;
        Some((compartment.snapshot(), compartment.totals(), true))
    }
}

impl<W: Weak> One<W> {
    fn of(managed: &dyn Managed, weak: W, last_words: LastWords) -> Box<dyn Source> {
        let (policy, name) = (managed.policy(), managed.name().as_str());
        Box::new(Self {
            weak,
            last_words,
            finished: Tally::new(POLICY_CALLS.series([policy, name, "finished"])),
            rejections: Figures::new(&POLICY_REJECTIONS, [policy, name], &REASONS),
            waits: Figures::new(&BULKHEAD_WAITS, [name], &WAITS),
            levels: [BULKHEAD_IN_FLIGHT, BULKHEAD_WAITING, BULKHEAD_LIMIT]
                .map(|metric| Level::new(metric.series([name]))),
        })
    }
}

struct One<W> {
    weak: W,
    last_words: LastWords,
    finished: Tally,
    rejections: Figures<Totals>,
    waits: Figures<Totals>,
    /// Calls in flight, calls that wait, the limit.
    levels: [Level; 3],
}

impl<W> One<W> {
    /// A bulkhead that does not count its calls has none to show: 0 would be a lie.
    fn tell(&mut self, totals: &Totals, has_finished: bool) {
        if has_finished {
            self.finished.tell(totals.finished);
        } else {
            self.finished.tell_if_any(totals.finished);
        }
        self.rejections.tell(totals);
        self.waits.tell(totals);
    }
}

impl<W: Weak> Source for One<W> {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.last_words).addr()
    }

    fn publish(&mut self) {
        let Some((snapshot, totals, has_finished)) = self.weak.read() else {
            return;
        };
        self.tell(&totals, has_finished);
        let values = [snapshot.in_flight, snapshot.waiting, snapshot.limit];
        for (level, value) in self.levels.iter_mut().zip(values) {
            level.set(f64::from(value));
        }
    }

    fn bury(&mut self) -> bool {
        let Some(totals) = self.last_words.get().copied() else {
            return false;
        };
        self.tell(&totals, false);
        self.levels.iter().for_each(Level::clear);
        true
    }
}
