//! What one would try in order to break it.

use crate::rig::{Order, Rig, SECOND, many, prompt, settle};
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::child::{BoxError, ChildExit, ChildSpec, Restart, Stop};
use backstop::supervise::supervisor::{
    ChildState, CommandError, Ended, Strategy, Supervisor, Terminated,
};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Context;

async fn known(handle: &OnceLock<Supervisor>) -> &Supervisor {
    loop {
        match handle.get() {
            Some(handle) => return handle,
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_may_command_its_own_supervisor() {
    let handle: Arc<OnceLock<Supervisor>> = Arc::default();
    let inside = handle.clone();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let writes = answers.clone();
    let spec = ChildSpec::new("self", move |_| {
        let (handle, writes) = (inside.clone(), writes.clone());
        // The factory looks at the tree it is started in.
        if let Some(handle) = handle.get() {
            let seen = handle.snapshot().children.len();
            writes.lock().unwrap().push(format!("{seen}"));
        }
        async move {
            let handle = known(&handle).await;
            let again = handle.restart("self").await;
            writes.lock().unwrap().push(format!("{again:?}"));
            // It waits for its own end, and is aborted when its time is over.
            let _ = handle.terminate("self").await;
            Err::<(), _>("it has ended before")
        }
    });
    let supervisor = prompt("root")
        .child(spec.stop(Stop::After(SECOND)))
        .start()
        .await
        .unwrap();
    handle.set(supervisor.clone()).unwrap();
    settle().await;
    tokio::time::advance(SECOND).await;
    settle().await;
    let tree = supervisor.snapshot();
    assert_eq!(tree.children[0].state, ChildState::Stopped);
    assert!(matches!(
        tree.children[0].last_exit,
        Some(ChildExit::Killed)
    ));
    let restarting = supervisor.restart("self").await;
    assert!(restarting.is_ok());
    settle().await;
    assert_eq!(
        *answers.lock().unwrap(),
        ["Err(Running)", "1", "Err(Running)"]
    );
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_may_stop_the_whole_tree_and_wait_for_it() {
    let handle: Arc<OnceLock<Supervisor>> = Arc::default();
    let inside = handle.clone();
    let rig = Rig::default();
    let spec = ChildSpec::new("self", move |cx| {
        let handle = inside.clone();
        async move {
            tokio::select! {
                _ = known(&handle).await.stop() => unreachable!("it waits for this child"),
                () = cx.cancelled() => {}
            }
            Err::<(), _>("told to stop")
        }
    });
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(spec)
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    handle.set(supervisor.clone()).unwrap();
    assert!(matches!(supervisor.ended().await, Ended::Stopped));
}

/// An error whose drop asks the supervisor, which a lock held there would not survive.
#[derive(Debug)]
struct Reenters(Supervisor);

impl std::fmt::Display for Reenters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reenters")
    }
}

impl std::error::Error for Reenters {}

impl Drop for Reenters {
    fn drop(&mut self) {
        self.0.snapshot();
        self.0.nested("a");
        panic!("in the drop of an error");
    }
}

#[tokio::test(start_paused = true)]
async fn users_values_are_dropped_and_woken_outside_the_lock() {
    struct Looks(Supervisor, AtomicU64, bool);
    impl ArcWake for Looks {
        fn wake_by_ref(this: &Arc<Self>) {
            this.1.fetch_add(1, Ordering::Relaxed);
            this.0.snapshot();
            assert!(!this.2, "in a waker");
        }
    }
    let handle: Arc<OnceLock<Supervisor>> = Arc::default();
    let inside = handle.clone();
    let fails = ChildSpec::new("fails", move |_| {
        let handle = inside.clone();
        async move {
            match handle.get() {
                Some(handle) => Err(BoxError::from(Reenters(handle.clone()))),
                None => Err("not yet".into()),
            }
        }
    });
    let rig = Rig::default();
    let supervisor = prompt("root")
        .budget(RestartBudget::new(40, SECOND))
        .child(rig.child("a"))
        .child(fails)
        .start()
        .await
        .unwrap();
    handle.set(supervisor.clone()).unwrap();
    let looks = [true, true, false]
        .map(|panics| Arc::new(Looks(supervisor.clone(), AtomicU64::new(0), panics)));
    let looking = looks.clone().map(waker);
    // Of a subscriber, of a command, and of one who waits for the end.
    let mut events = supervisor.subscribe(many());
    let mut hears = Box::pin(events.recv());
    let mut ends = Box::pin(supervisor.ended());
    let mut stops = Box::pin(supervisor.terminate("a"));
    assert!(
        hears
            .poll_unpin(&mut Context::from_waker(&looking[0]))
            .is_pending()
    );
    assert!(
        ends.poll_unpin(&mut Context::from_waker(&looking[2]))
            .is_pending()
    );
    assert!(
        stops
            .poll_unpin(&mut Context::from_waker(&looking[1]))
            .is_pending()
    );
    assert!(matches!(supervisor.ended().await, Ended::GaveUp(_)));
    settle().await;
    for looks in &looks {
        assert_eq!(looks.1.load(Ordering::Relaxed), 1);
    }
    assert_eq!(rig.log(), ["+a", "-a"]);
    // What the last one holds is dropped with the handles, where a panic is the test's own.
    drop((hears, ends, stops));
    std::mem::forget((supervisor, looks, handle));
}

#[tokio::test(start_paused = true)]
async fn commands_while_it_gives_up() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root")
        .budget(RestartBudget::new(0, SECOND))
        .child(rig.child("a"))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    let mut stopping = Box::pin(supervisor.terminate("a"));
    assert!((&mut stopping).now_or_never().is_none());
    rig.tell("b", Order::Fail);
    settle().await;
    let over = |answer: Result<(), CommandError>| matches!(answer, Err(CommandError::Over));
    assert!(over(supervisor.add(rig.child("c")).await));
    assert!(over(supervisor.restart("b").await));
    assert!(over(supervisor.delete("b").await));
    assert!(over(supervisor.terminate("a").await.map(drop)));
    assert!(matches!(stopping.await, Ok(Terminated::Stopped(_))));
    assert!(matches!(supervisor.stop().await, Ended::GaveUp(_)));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_gone_the_tree_goes_on() {
    let rig = Rig::default();
    drop(prompt("root").child(rig.child("a")).start().await.unwrap());
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["+a", "-a", "+a"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_childs_place_is_taken_by_another_at_once() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .strategy(Strategy::RestForOne)
        .child(rig.child("a"))
        .start()
        .await
        .unwrap();
    supervisor.terminate("a").await.unwrap();
    // Both are heard in the same turn.
    let delete = supervisor.delete("a");
    let add = supervisor.add(rig.child("b"));
    let (deleted, added) = futures::join!(delete, add);
    deleted.unwrap();
    added.unwrap();
    settle().await;
    rig.log();
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "+b"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_without_a_back_off_starves_nobody() {
    let rig = Rig::default();
    let starts = Arc::new(AtomicU64::new(0));
    let counts = starts.clone();
    let crashes = ChildSpec::new("crashes", move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>("at once") }
    });
    let supervisor = prompt("root")
        .never_give_up(true)
        .child(rig.child("a"))
        .child(crashes)
        .start()
        .await
        .unwrap();
    settle().await;
    assert!(starts.load(Ordering::Relaxed) > 50);
    assert!(supervisor.terminate("a").await.is_ok());
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
}

struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_children_start_crash_and_stop() {
    const MANY: usize = 100_000;
    let alive = Arc::new(AtomicU64::new(0));
    let mut builder = prompt("root").budget(RestartBudget::new(2_000, SECOND));
    for n in 0..MANY {
        let alive = alive.clone();
        builder = builder.child(ChildSpec::new(format!("child-{n}"), move |cx| {
            alive.fetch_add(1, Ordering::Relaxed);
            let counted = Counted(alive.clone());
            async move {
                let _counted = counted;
                if n % 100 == 0 && cx.incarnation() == 1 {
                    return Err("once");
                }
                cx.cancelled().await;
                Ok(())
            }
        }));
    }
    let supervisor = builder.start().await.unwrap();
    // It answers while it restarts.
    assert!(supervisor.terminate("child-7").await.is_ok());
    let ephemeral = ChildSpec::new("more", |_| async { Ok::<_, BoxError>(()) });
    supervisor
        .add(ephemeral.restart(Restart::Temporary))
        .await
        .unwrap();
    while supervisor.snapshot().restarts_in_window > 0
        && alive.load(Ordering::Relaxed) != MANY as u64 - 1
    {
        tokio::task::yield_now().await;
    }
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
    assert_eq!(alive.load(Ordering::Relaxed), 0, "no task is left");
}
