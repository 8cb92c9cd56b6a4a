//! The limit in force, who is refused, and what was counted. No I/O, no user code.

use super::config::{Limit, TimeoutConfig};
use super::totals::{Counter, LastWords};
use crate::kernel::clock::{Clock, NoRuntime};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::rejection::{Executed, Facts, Rejection, RejectionKind};
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use crate::kernel::told::LastTold;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The policy's type, in errors and metric labels.
pub(super) const POLICY: &str = "timeout";

const TARGET: &str = "backstop::policy";

/// What the handles of one timeout share.
pub(crate) struct Machine {
    /// How many guards isolate it: each call reads this, and nothing else.
    isolations: AtomicU64,
    /// In force for calls that arm from now on, in nanoseconds.
    limit: AtomicU64,
    /// As it was given; taken while `limit` is changed.
    config: Mutex<TimeoutConfig>,
    pub(super) totals: Striped<{ Counter::ALL }>,
    /// Made when somebody exports it; filled when it is dropped.
    pub(super) last_words: OnceLock<LastWords>,
    told: LastTold,
    pub(crate) clock: Clock,
    pub(super) name: Name,
}

/// Why a call ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was not started.
    Isolated,
    /// It was pending when its time was over.
    TimedOut(Duration),
    /// It was pending, and there is no timer to limit it.
    NoRuntime,
}

impl Machine {
    pub(super) fn new(
        name: Name,
        config: TimeoutConfig,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        Ok(Self::with_limit(name, config, config.checked()?, clock))
    }

    /// One that has no limit.
    pub(super) fn unlimited(name: Name, clock: Clock) -> Self {
        Self::with_limit(name, TimeoutConfig::none(), Limit::NONE, clock)
    }

    fn with_limit(name: Name, config: TimeoutConfig, limit: Limit, clock: Clock) -> Self {
        Self {
            isolations: AtomicU64::new(0),
            limit: AtomicU64::new(limit.0),
            config: Mutex::new(config),
            totals: Striped::wide(),
            last_words: OnceLock::new(),
            told: LastTold::default(),
            clock,
            name,
        }
    }

    /// Whether a call may start.
    #[inline]
    pub(crate) fn admit(&self) -> Result<(), Refused> {
        if self.is_isolated() {
            return Err(self.isolated());
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolations.load(Ordering::Relaxed) != 0
    }

    #[cold]
    #[inline(never)]
    pub(super) fn isolated(&self) -> Refused {
        self.totals.bump(Counter::RejectedForcedOpen as usize);
        Refused::Isolated
    }

    /// For a call that was pending and is to be limited from now on.
    pub(super) fn limit(&self) -> Limit {
        Limit(self.limit.load(Ordering::Relaxed))
    }

    pub(super) fn isolate(&self) {
        self.isolations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn release(&self) {
        self.isolations.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn config(&self) -> TimeoutConfig {
        *self.config.lock()
    }

    pub(super) fn reconfigure(&self, config: TimeoutConfig) -> Result<(), ConfigError> {
        let limit = config.checked()?;
        let mut in_force = self.config.lock();
        *in_force = config;
        self.limit.store(limit.0, Ordering::Relaxed);
        Ok(())
    }

    /// The rejection of a call that was counted as `refused` already.
    #[cold]
    #[inline(never)]
    pub(crate) fn reject(&self, refused: Refused) -> Rejection {
        let (kind, facts) = match refused {
            Refused::Isolated => (RejectionKind::ForcedOpen, Facts::None),
            Refused::TimedOut(limit) => (RejectionKind::TimedOut, Facts::Time { limit }),
            Refused::NoRuntime => (RejectionKind::NoRuntime, Facts::None),
        };
        // One relaxed load where nobody listens.
        if tracing::event_enabled!(target: TARGET, tracing::Level::DEBUG) {
            self.tell_rejections(kind);
        }
        let rejection = Rejection::new(POLICY, self.name.clone(), kind).with_facts(facts);
        match refused {
            // Its first poll ran.
            Refused::NoRuntime => rejection
                .with_executed(Executed::Unknown)
                .with_cause(Some(Arc::new(NoRuntime))),
            Refused::Isolated | Refused::TimedOut(_) => rejection,
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_rejections(&self, kind: RejectionKind) {
        let all = || self.read_totals().rejected();
        if let Some(rejected) = self.told.due(self.clock.coarse(), all) {
            tracing::debug!(
                target: TARGET,
                name = self.name.as_str(), reason = kind.as_str(), rejected,
                "timeout ends calls"
            );
        }
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("name", &self.name)
            .field("limit", &self.config().limit())
            .field("isolated", &self.is_isolated())
            .finish_non_exhaustive()
    }
}
