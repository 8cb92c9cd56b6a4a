//! A tree of 1,000 children under random failures, hangs, slow stops and operators, for a million
//! events of virtual time and on real threads. At no time: two incarnations of a child, a group out of
//! order, a restart beyond the budget, a command without an answer; and nothing is left after a stop.
//!
//! `BACKSTOP_SOAK=1` runs the long settings.

use crate::soak_rig::{Ear, Pace, Place, World, group_name, name};
use backstop::kernel::clock::Clock;
use backstop::supervise::child::ChildSpec;
use backstop::supervise::supervisor::{CommandError, Phase, Strategy, Supervisor};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::yield_now;

fn is_long() -> bool {
    std::env::var_os("BACKSTOP_SOAK").is_some()
}

/// A command, until it is answered.
async fn command(world: &World, root: &Supervisor) {
    let at = usize::try_from(world.roll(world.groups().len() as u64)).expect("few");
    let children = world.groups()[at].children as u64;
    if world.roll(200) == 0 {
        // The whole group, and back again.
        let _ = root.terminate(&group_name(at)).await;
        let _ = root.restart(&group_name(at)).await;
        return world.happens("bounce");
    }
    let Some(group) = root.nested(&group_name(at)) else {
        return;
    };
    // Of those that were listed, and of some that are added at the end.
    let extra = world.roll(8) == 0;
    let turn = if extra {
        children + world.roll(4)
    } else {
        world.roll(children)
    };
    let place: Place = (at, usize::try_from(turn).expect("few"));
    let id = name(place.1);
    world.command(place);
    let kind = match (world.roll(3), extra) {
        (0, true) => {
            let _ = group.add(world.child(place)).await;
            "add"
        }
        (1, true) => {
            let _ = group.delete(&id).await;
            "delete"
        }
        (0, _) => {
            let _ = group.terminate(&id).await;
            "terminate"
        }
        _ => {
            let _ = group.restart(&id).await;
            "restart"
        }
    };
    world.commanded(place);
    world.happens(kind);
}

async fn start(world: &World) -> Supervisor {
    let root = world.tree().start().await.expect("it starts");
    world.unleash();
    root
}

/// Gives commands, one after the other, until the tree has ended. Each is answered in time.
async fn operator(world: World, root: Supervisor, longest: Duration, pause: Duration) {
    while root.snapshot().phase != Phase::Ended {
        let began = world.clock().now();
        command(&world, &root).await;
        let took = world.clock().now().saturating_duration_since(began);
        if took > longest {
            world.wrong(format!("a command took {took:?}"));
        }
        let rest = world.clock().sleep_until(world.clock().now() + pause);
        rest.expect("a runtime").await;
    }
}

/// One thread, and a clock that is moved by hand.
const BY_HAND: Pace = Pace {
    life: 120_000,
    slow: 900,
    stop_timeout: 1_000,
    backoff: 2_000,
    window: 60_000,
    slack: 0,
    blocks: false,
    lingers: 0,
};

fn seed() -> u64 {
    let seed = std::env::var("BACKSTOP_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("BACKSTOP_SEED={seed}");
    seed
}

#[test]
fn a_million_events_of_virtual_time() {
    let events = if is_long() { 1_000_000 } else { 60_000 };
    let world = by_hand(BY_HAND, events, seed());
    world.verdict(true);
}

/// What a model took for a restart too few: an orphan makes the supervisor of a group give up at any
/// count of restarts, and says so.
#[test]
fn orphans_are_no_spent_budget() {
    let pace = Pace {
        lingers: 40,
        ..BY_HAND
    };
    let world = by_hand(pace, 20_000, seed());
    world.verdict(false);
    for kind in ["orphaned", "gave_up", "gave_up of an orphan"] {
        assert!(world.times(kind) > 0, "{kind:?} never happened");
    }
}

/// Runs the tree until so much has happened, and stops it.
fn by_hand(pace: Pace, events: u64, seed: u64) -> World {
    let manual = Clock::manual();
    let world = World::new(pace, manual.clock(), seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let ear = Ear(world.clone());
    tracing::subscriber::with_default(ear, || {
        runtime.block_on(async {
            let root = start(&world).await;
            let operators: Vec<_> = (0..8)
                .map(|at| {
                    let pause = Duration::from_millis(200 + 100 * at);
                    let longest = Duration::from_secs(120);
                    tokio::spawn(operator(world.clone(), root.clone(), longest, pause))
                })
                .collect();
            while world.happened() < events {
                manual.advance(Duration::from_millis(1 + world.roll(60)));
                world.let_go(false);
                for _ in 0..=world.roll(4) {
                    yield_now().await;
                }
            }
            let watched = root.clone();
            let mut rounds = 0;
            let ended = tokio::spawn(async move { root.stop().await });
            while !ended.is_finished() || operators.iter().any(|operator| !operator.is_finished()) {
                manual.advance(Duration::from_millis(20));
                world.let_go(true);
                yield_now().await;
                rounds += 1;
                assert!(
                    rounds < 100_000,
                    "a stop or a command hangs: {:#?}",
                    watched.snapshot()
                );
            }
            for operator in operators {
                operator.await.expect("no panic");
            }
            // What was aborted is dropped in its turn.
            for _ in 0..100 {
                yield_now().await;
            }
        });
    });
    assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a task is left");
    println!("{} events: {:?}", world.happened(), world.figures());
    world
}

/// Four workers and the system's clock, with children that block their workers at times.
#[test]
fn a_minute_of_real_time() {
    let length = Duration::from_secs(if is_long() { 60 } else { 2 });
    let pace = Pace {
        life: 4_000,
        slow: 40,
        stop_timeout: 60,
        backoff: 20,
        window: 2_000,
        // A busy machine may hold a thread between a decision and its report.
        slack: 500,
        blocks: true,
        lingers: 0,
    };
    let clock = Clock::system();
    let world = World::new(pace, clock.clone(), fastrand::u64(..));
    let ear = world.clone();
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        // For as long as the thread lives, and it is this test's.
        .on_thread_start(move || std::mem::forget(tracing::subscriber::set_default(Ear(ear.clone()))))
        .build()
        .expect("a runtime");
    let all = runtime.spawn({
        let world = world.clone();
        async move {
            let root = start(&world).await;
            let operators: Vec<_> = (0..8)
                .map(|at| {
                    let pause = Duration::from_millis(1 + at);
                    let longest = Duration::from_secs(20);
                    tokio::spawn(operator(world.clone(), root.clone(), longest, pause))
                })
                .collect();
            let rest = world.clock().sleep_until(world.clock().now() + length);
            rest.expect("a runtime").await;
            root.stop().await;
            for operator in operators {
                operator.await.expect("no panic");
            }
        }
    });
    runtime.block_on(all).expect("no panic");
    let until = clock.now() + Duration::from_secs(10);
    while runtime.metrics().num_alive_tasks() > 0 && clock.now() < until {
        clock.park_until(clock.now() + Duration::from_millis(1));
    }
    assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a task is left");
    println!("{} events: {:?}", world.happened(), world.figures());
    // On a busy machine a short run may miss some.
    world.verdict(is_long());
}

/// The soak found it: a start that waits for its group's turn was not answered when the supervisor ended
/// meanwhile, as long as somebody held its handle.
#[test]
fn a_start_whose_turn_never_comes_is_answered() {
    let manual = Clock::manual();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (fail, told) = tokio::sync::oneshot::channel::<()>();
        let told = std::sync::Mutex::new(Some(told));
        let failing = ChildSpec::new("failing", move |cx| {
            let told = told.lock().expect("no panic").take();
            async move {
                if let Some(told) = told {
                    told.await.map_err(|_| "planned")
                } else {
                    cx.cancelled().await;
                    Ok(())
                }
            }
        });
        let waiting = |name: &'static str| {
            ChildSpec::new(name, |cx| async move {
                cx.cancelled().await;
                Ok::<_, &str>(())
            })
        };
        let root = Supervisor::builder("root")
            .strategy(Strategy::OneForAll)
            .clock(manual.clock())
            .child(failing)
            .start()
            .await
            .expect("it starts");
        drop(fail);
        while root.snapshot().phase != Phase::Restarting {
            yield_now().await;
        }
        // The group waits for its back-off, and the new child for the group.
        let added = tokio::spawn({
            let root = root.clone();
            async move { root.add(waiting("added")).await }
        });
        while root.snapshot().child("added").is_none() {
            yield_now().await;
        }
        root.stop().await;
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(added.is_finished(), "it waits for ever");
        let answer = added.await.expect("no panic");
        assert!(matches!(answer, Err(CommandError::Over)), "{answer:?}");
    });
}
