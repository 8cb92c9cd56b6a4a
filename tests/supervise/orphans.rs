//! Children that block, in real time: deadlines are kept from outside the runtime.
//!
//! Each test bounds its own time: what blocks does so for [`BLOCKED`] at most, and what must not wait
//! for it is given [`SOON`].

use crate::rig::{kinds, many};
use backstop::kernel::clock::{Clock, NoRuntime};
use backstop::supervise::budget::RestartBackoff;
use backstop::supervise::child::{ChildContext, ChildSpec, FailureCause, Readiness, Restart, Stop};
use backstop::supervise::supervisor::{
    ChildState, CommandError, DynamicSupervisor, Ended, StartError, Supervisor, SupervisorBuilder,
    Terminated,
};
use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const BLOCKED: Duration = Duration::from_secs(4);
const SOON: Duration = Duration::from_millis(1_500);
const MS: Duration = Duration::from_millis(1);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn real_time() -> SupervisorBuilder {
    Supervisor::builder("tree")
        .clock(Clock::system())
        .backoff(RestartBackoff::none())
}

/// What blocks waits here, for a test that is done with it, or for [`BLOCKED`].
#[derive(Clone)]
struct Brake(Arc<Mutex<Receiver<()>>>);

impl Brake {
    fn new() -> (Self, Sender<()>) {
        let (release, released) = channel();
        (Self(Arc::new(Mutex::new(released))), release)
    }

    fn block(&self) {
        let _ = self.0.lock().unwrap().recv_timeout(BLOCKED);
    }
}

/// Says that it is ready and then blocks its worker, in one poll.
fn blocks_when_ready(id: &'static str, brake: &Brake) -> ChildSpec {
    let brake = brake.clone();
    ChildSpec::new(id, move |cx: ChildContext| {
        let brake = brake.clone();
        async move {
            cx.ready();
            brake.block();
            pending::<Result<(), Infallible>>().await
        }
    })
    .readiness(Readiness::Explicit)
    .stop(Stop::After(200 * MS))
}

/// How long something takes, by a clock that nothing here can stop.
struct Since(Clock, backstop::kernel::instant::Instant);

impl Since {
    fn now() -> Self {
        let clock = Clock::system();
        let now = clock.now();
        Self(clock, now)
    }

    fn elapsed(&self) -> Duration {
        self.0.now().saturating_duration_since(self.1)
    }
}

#[test]
fn sv11a_a_child_that_blocks_after_ready_holds_up_neither_its_stop_nor_its_siblings() {
    for workers in [2, 4, 8] {
        let runtime = runtime(workers);
        let (brake, release) = Brake::new();
        runtime.block_on(async {
            let start = Since::now();
            let supervisor = real_time()
                .child(blocks_when_ready("blocks", &brake))
                .start()
                .await
                .unwrap();
            assert!(start.elapsed() < SOON, "{workers}: its start waited");
            let mut events = supervisor.subscribe(many());
            let stop = Since::now();
            let stopped = supervisor.terminate("blocks").await;
            assert!(matches!(stopped, Ok(Terminated::Orphaned)), "{stopped:?}");
            assert!(stop.elapsed() >= 300 * MS);
            assert!(stop.elapsed() < SOON, "{workers}: its stop waited");
            // It is told of, and not doubled.
            assert_eq!(kinds(&mut events), ["orphaned blocks"]);
            assert!(matches!(
                supervisor.restart("blocks").await,
                Err(CommandError::Orphaned)
            ));
            let tree = supervisor.snapshot();
            let child = tree.child("blocks").unwrap();
            assert_eq!((child.state, child.incarnation), (ChildState::Orphaned, 1));
            let stop = Since::now();
            assert!(matches!(supervisor.stop().await, Ended::Stopped));
            assert!(stop.elapsed() < SOON, "{workers}: the end waited");
        });
        drop(release);
    }
}

#[test]
fn sv11a_a_whole_tree_stops_in_time_although_all_workers_but_one_are_blocked() {
    let runtime = runtime(4);
    let (brake, release) = Brake::new();
    runtime.block_on(async {
        let supervisor = real_time()
            .child(blocks_when_ready("a", &brake))
            .child(blocks_when_ready("b", &brake))
            .child(blocks_when_ready("c", &brake))
            .start()
            .await
            .unwrap();
        let mut events = supervisor.subscribe(many());
        let stop = Since::now();
        assert!(matches!(supervisor.stop().await, Ended::Stopped));
        // One after the other, 300 ms each.
        assert!(stop.elapsed() >= 900 * MS);
        assert!(stop.elapsed() < 900 * MS + SOON);
        assert_eq!(
            kinds(&mut events),
            ["orphaned c", "orphaned b", "orphaned a", "ended"]
        );
    });
    drop(release);
}

#[test]
fn sv11b_a_start_that_blocks_is_a_failed_one_when_its_time_is_over() {
    let runtime = runtime(2);
    let (brake, release) = Brake::new();
    runtime.block_on(async {
        let start = Since::now();
        let its_brake = brake.clone();
        let child = ChildSpec::new("blocks", move |_| {
            let brake = its_brake.clone();
            async move {
                brake.block();
                Ok::<_, Infallible>(())
            }
        })
        .readiness(Readiness::Explicit)
        .start_timeout(100 * MS)
        .stop(Stop::AtOnce);
        let started = real_time().child(child).start().await;
        assert!(start.elapsed() < SOON);
        assert!(matches!(
            started,
            Err(StartError::Child {
                cause: FailureCause::StartTimeout,
                ..
            })
        ));
    });
    drop(release);
}

#[test]
fn sv11c_blocking_work_that_outlives_the_abort_makes_an_orphan_until_it_ends() {
    let runtime = runtime(2);
    let (brake, release) = Brake::new();
    runtime.block_on(async {
        let child = ChildSpec::new("works", move |cx: ChildContext| {
            let brake = brake.clone();
            async move {
                drop(cx.spawn_blocking(move || brake.block()));
                cx.ready();
                cx.cancelled().await;
                Ok::<_, Infallible>(())
            }
        })
        .readiness(Readiness::Explicit)
        .stop(Stop::After(100 * MS));
        let supervisor = real_time().child(child).start().await.unwrap();
        let mut events = supervisor.subscribe(many());
        let stop = Since::now();
        let stopped = supervisor.terminate("works").await;
        assert!(matches!(stopped, Ok(Terminated::Orphaned)), "{stopped:?}");
        assert!(stop.elapsed() < SOON);
        assert!(matches!(
            supervisor.restart("works").await,
            Err(CommandError::Orphaned)
        ));
        drop(release);
        let told = async {
            while !kinds(&mut events).contains(&"orphan_ended works".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BLOCKED, told).await.unwrap();
        supervisor.restart("works").await.unwrap();
        assert_eq!(supervisor.snapshot().child("works").unwrap().incarnation, 2);
        supervisor.stop().await;
    });
}

#[test]
fn sv11d_a_child_declared_as_blocking_holds_up_not_even_the_only_thread() {
    // Under tokio's clock there is no thread but the runtime's own.
    for clock in [Clock::tokio(), Clock::system()] {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (brake, release) = Brake::new();
        runtime.block_on(async {
            let child = blocks_when_ready("blocks", &brake).blocking(true);
            let start = Since::now();
            let supervisor = Supervisor::builder("tree").clock(clock).child(child);
            let supervisor = supervisor.start().await.unwrap();
            let stopped = supervisor.terminate("blocks").await;
            assert!(matches!(stopped, Ok(Terminated::Orphaned)), "{stopped:?}");
            assert!(start.elapsed() < SOON);
            supervisor.stop().await;
        });
        drop(release);
    }
}

#[test]
fn sv11d_a_blocking_child_that_awaits_is_aborted_there() {
    let runtime = runtime(2);
    runtime.block_on(async {
        let child = ChildSpec::new("waits", |_| pending::<Result<(), Infallible>>())
            .blocking(true)
            .restart(Restart::Temporary)
            .stop(Stop::AtOnce);
        let supervisor = real_time().child(child).start().await.unwrap();
        let stopped = supervisor.terminate("waits").await;
        assert!(matches!(stopped, Ok(Terminated::Stopped(_))), "{stopped:?}");
        supervisor.stop().await;
    });
}

#[test]
fn sv11a_sv14a_sv2d_a_child_that_blocks_misses_its_heartbeat_and_is_found_and_not_doubled() {
    for workers in [2, 4, 8] {
        let runtime = runtime(workers);
        let (brake, release) = Brake::new();
        runtime.block_on(async {
            let its_brake = brake.clone();
            let supervisor = DynamicSupervisor::builder("tree", move |()| {
                let brake = its_brake.clone();
                ChildSpec::new("n", move |cx: ChildContext| {
                    let brake = brake.clone();
                    async move {
                        cx.heartbeat();
                        brake.block();
                        cx.cancelled().await;
                        Ok::<_, Infallible>(())
                    }
                })
                .watchdog(100 * MS)
                .stop(Stop::After(100 * MS))
            })
            .configure(|all| all.clock(Clock::system()).backoff(RestartBackoff::none()));
            let supervisor = supervisor.start().await.unwrap();
            let mut events = supervisor.subscribe(many());
            let start = Since::now();
            supervisor.start_child(()).await.unwrap();
            let orphaned = async {
                while !matches!(events.recv().await.unwrap().kind.as_str(), "orphaned") {}
            };
            tokio::time::timeout(BLOCKED, orphaned).await.unwrap();
            assert!(start.elapsed() >= 300 * MS);
            assert!(start.elapsed() < SOON, "{workers}: it was found late");
            // Not doubled; and once it is terminated, its place is free when it has ended.
            let terminated = supervisor.terminate("n-1").await;
            assert!(
                matches!(terminated, Ok(Terminated::Orphaned)),
                "{terminated:?}"
            );
            let tree = supervisor.snapshot();
            assert_eq!(tree.child("n-1").unwrap().incarnation, 1);
            drop(release);
            let forgotten = async {
                while !supervisor.snapshot().children.is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(BLOCKED, forgotten).await.unwrap();
            supervisor.stop().await;
        });
    }
}

/// The worker that a timer woke looks after all of tokio's timers, and now it is blocked.
#[test]
fn sv11e_a_deadline_holds_although_the_worker_that_keeps_the_timers_is_blocked() {
    for workers in [2, 4, 8] {
        let runtime = runtime(workers);
        let (brake, release) = Brake::new();
        runtime.block_on(async {
            let child = ChildSpec::new("blocks", move |cx: ChildContext| {
                let brake = brake.clone();
                async move {
                    cx.cancelled().await;
                    let clock = Clock::system();
                    clock.sleep_until(clock.now() + 50 * MS)?.await;
                    brake.block();
                    Ok::<_, NoRuntime>(())
                }
            })
            .stop(Stop::After(200 * MS));
            let supervisor = real_time().child(child).start().await.unwrap();
            let stop = Since::now();
            let stopped = supervisor.terminate("blocks").await;
            assert!(matches!(stopped, Ok(Terminated::Orphaned)), "{stopped:?}");
            assert!(stop.elapsed() >= 300 * MS);
            assert!(stop.elapsed() < SOON, "{workers}: its stop waited");
            supervisor.stop().await;
        });
        drop(release);
    }
}
