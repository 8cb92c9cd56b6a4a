//! The task of a supervisor: carries out what the machine decides.

use super::branch::Branch;
use super::builder::validate_in;
use super::core::{Command, Core, Lane, Reply};
use super::error::{CommandError, Ended};
use super::machine::{Decision, Machine, Out, Start};
use super::trace::trace;
use crate::kernel::clock::OutsideAlarm;
use crate::kernel::instant::Instant;
use crate::supervise::child::{
    ChildContext, ChildExit, ChildSpec, Incarnation, Launch, Launched, Note, What, WhenSpent,
    guarded,
};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How many children are started, or inputs taken, before others get the thread.
const TURN: u32 = 128;

pub(super) struct Driver {
    core: Arc<Core>,
    /// What is kept of each child beside the machine, by its key.
    slots: Vec<Slot>,
    notes: Vec<Note>,
    commands: VecDeque<Command>,
    /// Children that were added, and whose starts may not have been carried out: they keep their room, so
    /// that what is decided does not outgrow what is done.
    adding: usize,
    out: Out<Reply>,
    has_begun: bool,
    nearest: Option<Instant>,
    /// Rings although children block the runtime.
    alarm: OutsideAlarm,
    parent: Option<Parent>,
    /// The runtime drops its tasks: children that are gone have not failed.
    is_going_down: bool,
}

#[derive(Default)]
struct Slot {
    factory: Option<Arc<dyn Launch>>,
    when_spent: WhenSpent,
    is_supervisor: bool,
    incarnation: Option<Arc<Incarnation>>,
    task: Option<Launched>,
    /// The incarnation was aborted, by this task.
    is_aborted: bool,
}

/// The child's side of a supervisor that is a child.
pub(super) struct Parent {
    pub(super) cx: ChildContext,
    pub(super) stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Parent {
    /// The place of the supervisor that runs in this child.
    pub(super) fn branch(&self) -> Option<Branch> {
        let above: Arc<Core> = self.cx.inner().link.owner()?.downcast().ok()?;
        let child = self.cx.id().clone();
        Some(above.branch.below(child, self.cx.incarnation()))
    }
}

impl Driver {
    /// The children are listed in the machine already, in the same order.
    pub(super) fn new(
        core: Arc<Core>,
        children: Vec<ChildSpec>,
        alarm: OutsideAlarm,
        parent: Option<Parent>,
    ) -> Self {
        let mut driver = Self {
            core,
            slots: Vec::with_capacity(children.len()),
            notes: Vec::new(),
            commands: VecDeque::new(),
            adding: 0,
            out: Out::default(),
            has_begun: false,
            nearest: None,
            alarm,
            parent,
            is_going_down: false,
        };
        for child in children {
            driver.slots.push(Slot::of(child));
        }
        driver
    }

    fn now(&self) -> Instant {
        self.core.link.clock.now()
    }

    /// Lets the machine decide, then tells the world and lets go of what it let go of.
    fn decide(&mut self, act: impl FnOnce(&mut Machine<Reply>, &mut Out<Reply>)) {
        let core = &*self.core;
        let out = &mut self.out;
        out.is_heard =
            core.events.is_heard() || core.branch.is_heard() || super::trace::is_traced();
        let mut machine = core.machine.lock();
        act(&mut machine, out);
        self.nearest = machine.nearest();
        if out.events.is_empty() && out.trash.is_empty() {
            return;
        }
        // Queued under the lock, so that all subscribers see one order.
        let aftermath = core.events.enqueue(&out.events);
        let of_tree = core.branch.enqueue(&out.events);
        drop(machine);
        guarded(|| {
            out.events.iter().for_each(|event| trace(&core.name, event));
            aftermath.run();
        });
        of_tree
            .into_iter()
            .for_each(|aftermath| guarded(|| aftermath.run()));
        guarded(|| out.events.clear());
        guarded(|| out.trash.clear());
    }

    fn take_notes(&mut self) {
        let now = self.now();
        let mut notes = std::mem::take(&mut self.notes);
        if notes.iter().any(|note| self.was_dropped(note)) {
            self.is_going_down = self.core.link.is_down();
        }
        if self.is_going_down {
            return guarded(|| drop(notes));
        }
        self.decide(|machine, out| {
            for Note { key, run, what } in notes.drain(..) {
                match what {
                    What::Ready => machine.ready(key, run, now, out),
                    What::Exited { exit, drained } => {
                        machine.exited((key, run), exit, drained, now, out);
                    }
                    What::Drained => machine.drained(key, run, now, out),
                }
            }
        });
        self.notes = notes;
    }

    /// Whether the child's task was dropped by somebody else, which can only be the runtime.
    fn was_dropped(&self, note: &Note) -> bool {
        let exit = match &note.what {
            What::Exited { exit, .. } => exit,
            What::Ready | What::Drained => return false,
        };
        matches!(exit, ChildExit::Killed) && !self.slots[note.key as usize].is_aborted
    }

    fn take_commands(&mut self) {
        let now = self.now();
        self.core.take_commands(&mut self.commands);
        let of = |lane| move |command: &&Command| command.lane() == Some(lane);
        let steering = self.commands.iter().filter(of(Lane::Steer)).count();
        self.adding += self.commands.iter().filter(of(Lane::Add)).count();
        guarded(|| self.core.make_room(Lane::Steer, steering));
        while let Some(command) = self.commands.pop_front() {
            match command {
                Command::Add(spec, to) => self.add(*spec, to, now),
                Command::Terminate(id, to) => {
                    self.decide(|machine, out| machine.terminate(&id, to, now, out));
                }
                Command::Restart(id, to) => {
                    self.decide(|machine, out| machine.restart(&id, to, now, out));
                }
                Command::Delete(id, to) => {
                    self.decide(|machine, out| machine.delete(&id, to, now, out));
                }
                Command::Stop => self.decide(|machine, out| machine.stop_all(now, out)),
            }
        }
    }

    fn add(&mut self, spec: ChildSpec, to: Reply, now: Instant) {
        let checked = spec
            .validate()
            .and_then(|()| validate_in(&self.core.machine.lock().rules, &spec));
        if let Err(error) = checked {
            guarded(|| drop(to.send(Err(CommandError::Config(error)))));
            return guarded(|| drop(spec));
        }
        let mut key = None;
        let child = (spec.id.clone(), spec.policy.clone());
        self.decide(|machine, out| key = machine.add(child, to, now, out));
        if let Some(key) = key {
            let key = key as usize;
            if self.slots.len() <= key {
                self.slots.resize_with(key + 1, Slot::default);
            }
            self.slots[key] = Slot::of(spec);
        } else {
            guarded(|| drop(spec));
        }
    }

    /// Carries out what was decided. `None` if it is the next one's turn.
    fn carry_out(&mut self) -> Option<Poll<Ended>> {
        let mut left = TURN;
        while let Some(decision) = self.out.decisions.pop_front() {
            match decision {
                Decision::Start(start) => {
                    self.start(start);
                    left -= 1;
                    if left == 0 {
                        return None;
                    }
                }
                Decision::Signal(key) => {
                    if let Some(incarnation) = &self.slots[key as usize].incarnation {
                        guarded(|| incarnation.signal());
                    }
                }
                Decision::Abort(key) => {
                    let slot = &mut self.slots[key as usize];
                    slot.is_aborted = true;
                    slot.abort();
                }
                Decision::Watch { key, run, at } => self.watch((key, run), at),
                Decision::Forget(key) => self.forget(key),
                Decision::Spent(key, spent) => {
                    if let Some(WhenSpent::Report(hook)) = self.when_spent(key) {
                        hook.call(&spent);
                    }
                    guarded(|| drop(spent));
                }
                Decision::Reply(to, answer) => guarded(|| drop(to.send(answer))),
                Decision::Up => {
                    if let Some(parent) = &self.parent {
                        parent.cx.ready();
                    }
                    guarded(|| self.core.up.cancel());
                }
                Decision::End(ended) => return Some(Poll::Ready(ended)),
            }
        }
        let added = std::mem::take(&mut self.adding);
        guarded(|| self.core.make_room(Lane::Add, added));
        Some(Poll::Pending)
    }

    /// Asks for the last sign of life of a child.
    fn watch(&mut self, (key, run): (u32, u64), at: Instant) {
        let slot = self.slots.get(key as usize);
        let Some(incarnation) = slot.and_then(|slot| slot.incarnation.as_ref()) else {
            return;
        };
        let last = incarnation.last_beat();
        let now = self.now();
        self.decide(|machine, out| machine.beaten((key, run), (at, last), now, out));
    }

    fn when_spent(&self, key: u32) -> Option<WhenSpent> {
        Some(self.slots.get(key as usize)?.when_spent.clone())
    }

    fn forget(&mut self, key: u32) {
        let slot = std::mem::take(&mut self.slots[key as usize]);
        if slot.is_supervisor {
            let nested = self.core.nested.lock().remove(&key);
            drop(nested);
        }
        guarded(|| drop(slot));
        self.core.machine.lock().forgotten(key);
    }

    fn start(&mut self, start: Start) {
        let Start {
            key,
            run,
            incarnation,
            id,
            promised,
            blocking,
        } = start;
        let link = self.core.link.clone();
        let made = Incarnation::new(link, id, (key, run), incarnation, promised);
        let incarnation = Arc::new(made);
        let slot = &mut self.slots[key as usize];
        let Some(factory) = slot.factory.clone() else {
            return;
        };
        if slot.is_supervisor {
            let nested = incarnation.clone();
            let replaced = self.core.nested.lock().insert(key, nested);
            drop(replaced);
        }
        slot.is_aborted = false;
        let replaced = slot.incarnation.replace(incarnation.clone());
        guarded(|| drop(replaced));
        match factory.launch(ChildContext::new(incarnation.clone()), blocking) {
            Ok(task) => {
                slot.task = Some(task);
                let now = self.now();
                self.decide(|machine, out| machine.launched(key, run, now, out));
            }
            Err(exit) => {
                slot.task = None;
                let now = self.now();
                let drained = incarnation.is_done_with_it();
                self.decide(|machine, out| machine.exited((key, run), exit, drained, now, out));
                if !drained {
                    incarnation.release();
                }
            }
        }
    }

    /// Sees to it that the nearest deadline wakes this task; whether it has passed already.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.set(self.nearest);
        self.alarm.poll_ring(cx).is_ready()
    }

    /// However much there is to carry out, nobody who waits is kept waiting for longer than a turn: not
    /// the supervisor above, not a command, not a deadline.
    fn turn_is_over(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        if self.hears_parent(cx) {
            self.decide(|machine, out| machine.stop_all(now, out));
        }
        if self.core.link.receive(&mut self.notes, cx.waker()) {
            self.take_notes();
            self.take_commands();
        }
        if self.is_due(cx) {
            self.decide(|machine, out| machine.due(now, out));
        }
    }

    fn hears_parent(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(parent) = &mut self.parent else {
            return false;
        };
        let fired = match &mut parent.stop {
            Some(stop) => stop.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if fired {
            parent.stop = None;
        }
        fired
    }

    /// What still runs belongs to the supervisor above now.
    fn hand_over_orphans(&self) {
        if let Some(parent) = &self.parent {
            for incarnation in self
                .slots
                .iter()
                .filter_map(|slot| slot.incarnation.as_ref())
            {
                if let Some(guard) = parent.cx.inner().guard() {
                    incarnation.keep(guard);
                }
            }
        }
    }
}

impl Future for Driver {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        if !this.has_begun {
            this.has_begun = true;
            let now = this.now();
            this.decide(|machine, out| machine.begin(now, out));
        }
        for _ in 0..TURN {
            if this.is_going_down {
                return Poll::Pending;
            }
            match this.carry_out() {
                Some(Poll::Ready(ended)) => {
                    this.hand_over_orphans();
                    guarded(|| this.core.close(ended.clone()));
                    return Poll::Ready(ended);
                }
                Some(Poll::Pending) => {}
                // Commands are heard between the turns.
                None => break,
            }
            if this.hears_parent(cx) {
                let now = this.now();
                this.decide(|machine, out| machine.stop_all(now, out));
            } else if this.core.link.receive(&mut this.notes, cx.waker()) {
                this.take_notes();
                this.take_commands();
            } else if this.is_due(cx) {
                let now = this.now();
                this.decide(|machine, out| machine.due(now, out));
            } else if this.out.decisions.is_empty() {
                return Poll::Pending;
            }
        }
        this.turn_is_over(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// It was aborted, or its runtime went down: what it started goes with it.
    fn drop(&mut self) {
        if self.core.ended().is_some() {
            return;
        }
        for slot in &self.slots {
            if let Some(incarnation) = &slot.incarnation {
                guarded(|| incarnation.signal());
            }
            slot.abort();
        }
        self.hand_over_orphans();
        guarded(|| self.core.close(Ended::Killed));
    }
}

impl Slot {
    fn of(spec: ChildSpec) -> Self {
        Self {
            factory: Some(spec.factory),
            when_spent: spec.when_spent,
            is_supervisor: spec.is_supervisor,
            incarnation: None,
            task: None,
            is_aborted: false,
        }
    }

    fn abort(&self) {
        if let Some(task) = &self.task {
            guarded(|| task.abort());
        }
        if let Some(incarnation) = &self.incarnation {
            guarded(|| incarnation.abort_work());
        }
    }
}
