//! A child and the supervisor that runs it; and callers that flood it.

use crate::rig::{Rig, SECOND, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::child::{ChildContext, ChildSpec, Restart, Stop};
use backstop::supervise::supervisor::{
    ChildState, CommandError, DynamicSupervisor, Ended, Supervisor,
};
use futures::FutureExt;
use futures::future::join_all;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

type Said = Arc<Mutex<Vec<String>>>;

/// A child that asks its supervisor something once, and then waits for its stop.
fn asks<F, Fut>(id: &'static str, ask: F) -> ChildSpec
where
    F: Fn(ChildContext, Supervisor) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    ChildSpec::new(id, move |cx: ChildContext| {
        let ask = ask.clone();
        async move {
            let supervisor = cx.supervisor().expect("it runs");
            ask(cx.clone(), supervisor).await;
            cx.cancelled().await;
            Ok::<_, Infallible>(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn sv1f_a_child_adds_siblings_also_dynamic_ones_and_sees_the_tree() {
    let rig = Rig::default();
    let sibling = rig.clone();
    let pool = DynamicSupervisor::builder("pool", move |()| rig.child("member"));
    let peers = pool.clone();
    let worker = asks("worker", move |_, supervisor| {
        let (rig, peers) = (sibling.clone(), peers.clone());
        async move {
            supervisor.add(rig.child("sibling")).await.unwrap();
            let peers = peers.under(&supervisor).expect("it is beside it");
            peers.start_child(()).await.unwrap();
            assert!(supervisor.snapshot().child("sibling").is_some());
        }
    });
    let root = prompt("root").child(pool.child()).child(worker);
    let root = root.start().await.unwrap();
    settle().await;
    let seen = root.snapshot();
    assert_eq!(seen.child("sibling").unwrap().state, ChildState::Running);
    let pool = seen.child("pool").unwrap().tree.as_ref().unwrap();
    assert_eq!(pool.child("member-1").unwrap().state, ChildState::Running);
    assert!(matches!(root.stop().await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv1f_the_one_that_runs_it_is_the_nearest_and_there_is_none_after_its_end() {
    let said = Said::default();
    let (writes, contexts) = (said.clone(), Arc::new(Mutex::new(None)));
    let keeps = contexts.clone();
    let worker = asks("worker", move |cx, supervisor| {
        writes.lock().unwrap().push(supervisor.name().to_string());
        // It holds a handle of it and its context for ever, and the tree ends all the same.
        *keeps.lock().unwrap() = Some((cx, supervisor));
        async {}
    });
    let inner = prompt("inner").child(worker);
    let root = prompt("root")
        .child_supervisor(inner)
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(*said.lock().unwrap(), ["inner"]);
    assert!(matches!(root.stop().await, Ended::Stopped));
    let (cx, supervisor) = contexts.lock().unwrap().take().unwrap();
    assert!(cx.supervisor().is_none());
    let over = supervisor.delete("worker").await;
    assert!(matches!(over, Err(CommandError::Over)), "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn sv1g_a_child_that_terminates_itself_or_two_that_do_each_other_wait_for_nobody() {
    let said = Said::default();
    let ends = |id: &'static str, whom: &'static str| {
        let said = said.clone();
        asks(id, move |_, supervisor| {
            let said = said.clone();
            async move {
                tokio::task::yield_now().await;
                let answer = supervisor.terminate(whom).await;
                let answer = answer.map(|_| ()).unwrap_err();
                said.lock().unwrap().push(format!("{id}: {answer}"));
            }
        })
        // Nobody would abort it.
        .stop(Stop::Unlimited)
    };
    let root = prompt("root")
        .child(ends("self", "self"))
        .child(ends("left", "right"))
        .child(ends("right", "left"));
    let root = root.start().await.unwrap();
    settle().await;
    let seen = root.snapshot();
    let stopped = seen.children.iter();
    assert!(
        stopped
            .map(|child| child.state)
            .all(|state| state == ChildState::Stopped),
        "{seen}"
    );
    let mut said = said.lock().unwrap().clone();
    said.sort();
    let what = "the child that asked is to stop itself and does not wait";
    let expected = ["left", "right", "self"].map(|id| format!("{id}: {what}"));
    assert_eq!(said, expected);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv1g_a_child_ends_its_tree_without_waiting_for_it() {
    let worker = asks("worker", |_, supervisor| async move {
        supervisor.begin_stop();
    })
    .stop(Stop::Unlimited);
    let root = prompt("root").child(worker).start().await.unwrap();
    assert!(matches!(root.ended().await, Ended::Stopped));
}

/// Does nothing, and is forgotten when it has ended.
fn brief(started: &Arc<AtomicUsize>, id: String) -> ChildSpec {
    let started = started.clone();
    ChildSpec::new(id, move |cx: ChildContext| {
        started.fetch_add(1, Ordering::Relaxed);
        async move {
            cx.cancelled().await;
            Ok::<_, Infallible>(())
        }
    })
    .restart(Restart::Temporary)
}

#[tokio::test(start_paused = true)]
async fn sv8e_who_floods_it_waits_and_an_operator_does_not() {
    let started = Arc::new(AtomicUsize::new(0));
    let root = prompt("root").child(brief(&started, "old".into()));
    let root = root.clock(Clock::tokio()).start().await.unwrap();
    let adds = (0..5_000).map(|n| Box::pin(root.add(brief(&started, n.to_string()))));
    let mut adds: Vec<_> = adds.collect();
    for add in &mut adds {
        assert!(add.as_mut().now_or_never().is_none());
    }
    // One that waits for room was not given; the others were.
    drop(adds.pop());
    // The operator's comes before those that wait, although they were there first.
    let terminated = root.terminate("old").await;
    assert!(terminated.is_ok(), "{terminated:?}");
    let before = started.load(Ordering::Relaxed);
    assert!(before <= 1 + 1_024, "{before}");
    let all = join_all(adds).await;
    assert!(all.into_iter().all(|added| added.is_ok()));
    settle().await;
    assert_eq!(started.load(Ordering::Relaxed), 1 + 4_999);
    assert_eq!(root.snapshot().children.len(), 4_999);
    assert!(matches!(root.stop().await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv8e_at_most_so_many_are_on_their_way_and_a_stop_waits_for_none() {
    let rig = Rig::default();
    let root = prompt("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    let begun = crate::rig::Since::now();
    let mut commands: Vec<_> = (0..1_024).map(|_| Box::pin(root.delete("a"))).collect();
    for command in &mut commands {
        assert!(command.as_mut().now_or_never().is_none());
    }
    // What was given is done although nobody waits for it; what found no room is not.
    let mut late = Box::pin(root.terminate("a"));
    assert!(late.as_mut().now_or_never().is_none());
    drop((commands, late));
    settle().await;
    let state = root.snapshot().child("a").unwrap().state;
    assert_eq!(state, ChildState::Running);
    // The room is there again.
    assert!(matches!(root.delete("a").await, Err(CommandError::Running)));
    let mut waiting: Vec<_> = (0..3_000).map(|_| Box::pin(root.delete("a"))).collect();
    for command in &mut waiting {
        assert!(command.as_mut().now_or_never().is_none());
    }
    assert!(matches!(root.stop().await, Ended::Stopped));
    for answer in join_all(waiting).await {
        let answer = answer.unwrap_err();
        assert!(
            matches!(answer, CommandError::Running | CommandError::Over),
            "{answer:?}"
        );
    }
    assert!(begun.elapsed() < SECOND);
}
