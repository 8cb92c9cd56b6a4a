//! SV7: the first start, and readiness.

use crate::rig::{Begin, Order, Rig, SECOND, prompt, settle};
use backstop::supervise::budget::RestartBudget;
use backstop::supervise::child::{BoxError, ChildSpec, FailureCause, Readiness};
use backstop::supervise::supervisor::{
    ChildState, CommandError, Ended, StartError, Strategy, Supervisor,
};
use futures::FutureExt;
use std::error::Error;

fn explicit(rig: &Rig, id: &'static str) -> ChildSpec {
    rig.child(id).readiness(Readiness::Explicit)
}

#[tokio::test(start_paused = true)]
async fn sv7a_the_first_start_is_all_or_nothing() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let rig = Rig::default();
        rig.begins("c", &[Begin::Fail]);
        let error = prompt("root")
            .strategy(strategy)
            .child(explicit(&rig, "a"))
            .child(explicit(&rig, "b"))
            .child(explicit(&rig, "c"))
            .child(explicit(&rig, "d"))
            .start()
            .await
            .unwrap_err();
        // Nothing is left when the error is there.
        assert_eq!(rig.log(), ["+a", "+b", "!c", "-b", "-a"]);
        assert_eq!(
            error.to_string(),
            "child c did not start: it ended with an error: not today, before it was ready"
        );
        assert_eq!(error.source().unwrap().to_string(), "not today");
        settle().await;
        assert_eq!(rig.log(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn sv7b_an_early_error_of_an_immediate_child_is_a_crash() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll] {
        let rig = Rig::default();
        rig.begins("a", &[Begin::Fail]);
        let supervisor = prompt("root")
            .strategy(strategy)
            .child(rig.child("a"))
            .child(rig.child("b"))
            .start()
            .await
            .unwrap();
        settle().await;
        let tree = supervisor.snapshot();
        assert_eq!(tree.child("a").unwrap().incarnation, 2);
        assert_eq!(tree.child("a").unwrap().state, ChildState::Running);
        assert_eq!(tree.restarts_in_window, 1);
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sv7b_a_panic_in_the_factory_is_a_failed_start() {
    let rig = Rig::default();
    let panics = ChildSpec::new("b", |cx| {
        // What it started before the panic is not forgotten.
        cx.spawn(std::future::pending::<()>());
        assert_eq!(cx.incarnation(), 0, "in the factory");
        async { Ok::<_, BoxError>(()) }
    });
    let error = prompt("root")
        .child(rig.child("a"))
        .child(panics.clone())
        .start()
        .await
        .unwrap_err();
    let StartError::Child { child, cause } = error else {
        panic!("{error}");
    };
    assert_eq!(child.as_str(), "b");
    let text = cause.to_string();
    assert!(text.contains("in the factory"), "{text}");
    assert!(text.ends_with("before it was ready"), "{text}");
    let supervisor = prompt("root").start().await.unwrap();
    assert!(matches!(
        supervisor.add(panics).await,
        Err(CommandError::NotStarted(_))
    ));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv7c_ending_before_ready_is_a_failed_start_also_without_an_error() {
    let ends = ChildSpec::new("a", |_| async { Ok::<_, BoxError>(()) });
    let error = prompt("root")
        .child(ends.readiness(Readiness::Explicit))
        .start()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "child a did not start: it ended normally, before it was ready"
    );
}

#[tokio::test(start_paused = true)]
async fn sv7c_a_start_that_takes_too_long_has_failed() {
    let rig = Rig::default();
    rig.begins("b", &[Begin::Hang]);
    let start = crate::rig::Since::now();
    let error = prompt("root")
        .child(explicit(&rig, "a"))
        .child(explicit(&rig, "b"))
        .start()
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), 30 * SECOND);
    assert!(matches!(
        error,
        StartError::Child {
            cause: FailureCause::StartTimeout,
            ..
        }
    ));
    assert_eq!(rig.log(), ["+a", "?b", "-b", "-a"]);
    rig.begins("b", &[Begin::Ready, Begin::Hang]);
    let supervisor = prompt("root")
        .child(explicit(&rig, "b").start_timeout(SECOND))
        .start()
        .await
        .unwrap();
    rig.tell("b", Order::Fail);
    settle().await;
    tokio::time::advance(SECOND).await;
    settle().await;
    assert_eq!(rig.log(), ["+b", "-b", "?b", "-b", "+b"]);
    assert_eq!(supervisor.snapshot().restarts_in_window, 2);
    // The deadline of a start that was in time is gone.
    tokio::time::advance(60 * SECOND).await;
    settle().await;
    assert_eq!(rig.log(), [""; 0]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv7d_the_next_child_starts_when_this_one_is_ready() {
    let rig = Rig::default();
    rig.begins("a", &[Begin::Hang]);
    let starting = tokio::spawn({
        let builder = prompt("root")
            .child(explicit(&rig, "a"))
            .child(explicit(&rig, "b"));
        async move { builder.start().await }
    });
    settle().await;
    assert_eq!(rig.log(), ["?a"]);
    starting.abort();
    let late = rig.clone();
    let slow = ChildSpec::new("slow", move |cx| {
        let rig = late.clone();
        async move {
            cx.clock()
                .sleep_until(cx.clock().now() + SECOND)
                .unwrap()
                .await;
            rig.write("ready");
            cx.ready();
            // It goes on before it is restarted, and says it twice.
            cx.ready();
            cx.cancelled().await;
            Ok::<_, BoxError>(())
        }
    });
    settle().await;
    rig.log();
    let supervisor = prompt("root")
        .child(slow.readiness(Readiness::Explicit))
        .child(rig.child("b"))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(rig.log(), ["ready", "+b"]);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv7e_a_start_that_nobody_waits_for_is_undone() {
    let rig = Rig::default();
    rig.begins("b", &[Begin::Hang]);
    let builder = prompt("root")
        .child(explicit(&rig, "a"))
        .child(explicit(&rig, "b"));
    let mut starting = Box::pin(builder.start());
    assert!((&mut starting).now_or_never().is_none());
    settle().await;
    assert_eq!(rig.log(), ["+a", "?b"]);
    drop(starting);
    settle().await;
    assert_eq!(rig.log(), ["-b", "-a"]);
}

#[tokio::test(start_paused = true)]
async fn sv7f_a_failed_start_is_charged_like_a_crash() {
    let rig = Rig::default();
    let supervisor = prompt("root")
        .budget(RestartBudget::new(3, 60 * SECOND))
        .child(explicit(&rig, "a"))
        .start()
        .await
        .unwrap();
    rig.begins("a", &[Begin::Fail; 9]);
    rig.tell("a", Order::Fail);
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert_eq!(rig.log(), ["+a", "-a", "!a", "!a", "!a"]);
    assert_eq!(gave_up.failures.len(), 4);
    let causes: Vec<_> = gave_up
        .failures
        .iter()
        .map(|failure| matches!(failure.cause, FailureCause::NotReady(_)))
        .collect();
    assert_eq!(causes, [false, true, true, true]);
}

#[test]
fn without_a_runtime_or_its_timers_nothing_starts() {
    let start = || Supervisor::builder("root").start();
    assert!(matches!(
        futures::executor::block_on(start()),
        Err(StartError::NoRuntime)
    ));
    let no_timers = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(matches!(
        no_timers.block_on(start()),
        Err(StartError::NoRuntime)
    ));
}
