//! What calls came to, and the check that reads it.

use super::config::CallHealthConfig;
use crate::health::check::{Check, Finding, Level};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::outcome::Outcome;
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::sync::Arc;

const SUCCESS: usize = 0;
const FAILURE: usize = 1;
const SHED: usize = 2;

/// Counts what calls come to, for a check. Clones are the same one.
///
/// Layers count for it; code without tower [records](Self::record) itself.
#[derive(Clone)]
pub struct CallHealth(Arc<Shared>);

struct Shared {
    name: Name,
    config: CallHealthConfig,
    totals: Striped<3>,
}

/// All calls so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CallTotals {
    /// Good ones.
    pub success: u64,
    /// Bad ones.
    pub failure: u64,
    /// Refused ones, because a component was not ready.
    pub shed: u64,
}

impl CallHealth {
    /// Counts calls of what has this name.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: field, value and allowed range.
    pub fn new(name: impl Into<Name>, config: CallHealthConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self(Arc::new(Shared {
            name: name.into(),
            config,
            totals: Striped::wide(),
        })))
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// A call finished, and this is what it came to; an ignored one counts as nothing.
    #[inline]
    pub fn record(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.0.totals.bump(SUCCESS),
            Outcome::Failure => self.0.totals.bump(FAILURE),
            Outcome::Ignored => {}
        }
    }

    pub(super) fn shed(&self) {
        self.0.totals.bump(SHED);
    }

    /// All calls so far.
    pub fn totals(&self) -> CallTotals {
        CallTotals {
            success: self.0.totals.sum(SUCCESS),
            failure: self.0.totals.sum(FAILURE),
            shed: self.0.totals.sum(SHED),
        }
    }

    /// A check named `calls` that fails in each of its periods in which too large a share of the calls that
    /// finished failed. It reads two counters, and asks nobody.
    ///
    /// Each check has periods of its own, from now on; how long they are and how many failed ones count is
    /// in its [`CheckConfig`](crate::health::check::CheckConfig).
    pub fn check(&self, level: Level) -> Check {
        let calls = self.clone();
        let (success, failure) = (AtomicU64::new(0), AtomicU64::new(0));
        let begun = self.totals();
        success.store(begun.success, Ordering::Relaxed);
        failure.store(begun.failure, Ordering::Relaxed);
        Check::new("calls", level, move || {
            let totals = calls.totals();
            let since = |before: &AtomicU64, now: u64| {
                now.saturating_sub(before.swap(now, Ordering::Relaxed))
            };
            let failed = since(&failure, totals.failure);
            let finished = failed.saturating_add(since(&success, totals.success));
            ready(Ok::<_, Infallible>(calls.judge(failed, finished)))
        })
    }

    fn judge(&self, failed: u64, finished: u64) -> Finding {
        let config = &self.0.config;
        let is_told = finished >= u64::from(config.minimum_calls);
        if is_told && config.failure_ratio.is_reached_by(failed, finished) {
            return Finding::failed(format_args!(
                "{failed} of {finished} calls of {} failed",
                self.0.name
            ));
        }
        Finding::passed()
    }
}

impl fmt::Debug for CallHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHealth")
            .field("name", &self.0.name)
            .field("config", &self.0.config)
            .field("totals", &self.totals())
            .finish()
    }
}
