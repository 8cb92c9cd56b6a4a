//! SV9, SV10, SV12, SV13: stopping, giving up, shutting down.

use crate::rig::{Order, Rig, SECOND, kinds, many, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::child::{
    BoxError, ChildExit, ChildSpec, FailureCause, Restart, SpentHook, Stop, WhenSpent,
};
use backstop::supervise::supervisor::{
    AutoShutdown, ChildState, Ended, Phase, StartError, Strategy, Supervisor, Terminated,
};
use futures::FutureExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn sv9a_told_then_aborted_when_the_time_is_over() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root")
        .child(rig.child("a").stop(Stop::After(3 * SECOND)))
        .start()
        .await
        .unwrap();
    settle().await;
    let start = crate::rig::Since::now();
    let exit = supervisor.terminate("a").await;
    assert!(matches!(
        exit,
        Ok(Terminated::Stopped(Some(ChildExit::Killed)))
    ));
    assert_eq!(start.elapsed(), 3 * SECOND);
    supervisor.stop().await;
}

/// A child that blocks its worker, without a word, until it is let go.
fn stuck(id: &'static str) -> (ChildSpec, std::sync::mpsc::Sender<()>) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let spec = ChildSpec::new(id, move |cx| {
        let wait = wait.clone();
        async move {
            cx.cancelled().await;
            let _ = wait.lock().unwrap().recv();
            Ok::<_, BoxError>(())
        }
    });
    (spec, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn sv9a_what_still_runs_100_ms_later_is_an_orphan() {
    let (spec, go) = stuck("a");
    let supervisor = prompt("root")
        .clock(Clock::system())
        .child(spec.stop(Stop::After(Duration::from_millis(50))))
        .start()
        .await
        .unwrap();
    let clock = Clock::system();
    let start = clock.now();
    assert!(matches!(
        supervisor.terminate("a").await,
        Ok(Terminated::Orphaned)
    ));
    let took = clock.now().saturating_duration_since(start);
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert_eq!(
        supervisor.snapshot().children[0].state,
        ChildState::Orphaned
    );
    // The supervisor does not wait for it, and says what it left.
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
    assert_eq!(
        supervisor.snapshot().children[0].state,
        ChildState::Orphaned
    );
    go.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn sv9b_at_once_and_without_a_limit() {
    let rig = Rig::default();
    rig.deafen("b");
    let supervisor = prompt("root")
        .child(rig.child("a").stop(Stop::AtOnce))
        .child(rig.child("b").stop(Stop::Unlimited))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    let start = crate::rig::Since::now();
    let exit = supervisor.terminate("a").await;
    assert!(matches!(
        exit,
        Ok(Terminated::Stopped(Some(ChildExit::Killed)))
    ));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let mut stopping = Box::pin(supervisor.terminate("b"));
    assert!((&mut stopping).now_or_never().is_none());
    tokio::time::advance(1_000_000 * SECOND).await;
    settle().await;
    assert!((&mut stopping).now_or_never().is_none());
    rig.tell("b", Order::Return);
    assert!(stopping.await.is_ok());
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv9c_in_reverse_each_after_the_one_behind_it() {
    let rig = Rig::default();
    rig.deafen("b");
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("b"))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    let mut stopping = Box::pin(supervisor.stop());
    assert!((&mut stopping).now_or_never().is_none());
    settle().await;
    assert_eq!(rig.log(), ["-c"]);
    assert_eq!(supervisor.snapshot().phase, Phase::Stopping);
    // A crash meanwhile is no reason to start anything.
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a"]);
    assert!(matches!(stopping.await, Ended::Stopped));
    assert_eq!(rig.log(), ["-b"]);
    assert_eq!(supervisor.snapshot().phase, Phase::Ended);
}

#[tokio::test(start_paused = true)]
async fn sv9d_a_nested_supervisor_ends_when_its_children_have() {
    let rig = Rig::default();
    rig.deafen("a");
    let inner = prompt("inner")
        .child(rig.child("a").stop(Stop::After(40 * SECOND)))
        .child(rig.child("b"));
    let supervisor = prompt("root")
        .child(rig.child("first"))
        .child_supervisor(inner)
        .child(rig.child("last"))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+first", "+a", "+b", "+last"]);
    let tree = supervisor.snapshot();
    let inner = tree.child("inner").unwrap().tree.as_ref().unwrap();
    assert_eq!(inner.child("b").unwrap().state, ChildState::Running);
    assert_eq!(supervisor.nested("inner").unwrap().name().as_str(), "inner");
    assert!(supervisor.nested("first").is_none());
    let start = crate::rig::Since::now();
    supervisor.stop().await;
    assert_eq!(start.elapsed(), 40 * SECOND);
    assert_eq!(rig.log(), ["-last", "-b", "-a", "-first"]);
    assert!(supervisor.nested("inner").is_none());
}

#[test]
fn sv9e_a_runtime_that_goes_down_takes_the_tree_with_it() {
    for workers in [0, 2, 2, 2, 2, 2, 2, 2] {
        let mut builder = match workers {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_time().build().unwrap();
        let rig = Rig::default();
        rig.deafen("a");
        let supervisor = runtime.block_on(async {
            let inner = prompt("inner").child(rig.child("c"));
            let supervisor = prompt("root")
                .clock(Clock::system())
                .child(rig.child("a"))
                .child(rig.child("b").blocking(true))
                .child_supervisor(inner)
                .start()
                .await
                .unwrap();
            while rig.count() < 3 {
                tokio::task::yield_now().await;
            }
            supervisor
        });
        // One who waits, from another runtime.
        let waits = std::thread::spawn({
            let supervisor = supervisor.clone();
            move || futures::executor::block_on(supervisor.ended())
        });
        drop(runtime);
        assert!(matches!(waits.join().unwrap(), Ended::Killed));
        let stop = futures::executor::block_on(supervisor.stop());
        assert!(matches!(stop, Ended::Killed));
        assert!(futures::executor::block_on(supervisor.restart("a")).is_err());
        assert_eq!(supervisor.snapshot().phase, Phase::Ended);
        let mut log = rig.log();
        log.sort();
        assert_eq!(log, ["+a", "+b", "+c", "-a", "-b", "-c"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sv9e_a_supervisor_that_is_aborted_takes_its_children_with_it() {
    let rig = Rig::default();
    rig.deafen("a");
    let inner = prompt("inner").child(rig.child("a").stop(Stop::Unlimited));
    let supervisor = prompt("root")
        .child(ChildSpec::supervisor(inner).stop(Stop::After(SECOND)))
        .start()
        .await
        .unwrap();
    settle().await;
    let nested = supervisor.nested("inner").unwrap();
    let exit = supervisor.terminate("inner").await;
    assert!(
        matches!(exit, Ok(Terminated::Stopped(Some(ChildExit::Killed)))),
        "{exit:?}"
    );
    assert_eq!(
        rig.log(),
        ["+a", "-a"],
        "it was gone before its parent knew"
    );
    assert!(matches!(nested.ended().await, Ended::Killed));
    supervisor.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn sv10f_a_nested_orphan_is_the_parents_orphan() {
    let (spec, go) = stuck("a");
    let inner = prompt("inner").child(spec.stop(Stop::After(SECOND / 20)));
    let supervisor = prompt("root")
        .clock(Clock::system())
        .child(ChildSpec::supervisor(inner).stop(Stop::After(SECOND / 2)))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe(many());
    assert!(matches!(
        supervisor.terminate("inner").await,
        Ok(Terminated::Orphaned)
    ));
    assert!(supervisor.restart("inner").await.is_err());
    go.send(()).unwrap();
    while events.recv().await.unwrap().kind.as_str() != "orphan_ended" {}
    supervisor.restart("inner").await.unwrap();
    drop(go);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv12a_giving_up_stops_the_others_in_reverse_and_says_why() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let rig = Rig::default();
        let supervisor = prompt("root")
            .strategy(strategy)
            .budget(RestartBudget::new(1, 10 * SECOND))
            .child(rig.child("a"))
            .child(rig.child("b"))
            .child(rig.child("c"))
            .start()
            .await
            .unwrap();
        let mut events = supervisor.subscribe(many());
        settle().await;
        rig.tell("c", Order::Fail);
        settle().await;
        // The first failure has left the window when the next ones come.
        tokio::time::advance(10 * SECOND).await;
        rig.tell("c", Order::Panic);
        settle().await;
        rig.log();
        rig.tell("b", Order::Fail);
        let Ended::GaveUp(gave_up) = supervisor.ended().await else {
            panic!("it gave up");
        };
        assert_eq!(rig.log(), ["-b", "-c", "-a"]);
        assert_eq!(gave_up.supervisor.as_str(), "root");
        assert_eq!(gave_up.child.as_str(), "b");
        assert_eq!(gave_up.budget, RestartBudget::new(1, 10 * SECOND));
        let failed: Vec<_> = gave_up.failures.iter().map(|f| f.child.as_str()).collect();
        assert_eq!(failed, ["c", "b"]);
        assert!(matches!(
            &gave_up.failures[1].cause,
            FailureCause::Exit(ChildExit::Error(_))
        ));
        let told = kinds(&mut events);
        let gave_up = told.iter().position(|kind| kind == "gave_up b").unwrap();
        assert_eq!(told[gave_up + 1..], ["exited c", "exited a", "ended"]);
    }
}

#[tokio::test(start_paused = true)]
async fn sv12b_budgets_multiply_and_the_parent_sees_one_failure() {
    let rig = Rig::default();
    let budget = RestartBudget::new(2, 60 * SECOND);
    let inner = prompt("inner").budget(budget).child(rig.child("a"));
    let supervisor = prompt("root")
        .budget(budget)
        .child(rig.child("z"))
        .child_supervisor(inner)
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    let mut crashes = 0;
    while supervisor.ended().now_or_never().is_none() {
        rig.tell("a", Order::Fail);
        crashes += 1;
        settle().await;
    }
    assert_eq!(crashes, 9, "(2 + 1) * (2 + 1)");
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert_eq!(gave_up.failures.len(), 3);
    let FailureCause::Exit(ChildExit::GaveUp(inner)) = &gave_up.failures[2].cause else {
        panic!("{gave_up}");
    };
    assert_eq!((inner.child.as_str(), inner.failures.len()), ("a", 3));
    assert!(gave_up.to_string().contains("told to fail"), "{gave_up}");
}

#[tokio::test(start_paused = true)]
async fn sv12c_a_nested_supervisor_is_restarted_as_it_was_described() {
    let rig = Rig::default();
    let inner = prompt("inner")
        .budget(RestartBudget::new(0, SECOND))
        .child(rig.child("a"));
    let supervisor = prompt("root")
        .child_supervisor(inner)
        .start()
        .await
        .unwrap();
    settle().await;
    let old = supervisor.nested("inner").unwrap();
    old.add(rig.child("added")).await.unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["+a", "+added", "-a", "-added", "+a"]);
    assert!(matches!(old.ended().await, Ended::GaveUp(_)));
    let new = supervisor.nested("inner").unwrap();
    assert_eq!(new.snapshot().children.len(), 1);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv12b_a_nested_supervisor_that_does_not_start_is_a_failed_start() {
    let rig = Rig::default();
    rig.begins("a", &[crate::rig::Begin::Fail]);
    let inner = prompt("inner").child(
        rig.child("a")
            .readiness(backstop::supervise::child::Readiness::Explicit),
    );
    let error = prompt("root")
        .child(rig.child("z"))
        .child_supervisor(inner)
        .start()
        .await
        .unwrap_err();
    assert!(matches!(&error, StartError::Child { child, .. } if child.as_str() == "inner"));
    assert!(
        error.to_string().contains("child a did not start"),
        "{error}"
    );
    assert_eq!(rig.log(), ["+z", "!a", "-z"]);
}

#[tokio::test(start_paused = true)]
async fn sv12d_a_budget_of_ones_own_is_ones_own() {
    let rig = Rig::default();
    let spent = Arc::new(Mutex::new(Vec::new()));
    let told = spent.clone();
    let hook = SpentHook::new(move |spent| {
        told.lock().unwrap().push(spent.clone());
        panic!("a hook that panics");
    });
    let own = RestartBudget::new(1, 60 * SECOND);
    let supervisor = prompt("root")
        .budget(RestartBudget::new(0, SECOND))
        .child(
            rig.child("a")
                .budget(own)
                .when_spent(WhenSpent::Report(hook)),
        )
        .child(rig.child("b").budget(own))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    for _ in 0..2 {
        rig.tell("a", Order::Fail);
        settle().await;
    }
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "+a", "-a", "-b", "+b"]);
    let spent = std::mem::take(&mut *spent.lock().unwrap());
    assert_eq!(spent.len(), 1);
    assert_eq!((spent[0].child.as_str(), spent[0].incarnation), ("a", 2));
    assert_eq!(spent[0].budget, own);
    let tree = supervisor.snapshot();
    assert_eq!(tree.child("a").unwrap().state, ChildState::Spent);
    assert_eq!(tree.child("a").unwrap().restarts_in_window, Some(1));
    assert_eq!(tree.restarts_in_window, 0);
    rig.tell("b", Order::Fail);
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert_eq!(gave_up.child.as_str(), "b");
    let failed: Vec<_> = gave_up.failures.iter().map(|f| f.child.as_str()).collect();
    assert_eq!((failed, gave_up.budget), (vec!["b", "b"], own));
}

#[tokio::test(start_paused = true)]
async fn sv12e_one_that_never_gives_up_goes_on() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .budget(RestartBudget::new(1, SECOND))
        .never_give_up(true)
        .child(rig.child("a"))
        .start()
        .await
        .unwrap();
    settle().await;
    for _ in 0..100 {
        rig.tell("a", Order::Fail);
        settle().await;
    }
    assert_eq!(supervisor.snapshot().children[0].incarnation, 101);
    supervisor.stop().await;
}

/// Two significant transient children and a bystander.
async fn significant(rig: &Rig, auto_shutdown: AutoShutdown, strategy: Strategy) -> Supervisor {
    let child = |id| rig.child(id).restart(Restart::Transient).significant(true);
    let supervisor = prompt("root")
        .strategy(strategy)
        .auto_shutdown(auto_shutdown)
        .child(rig.child("z"))
        .child(child("a"))
        .child(child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    supervisor
}

#[tokio::test(start_paused = true)]
async fn sv13a_any_significant_child_that_ends_ends_the_supervisor() {
    let rig = Rig::default();
    let supervisor = significant(&rig, AutoShutdown::AnySignificant, Strategy::OneForOne).await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "+a"], "a failure is restarted");
    rig.tell("a", Order::Return);
    let ended = supervisor.ended().await;
    assert!(matches!(&ended, Ended::AutoShutdown(child) if child.as_str() == "a"));
    assert_eq!(rig.log(), ["-a", "-b", "-z"]);
    // To a supervisor above it is a normal end, and may be a significant one.
    let inner = prompt("inner")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(rig.child("t").restart(Restart::Temporary).significant(true));
    let inner = ChildSpec::supervisor(inner)
        .restart(Restart::Transient)
        .significant(true);
    let supervisor = prompt("root")
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(inner)
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("t", Order::Panic);
    let ended = supervisor.ended().await;
    assert!(matches!(&ended, Ended::AutoShutdown(child) if child.as_str() == "inner"));
}

#[tokio::test(start_paused = true)]
async fn sv13a_an_early_end_lets_the_first_start_come_to_its_end() {
    let rig = Rig::default();
    let job = ChildSpec::new("job", |_| async { Ok::<_, BoxError>(()) });
    let slow = ChildSpec::new("slow", |cx| async move {
        cx.clock()
            .sleep_until(cx.clock().now() + SECOND)
            .unwrap()
            .await;
        cx.ready();
        cx.cancelled().await;
        Ok::<_, BoxError>(())
    });
    let inner = prompt("inner")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(job.restart(Restart::Temporary).significant(true))
        .child(slow.readiness(backstop::supervise::child::Readiness::Explicit))
        .child(rig.child("z"));
    // It is no failed start of the one above either.
    let supervisor = prompt("root")
        .child(ChildSpec::supervisor(inner).restart(Restart::Transient))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+z", "-z"]);
    assert_eq!(supervisor.snapshot().children[0].state, ChildState::Stopped);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv13b_the_last_significant_child_ends_the_supervisor() {
    let rig = Rig::default();
    let supervisor = significant(&rig, AutoShutdown::AllSignificant, Strategy::OneForOne).await;
    rig.tell("a", Order::Return);
    settle().await;
    assert!(supervisor.ended().now_or_never().is_none());
    rig.tell("b", Order::Return);
    let ended = supervisor.ended().await;
    assert!(matches!(&ended, Ended::AutoShutdown(child) if child.as_str() == "b"));
    assert_eq!(rig.log(), ["-a", "-b", "-z"]);
}

#[tokio::test(start_paused = true)]
async fn sv13c_what_cannot_be_significant_is_refused() {
    let rig = Rig::default();
    let permanent = prompt("root")
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(rig.child("a").significant(true));
    assert_eq!(
        permanent.start().await.unwrap_err().to_string(),
        "significant: true is not allowed; it must be false for a permanent child"
    );
    let child = rig.child("a").restart(Restart::Temporary).significant(true);
    let never = prompt("root").child(child.clone());
    assert!(matches!(never.start().await, Err(StartError::Config(_))));
    let supervisor = prompt("root").start().await.unwrap();
    assert!(supervisor.add(child).await.is_err());
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv13d_an_end_by_others_does_not_count() {
    let rig = Rig::default();
    let supervisor = significant(&rig, AutoShutdown::AnySignificant, Strategy::OneForAll).await;
    supervisor.terminate("a").await.unwrap();
    rig.tell("z", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-z", "-b", "+z", "+a", "+b"]);
    assert!(supervisor.ended().now_or_never().is_none());
    supervisor.stop().await;
}
