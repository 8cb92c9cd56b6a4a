//! One circuit per key: bounded, and never forgetting what matters.

use crate::rig::{SECOND, config};
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::keyed::Keyed;
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::circuit_breaker::State;
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use std::sync::OnceLock;

type Set = Keyed<u64, CircuitBreaker>;

fn set(capacity: usize) -> (Set, ManualClock) {
    let clock = Clock::manual();
    let one = config().consecutive_failures(1);
    (
        Keyed::with_clock("hosts", capacity, one, &clock).unwrap(),
        clock,
    )
}

fn fail(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().failure();
}

#[test]
fn cb12a_one_circuit_per_key_and_never_more_than_the_capacity() {
    let (set, _clock) = set(100);
    fail(&set.get(&1));
    assert_eq!(set.get(&1).state(), State::Open);
    assert_eq!(set.get(&2).state(), State::Closed);
    for key in 0..10_000 {
        let _ = set.get(&key).try_acquire().map(|permit| permit.success());
        assert!(set.len() <= 100);
    }
    assert!(set.evicted() >= 9_000);
    assert_eq!(set.overflowed(), 0);
    assert_eq!(
        set.totals().success,
        10_000 - 1,
        "evicted entries are still counted"
    );
    assert_eq!(
        set.get(&1).state(),
        State::Open,
        "an open circuit is not forgotten"
    );
    assert_eq!(set.count_in(State::Open), 1);
    assert!(set.peek(&1).is_some() && set.peek(&77_777).is_none());
}

#[test]
fn cb12a_bad_settings_are_refused() {
    let refused = |capacity, config| {
        Keyed::<u64, CircuitBreaker>::new("x", capacity, config)
            .unwrap_err()
            .field()
    };
    assert_eq!(refused(0, config()), "capacity");
    assert_eq!(refused(usize::MAX, config()), "capacity");
    assert_eq!(
        refused(10, CircuitBreakerConfig::default().probes(0)),
        "probes"
    );
}

#[test]
fn cb12b_open_circuits_and_permits_out_are_not_evicted() {
    let (set, clock) = set(8);
    (0..4).for_each(|key| fail(&set.get(&key)));
    let permits: Vec<_> = (4..8)
        .map(|key| set.get(&key).try_acquire_owned().unwrap())
        .collect();
    for key in 100..200 {
        assert_eq!(set.get(&key).name().as_str(), "hosts");
    }
    assert_eq!((set.evicted(), set.overflowed()), (0, 100));
    permits.into_iter().for_each(|permit| permit.failure());
    (4..8).for_each(|key| assert_eq!(set.get(&key).state(), State::Open));
    // Open before its time: stays. Over its time: may go.
    clock.advance(5 * SECOND);
    (200..300).for_each(|key| drop(set.get(&key)));
    assert!(set.evicted() > 0);
    assert!(set.len() <= 8);
}

#[test]
fn cb12b_an_entry_that_is_asked_for_again_and_again_stays() {
    let (set, _clock) = set(8);
    set.get(&1).try_acquire().unwrap().success();
    for key in 100..1_000 {
        assert_eq!(set.get(&1).totals().success, 1, "it was evicted at {key}");
        drop(set.get(&key));
    }
    assert!(set.evicted() > 800);
}

#[test]
fn cb12b_what_was_set_by_hand_is_not_evicted() {
    let (set, _clock) = set(1);
    set.get(&1).force_open();
    assert!(set.get(&2).try_acquire().is_ok());
    assert_eq!(set.get(&1).state(), State::ForcedOpen);
    set.get(&1).release_force_open();
    (0..10).for_each(|key| drop(set.get(&(10 + key))));
    assert!(set.peek(&1).is_none());
}

#[test]
fn cb12c_a_key_without_room_shares_the_overflow_circuit() {
    let (set, _clock) = set(1);
    fail(&set.get(&1));
    fail(&set.get(&2));
    assert_eq!(set.overflow().state(), State::Open);
    let shared = set.get(&3).try_acquire().unwrap_err();
    assert_eq!(shared.kind(), RejectionKind::Open);
    assert_eq!(set.overflowed(), 2);
    assert_eq!(set.len(), 1);
    let totals = set.totals();
    assert_eq!((totals.failure, totals.rejected_open), (2, 1));
}

#[test]
fn cb12b_threads_that_come_and_go_lose_no_count() {
    let (set, _clock) = set(16);
    let rounds = 20_000;
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let set = set.clone();
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(thread);
                for _ in 0..rounds {
                    let permit = set.get(&rng.u64(..64)).try_acquire_owned().unwrap();
                    permit.success();
                }
            });
        }
    });
    assert!(set.len() <= 16);
    assert!(set.evicted() > 0);
    assert_eq!(set.totals().success, 4 * rounds);
}

#[test]
fn cb12a_what_makes_an_entry_may_look_into_the_set() {
    static SET: OnceLock<Set> = OnceLock::new();
    let make = |key: &u64| {
        // The factory is user code: it runs outside all locks.
        if *key < 100 {
            if let Some(set) = SET.get() {
                set.get(&(key + 100)).try_acquire().unwrap().success();
            }
        }
        CircuitBreaker::new("made", config()).unwrap()
    };
    let overflow = CircuitBreaker::new("overflow", config()).unwrap();
    let set = SET.get_or_init(|| Keyed::with("made", 4, overflow, make).unwrap());
    for key in 0..50 {
        set.get(&key).try_acquire().unwrap().success();
    }
    assert!(set.len() <= 4);
    assert_eq!(set.totals().success, 100);
}
