//! What somebody would try to break first.

use super::rig::{SECOND, build, reported, reporter, with_checks};
use backstop::health::check::{Check, Level, RecoveryAction, Status};
use backstop::health::tree::{Component, HealthTree};
use backstop::kernel::clock::Clock;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[expect(clippy::disallowed_methods, reason = "the clock of a paused runtime")]
async fn pass(seconds: u32) {
    tokio::time::sleep(seconds * SECOND).await;
}

/// Counts how many of it there are.
struct Alive(Arc<AtomicU32>);

impl Alive {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_dropped_while_checks_run_leaves_nothing_behind() {
    let alive = Arc::new(AtomicU32::new(0));
    let mut builder = HealthTree::builder("root").clock(Clock::tokio());
    for n in 0..50 {
        // What the closure holds, and what its run holds.
        let (held, count) = (Alive::new(&alive), alive.clone());
        builder = builder.check(Check::new(n.to_string(), Level::Critical, move || {
            let _ = &held;
            let run = Alive::new(&count);
            async move {
                let _run = run;
                std::future::pending::<io::Result<()>>().await
            }
        }));
    }
    let tree = build(builder.check(reported("told", Level::Critical)));
    tree.start().expect("a runtime");
    let told = reporter(&tree, "root", "told");
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(alive.load(Ordering::SeqCst), 100);
    drop(tree);
    pass(1).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert!(!told.passed());
}

#[tokio::test(start_paused = true)]
async fn a_static_tree_and_a_second_start() {
    let count = Arc::new(AtomicU32::new(0));
    let runs = count.clone();
    let check = Check::new("ping", Level::Critical, move || {
        runs.fetch_add(1, Ordering::SeqCst);
        async { io::Result::Ok(()) }
    });
    let tree = build(
        HealthTree::builder("root")
            .clock(Clock::tokio())
            .check(check),
    );
    let tree: &'static HealthTree = Box::leak(Box::new(tree));
    let copy = HealthTree::from(tree);
    tree.start().expect("a runtime");
    copy.start().expect("a runtime");
    pass(5).await;
    assert_eq!(
        (count.load(Ordering::SeqCst), copy.status()),
        (1, Status::Healthy)
    );
    let running = tokio::spawn(async move { copy.run().await.map(drop) });
    pass(10).await;
    running.abort();
    pass(60).await;
    assert_eq!(
        (count.load(Ordering::SeqCst), tree.status()),
        (2, Status::Unknown)
    );
    tree.start().expect("a runtime");
    pass(1).await;
    assert_eq!(tree.status(), Status::Healthy);
}

#[test]
fn without_a_runtime_it_says_so() {
    let tree = build(HealthTree::builder("root").check(reported("told", Level::Critical)));
    assert!(tree.start().is_err());
    reporter(&tree, "root", "told").passed();
    assert_eq!(tree.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_closure_and_in_the_display_of_an_error_is_a_failure() {
    #[derive(Debug)]
    struct Bad;
    impl std::fmt::Display for Bad {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words for it")
        }
    }
    impl std::error::Error for Bad {}
    type Never = std::future::Ready<io::Result<()>>;
    let check = |name, is_bad: bool| {
        if is_bad {
            Check::new(name, Level::Critical, || async { Err::<(), _>(Bad) })
        } else {
            Check::new(name, Level::Critical, || -> Never { panic!("at once") })
        }
    };
    let db = with_checks("db", [check("a", false), check("b", true)]);
    let tree = build(
        HealthTree::builder("root")
            .clock(Clock::tokio())
            .component(db),
    );
    tree.start().expect("a runtime");
    pass(25).await;
    assert_eq!(tree.status(), Status::Unhealthy);
    assert_eq!(super::rig::check(&tree, "a").1, "at once");
    assert_eq!(super::rig::check(&tree, "b").1, "no words for it");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_stops_nothing_for_ever() {
    let clock = Clock::manual();
    let check = Check::new("ping", Level::Critical, || async { io::Result::Ok(()) });
    let tree = build(HealthTree::builder("root").clock(&clock).check(check));
    tree.start().expect("a runtime");
    let settle = async || {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    assert_eq!(tree.status(), Status::Healthy);
    clock.step_back(3600 * SECOND);
    settle().await;
    assert_eq!(tree.status(), Status::Healthy);
    clock.advance(3621 * SECOND);
    settle().await;
    assert_eq!(tree.status(), Status::Healthy);
}

/// A listener that asks the tree from within its waker.
#[test]
fn wakers_may_ask_the_tree() {
    struct Asks(HealthTree, AtomicU32);
    impl futures::task::ArcWake for Asks {
        fn wake_by_ref(this: &Arc<Self>) {
            let _ = (this.0.status(), this.0.snapshot());
            this.0.root().set_status(None);
            this.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let tree = build(HealthTree::builder("root").check(reported("told", Level::Critical)));
    let asks = Arc::new(Asks(tree.clone(), AtomicU32::new(0)));
    let waker = futures::task::waker(asks.clone());
    let mut cx = std::task::Context::from_waker(&waker);
    let mut watch = tree.watch();
    let mut events = tree.subscribe(NonZeroUsize::MIN);
    let mut changed = std::pin::pin!(watch.changed());
    let mut event = std::pin::pin!(events.recv());
    assert!(changed.as_mut().poll(&mut cx).is_pending());
    assert!(event.as_mut().poll(&mut cx).is_pending());
    reporter(&tree, "root", "told").passed();
    assert_eq!(asks.1.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_components() {
    let mut builder = HealthTree::builder("root").clock(Clock::tokio());
    let count = Arc::new(AtomicU32::new(0));
    for group in 0..100 {
        let mut parent = Component::new(format!("g{group}"));
        for n in 0..99 {
            let count = count.clone();
            let check = Check::new("ping", Level::Critical, move || {
                count.fetch_add(1, Ordering::Relaxed);
                let is_sick = group == 7 && n == 7;
                async move { if is_sick { Err("sick") } else { Ok(()) } }
            });
            parent = parent.component(Component::new(format!("g{group}-{n}")).check(check));
        }
        builder = builder.component(parent);
    }
    let tree = build(builder);
    tree.start().expect("a runtime");
    pass(25).await;
    assert_eq!(count.load(Ordering::Relaxed), 3 * 9_900);
    assert_eq!(tree.status(), Status::Unhealthy);
    let sick = tree
        .snapshot()
        .components()
        .iter()
        .filter(|it| it.health.status != Status::Healthy)
        .count();
    assert_eq!(sick, 3);
    // A chain is as deep as somebody made it.
    let mut chain = Component::new("leaf").check(reported("told", Level::Critical));
    for n in 0..10_000 {
        chain = Component::new(format!("n{n}")).component(chain);
    }
    let tree = build(HealthTree::builder("top").component(chain));
    reporter(&tree, "leaf", "told").failed("x");
    assert_eq!(tree.status(), Status::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn an_action_that_blocks_on_is_not_run_beside_itself() {
    let count = Arc::new(AtomicU32::new(0));
    let seen = count.clone();
    let act = RecoveryAction::new("db", move || {
        let seen = seen.clone();
        async move {
            let _alive = Alive::new(&seen);
            assert_eq!(seen.load(Ordering::SeqCst), 1);
            std::future::pending::<io::Result<()>>().await
        }
    });
    let check = reported("told", Level::Critical).recovery(act.retries(5));
    let tree = build(
        HealthTree::builder("root")
            .clock(Clock::tokio())
            .check(check),
    );
    tree.start().expect("a runtime");
    for _ in 0..1000 {
        reporter(&tree, "root", "told").failed("x");
        pass(1).await;
        assert!(count.load(Ordering::SeqCst) <= 1);
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

/// Under many threads the words that are read are those of the machine once all is quiet, and counts
/// come out even.
#[test]
fn many_threads_report_read_and_set() {
    let clock = Clock::manual();
    let mut root = HealthTree::builder("root").clock(&clock);
    for n in 0..8 {
        let check = reported("told", Level::Critical);
        let leaf = Component::new(format!("leaf{n}")).check(check);
        root = root.component(Component::new(format!("group{n}")).component(leaf));
    }
    let tree = build(root);
    let leaf = |n: usize| tree.component(&format!("leaf{n}")).expect("it is there");
    std::thread::scope(|scope| {
        for thread in 0..64_usize {
            let (tree, clock) = (&tree, &clock);
            let (own, other) = (leaf(thread % 8), leaf((thread + 3) % 8));
            scope.spawn(move || {
                let told = own.reporter("told").expect("it is there");
                for n in 0..300 {
                    match (n + thread) % 7 {
                        0 => clock.advance(SECOND),
                        1 => other.set_status(Status::OutOfService),
                        2 => other.set_status(None),
                        3 => tree.maintenance(n % 2 == 0),
                        4 | 5 => assert!(told.failed("x")),
                        _ => assert!(told.passed()),
                    }
                    let _ = (tree.status(), own.status(), tree.is_alive());
                }
            });
        }
    });
    for component in tree.snapshot().components() {
        let handle = tree
            .component(component.name.as_str())
            .expect("it is there");
        assert_eq!(handle.health(), component.health, "{}", component.name);
    }
    for n in 0..8 {
        leaf(n).set_status(None);
        leaf(n).reporter("told").expect("it is there").passed();
    }
    assert_eq!(tree.status(), Status::Healthy);
}
