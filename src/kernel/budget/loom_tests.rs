//! The interleavings of small cases on the shipped budgets.

use super::bucket::Bucket;
use super::config::{BudgetConfig, Rules, Share};
use super::in_flight::InFlight;
use super::tokens::Tokens;
use crate::kernel::clock::Clock;
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::explore;
use crate::kernel::window::Class;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;
use std::time::Duration;

const TWO_THREADS: Option<usize> = Some(3);
const SECOND: Duration = Duration::from_secs(1);

/// All of the calls.
fn whole() -> Share {
    match BudgetConfig::in_flight(1.0, 1).rules() {
        Ok(Rules::InFlight { share, .. }) => share,
        _ => unreachable!("it is a share of those in flight"),
    }
}

fn bucket(reserve: u64) -> (Arc<Bucket>, Clock) {
    let clock = Clock::manual().clock();
    set_thread_number(0);
    let bucket = Bucket::new(SECOND, reserve, whole(), &clock);
    (Arc::new(bucket), clock)
}

fn spawn<R: 'static>(act: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(move || {
        set_thread_number(1);
        act()
    })
}

fn drain(bucket: &Bucket, clock: &Clock) -> u64 {
    let mut taken = 0;
    while bucket.try_take(clock).is_some() {
        taken += 1;
    }
    taken
}

#[test]
fn loom_one_of_two_takes_the_last() {
    explore(TWO_THREADS, || {
        let (bucket, clock) = bucket(1);
        let other = {
            let (bucket, clock) = (bucket.clone(), clock.clone());
            spawn(move || bucket.try_take(&clock).is_some())
        };
        let mine = bucket.try_take(&clock).is_some();
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn loom_deposits_are_neither_lost_nor_taken_twice() {
    explore(TWO_THREADS, || {
        let (bucket, clock) = bucket(0);
        let other = {
            let (bucket, clock) = (bucket.clone(), clock.clone());
            spawn(move || {
                bucket.deposit(&clock, Class::Ok);
                // A call that paid may take, whatever the other does with it.
                u64::from(bucket.try_take(&clock).is_some())
            })
        };
        bucket.deposit(&clock, Class::Failed);
        let mine = u64::from(bucket.try_take(&clock).is_some());
        let theirs = other.join().unwrap();
        assert_eq!(mine + theirs + drain(&bucket, &clock), 2);
        assert_eq!(bucket.good(), 1);
    });
}

#[test]
fn loom_a_slot_that_begins_meanwhile_overdraws_nothing() {
    explore(TWO_THREADS, || {
        let (bucket, early) = bucket(1);
        bucket.deposit(&early, Class::Ok);
        // Nine slots on, the deposit is still in; ten slots on, it is not.
        let late = Clock::manual();
        late.advance(SECOND);
        let late = late.clock();
        let other = {
            let (bucket, late) = (bucket.clone(), late.clone());
            spawn(move || {
                bucket.deposit(&late, Class::Ok);
                u64::from(bucket.try_take(&late).is_some())
            })
        };
        let mine = u64::from(bucket.try_take(&early).is_some());
        let theirs = other.join().unwrap();
        let left = drain(&bucket, &late);
        // In the last window: the minimum and one deposit, and a withdrawal of an older one at most.
        assert!(theirs + left <= 2, "{mine} {theirs} {left}");
        assert!(mine + theirs + left <= 3, "{mine} {theirs} {left}");
    });
}

#[test]
fn loom_what_is_known_of_a_slot_is_not_taken_in_a_later_one() {
    explore(TWO_THREADS, || {
        let (bucket, early) = bucket(0);
        bucket.deposit(&early, Class::Ok);
        bucket.deposit(&early, Class::Ok);
        assert_eq!(bucket.balance(&early), 2);
        let late = Clock::manual();
        late.advance(SECOND);
        let late = late.clock();
        let other = {
            let (bucket, late) = (bucket.clone(), late.clone());
            spawn(move || {
                bucket.deposit(&late, Class::Ok);
                u64::from(bucket.try_take(&late).is_some())
            })
        };
        let mine = u64::from(bucket.try_take(&early).is_some());
        let theirs = other.join().unwrap();
        let left = drain(&bucket, &late);
        // The two deposits have left with their slot.
        assert!(theirs + left <= 1, "{mine} {theirs} {left}");
        assert!(mine + theirs + left >= 1, "{mine} {theirs} {left}");
    });
}

#[test]
fn loom_what_is_given_back_is_taken_once() {
    explore(TWO_THREADS, || {
        let (bucket, clock) = bucket(1);
        let slot = bucket.try_take(&clock).expect("it has one");
        let other = {
            let (bucket, clock) = (bucket.clone(), clock.clone());
            spawn(move || u64::from(bucket.try_take(&clock).is_some()))
        };
        bucket.give_back(slot);
        let taken = other.join().unwrap();
        assert_eq!(taken + drain(&bucket, &clock), 1);
    });
}

#[test]
fn loom_a_reset_forgets_a_withdrawal_whole() {
    explore(TWO_THREADS, || {
        let (bucket, clock) = bucket(1);
        let other = {
            let (bucket, clock) = (bucket.clone(), clock.clone());
            spawn(move || {
                let slot = bucket.try_take(&clock);
                if let Some(slot) = slot {
                    bucket.give_back(slot);
                }
            })
        };
        bucket.reset();
        other.join().unwrap();
        assert_eq!(drain(&bucket, &clock), 1);
    });
}

#[test]
fn loom_one_in_flight_at_a_time() {
    explore(TWO_THREADS, || {
        set_thread_number(0);
        let in_flight = Arc::new(InFlight::new(whole(), 1));
        let other = {
            let in_flight = in_flight.clone();
            spawn(move || {
                in_flight.enter();
                let taken = in_flight.try_take();
                in_flight.leave();
                taken
            })
        };
        let mine = in_flight.try_take();
        let theirs = other.join().unwrap();
        assert!(mine ^ theirs);
        in_flight.give_back();
        assert_eq!(in_flight.balance(), 1);
    });
}

#[test]
fn loom_no_token_is_lost() {
    explore(TWO_THREADS, || {
        let tokens = Arc::new(Tokens::new(3_000, 1_000));
        tokens.fail();
        let other = {
            let tokens = tokens.clone();
            spawn(move || tokens.fail())
        };
        tokens.succeed();
        other.join().unwrap();
        // 2 + 1 - 1 or 2 - 1 + 1.
        tokens.fail();
        assert!(!tokens.allows());
        tokens.succeed();
        assert!(tokens.allows());
    });
}
