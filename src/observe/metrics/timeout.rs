//! What is published of a timeout.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::Tally;
use crate::kernel::managed::Managed;
use crate::kernel::rejection::RejectionKind;
use crate::observe::names::{POLICY_REJECTIONS, TIMEOUT_ARMED};
use crate::policy::timeout::{LastWords, Timeout, Totals, WeakTimeout};
use std::sync::Arc;

impl Exported for Timeout {}

impl Sealed for Timeout {
    fn source(&self) -> Box<dyn Source> {
        let (policy, name) = (Managed::policy(self), self.name().as_str());
        let tally = |reason| Tally::new(POLICY_REJECTIONS.series([policy, name, reason]));
        Box::new(Figures {
            weak: self.downgrade(),
            last_words: self.last_words(),
            armed: Tally::new(TIMEOUT_ARMED.series([name])),
            reasons: REASONS.map(|(reason, _)| tally(reason)),
        })
    }
}

/// A reason, and the total that belongs to it.
type Figure = (&'static str, fn(&Totals) -> u64);

const REASONS: [Figure; 3] = [
    (RejectionKind::TimedOut.as_str(), |totals| totals.timed_out),
    (RejectionKind::ForcedOpen.as_str(), |totals| {
        totals.rejected_forced_open
    }),
    (RejectionKind::NoRuntime.as_str(), |totals| {
        totals.rejected_no_runtime
    }),
];

struct Figures {
    weak: WeakTimeout,
    last_words: LastWords,
    armed: Tally,
    reasons: [Tally; REASONS.len()],
}

impl Figures {
    fn tell(&mut self, totals: &Totals) {
        self.armed.tell(totals.armed);
        for (tally, (_, of)) in self.reasons.iter_mut().zip(&REASONS) {
            tally.tell(of(totals));
        }
    }
}

impl Source for Figures {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.last_words).addr()
    }

    fn publish(&mut self) {
        let Some(timeout) = self.weak.upgrade() else {
            return;
        };
        let totals = timeout.totals();
        drop(timeout);
        self.tell(&totals);
    }

    fn bury(&mut self) -> bool {
        let Some(totals) = self.last_words.get().copied() else {
            return false;
        };
        self.tell(&totals);
        true
    }
}
