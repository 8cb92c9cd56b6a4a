//! A tree one can see: snapshots, text, events, health.

use crate::rig::{Order, Rig, kinds, many, prompt, settle};
use backstop::health::check::Level;
use backstop::health::tree::{Component, HealthTree};
use backstop::kernel::event::Subscriber;
use backstop::kernel::name::Name;
use backstop::supervise::budget::{Pausing, RestartBackoff, RestartBudget};
use backstop::supervise::child::{ChildContext, ChildSpec, SpentHook, WhenSpent};
use backstop::supervise::supervisor::{ChildState, Phase, Supervisor, TreeEvent};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn wait() -> RestartBackoff {
    RestartBackoff::exponential(SECOND, 1.0, SECOND).jitter(0.0)
}

/// `root` with `a`, with `slow` in its back-off, and with `pool`, a supervisor with one worker.
async fn tree(rig: &Rig) -> Supervisor {
    let root = prompt("root")
        .child(rig.child("a"))
        .child(rig.child("slow").backoff(wait()))
        .child_supervisor(prompt("pool").child(rig.child("worker")))
        .start()
        .await
        .unwrap();
    settle().await;
    tokio::time::advance(125 * SECOND).await;
    rig.tell("slow", Order::Fail);
    rig.tell("worker", Order::Fail);
    settle().await;
    tokio::time::advance(Duration::from_millis(250)).await;
    root
}

#[tokio::test(start_paused = true)]
async fn sv16a_a_snapshot_holds_everything_nested_supervisors_included() {
    let rig = Rig::default();
    let root = tree(&rig).await;
    let seen = root.snapshot();
    assert_eq!((seen.name.as_str(), seen.phase), ("root", Phase::Running));
    assert_eq!((seen.restarts_in_window, seen.pause_left), (1, None));
    let a = seen.child("a").unwrap();
    assert_eq!((a.state, a.incarnation), (ChildState::Running, 1));
    assert_eq!(a.uptime, Some(Duration::from_millis(125_250)));
    assert!(a.last_exit.is_none() && a.restarts_in.is_none());
    let slow = seen.child("slow").unwrap();
    assert_eq!((slow.state, slow.uptime), (ChildState::Backoff, None));
    assert_eq!(slow.restarts_in, Some(Duration::from_millis(750)));
    let pool = seen.child("pool").unwrap().tree.as_ref().unwrap();
    assert_eq!((pool.name.as_str(), pool.restarts_in_window), ("pool", 1));
    let worker = pool.child("worker").unwrap();
    assert_eq!((worker.state, worker.incarnation), (ChildState::Running, 2));
    assert_eq!(worker.uptime, Some(Duration::from_millis(250)));
    assert_eq!(worker.last_exit.as_ref().unwrap().as_str(), "error");
    root.stop().await;
    let seen = root.snapshot();
    assert_eq!(seen.phase, Phase::Ended);
    assert!(seen.children.iter().all(|child| child.tree.is_none()));
}

#[tokio::test(start_paused = true)]
async fn sv16b_it_is_one_line_per_child() {
    let rig = Rig::default();
    let root = tree(&rig).await;
    let expected = "\
root: running, 1 restart in its window
|- a     running #1, up 2m 5s
|- slow  backoff #1, restarts in 750ms, ended with an error: told to fail
`- pool  running #1, up 2m 5s, supervisor pool: running, 1 restart in its window
   `- worker  running #2, up 250ms";
    assert_eq!(root.snapshot().to_string(), expected);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv16b_what_an_earlier_incarnation_ended_of_is_not_told_of_the_next() {
    let deaf = ChildSpec::new("deaf", |cx: ChildContext| async move {
        if cx.incarnation() == 1 {
            return Err(std::io::Error::other("told to fail"));
        }
        std::future::pending().await
    });
    let root = prompt("root").child(deaf).start().await.unwrap();
    settle().await;
    let stopping = tokio::spawn({
        let root = root.clone();
        async move { root.stop().await }
    });
    settle().await;
    let seen = root.snapshot();
    let state = seen.child("deaf").unwrap().state;
    assert_eq!(state, ChildState::Stopping);
    assert!(!seen.to_string().contains("told to fail"), "{seen}");
    stopping.await.unwrap();
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn sv16b_it_is_json() {
    let rig = Rig::default();
    let root = tree(&rig).await;
    let json = serde_json::to_value(root.snapshot()).unwrap();
    let expected = serde_json::json!({
        "name": "root",
        "phase": "running",
        "restarts_in_window": 1,
        "children": [
            {
                "id": "a", "state": "running", "restart": "permanent", "incarnation": 1,
                "uptime": "2m 5s 250ms",
            },
            {
                "id": "slow", "state": "backoff", "restart": "permanent", "incarnation": 1,
                "restarts_in": "750ms",
                "last_exit": { "kind": "error", "message": "ended with an error: told to fail" },
                "last_failure": {
                    "incarnation": 1, "kind": "error",
                    "message": "ended with an error: told to fail",
                },
            },
            {
                "id": "pool", "state": "running", "restart": "permanent", "incarnation": 1,
                "uptime": "2m 5s 250ms",
                "tree": {
                    "name": "pool",
                    "phase": "running",
                    "restarts_in_window": 1,
                    "children": [{
                        "id": "worker", "state": "running", "restart": "permanent",
                        "incarnation": 2, "uptime": "250ms",
                        "last_exit": {
                            "kind": "error", "message": "ended with an error: told to fail",
                        },
                        "last_failure": {
                            "incarnation": 1, "kind": "error",
                            "message": "ended with an error: told to fail",
                        },
                    }],
                },
            },
        ],
    });
    assert_eq!(json, expected);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn sv16c_events_are_numbered_without_a_gap_in_their_order() {
    let rig = Rig::default();
    let root = prompt("root").child(rig.child("a")).child(rig.child("b"));
    let root = root.start().await.unwrap();
    let mut events = root.subscribe(many());
    settle().await;
    for id in ["a", "b", "a"] {
        rig.tell(id, Order::Panic);
        settle().await;
        tokio::time::advance(SECOND).await;
    }
    // A subscriber that is too slow sees by the numbers what it lost.
    let mut slow = root.subscribe(1.try_into().unwrap());
    root.terminate("a").await.unwrap();
    root.stop().await;
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
    let first = told[0].seq;
    for (n, event) in (first..).zip(&told) {
        assert_eq!(event.seq, n);
    }
    assert!(told.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let what: Vec<_> = told.iter().map(|event| event.kind.as_str()).collect();
    let crash = ["exited", "restarting", "started"];
    assert_eq!(what[..9], [crash, crash, crash].concat());
    assert_eq!(what.last(), Some(&"ended"));
    let last = slow.try_recv().unwrap();
    assert_eq!(
        (last.seq, slow.lost() > 0),
        (told.last().unwrap().seq, true)
    );
    assert!(
        first > 2,
        "nobody listened to its first start, and it was numbered all the same"
    );
}

/// What the check of a supervisor says, in a tree of its own.
async fn health(root: &Supervisor) -> Option<String> {
    let tree = HealthTree::builder("shop")
        .component(Component::new("root").check(root.health_check("tree", Level::Critical)))
        .build()
        .unwrap();
    tree.start().unwrap();
    settle().await;
    let component = tree.snapshot().component("root").cloned().unwrap();
    let result = component.checks[0].result.clone().expect("it ran");
    tree.stop();
    result.message.map(|message| message.to_string())
}

#[tokio::test(start_paused = true)]
async fn sv16d_a_supervisor_is_a_health_check() {
    let rig = Rig::default();
    let spent = rig
        .child("spent")
        .budget(RestartBudget::new(0, SECOND))
        .when_spent(WhenSpent::Report(SpentHook::new(|_| ())));
    let root = prompt("root")
        .pausing(Pausing::default().threshold(1.0))
        .child(rig.child("a"))
        .child(spent)
        .child_supervisor(prompt("pool").child(rig.child("worker").backoff(wait())))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(health(&root).await, None);
    // What an operator stopped is no failure.
    root.terminate("a").await.unwrap();
    assert_eq!(health(&root).await, None);
    root.restart("a").await.unwrap();
    rig.tell("worker", Order::Fail);
    settle().await;
    assert_eq!(
        health(&root).await.unwrap(),
        "1 down: pool/worker waits for its restart (ended with an error: told to fail)"
    );
    tokio::time::advance(2 * SECOND).await;
    settle().await;
    assert_eq!(health(&root).await, None);
    rig.tell("spent", Order::Fail);
    settle().await;
    let message = health(&root).await.unwrap();
    assert!(
        message.starts_with("1 down: spent has spent its budget"),
        "{message}"
    );
    for _ in 0..2 {
        rig.tell("a", Order::Fail);
        settle().await;
    }
    let message = health(&root).await.unwrap();
    assert!(
        message.starts_with("root pauses; 2 down: a waits"),
        "{message}"
    );
    root.stop().await;
    assert_eq!(
        health(&root).await.unwrap(),
        "root: stopped as it was told to"
    );
}

fn told(events: &mut Subscriber<TreeEvent>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv())
        .map(
            |TreeEvent {
                 path,
                 incarnation,
                 event,
                 ..
             }| {
                let child = event.kind.child().map_or("", Name::as_str);
                format!(
                    "{path}#{incarnation} {} {} {child}",
                    event.seq,
                    event.kind.as_str()
                )
            },
        )
        .collect()
}

#[tokio::test(start_paused = true)]
async fn sv16e_one_subscription_hears_the_whole_tree() {
    let rig = Rig::default();
    let pool = prompt("pool")
        .budget(RestartBudget::new(0, SECOND))
        .child(rig.child("worker"));
    // A supervisor under another id than its name is found by that id.
    let pool = ChildSpec::supervisor(pool).renamed("left");
    let root = prompt("root").child(rig.child("a")).child(pool);
    let root = root.start().await.unwrap();
    settle().await;
    let mut all = root.subscribe_tree(many());
    let mut part = root.nested("left").unwrap().subscribe_tree(many());
    let mut slow = root.subscribe_tree(2.try_into().unwrap());
    rig.tell("a", Order::Fail);
    settle().await;
    let own = [
        "root#1 3 exited a",
        "root#1 4 restarting a",
        "root#1 5 started a",
    ];
    assert_eq!(told(&mut all), own);
    assert_eq!(told(&mut part), Vec::<String>::new());
    // It gives up, and comes again as another incarnation, which numbers its events anew.
    rig.tell("worker", Order::Fail);
    settle().await;
    let below = [
        "root/left#1 2 exited worker",
        "root/left#1 3 gave_up worker",
        "root/left#1 4 ended ",
    ];
    let above = ["root#1 6 exited left", "root#1 7 restarting left"];
    let again = ["root/left#2 1 started worker", "root#1 8 started left"];
    assert_eq!(told(&mut all), [&below[..], &above, &again].concat());
    assert_eq!(told(&mut part), below);
    assert_eq!(told(&mut slow), again);
    assert_eq!(slow.lost(), 8);
    // What it was a part of is gone, and so it ends.
    assert!(part.recv().await.is_none());
    root.stop().await;
    let last = told(&mut all);
    assert_eq!(last.last().unwrap(), "root#1 11 ended ");
    drop(root);
    settle().await;
    assert!(all.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn sv16e_a_subscriber_anywhere_is_no_subscriber_elsewhere() {
    let rig = Rig::default();
    let inner = |name, child| prompt(name).child(rig.child(child));
    let root = prompt("root")
        .child_supervisor(inner("left", "a"))
        .child_supervisor(inner("right", "b"));
    let root = root.start().await.unwrap();
    settle().await;
    let mut left = root.nested("left").unwrap().subscribe_tree(many());
    let mut own = root.subscribe(many());
    rig.tell("b", Order::Fail);
    settle().await;
    assert_eq!(told(&mut left), Vec::<String>::new());
    assert_eq!(kinds(&mut own), Vec::<String>::new());
    rig.tell("a", Order::Fail);
    settle().await;
    assert_eq!(told(&mut left).len(), 3);
    root.stop().await;
}
