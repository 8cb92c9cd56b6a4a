//! What a tree knows: its components, the state of its checks, what is due. Time is an argument.

use super::component::Plan;
use super::event::{HealthEventKind, RecoveryOutcome};
use super::order::StatusOrder;
use super::recovery::{End, Job, Outcome, Recovery, Repeat};
use super::rollup::{Rollup, Share, Summary};
use crate::health::check::{
    CheckConfig, CheckMachine, CheckResult, CheckState, Ending, Episode, Level, Probe, Status,
};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::rng::Rolls;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const NEVER: Instant = Instant::from_nanos(u64::MAX);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Name,
    pub(super) parent: Option<usize>,
    end: usize,
    optional: bool,
    rollup: Rollup,
    /// What it was set to by hand.
    pub(super) forced: Option<Status>,
    pub(super) now: Summary,
    /// Start-up checks of it and those above it that have not passed.
    gates: u32,
}

#[derive(Debug)]
pub(super) struct CheckSlot {
    pub(super) node: usize,
    pub(super) name: Name,
    pub(super) level: Level,
    on_error: Level,
    pub(super) probe: Probe,
    /// Its failure is one of the process.
    may_kill: bool,
    /// It is a start-up check, and the start of the process waits for it.
    holds_start: bool,
    machine: CheckMachine,
    /// What it last put into its component, and until when it is fresh.
    share: Share,
    fresh_until: Instant,
    pub(super) result: Option<CheckResult>,
    /// What its action acts on, and how it is repeated.
    action: Option<(usize, Repeat)>,
}

impl CheckSlot {
    pub(super) const fn state(&self) -> CheckState {
        self.machine.state()
    }

    pub(super) const fn last(&self) -> Option<Instant> {
        self.machine.last()
    }

    pub(super) const fn config(&self) -> CheckConfig {
        self.machine.config()
    }

    /// Whether it is a start-up check that has passed.
    pub(super) fn is_done(&self) -> bool {
        self.machine.is_done()
    }

    /// Whether a start-up check holds it back.
    pub(super) const fn is_held(&self) -> bool {
        self.machine.is_held()
    }
}

/// The whole.
#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) checks: Vec<CheckSlot>,
    pub(super) targets: Vec<Name>,
    order: StatusOrder,
    expiries: BTreeSet<(Instant, usize)>,
    recovery: Recovery,
    /// What the last attempt on each target came to, if it failed.
    failures: Vec<Option<Arc<str>>>,
    pub(super) maintenance: bool,
    /// Failing liveness checks that speak for the process.
    killers: u32,
    /// Start-up checks of what is not optional that have not passed.
    startups: u32,
    /// Whether it was once past its start.
    started: bool,
    pub(super) outbox: Outbox,
}

/// What follows from a change once the lock is let go.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Components whose summary changed.
    pub(super) changed: Vec<usize>,
    /// What is to be told.
    pub(super) notes: Vec<HealthEventKind>,
    /// A start-up check passed.
    pub(super) gate_opened: bool,
    /// A recovery may be due.
    pub(super) has_work: bool,
}

impl State {
    pub(super) fn new(plan: &Plan, order: StatusOrder, rolls: Rolls, now: Instant) -> Self {
        let nodes = plan.nodes.iter().map(|planned| Node {
            name: planned.name.clone(),
            parent: planned.parent,
            end: planned.end,
            optional: planned.optional,
            rollup: Rollup::default(),
            forced: None,
            now: Summary {
                status: Status::Unknown,
                flagged: false,
            },
            gates: 0,
        });
        let mut state = Self {
            nodes: nodes.collect(),
            checks: Vec::new(),
            targets: Vec::new(),
            order,
            expiries: BTreeSet::new(),
            recovery: Recovery::new(0, Rolls::seeded(0)),
            failures: Vec::new(),
            maintenance: false,
            killers: 0,
            startups: 0,
            started: false,
            outbox: Outbox::default(),
        };
        for (node, check) in &plan.checks {
            if check.probe == Probe::StartUp {
                state.startups += u32::from(plan.nodes[*node].needed);
                let beneath = *node..plan.nodes[*node].end;
                state.nodes[beneath]
                    .iter_mut()
                    .for_each(|node| node.gates += 1);
            }
        }
        state.place_checks(plan, now);
        state.recovery = Recovery::new(state.targets.len(), rolls);
        state.failures = vec![None; state.targets.len()];
        // From the leaves up: those beneath a component come after it.
        for at in (0..state.nodes.len()).rev() {
            state.nodes[at].now = state.summary(at);
            let node = &state.nodes[at];
            if let Some(parent) = node.parent {
                let share = Share::of_child(node.now, node.optional);
                state.nodes[parent].rollup.add(share);
            }
        }
        state.note_started();
        state.outbox = Outbox::default();
        state
    }

    fn place_checks(&mut self, plan: &Plan, now: Instant) {
        let mut targets: HashMap<&str, usize> = HashMap::new();
        for (id, (node, check)) in plan.checks.iter().enumerate() {
            let is_startup = check.probe == Probe::StartUp;
            let held = !is_startup && self.nodes[*node].gates > 0;
            let machine = CheckMachine::new(check.config, is_startup, held, now);
            let action = check.action.as_ref().map(|action| {
                let target = *targets.entry(action.target.as_str()).or_insert_with(|| {
                    self.targets.push(action.target.clone());
                    self.targets.len() - 1
                });
                let repeat = Repeat {
                    retries: action.retries,
                    backoff: action.backoff,
                };
                (target, repeat)
            });
            let share = Share::of_check(machine.state(), check.level);
            self.nodes[*node].rollup.add(share);
            let fresh_until = machine.fresh_until();
            if fresh_until != NEVER {
                self.expiries.insert((fresh_until, id));
            }
            self.checks.push(CheckSlot {
                node: *node,
                name: check.name.clone(),
                level: check.level,
                on_error: check.on_error,
                probe: check.probe,
                holds_start: is_startup && plan.nodes[*node].needed,
                may_kill: check.probe == Probe::Liveness && plan.nodes[*node].needed,
                machine,
                share,
                fresh_until,
                result: None,
                action,
            });
        }
    }

    /// The last moment at which nothing is stale.
    pub(super) fn fresh_until(&self) -> Instant {
        self.expiries.first().map_or(NEVER, |&(until, _)| until)
    }

    /// The tree is started.
    pub(super) fn start(&mut self, now: Instant) {
        for id in 0..self.checks.len() {
            let before = self.checks[id].state();
            self.checks[id].machine.start(now);
            self.settle(id, before, None);
        }
    }

    /// Makes stale what is.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.expiries.first() {
            if now <= until {
                return;
            }
            let before = self.checks[id].state();
            self.checks[id].machine.expire(now);
            self.settle(id, before, None);
        }
    }

    /// Takes a result of a check.
    pub(super) fn record(&mut self, id: usize, result: CheckResult, now: Instant) {
        // What was stale when the result came decides anew, whoever noticed first.
        self.expire(now);
        let slot = &mut self.checks[id];
        if slot.machine.is_held() || slot.machine.is_done() {
            return;
        }
        let failure = match result.ending {
            Ending::Passed => None,
            ending if ending.is_error() => Some(slot.on_error),
            _ => Some(slot.level),
        };
        let before = slot.state();
        let message = result.message.clone();
        slot.result = Some(result);
        let episode = slot.machine.record(now, failure);
        let action = slot.action;
        self.settle(id, before, message);
        if let Some((target, _)) = action {
            match episode {
                Episode::Same => {}
                Episode::Fails(level) => {
                    self.recovery.fails(target, id, level);
                    self.outbox.has_work = true;
                }
                Episode::Over => {
                    let end = self.recovery.is_over(target, id);
                    self.tell_end(end);
                }
            }
        }
        if self.checks[id].machine.is_done() {
            self.startups -= u32::from(self.checks[id].holds_start);
            self.open_gate(self.checks[id].node, now);
        }
        self.note_started();
    }

    /// Carries a change of a check's into the tree.
    fn settle(&mut self, id: usize, before: CheckState, message: Option<Arc<str>>) {
        let slot = &mut self.checks[id];
        let fresh_until = slot.machine.fresh_until();
        if fresh_until != slot.fresh_until {
            self.expiries.remove(&(slot.fresh_until, id));
            if fresh_until != NEVER {
                self.expiries.insert((fresh_until, id));
            }
            slot.fresh_until = fresh_until;
        }
        let state = slot.state();
        if state == before {
            return;
        }
        let share = Share::of_check(state, slot.level);
        let old = std::mem::replace(&mut slot.share, share);
        let node = slot.node;
        if slot.may_kill {
            let kills = |state| u32::from(state == CheckState::Failing(Level::Critical));
            self.killers = self.killers - kills(before) + kills(state);
        }
        self.outbox.notes.push(HealthEventKind::CheckChanged {
            component: self.nodes[node].name.clone(),
            check: slot.name.clone(),
            from: before,
            to: state,
            message,
        });
        self.replace(node, old, share);
    }

    /// Replaces a share of a component, and what follows from it further up.
    fn replace(&mut self, mut at: usize, mut old: Share, mut new: Share) {
        loop {
            if old == new {
                return;
            }
            let node = &mut self.nodes[at];
            node.rollup.remove(old);
            node.rollup.add(new);
            match self.refresh(at) {
                Some((parent, before, now)) => (at, old, new) = (parent, before, now),
                None => return,
            }
        }
    }

    /// Finds out anew what a component comes to; if it changed, its parent with the shares to
    /// replace there.
    fn refresh(&mut self, at: usize) -> Option<(usize, Share, Share)> {
        let now = self.summary(at);
        let node = &mut self.nodes[at];
        let before = std::mem::replace(&mut node.now, now);
        if before == now {
            return None;
        }
        self.outbox.changed.push(at);
        if before.status != now.status {
            self.outbox.notes.push(HealthEventKind::StatusChanged {
                component: node.name.clone(),
                from: before.status,
                to: now.status,
            });
        }
        let share = |summary| Share::of_child(summary, node.optional);
        Some((node.parent?, share(before), share(now)))
    }

    fn summary(&self, at: usize) -> Summary {
        let node = &self.nodes[at];
        let computed = node.rollup.summary(self.order);
        Summary {
            status: node.forced.unwrap_or(computed.status),
            ..computed
        }
    }

    fn open_gate(&mut self, node: usize, now: Instant) {
        self.outbox.gate_opened = true;
        let beneath = node..self.nodes[node].end;
        self.nodes[beneath.clone()]
            .iter_mut()
            .for_each(|node| node.gates -= 1);
        for id in 0..self.checks.len() {
            let slot = &mut self.checks[id];
            let is_free = beneath.contains(&slot.node) && self.nodes[slot.node].gates == 0;
            if is_free && slot.machine.is_held() {
                slot.machine.release(now);
                let state = slot.state();
                self.settle(id, state, None);
            }
        }
    }

    fn note_started(&mut self) {
        self.started |= self.startups == 0 && self.nodes[0].now.status != Status::Starting;
    }

    /// Takes other settings of a check.
    pub(super) fn reconfigure(&mut self, id: usize, config: CheckConfig, now: Instant) {
        // What is stale by the old ones is, whatever the new ones are.
        self.expire(now);
        let slot = &mut self.checks[id];
        let state = slot.state();
        slot.machine.reconfigure(config, now);
        self.outbox.notes.push(HealthEventKind::Reconfigured {
            component: self.nodes[slot.node].name.clone(),
            check: slot.name.clone(),
        });
        self.settle(id, state, None);
    }

    /// Sets a component's status by hand, or gives it back.
    pub(super) fn force(&mut self, at: usize, status: Option<Status>) {
        if self.nodes[at].forced == status {
            return;
        }
        self.nodes[at].forced = status;
        self.outbox.notes.push(HealthEventKind::Overridden {
            component: self.nodes[at].name.clone(),
            status,
        });
        if let Some((parent, old, new)) = self.refresh(at) {
            self.replace(parent, old, new);
        }
    }

    pub(super) fn set_maintenance(&mut self, on: bool) {
        if self.maintenance != on {
            self.maintenance = on;
            self.recovery.set_maintenance(on);
            self.outbox.has_work = true;
            self.outbox.notes.push(HealthEventKind::Maintenance(on));
            self.outbox.changed.extend(0..self.nodes.len());
        }
    }

    pub(super) const fn is_dead(&self) -> bool {
        self.killers > 0
    }

    pub(super) const fn has_started(&self) -> bool {
        self.started
    }

    /// The recovery attempts that begin now.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Job> {
        let jobs = self.recovery.begin(now);
        for job in &jobs {
            let slot = &self.checks[job.check];
            self.outbox.notes.push(HealthEventKind::RecoveryStarted {
                target: self.targets[job.target].clone(),
                component: self.nodes[slot.node].name.clone(),
                check: slot.name.clone(),
                attempt: job.attempt,
            });
        }
        jobs
    }

    /// When the next recovery attempt is due.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.recovery.next()
    }

    /// An attempt is over; the message of one that failed.
    pub(super) fn attempted(&mut self, job: Job, failure: Option<Arc<str>>, now: Instant) {
        let Some((_, repeat)) = self.checks[job.check].action else {
            return;
        };
        let worked = failure.is_none();
        self.outbox.has_work = true;
        self.failures[job.target] = failure;
        let end = self.recovery.attempted(job.target, worked, repeat, now);
        self.tell_end(end);
    }

    fn tell_end(&mut self, end: Option<End>) {
        let Some(end) = end else {
            return;
        };
        let slot = &self.checks[end.check];
        self.outbox.notes.push(HealthEventKind::RecoveryEnded {
            target: self.targets[end.target].clone(),
            component: self.nodes[slot.node].name.clone(),
            check: slot.name.clone(),
            attempts: end.attempts,
            outcome: match end.outcome {
                Outcome::Done => RecoveryOutcome::Done,
                Outcome::Withdrawn => RecoveryOutcome::Withdrawn,
                Outcome::Failed => RecoveryOutcome::Failed(
                    self.failures[end.target]
                        .take()
                        .unwrap_or_else(|| Arc::from("it was dropped")),
                ),
            },
        });
    }
}
