//! Reporters: what detects a failure begins the recovery (MR10).

use crate::health::check::{RecoveryAction, Status};
use crate::health::tree::{ComponentHandle, Health, HealthWatch};
use crate::kernel::clock::Sleep;
use crate::kernel::name::Name;
use crate::policy::circuit_breaker::{CircuitBreaker, EventKind, Reason, State};
use crate::supervise::microreboot::manager::MicrorebootManager;
use crate::supervise::microreboot::outcome::{RebootOutcome, Report, Reported};
use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;

/// So long may a component stay unwell after a report was answered, before it is reported again.
const SETTLED: Duration = Duration::from_secs(30);

/// Events of a breaker that are kept for its reporter, which does nothing but read them.
const QUEUE: NonZeroUsize = NonZeroUsize::new(64).expect("above zero");

/// A reporter at work. Dropping it ends it; reboots that it began go on.
#[derive(Debug)]
#[must_use = "dropping it ends the reporter"]
pub struct Reporting(JoinHandle<()>);

impl Drop for Reporting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl MicrorebootManager {
    /// From now on `component` is reported whenever this breaker opens because of what its calls came
    /// to; of one that is opened by hand nothing is said. The fault is `breaker_open`, the reporter
    /// the breaker's name. A breaker that is open already is reported at once.
    ///
    /// One that opens again after the cure is a further report of the same fault, and so makes the
    /// next attempt wider in the end.
    ///
    /// ```no_run
    /// # fn f(manager: backstop::supervise::microreboot::MicrorebootManager, breaker: backstop::CircuitBreaker) {
    /// let reporting = manager.report_breaker(&breaker, "cart");
    /// # drop(reporting);
    /// # }
    /// ```
    pub fn report_breaker(
        &self,
        breaker: &CircuitBreaker,
        component: impl Into<Name>,
    ) -> Reporting {
        let (manager, breaker, component) = (self.clone(), breaker.clone(), component.into());
        let mut events = breaker.subscribe(QUEUE);
        let is_open = matches!(breaker.state(), State::Open | State::HalfOpen);
        let was_open = is_open && breaker.last_trip().is_some();
        let report = move || {
            let report = Report::new(component.clone(), "breaker_open");
            drop(manager.report(report.by(breaker.name().clone())));
        };
        Reporting(self.runtime().spawn(async move {
            if was_open {
                report();
            }
            while let Some(event) = events.recv().await {
                if opened_by_calls(&event.kind) {
                    report();
                }
            }
        }))
    }

    /// From now on the manager hears how well this component of a health tree is, which its storm gate
    /// counts; and `component` is reported when it becomes unhealthy, and again each 30 seconds while
    /// it stays so after a report was answered. Unknown is not unhealthy: it says nothing. Nothing is
    /// reported in maintenance mode. The fault is `unhealthy`, the reporter the component's name in
    /// the tree.
    ///
    /// It ends with the tree, which it does not keep alive.
    pub fn report_health(&self, health: &ComponentHandle, component: impl Into<Name>) -> Reporting {
        let follower = Follower {
            manager: self.clone(),
            component: component.into(),
            reporter: health.name(),
            report: None,
            rest: None,
        };
        Reporting(self.runtime().spawn(follower.follow(health.watch())))
    }

    /// A recovery action for a health check: it reports `component` with that fault, and ends well if
    /// the component is cured. It has no retries of its own (the ladder has), and 5 minutes.
    ///
    /// ```no_run
    /// # fn f(manager: backstop::supervise::microreboot::MicrorebootManager) {
    /// use backstop::health::check::{Check, Level};
    ///
    /// let check = Check::new("ping", Level::Critical, || async { Ok::<_, std::io::Error>(()) })
    ///     .recovery(manager.recovery_action("cart", "no_ping"));
    /// # drop(check);
    /// # }
    /// ```
    pub fn recovery_action(
        &self,
        component: impl Into<Name>,
        fault: impl Into<Name>,
    ) -> RecoveryAction {
        let (manager, target, fault) = (self.clone(), component.into(), fault.into());
        RecoveryAction::new(target.clone(), move || {
            let report = Report::new(target.clone(), fault.clone()).by("health_check");
            let reported = manager.report(report);
            async move {
                match reported.await {
                    RebootOutcome::Cured { .. } | RebootOutcome::Stale { .. } => Ok(()),
                    outcome => Err(NotCured(outcome)),
                }
            }
        })
        .retries(0)
        .timeout(Duration::from_secs(300))
    }
}

fn opened_by_calls(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::StateChanged { to: State::Open, reason, .. } if *reason != Reason::ByHand
    )
}

/// A recovery action that did not end in a cure.
#[derive(Debug)]
struct NotCured(RebootOutcome);

impl fmt::Display for NotCured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            RebootOutcome::Refused(refusal) => write!(f, "not cured: {refusal}"),
            outcome => write!(f, "not cured: {}", outcome.name()),
        }
    }
}

impl std::error::Error for NotCured {}

/// Tells a manager how well a component is.
struct Follower {
    manager: MicrorebootManager,
    component: Name,
    reporter: Name,
    /// A report that is not answered yet.
    report: Option<Reported>,
    /// Until then no further one is made.
    rest: Option<Pin<Box<Sleep>>>,
}

/// What a follower waits for.
enum Heard {
    Health(Option<Health>),
    Answered,
    Rested,
}

impl Follower {
    async fn follow(mut self, mut watch: HealthWatch) {
        let mut health = watch.seen();
        loop {
            self.tell(health.status);
            if health.status != Status::Unhealthy {
                self.rest = None;
            } else if self.report.is_none() && self.rest.is_none() && !health.in_maintenance {
                let report = Report::new(self.component.clone(), "unhealthy");
                self.report = Some(self.manager.report(report.by(self.reporter.clone())));
            }
            match self.hear(&mut watch).await {
                Heard::Health(Some(now)) => health = now,
                Heard::Health(None) => return,
                Heard::Answered => {
                    self.report = None;
                    let clock = self.manager.clock();
                    // Without timers it is reported again when it next becomes unhealthy.
                    self.rest = clock.sleep_until(clock.now() + SETTLED).ok().map(Box::pin);
                }
                Heard::Rested => self.rest = None,
            }
        }
    }

    /// What is unknown is neither well nor failed, and is not told.
    fn tell(&self, status: Status) {
        let is_well = match status {
            Status::Healthy | Status::Degraded => true,
            Status::Unhealthy => false,
            _ => return,
        };
        self.manager.health(self.component.as_str(), is_well);
    }

    async fn hear(&mut self, watch: &mut HealthWatch) -> Heard {
        let mut changed = pin!(watch.changed());
        let (report, rest) = (&mut self.report, &mut self.rest);
        poll_fn(|cx| {
            if let Poll::Ready(health) = changed.as_mut().poll(cx) {
                return Poll::Ready(Heard::Health(health));
            }
            if let Some(report) = report {
                if Pin::new(report).poll(cx).is_ready() {
                    return Poll::Ready(Heard::Answered);
                }
            }
            match rest {
                Some(rest) => rest.as_mut().poll(cx).map(|()| Heard::Rested),
                None => Poll::Pending,
            }
        })
        .await
    }
}
