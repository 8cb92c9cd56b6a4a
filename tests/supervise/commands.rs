//! SV8, SV15: commands in every state.

use crate::rig::{Begin, Order, Rig, SECOND, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{BoxError, ChildSpec, Readiness, Restart, Stop};
use backstop::supervise::supervisor::{
    ChildState, CommandError, Ended, Strategy, Supervisor, SupervisorBuilder, Terminated,
};
use futures::FutureExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

fn patient(name: &'static str) -> SupervisorBuilder {
    Supervisor::builder(name)
        .backoff(RestartBackoff::exponential(10 * SECOND, 1.0, 10 * SECOND).jitter(0.0))
        .budget(RestartBudget::new(2, 60 * SECOND))
}

/// What a command answers without any time passing.
async fn at_once<T>(command: impl Future<Output = T>) -> T {
    let start = crate::rig::Since::now();
    let answer = command.await;
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    answer
}

fn said<T>(answer: Result<T, CommandError>) -> &'static str {
    match answer.map(drop) {
        Ok(()) => "ok",
        Err(CommandError::Running) => "running",
        Err(CommandError::Restarting) => "restarting",
        Err(CommandError::Stopping) => "stopping",
        Err(CommandError::Orphaned) => "orphaned",
        Err(CommandError::Duplicate) => "duplicate",
        Err(_) => "another",
    }
}

/// The answers to add, restart and delete.
async fn answers(supervisor: &Supervisor, rig: &Rig, id: &'static str) -> [&'static str; 3] {
    [
        said(at_once(supervisor.add(rig.child(id))).await),
        said(at_once(supervisor.restart(id)).await),
        said(at_once(supervisor.delete(id)).await),
    ]
}

#[tokio::test(start_paused = true)]
async fn sv8a_sv8b_in_back_off_and_slow_starts_commands_are_answered_at_once() {
    let rig = Rig::default();
    let supervisor = patient("root")
        .child(rig.child("a").readiness(Readiness::Explicit))
        .child(rig.child("other"))
        .start()
        .await
        .unwrap();
    rig.begins("a", &[Begin::Hang]);
    assert_eq!(
        answers(&supervisor, &rig, "a").await,
        ["duplicate", "running", "running"]
    );
    rig.tell("a", Order::Fail);
    settle().await;
    let tree = supervisor.snapshot();
    assert_eq!(tree.child("a").unwrap().state, ChildState::Backoff);
    assert_eq!(tree.child("a").unwrap().restarts_in, Some(10 * SECOND));
    assert_eq!(
        answers(&supervisor, &rig, "a").await,
        ["duplicate", "restarting", "restarting"]
    );
    at_once(supervisor.add(rig.child("b"))).await.unwrap();
    at_once(supervisor.terminate("b")).await.unwrap();
    at_once(supervisor.restart("b")).await.unwrap();
    tokio::time::advance(10 * SECOND).await;
    settle().await;
    assert_eq!(
        supervisor.snapshot().child("a").unwrap().state,
        ChildState::Starting
    );
    assert_eq!(
        answers(&supervisor, &rig, "a").await,
        ["duplicate", "restarting", "restarting"]
    );
    at_once(supervisor.terminate("b")).await.unwrap();
    at_once(supervisor.delete("b")).await.unwrap();
    assert!(matches!(
        at_once(supervisor.terminate("a")).await,
        Ok(Terminated::Stopped(_))
    ));
    assert_eq!(
        answers(&supervisor, &rig, "a").await,
        ["duplicate", "ok", "running"]
    );
    assert!(matches!(at_once(supervisor.stop()).await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv8b_while_a_child_is_being_stopped() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    let mut first = Box::pin(supervisor.terminate("a"));
    assert!((&mut first).now_or_never().is_none());
    settle().await;
    assert_eq!(
        answers(&supervisor, &rig, "a").await,
        ["duplicate", "stopping", "stopping"]
    );
    // A second one waits for the same end.
    let second = supervisor.terminate("a").await;
    assert!(matches!(second, Ok(Terminated::Stopped(Some(_)))));
    assert!(first.await.is_ok());
    assert!(matches!(
        at_once(supervisor.terminate("a")).await,
        Ok(Terminated::Stopped(Some(_)))
    ));
    assert!(matches!(
        supervisor.terminate("nobody").await,
        Err(CommandError::NotFound)
    ));
    supervisor.stop().await;
}

/// A child with a closure on a blocking thread, which ends when told to.
fn blocks(id: &'static str) -> (ChildSpec, std::sync::mpsc::Sender<()>) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let spec = ChildSpec::new(id, move |cx| {
        let wait = wait.clone();
        let has_begun = Arc::new(AtomicBool::new(false));
        let begins = has_begun.clone();
        if cx.incarnation() == 1 {
            cx.spawn_blocking(move || {
                begins.store(true, Ordering::Relaxed);
                let _ = wait.lock().unwrap().recv();
            });
        }
        async move {
            if cx.incarnation() == 1 {
                while !has_begun.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
                return Err(BoxError::from("once"));
            }
            cx.cancelled().await;
            Ok(())
        }
    });
    (spec.stop(Stop::AtOnce), go)
}

fn real(name: &'static str) -> SupervisorBuilder {
    prompt(name).clock(Clock::system())
}

async fn until(supervisor: &Supervisor, id: &str, state: ChildState) {
    while supervisor.snapshot().child(id).unwrap().state != state {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sv8b_sv10d_nothing_starts_beside_an_orphan() {
    let rig = Rig::default();
    let (spec, go) = blocks("a");
    let supervisor = real("root").child(spec).start().await.unwrap();
    until(&supervisor, "a", ChildState::Orphaned).await;
    let said = [
        said(supervisor.add(rig.child("a")).await),
        said(supervisor.restart("a").await),
        said(supervisor.delete("a").await),
    ];
    assert_eq!(said, ["duplicate", "orphaned", "orphaned"]);
    assert_eq!(supervisor.snapshot().child("a").unwrap().incarnation, 1);
    go.send(()).unwrap();
    until(&supervisor, "a", ChildState::Running).await;
    assert_eq!(supervisor.snapshot().child("a").unwrap().incarnation, 2);
    supervisor.stop().await;
}

#[tokio::test]
async fn sv10d_an_operators_stop_calls_off_the_restart_behind_an_orphan() {
    let (spec, go) = blocks("a");
    let supervisor = real("root").child(spec).start().await.unwrap();
    until(&supervisor, "a", ChildState::Orphaned).await;
    assert!(matches!(
        supervisor.terminate("a").await,
        Ok(Terminated::Orphaned)
    ));
    go.send(()).unwrap();
    until(&supervisor, "a", ChildState::Stopped).await;
    supervisor.restart("a").await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn sv10d_with_overlap_the_next_one_starts_beside_it() {
    let (spec, go) = blocks("a");
    let supervisor = real("root")
        .child(spec.overlap(true))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe(crate::rig::many());
    until(&supervisor, "a", ChildState::Running).await;
    while supervisor.snapshot().child("a").unwrap().incarnation == 1 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    loop {
        let event = events.recv().await.unwrap();
        if event.kind.as_str() == "orphan_ended" {
            break;
        }
    }
    until(&supervisor, "a", ChildState::Running).await;
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv8c_a_stop_during_back_off_wins_and_leaves_nothing() {
    let rig = Rig::default();
    let supervisor = patient("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["+a", "-a"]);
    assert!(at_once(supervisor.terminate("a")).await.is_ok());
    assert_eq!(supervisor.snapshot().restarts_in_window, 1);
    tokio::time::advance(60 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), [""; 0]);
    supervisor.restart("a").await.unwrap();
    rig.tell("a", Order::Fail);
    settle().await;
    assert!(matches!(at_once(supervisor.stop()).await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv8c_a_stop_during_the_back_off_of_a_group_wins() {
    let rig = Rig::default();
    let supervisor = patient("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert!(matches!(at_once(supervisor.stop()).await, Ended::Stopped));
    tokio::time::advance(60 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+a", "+b", "-a", "-b"]);
}

#[tokio::test(start_paused = true)]
async fn sv8d_what_is_added_to_a_group_that_is_restarted_starts_in_its_turn() {
    let rig = Rig::default();
    rig.deafen("b");
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    let mut adding = Box::pin(supervisor.add(rig.child("c")));
    assert!((&mut adding).now_or_never().is_none());
    rig.begins("d", &[Begin::Fail]);
    let mut failing = Box::pin(supervisor.add(rig.child("d").readiness(Readiness::Explicit)));
    assert!((&mut failing).now_or_never().is_none());
    let mut called_off = Box::pin(supervisor.add(rig.child("e")));
    assert!((&mut called_off).now_or_never().is_none());
    settle().await;
    assert!(supervisor.terminate("e").await.is_ok());
    assert!(matches!(called_off.await, Err(CommandError::Stopped)));
    assert_eq!(rig.log(), ["+a", "+b", "-a"]);
    adding.await.unwrap();
    assert!(matches!(failing.await, Err(CommandError::NotStarted(_))));
    settle().await;
    assert_eq!(rig.log(), ["-b", "+a", "+b", "+c", "!d"]);
    let tree = supervisor.snapshot();
    assert_eq!(tree.children.len(), 3);
    assert_eq!(tree.restarts_in_window, 1);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv15a_a_terminate_is_no_failure_and_a_restart_by_hand_brings_it_back() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .budget(RestartBudget::new(0, SECOND))
        .child(rig.child("a"))
        .start()
        .await
        .unwrap();
    settle().await;
    for _ in 0..3 {
        supervisor.terminate("a").await.unwrap();
        tokio::time::advance(SECOND).await;
        settle().await;
        assert_eq!(
            supervisor.snapshot().child("a").unwrap().state,
            ChildState::Stopped
        );
        supervisor.restart("a").await.unwrap();
    }
    assert_eq!(supervisor.snapshot().restarts_in_window, 0);
    // A restart by hand that fails is no failure of the tree either.
    supervisor.terminate("a").await.unwrap();
    supervisor.delete("a").await.unwrap();
    rig.begins("b", &[Begin::Ready, Begin::Fail]);
    supervisor
        .add(rig.child("b").readiness(Readiness::Explicit))
        .await
        .unwrap();
    supervisor.terminate("b").await.unwrap();
    assert!(matches!(
        supervisor.restart("b").await,
        Err(CommandError::NotStarted(_))
    ));
    assert_eq!(
        supervisor.snapshot().child("b").unwrap().state,
        ChildState::Stopped
    );
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv15b_a_listed_id_is_refused() {
    let rig = Rig::default();
    let error = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("a"))
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "two children have the id a");
    let supervisor = prompt("root")
        .child(rig.child("a").restart(Restart::Transient))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("a", Order::Return);
    settle().await;
    assert!(matches!(
        supervisor.add(rig.child("a")).await,
        Err(CommandError::Duplicate)
    ));
    supervisor.delete("a").await.unwrap();
    supervisor.add(rig.child("a")).await.unwrap();
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv15c_a_commands_future_can_be_dropped_at_any_poll() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    for polls in 0..3 {
        let mut adding = Box::pin(supervisor.add(rig.child("b")));
        let mut stopping = Box::pin(supervisor.terminate("a"));
        let mut restarting = Box::pin(supervisor.restart("b"));
        let mut deleting = Box::pin(supervisor.delete("b"));
        let mut ended = Box::pin(supervisor.ended());
        for _ in 0..polls {
            let _ = (&mut adding).now_or_never();
            let _ = (&mut stopping).now_or_never();
            let _ = (&mut restarting).now_or_never();
            let _ = (&mut deleting).now_or_never();
            assert!((&mut ended).now_or_never().is_none());
        }
        drop((adding, stopping, restarting, deleting, ended));
        settle().await;
        let listed = supervisor.snapshot().child("b").is_some();
        assert_eq!(listed, polls > 0);
        if listed {
            let _ = supervisor.terminate("b").await;
            let _ = supervisor.delete("b").await;
        }
    }
    // The stop that was given is done all the same.
    tokio::time::advance(5 * SECOND).await;
    settle().await;
    assert_eq!(
        supervisor.snapshot().child("a").unwrap().state,
        ChildState::Stopped
    );
    drop(Box::pin(supervisor.stop()));
    settle().await;
    assert!(supervisor.ended().now_or_never().is_none());
    let _ = supervisor.stop().now_or_never();
    assert!(matches!(supervisor.ended().await, Ended::Stopped));
}
