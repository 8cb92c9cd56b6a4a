//! SV2, SV3, SV6: strategies, kinds of restart, and the order of callbacks.

use crate::rig::{Begin, Order, Rig, SECOND, kinds, many, prompt, settle};
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{ChildSpec, Readiness, Restart, SpentHook, WhenSpent};
use backstop::supervise::supervisor::{
    ChildState, CommandError, Ended, Strategy, Supervisor, Terminated,
};
use std::time::Duration;

/// Four explicitly ready children, running, with nothing in the log.
async fn four(rig: &Rig, strategy: Strategy) -> Supervisor {
    four_with(rig, strategy, |spec| spec).await
}

async fn four_with(
    rig: &Rig,
    strategy: Strategy,
    set: impl Fn(ChildSpec) -> ChildSpec,
) -> Supervisor {
    let mut builder = prompt("root").strategy(strategy);
    for id in ["a", "b", "c", "d"] {
        builder = builder.child(set(rig.child(id).readiness(Readiness::Explicit)));
    }
    let supervisor = builder.start().await.unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+a", "+b", "+c", "+d"]);
    supervisor
}

fn used(supervisor: &Supervisor) -> u32 {
    supervisor.snapshot().restarts_in_window
}

fn state(supervisor: &Supervisor, id: &str) -> ChildState {
    supervisor.snapshot().child(id).expect("it is listed").state
}

#[tokio::test(start_paused = true)]
async fn sv2a_one_for_one_touches_no_other() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::OneForOne).await;
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "+b"]);
    // Two at a time are two restarts.
    rig.tell("a", Order::Panic);
    rig.tell("d", Order::Return);
    settle().await;
    let mut log = rig.log();
    log.sort();
    assert_eq!(log, ["+a", "+d", "-a", "-d"]);
    assert_eq!(used(&supervisor), 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv2b_sv6a_one_for_all_stops_in_reverse_and_starts_in_order() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::OneForAll).await;
    let mut events = supervisor.subscribe(many());
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "-d", "-c", "-a", "+a", "+b", "+c", "+d"]);
    assert_eq!(
        kinds(&mut events),
        [
            "exited b",
            "restarting b",
            "exited d",
            "exited c",
            "exited a",
            "started a",
            "started b",
            "started c",
            "started d"
        ]
    );
    assert_eq!(used(&supervisor), 1);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv2c_sv6b_rest_for_one_touches_later_ones_only() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::RestForOne).await;
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "-d", "-c", "+b", "+c", "+d"]);
    rig.tell("d", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-d", "+d"]);
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-d", "-c", "-b", "+a", "+b", "+c", "+d"]);
    assert_eq!(used(&supervisor), 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6a_each_member_is_told_when_the_one_behind_it_has_ended() {
    let rig = Rig::default();
    rig.deafen("c");
    let supervisor = four(&rig, Strategy::OneForAll).await;
    rig.tell("d", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-d"], "c takes its time, and b waits for it");
    tokio::time::advance(5 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["-c", "-b", "-a", "+a", "+b", "+c", "+d"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6c_one_for_all_begins_anew_when_a_start_fails() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::OneForAll).await;
    rig.begins("c", &[Begin::Fail, Begin::Fail]);
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(
        rig.log(),
        [
            "-a", "-d", "-c", "-b", // stopped
            "+a", "+b", "!c", "-b", "-a", // failed and stopped
            "+a", "+b", "!c", "-b", "-a", // again
            "+a", "+b", "+c", "+d"
        ]
    );
    assert_eq!(used(&supervisor), 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6d_rest_for_one_goes_on_from_the_one_that_failed() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::RestForOne).await;
    rig.begins("c", &[Begin::Fail, Begin::Fail]);
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-b", "-d", "-c", "+b", "!c", "!c", "+c", "+d"]);
    assert_eq!(used(&supervisor), 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6e_a_member_that_fails_while_its_group_is_stopped_costs_nothing() {
    let rig = Rig::default();
    rig.deafen("d");
    let supervisor = four(&rig, Strategy::OneForAll).await;
    rig.tell("a", Order::Fail);
    settle().await;
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-b"]);
    tokio::time::advance(5 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["-d", "-c", "+a", "+b", "+c", "+d"]);
    assert_eq!(used(&supervisor), 1);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6e_a_member_that_fails_after_it_was_started_again_begins_it_anew() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let rig = Rig::default();
        let supervisor = four(&rig, strategy).await;
        rig.begins("d", &[Begin::Hang]);
        rig.tell("a", Order::Fail);
        settle().await;
        assert_eq!(rig.log(), ["-a", "-d", "-c", "-b", "+a", "+b", "+c", "?d"]);
        rig.tell("b", Order::Fail);
        settle().await;
        let expected: &[&str] = match strategy {
            Strategy::OneForAll => &["-b", "-d", "-c", "-a", "+a", "+b", "+c", "+d"],
            _ => &["-b", "-d", "-c", "+b", "+c", "+d"],
        };
        assert_eq!(rig.log(), expected);
        assert_eq!(used(&supervisor), 2);
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sv6e_an_earlier_child_that_fails_widens_the_group() {
    let rig = Rig::default();
    rig.deafen("d");
    let supervisor = four(&rig, Strategy::RestForOne).await;
    rig.tell("c", Order::Fail);
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-c", "-a"], "d is waited for");
    tokio::time::advance(5 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["-d", "-b", "+a", "+b", "+c", "+d"]);
    assert_eq!(used(&supervisor), 2);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6f_a_group_restart_starts_stopped_members_too() {
    let rig = Rig::default();
    let supervisor = four_with(&rig, Strategy::OneForAll, |spec| {
        spec.restart(Restart::Transient)
    })
    .await;
    rig.tell("b", Order::Return);
    supervisor.terminate("c").await.unwrap();
    settle().await;
    assert_eq!(rig.log(), ["-b", "-c"]);
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-d", "+a", "+b", "+c", "+d"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6f_who_is_stopped_while_the_group_is_restarted_stays_so() {
    let rig = Rig::default();
    rig.deafen("d");
    let supervisor = four(&rig, Strategy::OneForAll).await;
    rig.begins("d", &[Begin::Fail]);
    rig.tell("a", Order::Fail);
    settle().await;
    // One that is due, and one that runs.
    assert!(matches!(
        supervisor.terminate("a").await,
        Ok(Terminated::Stopped(Some(_)))
    ));
    assert!(supervisor.terminate("b").await.is_ok());
    tokio::time::advance(5 * SECOND).await;
    settle().await;
    // Nor does it come back when the group begins anew.
    assert_eq!(
        rig.log(),
        ["-a", "-b", "-d", "-c", "+c", "!d", "-c", "+c", "+d"]
    );
    assert_eq!(state(&supervisor, "a"), ChildState::Stopped);
    supervisor.restart("a").await.unwrap();
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv6f_a_member_whose_own_budget_is_spent_is_left_alone() {
    let rig = Rig::default();
    let own = rig
        .child("own")
        .budget(RestartBudget::new(0, SECOND))
        .when_spent(WhenSpent::Report(SpentHook::new(|_| {})));
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(own)
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("own", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["+a", "+own", "-own"], "a is not touched");
    assert_eq!(state(&supervisor, "own"), ChildState::Spent);
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "+a"]);
    supervisor.restart("own").await.unwrap();
    settle().await;
    assert_eq!(rig.log(), ["+own"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_waits_for_the_back_off_with_its_members_stopped() {
    let rig = Rig::default();
    let supervisor = Supervisor::builder("root")
        .strategy(Strategy::RestForOne)
        .backoff(RestartBackoff::exponential(SECOND, 2.0, 9 * SECOND).jitter(0.0))
        .budget(RestartBudget::new(3, 60 * SECOND))
        .child(rig.child("a"))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    for wait in [SECOND, 2 * SECOND] {
        rig.tell("a", Order::Fail);
        settle().await;
        tokio::time::advance(wait - Duration::from_millis(1)).await;
        settle().await;
        assert_eq!(rig.log(), ["-a", "-b"]);
        assert!(matches!(
            supervisor.restart("b").await,
            Err(CommandError::Restarting)
        ));
        tokio::time::advance(Duration::from_millis(1)).await;
        settle().await;
        assert_eq!(rig.log(), ["+a", "+b"]);
    }
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv3a_a_permanent_child_is_restarted_however_it_ended() {
    let rig = Rig::default();
    let supervisor = four(&rig, Strategy::OneForOne).await;
    for order in [Order::Return, Order::Fail, Order::Panic] {
        rig.tell("a", order);
        settle().await;
        assert_eq!(rig.log(), ["-a", "+a"]);
    }
    assert_eq!(used(&supervisor), 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv3b_a_transient_child_is_restarted_after_a_failure() {
    let rig = Rig::default();
    let supervisor = four_with(&rig, Strategy::OneForOne, |spec| {
        spec.restart(Restart::Transient)
    })
    .await;
    rig.tell("a", Order::Fail);
    settle().await;
    rig.tell("a", Order::Panic);
    settle().await;
    assert_eq!(rig.log(), ["-a", "+a", "-a", "+a"]);
    rig.tell("a", Order::Return);
    settle().await;
    assert_eq!(rig.log(), ["-a"]);
    assert_eq!(state(&supervisor, "a"), ChildState::Stopped);
    assert_eq!(used(&supervisor), 2);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv3c_a_temporary_child_is_never_restarted() {
    let rig = Rig::default();
    let temporary = |id| rig.child(id).restart(Restart::Temporary);
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .budget(RestartBudget::new(1, SECOND))
        .child(rig.child("a"))
        .child(temporary("t"))
        .child(temporary("u"))
        .child(temporary("v"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.tell("t", Order::Panic);
    rig.tell("u", Order::Return);
    settle().await;
    rig.log();
    assert_eq!(used(&supervisor), 0);
    assert_eq!(supervisor.snapshot().children.len(), 2);
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-v", "+a"]);
    assert!(supervisor.snapshot().child("v").is_none());
    // Its id is free, and stopping it by hand forgets it too.
    supervisor.add(temporary("v")).await.unwrap();
    supervisor.terminate("v").await.unwrap();
    assert!(matches!(
        supervisor.restart("v").await,
        Err(CommandError::NotFound)
    ));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv10e_an_orphan_in_a_group_restart_makes_the_supervisor_give_up() {
    let rig = Rig::default();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let blocks = ChildSpec::new("blocks", move |cx| {
        let wait = wait.clone();
        let (begins, begun) = tokio::sync::oneshot::channel();
        cx.spawn_blocking(move || {
            let _ = begins.send(());
            let _ = wait.lock().unwrap().recv();
        });
        async move {
            begun.await?;
            cx.ready();
            cx.cancelled().await;
            Ok::<_, tokio::sync::oneshot::error::RecvError>(())
        }
    })
    .readiness(Readiness::Explicit);
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(blocks)
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    // Tokio's paused clock stands still while a blocking thread works.
    for _ in 0..60 {
        tokio::time::advance(SECOND / 10).await;
        settle().await;
    }
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert!(
        gave_up.to_string().contains("blocks still runs"),
        "{gave_up}"
    );
    assert_eq!(rig.log(), ["+a", "+c", "-a", "-c"]);
    drop(go);
}
