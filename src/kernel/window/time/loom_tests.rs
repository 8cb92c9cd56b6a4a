//! Every interleaving, within the bound on preemptions, of small cases on the shipped window.

use super::*;
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::leave_fences_out;
use loom::thread;
use std::sync::Arc;

const WIDTH: Duration = Duration::from_secs(1);

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    let n = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let m = n.clone();
    let t = std::time::Instant::now();
    builder.check(move || {
        m.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model()
    });
    eprintln!(
        "{} iterations {:?} ({:?})",
        n.load(std::sync::atomic::Ordering::Relaxed),
        t.elapsed(),
        std::thread::current().name()
    );
}

fn window(buckets: u32, stripes: usize) -> TimeWindow {
    let shape = TimeShape {
        width: WIDTH,
        buckets,
    };
    TimeWindow::new(shape, stripes, &Clock::manual().clock())
}

fn at(epoch: u32) -> Instant {
    Instant::from_nanos(1 << 62) + WIDTH * epoch
}

/// Records as the breaker does, and says whether the recorder sees a window that trips.
fn sees_trip(window: &TimeWindow, now: Instant, class: Class, minimum: u64) -> bool {
    window.record(1, now, class, minimum) == Recorded::Look && {
        let counts = window.sum(1, now);
        counts.recorded >= minimum && 2 * counts.failed >= counts.recorded
    }
}

fn halves(preemptions: usize, buckets: u32, fenceless: [bool; 2]) {
    explore(preemptions, move || {
        let window = Arc::new(window(buckets, 2));
        let classes = [Class::Failed, Class::Ok];
        let recorders: Vec<_> = (0..2)
            .map(|n| {
                let window = window.clone();
                thread::spawn(move || {
                    set_thread_number(n);
                    if fenceless[n] {
                        leave_fences_out();
                    }
                    sees_trip(&window, at(0), classes[n], 2)
                })
            })
            .collect();
        let seen: Vec<_> = recorders.into_iter().map(|r| r.join().unwrap()).collect();
        assert!(seen.contains(&true), "nobody saw both");
        assert_eq!(window.totals(), [1, 1, 0, 0]);
    });
}

#[test]
fn loom_halves_2() {
    halves(2, 1, [false, false]);
}
#[test]
fn loom_halves_3() {
    halves(3, 1, [false, false]);
}
#[test]
#[should_panic(expected = "nobody saw both")]
fn loom_halves_fenceless0() {
    halves(2, 1, [true, false]);
}
#[test]
#[should_panic(expected = "nobody saw both")]
fn loom_halves_fenceless1() {
    halves(2, 1, [false, true]);
}
#[test]
fn loom_halves_2_b2() {
    halves(2, 2, [false, false]);
}
