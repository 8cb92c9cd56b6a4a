//! The interleavings of small cases on the slots of a set.
//!
//! Two threads are interrupted up to three times, three threads up to twice.

use super::compartments_book::{Asked, Waiting, Why};
use super::compartments_config::{CompartmentConfig, CompartmentsConfig};
use super::compartments_slots::{Slots, Waited};
use super::compartments_word::Glance;
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::sync::explore;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

const TWO_THREADS: Option<usize> = Some(3);
const THREE_THREADS: Option<usize> = Some(2);
const SECOND: Duration = Duration::from_secs(1);

const A: usize = 0;
const B: usize = 1;

fn share(limit: u32) -> CompartmentConfig {
    CompartmentConfig::new(limit)
}

fn config(total: u32, a: CompartmentConfig, b: CompartmentConfig) -> CompartmentsConfig {
    CompartmentsConfig::new()
        .total(total)
        .compartment("a", a)
        .compartment("b", b)
}

fn slots(config: &CompartmentsConfig) -> (Arc<Slots>, ManualClock) {
    let clock = Clock::manual();
    let plan = config.plans().remove(0);
    (Arc::new(Slots::new(plan, clock.clock())), clock)
}

/// Takes a slot as a call does that cannot wait.
fn take(slots: &Slots, at: usize) -> bool {
    match slots.take(slots.lane(at)) {
        Glance::Taken(_) => true,
        glance if slots.refusal(at, glance).is_some() => false,
        _ => slots.ask(at, None) == Asked::Admitted,
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Takes a slot or waits for one.
fn take_or_wait(slots: &Slots, at: usize, waker: &Waker) -> Option<Waiting> {
    match slots.take(slots.lane(at)) {
        Glance::Taken(_) => None,
        _ => match slots.ask(at, Some(waker)) {
            Asked::Admitted => None,
            Asked::Waits(waiting) => Some(waiting),
            Asked::Refused(why) => panic!("{why:?}"),
        },
    }
}

/// In the end every slot is there, and the word decides alone again.
fn is_whole(slots: &Slots, at: usize, free: usize) {
    for _ in 0..free {
        assert!(matches!(slots.take(slots.lane(at)), Glance::Taken(_)));
    }
    assert!(!matches!(slots.take(slots.lane(at)), Glance::Taken(_)));
}

#[test]
fn loom_no_more_than_the_total_run() {
    explore(THREE_THREADS, || {
        let (slots, _clock) = slots(&config(1, share(1), share(1)));
        let inside = Arc::new(AtomicUsize::new(0));
        let threads = [A, B, A].map(|at| {
            let (slots, inside) = (slots.clone(), inside.clone());
            let run = move || {
                if take(&slots, at) {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two in one slot");
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    slots.release(at, slots.lane(at));
                    return true;
                }
                false
            };
            run
        });
        let [first, second, third] = threads;
        let threads = [thread::spawn(first), thread::spawn(second)];
        let mut ran = usize::from(third());
        for thread in threads {
            ran += usize::from(thread.join().unwrap());
        }
        assert!(ran >= 1, "somebody finds the slot free");
        is_whole(&slots, A, 1);
    });
}

/// A call within its guarantee is refused beside a borrower who gives a slot back and wants it
/// again: from then on the next slot is its.
#[test]
fn loom_who_is_owed_a_slot_gets_it() {
    explore(TWO_THREADS, || {
        let (slots, clock) = slots(&config(2, share(2).guaranteed(1), share(2)));
        assert!(take(&slots, B) && take(&slots, B));
        let borrower = slots.clone();
        let other = thread::spawn(move || {
            borrower.release(B, borrower.lane(B));
            usize::from(take(&borrower, B))
        });
        let mine = take(&slots, A);
        let borrowed = 1 + other.join().unwrap();
        assert!(borrowed + usize::from(mine) <= 2);
        if !mine {
            if borrowed == 2 {
                slots.release(B, slots.lane(B));
            }
            assert!(!take(&slots, B), "the slot is owed");
            assert!(take(&slots, A));
        }
        // Paid or never made, no debt is left.
        slots.release(A, slots.lane(A));
        slots.release(B, slots.lane(B));
        clock.advance(Duration::ZERO);
        let rest = usize::from(mine && borrowed == 2);
        (0..rest).for_each(|_| slots.release(B, slots.lane(B)));
        is_whole(&slots, B, 2);
    });
}

#[test]
fn loom_a_waiter_hears_of_a_slot() {
    explore(TWO_THREADS, || {
        let (slots, _clock) = slots(&config(1, share(1).queue(1, SECOND), share(1)));
        assert!(take(&slots, B));
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.release(B, slots.lane(B)))
        };
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let waiting = take_or_wait(&slots, A, &waker);
        other.join().unwrap();
        if let Some(waiting) = waiting {
            assert_eq!(woken.0.load(Ordering::SeqCst), 1);
            assert_eq!(slots.look_again(A, waiting, &waker), Waited::Admitted);
        }
        assert!(!take(&slots, B));
        slots.release(A, slots.lane(A));
        is_whole(&slots, B, 1);
    });
}

#[test]
fn loom_a_waiter_that_leaves_takes_no_slot_along() {
    explore(TWO_THREADS, || {
        let (slots, _clock) = slots(&config(1, share(1).queue(2, SECOND), share(1)));
        assert!(take(&slots, B));
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let wakers = woken.clone().map(Waker::from);
        let leaver = take_or_wait(&slots, A, &wakers[0]).unwrap();
        let stayer = take_or_wait(&slots, A, &wakers[1]).unwrap();
        let other = {
            let slots = slots.clone();
            thread::spawn(move || slots.release(B, slots.lane(B)))
        };
        slots.leave(A, leaver);
        other.join().unwrap();
        assert_eq!(woken[1].0.load(Ordering::SeqCst), 1);
        assert_eq!(slots.look_again(A, stayer, &wakers[1]), Waited::Admitted);
        slots.release(A, slots.lane(A));
        is_whole(&slots, B, 1);
    });
}

#[test]
fn loom_a_new_plan_beside_calls() {
    explore(TWO_THREADS, || {
        let (slots, _clock) = slots(&config(2, share(2), share(2)));
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                if take(&slots, A) {
                    slots.release(A, slots.lane(A));
                }
                usize::from(take(&slots, B))
            })
        };
        let smaller = config(1, share(1), share(1)).plans().remove(0);
        slots.reconfigure(smaller).wake();
        let taken = take(&slots, B);
        let both = usize::from(taken) + other.join().unwrap();
        // One that was admitted by the old plan may run beside none of the new one.
        assert_eq!(both, 1);
        assert!(!take(&slots, A) && !take(&slots, B));
        slots.release(B, slots.lane(B));
        is_whole(&slots, A, 1);
    });
}

#[test]
fn loom_an_isolation_beside_a_call() {
    explore(TWO_THREADS, || {
        let (slots, _clock) = slots(&config(1, share(1), share(1)));
        let other = {
            let slots = slots.clone();
            thread::spawn(move || {
                if take(&slots, A) {
                    slots.release(A, slots.lane(A));
                }
            })
        };
        slots.isolate(A);
        assert_eq!(slots.ask(A, None), Asked::Refused(Why::Isolated));
        slots.release_isolation(A);
        other.join().unwrap();
        is_whole(&slots, A, 1);
    });
}
