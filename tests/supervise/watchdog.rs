//! Children that promised signs of life.

use crate::rig::{kinds, many, settle};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{
    ChildContext, ChildExit, ChildSpec, FailureCause, Readiness, Restart,
};
use backstop::supervise::supervisor::{
    ChildState, Ended, Supervisor, SupervisorBuilder, SupervisorEventKind,
};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Where the context of the child that runs is found.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Option<ChildContext>>>);

impl Place {
    fn get(&self) -> ChildContext {
        self.0.lock().unwrap().clone().expect("it has started")
    }

    /// A child that does nothing by itself; tests beat for it.
    fn child(&self) -> ChildSpec {
        let place = self.clone();
        ChildSpec::new("watched", move |cx: ChildContext| {
            *place.0.lock().unwrap() = Some(cx.clone());
            async move {
                cx.cancelled().await;
                Ok::<_, Infallible>(())
            }
        })
        .watchdog(2 * SECOND)
    }
}

fn tree(manual: &ManualClock) -> SupervisorBuilder {
    Supervisor::builder("tree")
        .clock(manual)
        .backoff(RestartBackoff::none())
}

async fn advance(manual: &ManualClock, by: Duration) {
    manual.advance(by);
    settle().await;
}

#[tokio::test]
async fn sv14a_a_child_that_misses_its_heartbeat_has_crashed_and_one_that_keeps_it_has_not() {
    let (manual, place) = (Clock::manual(), Place::default());
    let supervisor = tree(&manual).child(place.child()).start().await.unwrap();
    settle().await;
    let mut events = supervisor.subscribe(many());
    for _ in 0..5 {
        advance(&manual, 1_900 * MS).await;
        place.get().heartbeat();
    }
    advance(&manual, 2 * SECOND - MS).await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    let first = place.get();
    manual.advance(MS);
    let told = async { events.recv().await.unwrap().kind };
    let SupervisorEventKind::Hung {
        incarnation,
        silent,
        ..
    } = told.await
    else {
        panic!("it hangs");
    };
    assert_eq!((incarnation, silent), (1, 2 * SECOND));
    settle().await;
    // It is told to stop like any other, and started again.
    assert!(first.is_stopping());
    assert_eq!(
        kinds(&mut events),
        ["restarting watched", "exited watched", "started watched"]
    );
    let tree = supervisor.snapshot();
    assert_eq!((tree.restarts_in_window, place.get().incarnation()), (1, 2));
    // The old incarnation's heart does not beat for the new one.
    advance(&manual, SECOND).await;
    first.heartbeat();
    advance(&manual, SECOND).await;
    assert_eq!(place.get().incarnation(), 3);
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14b_the_promise_holds_from_ready_on() {
    let (manual, place) = (Clock::manual(), Place::default());
    let child = place.child().readiness(Readiness::Explicit);
    let starting = tokio::spawn(tree(&manual).child(child).start());
    settle().await;
    advance(&manual, 20 * SECOND).await;
    assert!(!starting.is_finished());
    place.get().ready();
    let supervisor = starting.await.unwrap().unwrap();
    advance(&manual, 2 * SECOND - MS).await;
    assert_eq!(place.get().incarnation(), 1);
    advance(&manual, MS).await;
    settle().await;
    // Its second start is awaited in turn.
    assert_eq!(place.get().incarnation(), 2);
    let child = supervisor.snapshot();
    assert_eq!(child.child("watched").unwrap().state, ChildState::Starting);
    place.get().ready();
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14c_nobody_is_judged_by_a_supervisor_that_was_held_up_itself() {
    let (manual, place) = (Clock::manual(), Place::default());
    let supervisor = tree(&manual).child(place.child()).start().await.unwrap();
    settle().await;
    let mut events = supervisor.subscribe(many());
    // The process was suspended: its timer comes more than a period late.
    advance(&manual, 4 * SECOND + MS).await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    // From then on a period is given, and no more.
    advance(&manual, 2 * SECOND - MS).await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    advance(&manual, MS).await;
    assert_eq!(kinds(&mut events)[0], "hung watched");
    // By exactly a period it may be late.
    advance(&manual, 4 * SECOND).await;
    assert_eq!(kinds(&mut events)[0], "hung watched");
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14d_hangs_count_against_the_budget_and_temporary_children_are_forgotten() {
    let (manual, place) = (Clock::manual(), Place::default());
    let supervisor = tree(&manual)
        .budget(RestartBudget::new(1, 60 * SECOND))
        .child(place.child())
        .start()
        .await
        .unwrap();
    settle().await;
    for _ in 0..2 {
        advance(&manual, 2 * SECOND).await;
    }
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    let causes: Vec<_> = gave_up
        .failures
        .iter()
        .map(|failure| &failure.cause)
        .collect();
    assert!(
        matches!(causes[..], [FailureCause::Hung { .. }, FailureCause::Hung { silent }] if *silent == 2 * SECOND),
        "{causes:?}"
    );
    assert!(
        gave_up.to_string().ends_with("gave no sign of life for 2s"),
        "{gave_up}"
    );

    let supervisor = tree(&manual)
        .child(place.child().restart(Restart::Temporary))
        .start()
        .await
        .unwrap();
    settle().await;
    advance(&manual, 2 * SECOND).await;
    let left = supervisor.snapshot();
    assert_eq!((left.children.len(), left.restarts_in_window), (0, 0));
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14e_a_period_out_of_range_is_refused_and_a_stop_leaves_no_timer() {
    let (manual, place) = (Clock::manual(), Place::default());
    for period in [Duration::ZERO, Duration::MAX] {
        let refused = tree(&manual)
            .child(place.child().watchdog(period))
            .start()
            .await;
        assert!(refused.unwrap_err().to_string().contains("watchdog"));
    }
    let supervisor = tree(&manual).child(place.child()).start().await.unwrap();
    settle().await;
    supervisor.terminate("watched").await.unwrap();
    let mut events = supervisor.subscribe(many());
    advance(&manual, 100 * SECOND).await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    let tree = supervisor.snapshot();
    let exit = &tree.child("watched").unwrap().last_exit;
    assert!(matches!(exit, Some(ChildExit::Shutdown)), "{exit:?}");
    supervisor.stop().await;
}
