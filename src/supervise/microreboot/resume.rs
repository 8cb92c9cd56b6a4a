//! An episode for which the process before was ended: here it ends.

use super::core::{Core, Course, Now};
use super::flight::Airborne;
use super::groups::Index;
use super::history::Pending;
use super::hooks;
use super::landing::Landing;
use super::outcome::RebootOutcome;
use super::record::{Phase, PhaseRecord, RecordOutcome, Rung, Trigger};
use super::rung::Ran;
use crate::kernel::name::Name;
use std::sync::Arc;

impl Core {
    /// Opens the flight of an episode that was left pending, if it is this component's.
    pub(crate) fn resume(
        &mut self,
        component: Index,
        now: Now,
    ) -> Option<(Course, Pending, Arc<Landing<RebootOutcome>>)> {
        let id = self.parts[component].part.id.clone();
        let pending = self.history.pending()?;
        if pending.component != id.as_str() {
            return None;
        }
        let pending = pending.clone();
        // Whatever comes of it, it is resumed once.
        self.history.set_pending(None);
        self.parts[component].reported = true;
        let members = vec![component];
        let (flight, landing) = self.flights.open(members.clone(), pending.episode, false);
        self.flights.begin(flight);
        self.look(now);
        let course = Course {
            flight,
            episode: pending.episode,
            component,
            id,
            fault: Name::from(pending.fault.clone()),
            reporter: Name::from(pending.reporter.clone()),
            trigger: Trigger::Report,
            rung: Rung::Process,
            members,
            scope: Name::from("process"),
            onset: pending.onset,
            calls: self.calls(),
            skipped: Vec::new(),
            cures: 0,
            prior: pending.records.clone(),
            is_tried: false,
            is_through: false,
        };
        Some((course, pending, landing))
    }
}

impl Airborne {
    /// The process is new, and the component runs: does it work?
    pub(crate) async fn resume(mut self, pending: Pending) {
        let (inner, course) = (self.inner.clone(), &self.course);
        let part = inner.core.lock().parts[course.component].part.clone();
        let mut ran = Ran::default();
        if let Some(verify) = part.verify.clone() {
            let began = inner.clock.now();
            let result = hooks::run(&inner.clock, part.limits.verify, verify).await;
            ran.is_cured = result.is_done();
            ran.phases.push(PhaseRecord {
                component: part.id.to_string(),
                phase: Phase::Verify,
                attempt: 1,
                took: inner.clock.now().saturating_duration_since(began),
                result,
            });
        } else {
            ran.is_cured = true;
        }
        let is_cured = ran.is_cured;
        let outcome = if is_cured {
            RecordOutcome::Cured
        } else {
            RecordOutcome::Failed
        };
        let began = Now {
            at: inner.clock.now(),
            wall: pending.began,
        };
        let mut record = self.record(outcome, began, ran, None);
        record.reports = record.reports.max(pending.reports);
        let course = &mut self.course;
        inner.changed(|core, now| core.ended(course, record, now));
        if is_cured {
            let incarnation = part.incarnation.get();
            let rung = Rung::Process;
            return self.land(RebootOutcome::Cured { rung, incarnation }).await;
        }
        self.fail_rung();
        self.fly().await;
    }
}
