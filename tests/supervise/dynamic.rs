//! Children that come and go.

use crate::rig::{kinds, many, settle};
use backstop::kernel::clock::Clock;
use backstop::supervise::budget::{RestartBackoff, RestartBudget};
use backstop::supervise::child::{ChildContext, ChildSpec, Restart, Stop};
use backstop::supervise::supervisor::{
    CommandError, DynamicSupervisor, DynamicSupervisorBuilder, Ended, Strategy, Supervisor,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

type Log = Arc<Mutex<Vec<String>>>;

/// Children that write down what they were started with; those of a negative number do not stop by
/// themselves, and those of 0 fail.
fn numbers(log: &Log) -> DynamicSupervisorBuilder<i64> {
    let log = log.clone();
    DynamicSupervisor::builder("numbers", move |number: i64| {
        let log = log.clone();
        ChildSpec::new("n", move |cx: ChildContext| {
            let log = log.clone();
            async move {
                let line = format!("{}={number}", cx.id());
                log.lock().unwrap().push(line);
                match number {
                    0 => return Err("nothing"),
                    1.. => cx.cancelled().await,
                    _ => std::future::pending().await,
                }
                Ok(())
            }
        })
    })
    .configure(|supervisor| supervisor.backoff(RestartBackoff::none()))
}

#[tokio::test(start_paused = true)]
async fn sv2d_children_are_made_from_one_template_by_their_arguments() {
    let log = Log::default();
    let supervisor = numbers(&log).start().await.unwrap();
    let first = supervisor.start_child(7).await.unwrap();
    let second = supervisor.start_child(8).await.unwrap();
    supervisor.start_child_as("nine", 9).await.unwrap();
    settle().await;
    assert_eq!((first.as_str(), second.as_str()), ("n-1", "n-2"));
    assert_eq!(*log.lock().unwrap(), ["n-1=7", "n-2=8", "nine=9"]);
    assert!(matches!(
        supervisor.start_child_as("nine", 1).await,
        Err(CommandError::Duplicate)
    ));
    // Gone is gone: its id is free.
    supervisor.terminate("nine").await.unwrap();
    supervisor.terminate(first.as_str()).await.unwrap();
    assert!(matches!(
        supervisor.terminate("nine").await,
        Err(CommandError::NotFound)
    ));
    supervisor.start_child_as("nine", 10).await.unwrap();
    settle().await;
    assert_eq!(log.lock().unwrap().last().unwrap(), "nine=10");
    assert_eq!(supervisor.snapshot().children.len(), 2);
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
    assert!(matches!(
        supervisor.start_child(1).await,
        Err(CommandError::Over)
    ));
}

#[tokio::test(start_paused = true)]
async fn sv2e_there_are_never_more_than_max_children() {
    let supervisor = numbers(&Log::default()).max_children(3);
    let supervisor = supervisor.start().await.unwrap();
    let asked = (1..=10).map(|n| {
        let supervisor = supervisor.clone();
        tokio::spawn(async move { supervisor.start_child(n).await })
    });
    let mut answers = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        answers.push(asked.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    let full = |answer: &Result<_, _>| matches!(answer, Err(CommandError::Full));
    assert_eq!(answers.iter().filter(|answer| full(answer)).count(), 7);
    // A place that is given back is there for the next one.
    let id = answers
        .iter()
        .find_map(|answer| answer.as_ref().ok())
        .unwrap();
    supervisor.terminate(id.as_str()).await.unwrap();
    supervisor.start_child(11).await.unwrap();
    assert!(full(&supervisor.start_child(12).await));
    supervisor.stop().await;
    for max in [0, 10_000_001] {
        let refused = numbers(&Log::default()).max_children(max).start().await;
        assert!(refused.unwrap_err().to_string().contains("max_children"));
    }
    let grouped = numbers(&Log::default()).configure(|all| all.strategy(Strategy::OneForAll));
    assert!(
        grouped
            .start()
            .await
            .unwrap_err()
            .to_string()
            .contains("strategy")
    );
}

#[tokio::test(start_paused = true)]
async fn sv9f_they_are_stopped_together_on_one_deadline() {
    let supervisor = numbers(&Log::default()).start().await.unwrap();
    for n in 1..=50 {
        supervisor.start_child(-n).await.unwrap();
        supervisor.start_child(n).await.unwrap();
    }
    settle().await;
    let clock = Clock::tokio();
    let start = clock.now();
    let stop = {
        let supervisor = supervisor.clone();
        tokio::spawn(async move { supervisor.stop().await })
    };
    settle().await;
    tokio::time::advance(Duration::from_millis(1)).await;
    settle().await;
    let running = supervisor.snapshot();
    let running = running
        .children
        .iter()
        .filter(|child| child.last_exit.is_none());
    assert_eq!(
        running.count(),
        50,
        "those that stop by themselves are not kept waiting"
    );
    assert!(matches!(stop.await.unwrap(), Ended::Stopped));
    // The default stop timeout once, not fifty times.
    let took = clock.now().saturating_duration_since(start);
    assert_eq!(took.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn sv2f_one_that_fails_is_restarted_with_its_arguments_and_no_other_is_touched() {
    let log = Log::default();
    let budget = RestartBudget::new(2, 60 * SECOND);
    let supervisor = numbers(&log).configure(|all| all.budget(budget));
    let supervisor = supervisor.start().await.unwrap();
    supervisor.start_child_as("well", 5).await.unwrap();
    settle().await;
    supervisor.start_child_as("ill", 0).await.unwrap();
    let Ended::GaveUp(gave_up) = supervisor.ended().await else {
        panic!("it gave up");
    };
    assert_eq!(gave_up.child.as_str(), "ill");
    assert_eq!(*log.lock().unwrap(), ["well=5", "ill=0", "ill=0", "ill=0"]);
}

#[tokio::test(start_paused = true)]
async fn sv2g_as_a_child_it_is_restarted_empty_and_found_again() {
    let peers = DynamicSupervisor::builder("peers", |name: &'static str| {
        ChildSpec::new("peer", move |cx: ChildContext| async move {
            assert!(name != "bad", "a peer that panics");
            cx.cancelled().await;
            Ok::<_, std::io::Error>(())
        })
        .restart(Restart::Permanent)
        .stop(Stop::AtOnce)
    })
    .configure(|all| all.budget(RestartBudget::new(0, SECOND)));
    let root = Supervisor::builder("root")
        .backoff(RestartBackoff::none())
        .child(peers.child())
        .start()
        .await
        .unwrap();
    let first = peers.under(&root).unwrap();
    first.start_child("good").await.unwrap();
    let mut events = root.subscribe(many());
    first.start_child("bad").await.unwrap();
    assert!(matches!(first.ended().await, Ended::GaveUp(_)));
    settle().await;
    assert_eq!(
        kinds(&mut events),
        ["exited peers", "restarting peers", "started peers"]
    );
    let second = peers.under(&root).unwrap();
    assert_eq!(second.snapshot().children.len(), 0);
    // Ids that were generated are not given twice.
    assert_eq!(second.start_child("good").await.unwrap().as_str(), "peer-3");
    root.stop().await;
    assert!(peers.under(&root).is_none());
}

#[tokio::test]
async fn sv2h_thousands_come_and_go() {
    let supervisor = numbers(&Log::default()).max_children(20_000);
    let clock = Clock::manual().clock();
    let supervisor = supervisor
        .configure(|all| all.clock(clock))
        .start()
        .await
        .unwrap();
    for n in 1..=5_000 {
        supervisor.start_child(n).await.unwrap();
    }
    for n in (1..=5_000).step_by(2) {
        supervisor.terminate(&format!("n-{n}")).await.unwrap();
    }
    assert_eq!(supervisor.snapshot().children.len(), 2_500);
    for n in 1..=2_500 {
        supervisor.start_child(n).await.unwrap();
    }
    assert_eq!(supervisor.snapshot().children.len(), 5_000);
    assert!(matches!(supervisor.stop().await, Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn sv2d_what_is_over_takes_no_place() {
    let (end, ends) = tokio::sync::watch::channel(false);
    let supervisor = DynamicSupervisor::builder("jobs", move |restart: Restart| {
        let ends = ends.clone();
        ChildSpec::new("job", move |cx: ChildContext| {
            let mut ends = ends.clone();
            async move {
                drop(cx.spawn_blocking(|| ()));
                let _ = ends.wait_for(|end| *end).await;
                Ok::<_, std::io::Error>(())
            }
        })
        .restart(restart)
    });
    let supervisor = supervisor.max_children(2).start().await.unwrap();
    for restart in [Restart::Transient, Restart::Temporary] {
        supervisor.start_child(restart).await.unwrap();
    }
    let full = supervisor.start_child(Restart::Transient).await;
    assert!(matches!(full, Err(CommandError::Full)));
    end.send(true).unwrap();
    while !supervisor.snapshot().children.is_empty() {
        tokio::time::timeout(SECOND, tokio::task::yield_now())
            .await
            .unwrap();
    }
    supervisor.start_child(Restart::Temporary).await.unwrap();
    supervisor.stop().await;
}
