//! A component as the manager sees it: its state's type is gone, its author's code is behind hooks.

use super::config::PhaseLimits;
use super::gate::Gate;
use super::hooks::{BoxError, Boxed, Hook};
use super::phases::Member;
use super::record::{PhaseResult, StartedFrom};
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What runs the components: a supervisor.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// Stops the child, kills it if it does not, and says whether anything of it still runs.
    fn stop(&self, id: Name) -> Boxed<'static, PhaseResult>;

    /// Starts a child that is stopped; resolves when it is ready, or is not.
    fn start(&self, id: Name) -> Boxed<'static, PhaseResult>;

    /// Whether it is being shut down, or was: then a phase that failed says nothing of the component.
    fn ends_in_order(&self) -> bool;
}

/// A component without the type of its state.
pub(crate) struct Part {
    pub(crate) id: Name,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) limits: PhaseLimits,
    pub(crate) states: Arc<dyn States>,
    pub(crate) stop: Option<Hook>,
    pub(crate) cleanup: Option<Hook>,
    pub(crate) needs_cleanup: bool,
    pub(crate) verify: Option<Hook>,
    pub(crate) may_start_cold: bool,
    pub(crate) gate: Option<Gate>,
    pub(crate) incarnation: Arc<Incarnation>,
}

impl Part {
    pub(crate) fn member(&self) -> Member {
        Member {
            has_checkpoint: self.states.can_ask(),
            has_verified: self.states.has_verified(),
            may_start_cold: self.may_start_cold || !self.states.can_ask(),
            needs_cleanup: self.needs_cleanup,
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("id", &self.id)
            .field("incarnation", &self.incarnation.get())
            .finish_non_exhaustive()
    }
}

/// Which start of a component the present one is: it grows when `start` is called.
#[derive(Debug, Default)]
pub(crate) struct Incarnation(AtomicU64);

impl Incarnation {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.fetch_max(number, Ordering::AcqRel);
    }
}

/// The states of a component.
pub(crate) trait States: Send + Sync {
    /// Whether the component can be asked for its state.
    fn can_ask(&self) -> bool;

    /// Whether there is one with which it was well.
    fn has_verified(&self) -> bool;

    /// Forgets what an earlier reboot took, and makes the hook that asks now. What comes later than
    /// the next call of this is not kept.
    fn ask(self: Arc<Self>) -> Option<Hook>;

    /// From which one the next starts go on.
    fn choose(&self, from: StartedFrom);

    /// The component is well with the one that was chosen last.
    fn verified(&self);
}

/// Asks a component for its state.
pub(crate) type Ask<S> = Arc<dyn Fn() -> Boxed<'static, Result<S, BoxError>> + Send + Sync>;

/// The states of one component.
pub(crate) struct Slot<S> {
    ask: Option<Ask<S>>,
    kept: Mutex<Kept<S>>,
}

struct Kept<S> {
    round: u64,
    provisional: Option<Arc<S>>,
    verified: Option<Arc<S>>,
    chosen: StartedFrom,
}

impl<S: Clone + Send + Sync + 'static> Slot<S> {
    pub(crate) fn new(ask: Option<Ask<S>>, initial: Option<S>) -> Self {
        let chosen = match initial {
            Some(_) => StartedFrom::Verified,
            None => StartedFrom::Cold,
        };
        Self {
            ask,
            kept: Mutex::new(Kept {
                round: 0,
                provisional: None,
                verified: initial.map(Arc::new),
                chosen,
            }),
        }
    }

    /// What a start is to go on from.
    pub(crate) fn next(&self) -> Option<Arc<S>> {
        let kept = self.kept.lock();
        match kept.chosen {
            StartedFrom::Provisional => kept.provisional.clone(),
            StartedFrom::Verified => kept.verified.clone(),
            StartedFrom::Cold => None,
        }
    }

    fn keep(&self, round: u64, state: S) {
        let state = Arc::new(state);
        let mut kept = self.kept.lock();
        let replaced = if kept.round == round {
            kept.provisional.replace(state)
        } else {
            Some(state)
        };
        drop(kept);
        // Its drop is user code.
        drop(replaced);
    }
}

impl<S: Clone + Send + Sync + 'static> States for Slot<S> {
    fn can_ask(&self) -> bool {
        self.ask.is_some()
    }

    fn has_verified(&self) -> bool {
        self.kept.lock().verified.is_some()
    }

    fn ask(self: Arc<Self>) -> Option<Hook> {
        let ask = self.ask.clone()?;
        let (round, old) = {
            let mut kept = self.kept.lock();
            kept.round += 1;
            (kept.round, kept.provisional.take())
        };
        let old = Mutex::new(old);
        let hook: Hook = Arc::new(move || {
            let (slot, ask) = (self.clone(), ask.clone());
            let old = old.lock().take();
            Box::pin(async move {
                // Here, where a panic of its drop is contained.
                drop(old);
                let state = ask().await?;
                slot.keep(round, state);
                Ok(())
            })
        });
        Some(hook)
    }

    fn choose(&self, from: StartedFrom) {
        self.kept.lock().chosen = from;
    }

    fn verified(&self) {
        let mut kept = self.kept.lock();
        let replaced = match kept.chosen {
            StartedFrom::Provisional => {
                let proven = kept.provisional.take();
                std::mem::replace(&mut kept.verified, proven)
            }
            StartedFrom::Verified | StartedFrom::Cold => kept.provisional.take(),
        };
        if kept.verified.is_some() {
            kept.chosen = StartedFrom::Verified;
        }
        drop(kept);
        let dropped = std::panic::AssertUnwindSafe(move || drop(replaced));
        drop(std::panic::catch_unwind(dropped));
    }
}

impl<S> fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.kept.lock().chosen;
        f.debug_struct("Slot")
            .field("chosen", &chosen)
            .finish_non_exhaustive()
    }
}

/// A hook out of a closure of the user's.
pub(crate) fn hook<F, Fut, E>(make: F) -> Hook
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError>,
{
    Arc::new(move || {
        let future = make();
        Box::pin(async move { future.await.map_err(Into::into) })
    })
}

/// The same for one that gives a state.
pub(crate) fn ask<F, Fut, S, E>(make: F) -> Ask<S>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Arc::new(move || {
        let future = make();
        Box::pin(async move { future.await.map_err(Into::into) })
    })
}
