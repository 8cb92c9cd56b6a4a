//! What is published of a supervisor.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::{Level, Tally};
use crate::kernel::event::Subscriber;
use crate::kernel::name::Name;
use crate::observe::names::{
    SUPERVISOR_BUDGET_USED, SUPERVISOR_CHILDREN, SUPERVISOR_GIVE_UPS, SUPERVISOR_ORPHANS,
    SUPERVISOR_RESTARTS,
};
use crate::supervise::supervisor::{
    ChildState, DynamicSupervisor, Phase, Supervisor, SupervisorEvent, SupervisorEventKind,
    TreeSnapshot,
};
use std::collections::HashMap;
use std::num::NonZeroUsize;

/// Events that are kept from one publish to the next; of more than these the oldest are not counted.
const KEPT: NonZeroUsize = NonZeroUsize::new(4_096).expect("above zero");

const STATES: [ChildState; 8] = [
    ChildState::Waiting,
    ChildState::Starting,
    ChildState::Running,
    ChildState::Backoff,
    ChildState::Stopping,
    ChildState::Stopped,
    ChildState::Spent,
    ChildState::Orphaned,
];

impl Exported for Supervisor {}

impl Sealed for Supervisor {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        vec![Box::new(Told::new(self, None))]
    }
}

impl<A: 'static> Exported for DynamicSupervisor<A> {}

impl<A: 'static> Sealed for DynamicSupervisor<A> {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        let supervisor = self.supervisor();
        let template = Some(supervisor.name().clone());
        vec![Box::new(Told::new(supervisor, template))]
    }
}

/// A handle stops nothing and keeps nothing running, so this one may be held until the end.
struct Told {
    supervisor: Supervisor,
    events: Subscriber<SupervisorEvent>,
    /// Stands for the children in labels, where they come and go.
    template: Option<Name>,
    counts: Counts,
    children: [Level; STATES.len()],
    budget_used: Level,
    orphans: Level,
}

struct Counts {
    name: Name,
    /// How each child last ended, or did not start.
    ends: HashMap<Name, &'static str>,
    restarts: HashMap<(Name, &'static str), (Tally, u64)>,
    give_ups: Tally,
    gave_up: u64,
}

impl Told {
    fn new(supervisor: &Supervisor, template: Option<Name>) -> Self {
        let name = supervisor.name().as_str();
        Self {
            supervisor: supervisor.clone(),
            events: supervisor.subscribe(KEPT),
            template,
            counts: Counts {
                name: supervisor.name().clone(),
                ends: HashMap::new(),
                restarts: HashMap::new(),
                give_ups: Tally::new(SUPERVISOR_GIVE_UPS.series([name])),
                gave_up: 0,
            },
            children: STATES
                .map(|state| Level::new(SUPERVISOR_CHILDREN.series([name, state.as_str()]))),
            budget_used: Level::new(SUPERVISOR_BUDGET_USED.series([name])),
            orphans: Level::new(SUPERVISOR_ORPHANS.series([name])),
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.counts.take(&event.kind, self.template.as_ref());
        }
        self.counts.tell();
    }

    fn tell_levels(&mut self, tree: &TreeSnapshot) {
        let count = |state| {
            let children = tree.children.iter();
            let count = children.filter(|child| child.state == state).count();
            f64::from(u32::try_from(count).unwrap_or(u32::MAX))
        };
        for (level, state) in self.children.iter_mut().zip(STATES) {
            level.set(count(state));
        }
        self.budget_used.set(f64::from(tree.restarts_in_window));
        self.orphans.set(count(ChildState::Orphaned));
    }
}

impl Counts {
    fn take(&mut self, kind: &SupervisorEventKind, template: Option<&Name>) {
        match kind {
            SupervisorEventKind::Exited { child, exit, .. } => {
                self.ends.insert(child.clone(), exit.as_str());
            }
            SupervisorEventKind::StartFailed { child, .. } => {
                self.ends.insert(child.clone(), "start_failed");
            }
            SupervisorEventKind::Hung { child, .. } => {
                self.ends.insert(child.clone(), "hung");
            }
            SupervisorEventKind::Restarting { child, .. } => {
                let exit = self.ends.remove(child).unwrap_or("unknown");
                let label = template.unwrap_or(child).clone();
                let key = (label, exit);
                let series = || {
                    let labels = [self.name.as_str(), key.0.as_str(), exit];
                    Tally::new(SUPERVISOR_RESTARTS.series(labels))
                };
                let tally = series();
                let (_, count) = self.restarts.entry(key).or_insert((tally, 0));
                *count += 1;
            }
            SupervisorEventKind::Forgotten { child } => {
                self.ends.remove(child);
            }
            SupervisorEventKind::GaveUp(_) => self.gave_up += 1,
            _ => {}
        }
    }

    fn tell(&mut self) {
        for (tally, count) in self.restarts.values_mut() {
            tally.tell(*count);
        }
        self.give_ups.tell(self.gave_up);
    }
}

impl Source for Told {
    fn id(&self) -> usize {
        self.supervisor.id()
    }

    fn publish(&mut self) {
        self.tell_events();
        let tree = self.supervisor.snapshot();
        self.tell_levels(&tree);
    }

    fn bury(&mut self) -> bool {
        if self.supervisor.snapshot().phase != Phase::Ended {
            return false;
        }
        self.tell_events();
        self.children.iter().for_each(Level::clear);
        self.budget_used.clear();
        self.orphans.clear();
        true
    }
}
