//! Failures, stops and commands that meet: what a maintainer of OTP would try.

use crate::rig::{Begin, Order, Rig, SECOND, many, prompt, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{Pausing, RestartBackoff, RestartBudget};
use backstop::supervise::child::{BoxError, ChildExit, ChildSpec, Readiness, Restart, Stop};
use backstop::supervise::supervisor::{
    AutoShutdown, ChildState, CommandError, Ended, Strategy, Supervisor, SupervisorEventKind,
};
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn state(supervisor: &Supervisor, id: &str) -> ChildState {
    supervisor.snapshot().child(id).expect("listed").state
}

/// A child that fails once, and whose factory panics from then on.
fn broken_factory(id: &'static str, calls: &Arc<AtomicU64>) -> ChildSpec {
    let calls = calls.clone();
    ChildSpec::new(id, move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        if call > 0 {
            // Without the hook, which would print each.
            std::panic::resume_unwind(Box::new("planned"));
        }
        async { Err::<(), _>("once") }
    })
}

/// A turn of a supervisor whose factory panics is many panics, so there are few.
async fn some_turns() {
    for _ in 0..6 {
        tokio::task::yield_now().await;
    }
}

/// It was found here: while there was always something to carry out, neither the supervisor above nor a
/// deadline was heard.
#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_hears_its_parent_although_a_factory_always_panics() {
    let calls: Arc<AtomicU64> = Arc::default();
    let rig = Rig::default();
    let inner = prompt("inner")
        .never_give_up(true)
        .child(rig.child("sibling"))
        .child(broken_factory("broken", &calls));
    let supervisor = prompt("root")
        .child_supervisor(inner)
        .start()
        .await
        .unwrap();
    some_turns().await;
    assert!(calls.load(Ordering::Relaxed) > 100, "it is a crash loop");
    let mut stops = Box::pin(supervisor.stop());
    assert!((&mut stops).now_or_never().is_none());
    some_turns().await;
    let ended = stops.now_or_never().expect("it hears of the stop");
    assert!(matches!(ended, Ended::Stopped));
    assert_eq!(rig.log(), ["+sibling", "-sibling"]);
}

#[tokio::test(start_paused = true)]
async fn deadlines_hold_although_a_factory_always_panics() {
    let calls: Arc<AtomicU64> = Arc::default();
    let rig = Rig::default();
    rig.deafen("deaf");
    let supervisor = prompt("root")
        .never_give_up(true)
        .child(rig.child("deaf").stop(Stop::After(SECOND)))
        .child(broken_factory("broken", &calls))
        .start()
        .await
        .unwrap();
    some_turns().await;
    let mut stops = Box::pin(supervisor.terminate("deaf"));
    assert!((&mut stops).now_or_never().is_none());
    some_turns().await;
    assert_eq!(state(&supervisor, "deaf"), ChildState::Stopping);
    tokio::time::advance(SECOND).await;
    some_turns().await;
    assert!(stops.now_or_never().is_some_and(|answer| answer.is_ok()));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_in_the_middle_of_a_group_begins_it_anew() {
    let rig = Rig::default();
    let calls: Arc<AtomicU64> = Arc::default();
    let inside = rig.clone();
    let counts = calls.clone();
    let odd = ChildSpec::new("odd", move |cx| {
        if counts.fetch_add(1, Ordering::Relaxed) == 1 {
            std::panic::resume_unwind(Box::new("planned"));
        }
        let rig = inside.clone();
        async move {
            rig.write("+odd");
            cx.cancelled().await;
            rig.write("-odd");
            Ok::<_, BoxError>(())
        }
    });
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(odd)
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.tell("c", Order::Fail);
    settle().await;
    assert_eq!(
        rig.log(),
        ["-c", "-odd", "-a", "+a", "-a", "+a", "+odd", "+c"]
    );
    let tree = supervisor.snapshot();
    assert_eq!(tree.restarts_in_window, 2);
    assert!(matches!(
        tree.child("odd").unwrap().last_exit,
        Some(ChildExit::Panic(_))
    ));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_a_restart_storm_keeps_the_order_and_starts_nothing() {
    for strategy in [
        Strategy::OneForAll,
        Strategy::RestForOne,
        Strategy::OneForOne,
    ] {
        for turns in 0..40 {
            let rig = Rig::default();
            let ids = ["a", "b", "c", "d", "e"];
            let builder = prompt("root")
                .strategy(strategy)
                .budget(RestartBudget::new(100, SECOND));
            let supervisor = ids
                .into_iter()
                .fold(builder, |builder, id| {
                    builder.child(rig.child(id).readiness(Readiness::Explicit))
                })
                .start()
                .await
                .unwrap();
            settle().await;
            rig.log();
            // Two that start badly, and three that fail at once.
            rig.begins("b", &[Begin::Fail]);
            rig.begins("d", &[Begin::Fail, Begin::Fail]);
            for id in ["e", "b", "c"] {
                rig.tell(id, Order::Fail);
            }
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let mut stops = Box::pin(supervisor.stop());
            assert!((&mut stops).now_or_never().is_none());
            settle().await;
            assert!(matches!(stops.now_or_never(), Some(Ended::Stopped)));
            let log = rig.log();
            // From the last start on there are stops alone, the later child first.
            let last = log.iter().rposition(|line| line.starts_with('+'));
            let stopped: Vec<_> = log[last.map_or(0, |last| last + 1)..]
                .iter()
                .filter(|line| line.starts_with('-'))
                .collect();
            if strategy != Strategy::OneForOne && last.is_some() {
                assert!(
                    stopped.windows(2).all(|two| two[0] > two[1]),
                    "{strategy:?} {turns}: {log:?}"
                );
            }
            for id in ids {
                // It ran before the log begins.
                let starts = 1 + log.iter().filter(|line| **line == format!("+{id}")).count();
                let ends = log.iter().filter(|line| **line == format!("-{id}")).count();
                assert_eq!(starts, ends, "{strategy:?} {turns}: {id} of {log:?}");
            }
            settle().await;
            assert_eq!(rig.count(), 0, "something starts after the end");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_meets_a_start_that_hangs_in_a_rest_for_one() {
    let rig = Rig::default();
    let child = |id| rig.child(id).readiness(Readiness::Explicit);
    let supervisor = prompt("root")
        .strategy(Strategy::RestForOne)
        .child(child("a"))
        .child(child("b"))
        .child(child("c").start_timeout(10 * SECOND))
        .child(child("d"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.begins("c", &[Begin::Hang, Begin::Hang]);
    rig.tell("c", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-c", "-d", "?c"]);
    // It widens the group: what hangs is told to stop, and starts again in its turn.
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-a", "-c", "-b", "+a", "+b", "?c"]);
    assert_eq!(supervisor.snapshot().restarts_in_window, 2);
    // Its time counts from its own start.
    tokio::time::advance(10 * SECOND - MS).await;
    settle().await;
    assert_eq!(rig.log(), Vec::<String>::new());
    tokio::time::advance(MS).await;
    settle().await;
    assert_eq!(rig.log(), ["-c", "+c", "+d"]);
    assert_eq!(supervisor.snapshot().restarts_in_window, 3);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_significant_temporary_child_that_a_group_takes_along_is_forgotten_and_does_not_count() {
    let rig = Rig::default();
    let significant = |id, restart| rig.child(id).restart(restart).significant(true);
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .auto_shutdown(AutoShutdown::AllSignificant)
        .child(rig.child("z"))
        .child(significant("t", Restart::Temporary))
        .child(significant("a", Restart::Transient))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.tell("z", Order::Fail);
    settle().await;
    assert_eq!(rig.log(), ["-z", "-a", "-t", "+z", "+a"]);
    assert!(supervisor.snapshot().child("t").is_none());
    assert!(supervisor.ended().now_or_never().is_none());
    // It is the only significant one that is left.
    rig.tell("a", Order::Return);
    let ended = supervisor.ended().await;
    assert!(matches!(&ended, Ended::AutoShutdown(child) if child.as_str() == "a"));
}

/// A temporary one that crashes is no failure, and counts as the end of a significant child.
#[tokio::test(start_paused = true)]
async fn a_significant_temporary_child_that_panics_during_the_back_off_of_another() {
    let rig = Rig::default();
    let wait = RestartBackoff::exponential(SECOND, 1.0, SECOND).jitter(0.0);
    let supervisor = Supervisor::builder("root")
        .backoff(wait)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(rig.child("a"))
        .child(rig.child("t").restart(Restart::Temporary).significant(true))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(state(&supervisor, "a"), ChildState::Backoff);
    rig.tell("t", Order::Panic);
    settle().await;
    let ended = supervisor.ended().now_or_never();
    assert!(matches!(ended, Some(Ended::AutoShutdown(child)) if child.as_str() == "t"));
    tokio::time::advance(2 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+a", "+t", "-a", "-t"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_begins_while_a_group_stops_holds_up_its_start_and_no_stop() {
    let rig = Rig::default();
    let pausing = Pausing::default().threshold(1.0);
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .pausing(pausing)
        .child(rig.child("a"))
        .child(rig.child("b").stop(Stop::After(2 * SECOND)))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.deafen("b");
    // The first failure restarts the group, whose new "b" hears nothing.
    rig.tell("a", Order::Fail);
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(
        rig.log(),
        [
            "+a", "+b", "+c", "-a", "-c", "-b", "+a", "+b", "+c", "-a", "-c"
        ]
    );
    assert!(supervisor.snapshot().pause_left.is_some());
    tokio::time::advance(2 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["-b"]);
    // From the failure on, and not from when the group had stopped: 15 s x [1, 1.5) and the stop.
    tokio::time::advance(12 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), Vec::<String>::new());
    tokio::time::advance(11 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+a", "+b", "+c"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_edges_of_a_window_are_the_supervisors_own() {
    for (second, gives_up) in [(10 * SECOND, false), (10 * SECOND - MS, true)] {
        let rig = Rig::default();
        let supervisor = prompt("root")
            .budget(RestartBudget::new(1, 10 * SECOND))
            .child(rig.child("a"))
            .start()
            .await
            .unwrap();
        settle().await;
        rig.tell("a", Order::Fail);
        settle().await;
        tokio::time::advance(second).await;
        rig.tell("a", Order::Fail);
        settle().await;
        let ended = supervisor.ended().now_or_never();
        assert_eq!(ended.is_some(), gives_up, "{second:?}");
        if let Some(Ended::GaveUp(gave_up)) = ended {
            assert_eq!(gave_up.failures.len(), 2, "{gave_up}");
        }
        supervisor.stop().await;
    }
}

/// A day forward while something stops, waits and starts: each deadline passes once.
#[tokio::test]
async fn a_clock_that_jumps_a_day_ends_each_wait_once() {
    let manual = Clock::manual();
    let rig = Rig::default();
    rig.deafen("deaf");
    let wait = RestartBackoff::exponential(SECOND, 1.0, SECOND).jitter(0.0);
    let slow = rig.child("slow").readiness(Readiness::Explicit);
    let supervisor = Supervisor::builder("root")
        .backoff(wait)
        .clock(&manual)
        .child(rig.child("a"))
        .child(rig.child("deaf"))
        .child(slow.start_timeout(SECOND))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.begins("slow", &[Begin::Hang]);
    rig.tell("slow", Order::Fail);
    settle().await;
    manual.advance(SECOND);
    settle().await;
    rig.tell("a", Order::Fail);
    settle().await;
    let mut stops = Box::pin(supervisor.terminate("deaf"));
    assert!((&mut stops).now_or_never().is_none());
    settle().await;
    assert_eq!(state(&supervisor, "a"), ChildState::Backoff);
    assert_eq!(state(&supervisor, "slow"), ChildState::Starting);
    manual.advance(86_400 * SECOND);
    settle().await;
    assert!(stops.now_or_never().is_some_and(|answer| answer.is_ok()));
    assert_eq!(state(&supervisor, "a"), ChildState::Running);
    // What was not ready in time waits for its restart from now on.
    assert_eq!(state(&supervisor, "slow"), ChildState::Backoff);
    let mut log = rig.log();
    log.sort();
    assert_eq!(log, ["+a", "-a", "-deaf", "-slow", "-slow", "?slow"]);
    manual.advance(SECOND);
    settle().await;
    assert_eq!(rig.log(), ["+slow"]);
    supervisor.stop().await;
}

/// A future whose drop panics, with a payload whose drop panics too.
struct PanicsTwice(Rig);

impl Drop for PanicsTwice {
    fn drop(&mut self) {
        struct Payload;
        impl Drop for Payload {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("in the drop of a payload"));
            }
        }
        self.0.write("-odd");
        std::panic::resume_unwind(Box::new(Payload));
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_whose_drop_panics_keeps_its_group_and_the_stop_in_order() {
    let rig = Rig::default();
    let inside = rig.clone();
    let odd = ChildSpec::new("odd", move |cx| {
        let rig = inside.clone();
        async move {
            rig.write("+odd");
            let _odd = PanicsTwice(rig.clone());
            cx.cancelled().await;
            // Is aborted, and dropped here.
            std::future::pending::<Result<(), BoxError>>().await
        }
    });
    let supervisor = prompt("root")
        .strategy(Strategy::OneForAll)
        .child(rig.child("a"))
        .child(odd.stop(Stop::After(SECOND)))
        .child(rig.child("c"))
        .start()
        .await
        .unwrap();
    settle().await;
    rig.log();
    rig.tell("c", Order::Fail);
    settle().await;
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["-c", "-odd", "-a", "+a", "+odd", "+c"]);
    assert_eq!(supervisor.snapshot().restarts_in_window, 1);
    let stops = tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.stop().await }
    });
    settle().await;
    tokio::time::advance(SECOND).await;
    settle().await;
    assert!(matches!(stops.await.unwrap(), Ended::Stopped));
    assert_eq!(rig.log(), ["-c", "-odd", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_commands_at_once_are_all_answered() {
    const MANY: usize = 2_500;
    let rig = Rig::default();
    let quiet = |id: String| {
        ChildSpec::new(id, |cx| async move {
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        })
    };
    let supervisor = prompt("root")
        .child(rig.child("a"))
        .child(quiet("b".to_owned()))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe(many());
    let adds = join_all((0..MANY).map(|n| supervisor.add(quiet(format!("more-{n}")))));
    let stops = join_all((0..MANY).map(|_| supervisor.terminate("b")));
    let starts = join_all((0..MANY).map(|_| supervisor.restart("b")));
    let deletes =
        join_all((0..MANY).map(|n| supervisor.delete(if n % 2 == 0 { "b" } else { "x" })));
    let (added, stopped, started, deleted) = futures::join!(adds, stops, starts, deletes);
    assert!(added.iter().all(Result::is_ok));
    // All are heard before it has ended: each waits for that one end.
    assert!(stopped.iter().all(Result::is_ok));
    let stopping = |answer: &Result<_, _>| matches!(answer, Err(CommandError::Stopping));
    assert!(started.iter().all(stopping), "{:?}", started[0]);
    for (n, answer) in deleted.iter().enumerate() {
        let expected = if n % 2 == 0 {
            stopping(answer)
        } else {
            matches!(answer, Err(CommandError::NotFound))
        };
        assert!(expected, "{n}: {answer:?}");
    }
    settle().await;
    let tree = supervisor.snapshot();
    assert_eq!(tree.children.len(), MANY + 2);
    assert_eq!(state(&supervisor, "b"), ChildState::Stopped);
    // One of each thousand, without a gap.
    let mut last = None;
    while let Some(event) = events.try_recv() {
        if let Some(last) = last {
            assert_eq!(event.seq, last + 1);
        }
        last = Some(event.seq);
        assert!(
            !matches!(event.kind, SupervisorEventKind::Exited { ref exit, .. } if exit.is_failure())
        );
    }
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
}
