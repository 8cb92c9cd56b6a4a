//! What is published of a retry.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::{Level, Tally};
use crate::kernel::managed::Managed;
use crate::kernel::rejection::RejectionKind;
use crate::observe::names::{
    Metric, POLICY_CALLS, POLICY_REJECTIONS, RETRY_ATTEMPTS, RETRY_BUDGET_BALANCE, RETRY_STOPS,
};
use crate::policy::retry::{LastWords, Retry, RetryTotals, StopReason, WeakRetry};
use std::sync::Arc;

impl Exported for Retry {}

impl Sealed for Retry {
    fn source(&self) -> Box<dyn Source> {
        let (policy, name) = (Managed::policy(self), self.name().as_str());
        Box::new(Published {
            weak: self.downgrade(),
            last_words: self.last_words(),
            counts: Counts::new(policy, name),
            balance: Level::new(RETRY_BUDGET_BALANCE.series([name])),
        })
    }
}

struct Published {
    weak: WeakRetry,
    last_words: LastWords,
    counts: Counts,
    balance: Level,
}

impl Source for Published {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.last_words).addr()
    }

    fn publish(&mut self) {
        let Some(retry) = self.weak.upgrade() else {
            return;
        };
        let (totals, balance) = (retry.totals(), retry.budget_balance());
        drop(retry);
        self.counts.tell(&totals);
        match balance {
            #[expect(clippy::cast_precision_loss, reason = "a balance is exact enough")]
            Some(balance) => self.balance.set(balance as f64),
            // Without a budget there is no balance: not the one from before either.
            None => self.balance.clear(),
        }
    }

    fn bury(&mut self) -> bool {
        let Some(totals) = self.last_words.get() else {
            return false;
        };
        self.counts.tell(totals);
        self.balance.clear();
        true
    }
}

/// A value of the last label of a counter, and the total that belongs to it.
type Figure = (&'static str, fn(&RetryTotals) -> u64);

const OUTCOMES: [Figure; 3] = [
    ("success", |totals| {
        totals.success.saturating_add(totals.success_after_retry)
    }),
    ("failure", RetryTotals::failures),
    ("dropped", |totals| totals.dropped),
];

const ATTEMPTS: [Figure; 2] = [
    ("first", |totals| {
        totals.attempts.saturating_sub(totals.retries)
    }),
    ("retry", |totals| totals.retries),
];

struct Counts {
    figures: Vec<(Tally, fn(&RetryTotals) -> u64)>,
    stops: Vec<(Tally, StopReason)>,
}

impl Counts {
    fn new(policy: &str, name: &str) -> Self {
        let by_policy = |metric: &Metric, (label, of): Figure| {
            (Tally::new(metric.series([policy, name, label])), of)
        };
        let outcomes = OUTCOMES.map(|figure| by_policy(&POLICY_CALLS, figure));
        let rejected: Figure = (RejectionKind::ForcedOpen.as_str(), |totals| totals.rejected);
        let rejected = by_policy(&POLICY_REJECTIONS, rejected);
        let attempts =
            ATTEMPTS.map(|(label, of)| (Tally::new(RETRY_ATTEMPTS.series([name, label])), of));
        let stops = StopReason::ALL.map(|reason| {
            let series = RETRY_STOPS.series([name, reason.as_str()]);
            (Tally::new(series), reason)
        });
        Self {
            figures: outcomes
                .into_iter()
                .chain([rejected])
                .chain(attempts)
                .collect(),
            stops: stops.into(),
        }
    }

    fn tell(&mut self, totals: &RetryTotals) {
        for (tally, of) in &mut self.figures {
            tally.tell(of(totals));
        }
        for (tally, reason) in &mut self.stops {
            tally.tell(totals.stopped(*reason));
        }
    }
}
