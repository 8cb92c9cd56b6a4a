//! How calls are made, dropped, refused and reconfigured: through the handle and through tower.

use crate::retry_rig::{Rig, plain, poll, run};
use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::retry::{NeverRepeat, RetryEventKind, RetryService, RetryTotals, StopReason};
use backstop::{CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer};
use backstop::{Error, Retry, RetryConfig, RetryLayer};
use futures::FutureExt;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::{Layer, Service};

type Reply = Result<u32, Error<u32>>;

/// What an upstream was sent, and how it answers the n-th time.
#[derive(Clone)]
struct Upstream {
    sent: Arc<Mutex<Vec<String>>>,
    replies: Arc<dyn Fn(usize) -> Reply + Send + Sync>,
    ready: bool,
    unready: Arc<AtomicU32>,
}

impl Upstream {
    fn new(replies: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self {
            sent: Arc::default(),
            replies: Arc::new(replies),
            ready: false,
            unready: Arc::default(),
        }
    }

    /// It answers from the n-th request on (from 0).
    fn well_from(n: usize) -> Self {
        Self::new(move |sent| {
            if sent >= n {
                Ok(7)
            } else {
                Err(Error::Inner(9))
            }
        })
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

impl Service<String> for Upstream {
    type Response = u32;
    type Error = Error<u32>;
    type Future = Ready<Reply>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<u32>>> {
        if self.unready.load(Ordering::Relaxed) > 0 {
            self.unready.fetch_sub(1, Ordering::Relaxed);
            return Poll::Ready(Err(Error::Inner(503)));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: String) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "it was not polled ready");
        let mut sent = self.sent.lock().unwrap();
        sent.push(request);
        ready((self.replies)(sent.len() - 1))
    }
}

fn call<S: Service<String>>(service: &mut S, request: &str) -> S::Future {
    let mut cx = Context::from_waker(futures::task::noop_waker_ref());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    service.call(request.to_owned())
}

#[test]
fn rt4c_a_copy_is_sent_again_on_a_service_that_was_polled_ready() {
    let rig = Rig::new(plain());
    let upstream = Upstream::well_from(2);
    let mut service = RetryLayer::new(rig.retry.clone()).layer(upstream.clone());
    let reply = rig.run(call(&mut service, "GET"));
    assert!(matches!(reply, Ok(7)));
    assert_eq!(upstream.sent(), ["GET"; 3]);
    assert_eq!(rig.retry.totals().success_after_retry, 1);
}

#[test]
fn rt4c_without_a_copy_there_is_a_single_attempt() {
    /// A body that streams: no `Clone`.
    struct Stream;
    #[derive(Clone)]
    struct Sink(Arc<AtomicU32>);
    impl Service<Stream> for Sink {
        type Response = ();
        type Error = Error<u32>;
        type Future = Ready<Result<(), Error<u32>>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<u32>>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Stream) -> Self::Future {
            self.0.fetch_add(1, Ordering::Relaxed);
            ready(Err(Error::Inner(9)))
        }
    }
    let mut rig = Rig::new(plain());
    let calls = Arc::new(AtomicU32::new(0));
    let layer = RetryLayer::new(rig.retry.clone()).repeat(NeverRepeat);
    let mut service = layer.layer(Sink(calls.clone()));
    let ended = service.call(Stream).now_or_never();
    assert!(matches!(ended, Some(Err(Error::Inner(9)))));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(rig.retry.totals().not_repeatable, 1);
    let reason = StopReason::NotRepeatable;
    assert_eq!(
        rig.events(),
        [RetryEventKind::GaveUp {
            attempts: 1,
            reason
        }]
    );
}

#[test]
fn rt6b_copies_are_numbered() {
    let rig = Rig::new(plain().max_attempts(4));
    let upstream = Upstream::well_from(9);
    // Each copy is made of the one before; the last one that may be sent has none.
    let layer = RetryLayer::new(rig.retry.clone())
        .repeat(|request: &String, attempt: u32| Some(format!("{request}{attempt}")));
    let mut service = layer.layer(upstream.clone());
    assert!(rig.run(call(&mut service, "try ")).is_err());
    assert_eq!(upstream.sent(), ["try ", "try 2", "try 23", "try 234"]);
    // A repeat that ends by itself.
    let layer = RetryLayer::new(rig.retry.clone())
        .repeat(|request: &String, attempt: u32| (attempt < 3).then(|| request.clone()));
    let mut service = layer.layer(upstream.clone());
    assert!(rig.run(call(&mut service, "twice")).is_err());
    assert_eq!(upstream.sent().len(), 6);
    assert_eq!(rig.retry.totals().not_repeatable, 1);
}

#[test]
fn an_error_of_poll_ready_is_the_attempts() {
    let rig = Rig::new(plain());
    let upstream = Upstream::new(|n| if n == 0 { Err(Error::Inner(9)) } else { Ok(7) });
    let mut service = RetryLayer::new(rig.retry.clone()).layer(upstream.clone());
    let mut running = Box::pin(call(&mut service, "GET"));
    assert!(poll(running.as_mut()).is_pending());
    upstream.unready.store(1, Ordering::Relaxed);
    assert!(matches!(rig.run(running), Ok(7)));
    assert_eq!(upstream.sent().len(), 2);
    assert_eq!(rig.retry.totals().attempts, 3);
}

#[test]
fn a_predicate_of_the_layer_replaces_the_default() {
    let rig = Rig::new(plain());
    let upstream = Upstream::new(|n| Ok(u32::try_from(n).unwrap()));
    let layer = RetryLayer::new(rig.retry.clone())
        .when(|result: Result<&u32, &Error<u32>>| matches!(result, Ok(0)));
    let mut service = layer.layer(upstream);
    assert!(matches!(rig.run(call(&mut service, "GET")), Ok(1)));
    assert!(format!("{service:?} {layer:?}").contains("rig"));
}

#[test]
fn an_open_circuit_behind_it_ends_the_retries() {
    let rig = Rig::new(plain().max_attempts(10));
    let breaker =
        CircuitBreaker::with_clock("inner", CircuitBreakerConfig::consecutive(2), &rig.clock);
    let breaker = breaker.unwrap();
    let upstream = Upstream::well_from(100);
    let mut service = tower::ServiceBuilder::new()
        .layer(RetryLayer::new(rig.retry.clone()))
        .layer(CircuitBreakerLayer::new(breaker))
        .service(upstream.clone());
    let ended = rig.run(call(&mut service, "GET"));
    let Err(Error::Rejected(rejection)) = ended else {
        panic!("the circuit opened");
    };
    assert_eq!(rejection.kind(), RejectionKind::Open);
    assert_eq!(upstream.sent().len(), 2);
    assert_eq!(rig.retry.totals().failed, 1);
}

/// Fails, waits, runs, as long as the attempt's number says, and then again.
fn steps(retry: &Retry, clock: &Clock) -> impl Future<Output = Result<(), Error<u32>>> {
    let clock = clock.clone();
    retry.call(move |attempt| {
        let (clock, number) = (clock.clone(), attempt.number);
        async move {
            clock.sleep_until(clock.now() + 5 * MS).unwrap().await;
            Err(number)
        }
    })
}

#[test]
fn rt8a_a_call_dropped_at_any_poll_leaves_nothing_behind() {
    for budget in [
        BudgetConfig::in_flight(0.2, 2),
        BudgetConfig::token_bucket(SECOND, 100, 0.2),
        BudgetConfig::none(),
    ] {
        let rig = Rig::new(plain().budget(budget));
        let clock = rig.clock.clock();
        let balance = rig.retry.budget_balance();
        let mut begun = 0;
        // Attempts end after 5, 20 and 35 ms, with waits of 10 ms between.
        for polls in 0..45_u64 {
            let mut call = Box::pin(steps(&rig.retry, &clock));
            let mut ended = false;
            for _ in 0..polls {
                ended = poll(call.as_mut()).is_ready();
                if ended {
                    break;
                }
                rig.clock.advance(MS);
            }
            drop(call);
            let totals = rig.retry.totals();
            if polls > 0 {
                begun += 1;
            }
            assert_eq!(totals.calls(), begun, "{polls}");
            if !ended {
                assert_eq!(totals.dropped, begun, "{polls}");
            }
            assert_eq!(totals.panicked, 0);
        }
        let totals = rig.retry.totals();
        assert_eq!(totals.dropped + totals.exhausted, 44);
        // What was begun, by what was polled: attempts after 1, 16 and 31 polls.
        assert_eq!(totals.attempts, 44 + (44 - 15) + (44 - 30), "{budget:?}");
        rig.clock.advance(10 * SECOND);
        assert_eq!(rig.retry.budget_balance(), balance);
    }
}

#[test]
fn rt8a_a_call_that_was_never_polled_is_no_call() {
    let rig = Rig::new(plain());
    drop(rig.retry.call(|_| async { Ok::<_, ()>(()) }));
    assert_eq!(rig.retry.totals(), RetryTotals::default());
    // Through tower the first attempt is made by `call`.
    let mut service = RetryLayer::new(rig.retry.clone()).layer(Upstream::well_from(0));
    drop(call(&mut service, "GET"));
    let totals = rig.retry.totals();
    assert_eq!((totals.dropped, totals.attempts), (1, 1));
}

#[test]
fn rt8b_a_panic_anywhere_ends_the_call_once() {
    let rig = Rig::new(plain().budget(BudgetConfig::in_flight(0.2, 3)));
    let dies = |call: &mut dyn FnMut()| {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    };
    let retry = &rig.retry;
    // When the future is made, when it is polled, in the second attempt, in the predicate.
    dies(&mut || drop(rig.run(retry.call(|_| -> Ready<Result<(), ()>> { panic!("made") }))));
    dies(&mut || {
        let call = retry.call(|_| async { panic!("polled") });
        let _: Result<(), Error<()>> = rig.run(call);
    });
    dies(&mut || {
        let call = retry.call(|attempt| {
            assert!(attempt.number < 2, "made again");
            ready(Err::<(), ()>(()))
        });
        drop(rig.run(call));
    });
    dies(&mut || {
        let when = |_: Result<&(), &()>| -> bool { panic!("judged") };
        drop(rig.run(retry.call_with(when, |_| ready(Ok(())))));
    });
    dies(&mut || drop(retry.call_blocking(|_| -> Result<(), ()> { panic!("blocking") })));
    dies(&mut || {
        let layer = RetryLayer::new(retry.clone()).repeat(|_: &String, _| panic!("copied"));
        let mut service = layer.layer(Upstream::well_from(0));
        drop(call(&mut service, "GET"));
    });
    let totals = retry.totals();
    assert_eq!((totals.panicked, totals.calls()), (6, 6));
    assert_eq!((totals.attempts, totals.dropped), (7, 0));
    assert_eq!(retry.budget_balance(), Some(3));
}

#[test]
fn rt8b_a_neighbours_panic_is_a_dropped_call() {
    let rig = Rig::new(plain());
    let died = catch_unwind(AssertUnwindSafe(|| {
        let mut call = Box::pin(rig.retry.call(|_| pending::<Result<(), ()>>()));
        assert!(poll(call.as_mut()).is_pending());
        panic!("a neighbour");
    }));
    assert!(died.is_err());
    let totals = rig.retry.totals();
    assert_eq!((totals.dropped, totals.panicked), (1, 0));
}

#[test]
fn rt9_where_the_clock_cannot_wait_the_last_error_is_returned() {
    let config = plain().budget(BudgetConfig::in_flight(0.2, 3));
    let retry = Retry::with_clock("nowhere", config, Clock::system()).unwrap();
    let mut events = retry.subscribe(8.try_into().unwrap());
    // No runtime here.
    let ended = retry.call(|_| ready(Err::<(), _>("down"))).now_or_never();
    assert!(matches!(ended, Some(Err(Error::Inner("down")))));
    let totals = retry.totals();
    assert_eq!((totals.no_timer, totals.attempts), (1, 1));
    assert_eq!(retry.budget_balance(), Some(3));
    let last = std::iter::from_fn(|| events.try_recv()).last().unwrap();
    let reason = StopReason::NoTimer;
    assert_eq!(
        last.kind,
        RetryEventKind::GaveUp {
            attempts: 1,
            reason
        }
    );
    // A retry without a wait needs none.
    retry
        .reconfigure(plain().waits(|| std::iter::repeat(std::time::Duration::ZERO)))
        .unwrap();
    let ended = retry.call(|_| ready(Err::<(), _>("down"))).now_or_never();
    assert!(matches!(ended, Some(Err(Error::Inner("down")))));
    assert_eq!(retry.totals().exhausted, 1);
}

#[cfg(feature = "test-util")]
#[tokio::test(start_paused = true)]
async fn rt1d_a_paused_runtime_moves_a_retry_built_without_a_clock() {
    let retry = Retry::new("paused", plain()).unwrap();
    let clock = Clock::default();
    let begun = clock.now();
    let ended = retry.call(|_| async { Err::<(), _>("down") }).await;
    assert!(matches!(ended, Err(Error::Inner("down"))));
    assert_eq!(clock.now().saturating_duration_since(begun), 20 * MS);
}

#[test]
fn rt10a_an_isolated_retry_refuses_calls_and_lets_those_under_way_go_on() {
    let mut rig = Rig::new(plain());
    let mut under_way = Box::pin(rig.retry.call(|_| async { Err::<(), _>(9) }));
    assert!(poll(under_way.as_mut()).is_pending());
    let guards = [rig.retry.isolate(), Managed::isolate(&rig.retry)];
    assert_eq!(Managed::snapshot(&rig.retry).state, "isolated");
    let refused = rig.run(rig.retry.call(|_| async { Ok::<_, ()>(()) }));
    let Err(Error::Rejected(rejection)) = refused else {
        panic!("it is isolated");
    };
    assert_eq!(rejection.kind(), RejectionKind::ForcedOpen);
    assert_eq!(rejection.to_string(), "retry `rig` is forced open");
    let refused = rig.retry.call_blocking(|_| Ok::<_, ()>(()));
    assert!(matches!(refused, Err(Error::Rejected(_))));
    let upstream = Upstream::well_from(0);
    let mut service = RetryLayer::new(rig.retry.clone()).layer(upstream.clone());
    let mut refused = Box::pin(call(&mut service, "GET"));
    assert!(matches!(
        poll(refused.as_mut()),
        Poll::Ready(Err(Error::Rejected(_)))
    ));
    assert!(poll(refused.as_mut()).is_pending());
    assert!(upstream.sent().is_empty());
    assert!(matches!(rig.run(under_way), Err(Error::Inner(9))));
    let [first, second] = guards;
    drop(first);
    assert!(rig.retry.call_blocking(|_| Ok::<_, ()>(())).is_err());
    drop(second);
    assert!(rig.retry.call_blocking(|_| Ok::<_, ()>(())).is_ok());
    let totals = rig.retry.totals();
    assert_eq!((totals.rejected, totals.attempts), (4, 4));
    let by_hand = |kind: &RetryEventKind| matches!(kind, RetryEventKind::Isolated(_));
    let events: Vec<_> = rig.events().into_iter().filter(by_hand).collect();
    let told = [true, false].map(RetryEventKind::Isolated);
    assert_eq!(events, told);
}

#[test]
fn g4a_rt10b_a_new_configuration_is_in_force_from_the_next_call_on() {
    let mut rig = Rig::new(plain().max_attempts(4).deadline(SECOND));
    let mut failed_before = Box::pin(rig.retry.call(|_| async { Err::<(), _>(()) }));
    assert!(poll(failed_before.as_mut()).is_pending());
    let clock = rig.clock.clock();
    let mut fails_later = Box::pin(steps(&rig.retry, &clock));
    assert!(poll(fails_later.as_mut()).is_pending());
    let new = RetryConfig::default()
        .max_attempts(2)
        .backoff(Backoff::constant(30 * MS))
        .deadline(20 * MS)
        .budget(BudgetConfig::in_flight(0.5, 1));
    rig.retry.reconfigure(new.clone()).unwrap();
    assert_eq!(rig.retry.config(), new);
    assert_eq!(rig.retry.budget_balance(), Some(1));
    // It has its four attempts, and the old deadline.
    let before = rig.retry.totals().attempts;
    assert!(rig.run(failed_before).is_err());
    assert_eq!(rig.retry.totals().attempts - before, 3);
    // This one has the old deadline (by the new one its wait would be too long) and the new rules.
    let before = rig.retry.totals().attempts;
    assert!(rig.run(fails_later).is_err());
    assert_eq!(rig.retry.totals().attempts - before, 2);
    assert_eq!(rig.retry.totals().deadline, 0);
    assert_eq!(rig.waits().len(), 0);
    assert_eq!(rig.retry.totals().deadline, 1);
    let by_hand = |kind: &RetryEventKind| *kind == RetryEventKind::Reconfigured;
    assert_eq!(rig.events().into_iter().filter(by_hand).count(), 1);
}

#[test]
fn g4a_counts_stay_and_a_budget_that_comes_back_goes_on() {
    let bucket = BudgetConfig::token_bucket(SECOND, 5, 0.000_001);
    let rig = Rig::new(plain().max_attempts(2).budget(bucket));
    for _ in 0..3 {
        let _ = rig.waits();
    }
    assert!(
        rig.run(rig.retry.call(|_| async { Ok::<_, ()>(()) }))
            .is_ok()
    );
    let totals = rig.retry.totals();
    rig.retry.reconfigure(plain()).unwrap();
    assert_eq!(rig.retry.totals(), totals);
    assert!(
        rig.run(rig.retry.call(|_| async { Ok::<_, ()>(()) }))
            .is_ok()
    );
    rig.retry.reconfigure(plain().budget(bucket)).unwrap();
    assert_eq!(rig.retry.budget_balance(), Some(2));
    assert_eq!(rig.retry.totals().success, 2);
    rig.retry.reset();
    assert_eq!(rig.retry.budget_balance(), Some(5));
    assert_eq!(rig.retry.totals().success, 2);
}

#[test]
fn g4b_a_configuration_that_cannot_be_is_refused_and_the_old_one_stays() {
    let rig = Rig::new(plain());
    let refused = rig.retry.reconfigure(plain().max_attempts(0)).unwrap_err();
    assert_eq!(refused.field(), "max_attempts");
    let refused = Managed::reconfigure(&rig.retry, &CircuitBreakerConfig::default());
    assert_eq!(refused.unwrap_err().field(), "config");
    let bad = plain().budget(BudgetConfig::tokens(0, 0.1));
    assert_eq!(
        rig.retry.reconfigure(bad).unwrap_err().field(),
        "budget.tokens"
    );
    assert_eq!(rig.retry.config(), plain());
    // The first budget and fifteen others; they can come again.
    for round in 0..2 {
        for max in 1..16 {
            let config = plain().budget(BudgetConfig::tokens(max, 0.1));
            assert_eq!(rig.retry.reconfigure(config), Ok(()), "{round} {max}");
        }
    }
    let one_more = plain().budget(BudgetConfig::tokens(16, 0.1));
    assert_eq!(
        rig.retry.reconfigure(one_more).unwrap_err().field(),
        "budget"
    );
    assert_eq!(rig.waits().len(), 2);
    let boxed = Managed::config(&rig.retry);
    assert_eq!(Managed::reconfigure(&rig.retry, &*boxed), Ok(()));
}

#[test]
fn g5_events_are_numbered_without_a_gap() {
    let rig = Rig::new(plain());
    let mut events = rig.retry.subscribe(1_000.try_into().unwrap());
    for _ in 0..5 {
        let _ = rig.waits();
    }
    rig.retry.reset();
    let seqs: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .map(|event| event.seq)
        .collect();
    assert_eq!(seqs, (1..=16).collect::<Vec<_>>());
}

#[test]
fn a_call_that_ended_says_nothing_more() {
    let rig = Rig::new(plain().max_attempts(2));
    let mut call = Box::pin(rig.retry.call(|_| async { Err::<(), _>(()) }));
    assert!(poll(call.as_mut()).is_pending());
    rig.clock.advance(SECOND);
    assert!(poll(call.as_mut()).is_ready());
    assert!(poll(call.as_mut()).is_pending());
}

/// Every call and every attempt from 64 tasks at once, some of which are dropped on the way.
#[test]
fn rt7a_rt7b_counts_are_exact_under_many_threads() {
    let config = plain().waits(|| std::iter::repeat(std::time::Duration::ZERO));
    let retry = Retry::with_clock("threads", config, Clock::manual()).unwrap();
    let attempts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..64_u64 {
            let (retry, attempts) = (&retry, &attempts);
            scope.spawn(move || {
                for n in 0..200_u64 {
                    let call = retry.call(|attempt| {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        let fails = u64::from(attempt.number) <= (n + thread) % 4;
                        ready(if fails { Err(()) } else { Ok(()) })
                    });
                    assert_eq!(run_at_once(call), (n + thread) % 4 < 3);
                }
            });
        }
    });
    let totals = retry.totals();
    assert_eq!(totals.calls(), 64 * 200);
    assert_eq!(totals.attempts, attempts.into_inner());
    assert_eq!((totals.success, totals.exhausted), (3_200, 3_200));
}

fn run_at_once<E: std::fmt::Debug>(call: impl Future<Output = Result<(), E>>) -> bool {
    call.now_or_never().expect("no waits").is_ok()
}

#[test]
fn a_static_retry_is_shared_without_counting() {
    let retry: &'static Retry = Box::leak(Box::new(Retry::new("leaked", plain()).unwrap()));
    let copied = Retry::from(retry);
    assert!(copied.call_blocking(|_| Ok::<_, ()>(())).is_ok());
    let mut service: RetryService<_> = RetryLayer::new(retry).layer(Upstream::well_from(0));
    assert!(matches!(
        call(&mut service, "GET").now_or_never(),
        Some(Ok(7))
    ));
    assert_eq!(retry.totals().success, 2);
    assert_eq!(service.retry().name().as_str(), "leaked");
    assert_eq!(service.get_ref().sent().len(), 1);
    assert_eq!(service.into_inner().sent().len(), 1);
    let clock = Clock::manual();
    let _ = run(&clock, ready(()));
}
