//! Isolated bulkheads: threads of their own, slots that go with the work.
//!
//! These run on real threads and the system's clock, and are of those that bound their own time;
//! what they assert is decided by channels, not by how long something takes.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::{Executed, RejectionKind};
use backstop::policy::bulkhead::{
    IsolatedBulkhead, IsolatedCompartments, IsolatedCompartmentsConfig, IsolatedConfig, StartError,
    WorkPanicked,
};
use backstop::{Error, Rejection};
use futures::FutureExt;
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

/// So long may a test take before it counts as stuck; it is a matter of milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` on a runtime of its own, and fails if it does not come back.
fn bounded<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(test());
        let _ = done.send(());
    });
    match is_done.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it is stuck"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().expect("no panic"),
    }
}

fn isolated(config: IsolatedConfig) -> IsolatedBulkhead {
    IsolatedBulkhead::with_clock("isolated", config, Clock::system()).unwrap()
}

/// The same on a clock that stands still until the test moves it; its threads are real.
fn with_manual_clock(config: IsolatedConfig) -> (IsolatedBulkhead, ManualClock) {
    let clock = Clock::manual();
    let bulkhead = IsolatedBulkhead::with_clock("isolated", config, &clock).unwrap();
    (bulkhead, clock)
}

fn rejection<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, Error<E>>) -> Rejection {
    match result {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    }
}

/// Waits until what other threads do has come to this.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

/// Work that waits for a word on a thread, and tells when it has begun.
struct Stuck {
    go: mpsc::Sender<()>,
    begun: tokio::sync::oneshot::Receiver<thread::ThreadId>,
}

fn stuck() -> (
    impl FnOnce() -> Result<u8, Infallible> + Send + 'static,
    Stuck,
) {
    let (go, may_go) = mpsc::channel();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let work = move || {
        let _ = begins.send(thread::current().id());
        may_go.recv().expect("the test lets it go");
        Ok(7)
    };
    (work, Stuck { go, begun })
}

#[test]
fn bh3b_a_stuck_compartment_takes_no_thread_from_another() {
    bounded(|| async {
        let config = IsolatedCompartmentsConfig::new()
            .compartment("stuck", IsolatedConfig::new(2).max_concurrent(4))
            .compartment("well", IsolatedConfig::new(2));
        let set = IsolatedCompartments::with_clock("set", &config, Clock::system()).unwrap();
        let (stuck_one, well) = (set.require("stuck").unwrap(), set.require("well").unwrap());

        // Both workers block in async work, and two threads in blocking work: all of its slots.
        let mut held = Vec::new();
        let mut calls = Vec::new();
        for n in 0..4 {
            let (work, stuck) = stuck();
            let stuck_one = stuck_one.clone();
            calls.push(tokio::spawn(async move {
                if n < 2 {
                    stuck_one.run(|| async { work() }).await
                } else {
                    stuck_one.run_blocking(work).await
                }
            }));
            held.push(stuck);
        }
        let mut threads = Vec::new();
        for stuck in &mut held {
            threads.push((&mut stuck.begun).await.unwrap());
        }
        let full = stuck_one.run(|| async { Ok::<_, Infallible>(()) }).await;
        assert_eq!(rejection(full).kind(), RejectionKind::Full);

        let clock = Clock::system();
        let start = clock.now();
        for n in 0..1_000 {
            let (sync, other) = (n, n);
            let blocking = move || Ok::<_, Infallible>((sync, thread::current().id()));
            let (n, on) = well.run_blocking(blocking).await.unwrap();
            assert_eq!(n, other);
            assert!(!threads.contains(&on));
            let work = move || async move { Ok::<_, Infallible>((n, thread::current().id())) };
            assert!(!threads.contains(&well.run(work).await.unwrap().1));
        }
        let took = clock.now().saturating_duration_since(start);
        println!("beside a stuck compartment: {:?} per call", took / 2_000);

        for stuck in &held {
            stuck.go.send(()).unwrap();
        }
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 7);
        }
        assert_eq!(stuck_one.totals().slots.finished, 4);
        assert_eq!(well.totals().slots.finished, 2_000);
    });
}

#[test]
fn bh3b_the_presets() {
    let text = format!("{:?}", IsolatedCompartmentsConfig::presets());
    for (name, threads) in [("critical", 20), ("standard", 50), ("batch", 10)] {
        let preset = format!("{name:?}: {:?}", IsolatedConfig::new(threads));
        assert!(text.contains(&preset), "{text} lacks {preset}");
    }
}

#[test]
fn bh3c_calls_and_waiters_are_bounded() {
    bounded(|| async {
        let config = IsolatedConfig::new(1).queue(1, Duration::from_secs(5));
        let (bulkhead, clock) = with_manual_clock(config);
        let (work, mut running) = stuck();
        let mut first = Box::pin(bulkhead.run_blocking(work));
        assert!((&mut first).now_or_never().is_none());
        (&mut running.begun).await.unwrap();

        let mut second = Box::pin(bulkhead.run_blocking(|| Ok::<_, Infallible>(2)));
        assert!((&mut second).now_or_never().is_none());
        let third = bulkhead.run_blocking(|| Ok::<_, Infallible>(3)).await;
        assert_eq!(rejection(third).kind(), RejectionKind::Full);
        clock.advance(Duration::from_secs(5));
        let refused = rejection(second.await);
        assert_eq!(
            (refused.kind(), refused.executed()),
            (RejectionKind::Full, Executed::No)
        );

        running.go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), 7);
        let next = bulkhead.run_blocking(|| Ok::<_, Infallible>(4)).await;
        assert_eq!(next.unwrap(), 4, "who has the result finds the slot free");
    });
}

#[test]
fn bh3d_blocking_work_keeps_its_slot_after_its_caller_left() {
    bounded(|| async {
        let (bulkhead, clock) =
            with_manual_clock(IsolatedConfig::new(1).time_limit(Duration::from_secs(1)));
        for by_timeout in [true, false] {
            let (work, mut running) = stuck();
            let mut call = Box::pin(bulkhead.run_blocking(work));
            assert!((&mut call).now_or_never().is_none());
            (&mut running.begun).await.unwrap();
            if by_timeout {
                clock.advance(Duration::from_secs(1));
                let timed_out = rejection(call.await);
                assert_eq!(timed_out.kind(), RejectionKind::TimedOut);
                assert_eq!(timed_out.executed(), Executed::Unknown);
            } else {
                drop(call);
            }
            assert_eq!(bulkhead.in_flight(), 1);
            let full = bulkhead.run_blocking(|| Ok::<_, Infallible>(())).await;
            assert_eq!(rejection(full).kind(), RejectionKind::Full);
            running.go.send(()).unwrap();
            until(|| bulkhead.in_flight() == 0).await;
        }
        let totals = bulkhead.totals();
        assert_eq!((totals.timed_out, totals.abandoned), (1, 1));
        assert_eq!(totals.slots.finished, 2);
    });
}

/// Tells when it is dropped.
struct Tells(Arc<AtomicBool>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn bh3d_async_work_is_dropped_where_it_runs_and_then_frees_its_slot() {
    bounded(|| async {
        let (bulkhead, clock) =
            with_manual_clock(IsolatedConfig::new(1).time_limit(Duration::from_secs(1)));
        for by_timeout in [true, false] {
            let dropped = Arc::new(AtomicBool::new(false));
            let tells = Tells(dropped.clone());
            let (begins, begun) = tokio::sync::oneshot::channel();
            let mut call = Box::pin(bulkhead.run(move || async move {
                let _tells = tells;
                let _ = begins.send(());
                pending::<Result<(), Infallible>>().await
            }));
            assert!((&mut call).now_or_never().is_none());
            begun.await.unwrap();
            assert_eq!(bulkhead.in_flight(), 1);
            if by_timeout {
                clock.advance(Duration::from_secs(1));
                assert_eq!(rejection(call.await).executed(), Executed::Unknown);
            } else {
                drop(call);
            }
            until(|| bulkhead.in_flight() == 0).await;
            assert!(
                dropped.load(Ordering::SeqCst),
                "the work goes before its slot"
            );
        }
    });
}

#[test]
fn bh3e_who_is_told_that_nothing_was_executed_can_rely_on_it() {
    bounded(|| async {
        let config = IsolatedConfig::new(1)
            .max_concurrent(2)
            .time_limit(Duration::from_secs(1));
        let (bulkhead, clock) = with_manual_clock(config);
        // The one worker is stuck, so the second call is admitted and cannot begin.
        let (work, mut running) = stuck();
        let mut first = Box::pin(bulkhead.run(|| async { work() }));
        assert!((&mut first).now_or_never().is_none());
        (&mut running.begun).await.unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let mut second = Box::pin(bulkhead.run(move || async move {
            runs.store(true, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        }));
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(bulkhead.in_flight(), 2);
        clock.advance(Duration::from_secs(1));
        let timed_out = rejection(second.await);
        assert_eq!(timed_out.kind(), RejectionKind::TimedOut);
        assert_eq!(timed_out.executed(), Executed::No);
        assert_eq!(rejection(first.await).executed(), Executed::Unknown);
        running.go.send(()).unwrap();
        until(|| bulkhead.in_flight() == 0).await;
        assert!(!ran.load(Ordering::SeqCst));
    });
}

/// Panics again when it is dropped.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a second panic");
    }
}

/// A future that is ready, and whose drop panics.
struct Dropped(Twice);

impl Future for Dropped {
    type Output = Result<(), Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn bh3f_a_panic_comes_back_as_an_error_and_the_slot_and_thread_stay() {
    bounded(|| async {
        let bulkhead = isolated(IsolatedConfig::new(1));
        for round in 0..50 {
            let panicked = match round % 5 {
                0 => bulkhead.run(|| async { panic!("in async work") }).await,
                1 => bulkhead.run_blocking(|| panic!("in blocking work")).await,
                2 => {
                    let make = || -> futures::future::Ready<_> { panic!("in the {}", "making") };
                    bulkhead.run(make).await
                }
                3 => bulkhead.run(|| Dropped(Twice)).await,
                _ => {
                    let payload = move || std::panic::panic_any(Twice);
                    bulkhead.run_blocking(payload).await
                }
            };
            let panicked: Result<(), Error<Infallible>> = panicked;
            let rejection = rejection(panicked);
            assert_eq!(rejection.kind(), RejectionKind::Panicked);
            assert_eq!(rejection.executed(), Executed::Unknown);
            let cause = rejection.source().expect("a cause");
            let cause = cause.downcast_ref::<WorkPanicked>().expect("a panic");
            let messages = [
                "in async work",
                "in blocking work",
                "in the making",
                "a second panic",
                "a panic without a message",
            ];
            assert_eq!(cause.message(), messages[round % 5]);
            assert_eq!(bulkhead.in_flight(), 0);
        }
        let alive = bulkhead.run(|| async { Ok::<_, Infallible>(1) }).await;
        assert_eq!(alive.unwrap(), 1);
        assert_eq!(bulkhead.totals().panicked, 50);
    });
}

#[test]
fn bh3g_the_last_handle_can_go_inside_a_task_while_work_is_stuck() {
    bounded(|| async {
        for blocking in [true, false] {
            let bulkhead = isolated(IsolatedConfig::new(1));
            let admission = bulkhead.admission().clone();
            let (work, mut running) = stuck();
            if blocking {
                let mut call = Box::pin(bulkhead.run_blocking(work));
                assert!((&mut call).now_or_never().is_none());
                (&mut running.begun).await.unwrap();
            } else {
                let mut call = Box::pin(bulkhead.run(|| async { work() }));
                assert!((&mut call).now_or_never().is_none());
                (&mut running.begun).await.unwrap();
            }
            // In a task of another runtime, where a plain drop of a runtime panics.
            drop(bulkhead);
            assert_eq!(admission.in_flight(), 1);
            running.go.send(()).unwrap();
            until(|| admission.in_flight() == 0).await;
        }
    });
}

#[test]
fn bh3g_the_last_handle_can_go_inside_its_own_work() {
    bounded(|| async {
        for blocking in [true, false] {
            let bulkhead = isolated(IsolatedConfig::new(1));
            let admission = bulkhead.admission().clone();
            let inner = bulkhead.clone();
            let (go, may_go) = mpsc::channel();
            let (gone, is_gone) = tokio::sync::oneshot::channel();
            let work = move || {
                may_go.recv().expect("the test lets it go");
                drop(inner);
                gone.send(()).unwrap();
                Ok::<_, Infallible>(())
            };
            if blocking {
                assert!(
                    Box::pin(bulkhead.run_blocking(work))
                        .as_mut()
                        .now_or_never()
                        .is_none()
                );
            } else {
                assert!(
                    Box::pin(bulkhead.run(|| async { work() }))
                        .as_mut()
                        .now_or_never()
                        .is_none()
                );
            }
            drop(bulkhead);
            // Unless it was called off before it began, which is as well.
            let _ = go.send(());
            let _ = is_gone.await;
            until(|| admission.in_flight() == 0).await;
        }
    });
}

/// In a process of its own, in which the system gives about 20 threads of 64 MiB of stack each.
#[cfg(target_os = "linux")]
#[test]
fn bh3h_threads_that_cannot_be_had_are_an_error() {
    const IN_CHILD: &str = "BACKSTOP_TEST_FEW_THREADS";
    if std::env::var_os(IN_CHILD).is_some() {
        return bounded(|| async {
            no_workers();
            no_thread_for_blocking_work().await;
            println!("both are errors");
        });
    }
    let this_test = std::env::current_exe().unwrap();
    let child = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 2000000 && exec \"$0\" \"$@\""])
        .arg(this_test)
        .args([
            "isolated::bh3h_threads_that_cannot_be_had_are_an_error",
            "--exact",
            "--nocapture",
        ])
        .env(IN_CHILD, "1")
        .env("RUST_MIN_STACK", (64 << 20).to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{told}\n{errors}");
    assert!(told.contains("both are errors"), "{told}\n{errors}");
}

fn no_workers() {
    let refused = IsolatedBulkhead::with_clock("x", IsolatedConfig::new(200), Clock::system());
    let error = refused.expect_err("the system gives fewer");
    assert!(matches!(error, StartError::Threads(_)), "{error:?}");
    assert!(error.source().is_some());
}

async fn no_thread_for_blocking_work() {
    let bulkhead = isolated(IsolatedConfig::new(1).max_concurrent(200));
    let mut stuck_ones = Vec::new();
    let refused = loop {
        let (work, stuck) = stuck();
        let mut call = Box::pin(bulkhead.run_blocking(work));
        match (&mut call).now_or_never() {
            Some(result) => break rejection(result),
            None => stuck_ones.push((call, stuck)),
        }
    };
    assert_eq!(
        (refused.kind(), refused.executed()),
        (RejectionKind::Full, Executed::No)
    );
    let cause = refused.source().expect("a cause");
    assert!(cause.is::<std::io::Error>(), "{cause:?}");
    assert_eq!(bulkhead.in_flight() as usize, stuck_ones.len());
    for (call, stuck) in stuck_ones {
        stuck.go.send(()).unwrap();
        assert_eq!(call.await.unwrap(), 7);
    }
    let after = bulkhead.run_blocking(|| Ok::<_, Infallible>(1)).await;
    assert_eq!(after.unwrap(), 1, "the threads there are go on");
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let new = IsolatedConfig::new;
    let cases = [
        (new(0), "worker_threads"),
        (new(1_025), "worker_threads"),
        (new(1).max_concurrent(0), "max_concurrent"),
        (new(1).max_concurrent(1_025), "max_concurrent"),
        (new(1).time_limit(Duration::ZERO), "time_limit"),
        (new(1).queue(1, Duration::ZERO), "max_wait"),
    ];
    for (config, field) in cases {
        let set = IsolatedCompartmentsConfig::new().compartment("a", config);
        for refused in [
            IsolatedBulkhead::with_clock("x", config, Clock::system()).err(),
            IsolatedCompartments::with_clock("x", &set, Clock::system()).err(),
        ] {
            match refused {
                Some(StartError::Config(error)) => assert_eq!(error.field(), field),
                other => panic!("{other:?}"),
            }
        }
    }
    let none = IsolatedCompartments::new("x", &IsolatedCompartmentsConfig::new());
    assert!(matches!(none, Err(StartError::Config(_))));
}

#[test]
fn bh3i_under_tokios_clock_there_is_no_thread_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let config = IsolatedConfig::new(1)
            .queue(1, Duration::from_secs(5))
            .time_limit(Duration::from_secs(3600));
        let bulkhead = IsolatedBulkhead::with_clock("paused", config, Clock::tokio()).unwrap();
        let here = thread::current().id();
        let on = bulkhead.run(|| async { Ok::<_, Infallible>(thread::current().id()) });
        assert_eq!(on.await.unwrap(), here, "on the caller's runtime");
        let clock = Clock::tokio();
        let start = clock.now();
        // Paused time passes only because all that goes on is known to the runtime.
        let slow = bulkhead.run(|| pending::<Result<(), Infallible>>());
        let waits = bulkhead.run(|| async { Ok::<_, Infallible>(()) });
        let (slow, waits) = futures::join!(slow, waits);
        assert_eq!(rejection(slow).kind(), RejectionKind::TimedOut);
        assert_eq!(rejection(waits).kind(), RejectionKind::Full);
        let took = clock.now().saturating_duration_since(start);
        assert!(took >= Duration::from_secs(3600));
        let blocking = bulkhead.run_blocking(|| Ok::<_, Infallible>(thread::current().id()));
        assert_ne!(blocking.await.unwrap(), here);
    });
    let bulkhead =
        IsolatedBulkhead::with_clock("nowhere", IsolatedConfig::new(1), Clock::tokio()).unwrap();
    let nowhere = bulkhead.run(|| async { Ok::<_, Infallible>(()) });
    let nowhere = rejection(nowhere.now_or_never().expect("at once"));
    assert_eq!(nowhere.kind(), RejectionKind::NoRuntime);
    let nowhere = bulkhead.run_blocking(|| Ok::<_, Infallible>(()));
    let nowhere = rejection(nowhere.now_or_never().expect("at once"));
    assert_eq!(nowhere.kind(), RejectionKind::NoRuntime);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[test]
fn work_that_is_lost_with_its_runtime_says_so() {
    let lost = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let bulkhead =
        IsolatedBulkhead::with_clock("lost", IsolatedConfig::new(1), Clock::tokio()).unwrap();
    let mut call = Box::pin(bulkhead.run(|| pending::<Result<(), Infallible>>()));
    lost.block_on(async {
        assert!((&mut call).now_or_never().is_none());
        tokio::task::yield_now().await;
    });
    drop(lost);
    let rejection = rejection(call.now_or_never().expect("it is known"));
    assert_eq!(rejection.kind(), RejectionKind::NoRuntime);
    assert_eq!(rejection.executed(), Executed::Unknown);
    assert_eq!(bulkhead.in_flight(), 0);
}

#[test]
fn futures_can_move_to_other_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let bulkhead = isolated(IsolatedConfig::new(1));
    drop(is_send(bulkhead.run(|| async { Ok::<_, Infallible>(()) })));
    drop(is_send(bulkhead.run_blocking(|| Ok::<_, Infallible>(()))));
    drop(is_send(
        bulkhead.run_in(|| async { Ok::<_, Rejection>(()) }),
    ));
    drop(is_send(bulkhead.run_blocking_in(|| Ok::<_, Rejection>(()))));
}

#[test]
fn work_finds_its_own_runtime() {
    bounded(|| async {
        let bulkhead = isolated(IsolatedConfig::new(1));
        let here = tokio::runtime::Handle::current().id();
        let id = || Ok::<_, Infallible>(tokio::runtime::Handle::current().id());
        let blocking = bulkhead.run_blocking(id).await.unwrap();
        let on_workers = bulkhead.run(move || async move { id() }).await.unwrap();
        assert_eq!(blocking, on_workers);
        assert_ne!(blocking, here);
    });
}

#[test]
fn a_thousand_calls_from_many_tasks_leave_no_slot_behind() {
    bounded(|| async {
        let config = IsolatedConfig::new(4).queue(1_000, PATIENCE);
        let bulkhead = isolated(config);
        let most = Arc::new(AtomicUsize::new(0));
        let running = Arc::new(AtomicUsize::new(0));
        let calls = (0..1_000).map(|n| {
            let (most, running) = (most.clone(), running.clone());
            let bulkhead = bulkhead.clone();
            async move {
                let work = move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, Infallible>(n)
                };
                if n % 2 == 0 {
                    bulkhead.run_blocking(work).await
                } else {
                    bulkhead.run(move || async move { work() }).await
                }
            }
        });
        let results = futures::future::join_all(calls).await;
        assert!(results.into_iter().map(Result::unwrap).eq(0..1_000));
        assert!(most.load(Ordering::SeqCst) <= 4);
        assert_eq!(bulkhead.in_flight(), 0);
        assert_eq!(bulkhead.totals().slots.finished, 1_000);
    });
}

#[test]
fn it_can_be_managed() {
    let bulkhead = isolated(IsolatedConfig::new(1));
    let managed: &dyn Managed = &bulkhead;
    assert_eq!(
        (managed.policy(), managed.name().as_str()),
        ("bulkhead", "isolated")
    );
    let wider = IsolatedConfig::new(1).max_concurrent(3);
    managed.reconfigure(&wider).unwrap();
    assert_eq!(managed.config().downcast_ref(), Some(&wider));
    assert_eq!(bulkhead.snapshot().limit, 3);
    let other_threads = managed.reconfigure(&IsolatedConfig::new(2)).unwrap_err();
    assert_eq!(other_threads.field(), "worker_threads");
    assert!(managed.reconfigure(&1_u8).is_err());
    assert_eq!(bulkhead.config(), wider);
    let guard = managed.isolate();
    assert_eq!(managed.snapshot().state, "isolated");
    drop(guard);
    managed.reset();
    assert_eq!(managed.snapshot().state, "available");
    let refused = IsolatedConfig::new(1).time_limit(Duration::ZERO);
    assert_eq!(
        bulkhead.reconfigure(refused).unwrap_err().field(),
        "time_limit"
    );
}
