//! What a manager must not forget when the process ends.

use super::cap::{Charges, RebootCap};
use super::ladder::{Cures, Ladder};
use super::record::{RebootRecord, Rung};
use crate::kernel::sync::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::time::SystemTime;

/// Keeps what a manager has charged, cured and handed over, so that a new process does not begin
/// anew: a component that takes the process down with it would otherwise be rebooted without end.
///
/// Both calls may block; the manager makes them on a blocking thread, one at a time, and waits for a
/// bounded time.
pub trait RebootHistory: fmt::Debug + Send + Sync + 'static {
    /// What was stored last; `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// Why it cannot be read. An error is not absence: the manager then counts in memory, and asks
    /// again before it stores anything.
    fn load(&self) -> Result<Option<HistoryState>, HistoryError>;

    /// Stores it in place of what was stored before, whole or not at all.
    fn store(&self, state: &HistoryState) -> Result<(), HistoryError>;

    /// Whether it is there after the process has ended. The process rung needs that.
    fn is_durable(&self) -> bool {
        true
    }
}

/// Why a history can be neither read nor stored.
#[derive(Debug)]
pub struct HistoryError(Box<dyn Error + Send + Sync>);

impl HistoryError {
    /// With that cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the history of reboots is not available: {}", self.0)
    }
}

impl Error for HistoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// A history in memory: it is gone with the process, and so is what was charged.
#[derive(Debug, Default)]
pub struct MemoryHistory(Mutex<Option<HistoryState>>);

impl MemoryHistory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl RebootHistory for MemoryHistory {
    fn load(&self) -> Result<Option<HistoryState>, HistoryError> {
        Ok(self.0.lock().clone())
    }

    fn store(&self, state: &HistoryState) -> Result<(), HistoryError> {
        *self.0.lock() = Some(state.clone());
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// What a manager has counted: a value for a [`RebootHistory`] to keep. It is small: a few times for
/// each component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HistoryState {
    /// By rung and what it is charged to.
    charges: BTreeMap<Rung, BTreeMap<String, Charges>>,
    /// By component and fault.
    cures: BTreeMap<String, BTreeMap<String, Cures>>,
    /// Components that a human was told of and has not acknowledged.
    held: BTreeSet<String>,
    /// An episode for which the process was ended.
    pending: Option<Pending>,
    /// The highest number of an episode.
    episodes: u64,
}

/// An episode that goes on in the next process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Pending {
    pub(crate) episode: u64,
    pub(crate) component: String,
    pub(crate) fault: String,
    pub(crate) reporter: String,
    pub(crate) reports: u32,
    pub(crate) onset: SystemTime,
    pub(crate) began: SystemTime,
    /// What was tried before.
    pub(crate) records: Vec<RebootRecord>,
}

impl HistoryState {
    /// Whether the rung may be charged; if not, when it may next.
    pub(crate) fn check(
        &mut self,
        rung: Rung,
        scope: &str,
        cap: RebootCap,
        now: SystemTime,
    ) -> Result<(), SystemTime> {
        self.of(rung, scope).check(cap, now)
    }

    pub(crate) fn charge(&mut self, rung: Rung, scope: &str, cap: RebootCap, now: SystemTime) {
        self.of(rung, scope).charge(cap, now);
    }

    fn of(&mut self, rung: Rung, scope: &str) -> &mut Charges {
        let rung = self.charges.entry(rung).or_default();
        rung.entry(scope.to_owned()).or_default()
    }

    /// The rung at which this fault starts.
    pub(crate) fn start(
        &mut self,
        ladder: &Ladder,
        component: &str,
        fault: &str,
        now: SystemTime,
    ) -> Rung {
        let faults = self.cures.get_mut(component);
        match faults.and_then(|faults| faults.get_mut(fault)) {
            Some(cures) => ladder.start(cures, now),
            None => Rung::Component,
        }
    }

    /// Notes a cure. Faults that were last cured long ago are forgotten here, so that the number of
    /// them stays as small as the number of cures within the ladder's time.
    pub(crate) fn cured(
        &mut self,
        ladder: &Ladder,
        (component, fault): (&str, &str),
        rung: Rung,
        now: SystemTime,
    ) {
        self.cures.retain(|_, faults| {
            faults.retain(|_, cures| {
                ladder.start(cures, now);
                !cures.is_empty()
            });
            !faults.is_empty()
        });
        let faults = self.cures.entry(component.to_owned()).or_default();
        ladder.cured(faults.entry(fault.to_owned()).or_default(), rung, now);
    }

    pub(crate) fn hold(&mut self, component: &str) {
        self.held.insert(component.to_owned());
    }

    pub(crate) fn is_held(&self, component: &str) -> bool {
        self.held.contains(component)
    }

    /// A human has seen to it: the component is a new one as far as its cures tell.
    pub(crate) fn acknowledge(&mut self, component: &str) -> bool {
        self.cures.remove(component);
        self.held.remove(component)
    }

    pub(crate) fn set_pending(&mut self, pending: Option<Pending>) {
        self.pending = pending;
    }

    pub(crate) const fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    pub(crate) fn next_episode(&mut self) -> u64 {
        self.episodes = self.episodes.saturating_add(1);
        self.episodes
    }

    /// Adds what was stored by whom came before; what this process has counted stays.
    pub(crate) fn merge(&mut self, stored: Self) {
        for (rung, scopes) in stored.charges {
            let mine = self.charges.entry(rung).or_default();
            for (scope, charges) in scopes {
                mine.entry(scope).or_default().merge(charges);
            }
        }
        for (component, faults) in stored.cures {
            let mine = self.cures.entry(component).or_default();
            for (fault, cures) in faults {
                mine.entry(fault).or_default().merge(cures);
            }
        }
        self.held.extend(stored.held);
        self.pending = self.pending.take().or(stored.pending);
        self.episodes = self.episodes.max(stored.episodes);
    }
}
