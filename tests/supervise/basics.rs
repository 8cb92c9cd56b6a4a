//! A supervisor starts its children, restarts those that fail, and stops them.

use crate::rig::{Order, Rig, SECOND, kinds, many, prompt, settle};
use backstop::supervise::child::{ChildExit, Restart};
use backstop::supervise::supervisor::{ChildState, CommandError, Ended, Terminated};

#[tokio::test(start_paused = true)]
async fn children_start_in_order_and_stop_in_reverse() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("b"))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+a", "+b", "+c"]);
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
    assert_eq!(rig.log(), ["-c", "-b", "-a"]);
    assert!(matches!(supervisor.ended().await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn one_for_one_restarts_the_one_that_failed() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe(many());
    settle().await;
    rig.log();
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "+a"]);
    assert_eq!(
        kinds(&mut events),
        ["exited a", "restarting a", "started a"]
    );
    rig.tell("b", Order::Panic);
    settle().await;
    assert_eq!(rig.log(), ["-b", "+b"]);
    let tree = supervisor.snapshot();
    let b = tree.child("b").unwrap();
    assert_eq!((b.state, b.incarnation), (ChildState::Running, 2));
    assert!(matches!(&b.last_exit, Some(ChildExit::Panic(text)) if &**text == "told to panic"));
    assert_eq!(tree.restarts_in_window, 2);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn commands() {
    let rig = Rig::default();
    let supervisor = prompt("root").child(rig.child("a")).start().await.unwrap();
    supervisor.add(rig.child("b")).await.unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+a", "+b"]);
    assert!(matches!(
        supervisor.add(rig.child("b")).await,
        Err(CommandError::Duplicate)
    ));
    assert!(matches!(
        supervisor.terminate("a").await,
        Ok(Terminated::Stopped(Some(ChildExit::Shutdown)))
    ));
    assert_eq!(rig.log(), ["-a"]);
    assert!(matches!(
        supervisor.restart("b").await,
        Err(CommandError::Running)
    ));
    supervisor.restart("a").await.unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+a"]);
    assert!(matches!(
        supervisor.delete("a").await,
        Err(CommandError::Running)
    ));
    supervisor.terminate("a").await.unwrap();
    supervisor.delete("a").await.unwrap();
    assert!(matches!(
        supervisor.restart("a").await,
        Err(CommandError::NotFound)
    ));
    supervisor.stop().await;
    assert!(matches!(
        supervisor.restart("b").await,
        Err(CommandError::Over)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deaf_child_is_aborted_when_its_time_is_over() {
    let rig = Rig::default();
    rig.deafen("a");
    let supervisor = prompt("root").child(rig.child("a")).start().await.unwrap();
    settle().await;
    let start = crate::rig::Since::now();
    assert!(matches!(
        supervisor.terminate("a").await,
        Ok(Terminated::Stopped(Some(ChildExit::Killed)))
    ));
    assert_eq!(start.elapsed().as_secs(), 5 * SECOND.as_secs());
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn giving_up_stops_the_rest() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("b").restart(Restart::Transient))
        .start()
        .await
        .unwrap();
    settle().await;
    for _ in 0..9 {
        rig.tell("b", Order::Fail);
        settle().await;
    }
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert_eq!(gave_up.child.as_str(), "b");
    assert_eq!(gave_up.failures.len(), 9);
    assert!(gave_up.to_string().contains("told to fail"), "{gave_up}");
}
