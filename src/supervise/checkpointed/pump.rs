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
        if let Some(running) = self.enqueue(work) {
            drop(runtime.spawn_blocking(move || running.run()));
        }
    }

    /// Puts it behind what is there; the thread that is to be started, if none works.
    fn enqueue(self: &Arc<Self>, work: Work) -> Option<Running> {
        // What is dropped may be the user's, so it is dropped after the unlock.
        let mut forgotten = Vec::new();
        let starts = {
            let mut queue = self.queue.lock();
            queue.put(work, &mut forgotten);
            !std::mem::replace(&mut queue.is_running, true)
        };
        drop(forgotten);
        // Made here, so that it is dropped with the closure if the runtime never runs it.
        starts.then(|| Running {
            pump: Arc::clone(self),
            is_over: false,
        })
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

/// Those who put work and the thread that does it, in every interleaving. Who waits does so on tokio's
/// channel, which loom does not see: here it is read when all is over.
#[cfg(all(test, backstop_loom))]
mod loom_tests {
    use super::*;
    use crate::kernel::sync::{AtomicBool, AtomicUsize, Ordering, explore};
    use loom::thread;

    /// What was done, in order, and that it was done by one at a time.
    #[derive(Default)]
    struct Store {
        is_busy: AtomicBool,
        calls: AtomicUsize,
        done: Mutex<Vec<u64>>,
    }

    impl Store {
        fn call(&self, number: u64) {
            assert!(!self.is_busy.swap(true, Ordering::Relaxed), "two at once");
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.done.lock().push(number);
            self.is_busy.store(false, Ordering::Relaxed);
        }
    }

    /// As `put`, with a thread of the model instead of one of the runtime's; `false` for a runtime that
    /// shuts down before it begins.
    fn put(pump: &Arc<Pump>, work: Work, runs: bool) {
        if let Some(running) = pump.enqueue(work) {
            if runs {
                drop(thread::spawn(move || running.run()));
            } else {
                drop(running);
            }
        }
    }

    fn marks(store: &Arc<Store>, number: u64) -> Work {
        let store = store.clone();
        Work::Marks(Box::new(move || store.call(number)))
    }

    fn save(store: &Arc<Store>, sequence: u64) -> (Work, oneshot::Receiver<SaveOutcome>) {
        let (tell, told) = oneshot::channel();
        let store = store.clone();
        let save = Save {
            start: 1,
            run: Box::new(move || {
                store.call(sequence);
                Ok(sequence)
            }),
            waiting: vec![tell],
        };
        (Work::Save(save), told)
    }

    struct Loads(Arc<Store>);

    impl Load for Loads {
        fn is_awaited(&self) -> bool {
            true
        }

        fn run(self: Box<Self>) {
            self.0.call(9);
        }
    }

    /// Runs `model`, and `verdict` once all its threads have ended.
    fn explored(
        preemptions: Option<usize>,
        model: impl Fn(Arc<Pump>, Arc<Store>) -> Box<dyn FnOnce(&Pump, &Store)> + Send + Sync + 'static,
    ) {
        explore(preemptions, move || {
            let (pump, store): (Arc<Pump>, Arc<Store>) = Default::default();
            let verdict = model(pump.clone(), store.clone());
            // The thread that works holds the pump until it is done.
            while Arc::strong_count(&pump) > 1 {
                thread::yield_now();
            }
            let queue = pump.queue.lock();
            assert!(queue.waiting.is_empty() && !queue.is_running);
            drop(queue);
            verdict(&pump, &store);
        });
    }

    #[test]
    fn loom_all_work_is_done_once_and_by_one_at_a_time() {
        explored(Some(3), |pump, store| {
            let other = {
                let (pump, store) = (pump.clone(), store.clone());
                thread::spawn(move || put(&pump, marks(&store, 1), true))
            };
            put(&pump, marks(&store, 2), true);
            put(&pump, Work::Load(Box::new(Loads(store))), true);
            other.join().unwrap();
            Box::new(|_, store| {
                let mut done = std::mem::take(&mut *store.done.lock());
                let of_one: Vec<_> = done.iter().filter(|number| **number > 1).collect();
                assert_eq!(of_one, [&2, &9], "out of order");
                done.sort_unstable();
                assert_eq!(done, [1, 2, 9]);
                assert_eq!(store.calls.load(Ordering::Relaxed), 3);
            })
        });
    }

    #[test]
    fn loom_a_save_that_is_overtaken_is_answered_by_the_newer_one() {
        explored(Some(3), |pump, store| {
            let (first, mut one) = save(&store, 1);
            let (second, mut two) = save(&store, 2);
            put(&pump, first, true);
            put(&pump, second, true);
            Box::new(move |_, store| {
                let done = std::mem::take(&mut *store.done.lock());
                let expected: u64 = if done == [2] { 2 } else { 1 };
                assert!(done == [1, 2] || done == [2], "{done:?}");
                let (one, two) = (one.try_recv().unwrap(), two.try_recv().unwrap());
                assert!(matches!(one, Ok(sequence) if sequence == expected));
                assert!(matches!(two, Ok(2)));
            })
        });
    }

    /// Who waits learns that nothing comes, and what comes later is not lost behind it.
    #[test]
    fn loom_a_runtime_that_shuts_down_leaves_nobody_waiting() {
        explored(Some(3), |pump, store| {
            let (saved, mut told) = save(&store, 1);
            let other = {
                let (pump, store) = (pump.clone(), store.clone());
                thread::spawn(move || put(&pump, marks(&store, 2), false))
            };
            put(&pump, saved, false);
            other.join().unwrap();
            Box::new(move |_, store| {
                assert!(store.done.lock().is_empty());
                assert!(matches!(
                    told.try_recv(),
                    Err(oneshot::error::TryRecvError::Closed)
                ));
            })
        });
    }
}
