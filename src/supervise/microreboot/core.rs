//! What the manager knows, and what it decides: all under one lock, `now` as an argument.

use super::config::MicrorebootConfig;
use super::event::{MicrorebootEventKind, Notice, Skip};
use super::flights::{Boarding, Flights};
use super::gate::Gate;
use super::groups::{Groups, Index};
use super::history::HistoryState;
use super::landing::Landing;
use super::outcome::{RebootOutcome, Refusal, Report};
use super::part::Part;
use super::record::{CallsSeen, RebootRecord, RecordOutcome, Rung, Trigger};
use super::storm::{Passage, Storm, Weather};
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

/// A reading of the clock, and the wall time that goes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: MicrorebootConfig,
    pub(crate) groups: Groups,
    pub(crate) parts: Vec<Known>,
    pub(crate) flights: Flights<RebootOutcome>,
    pub(crate) storm: Storm,
    pub(crate) history: HistoryState,
    pub(crate) records: VecDeque<Arc<RebootRecord>>,
    pub(crate) recorded: u64,
    pub(crate) exiting: bool,
    pub(crate) told: u64,
    /// What is to be told once the lock is let go of.
    pub(crate) outbox: Vec<MicrorebootEventKind>,
}

/// A component, and what is known of its health.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) part: Arc<Part>,
    /// What its own check said last.
    pub(crate) check: Option<bool>,
    /// It was reported, and has not been cured since.
    pub(crate) reported: bool,
    /// It was stopped on purpose and was well before.
    pub(crate) is_bystander: bool,
    /// It never came to run.
    pub(crate) is_retired: bool,
    /// How often it was cured, and by which rung the last time.
    pub(crate) cures: u64,
    pub(crate) cured_at: Rung,
}

impl Known {
    fn is_failing(&self) -> bool {
        self.check.map_or(self.reported, |is_well| !is_well)
    }
}

/// One flight on its way: what its task carries along.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) flight: u64,
    pub(crate) episode: u64,
    pub(crate) component: Index,
    pub(crate) id: Name,
    pub(crate) fault: Name,
    pub(crate) reporter: Name,
    pub(crate) trigger: Trigger,
    pub(crate) rung: Rung,
    pub(crate) members: Vec<Index>,
    pub(crate) scope: Name,
    pub(crate) onset: SystemTime,
    pub(crate) calls: Vec<CallsSeen>,
    pub(crate) skipped: Vec<(Rung, Skip)>,
    /// How often the component had been cured when this was opened, or failed last.
    pub(crate) cures: u64,
    /// What was tried by the process before.
    pub(crate) prior: Vec<RebootRecord>,
    /// A rung was tried.
    pub(crate) is_tried: bool,
    /// A storm held it for long enough.
    pub(crate) is_through: bool,
}

/// What a flight is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It begins: it was charged.
    Go { was_clear: Option<bool> },
    /// It waits until something changes, or until then.
    Wait(Option<Instant>),
    /// This rung is left out.
    Up(Skip),
    /// It is over.
    Over(RebootOutcome),
}

/// What a report comes to.
#[derive(Debug)]
pub(crate) enum Taken {
    AtOnce(RebootOutcome),
    Joined(u64, Arc<Landing<RebootOutcome>>),
    Opened(Box<Course>, Arc<Landing<RebootOutcome>>),
}

impl Core {
    pub(crate) fn new(config: MicrorebootConfig) -> Self {
        Self {
            config,
            groups: Groups::default(),
            parts: Vec::new(),
            flights: Flights::default(),
            storm: Storm::default(),
            history: HistoryState::default(),
            records: VecDeque::new(),
            recorded: 0,
            exiting: false,
            told: 0,
            outbox: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        part: Arc<Part>,
        needs: &[Name],
        group: Option<Name>,
        subtree: Name,
    ) -> Result<Index, ConfigError> {
        let index = self.groups.add(part.id.clone(), needs, group, subtree)?;
        let reported = self.history.is_held(part.id.as_str());
        self.parts.push(Known {
            part,
            check: None,
            reported,
            is_bystander: false,
            is_retired: false,
            cures: 0,
            cured_at: Rung::Component,
        });
        Ok(index)
    }

    /// A component that did not come to run is as if it had never been added; its place stays.
    pub(crate) fn retire(&mut self, component: Index) {
        self.groups.retire(component);
        self.parts[component].is_retired = true;
    }

    pub(crate) fn weather(&self) -> Weather {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let parts = || self.parts.iter().filter(|it| !it.is_retired);
        let counted = |it: &&Known| it.is_failing() && !it.is_bystander;
        Weather {
            all: count(parts().count()),
            unhealthy: count(parts().filter(counted).count()),
            running: count(self.flights.running()),
        }
    }

    /// Looks at the storm gate, and tells of its changes.
    pub(crate) fn look(&mut self, now: Now) -> Passage {
        let was_closed = self.storm.is_closed();
        let weather = self.weather();
        let passage = self.storm.look(&self.config.storm, weather, now.at);
        match (was_closed, self.storm.is_closed()) {
            (false, true) => self.outbox.push(MicrorebootEventKind::StormBegan),
            (true, false) => self.outbox.push(MicrorebootEventKind::StormEnded),
            _ => {}
        }
        passage
    }

    /// A report, or a reboot by hand.
    pub(crate) fn take(&mut self, report: &Report, trigger: Trigger, now: Now) -> Taken {
        let Some(component) = self.groups.find(report.component.as_str()) else {
            return Taken::AtOnce(RebootOutcome::Refused(Refusal::UnknownComponent));
        };
        if self.exiting {
            return Taken::AtOnce(RebootOutcome::Refused(Refusal::Exiting));
        }
        let current = self.parts[component].part.incarnation.get();
        match self.flights.board(component, report.incarnation, current) {
            Boarding::Stale { current } => Taken::AtOnce(RebootOutcome::Stale { current }),
            Boarding::Joined(flight, landing) => {
                self.join(component, flight, landing, report, trigger)
            }
            Boarding::None if trigger != Trigger::ByHand && self.is_held(component) => {
                Taken::AtOnce(RebootOutcome::Refused(Refusal::Held))
            }
            Boarding::None => self.open(component, report, trigger, now),
        }
    }

    fn is_held(&self, component: Index) -> bool {
        self.history.is_held(self.parts[component].part.id.as_str())
    }

    fn join(
        &mut self,
        component: Index,
        flight: u64,
        landing: Arc<Landing<RebootOutcome>>,
        report: &Report,
        trigger: Trigger,
    ) -> Taken {
        let Some(joined) = self.flights.find(flight) else {
            return Taken::Joined(flight, landing);
        };
        // A human is not held by a storm.
        joined.is_by_hand |= trigger == Trigger::ByHand;
        let episode = joined.episode;
        if trigger == Trigger::Report && !joined.is_running {
            self.parts[component].reported = true;
        }
        self.tell_report(report, episode, true);
        Taken::Joined(episode, landing)
    }

    fn tell_report(&mut self, report: &Report, episode: u64, joined: bool) {
        self.outbox.push(MicrorebootEventKind::Reported {
            component: report.component.clone(),
            fault: report.fault.clone(),
            reporter: report.reporter.clone(),
            episode,
            joined,
        });
    }

    fn open(&mut self, component: Index, report: &Report, trigger: Trigger, now: Now) -> Taken {
        if trigger == Trigger::Report {
            self.parts[component].reported = true;
        }
        let episode = self.history.next_episode();
        let (id, fault) = (report.component.as_str(), report.fault.as_str());
        let start = match trigger {
            Trigger::Report => {
                let ladder = self.config.ladder;
                self.history.start(&ladder, id, fault, now.wall)
            }
            _ => Rung::Component,
        };
        let is_by_hand = trigger == Trigger::ByHand;
        let (flight, landing) = self.flights.open(vec![component], episode, is_by_hand);
        let mut course = Box::new(Course {
            flight,
            episode,
            component,
            id: report.component.clone(),
            fault: report.fault.clone(),
            reporter: report.reporter.clone(),
            trigger,
            rung: Rung::Component,
            members: vec![component],
            scope: report.component.clone(),
            onset: now.wall,
            calls: self.calls(),
            skipped: Vec::new(),
            cures: self.parts[component].cures,
            prior: Vec::new(),
            is_tried: false,
            is_through: false,
        });
        self.tell_report(report, episode, false);
        while course.rung < start {
            self.climb(&mut course, Some(Skip::Recurring));
        }
        self.settle(&mut course);
        if let Some(flight) = self.flights.find(flight) {
            flight.members.clone_from(&course.members);
        }
        self.look(now);
        Taken::Opened(course, landing)
    }

    /// One rung up; `why` if this one was left out.
    pub(crate) fn climb(&mut self, course: &mut Course, why: Option<Skip>) {
        if let Some(why) = why {
            course.skipped.push((course.rung, why));
            self.outbox.push(MicrorebootEventKind::Skipped {
                episode: course.episode,
                component: course.id.clone(),
                rung: course.rung,
                why,
            });
        }
        course.rung = self.config.ladder.above(course.rung);
    }

    /// Finds the members of the rung; a rung that does not apply is left out.
    pub(crate) fn settle(&mut self, course: &mut Course) {
        loop {
            match course.rung {
                Rung::Process => course.scope = Name::from("process"),
                Rung::Human => {}
                rung => {
                    let Some(found) = self.groups.members(course.component, rung) else {
                        self.climb(course, Some(Skip::NotApplicable));
                        continue;
                    };
                    (course.members, course.scope) = found;
                }
            }
            return;
        }
    }

    /// Whether the flight may begin; if so, it has begun, and was charged.
    pub(crate) fn turn(&mut self, course: &Course, now: Now) -> Turn {
        if self.exiting {
            return Turn::Over(RebootOutcome::Refused(Refusal::Exiting));
        }
        if course.rung == Rung::Human {
            return Turn::Go { was_clear: None };
        }
        if !self.flights.is_clear(course.flight) {
            return Turn::Wait(None);
        }
        let known = &self.parts[course.component];
        // Another flight took it along: the fault was one of an incarnation that is gone.
        if known.cures > course.cures {
            return Turn::Over(RebootOutcome::Cured {
                rung: known.cured_at,
                incarnation: known.part.incarnation.get(),
            });
        }
        let by_hand = self
            .flights
            .find(course.flight)
            .is_some_and(|it| it.is_by_hand);
        let cap = self.config.cap;
        if course.trigger == Trigger::Report {
            let scope = course.scope.as_str();
            if let Err(next_slot) = self.history.check(course.rung, scope, cap, now.wall) {
                return Turn::Up(Skip::Capped { next_slot });
            }
        }
        match self.look(now) {
            _ if by_hand || course.is_through => {}
            Passage::Open => {}
            Passage::Closed { until } => return Turn::Wait(Some(until)),
            Passage::Stalled if course.trigger == Trigger::Report => return Turn::Up(Skip::Storm),
            Passage::Stalled => return Turn::Over(RebootOutcome::Failed),
        }
        if course.trigger != Trigger::Rejuvenation {
            let scope = course.scope.as_str();
            self.history.charge(course.rung, scope, cap, now.wall);
        }
        self.begin(course, now)
    }

    fn begin(&mut self, course: &Course, now: Now) -> Turn {
        let was_clear = self.parts[course.component].check;
        self.flights.begin(course.flight);
        for &member in &course.members {
            let known = &mut self.parts[member];
            known.is_bystander = !known.is_failing();
        }
        self.look(now);
        let members = course.members.iter();
        self.outbox.push(MicrorebootEventKind::Began {
            episode: course.episode,
            component: course.id.clone(),
            rung: course.rung,
            members: members.map(|&at| self.parts[at].part.id.clone()).collect(),
        });
        Turn::Go { was_clear }
    }

    /// A rung is over.
    pub(crate) fn ended(&mut self, course: &mut Course, record: RebootRecord, now: Now) {
        let is_cured = record.outcome == RecordOutcome::Cured;
        for &member in &course.members {
            let known = &mut self.parts[member];
            known.is_bystander = false;
            if is_cured {
                known.reported = false;
                known.check = known.check.map(|_| true);
                known.cures += 1;
                known.cured_at = course.rung;
            }
        }
        if is_cured && course.trigger == Trigger::Report {
            let fault = (course.id.as_str(), course.fault.as_str());
            let ladder = self.config.ladder;
            self.history.cured(&ladder, fault, course.rung, now.wall);
        }
        course.is_tried = true;
        course.cures = self.parts[course.component].cures;
        self.record(record);
    }

    pub(crate) fn record(&mut self, mut record: RebootRecord) {
        self.recorded += 1;
        record.sequence = self.recorded;
        let record = Arc::new(record);
        if self.records.len() >= self.config.records as usize {
            self.records.pop_front();
        }
        self.records.push_back(record.clone());
        self.outbox.push(MicrorebootEventKind::Ended(record));
    }

    /// The last rung: the notice, and the component is held.
    pub(crate) fn hand_over(&mut self, course: &Course, record: RebootRecord) -> Arc<Notice> {
        self.record(record);
        self.history.hold(course.id.as_str());
        let of_it = |it: &&Arc<RebootRecord>| it.component == course.id.as_str();
        let history = self.records.iter().filter(of_it).map(|it| &**it);
        let notice = Arc::new(Notice {
            episode: course.episode,
            component: course.id.to_string(),
            fault: course.fault.to_string(),
            raised: self.records.back().map_or(course.onset, |it| it.ended),
            skipped: course.skipped.clone(),
            history: course.prior.iter().chain(history).cloned().collect(),
        });
        let told = MicrorebootEventKind::HandedOver(notice.clone());
        self.outbox.push(told);
        notice
    }

    /// A human has seen to it; whether it was held.
    pub(crate) fn acknowledge(&mut self, component: &str, now: Now) -> bool {
        if !self.history.acknowledge(component) {
            return false;
        }
        if let Some(index) = self.groups.find(component) {
            self.parts[index].reported = false;
        }
        let of_it = |it: &&Arc<RebootRecord>| {
            it.component == component && it.outcome == RecordOutcome::HandedOver
        };
        // One that a former process handed over has its record there.
        if let Some(handed_over) = self.records.iter().rfind(of_it).cloned() {
            self.record(RebootRecord {
                trigger: Trigger::ByHand,
                reporter: "operator".to_owned(),
                outcome: RecordOutcome::Acknowledged,
                began: handed_over.ended,
                ended: now.wall,
                ..RebootRecord::clone(&handed_over)
            });
        }
        let component = Name::from(component.to_owned());
        self.outbox
            .push(MicrorebootEventKind::Acknowledged { component });
        self.look(now);
        true
    }

    /// The history cannot be read or stored.
    pub(crate) fn unavailable(&mut self, error: Arc<str>) {
        self.outbox
            .push(MicrorebootEventKind::HistoryUnavailable { error });
    }

    /// The calls that each component's gate had seen when the present failures began.
    pub(crate) fn calls(&self) -> Vec<CallsSeen> {
        let seen = |it: &Known| it.part.gate.as_ref().map(Gate::seen_at_onset);
        let all = self.parts.iter();
        all.map(|it| seen(it).unwrap_or_default()).collect()
    }

    /// Those of the members since the onset; `None` if none has a gate.
    pub(crate) fn calls_since(&self, course: &Course) -> Option<CallsSeen> {
        let seen = course.members.iter().filter_map(|&at| {
            let gate = self.parts[at].part.gate.as_ref()?;
            // One that was added since has seen nothing before.
            let before = course.calls.get(at).copied().unwrap_or_default();
            Some(gate.seen().since(before))
        });
        seen.reduce(CallsSeen::and)
    }
}
