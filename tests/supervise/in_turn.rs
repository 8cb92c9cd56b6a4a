//! What comes in the middle of a first start or of a group's restart, and has to wait for its turn.

use crate::rig::{Order, Rig, SECOND, many, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::child::{BoxError, ChildSpec, Readiness, SpentHook, Stop, WhenSpent};
use backstop::supervise::supervisor::{
    ChildState, Ended, StartError, Strategy, Supervisor, Terminated,
};
use futures::FutureExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// Is ready a second after it was started.
fn slow(rig: &Rig, id: &'static str) -> ChildSpec {
    let rig = rig.clone();
    let spec = ChildSpec::new(id, move |cx| {
        let rig = rig.clone();
        async move {
            rig.write(format!("?{id}"));
            let until = cx.clock().now() + SECOND;
            tokio::select! {
                slept = async { cx.clock().sleep_until(until).expect("a runtime").await } => slept,
                () = cx.cancelled() => return Ok::<_, BoxError>(()),
            }
            rig.write(format!("+{id}"));
            cx.ready();
            cx.cancelled().await;
            rig.write(format!("-{id}"));
            Ok(())
        }
    });
    spec.readiness(Readiness::Explicit)
}

/// Fails when it is told to, and leaves work behind that hears nothing, the first time.
fn leaves_work(rig: &Rig, id: &'static str, fails: &Arc<AtomicBool>) -> ChildSpec {
    let (rig, fails) = (rig.clone(), fails.clone());
    let spec = ChildSpec::new(id, move |cx| {
        let (rig, fails) = (rig.clone(), fails.clone());
        async move {
            rig.write(format!("+{id}"));
            if cx.incarnation() > 1 {
                cx.cancelled().await;
                return Ok(());
            }
            drop(cx.spawn(std::future::pending::<()>()));
            while !fails.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            Err::<(), _>("told to fail")
        }
    });
    spec.stop(Stop::After(10 * SECOND))
}

fn state(supervisor: &Supervisor, id: &str) -> ChildState {
    supervisor.snapshot().child(id).expect("listed").state
}

type Starting = JoinHandle<Result<Supervisor, StartError>>;

/// One for all: a child that fails while the one behind it starts. The start is under way still.
async fn fails_early(rig: &Rig, child: ChildSpec, budget: u32) -> Starting {
    let builder = prompt("root")
        .strategy(Strategy::OneForAll)
        .budget(RestartBudget::new(budget, 60 * SECOND))
        .child(child)
        .child(slow(rig, "slow"));
    let starting = tokio::spawn(async move { builder.start().await });
    settle().await;
    assert_eq!(rig.log(), ["+a", "?slow"]);
    starting
}

async fn comes_up(rig: &Rig, starting: Starting) -> Supervisor {
    settle().await;
    assert!(!starting.is_finished());
    tokio::time::advance(SECOND).await;
    let supervisor = starting.await.unwrap().expect("it starts");
    settle().await;
    assert_eq!(rig.log().first().map(String::as_str), Some("+slow"));
    supervisor
}

#[tokio::test(start_paused = true)]
async fn sv7b_a_crash_during_the_first_start_of_a_group_restarts_it_after_that() {
    let rig = Rig::default();
    let starting = fails_early(&rig, rig.child("a"), 1).await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a"], "there is no group yet");
    let supervisor = comes_up(&rig, starting).await;
    let tree = supervisor.snapshot();
    assert_eq!(tree.restarts_in_window, 1);
    assert_eq!(tree.child("a").unwrap().incarnation, 2);
    assert_eq!(state(&supervisor, "slow"), ChildState::Starting);
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+slow"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv7b_also_one_that_has_left_work_behind() {
    let rig = Rig::default();
    let fails: Arc<AtomicBool> = Arc::default();
    let starting = fails_early(&rig, leaves_work(&rig, "a", &fails), 1).await;
    fails.store(true, Ordering::Relaxed);
    let supervisor = comes_up(&rig, starting).await;
    assert_eq!(supervisor.snapshot().restarts_in_window, 1);
    assert_eq!(state(&supervisor, "a"), ChildState::Stopping);
    tokio::time::advance(10 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+a", "?slow"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv7b_sv12a_a_crash_during_the_first_start_may_be_one_too_many() {
    let rig = Rig::default();
    let starting = fails_early(&rig, rig.child("a"), 0).await;
    rig.tell("a", Order::Fail);
    settle().await;
    rig.log();
    let supervisor = comes_up(&rig, starting).await;
    let ended = supervisor.ended().now_or_never();
    let Some(Ended::GaveUp(gave_up)) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!((gave_up.child.as_str(), gave_up.failures.len()), ("a", 1));
}

/// And a stop that comes before the first start is over finds nothing to restart.
#[tokio::test(start_paused = true)]
async fn sv7b_sv12d_a_budget_that_is_spent_during_the_first_start_is_reported_after_it() {
    for leaves in [false, true] {
        let rig = Rig::default();
        let told: Arc<AtomicU64> = Arc::default();
        let fails: Arc<AtomicBool> = Arc::default();
        let child = if leaves {
            leaves_work(&rig, "a", &fails)
        } else {
            rig.child("a")
        };
        let tells = told.clone();
        let hook = SpentHook::new(move |spent| {
            assert_eq!((spent.child.as_str(), spent.incarnation), ("a", 1));
            tells.fetch_add(1, Ordering::Relaxed);
        });
        let child = child
            .budget(RestartBudget::new(0, SECOND))
            .when_spent(WhenSpent::Report(hook));
        let starting = fails_early(&rig, child, 1).await;
        if leaves {
            fails.store(true, Ordering::Relaxed);
        } else {
            rig.tell("a", Order::Fail);
        }
        settle().await;
        rig.log();
        let supervisor = comes_up(&rig, starting).await;
        assert_eq!(told.load(Ordering::Relaxed), 1);
        assert_eq!(supervisor.snapshot().restarts_in_window, 0);
        assert_eq!(state(&supervisor, "slow"), ChildState::Running);
        tokio::time::advance(10 * SECOND).await;
        settle().await;
        assert_eq!(state(&supervisor, "a"), ChildState::Spent);
        assert_eq!(rig.log(), [""; 0], "it is left alone");
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sv8d_what_an_operator_brings_back_into_a_group_starts_in_its_turn() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .strategy(Strategy::RestForOne)
        .child(rig.child("a"))
        .child(rig.child("b").stop(Stop::After(SECOND)))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    rig.deafen("b");
    settle().await;
    rig.tell("c", Order::Fail);
    settle().await;
    rig.log();
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "-c", "+b", "+c"], "and is deaf now");
    for id in ["a", "c"] {
        rig.tell("a", Order::Fail);
        settle().await;
        rig.log();
        // The first and the last of a group that waits for the one in the middle.
        supervisor.terminate(id).await.unwrap();
        let mut starts = Box::pin(supervisor.restart(id));
        assert!((&mut starts).now_or_never().is_none());
        settle().await;
        assert_eq!(rig.log(), [""; 0], "{id} does not wait");
        tokio::time::advance(SECOND).await;
        settle().await;
        assert_eq!(rig.log(), ["-b", "+a", "+b", "+c"]);
        assert!(starts.now_or_never().is_some_and(|answer| answer.is_ok()));
    }
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv8d_what_is_added_during_a_first_start_starts_in_its_turn() {
    let rig = Rig::default();
    let root = prompt("root").start().await.unwrap();
    let inner = prompt("inner").child(slow(&rig, "slow"));
    let starting = tokio::spawn({
        let root = root.clone();
        async move { root.add(ChildSpec::supervisor(inner)).await }
    });
    settle().await;
    let inner = root.nested("inner").expect("it is on its way");
    let mut adds = Box::pin(inner.add(rig.child("more")));
    assert!((&mut adds).now_or_never().is_none());
    settle().await;
    assert_eq!(rig.log(), ["?slow"]);
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+slow", "+more"]);
    assert!(adds.now_or_never().is_some_and(|answer| answer.is_ok()));
    starting.await.unwrap().unwrap();
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv15a_a_stop_calls_off_the_restart_of_one_that_has_left_work_behind() {
    let rig = Rig::default();
    let fails = Arc::new(AtomicBool::new(true));
    let supervisor = prompt("root")
        .child(leaves_work(&rig, "a", &fails))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(state(&supervisor, "a"), ChildState::Stopping);
    let mut stops = Box::pin(supervisor.terminate("a"));
    assert!((&mut stops).now_or_never().is_none());
    settle().await;
    tokio::time::advance(10 * SECOND).await;
    settle().await;
    let answer = stops.now_or_never();
    assert!(matches!(answer, Some(Ok(Terminated::Stopped(_)))));
    assert_eq!(state(&supervisor, "a"), ChildState::Stopped);
    assert_eq!(rig.log(), ["+a"]);
    supervisor.stop().await;
}

/// In real time, since what blocks is a thread.
#[tokio::test]
async fn sv10d_a_restart_by_hand_beside_an_orphan_leaves_both_to_be_seen() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let has_begun: Arc<AtomicBool> = Arc::default();
    let begun = has_begun.clone();
    let spec = ChildSpec::new("a", move |cx| {
        let (wait, begun) = (wait.clone(), begun.clone());
        if cx.incarnation() == 1 {
            cx.spawn_blocking(move || {
                begun.store(true, Ordering::Relaxed);
                wait.lock().unwrap().recv().is_ok()
            });
        }
        async move {
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    let supervisor = prompt("root")
        .clock(Clock::system())
        .child(spec.stop(Stop::AtOnce).overlap(true))
        .start()
        .await
        .unwrap();
    while !has_begun.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    let mut events = supervisor.subscribe(many());
    let stopped = supervisor.terminate("a").await;
    assert!(matches!(stopped, Ok(Terminated::Orphaned)));
    supervisor.restart("a").await.unwrap();
    assert_eq!(state(&supervisor, "a"), ChildState::Running);
    go.send(()).unwrap();
    while events.recv().await.unwrap().kind.as_str() != "orphan_ended" {}
    assert_eq!(state(&supervisor, "a"), ChildState::Running);
    supervisor.stop().await;
}
