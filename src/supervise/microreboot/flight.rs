//! One flight, from its report to its landing: a task of its own.

use super::core::{Course, Now, Turn};
use super::event::{MicrorebootEventKind, Skip};
use super::history::Pending;
use super::inner::{Inner, contained};
use super::landing::{Landing, Seat};
use super::outcome::{RebootOutcome, Refusal};
use super::record::{RebootRecord, RecordOutcome, Rung, Trigger};
use super::rung::{self, Ran};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// A flight under way. However its task ends, those that wait get an outcome.
#[derive(Debug)]
pub(crate) struct Airborne {
    pub(super) inner: Arc<Inner>,
    pub(crate) course: Course,
    landing: Arc<Landing<RebootOutcome>>,
    has_landed: bool,
}

/// What to do after a rung.
#[must_use]
enum Next {
    Again,
    Over(RebootOutcome),
    Follow(Arc<Landing<RebootOutcome>>),
}

impl Airborne {
    pub(crate) fn new(
        inner: Arc<Inner>,
        course: Course,
        landing: Arc<Landing<RebootOutcome>>,
    ) -> Self {
        Self {
            inner,
            course,
            landing,
            has_landed: false,
        }
    }

    /// Flies until it has landed.
    pub(crate) async fn fly(mut self) {
        loop {
            let next = match self.turn().await {
                Turn::Go { was_clear } => match self.course.rung {
                    Rung::Human => self.hand_over(),
                    Rung::Process => self.end_process().await,
                    _ => self.reboot(was_clear).await,
                },
                Turn::Up(why) => self.up(Some(why)),
                Turn::Over(outcome) => Next::Over(outcome),
                Turn::Wait(_) => Next::Again,
            };
            match next {
                Next::Again => {}
                Next::Over(outcome) => return self.land(outcome).await,
                Next::Follow(other) => {
                    let mut seat = Seat::new(other);
                    let outcome = poll_fn(|cx| seat.poll(cx)).await;
                    return self.land(outcome).await;
                }
            }
        }
    }

    /// Waits for its turn.
    async fn turn(&self) -> Turn {
        loop {
            let mut notified = pin!(self.inner.turn.notified());
            // From here on no change is missed.
            notified.as_mut().enable();
            let turn = self.inner.locked(|core, now| core.turn(&self.course, now));
            let Turn::Wait(until) = turn else {
                return turn;
            };
            let sleep = until.and_then(|until| self.inner.clock.sleep_until(until).ok());
            let Some(sleep) = sleep else {
                notified.await;
                continue;
            };
            let mut sleep = pin!(sleep);
            poll_fn(|cx| {
                if notified.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
        }
    }

    /// One rung of reboots.
    async fn reboot(&mut self, was_clear: Option<bool>) -> Next {
        if self.course.trigger != Trigger::Rejuvenation {
            // Before anything is done: a reboot that takes the process down counts, too.
            self.inner.persist().await;
        }
        let began = self.inner.now();
        let ran = rung::run(&self.inner, &self.course).await;
        let is_cured = ran.is_cured;
        // What is shut down cannot be cured, and nobody is to be called for it.
        let is_shut_down = !is_cured && self.is_shut_down();
        let outcome = match (is_cured, is_shut_down) {
            (true, _) => RecordOutcome::Cured,
            (_, true) => RecordOutcome::Abandoned,
            _ => RecordOutcome::Failed,
        };
        let record = self.record(outcome, began, ran, was_clear);
        let course = &mut self.course;
        self.inner
            .changed(|core, now| core.ended(course, record, now));
        if is_cured {
            let part = self.inner.core.lock().parts[course.component].part.clone();
            return Next::Over(RebootOutcome::Cured {
                rung: course.rung,
                incarnation: part.incarnation.get(),
            });
        }
        if is_shut_down {
            return Next::Over(RebootOutcome::Abandoned);
        }
        if course.trigger != Trigger::Report {
            return Next::Over(RebootOutcome::Failed);
        }
        self.up(None)
    }

    /// Whether a member's supervisor is being shut down.
    fn is_shut_down(&self) -> bool {
        let core = self.inner.core.lock();
        let hosts: Vec<_> = self
            .course
            .members
            .iter()
            .map(|&at| core.parts[at].part.host.clone())
            .collect();
        drop(core);
        hosts.iter().any(|host| host.ends_in_order())
    }

    /// The rung did not help.
    pub(super) fn fail_rung(&mut self) {
        // Above the process there is a human, who waits for nothing.
        let _human = self.up(None);
    }

    /// The next rung; `why` if this one was left out.
    fn up(&mut self, why: Option<Skip>) -> Next {
        let course = &mut self.course;
        let is_storm = why == Some(Skip::Storm);
        let follow = self.inner.changed(|core, _| {
            core.climb(course, why);
            core.settle(course);
            core.flights.widen(course.flight, course.members.clone())
        });
        self.course.is_through |= is_storm;
        match follow {
            Some(other) => Next::Follow(other),
            None => Next::Again,
        }
    }

    /// The last rung.
    fn hand_over(&mut self) -> Next {
        let now = self.inner.now();
        let record = self.record(RecordOutcome::HandedOver, now, Ran::default(), None);
        let course = &self.course;
        let (notice, flight) = self.inner.changed(|core, _| {
            // Held from the moment on in which nothing is under way.
            let notice = core.hand_over(course, record);
            (notice, core.flights.close(course.flight))
        });
        drop(flight);
        self.inner.notify(&notice);
        let capped = course.skipped.iter().filter_map(|(_, why)| match why {
            Skip::Capped { next_slot } => Some(*next_slot),
            _ => None,
        });
        Next::Over(match capped.min() {
            Some(next_slot) if !course.is_tried => {
                RebootOutcome::Refused(Refusal::Capped { next_slot })
            }
            _ => RebootOutcome::HandedOver(notice),
        })
    }

    /// The process rung: the episode is stored, and the next process goes on with it.
    async fn end_process(&mut self) -> Next {
        let Some(exit) = self
            .inner
            .exit
            .clone()
            .filter(|_| self.inner.store.is_durable())
        else {
            return self.up(Some(Skip::NoHistory));
        };
        let now = self.inner.now();
        let pending = self.pending(now);
        self.inner
            .locked(|core, _| core.history.set_pending(Some(pending)));
        if !self.inner.persist().await {
            self.inner.locked(|core, _| core.history.set_pending(None));
            return self.up(Some(Skip::NoHistory));
        }
        let record = self.record(RecordOutcome::Exited, now, Ran::default(), None);
        self.inner.changed(|core, _| {
            core.record(record);
            core.exiting = true;
        });
        let Course { id, fault, .. } = &self.course;
        let why = format!("component {id} is not cured by less than a new process: {fault}");
        contained(|| exit(&why));
        Next::Over(RebootOutcome::Exiting)
    }

    fn pending(&self, now: Now) -> Pending {
        let course = &self.course;
        let (reports, records) = self.inner.locked(|core, _| {
            let of_it = core
                .records
                .iter()
                .filter(|it| it.episode == course.episode);
            let records = of_it.map(|it| RebootRecord::clone(it)).collect();
            (core.flights.reports(course.flight), records)
        });
        Pending {
            episode: course.episode,
            component: course.id.to_string(),
            fault: course.fault.to_string(),
            reporter: course.reporter.to_string(),
            reports,
            onset: course.onset,
            began: now.wall,
            records,
        }
    }

    pub(crate) fn record(
        &self,
        outcome: RecordOutcome,
        began: Now,
        ran: Ran,
        was_clear: Option<bool>,
    ) -> RebootRecord {
        let course = &self.course;
        self.inner.locked(|core, now| RebootRecord {
            sequence: 0,
            episode: course.episode,
            component: course.id.to_string(),
            members: course
                .members
                .iter()
                .map(|&at| core.parts[at].part.id.to_string())
                .collect(),
            fault: course.fault.to_string(),
            reporter: course.reporter.to_string(),
            reports: core.flights.reports(course.flight),
            trigger: course.trigger,
            rung: course.rung,
            phases: ran.phases,
            outcome,
            started_from: ran.started_from,
            onset: course.onset,
            began: began.wall,
            ended: now.wall,
            was_clear,
            calls: core.calls_since(course),
        })
    }

    /// Everybody gets the outcome, and then the history is brought up to date.
    pub(super) async fn land(mut self, outcome: RebootOutcome) {
        self.touch_down(outcome);
        self.inner.persist().await;
    }

    fn touch_down(&mut self, outcome: RebootOutcome) {
        self.has_landed = true;
        let flight = self.course.flight;
        let closed = self.inner.changed(|core, _| core.flights.close(flight));
        drop(closed);
        self.landing.land(outcome);
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        if self.has_landed {
            return;
        }
        let now = self.inner.now();
        let record = self.record(RecordOutcome::Abandoned, now, Ran::default(), None);
        self.inner.locked(|core, _| core.record(record));
        self.touch_down(RebootOutcome::Abandoned);
    }
}

/// Tells of a phase.
pub(crate) fn tell_phase(inner: &Inner, episode: u64, phase: super::record::PhaseRecord) {
    inner.locked(|core, _| {
        core.outbox
            .push(MicrorebootEventKind::PhaseEnded { episode, phase });
    });
}
