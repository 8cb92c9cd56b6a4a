//! SV1, SV10: what a child is, how it ends, and what belongs to it.

use crate::rig::{Order, Rig, SECOND, kinds, many, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::child::{BoxError, ChildExit, ChildSpec, Restart, Stop};
use backstop::supervise::supervisor::{ChildState, Ended, Supervisor, Terminated};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn sv1a_each_start_has_a_context_of_its_own() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let writes = seen.clone();
    let spec = ChildSpec::new("a", move |cx| {
        writes.lock().unwrap().push(cx.clone());
        async move {
            match cx.incarnation() {
                3 => cx.cancelled().await,
                _ => return Err("again"),
            }
            Ok(())
        }
    });
    let supervisor = prompt("root").child(spec).start().await.unwrap();
    settle().await;
    let contexts = seen.lock().unwrap().clone();
    let known: Vec<_> = contexts
        .iter()
        .map(|cx| (cx.id().as_str(), cx.incarnation()))
        .collect();
    assert_eq!(known, [("a", 1), ("a", 2), ("a", 3)]);
    supervisor.stop().await;
    assert!(contexts[2].is_stopping() && !contexts[0].is_stopping());
}

/// What a child that does this once is said to have done.
async fn exit_of(spec: ChildSpec) -> ChildExit {
    let supervisor = prompt("root")
        .child(spec.restart(Restart::Transient))
        .budget(RestartBudget::new(0, SECOND))
        .start()
        .await
        .unwrap();
    settle().await;
    let exit = supervisor.snapshot().children[0].last_exit.clone();
    supervisor.stop().await;
    exit.expect("it has ended")
}

#[tokio::test(start_paused = true)]
async fn sv1b_exits_are_told_apart() {
    let ok = ChildSpec::new("a", |_| async { Ok::<_, BoxError>(()) });
    assert!(matches!(exit_of(ok).await, ChildExit::Normal));
    let error = ChildSpec::new("a", |_| async { Err("no") });
    assert!(matches!(exit_of(error).await, ChildExit::Error(error) if error.to_string() == "no"));
    let panics = ChildSpec::new("a", |cx| async move {
        assert!(cx.incarnation() > 9, "number {}", cx.incarnation());
        Ok::<_, BoxError>(())
    });
    assert!(matches!(exit_of(panics).await, ChildExit::Panic(text) if &*text == "number 1"));
    let rig = Rig::default();
    rig.deafen("deaf");
    let supervisor = prompt("root")
        .child(rig.child("good"))
        .child(rig.child("deaf"))
        .start()
        .await
        .unwrap();
    settle().await;
    for (id, expected) in [("good", ("shutdown", false)), ("deaf", ("killed", true))] {
        let Ok(Terminated::Stopped(Some(exit))) = supervisor.terminate(id).await else {
            panic!("{id} is stopped");
        };
        assert_eq!((exit.as_str(), exit.is_failure()), expected);
    }
    supervisor.stop().await;
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in drop");
    }
}

struct PanicsInConversion;

impl From<PanicsInConversion> for BoxError {
    fn from(_: PanicsInConversion) -> Self {
        panic!("in conversion")
    }
}

#[tokio::test(start_paused = true)]
async fn sv1c_a_panic_anywhere_in_a_child_is_its_exit_and_nobody_elses() {
    let rig = Rig::default();
    let in_drop = ChildSpec::new("in_drop", |_| async {
        let _held = PanicsInDrop;
        std::future::pending::<Result<(), BoxError>>().await
    });
    let in_conversion = ChildSpec::new("in_conversion", |cx| async move {
        if cx.incarnation() == 1 {
            return Err(PanicsInConversion);
        }
        cx.cancelled().await;
        Ok(())
    });
    let in_factory = ChildSpec::new("in_factory", |cx| {
        assert_eq!(cx.incarnation(), 2, "in factory");
        async move {
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    let supervisor = prompt("root")
        .child(rig.child("sibling"))
        .child(in_drop.stop(Stop::AtOnce))
        .child(in_conversion)
        .start()
        .await
        .unwrap();
    assert!(supervisor.add(in_factory.clone()).await.is_err());
    settle().await;
    let exit = supervisor.terminate("in_drop").await;
    assert!(
        matches!(&exit, Ok(Terminated::Stopped(Some(ChildExit::Panic(text)))) if &**text == "in drop"),
        "{exit:?}"
    );
    let tree = supervisor.snapshot();
    let child = tree.child("in_conversion").unwrap();
    assert_eq!((child.state, child.incarnation), (ChildState::Running, 2));
    assert!(matches!(&child.last_exit, Some(ChildExit::Panic(text)) if &**text == "in conversion"));
    assert_eq!(tree.child("sibling").unwrap().incarnation, 1);
    assert_eq!(rig.log(), ["+sibling"]);
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv1d_a_token_that_is_asked_for_late_is_cancelled() {
    let late = Arc::new(AtomicBool::new(false));
    let saw = late.clone();
    let spec = ChildSpec::new("a", move |cx| {
        let saw = saw.clone();
        async move {
            while !cx.is_stopping() {
                tokio::task::yield_now().await;
            }
            saw.store(cx.token().is_cancelled(), Ordering::Relaxed);
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    let supervisor = prompt("root").child(spec).start().await.unwrap();
    let exit = supervisor.terminate("a").await;
    assert!(matches!(
        exit,
        Ok(Terminated::Stopped(Some(ChildExit::Shutdown)))
    ));
    assert!(late.load(Ordering::Relaxed));
    supervisor.stop().await;
}

#[test]
fn sv1e_a_blocking_child_runs_beside_the_workers_and_is_aborted_at_an_await() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let blocks = ChildSpec::new("blocks", move |_cx| {
        let wait = wait.clone();
        async move {
            // The only worker is needed to send this.
            wait.lock().unwrap().recv().unwrap();
            std::future::pending::<Result<(), BoxError>>().await
        }
    });
    runtime.block_on(async {
        let supervisor = Supervisor::builder("root")
            .clock(Clock::system())
            .child(blocks.blocking(true).stop(Stop::AtOnce))
            .start()
            .await
            .unwrap();
        go.send(()).unwrap();
        let exit = supervisor.terminate("blocks").await;
        assert!(
            matches!(exit, Ok(Terminated::Stopped(Some(ChildExit::Killed)))),
            "{exit:?}"
        );
        supervisor.restart("blocks").await.unwrap();
        go.send(()).unwrap();
    });
    // It runs, and the runtime goes down all the same.
    drop(runtime);
}

/// A child whose work outlives its future by `more` after it was told to stop.
fn with_work(rig: &Rig, more: Duration) -> ChildSpec {
    let rig = rig.clone();
    ChildSpec::new("a", move |cx| {
        let rig = rig.clone();
        async move {
            let work = (rig.clone(), cx.clone());
            cx.spawn(async move {
                let (rig, cx) = work;
                rig.write("work begins");
                cx.cancelled().await;
                rig.write("work is told");
                let _ends = OnDrop(rig.clone(), "work is gone");
                cx.clock()
                    .sleep_until(cx.clock().now() + more)
                    .unwrap()
                    .await;
                rig.write("work ends");
            });
            if cx.incarnation() == 1 {
                tokio::task::yield_now().await;
                rig.write("future ends");
                return Err("enough");
            }
            cx.cancelled().await;
            Ok(())
        }
    })
}

struct OnDrop(Rig, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.write(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn sv10a_an_incarnation_has_ended_when_its_work_has() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .child(with_work(&rig, SECOND))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe(many());
    settle().await;
    assert_eq!(rig.log(), ["work begins", "future ends", "work is told"]);
    assert_eq!(kinds(&mut events), ["exited a", "restarting a"]);
    assert_eq!(
        supervisor.snapshot().children[0].state,
        ChildState::Stopping
    );
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["work ends", "work is gone", "work begins"]);
    assert_eq!(kinds(&mut events), ["started a"]);
    supervisor.stop().await;
    assert_eq!(rig.log(), ["work is told", "work ends", "work is gone"]);
    // What does not end in time is aborted.
    let supervisor = prompt("root")
        .child(with_work(&rig, 10 * SECOND))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    let start = crate::rig::Since::now();
    while supervisor.snapshot().children[0].incarnation == 1 {
        tokio::time::advance(SECOND).await;
        settle().await;
    }
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(rig.log(), ["work is gone", "work begins"]);
    supervisor.stop().await;
}

#[test]
fn sv10b_blocking_work_counts_while_it_runs_and_never_begins_after_the_abort() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let begun = Arc::new(AtomicU64::new(0));
    let counts = begun.clone();
    let spec = ChildSpec::new("a", move |cx| {
        for _ in 0..2 {
            // There is one thread for them, so the second one waits.
            let (wait, counts) = (wait.clone(), counts.clone());
            cx.spawn_blocking(move || {
                counts.fetch_add(1, Ordering::SeqCst);
                let _ = wait.lock().unwrap().recv();
            });
        }
        async move {
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    runtime.block_on(async {
        let supervisor = Supervisor::builder("root")
            .clock(Clock::system())
            .child(spec.stop(Stop::AtOnce))
            .start()
            .await
            .unwrap();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            supervisor.terminate("a").await,
            Ok(Terminated::Orphaned)
        ));
        let mut events = supervisor.subscribe(many());
        go.send(()).unwrap();
        assert_eq!(events.recv().await.unwrap().kind.as_str(), "orphan_ended");
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        assert_eq!(supervisor.snapshot().children[0].state, ChildState::Stopped);
        supervisor.stop().await;
    });
}

#[tokio::test(start_paused = true)]
async fn sv10c_nothing_can_be_added_to_what_has_ended() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let spec = ChildSpec::new("a", move |cx| {
        *keeps.lock().unwrap() = Some(cx.clone());
        async move {
            cx.spawn(std::future::pending::<()>());
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    let supervisor = prompt("root").child(spec).start().await.unwrap();
    settle().await;
    let cx = kept.lock().unwrap().clone().unwrap();
    let stopping = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.terminate("a").await }
    });
    settle().await;
    // Told to stop, it may still clean up with more work.
    assert!(cx.spawn(async { 7 }).await.is_ok());
    stopping.await.unwrap().unwrap();
    assert!(cx.spawn(async { 7 }).await.unwrap_err().is_cancelled());
    assert!(cx.spawn_blocking(|| 7).await.unwrap_err().is_cancelled());
    supervisor.stop().await;
}

struct Adds(backstop::supervise::child::ChildContext);

impl Drop for Adds {
    fn drop(&mut self) {
        self.0.spawn(std::future::pending::<()>());
    }
}

#[tokio::test(start_paused = true)]
async fn sv10c_what_is_added_to_an_aborted_child_is_aborted() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    let spec = ChildSpec::new("a", move |cx| {
        *keeps.lock().unwrap() = Some(cx.clone());
        let guard = cx.clone();
        async move {
            // Runs when the future is dropped by the abort: the last chance to add something.
            let _adds = Adds(guard);
            std::future::pending::<Result<(), BoxError>>().await
        }
    });
    let supervisor = prompt("root")
        .child(spec.stop(Stop::AtOnce))
        .start()
        .await
        .unwrap();
    settle().await;
    let exit = supervisor.terminate("a").await;
    assert!(
        matches!(exit, Ok(Terminated::Stopped(Some(ChildExit::Killed)))),
        "{exit:?}"
    );
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_while_it_is_being_stopped_is_stopped() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    let stopping = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.terminate("a").await }
    });
    settle().await;
    rig.tell("a", Order::Fail);
    let exit = stopping.await.unwrap();
    assert!(matches!(
        exit,
        Ok(Terminated::Stopped(Some(ChildExit::Error(_))))
    ));
    settle().await;
    let tree = supervisor.snapshot();
    assert_eq!(tree.children[0].state, ChildState::Stopped);
    assert_eq!(tree.restarts_in_window, 0);
    supervisor.stop().await;
}
