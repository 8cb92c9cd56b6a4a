//! The tasks that run a tree: one for each check, and one that keeps the times.

use super::machine::CheckSlot;
use super::recovery::Job;
use super::shared::Tree;
use crate::health::check::{
    Check, CheckConfig, Ending, Lane, Ran, RecoveryAction, RunResult, Work, run,
};
use crate::kernel::clock::{Clock, NoRuntime};
use crate::kernel::instant::Instant;
use crate::kernel::shared::{Shared, WeakShared};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Starts what is not running.
pub(super) fn start(tree: &Shared<Tree>) -> Result<(), NoRuntime> {
    let runtime = Handle::try_current().map_err(|_| NoRuntime)?;
    // Where there are no timers, this says so.
    drop(tree.clock.sleep_until(tree.clock.now())?);
    let mut drivers = tree.drivers.lock();
    if drivers.is_some() {
        return Ok(());
    }
    let mut tasks = JoinSet::new();
    tasks.spawn_on(
        keep(tree.downgrade(), tree.clock.clone(), tree.work.clone()),
        &runtime,
    );
    for (id, check) in tree.checks.iter().enumerate() {
        if let Some(driver) = Driver::new(tree, id, check) {
            tasks.spawn_on(driver.drive(), &runtime);
        }
    }
    *drivers = Some(tasks);
    // What follows tells others, who may start or stop the tree in turn.
    drop(drivers);
    let now = tree.clock.now();
    tree.locked(|state| state.start(now));
    Ok(())
}

/// Stops all. What runs is aborted.
pub(super) fn stop(tree: &Tree) {
    let tasks = tree.drivers.lock().take();
    drop(tasks);
}

/// Runs one check, again and again.
struct Driver {
    tree: WeakShared<Tree>,
    id: usize,
    clock: Clock,
    work: Work<RunResult>,
    lane: Lane,
    gate: Arc<Notify>,
    retimed: Arc<Notify>,
}

impl Driver {
    fn new(tree: &Shared<Tree>, id: usize, check: &Check) -> Option<Self> {
        Some(Self {
            tree: tree.downgrade(),
            id,
            clock: tree.clock.clone(),
            work: check.work.clone()?,
            lane: tree.lanes[id].clone(),
            gate: tree.gate.clone(),
            retimed: tree.retimed[id].clone(),
        })
    }

    async fn drive(self) {
        let Some(mut config) = self.let_in().await else {
            return;
        };
        // When the run began that still goes on, if one does.
        let mut began: Option<Instant> = None;
        loop {
            let start = self.clock.now();
            // A run keeps the time it was given, whatever is set while it goes on.
            let limit = config.time_limit();
            let ran = run(&self.work, &self.lane, &self.clock, limit).await;
            let end = self.clock.now();
            let took = end.saturating_duration_since(start);
            let result = match ran {
                Ran::Done(result) => result,
                Ran::Panicked(message) => RunResult::failed(Ending::Panicked, message),
                Ran::TimedOut => {
                    let message = format_args!("no answer within {limit:?}");
                    RunResult::failed(Ending::TimedOut, message)
                }
                Ran::Busy => {
                    let since = *began.get_or_insert(start);
                    let going = end.saturating_duration_since(since);
                    let message = format_args!("a run that began {going:?} ago has not ended");
                    RunResult::failed(Ending::TimedOut, message)
                }
                Ran::Cancelled => return,
            };
            if !matches!(result.ending, Ending::TimedOut) {
                began = None;
            } else if began.is_none() {
                began = Some(start);
            }
            let Some(tree) = self.tree.upgrade() else {
                return;
            };
            tree.record(self.id, result, Some(took));
            drop(tree);
            match self.rest(start).await {
                Some(next) => config = next,
                None => return,
            }
        }
    }

    /// Waits for a period from the `start` of the run before, however long it is made meanwhile; the
    /// settings of the next run, if there is one.
    async fn rest(&self, start: Instant) -> Option<CheckConfig> {
        loop {
            let slot = self.look(|slot| (!slot.is_done()).then(|| slot.config()));
            let config = slot??;
            let sleep = self.clock.sleep_until(start + config.period).ok()?;
            // What was changed since the look has left its permit there.
            let (mut retimed, mut sleep) = (pin!(self.retimed.notified()), pin!(sleep));
            let is_due = poll_fn(|cx| {
                if retimed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(false);
                }
                sleep.as_mut().poll(cx).map(|()| true)
            });
            if is_due.await {
                return Some(config);
            }
        }
    }

    /// Waits until no start-up check holds it back; its settings then, if the tree is still there.
    async fn let_in(&self) -> Option<CheckConfig> {
        loop {
            // Registered before the look, so that no opening falls between them.
            let mut opened = pin!(self.gate.notified());
            opened.as_mut().enable();
            let is_free = self.look(|slot| (!slot.is_held()).then(|| slot.config()))?;
            if is_free.is_some() {
                return is_free;
            }
            opened.await;
        }
    }

    /// Looks at the check; `None`: the tree is gone.
    fn look<R>(&self, look: impl FnOnce(&CheckSlot) -> R) -> Option<R> {
        let tree = self.tree.upgrade()?;
        Some(tree.locked(|state| look(&state.checks[self.id])))
    }
}

/// Makes stale what is, in time for those who watch, and runs recovery actions.
async fn keep(weak: WeakShared<Tree>, clock: Clock, work: Arc<Notify>) {
    let mut attempts = JoinSet::new();
    loop {
        while attempts.try_join_next().is_some() {}
        let Some(tree) = weak.upgrade() else {
            return;
        };
        let now = clock.now();
        let (jobs, until) = tree.locked(|state| {
            state.expire(now);
            let jobs = state.begin(now);
            let stale = state.fresh_until() + Duration::from_nanos(1);
            let until = state.next_attempt().map_or(stale, |next| next.min(stale));
            (jobs, until)
        });
        for job in jobs {
            if let Some(action) = tree.checks[job.check].action.clone() {
                let attempt = Attempt {
                    tree: weak.clone(),
                    job,
                    result: Some(Err(Arc::from("it was stopped"))),
                };
                attempts.spawn(attempt.make(action, clock.clone()));
            }
        }
        drop(tree);
        let Ok(sleep) = clock.sleep_until(until) else {
            return;
        };
        let (mut asked, mut sleep) = (pin!(work.notified()), pin!(sleep));
        poll_fn(|cx| {
            if asked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }
}

/// One attempt of a recovery action. Its end is told whatever becomes of it, because it is when this
/// is dropped.
struct Attempt {
    tree: WeakShared<Tree>,
    job: Job,
    result: Option<Result<(), Arc<str>>>,
}

impl Attempt {
    async fn make(mut self, action: RecoveryAction, clock: Clock) {
        let ran = run(&action.work, &action.lane, &clock, action.timeout).await;
        self.result = Some(match ran {
            Ran::Done(result) => result,
            Ran::Panicked(message) => Err(message),
            Ran::TimedOut => Err(format!("it took longer than {:?}", action.timeout).into()),
            Ran::Busy => Err(Arc::from("the attempt before has not ended")),
            Ran::Cancelled => Err(Arc::from("the runtime is shutting down")),
        });
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let (Some(tree), Some(result)) = (self.tree.upgrade(), self.result.take()) {
            let now = tree.clock.now();
            tree.locked(|state| state.attempted(self.job, result.err(), now));
        }
    }
}
