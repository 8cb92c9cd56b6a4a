//! The way to the store: one call at a time, in order, on a thread for blocking work.
//!
//! A store that hangs holds one such thread and no more, however often its child is restarted. What
//! waits behind it is bounded: one save of a start, since a newer state takes the place of one that has
//! not begun; one load, since one that nobody waits for is forgotten; and a few marks for each start that was made,
//! which none is before its load came back.

use crate::kernel::sync::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A call of the store.
pub(super) enum Work {
    /// It takes the place of one that has not begun, and answers those who wait for that one, too.
    Save(Save),
    /// Forgotten if nobody waits for it.
    Load(Box<dyn Load>),
    Marks(Box<dyn FnOnce() + Send>),
}

/// A save, and who waits for it.
pub(super) struct Save {
    /// Of which start: what one has left behind takes no place of the next one's.
    pub(super) start: u64,
    pub(super) run: Box<dyn FnOnce() -> SaveOutcome + Send>,
    pub(super) waiting: Vec<oneshot::Sender<SaveOutcome>>,
}

type SaveOutcome = Result<u64, super::error::SaveFailure>;

/// A load, and who waits for it.
pub(super) trait Load: Send {
    fn is_awaited(&self) -> bool;
    fn run(self: Box<Self>);
}

#[derive(Default)]
pub(super) struct Pump {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    is_running: bool,
}

impl Pump {
    /// Has the work done, behind what is there.
    pub(super) fn put(self: &Arc<Self>, runtime: &Handle, work: Work) {
        // What is dropped may be the user's, so it is dropped after the unlock.
        let mut forgotten = Vec::new();
        let starts = {
            let mut queue = self.queue.lock();
            queue.put(work, &mut forgotten);
            !std::mem::replace(&mut queue.is_running, true)
        };
        drop(forgotten);
        if starts {
            // Made here, so that it is dropped with the closure if the runtime never runs it.
            let running = Running {
                pump: Arc::clone(self),
                is_over: false,
            };
            drop(runtime.spawn_blocking(move || running.run()));
        }
    }
}

impl Queue {
    fn put(&mut self, work: Work, forgotten: &mut Vec<Work>) {
        match work {
            Work::Save(mut save) => {
                let place = self.waiting.iter_mut().find_map(|work| match work {
                    Work::Save(other) if other.start == save.start => Some(other),
                    _ => None,
                });
                let Some(place) = place else {
                    self.waiting.push_back(Work::Save(save));
                    return;
                };
                let mut before = std::mem::take(&mut place.waiting);
                before.retain(|waiting| !waiting.is_closed());
                save.waiting.extend(before);
                forgotten.push(Work::Save(std::mem::replace(place, save)));
            }
            Work::Load(load) => {
                for work in std::mem::take(&mut self.waiting) {
                    match work {
                        Work::Load(load) if !load.is_awaited() => forgotten.push(Work::Load(load)),
                        work => self.waiting.push_back(work),
                    }
                }
                self.waiting.push_back(Work::Load(load));
            }
            Work::Marks(marks) => self.waiting.push_back(Work::Marks(marks)),
        }
    }
}

/// The thread that works, or the promise that one will.
struct Running {
    pump: Arc<Pump>,
    is_over: bool,
}

impl Running {
    fn run(mut self) {
        loop {
            let work = {
                let mut queue = self.pump.queue.lock();
                let Some(work) = queue.waiting.pop_front() else {
                    // From here on another thread may work.
                    queue.is_running = false;
                    self.is_over = true;
                    return;
                };
                work
            };
            do_work(work);
        }
    }
}

/// Stores are users' code: what panics is one call, and who waits for it learns that it never ended.
fn do_work(work: Work) {
    let outcome = catch_unwind(AssertUnwindSafe(|| match work {
        Work::Save(save) => {
            let outcome = (save.run)();
            for waiting in save.waiting {
                let _gone = waiting.send(outcome.clone());
            }
        }
        Work::Load(load) if load.is_awaited() => load.run(),
        Work::Load(_) => {}
        Work::Marks(run) => run(),
    }));
    if let Err(panic) = outcome {
        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // The runtime shut down before this began: who waits learns that nothing comes.
        let forgotten = {
            let mut queue = self.pump.queue.lock();
            queue.is_running = false;
            std::mem::take(&mut queue.waiting)
        };
        drop(forgotten);
    }
}
