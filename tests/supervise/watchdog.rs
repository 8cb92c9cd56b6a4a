//! Children that promised signs of life.

use crate::rig::{kinds, many, settle};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{
    ChildContext, ChildExit, ChildSpec, FailureCause, Readiness, Restart,
};
use backstop::supervise::supervisor::{
    ChildState, Ended, Supervisor, SupervisorBuilder, SupervisorEventKind, TreeSnapshot,
};
use futures::poll;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
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

/// One that gives no sign of life, nor hears that it is to stop.
fn deaf() -> ChildSpec {
    ChildSpec::new("deaf", |_| async {
        std::future::pending::<Result<(), Infallible>>().await
    })
    .watchdog(2 * SECOND)
    .backoff(RestartBackoff::exponential(10 * SECOND, 1.0, 10 * SECOND).jitter(0.0))
}

#[tokio::test]
async fn sv14f_a_hang_is_shown_as_a_hang_however_the_child_was_then_stopped() {
    let manual = Clock::manual();
    let supervisor = tree(&manual)
        .never_give_up(true)
        .child(deaf())
        .start()
        .await
        .unwrap();
    settle().await;
    advance(&manual, 2 * SECOND).await;
    let line = |seen: &TreeSnapshot| seen.to_string().lines().last().unwrap().to_owned();
    let seen = supervisor.snapshot();
    // It does not hear that it is to stop.
    assert_eq!(
        line(&seen),
        "`- deaf  stopping #1, gave no sign of life for 2s"
    );
    advance(&manual, 5 * SECOND).await;
    let seen = supervisor.snapshot();
    let child = seen.child("deaf").unwrap();
    assert_eq!(child.state, ChildState::Backoff);
    assert!(matches!(child.last_exit, Some(ChildExit::Killed)));
    let failure = child.last_failure.as_ref().unwrap();
    assert_eq!((failure.incarnation, failure.cause.as_str()), (1, "hung"));
    assert!(
        matches!(failure.cause, FailureCause::Hung { silent } if silent == 2 * SECOND),
        "{failure:?}"
    );
    assert_eq!(
        line(&seen),
        "`- deaf  backoff #1, restarts in 10s, gave no sign of life for 2s"
    );
    #[cfg(feature = "serde")]
    assert_eq!(
        serde_json::to_value(&seen).unwrap()["children"][0]["last_failure"],
        serde_json::json!({
            "incarnation": 1, "kind": "hung", "message": "gave no sign of life for 2s",
        })
    );
    // The next one is there, and its text tells nothing of the one before.
    advance(&manual, 10 * SECOND).await;
    let seen = supervisor.snapshot();
    assert_eq!(line(&seen), "`- deaf  running #2, up 0ms");
    assert_eq!(
        seen.child("deaf")
            .unwrap()
            .last_failure
            .as_ref()
            .unwrap()
            .incarnation,
        1
    );
    // That it was killed by hand is no failure, and is told as it is.
    let terminating = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.terminate("deaf").await.map(|_| ()) }
    });
    settle().await;
    advance(&manual, 5 * SECOND).await;
    terminating.await.unwrap().unwrap();
    let seen = supervisor.snapshot();
    assert_eq!(line(&seen), "`- deaf  stopped #2, was killed");
    assert_eq!(
        seen.child("deaf")
            .unwrap()
            .last_failure
            .as_ref()
            .unwrap()
            .incarnation,
        1
    );
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14f_so_is_one_that_was_not_ready_in_time() {
    let manual = Clock::manual();
    let late = ChildSpec::new("late", |cx: ChildContext| async move {
        if cx.incarnation() == 1 {
            cx.ready();
        }
        cx.cancelled().await;
        Ok::<_, Infallible>(())
    })
    .readiness(Readiness::Explicit)
    .start_timeout(SECOND);
    let supervisor = tree(&manual).child(late).start().await.unwrap();
    supervisor.terminate("late").await.unwrap();
    let restarting = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.restart("late").await }
    });
    settle().await;
    advance(&manual, SECOND).await;
    restarting.await.unwrap().unwrap_err();
    let seen = supervisor.snapshot();
    let child = seen.child("late").unwrap();
    assert!(matches!(child.last_exit, Some(ChildExit::Shutdown)));
    assert_eq!(
        seen.to_string().lines().last(),
        Some("`- late  stopped #2, was not ready in time")
    );
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14g_a_child_that_waits_is_alive_by_its_own_timer() {
    let manual = Clock::manual();
    let wake = Arc::new(tokio::sync::Notify::new());
    let wakes = wake.clone();
    let waits = ChildSpec::new("waits", move |cx: ChildContext| {
        let wakes = wakes.clone();
        async move {
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                () = cx.heartbeating(wakes.notified()) => {}
            }
            // From here on nobody speaks for it.
            cx.cancelled().await;
            Ok::<_, Infallible>(())
        }
    })
    .watchdog(3 * SECOND);
    let supervisor = tree(&manual).child(waits).start().await.unwrap();
    settle().await;
    let mut events = supervisor.subscribe(many());
    for _ in 0..100 {
        advance(&manual, SECOND).await;
    }
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    wake.notify_one();
    settle().await;
    advance(&manual, 3 * SECOND - MS).await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    // What the future that was waited for has begun is the last sign of life.
    advance(&manual, MS).await;
    assert_eq!(kinds(&mut events)[0], "hung waits");
    supervisor.stop().await;
}

/// Pending for ever; what its polls do is said from outside.
#[derive(Clone, Default)]
struct Polled(Arc<AtomicU32>);

impl Future for Polled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }
}

#[tokio::test]
async fn sv14g_one_that_is_not_polled_hangs_all_the_same() {
    let (manual, polled) = (Clock::manual(), Polled::default());
    let inner = polled.clone();
    let place = Place::default();
    let contexts = place.clone();
    let child = ChildSpec::new("watched", move |cx: ChildContext| {
        *contexts.0.lock().unwrap() = Some(cx.clone());
        let inner = inner.clone();
        async move {
            let mut waits = Box::pin(cx.heartbeating(inner));
            // Once, and then its timer wakes a task that does not poll it.
            assert!(poll!(&mut waits).is_pending());
            cx.cancelled().await;
            Ok::<_, Infallible>(())
        }
    })
    .watchdog(2 * SECOND);
    let supervisor = tree(&manual).child(child).start().await.unwrap();
    settle().await;
    advance(&manual, 2 * SECOND).await;
    assert_eq!(place.get().incarnation(), 2);
    assert_eq!(polled.0.load(Ordering::Relaxed), 2);
    supervisor.stop().await;
}

#[tokio::test]
async fn sv14g_without_a_watchdog_it_has_no_timer_and_each_poll_is_a_sign_of_life() {
    let (manual, polled) = (Clock::manual(), Polled::default());
    let nudge = Arc::new(tokio::sync::Notify::new());
    let child = |period: Option<Duration>| {
        let (polled, nudge) = (polled.clone(), nudge.clone());
        let spec = ChildSpec::new("watched", move |cx: ChildContext| {
            let (polled, nudge) = (polled.clone(), nudge.clone());
            async move {
                let nudged = async {
                    loop {
                        nudge.notified().await;
                    }
                };
                let both = async {
                    let mut nudged = pin!(nudged);
                    poll_fn(|task| {
                        polled.0.fetch_add(1, Ordering::Relaxed);
                        nudged.as_mut().poll(task)
                    })
                    .await;
                };
                tokio::select! {
                    () = cx.cancelled() => {}
                    () = cx.heartbeating(both) => {}
                }
                Ok::<_, Infallible>(())
            }
        });
        match period {
            Some(period) => spec.watchdog(period),
            None => spec,
        }
    };
    let supervisor = tree(&manual).child(child(None)).start().await.unwrap();
    settle().await;
    for _ in 0..10 {
        advance(&manual, SECOND).await;
    }
    assert_eq!(polled.0.load(Ordering::Relaxed), 1);
    supervisor.stop().await;

    // Its polls put the timer off: there is one wake-up per third of a period, whatever wakes it.
    polled.0.store(0, Ordering::Relaxed);
    let supervisor = tree(&manual).child(child(Some(3 * SECOND)));
    let supervisor = supervisor.start().await.unwrap();
    settle().await;
    let mut events = supervisor.subscribe(many());
    for _ in 0..20 {
        advance(&manual, 500 * MS).await;
        nudge.notify_one();
        settle().await;
    }
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    let polls = polled.0.load(Ordering::Relaxed);
    assert!((21..=41).contains(&polls), "{polls}");
    supervisor.stop().await;
}

/// One whose poll blocks, on a thread of its own.
#[test]
fn sv14g_a_child_that_blocks_inside_it_hangs() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let blocks = ChildSpec::new("blocks", move |cx: ChildContext| {
        let held = held.clone();
        async move {
            let block = async {
                if cx.incarnation() == 1 {
                    let _ = held.lock().unwrap().recv();
                }
                cx.cancelled().await;
            };
            cx.heartbeating(block).await;
            Ok::<_, Infallible>(())
        }
    })
    .blocking(true)
    .watchdog(20 * MS);
    runtime.block_on(async {
        let supervisor = Supervisor::builder("tree")
            .clock(Clock::system())
            .backoff(RestartBackoff::none())
            .child(blocks);
        let supervisor = supervisor.start().await.unwrap();
        let mut events = supervisor.subscribe(many());
        let hung = async {
            while let Some(event) = events.recv().await {
                if matches!(event.kind, SupervisorEventKind::Hung { .. }) {
                    return true;
                }
            }
            false
        };
        assert!(tokio::time::timeout(30 * SECOND, hung).await.unwrap());
        release.send(()).unwrap();
        supervisor.stop().await;
    });
}
