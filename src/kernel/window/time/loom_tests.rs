//! The interleavings of small cases on the shipped window.
//!
//! Two threads are interrupted up to three times, three threads up to twice.

use super::*;
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::{explore, leave_fences_out};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

const TWO_THREADS: Option<usize> = Some(3);
const THREE_THREADS: Option<usize> = Some(2);
const GENERATION: u64 = 1;
const WIDTH: Duration = Duration::from_secs(1);

fn window(buckets: u32, stripes: usize) -> Arc<TimeWindow> {
    let shape = TimeShape {
        width: WIDTH,
        buckets,
    };
    let window = TimeWindow::new(shape, stripes, &Clock::manual().clock());
    // Calls of the main thread are counted in the first stripe.
    set_thread_number(0);
    Arc::new(window)
}

/// The begin of a bucket; bucket 0 is that of the first call.
fn at(bucket: u32) -> Instant {
    Instant::from_nanos(1 << 62) + WIDTH * bucket
}

/// When a window opens the circuit.
#[derive(Clone, Copy)]
struct Bar {
    minimum: u64,
    /// It opens if one in so many calls failed.
    one_in: u64,
}

impl Bar {
    fn is_reached_by(self, counts: Counts) -> bool {
        counts.recorded >= self.minimum && counts.failed * self.one_in >= counts.recorded
    }
}

/// Records as the breaker does, and says whether the recorder sees a window that trips.
fn sees_trip(window: &TimeWindow, now: Instant, class: Class, bar: Bar) -> bool {
    window.record(GENERATION, now, class, bar.minimum) == Recorded::Look
        && bar.is_reached_by(window.sum(GENERATION, now))
}

/// Runs `act` in a thread of this number.
fn spawn<R: 'static>(number: usize, act: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    thread::spawn(move || {
        set_thread_number(number);
        act()
    })
}

fn join<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    let join = |thread: JoinHandle<R>| thread.join().expect("no thread panics");
    threads.into_iter().map(join).collect()
}

/// Has each call recorded by a thread and in a stripe of its own: whether one of them sees a trip.
fn somebody_sees(window: &Arc<TimeWindow>, calls: &[(u32, Class)], bar: Bar) -> bool {
    let spawn = |(number, &(bucket, class))| {
        let window = window.clone();
        spawn(number, move || sees_trip(&window, at(bucket), class, bar))
    };
    let threads = calls.iter().enumerate().map(spawn).collect();
    join(threads).contains(&true)
}

/// A failure, and the success that completes the minimum.
fn two_halves(fenced: [bool; 2]) {
    explore(TWO_THREADS, move || {
        let window = window(1, 2);
        let bar = Bar {
            minimum: 2,
            one_in: 2,
        };
        let calls = [(Class::Failed, fenced[0]), (Class::Ok, fenced[1])];
        let spawn = |(number, (class, is_fenced)): (usize, (Class, bool))| {
            let window = window.clone();
            spawn(number, move || {
                if !is_fenced {
                    leave_fences_out();
                }
                sees_trip(&window, at(0), class, bar)
            })
        };
        let threads = calls.into_iter().enumerate().map(spawn).collect();
        assert!(join(threads).contains(&true), "nobody sees both");
        assert_eq!(window.totals(), [1, 1, 0, 0]);
    });
}

#[test]
fn loom_the_last_of_two_halves_sees_both() {
    two_halves([true, true]);
}

#[test]
#[should_panic(expected = "nobody sees both")]
fn loom_the_model_finds_a_failure_without_its_fence() {
    two_halves([false, true]);
}

#[test]
#[should_panic(expected = "nobody sees both")]
fn loom_the_model_finds_a_success_without_its_fence() {
    two_halves([true, false]);
}

#[test]
fn loom_the_last_of_two_successes_sees_an_older_failure() {
    explore(TWO_THREADS, || {
        let window = window(2, 2);
        let bar = Bar {
            minimum: 3,
            one_in: 3,
        };
        // With the first bucket, all but the failure has left when the two come.
        for (bucket, class) in [(0, Class::Ok), (0, Class::Ok), (1, Class::Failed)] {
            window.record(GENERATION, at(bucket), class, bar.minimum);
        }
        let calls = [(2, Class::Ok), (2, Class::Ok)];
        assert!(somebody_sees(&window, &calls, bar));
    });
}

#[test]
fn loom_the_last_of_three_sees_all() {
    for others in [Class::Ok, Class::Failed] {
        explore(THREE_THREADS, move || {
            let window = window(1, 4);
            let bar = Bar {
                minimum: 3,
                one_in: 3,
            };
            let calls = [(0, Class::Failed), (0, Class::Ok), (0, others)];
            assert!(somebody_sees(&window, &calls, bar));
            assert_eq!(window.totals().iter().sum::<u64>(), 3);
        });
    }
}

/// The second success is told by the total that the first one noted that it need not look.
#[test]
fn loom_the_last_sees_all_behind_a_noted_total() {
    explore(TWO_THREADS, || {
        let window = window(1, 2);
        let bar = Bar {
            minimum: 3,
            one_in: 3,
        };
        let failure = {
            let window = window.clone();
            spawn(0, move || sees_trip(&window, at(0), Class::Failed, bar))
        };
        let successes = {
            let window = window.clone();
            spawn(1, move || {
                let first = sees_trip(&window, at(0), Class::Ok, bar);
                sees_trip(&window, at(0), Class::Ok, bar) || first
            })
        };
        assert!(join(vec![failure, successes]).contains(&true));
    });
}

#[test]
fn loom_the_last_sees_all_across_the_begin_of_a_bucket() {
    for (failure, success) in [(1, 0), (0, 1)] {
        explore(TWO_THREADS, move || {
            let window = window(2, 2);
            window.align(at(0));
            let bar = Bar {
                minimum: 2,
                one_in: 2,
            };
            let calls = [(failure, Class::Failed), (success, Class::Ok)];
            assert!(somebody_sees(&window, &calls, bar));
        });
    }
}

/// The one case in which the last of two may miss the other, as the docs of the window say: a
/// success of a bucket in which the minimum was complete, which is no more when the next begins.
#[test]
fn loom_a_miss_at_the_begin_of_a_bucket_is_seen_by_the_next_call() {
    for next in 0..2 {
        explore(TWO_THREADS, move || {
            let window = window(2, 2);
            let bar = Bar {
                minimum: 3,
                one_in: 3,
            };
            set_thread_number(1);
            for (bucket, class) in [
                (0, Class::Ok),
                (0, Class::Ok),
                (0, Class::Failed),
                (1, Class::Ok),
            ] {
                window.record(GENERATION, at(bucket), class, bar.minimum);
            }
            window.sum(GENERATION, at(1));
            let calls = [(2, Class::Failed), (1, Class::Ok)];
            if !somebody_sees(&window, &calls, bar) {
                set_thread_number(next);
                assert!(sees_trip(
                    &window,
                    at(2),
                    Class::Ok,
                    Bar { one_in: 4, ..bar }
                ));
            }
        });
    }
}

/// Two calls in one cell, of a bucket and of the one that takes its place.
fn rotation(buckets: u32, class: Class, already: u64) {
    explore(TWO_THREADS, move || {
        let window = window(buckets, 1);
        window.align(at(0));
        for _ in 0..already {
            window.record(GENERATION, at(0), class, 1);
        }
        let old = {
            let window = window.clone();
            spawn(0, move || {
                window.record(GENERATION, at(0), class, 1);
                window.epoch.load(Ordering::Relaxed)
            })
        };
        let new = {
            let window = window.clone();
            spawn(1, move || {
                window.record(GENERATION, at(buckets), class, 1);
                window.sum(GENERATION, at(buckets)).recorded
            })
        };
        let epoch_of_old = old.join().unwrap();
        let seen_by_new = new.join().unwrap();
        // A call that still saw its own epoch afterwards was not counted in a later one.
        let is_late = epoch_of_old == 1;
        let counted = window.sum(GENERATION, at(buckets)).recorded;
        assert!(counted >= seen_by_new && seen_by_new >= 1);
        assert!(counted <= 1 || !is_late, "counted in a bucket not its own");
        let total = window.totals()[class as usize];
        assert_eq!(total, 2 + already, "a call is lost, or counted twice");
    });
}

#[test]
fn loom_a_call_is_counted_in_its_own_bucket_or_in_none() {
    for already in [0, 1] {
        rotation(1, Class::Ok, already);
        rotation(1, Class::Failed, already);
        rotation(2, Class::Ok, already);
    }
}

#[test]
fn loom_calls_of_one_cell_are_all_counted() {
    explore(TWO_THREADS, || {
        let window = window(1, 1);
        // A cell of an old bucket, which both want to replace.
        window.record(GENERATION, at(0), Class::Failed, 1);
        let spawn = |number| {
            let window = window.clone();
            spawn(number, move || {
                window.record(GENERATION, at(5), Class::Failed, 1);
                window.sum(GENERATION, at(5)).failed
            })
        };
        let seen = join((0..2).map(spawn).collect());
        assert!(seen.iter().all(|failed| (1..=2).contains(failed)));
        assert!(seen.contains(&2), "the last sees all");
        assert_eq!(window.totals(), [0, 3, 0, 0]);
    });
}

/// A call of an older generation, still on its way, beside the first one of the next.
fn next_generation(bucket: u32, stripe: usize, already: u64) {
    explore(TWO_THREADS, move || {
        let window = window(2, 2);
        window.align(at(0));
        set_thread_number(stripe);
        for _ in 0..already {
            window.record(GENERATION, at(0), Class::Failed, 1);
        }
        set_thread_number(0);
        let old = {
            let window = window.clone();
            spawn(stripe, move || {
                window.record(GENERATION, at(0), Class::Failed, 1);
            })
        };
        window.realign();
        let now = at(bucket) + WIDTH / 2;
        window.record(GENERATION + 1, now, Class::Failed, 1);
        let only_the_new = Counts {
            recorded: 1,
            failed: 1,
            slow: 0,
        };
        assert_eq!(window.sum(GENERATION + 1, now), only_the_new);
        old.join().unwrap();
        assert_eq!(window.sum(GENERATION + 1, now), only_the_new);
        assert_eq!(window.totals(), [0, 2 + already, 0, 0]);
    });
}

#[test]
fn loom_a_call_of_an_older_generation_is_not_counted_in_the_next() {
    for bucket in 0..3 {
        next_generation(bucket, 0, 1);
        next_generation(bucket, 0, 0);
        next_generation(bucket, 1, 0);
    }
}

/// A sum and totals read while a bucket leaves and its cells are replaced.
#[test]
fn loom_a_reader_never_sees_half_a_rotation() {
    explore(TWO_THREADS, || {
        let window = window(2, 1);
        for (bucket, class) in [(0, Class::Ok), (0, Class::Failed), (1, Class::Ok)] {
            window.record(GENERATION, at(bucket), class, 1);
        }
        let writer = {
            let window = window.clone();
            spawn(1, move || {
                window.record(GENERATION, at(2), Class::Ok, 1);
            })
        };
        let counts = window.sum(GENERATION, at(1));
        let before = Counts {
            recorded: 3,
            failed: 1,
            slow: 0,
        };
        let without_the_first_bucket = |recorded| Counts {
            recorded,
            failed: 0,
            slow: 0,
        };
        assert!(
            counts == before || [1, 2].map(without_the_first_bucket).contains(&counts),
            "{counts:?}"
        );
        let [good, failed, ..] = window.totals();
        assert!((2..=3).contains(&good) && failed == 1, "{good}, {failed}");
        writer.join().unwrap();
        assert_eq!(window.totals(), [3, 1, 0, 0]);
    });
}

#[test]
fn loom_a_clock_that_steps_back_brings_nothing_back() {
    explore(TWO_THREADS, || {
        let window = window(2, 2);
        window.record(GENERATION, at(0), Class::Failed, 1);
        let ahead = {
            let window = window.clone();
            spawn(1, move || {
                window.record(GENERATION, at(3), Class::Ok, 1);
            })
        };
        // Two readings and a call of a clock that is behind.
        let failed = [(); 2].map(|()| window.sum(GENERATION, at(0)).failed);
        assert!(failed[0] >= failed[1], "un-expired");
        window.record(GENERATION, at(0), Class::Slow, 1);
        ahead.join().unwrap();
        let counts = window.sum(GENERATION, at(0));
        assert_eq!(counts, window.sum(GENERATION, at(3)));
        assert_eq!(counts.failed, 0);
        assert!((1..=2).contains(&counts.recorded));
        assert_eq!(window.totals(), [1, 1, 1, 0]);
    });
}

/// Stored buckets put back while a call of the same generation is recorded.
#[test]
fn loom_restored_calls_do_not_add_to_the_totals() {
    explore(TWO_THREADS, || {
        let window = window(2, 1);
        window.record(GENERATION, at(0), Class::Failed, 1);
        let call = {
            let window = window.clone();
            spawn(1, move || {
                window.record(GENERATION + 1, at(1), Class::Failed, 1);
            })
        };
        window.restore(GENERATION + 1, at(1), &[[0, 7, 0, 0], [0, 9, 0, 0]]);
        call.join().unwrap();
        let failed = window.sum(GENERATION + 1, at(1)).failed;
        assert!((16..=17).contains(&failed), "{failed}");
        assert_eq!(window.totals(), [0, 2, 0, 0]);
    });
}
