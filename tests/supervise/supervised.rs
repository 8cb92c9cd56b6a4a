//! A tower service whose worker is a child.

use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::rejection::Executed;
use backstop::supervise::supervised::{Supervised, SupervisedConfig};
use backstop::supervise::supervisor::Supervisor;
use backstop::{Error, Rejection, RejectionKind, Retry, RetryConfig};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Service};

type Echo = Supervised<u32, u32, BoxError>;

fn config() -> SupervisedConfig {
    SupervisedConfig::default().queue(2).jitter(0.0)
}

async fn sleep(time: Duration) {
    let clock = Clock::tokio();
    let sleep = clock.sleep_until(clock.now() + time);
    sleep.expect("there is a runtime").await;
}

fn echo() -> (Echo, ManualClock) {
    let manual = Clock::manual();
    let echo = Echo::with_clock("echo", config(), &manual).expect("it is valid");
    (echo, manual)
}

#[track_caller]
fn rejected<T>(outcome: Option<Result<T, Error<BoxError>>>) -> Rejection {
    match outcome {
        Some(Err(Error::Rejected(rejection))) => rejection,
        Some(Err(Error::Inner(error))) => panic!("an inner error: {error}"),
        Some(Ok(_)) => panic!("it was answered"),
        None => panic!("it is pending"),
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&waker(wakes.clone())))
}

#[test]
fn sv17a_calls_reach_the_worker_in_order_and_answers_their_callers() {
    let (echo, _clock) = echo();
    let mut calls = echo.calls();
    let (first, second) = (echo.call(1), echo.call(2));
    let refused = rejected(echo.call(3).now_or_never());
    assert_eq!(refused.kind(), RejectionKind::Full);
    assert_eq!(refused.executed(), Executed::No);
    assert_eq!(echo.waiting(), 2);
    let (one, two) = (calls.recv().now_or_never(), calls.recv().now_or_never());
    let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
    assert_eq!((*one.request(), *two.request()), (1, 2));
    two.answer(Err("no".into()));
    let (request, answer) = one.into_parts();
    answer.send(Ok(request * 10));
    assert_eq!(first.now_or_never().unwrap().unwrap(), 10);
    let error = second.now_or_never().unwrap().unwrap_err();
    assert!(matches!(error, Error::Inner(error) if error.to_string() == "no"));
    assert!(calls.recv().now_or_never().is_none());
}

#[test]
fn sv17b_calls_meet_restarting_while_there_is_no_worker() {
    let (echo, _clock) = echo();
    let check = |rejection: Rejection| {
        assert_eq!(rejection.kind(), RejectionKind::Restarting);
        assert_eq!(rejection.executed(), Executed::No);
        assert_eq!(rejection.retry_after(), Some(Duration::from_secs(1)));
        assert_eq!(rejection.name().as_str(), "echo");
    };
    check(rejected(echo.call(1).now_or_never()));
    // Those that wait are told when the worker goes.
    let calls = echo.calls();
    assert!(echo.is_up());
    let waiting = echo.call(2);
    drop(calls);
    assert!(!echo.is_up() && echo.waiting() == 0);
    check(rejected(waiting.now_or_never()));
    check(rejected(echo.call(3).now_or_never()));
}

#[test]
fn sv17c_a_call_that_the_worker_had_is_told_that_nobody_knows() {
    let (echo, _clock) = echo();
    let mut calls = echo.calls();
    let in_flight = echo.call(1);
    let call = calls.recv().now_or_never().unwrap().unwrap();
    drop((call, calls));
    let lost = rejected(in_flight.now_or_never());
    assert_eq!(lost.kind(), RejectionKind::Restarting);
    assert_eq!(
        (lost.executed(), lost.retry_after()),
        (Executed::Unknown, None)
    );
}

#[tokio::test(start_paused = true)]
async fn sv17c_a_retry_by_default_repeats_what_was_not_given_and_not_what_was() {
    let echo = Supervised::<u32, u32, Error<std::io::Error>>::new("echo", config()).unwrap();
    let retry = Retry::new("retry", RetryConfig::default().max_attempts(4)).unwrap();
    let given = Arc::new(AtomicUsize::new(0));
    // Nobody there at first: the second attempt is answered.
    let worker = tokio::spawn({
        let (echo, given) = (echo.clone(), given.clone());
        async move {
            sleep(Duration::from_millis(500)).await;
            let mut calls = echo.calls();
            while let Some(call) = calls.recv().await {
                given.fetch_add(1, Ordering::SeqCst);
                match *call.request() {
                    // It goes with the call in its hands.
                    0 => return,
                    n => call.answer(Ok(n)),
                }
            }
        }
    });
    let call = |n| {
        let (retry, echo) = (retry.clone(), echo.clone());
        async move { retry.call_in(move |_| echo.call_in(n)).await }
    };
    assert_eq!(call(7).await.unwrap(), 7);
    assert_eq!(given.load(Ordering::SeqCst), 1);
    // The next worker would take it: it is not asked to.
    let lost = call(0);
    let again = async {
        sleep(Duration::from_millis(1)).await;
        worker.await.unwrap();
        let mut calls = echo.calls();
        if let Some(call) = calls.recv().await {
            call.answer(Ok(1));
        }
    };
    let lost = tokio::select! {
        lost = lost => lost,
        () = again => panic!("it was given again"),
    };
    let Err(Error::Rejected(lost)) = lost else {
        panic!("{lost:?}")
    };
    assert_eq!(lost.executed(), Executed::Unknown);
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

#[test]
fn sv17d_a_caller_that_goes_gives_its_place_back() {
    let (echo, _clock) = echo();
    let mut calls = echo.calls();
    let (first, second) = (echo.call(1), echo.call(2));
    drop(first);
    assert_eq!(echo.waiting(), 1);
    let third = echo.call(3);
    let call = calls.recv().now_or_never().unwrap().unwrap();
    assert_eq!(*call.request(), 2);
    assert!(call.is_wanted());
    let (_, mut answer) = call.into_parts();
    assert!(answer.unwanted().now_or_never().is_none());
    drop(second);
    assert!(!answer.is_wanted() && answer.unwanted().now_or_never().is_some());
    answer.send(Ok(2));
    drop(third);
    assert_eq!(echo.waiting(), 0);
}

#[test]
fn sv17e_a_worker_that_was_taken_over_gets_no_more() {
    let (echo, _clock) = echo();
    let mut old = echo.calls();
    let wakes = Arc::new(Wakes::default());
    let mut recv = old.recv();
    assert!(poll(&mut recv, &wakes).is_pending());
    let mut new = echo.calls();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1, "it waits in vain");
    let call = echo.call(1);
    assert!(matches!(poll(&mut recv, &wakes), Poll::Ready(None)));
    // And its end is nobody's.
    drop(old);
    assert!(echo.is_up());
    new.recv().now_or_never().unwrap().unwrap().answer(Ok(1));
    assert_eq!(call.now_or_never().unwrap().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn sv17e_a_restarted_worker_goes_on() {
    let echo = Echo::new("echo", config()).unwrap();
    let worker = echo.child(|_cx, mut calls| async move {
        while let Some(call) = calls.recv().await {
            match *call.request() {
                0 => return Err("zero"),
                1 => panic!("one"),
                n => call.answer(Ok(n)),
            }
        }
        Ok(())
    });
    let supervisor = Supervisor::builder("service").child(worker);
    let supervisor = supervisor.start().await.unwrap();
    let answered = async |n| loop {
        match echo.call(n).await {
            Ok(n) => return n,
            Err(Error::Rejected(rejection)) if rejection.executed() == Executed::No => {
                let after = rejection.retry_after().expect("it comes back");
                sleep(after).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(answered(7).await, 7);
    for poison in [0, 1] {
        let lost = rejected(Some(echo.call(poison).await));
        assert_eq!(lost.executed(), Executed::Unknown);
        assert_eq!(answered(8).await, 8);
    }
    supervisor.stop().await;
    let refused = rejected(Some(echo.call(7).await));
    assert_eq!(refused.kind(), RejectionKind::Restarting);
}

#[test]
fn sv17f_the_hint_is_the_longest_of_the_last_eight_restarts() {
    let (echo, clock) = echo();
    let hint = || rejected(echo.call(1).now_or_never()).retry_after().unwrap();
    let down_for = |millis| {
        clock.advance(Duration::from_millis(millis));
        drop(echo.calls());
    };
    // The time before the first worker is no restart.
    down_for(60_000);
    assert_eq!(hint(), Duration::from_secs(1));
    down_for(300);
    assert_eq!(hint(), Duration::from_millis(300));
    down_for(200);
    assert_eq!(hint(), Duration::from_millis(300));
    for _ in 0..6 {
        down_for(100);
    }
    assert_eq!(hint(), Duration::from_millis(300));
    down_for(100);
    assert_eq!(hint(), Duration::from_millis(200));
    // Spread upwards only.
    let spread = Echo::with_clock("echo", config().jitter(0.5), &clock).unwrap();
    let hints = (0..200).map(|_| {
        rejected(spread.call(1).now_or_never())
            .retry_after()
            .unwrap()
    });
    let (least, most) = (Duration::from_secs(1), Duration::from_millis(1_500));
    let hints: Vec<_> = hints.collect();
    assert!(hints.iter().all(|hint| (least..=most).contains(hint)));
    assert!(
        hints
            .iter()
            .any(|hint| *hint > Duration::from_millis(1_100))
    );
}

#[test]
fn sv17g_it_is_always_ready_and_a_ready_clone_holds_no_place() {
    let (mut echo, _clock) = echo();
    let wakes = Arc::new(Wakes::default());
    let task = waker(wakes.clone());
    let mut cx = Context::from_waker(&task);
    // Down, up and full: a rejection is an outcome of `call`.
    assert!(echo.poll_ready(&mut cx).is_ready());
    let refused = Service::call(&mut echo, 1).now_or_never().unwrap();
    assert!(Rejection::find(&*refused.unwrap_err()).is_some());
    let mut calls = echo.calls();
    let mut clones: Vec<_> = (0..8).map(|_| echo.clone()).collect();
    for clone in &mut clones {
        assert!(clone.poll_ready(&mut cx).is_ready());
    }
    let (first, second) = (clones[0].call(1), clones[1].call(2));
    assert!(echo.poll_ready(&mut cx).is_ready());
    assert_eq!(
        rejected(echo.call(3).now_or_never()).kind(),
        RejectionKind::Full
    );
    drop((first, second));
    // Dropped at any poll, and nothing is left; a pending poll wakes nobody.
    for polls in 0..3 {
        for given in [false, true] {
            let mut call = echo.call(polls);
            let taken = given.then(|| calls.recv().now_or_never().unwrap().unwrap());
            for _ in 0..polls {
                assert!(poll(&mut call, &wakes).is_pending());
            }
            drop(call);
            drop(taken);
            assert_eq!(echo.waiting(), 0);
        }
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    // Its waker reaches the answer, and a call that ended says nothing more.
    let mut call = echo.call(5);
    assert!(poll(&mut call, &wakes).is_pending());
    calls.recv().now_or_never().unwrap().unwrap().answer(Ok(5));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll(&mut call, &wakes), Poll::Ready(Ok(5))));
    assert!(poll(&mut call, &wakes).is_pending());
}

#[test]
fn sv17g_user_code_runs_under_no_lock() {
    /// Looks at the service when it is dropped.
    struct Nosy(Supervised<Nosy2, u32, BoxError>, Arc<AtomicUsize>);
    type Nosy2 = Box<dyn std::any::Any + Send>;
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.0.waiting();
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (service, dropped) = (
        Supervised::<Nosy2, u32, BoxError>::new("nosy", config()).unwrap(),
        Arc::new(AtomicUsize::new(0)),
    );
    let nosy = || Box::new(Nosy(service.clone(), dropped.clone())) as Nosy2;
    // Refused while down, refused while full, withdrawn, and left behind by a worker.
    drop(service.call(nosy()));
    let calls = service.calls();
    let (one, two) = (service.call(nosy()), service.call(nosy()));
    drop(service.call(nosy()));
    drop(one);
    drop(calls);
    assert!(two.now_or_never().unwrap().is_err());
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

#[cfg(feature = "durable")]
#[tokio::test(start_paused = true)]
async fn sv17h_the_worker_may_have_checkpoints() {
    use backstop::durable::codec::State;
    use backstop::durable::snapshot::{Checkpoints, MemoryStore};
    use backstop::supervise::checkpointed::{Checkpointed, CheckpointedConfig};

    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Total(u32);
    impl State for Total {
        const TYPE: &'static str = "total";
    }

    let adder = Echo::new("adder", config()).unwrap();
    let checkpoints = Checkpoints::new(Arc::new(MemoryStore::new()), "adder").unwrap();
    let config = CheckpointedConfig::default();
    let child = Checkpointed::<Total>::new("adder", checkpoints, config).unwrap();
    let spec = child.child({
        let adder = adder.clone();
        move |cx, restored| {
            let adder = adder.clone();
            async move {
                let mut total = restored.map(|one| one.state).unwrap_or_default();
                let mut calls = adder.calls();
                while let Some(call) = calls.recv().await {
                    if *call.request() == 0 {
                        return Err::<(), BoxError>("zero".into());
                    }
                    total.0 += call.request();
                    let saved = cx.save(&total).await;
                    call.answer(saved.map(|_| total.0).map_err(Into::into));
                }
                Ok(())
            }
        }
    });
    let supervisor = Supervisor::builder("service").child(spec);
    let supervisor = supervisor.start().await.unwrap();
    let answered = async |n| loop {
        match adder.call(n).await {
            Ok(total) => return total,
            Err(Error::Rejected(rejection)) => {
                let after = rejection.retry_after().expect("it comes back");
                sleep(after).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((answered(3).await, answered(4).await), (3, 7));
    rejected(Some(adder.call(0).await));
    assert_eq!(answered(5).await, 12);
    supervisor.stop().await;
}

#[test]
fn a_bad_configuration_is_refused() {
    let bad = [
        (SupervisedConfig::default().queue(0), "queue"),
        (SupervisedConfig::default().queue(1_000_001), "queue"),
        (
            SupervisedConfig::default().expected(Duration::ZERO),
            "expected",
        ),
        (SupervisedConfig::default().jitter(f64::NAN), "jitter"),
        (SupervisedConfig::default().jitter(1.1), "jitter"),
    ];
    for (config, field) in bad {
        assert_eq!(Echo::new("echo", config).unwrap_err().field(), field);
    }
}
