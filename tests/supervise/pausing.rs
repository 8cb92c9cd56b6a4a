//! A supervisor that pauses instead of giving up.

use crate::rig::{Order, Rig, kinds, many, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{Pausing, RestartBackoff};
use backstop::supervise::child::{ChildSpec, Stop};
use backstop::supervise::supervisor::{
    ChildState, Strategy, Supervisor, SupervisorBuilder, SupervisorEventKind,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn pausing(children: impl IntoIterator<Item = ChildSpec>) -> SupervisorBuilder {
    // With this seed the first pause is neither 15 s nor 22.5 s.
    let tree = prompt("tree").pausing(Pausing::default()).seed(7);
    children.into_iter().fold(tree, SupervisorBuilder::child)
}

async fn fail(rig: &Rig, id: &str, times: usize) {
    for _ in 0..times {
        rig.tell(id, Order::Fail);
        settle().await;
    }
}

async fn advance(by: Duration) {
    tokio::time::advance(by).await;
    settle().await;
}

fn state(supervisor: &Supervisor, id: &str) -> ChildState {
    supervisor.snapshot().child(id).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn sv12p_above_the_threshold_what_failed_waits_and_what_runs_goes_on() {
    let rig = Rig::default();
    let supervisor = pausing([rig.child("a"), rig.child("b"), rig.child("c")]);
    let supervisor = supervisor.start().await.unwrap();
    settle().await;
    fail(&rig, "a", 5).await;
    assert_eq!(state(&supervisor, "a"), ChildState::Running);
    let mut events = supervisor.subscribe(many());
    rig.tell("a", Order::Fail);
    let mut length = Duration::ZERO;
    while length.is_zero() {
        if let SupervisorEventKind::Paused { length: told } = events.recv().await.unwrap().kind {
            length = told;
        }
    }
    assert!(length > 15 * SECOND && length < 22_500 * MS, "{length:?}");
    settle().await;
    assert_eq!(kinds(&mut events), ["restarting a"]);
    // What fails meanwhile waits with it, and counts for nothing.
    advance(10 * SECOND).await;
    rig.log();
    fail(&rig, "b", 1).await;
    assert_eq!(state(&supervisor, "a"), ChildState::Backoff);
    assert_eq!(state(&supervisor, "b"), ChildState::Backoff);
    assert_eq!(state(&supervisor, "c"), ChildState::Running);
    advance(length - 10 * SECOND - MS).await;
    assert_eq!(rig.log(), ["-b"]);
    advance(2 * MS).await;
    // All at once.
    let mut started = rig.log();
    started.sort();
    assert_eq!(started, ["+a", "+b"]);
    assert!(kinds(&mut events).contains(&"resumed".to_owned()));
    // The score is 0 again: five more are let pass, and the sixth is not.
    fail(&rig, "c", 5).await;
    assert_eq!(state(&supervisor, "c"), ChildState::Running);
    fail(&rig, "c", 1).await;
    assert_eq!(state(&supervisor, "c"), ChildState::Backoff);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv12q_it_never_gives_up_and_a_slow_trickle_of_failures_pauses_nothing() {
    let rig = Rig::default();
    let supervisor = pausing([rig.child("a")]).start().await.unwrap();
    settle().await;
    let mut events = supervisor.subscribe(many());
    for _ in 0..200 {
        fail(&rig, "a", 1).await;
        advance(10 * SECOND).await;
    }
    let told = kinds(&mut events);
    assert!(!told.contains(&"paused".to_owned()));
    assert_eq!(told.iter().filter(|told| *told == "started a").count(), 200);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv12r_an_operator_is_heard_during_a_pause() {
    let rig = Rig::default();
    let supervisor = pausing([rig.child("a"), rig.child("b")])
        .start()
        .await
        .unwrap();
    settle().await;
    fail(&rig, "a", 6).await;
    assert_eq!(state(&supervisor, "a"), ChildState::Backoff);
    // Stopped and restarted by hand it does not wait.
    supervisor.terminate("a").await.unwrap();
    supervisor.restart("a").await.unwrap();
    assert_eq!(state(&supervisor, "a"), ChildState::Running);
    let clock = Clock::tokio();
    let start = clock.now();
    supervisor.stop().await;
    assert_eq!(clock.now(), start);
}

#[tokio::test(start_paused = true)]
async fn sv12s_a_group_waits_for_the_end_of_the_pause_too() {
    let rig = Rig::default();
    let supervisor = pausing([rig.child("a"), rig.child("b")]).strategy(Strategy::OneForAll);
    let supervisor = supervisor.start().await.unwrap();
    settle().await;
    fail(&rig, "a", 5).await;
    rig.log();
    fail(&rig, "a", 1).await;
    assert_eq!(rig.log(), ["-a", "-b"]);
    advance(15 * SECOND).await;
    assert_eq!(rig.log(), Vec::<String>::new());
    advance(7_500 * MS).await;
    assert_eq!(rig.log(), ["+a", "+b"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv12t_what_waited_for_its_back_off_already_waits_for_the_end_of_the_pause() {
    let rig = Rig::default();
    let wait = RestartBackoff::exponential(SECOND, 1.0, SECOND);
    let slow = rig.child("slow").backoff(wait.jitter(0.0));
    let supervisor = pausing([rig.child("a"), slow]).start().await.unwrap();
    settle().await;
    fail(&rig, "slow", 1).await;
    fail(&rig, "a", 5).await;
    assert_eq!(state(&supervisor, "a"), ChildState::Backoff);
    rig.log();
    advance(2 * SECOND).await;
    assert_eq!(rig.log(), Vec::<String>::new());
    advance(22 * SECOND).await;
    let mut started = rig.log();
    started.sort();
    assert_eq!(started, ["+a", "+slow"]);
    supervisor.stop().await;
}

#[tokio::test]
async fn sv12r_a_stop_during_a_pause_leaves_no_timer_and_no_pause() {
    let manual = Clock::manual();
    let rig = Rig::default();
    let child = rig.child("deaf").stop(Stop::After(60 * SECOND));
    let supervisor = pausing([rig.child("a"), child]).clock(&manual);
    rig.deafen("deaf");
    let supervisor = supervisor.start().await.unwrap();
    settle().await;
    fail(&rig, "a", 6).await;
    assert!(supervisor.snapshot().pause_left.is_some());
    let mut events = supervisor.subscribe(many());
    let stop = {
        let supervisor = supervisor.clone();
        tokio::spawn(async move { supervisor.stop().await })
    };
    settle().await;
    assert_eq!(supervisor.snapshot().pause_left, None);
    manual.advance(30 * SECOND);
    settle().await;
    assert_eq!(kinds(&mut events), Vec::<String>::new());
    manual.advance(31 * SECOND);
    stop.await.unwrap();
    assert_eq!(kinds(&mut events), ["exited deaf", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn sv8c_what_waits_for_its_restart_does_not_come_back_while_others_are_stopped() {
    let rig = Rig::default();
    let wait = RestartBackoff::exponential(SECOND, 1.0, SECOND);
    let supervisor = prompt("tree")
        .child(rig.child("waits").backoff(wait))
        .child(rig.child("deaf"));
    rig.deafen("deaf");
    let supervisor = supervisor.start().await.unwrap();
    settle().await;
    fail(&rig, "waits", 1).await;
    rig.log();
    // The deaf one takes its 5 s; the other's restart was due after 1 s.
    supervisor.stop().await;
    assert_eq!(rig.log(), ["-deaf"]);
}
