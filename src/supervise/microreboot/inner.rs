//! What the handles of a manager and its flights share.

use super::core::{Core, Now};
use super::event::{MicrorebootEvent, Notice};
use super::history::{HistoryState, RebootHistory};
use super::hooks::within;
use super::trace;
use crate::kernel::clock::Clock;
use crate::kernel::event::Events;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::sync::Mutex;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turnstile, Notify};

/// Hears of notices.
pub(crate) type NoticeHook = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Ends the process, with the reason.
pub(crate) type ExitHook = Arc<dyn Fn(&str) + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) name: Name,
    pub(crate) clock: Clock,
    pub(crate) runtime: Handle,
    /// The clock and the wall clock as of the start: from then on wall time is counted by the clock,
    /// so that a wall clock that jumps neither lifts nor extends a cap.
    pub(crate) started: Now,
    pub(crate) core: Mutex<Core>,
    pub(crate) events: Events<MicrorebootEvent>,
    /// Tells those that wait for their turn that something changed.
    pub(crate) turn: Notify,
    pub(crate) store: Arc<dyn RebootHistory>,
    /// Whoever talks to the store holds this; whether what was stored before has been read.
    pub(crate) read: Arc<Turnstile<bool>>,
    pub(crate) on_notice: Option<NoticeHook>,
    pub(crate) exit: Option<ExitHook>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MicrorebootManager")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Now {
        self.at(self.clock.now())
    }

    fn at(&self, at: Instant) -> Now {
        let since = at.saturating_duration_since(self.started.at);
        let wall = self.started.wall.checked_add(since);
        Now {
            at,
            wall: wall.unwrap_or(self.started.wall),
        }
    }

    /// Decides something under the lock; what there is to tell is told after it.
    pub(crate) fn locked<R>(&self, decide: impl FnOnce(&mut Core, Now) -> R) -> R {
        let now = self.now();
        let mut core = self.core.lock();
        let decided = decide(&mut core, now);
        let kinds = std::mem::take(&mut core.outbox);
        let events: Vec<_> = kinds
            .into_iter()
            .map(|kind| {
                core.told += 1;
                MicrorebootEvent {
                    sequence: core.told,
                    at: now.wall,
                    kind,
                }
            })
            .collect();
        let aftermath = self.events.enqueue(&events);
        drop(core);
        aftermath.run();
        for event in &events {
            trace::event(&self.name, event);
        }
        decided
    }

    /// As [`locked`](Self::locked), for what may let another flight begin.
    pub(crate) fn changed<R>(&self, decide: impl FnOnce(&mut Core, Now) -> R) -> R {
        let decided = self.locked(decide);
        self.turn.notify_waiters();
        decided
    }

    /// Stores the history as it is now, and says whether it is stored. It comes back within the
    /// configured limit; a store that answers later is let run.
    pub(crate) async fn persist(&self) -> bool {
        let limit = self.core.lock().config.history_limit;
        let mut stored = Box::pin(self.store_now());
        let error = match within(&self.clock, limit, &mut stored).await {
            Some(Ok(())) => return true,
            Some(Err(error)) => error,
            None => Arc::from("it did not answer in time"),
        };
        self.locked(|core, _| core.unavailable(error));
        false
    }

    async fn store_now(&self) -> Result<(), Arc<str>> {
        let mut read = self.read.clone().lock_owned().await;
        let mut state = self.core.lock().history.clone();
        let store = self.store.clone();
        // What was never read must not be written over.
        let job = move || -> Result<Option<HistoryState>, Arc<str>> {
            let text = |error: super::history::HistoryError| Arc::from(error.to_string());
            let mut before = None;
            if !*read {
                before = store.load().map_err(text)?;
                if let Some(before) = &before {
                    state.merge(before.clone());
                }
            }
            store.store(&state).map_err(text)?;
            *read = true;
            Ok(before)
        };
        match tokio::task::spawn_blocking(job).await {
            Ok(Ok(before)) => {
                if let Some(before) = before {
                    self.locked(|core, _| core.history.merge(before));
                }
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Arc::from("its code panicked")),
        }
    }

    /// Reads what was stored before, at the start.
    pub(crate) async fn read_history(&self) {
        let limit = self.core.lock().config.history_limit;
        let store = self.store.clone();
        let mut read = self.read.clone().lock_owned().await;
        let mut job = tokio::task::spawn_blocking(move || {
            let loaded = store.load();
            *read = loaded.is_ok();
            loaded
        });
        let error: Arc<str> = match within(&self.clock, limit, &mut job).await {
            Some(Ok(Ok(before))) => {
                let before = before.unwrap_or_default();
                return self.locked(|core, _| core.history.merge(before));
            }
            Some(Ok(Err(error))) => Arc::from(error.to_string()),
            Some(Err(_)) => Arc::from("its code panicked"),
            None => Arc::from("it did not answer in time"),
        };
        self.locked(|core, _| core.unavailable(error));
    }

    /// Tells the human, as the user wants it told.
    pub(crate) fn notify(&self, notice: &Notice) {
        if let Some(hook) = &self.on_notice {
            contained(|| hook(notice));
        }
    }
}

/// Calls the user's code; its panic goes no further.
pub(crate) fn contained(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        super::hooks::panic_text(payload);
    }
}
