//! One start of a child, from its state to its end.

use super::config::CheckpointedConfig;
use super::context::CheckpointContext;
use super::error::{BadState, BoxError, RestoreFailure, SaveFailure};
use super::event::{EventKind, Suspicion};
use super::kept::Keep;
use super::machine::{Attempt, Origin};
use super::restore::Loaded;
use super::shared::{Pack, Shared, Wanted};
use crate::durable::snapshot::{Mark, PassedOver, Restored};
use crate::kernel::clock::Sleep;
use crate::kernel::instant::Instant;
use crate::kernel::sync::Mutex;
use crate::supervise::budget::Window;
use crate::supervise::child::ChildContext;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

/// What one start's child, contexts and saves share.
pub(super) struct Run<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) child: ChildContext,
    pub(super) passed_over: Vec<PassedOver>,
    attempt: Attempt,
    start: u64,
    runtime: Handle,
    agenda: Mutex<Agenda<S>>,
    /// Wakes the child's own task.
    changed: Notify,
    /// Wakes who waits until a checkpoint is due.
    due_changed: Notify,
}

struct Agenda<S> {
    ready_at: Option<Instant>,
    is_proven: bool,
    due_at: Instant,
    recoveries: Window,
    kept: Option<Arc<Keep<S>>>,
}

/// Runs a child: restores its state, calls the factory, and watches over what follows.
pub(super) async fn run<S, F, T, E>(
    shared: Arc<Shared<S>>,
    child: ChildContext,
    factory: Arc<F>,
) -> Result<(), BoxError>
where
    S: Send + 'static,
    F: Fn(CheckpointContext<S>, Option<Restored<S>>) -> T,
    T: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let loaded = match restore(&shared, &child).await {
        Ok(Some((loaded, start))) => (loaded, start),
        // Stopped before it began.
        Ok(None) => return Ok(()),
        Err(error) => {
            shared.teller.tell(EventKind::NotRestored {
                error: error.clone(),
            });
            return Err(error.into());
        }
    };
    let (run, restored) = Run::begin(shared, child, loaded);
    let mut end = End {
        run: Arc::clone(&run),
        is_told: false,
    };
    if !run.config().explicit_readiness {
        run.ready();
    }
    let future = factory(CheckpointContext::new(Arc::clone(&run)), restored);
    let result = drive(&run, future).await;
    end.is_told = true;
    match result {
        Ok(()) => {
            run.ended_well().await;
            Ok(())
        }
        Err(error) => {
            run.ended_badly(&error);
            Err(error)
        }
    }
}

/// The state of a start, and the start's number; `None` if the child is stopped meanwhile.
async fn restore<S: Send + 'static>(
    shared: &Arc<Shared<S>>,
    child: &ChildContext,
) -> Result<Option<(Loaded<S>, u64)>, RestoreFailure> {
    let runtime = Handle::try_current().map_err(|_| RestoreFailure::NotRun)?;
    let start = shared.begin();
    let silent = shared.config.store_timeout;
    let clock = child.clock();
    let alarm = clock.sleep_until(clock.now() + silent);
    let mut alarm = pin!(alarm.map_err(|_| RestoreFailure::NotRun)?);
    let mut loaded = pin!(shared.load_for(start, &runtime));
    let token = child.token();
    let mut stopped = pin!(token.cancelled());
    poll_fn(|cx| {
        // A stop first: what was loaded by then is let go of, and its strike with it.
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(None));
        }
        if let Poll::Ready(loaded) = loaded.as_mut().poll(cx) {
            let loaded = loaded.unwrap_or(Err(RestoreFailure::NotRun));
            return Poll::Ready(loaded.map(|loaded| Some((loaded, start))));
        }
        if alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(RestoreFailure::Silent(silent)));
        }
        Poll::Pending
    })
    .await
}

/// Polls the child, and does what is due meanwhile.
async fn drive<S, T, E>(run: &Arc<Run<S>>, future: T) -> Result<(), BoxError>
where
    S: Send + 'static,
    T: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let mut future = pin!(future);
    loop {
        let mut alarm = pin!(run.alarm());
        let mut changed = pin!(run.changed.notified());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(result.map_err(Into::into)));
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match alarm.as_mut().as_pin_mut() {
                Some(alarm) => alarm.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await;
        // Also before the end is looked at: a child that blocked its worker may have been well for long
        // enough before it failed.
        run.keep_up();
        if let Some(result) = ended {
            return result;
        }
    }
}

impl<S: Send + 'static> Run<S> {
    fn begin(
        shared: Arc<Shared<S>>,
        child: ChildContext,
        (loaded, start): (Loaded<S>, u64),
    ) -> (Arc<Self>, Option<Restored<S>>) {
        let Loaded {
            attempt,
            restored,
            passed_over,
            claim,
        } = loaded;
        claim.claimed();
        let origin = attempt.origin;
        if let (true, Some(sequence)) = (shared.machine.lock().withdraws(origin), attempt.base) {
            shared
                .teller
                .tell(EventKind::SuspicionWithdrawn { sequence });
        }
        shared.teller.tell(EventKind::Restored {
            origin,
            sequence: attempt.base,
            passed_over: passed_over.clone(),
        });
        let agenda = Agenda {
            ready_at: None,
            is_proven: false,
            due_at: child.clock().now() + shared.config.period,
            recoveries: Window::new(shared.config.recoveries),
            kept: None,
        };
        let run = Self {
            shared,
            child,
            passed_over,
            attempt,
            start,
            // There was one when the state was loaded, in this very task.
            runtime: Handle::current(),
            agenda: Mutex::new(agenda),
            changed: Notify::new(),
            due_changed: Notify::new(),
        };
        (Arc::new(run), restored)
    }

    pub(super) fn config(&self) -> &CheckpointedConfig {
        &self.shared.config
    }

    pub(super) fn origin(&self) -> Origin {
        self.attempt.origin
    }

    fn now(&self) -> Instant {
        self.child.clock().now()
    }

    /// The child does its work from now on: its probation begins.
    pub(super) fn ready(&self) {
        let now = self.now();
        self.agenda.lock().ready_at.get_or_insert(now);
        self.changed.notify_one();
        self.child.ready();
    }

    /// Whether saves are held back, until the trial is over.
    fn is_on_trial(&self, agenda: &Agenda<S>) -> bool {
        self.attempt.origin.is_trial() && !agenda.is_proven
    }

    /// A sleep until something is to be done; none if there is nothing.
    fn alarm(&self) -> Option<Sleep> {
        let at = {
            let agenda = self.agenda.lock();
            let proven_at = agenda
                .ready_at
                .filter(|_| !agenda.is_proven)
                .map(|at| at + self.config().survives);
            let saves = agenda.kept.is_some() && !self.is_on_trial(&agenda);
            let due_at = saves.then_some(agenda.due_at);
            match (proven_at, due_at) {
                (Some(one), Some(other)) => one.min(other),
                (one, other) => one.or(other)?,
            }
        };
        self.child.clock().sleep_until(at).ok()
    }

    /// Does what is due by now.
    fn keep_up(self: &Arc<Self>) {
        let now = self.now();
        let is_proven_now = {
            let mut agenda = self.agenda.lock();
            let is_due = agenda
                .ready_at
                .is_some_and(|at| now >= at + self.config().survives);
            let is_proven_now = is_due && !agenda.is_proven;
            if is_proven_now {
                if self.is_on_trial(&agenda) {
                    // Nothing is stored of what it has done since.
                    agenda.due_at = now;
                }
                agenda.is_proven = true;
            }
            is_proven_now
        };
        if is_proven_now {
            self.prove();
        }
        self.save_kept_if_due(now);
    }

    fn prove(self: &Arc<Self>) {
        let shared = &self.shared;
        shared.machine.lock().proven();
        shared.teller.tell(EventKind::Proven {
            origin: self.attempt.origin,
            sequence: self.attempt.base,
        });
        for (sequence, mark) in &self.attempt.on_proof {
            if *mark == Mark::Suspect {
                shared.teller.tell(EventKind::Suspected {
                    sequence: *sequence,
                    why: Suspicion::Trial,
                });
            }
        }
        if !self.attempt.on_proof.is_empty() {
            // Before any save that may come now, as that goes the same way.
            drop(shared.mark_for(self.attempt.on_proof.clone(), &self.runtime));
        }
        self.due_changed.notify_waiters();
    }

    fn save_kept_if_due(self: &Arc<Self>, now: Instant) {
        let kept = {
            let mut agenda = self.agenda.lock();
            if agenda.kept.is_none() || self.is_on_trial(&agenda) || now < agenda.due_at {
                return;
            }
            agenda.due_at = now + self.config().period;
            agenda.kept.clone()
        };
        if let Some(kept) = kept {
            drop(self.save_kept(&kept));
        }
    }

    /// Takes the place of a state that was kept before.
    pub(super) fn keep(&self, kept: Arc<Keep<S>>) {
        let before = self.agenda.lock().kept.replace(kept);
        drop(before);
        self.changed.notify_one();
    }

    pub(super) fn save_kept(self: &Arc<Self>, kept: &Arc<Keep<S>>) -> Result<Saving, SaveFailure> {
        let (kept, run) = (Arc::clone(kept), Arc::clone(self));
        self.save(
            None,
            Box::new(move || run.shared.port.pack(&kept.state.lock())),
        )
    }

    /// Has a state saved. It is under way when this returns.
    pub(super) fn save(
        self: &Arc<Self>,
        sequence: Option<u64>,
        pack: Pack,
    ) -> Result<Saving, SaveFailure> {
        let is_provisional = {
            let agenda = self.agenda.lock();
            if self.is_on_trial(&agenda) {
                return Err(SaveFailure::OnTrial);
            }
            !agenda.is_proven
        };
        let wanted = Wanted {
            start: self.start,
            sequence,
            is_provisional,
            pack,
        };
        let run = Arc::clone(self);
        let told = move |outcome: &Result<u64, SaveFailure>| {
            if outcome.is_ok() {
                let due_at = run.now() + run.config().period;
                run.agenda.lock().due_at = due_at;
                run.due_changed.notify_waiters();
                run.changed.notify_one();
            }
        };
        Ok(self.shared.save_for(wanted, &self.runtime, told))
    }

    /// Waits until a checkpoint is due, and takes it that it is made.
    pub(super) async fn checkpoint_due(&self) {
        loop {
            let mut changed = pin!(self.due_changed.notified());
            changed.as_mut().enable();
            let now = self.now();
            let at = {
                let mut agenda = self.agenda.lock();
                let is_on_trial = self.is_on_trial(&agenda);
                if !is_on_trial && now >= agenda.due_at {
                    agenda.due_at = now + self.config().period;
                    return;
                }
                (!is_on_trial).then_some(agenda.due_at)
            };
            let alarm = at.and_then(|at| self.child.clock().sleep_until(at).ok());
            let mut alarm = pin!(alarm);
            poll_fn(|cx| {
                if changed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match alarm.as_mut().as_pin_mut() {
                    Some(alarm) => alarm.poll(cx),
                    None => Poll::Pending,
                }
            })
            .await;
        }
    }

    /// Whether an error may be handled in place once more.
    pub(super) fn may_recover(&self) -> bool {
        let now = self.now();
        self.agenda.lock().recoveries.charge(now)
    }

    /// The last of a start that ended without a fault: its state, and that its strike meant nothing.
    async fn ended_well(self: &Arc<Self>) {
        let (kept, is_proven) = {
            let agenda = self.agenda.lock();
            (agenda.kept.clone(), agenda.is_proven)
        };
        if let Some(kept) = kept {
            drop(self.save_kept(&kept));
        }
        let excuse = self.attempt.on_excuse().filter(|_| !is_proven);
        // Behind the save, so whoever waits for it has waited for both.
        let mut marked = pin!(
            self.shared
                .mark_for(excuse.into_iter().collect(), &self.runtime)
        );
        let clock = self.child.clock();
        let Ok(alarm) = clock.sleep_until(clock.now() + self.config().store_timeout) else {
            return;
        };
        let mut alarm = pin!(alarm);
        poll_fn(|cx| {
            if marked.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            alarm.as_mut().poll(cx)
        })
        .await;
    }

    fn ended_badly(self: &Arc<Self>, error: &BoxError) {
        if self.agenda.lock().is_proven {
            return;
        }
        if BadState::is_in(&**error) {
            if let Some((sequence, mark)) = self.attempt.on_bad_state() {
                let why = Suspicion::BadState;
                self.shared
                    .teller
                    .tell(EventKind::Suspected { sequence, why });
                drop(self.shared.mark_for(vec![(sequence, mark)], &self.runtime));
            }
        } else if self.child.is_stopping() {
            self.excuse();
        }
    }

    /// A child that was stopped has shown nothing, however it took it.
    fn excuse(self: &Arc<Self>) {
        if !self.agenda.lock().is_proven {
            let excuse = self.attempt.on_excuse().into_iter().collect();
            drop(self.shared.mark_for(excuse, &self.runtime));
        }
    }
}

/// A save that is under way.
pub(super) type Saving = oneshot::Receiver<Result<u64, SaveFailure>>;

/// Sees a start to its end, also one that is cut short.
struct End<S: Send + 'static> {
    run: Arc<Run<S>>,
    is_told: bool,
}

impl<S: Send + 'static> Drop for End<S> {
    fn drop(&mut self) {
        // Aborted because it did not stop in time; a panic is a crash, stopping or not.
        if !self.is_told && self.run.child.is_stopping() && !std::thread::panicking() {
            self.run.excuse();
        }
        // The child's state goes with its start, also if contexts outlive it.
        let kept = self.run.agenda.lock().kept.take();
        drop(kept);
    }
}
