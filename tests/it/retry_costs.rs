//! What a retry costs in memory: a call that succeeds at once allocates nothing, one that is tried
//! again has one allocation, and handles, futures and retries keep to their sizes.

use crate::retry_rig::plain;
use crate::rig::{Echo, SECOND};
use allocation_counter::measure;
use backstop::kernel::budget::{BudgetConfig, RetryBudget, Withdrawal};
use backstop::kernel::clock::Clock;
use backstop::policy::retry::{Attempt, RetryFuture};
use backstop::{Error, Retry, RetryConfig, RetryLayer};
use futures::FutureExt;
use std::future::{Future, Ready, ready};
use std::mem::{size_of, size_of_val};
use std::task::Context;
use std::time::Duration;
use tower::{Layer, Service};

type Reply = Result<u8, Error<u8>>;

fn budgets() -> [BudgetConfig; 4] {
    [
        BudgetConfig::default(),
        BudgetConfig::in_flight(0.2, 3),
        BudgetConfig::tokens(100, 0.1),
        BudgetConfig::none(),
    ]
}

/// With its own budget, counted and static, and with a shared one.
fn handles(config: &RetryConfig, budget: BudgetConfig) -> [Retry; 3] {
    let clock = Clock::system();
    let new = || Retry::with_clock("costs", config.clone().budget(budget), clock.clone()).unwrap();
    let shared = RetryBudget::with_clock(budget, clock.clone()).unwrap();
    let sharing = Retry::with_budget("costs", config.clone(), clock.clone(), shared).unwrap();
    [new(), Retry::from(&*Box::leak(Box::new(new()))), sharing]
}

#[track_caller]
fn allocates(what: &str, times: u64, mut act: impl FnMut()) {
    // Once for what is made on first use, of the thread and of the process.
    act();
    let info = measure(|| (0..300).for_each(|_| act()));
    assert_eq!(info.count_total, 300 * times, "allocations of 300 {what}");
    assert_eq!(info.bytes_current, 0, "{what}: something is left behind");
}

#[test]
fn calls_that_succeed_at_once_allocate_nothing() {
    for budget in budgets() {
        for config in [
            RetryConfig::default(),
            RetryConfig::default().deadline(SECOND),
        ] {
            for retry in handles(&config, budget) {
                allocates("async calls", 0, || {
                    let reply = retry.call(|_| ready(Ok::<u8, u8>(1))).now_or_never();
                    assert!(matches!(reply, Some(Ok(1))));
                });
                allocates("async calls in a stack", 0, || {
                    let reply = retry.call_in(|_| ready(Reply::Ok(1))).now_or_never();
                    assert!(matches!(reply, Some(Ok(1))));
                });
                allocates("blocking calls", 0, || {
                    assert!(retry.call_blocking(|_| Ok::<u8, u8>(1)).is_ok());
                });
                allocates("dropped calls", 0, || {
                    let reply = retry.call(|_| std::future::pending::<Result<u8, u8>>());
                    assert!(reply.now_or_never().is_none());
                });
                allocates("calls that fail for good", 0, || {
                    let when = |_: Result<&u8, &u8>| false;
                    let reply = retry.call_with(when, |_| ready(Err(1))).now_or_never();
                    assert!(matches!(reply, Some(Err(Error::Inner(1)))));
                });
                let mut service = RetryLayer::new(retry.clone()).layer(Echo);
                let mut cx = Context::from_waker(futures::task::noop_waker_ref());
                allocates("tower calls", 0, || {
                    assert!(service.poll_ready(&mut cx).is_ready());
                    assert!(matches!(service.call(7).now_or_never(), Some(Ok(7))));
                });
            }
        }
    }
}

/// Fails twice and then succeeds.
fn third_time_lucky(attempt: Attempt<'_, u8>) -> Ready<Result<u8, u8>> {
    ready(if attempt.number < 3 { Err(1) } else { Ok(1) })
}

#[test]
fn a_call_that_is_tried_again_has_one_allocation() {
    // The other one is the user's: the box of the call's own waits.
    let config = plain().waits(|| std::iter::repeat(Duration::ZERO));
    for budget in budgets() {
        let budget = if budget == BudgetConfig::default() {
            BudgetConfig::token_bucket(SECOND, 1_000_000, 100.0)
        } else {
            budget
        };
        for retry in handles(&config, budget) {
            allocates("calls tried again", 2, || {
                let reply = retry.call(third_time_lucky).now_or_never();
                assert!(matches!(reply, Some(Ok(1))), "{budget:?}");
                // As many tokens as were taken come back.
                for _ in 0..20 {
                    assert!(retry.budget_balance() != Some(0));
                    let _ = retry.call(|_| ready(Ok::<u8, u8>(1))).now_or_never();
                }
            });
        }
    }
}

#[test]
fn refused_calls_allocate_nothing() {
    for retry in handles(&plain(), BudgetConfig::default()) {
        let _isolated = retry.isolate();
        allocates("refused calls", 0, || {
            let reply = retry.call(|_| ready(Ok::<u8, u8>(1))).now_or_never();
            assert!(matches!(reply, Some(Err(Error::Rejected(_)))));
            assert!(retry.call_blocking(|_| Ok::<u8, u8>(1)).is_err());
        });
    }
}

/// By how much a future is larger than the one that it wraps.
fn surplus<F: Future, I: Future>(outer: &F, _inner: impl FnOnce() -> I) -> usize {
    size_of_val(outer) - size_of::<I>()
}

#[test]
fn handles_and_futures_keep_to_their_sizes() {
    assert_eq!(size_of::<Retry>(), 16);
    assert_eq!(size_of::<RetryBudget>(), 16);
    assert!(size_of::<Withdrawal>() <= 32, "{}", size_of::<Withdrawal>());
    let retry = Retry::new("sizes", RetryConfig::default()).unwrap();
    let small = || ready(Ok::<u8, u8>(1));
    let large = || async {
        let ballast = [1_u8; 1_000];
        ready(()).await;
        Ok::<u8, u8>(ballast[0])
    };
    let sizes = [
        surplus(&retry.call(|_| small()), small),
        surplus(&retry.call(|_| large()), large),
        size_of::<RetryFuture<Echo, u8>>() - size_of::<Ready<Reply>>(),
    ];
    println!("over the inner future: {sizes:?}");
    // A deadline, a number, a pointer for what only a retry needs, and the handle.
    assert!(sizes.iter().all(|size| *size <= 64), "{sizes:?}");
}

/// The bytes that are on the heap for what `make` makes.
fn heap<T>(make: impl Fn() -> T) -> u64 {
    let first = make();
    let mut second = None;
    let info = measure(|| second = Some(make()));
    drop((first, second));
    u64::try_from(info.bytes_current).unwrap()
}

#[test]
fn retries_and_budgets_keep_to_their_memory() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stripes = cores.next_power_of_two().min(64) as u64;
    let retry = |budget: BudgetConfig| {
        heap(move || Retry::new("memory", RetryConfig::default().budget(budget)).unwrap())
    };
    let budget = heap(|| RetryBudget::new(BudgetConfig::default()).unwrap());
    let [bucket, in_flight, tokens, none] = budgets().map(retry);
    println!(
        "with {stripes} stripes: a token bucket {budget} bytes; a retry with one {bucket}, with \
         calls in flight {in_flight}, with tokens {tokens}, without {none}"
    );
    // Each further stripe: a line of totals, and the five of a window's cells.
    let more = stripes.max(2) - 2;
    assert!(budget <= 2_304 + 640 * more, "{budget}");
    assert!(bucket <= 4_608 + 768 * more, "{bucket}");
    assert!(none <= 2_432 + 128 * more, "{none}");
}
