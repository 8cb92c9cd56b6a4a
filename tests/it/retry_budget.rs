//! Budgets: what they allow, exactly, and what they keep from happening.

use crate::retry_rig::{Rig, plain, poll, run};
use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::{BudgetConfig, RetryBudget};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::policy::retry::{Hint, RetryEventKind, StopReason};
use backstop::{Error, Retry, RetryConfig};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

fn budget(config: BudgetConfig) -> (RetryBudget, ManualClock) {
    let clock = Clock::manual();
    let budget = RetryBudget::with_clock(config, &clock).expect("a valid configuration");
    (budget, clock)
}

fn pay(budget: &RetryBudget, calls: u64) {
    (0..calls).for_each(|_| budget.begin().success());
}

/// Takes all there is, for good.
fn drain(budget: &RetryBudget) -> u64 {
    let mut taken = 0;
    while let Some(mut withdrawal) = budget.try_withdraw() {
        withdrawal.spend();
        taken += 1;
    }
    taken
}

#[test]
fn rt5a_a_fifth_of_a_thousand_calls_is_two_hundred() {
    // The minimum of 10/s over 10 s is there from the start.
    let (whole, _clock) = budget(BudgetConfig::default());
    assert_eq!(whole.balance(), Some(100));
    pay(&whole, 1_000);
    assert_eq!(whole.balance(), Some(300));
    assert_eq!(drain(&whole), 300);
    assert_eq!(whole.balance(), Some(0));
    // Four calls are not enough for one more, five are.
    pay(&whole, 4);
    assert_eq!(drain(&whole), 0);
    pay(&whole, 1);
    assert_eq!(drain(&whole), 1);
}

#[test]
fn rt5a_shares_and_minimums_are_exact() {
    for (ttl, per_second, share, calls, allowed) in [
        (SECOND, 1, 0.1, 9, 1),
        (SECOND, 1, 0.1, 10, 2),
        (SECOND, 1, 0.07, 100, 8),
        (60 * SECOND, 1, 0.5, 1, 60),
        (1_500 * MS, 7, 0.000_001, 999_999, 10),
        (1_500 * MS, 7, 0.000_001, 1_000_000, 11),
        (SECOND, 1, 1.5, 10, 16),
        (SECOND, 1, 100.0, 3, 301),
        (SECOND, 1, 1.0 / 3.0, 3_000, 1_000),
    ] {
        let (budget, _clock) = budget(BudgetConfig::token_bucket(ttl, per_second, share));
        pay(&budget, calls);
        assert_eq!(drain(&budget), allowed, "{share} of {calls}");
    }
}

#[test]
fn rt5b_deposits_and_withdrawals_are_forgotten_by_slots() {
    let (budget, clock) = budget(BudgetConfig::token_bucket(10 * SECOND, 1, 1.0));
    // The first use begins slot 0, which is a second long.
    pay(&budget, 5);
    clock.advance(SECOND / 2);
    pay(&budget, 5);
    clock.advance(SECOND / 2);
    // Slot 1.
    pay(&budget, 7);
    assert_eq!(budget.balance(), Some(10 + 17));
    clock.advance(9 * SECOND - MS);
    // The last moment of slot 9: slot 0 is still in.
    assert_eq!(budget.balance(), Some(10 + 17));
    clock.advance(MS);
    assert_eq!(budget.balance(), Some(10 + 7));
    assert_eq!(drain(&budget), 17);
    clock.advance(SECOND);
    // The calls are forgotten and the withdrawals are not.
    assert_eq!(budget.balance(), Some(0));
    clock.advance(9 * SECOND - MS);
    assert_eq!(budget.balance(), Some(0));
    clock.advance(MS);
    assert_eq!(budget.balance(), Some(10));
    // After an idle time of any length there is the minimum.
    assert_eq!(drain(&budget), 10);
    clock.advance(1_000_000 * SECOND);
    assert_eq!(budget.balance(), Some(10));
}

#[test]
fn rt5c_retries_in_flight_stay_within_their_share_of_the_calls() {
    let (budget, _clock) = budget(BudgetConfig::in_flight(0.2, 3));
    let few: Vec<_> = std::iter::from_fn(|| budget.try_withdraw()).collect();
    assert_eq!(few.len(), 3);
    let mut calls: Vec<_> = (0..19).map(|_| budget.begin()).collect();
    assert!(budget.try_withdraw().is_none(), "a fifth of 19 is 3");
    calls.push(budget.begin());
    let fourth = budget.try_withdraw().expect("a fifth of 20 is 4");
    assert!(budget.try_withdraw().is_none());
    assert_eq!(budget.balance(), Some(0));
    drop(fourth);
    assert_eq!(budget.balance(), Some(1));
    // Calls that are over make no room; retries that are over do.
    drop(calls);
    assert_eq!(budget.balance(), Some(0));
    drop(few);
    assert_eq!(budget.balance(), Some(3));
}

#[test]
fn rt5c_calls_of_a_retry_are_in_flight_until_they_end() {
    let rig = Rig::new(plain().budget(BudgetConfig::in_flight(0.5, 1)));
    let mut calls: Vec<_> = (0..10)
        .map(|_| Box::pin(rig.retry.call(|_| std::future::pending::<Result<(), ()>>())))
        .collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(rig.retry.budget_balance(), Some(5));
    drop(calls);
    assert_eq!(rig.retry.budget_balance(), Some(1));
}

#[test]
fn rt5c_a_retry_is_in_flight_from_its_withdrawal_to_its_end() {
    let rig = Rig::new(plain().budget(BudgetConfig::in_flight(0.2, 1)));
    let clock = rig.clock.clock();
    let call = || {
        rig.retry.call(|attempt| {
            let (clock, number) = (clock.clone(), attempt.number);
            async move {
                if number == 2 {
                    clock.sleep_until(clock.now() + 50 * MS).unwrap().await;
                }
                Err::<(), _>("down")
            }
        })
    };
    let mut first = Box::pin(call());
    // It waits for its turn, then it runs, then it waits for the third attempt.
    for advance in [0, 10, 50] {
        rig.clock.advance(advance * MS);
        assert!(poll(first.as_mut()).is_pending());
        assert_eq!(rig.retry.budget_balance(), Some(0));
        let mut other = Box::pin(call());
        assert!(poll(other.as_mut()).is_ready(), "a second one at once");
    }
    assert_eq!(rig.retry.totals().budget_empty, 3);
    drop(first);
    assert_eq!(rig.retry.budget_balance(), Some(1));
    // Calls that are over, in whatever way, are not in flight: a fifth of a hundred would be 20.
    for _ in 0..100 {
        assert!(
            rig.run(rig.retry.call(|_| async { Ok::<_, ()>(()) }))
                .is_ok()
        );
        assert!(rig.retry.call_blocking(|_| Ok::<_, ()>(())).is_ok());
        let lost = rig
            .retry
            .call_with(|_: Result<&(), &()>| false, |_| async { Err(()) });
        assert!(rig.run(lost).is_err());
    }
    assert_eq!(rig.retry.budget_balance(), Some(1));
}

#[test]
fn rt5d_tokens_follow_the_throttle_of_grpc() {
    let (budget, _clock) = budget(BudgetConfig::tokens(10, 0.1));
    let fail = |times: u32| (0..times).for_each(|_| budget.begin().failure());
    assert_eq!(budget.balance(), Some(4));
    fail(4);
    // 6 of 10.
    assert!(budget.try_withdraw().is_some());
    fail(1);
    // Exactly half is too little.
    assert!(budget.try_withdraw().is_none());
    pay(&budget, 1);
    assert!(budget.try_withdraw().is_some(), "5.1");
    // Down to zero, and not below.
    fail(100);
    pay(&budget, 50);
    assert!(budget.try_withdraw().is_none(), "5.0");
    pay(&budget, 1);
    assert!(budget.try_withdraw().is_some(), "5.1");
    // Up to the maximum, and not above.
    pay(&budget, 1_000);
    fail(4);
    assert!(budget.try_withdraw().is_some(), "6");
    fail(1);
    assert!(budget.try_withdraw().is_none(), "5");
    budget.reset();
    assert_eq!(budget.balance(), Some(4));
}

#[test]
fn rt5d_thousandths_of_a_token_add_up() {
    let (budget, _clock) = budget(BudgetConfig::tokens(3, 0.001));
    budget.begin().failure();
    assert!(budget.try_withdraw().is_some(), "2 of 3");
    budget.begin().failure();
    assert!(budget.try_withdraw().is_none());
    pay(&budget, 500);
    assert!(budget.try_withdraw().is_none(), "half");
    pay(&budget, 1);
    assert!(budget.try_withdraw().is_some());
}

#[test]
fn rt5d_a_retry_takes_tokens_for_attempts_and_gives_for_successes() {
    let rig = Rig::new(plain().max_attempts(2).budget(BudgetConfig::tokens(8, 1.0)));
    // Of a call that fails twice both attempts count: 8, 7, 6.
    assert_eq!(rig.waits().len(), 1);
    assert_eq!(rig.retry.budget_balance(), Some(1));
    // 5, and after it 4: the second attempt is allowed, a third call's is not.
    assert_eq!(rig.waits().len(), 1);
    assert_eq!(rig.waits().len(), 0);
    assert_eq!(rig.retry.totals().budget_empty, 1);
    // 3 and a final error, which says nothing about the target.
    let call = rig
        .retry
        .call_with(|_: Result<&(), &()>| false, |_| async { Err(()) });
    assert!(rig.run(call).is_err());
    // A hint to stop is a failure, too: 2.
    let call = rig
        .retry
        .call_with(|_: Result<&(), &()>| Hint::Stop, |_| async { Err(()) });
    assert!(rig.run(call).is_err());
    for balance in [0, 0, 0, 1, 2, 3, 3] {
        assert!(
            rig.run(rig.retry.call(|_| async { Ok::<_, ()>(()) }))
                .is_ok()
        );
        assert_eq!(rig.retry.budget_balance(), Some(balance));
    }
}

/// A budget of one retry a second and next to nothing of the calls.
fn tight() -> BudgetConfig {
    BudgetConfig::token_bucket(SECOND, 1, 0.000_001)
}

#[test]
fn rt5d_a_success_after_a_retry_gives_back_too() {
    let rig = Rig::new(plain().budget(BudgetConfig::tokens(10, 1.0)));
    let lucky = |attempt: backstop::policy::retry::Attempt<'_, ()>| {
        let number = attempt.number;
        async move { if number == 2 { Ok(()) } else { Err(()) } }
    };
    for _ in 0..20 {
        assert!(rig.run(rig.retry.call(lucky)).is_ok());
        assert_eq!(rig.retry.budget_balance(), Some(4));
    }
}

#[test]
fn rt5e_an_empty_budget_ends_the_call_with_its_own_error() {
    let mut rig = Rig::new(plain().budget(tight()));
    for number in 0..5 {
        let call = rig.retry.call(|attempt| {
            let error = (number, attempt.number);
            async move { Err::<(), _>(error) }
        });
        let attempts = if number == 0 { 2 } else { 1 };
        let ended = rig.run(call);
        assert!(matches!(ended, Err(Error::Inner(error)) if error == (number, attempts)));
    }
    let totals = rig.retry.totals();
    assert_eq!((totals.budget_empty, totals.attempts), (5, 6));
    let reason = StopReason::BudgetEmpty;
    assert_eq!(totals.stopped(reason), 5);
    let events = rig.events();
    let count = |wanted: RetryEventKind| events.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(count(RetryEventKind::BudgetEmpty), 1, "{events:?}");
    assert_eq!(
        count(RetryEventKind::GaveUp {
            attempts: 1,
            reason
        }),
        4
    );
    assert_eq!(count(RetryEventKind::BudgetRecovered), 0);
}

#[test]
fn rt5e_emptiness_and_recovery_are_told_once_each() {
    let mut rig = Rig::new(plain().max_attempts(2).budget(tight()));
    let told = |rig: &mut Rig| {
        let events = rig.events();
        let of = |wanted| events.iter().filter(|kind| **kind == wanted).count();
        (
            of(RetryEventKind::BudgetEmpty),
            of(RetryEventKind::BudgetRecovered),
        )
    };
    for _ in 0..3 {
        let _ = rig.waits();
    }
    assert_eq!(told(&mut rig), (1, 0));
    // It gives one retry now and then, and refuses others: it is empty all the time.
    for _ in 0..5 {
        rig.clock.advance(SECOND);
        let _ = rig.waits();
        let _ = rig.waits();
    }
    let (empty, recovered) = told(&mut rig);
    assert!(empty == recovered && empty <= 5, "{empty} {recovered}");
    rig.clock.advance(10 * SECOND);
    let _ = rig.waits();
    assert_eq!(told(&mut rig), (0, 1));
}

#[test]
fn rt5f_several_retries_share_a_budget() {
    let clock = Clock::manual();
    let budget =
        RetryBudget::with_clock(BudgetConfig::token_bucket(SECOND, 2, 0.000_001), &clock).unwrap();
    let retries = ["a", "b"].map(|name| {
        let config = plain().max_attempts(2).budget(BudgetConfig::none());
        Retry::with_budget(name, config, &clock, budget.clone()).unwrap()
    });
    let fail = |retry: &Retry| {
        let call = retry.call(|_| async { Err::<(), _>(()) });
        assert!(run(&clock, call).is_err());
    };
    for retry in retries.iter().cycle().take(6) {
        fail(retry);
    }
    let totals = retries.each_ref().map(Retry::totals);
    assert_eq!(totals.map(|totals| totals.retries), [1, 1]);
    assert_eq!(totals.map(|totals| totals.budget_empty), [2, 2]);
    // What is shared is not reset by one of its users, nor reconfigured.
    retries[0].reset();
    retries[0].reconfigure(RetryConfig::default()).unwrap();
    assert_eq!(budget.balance(), Some(0));
    // Each counts its own successes.
    for retry in &retries {
        assert!(run(&clock, retry.call(|_| async { Ok::<_, ()>(()) })).is_ok());
        assert_eq!(retry.totals().success, 1);
    }
}

/// 64 threads at the edge: each takes as often as it can, all at once.
fn storm_of_threads(budget: &RetryBudget, each: impl Fn() + Sync) -> u64 {
    let (barrier, taken) = (Barrier::new(64), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..50 {
                    each();
                    if let Some(mut withdrawal) = budget.try_withdraw() {
                        withdrawal.spend();
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    taken.into_inner()
}

#[test]
fn rt5f_64_threads_do_not_overdraw_a_bucket() {
    let (budget, _clock) = budget(BudgetConfig::default());
    pay(&budget, 1_000);
    assert_eq!(storm_of_threads(&budget, || {}), 300);
    budget.reset();
    // While they pay in: 3,200 calls.
    let taken = storm_of_threads(&budget, || budget.begin().failure());
    let left = drain(&budget);
    assert_eq!(taken + left, 100 + 3_200 / 5);
}

#[test]
fn rt5f_64_threads_keep_within_what_may_be_in_flight() {
    let (budget, _clock) = budget(BudgetConfig::in_flight(0.2, 3));
    let calls: Vec<_> = (0..40).map(|_| budget.begin()).collect();
    let (barrier, taken) = (Barrier::new(64), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for round in 1..=50 {
                    barrier.wait();
                    let held = budget.try_withdraw();
                    taken.fetch_add(u64::from(held.is_some()), Ordering::SeqCst);
                    // All that were given are held at once.
                    barrier.wait();
                    assert_eq!(taken.load(Ordering::SeqCst), 8 * round);
                    barrier.wait();
                    drop(held);
                }
            });
        }
    });
    assert_eq!(budget.balance(), Some(8));
    drop(calls);
    assert_eq!(budget.balance(), Some(3));
}

#[test]
fn rt5g_a_clock_that_steps_back_gives_nothing_twice() {
    let (budget, clock) = budget(BudgetConfig::token_bucket(10 * SECOND, 1, 1.0));
    clock.advance(60 * SECOND);
    pay(&budget, 10);
    assert_eq!(drain(&budget), 20);
    for back in [SECOND, 5 * SECOND, 30 * SECOND] {
        clock.step_back(back);
        assert_eq!(budget.balance(), Some(0), "{back:?}");
        assert_eq!(drain(&budget), 0);
    }
    // What is paid in meanwhile is in the newest slot.
    pay(&budget, 3);
    assert_eq!(drain(&budget), 3);
    clock.advance(36 * SECOND + 9 * SECOND - MS);
    assert_eq!(budget.balance(), Some(0));
    clock.advance(10 * SECOND);
    assert_eq!(budget.balance(), Some(10));
}

#[test]
fn rt5h_what_is_not_spent_goes_back_and_what_is_forgotten_does_not() {
    let (budget, clock) = budget(BudgetConfig::token_bucket(SECOND, 5, 0.5));
    let unspent = budget.try_withdraw().unwrap();
    assert_eq!(budget.balance(), Some(4));
    drop(unspent);
    assert_eq!(budget.balance(), Some(5));
    let early = budget.try_withdraw().unwrap();
    clock.advance(SECOND);
    assert_eq!(budget.balance(), Some(5), "it is forgotten");
    let late = budget.try_withdraw().unwrap();
    drop(early);
    assert_eq!(budget.balance(), Some(4), "and not given back as another");
    let later = budget.try_withdraw().unwrap();
    budget.reset();
    drop(late);
    assert_eq!(budget.balance(), Some(5), "nor after a reset");
    let mut spent = budget.try_withdraw().unwrap();
    spent.spend();
    drop(later);
    assert_eq!(budget.balance(), Some(4), "nor for another after it");
}

#[test]
fn rt5h_a_retry_dropped_in_its_wait_gives_back() {
    let rig = Rig::new(plain().budget(tight()));
    let fail = || rig.retry.call(|_| async { Err::<(), _>(()) });
    let mut waiting = Box::pin(fail());
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(rig.retry.budget_balance(), Some(0));
    drop(waiting);
    assert_eq!(rig.retry.budget_balance(), Some(1));
    // One that was begun is spent, whatever becomes of it.
    let mut begun = Box::pin(rig.retry.call(|attempt| {
        let number = attempt.number;
        async move {
            if number == 2 {
                std::future::pending::<()>().await;
            }
            Err::<(), _>(())
        }
    }));
    assert!(poll(begun.as_mut()).is_pending());
    rig.clock.advance(10 * MS);
    assert!(poll(begun.as_mut()).is_pending());
    drop(begun);
    assert_eq!(rig.retry.budget_balance(), Some(0));
}

/// 1,000 calls a second against a target that is down, for a minute: the retries it got.
fn dead_upstream(config: RetryConfig) -> (u64, Rig) {
    let rig = Rig::new(config.max_attempts(3).backoff(Backoff::constant(5 * MS)));
    let (calls, asked) = (60_000, AtomicU64::new(0));
    let mut running = Vec::new();
    for _ in 0..calls {
        rig.clock.advance(MS);
        running.push(Box::pin(rig.retry.call(|_| {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>("down") }
        })));
        running.retain_mut(|call| poll(call.as_mut()).is_pending());
    }
    while !running.is_empty() {
        rig.clock.advance(MS);
        running.retain_mut(|call| poll(call.as_mut()).is_pending());
    }
    drop(running);
    let totals = rig.retry.totals();
    let asked = asked.into_inner();
    assert_eq!(totals.calls(), calls);
    assert_eq!(totals.failures(), calls);
    assert_eq!(totals.attempts, asked);
    assert_eq!(totals.retries, asked - calls);
    assert_eq!(totals.exhausted + totals.budget_empty, calls);
    (totals.retries, rig)
}

#[test]
fn rt5i_rt7b_a_budget_keeps_a_storm_within_its_share() {
    // Without a budget the load triples.
    let (unlimited, _) = dead_upstream(plain());
    assert_eq!(unlimited, 120_000);
    let (limited, rig) = dead_upstream(plain().budget(BudgetConfig::default()));
    // 20 % of 60,000 calls, and 10 a second for the minute, and what of both is already forgotten:
    // one ttl's worth at most, of a slot at either end.
    let (share, minimum, slack) = (12_000, 600, 100 + 200);
    println!("60,000 calls: {unlimited} retries without a budget, {limited} with one");
    assert!(limited <= share + minimum + slack, "{limited}");
    // It does give what it has.
    assert!(limited >= share - 2_000, "{limited}");
    drop(rig);
    let (tokens, _) = dead_upstream(plain().budget(BudgetConfig::tokens(100, 0.1)));
    // Nothing succeeds, so after half of the tokens there is none for good.
    println!("60,000 calls: {tokens} retries with gRPC's tokens");
    assert!(tokens < 50, "{tokens}");
    let (in_flight, _) = dead_upstream(plain().budget(BudgetConfig::in_flight(0.2, 3)));
    // Three at once, each for the 5 ms of its wait, is all that 60 s have room for.
    println!("60,000 calls: {in_flight} retries with a share of those in flight");
    assert!(in_flight <= 3 * 60_000 / 5, "{in_flight}");
}

#[test]
fn a_budget_without_a_limit_gives_always() {
    let (budget, _clock) = budget(BudgetConfig::none());
    assert_eq!(budget.balance(), None);
    assert!(budget.try_withdraw().is_some());
    assert_eq!(budget.config(), BudgetConfig::none());
    let leaked: &'static RetryBudget = Box::leak(Box::new(budget));
    let copied = RetryBudget::from(leaked);
    assert!(format!("{copied:?}").contains("balance: None"));
}
