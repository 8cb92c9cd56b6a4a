//! The interleavings of small cases on the whole breaker.
//!
//! Two threads are interrupted up to three times, three threads up to twice.

use super::*;
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::event::Subscriber;
use crate::kernel::rejection::{Facts, Rejection, RejectionKind};
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::{explore, leave_fences_out};
use crate::kernel::window::Counts;
use loom::thread::{self, JoinHandle};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const TWO_THREADS: Option<usize> = Some(3);
const THREE_THREADS: Option<usize> = Some(2);
const SECOND: Duration = Duration::from_secs(1);

/// A breaker, its clock and what it tells.
struct Rig {
    breaker: CircuitBreaker,
    clock: ManualClock,
    events: Subscriber<CircuitBreakerEvent>,
}

impl Rig {
    fn new(config: CircuitBreakerConfig) -> Self {
        let clock = Clock::manual();
        let breaker = CircuitBreaker::with_clock("loom", config, &clock).unwrap();
        let events = breaker.subscribe(NonZeroUsize::new(100).unwrap());
        Self {
            breaker,
            clock,
            events,
        }
    }

    /// Half-open, with that many probes out.
    fn half_open(config: CircuitBreakerConfig, out: usize) -> (Self, Vec<OwnedPermit>) {
        let mut rig = Self::new(config);
        rig.breaker.transition_to(State::Open).unwrap();
        rig.breaker.transition_to(State::HalfOpen).unwrap();
        let permits = (0..out).map(|_| rig.breaker.try_acquire_owned().unwrap());
        let permits = permits.collect();
        assert_eq!(rig.transitions().len(), 2);
        (rig, permits)
    }

    fn spawn<R: 'static>(
        &self,
        number: usize,
        act: impl FnOnce(&CircuitBreaker) -> R + 'static,
    ) -> JoinHandle<R> {
        let breaker = self.breaker.clone();
        thread::spawn(move || {
            set_thread_number(number);
            act(&breaker)
        })
    }

    /// The transitions since it was last asked, after a check that they hang together.
    fn transitions(&mut self) -> Vec<(State, State)> {
        let mut transitions: Vec<(State, State)> = Vec::new();
        let mut last = None;
        while let Some(event) = self.events.try_recv() {
            assert!(last.is_none_or(|seq| event.seq == seq + 1));
            last = Some(event.seq);
            if let EventKind::StateChanged { from, to, .. } = event.kind {
                assert!(transitions.last().is_none_or(|(_, before)| *before == from));
                transitions.push((from, to));
            }
        }
        transitions
    }

    /// Whatever happened: once the wait is over, good calls close it.
    fn is_not_wedged(&self, probes: usize) {
        for _ in 0..probes {
            if self.breaker.state() == State::Closed {
                break;
            }
            self.clock.advance(60 * SECOND);
            self.breaker.try_acquire().unwrap().success();
        }
        assert_eq!(self.breaker.state(), State::Closed);
    }
}

fn config(window: Window) -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(window)
        .minimum_calls(2)
        .open_wait(SECOND, 1.0, SECOND)
        .open_wait_jitter(0.0)
        .probe_max_wait(SECOND)
}

fn count() -> CircuitBreakerConfig {
    config(Window::count(2))
}

fn time() -> CircuitBreakerConfig {
    config(Window::time(SECOND, 1))
}

fn fail(breaker: &CircuitBreaker) -> bool {
    breaker.try_acquire().map(Permit::failure).is_ok()
}

fn succeed(breaker: &CircuitBreaker) -> bool {
    breaker.try_acquire().map(Permit::success).is_ok()
}

const EMPTY: Counts = Counts {
    recorded: 0,
    failed: 0,
    slow: 0,
};

// --- Admission, record and trip ---

#[test]
fn loom_two_failures_at_once_trip_once() {
    for config in [count(), time()] {
        explore(TWO_THREADS, move || {
            let mut rig = Rig::new(config.clone());
            let other = rig.spawn(1, fail);
            assert!(fail(&rig.breaker));
            assert!(other.join().unwrap());
            assert_eq!(rig.transitions(), [(State::Closed, State::Open)]);
            assert_eq!(rig.breaker.totals().failure, 2);
            assert_eq!(rig.breaker.last_trip().unwrap().counts.failed, 2);
        });
    }
}

#[test]
fn loom_a_failure_and_the_success_that_completes_the_minimum_trip() {
    for config in [count(), time()] {
        explore(TWO_THREADS, move || {
            let mut rig = Rig::new(config.clone());
            let other = rig.spawn(1, succeed);
            assert!(fail(&rig.breaker));
            assert!(other.join().unwrap());
            assert_eq!(rig.transitions(), [(State::Closed, State::Open)]);
            let totals = rig.breaker.totals();
            assert_eq!((totals.success, totals.failure, totals.late), (1, 1, 0));
        });
    }
}

#[test]
#[should_panic(expected = "nobody opened it")]
fn loom_the_model_finds_a_breaker_without_fences() {
    explore(TWO_THREADS, || {
        let rig = Rig::new(time());
        let other = rig.spawn(1, |breaker| {
            leave_fences_out();
            succeed(breaker)
        });
        leave_fences_out();
        fail(&rig.breaker);
        other.join().unwrap();
        assert_eq!(rig.breaker.state(), State::Open, "nobody opened it");
    });
}

/// In a window of two, the second outcome trips; the third call is late or rejected.
#[test]
fn loom_three_calls_at_once_trip_once() {
    explore(THREE_THREADS, || {
        let mut rig = Rig::new(count());
        let others = [rig.spawn(1, fail), rig.spawn(2, succeed)];
        fail(&rig.breaker);
        others.map(|other| other.join().unwrap());
        assert_eq!(rig.transitions(), [(State::Closed, State::Open)]);
        let totals = rig.breaker.totals();
        assert_eq!(totals.success + totals.failure, 2);
        assert_eq!(totals.late + totals.rejected_open, 1);
    });
}

#[test]
fn loom_an_outcome_does_not_reach_the_next_generation() {
    for (config, preemptions) in [(count(), 3), (time(), 2)] {
        for succeeds in [false, true] {
            let config = config.clone();
            explore(Some(preemptions), move || {
                let rig = Rig::new(config.clone());
                fail(&rig.breaker);
                let mine = rig.breaker.try_acquire_owned().unwrap();
                let others = rig.breaker.try_acquire_owned().unwrap();
                let other = rig.spawn(1, move |_| {
                    if succeeds {
                        others.success();
                    } else {
                        others.failure();
                    }
                });
                mine.failure();
                rig.breaker.reset();
                assert_eq!(rig.breaker.snapshot().counts, EMPTY);
                other.join().unwrap();
                assert_eq!(rig.breaker.snapshot().counts, EMPTY);
                assert_eq!(rig.breaker.state(), State::Closed);
                let totals = rig.breaker.totals();
                assert_eq!(totals.admitted(), 3);
                assert!(totals.late <= 1);
            });
        }
    }
}

/// A success that finds the window clear is not recorded; one after a failure must be.
#[test]
fn loom_a_success_after_a_failure_finds_the_window_unclear() {
    explore(TWO_THREADS, || {
        let rig = Rig::new(count().failure_rate(1.0));
        succeed(&rig.breaker);
        succeed(&rig.breaker);
        assert!(rig.breaker.machine().word().is_clear());
        let other = rig.spawn(1, succeed);
        fail(&rig.breaker);
        succeed(&rig.breaker);
        other.join().unwrap();
        let WindowSnapshot::Count(calls) = rig.breaker.snapshot().window else {
            panic!("a count window");
        };
        // The other's success came before the failure (and was not recorded) or after it.
        assert!(calls == "F." || calls == "..", "{calls}");
        assert_eq!(rig.breaker.machine().word().is_clear(), calls == "..");
        let totals = rig.breaker.totals();
        assert_eq!((totals.success, totals.failure), (4, 1));
    });
}

#[test]
fn loom_failures_in_a_row_are_all_counted() {
    explore(TWO_THREADS, || {
        let config = CircuitBreakerConfig::consecutive(3).window(Window::none());
        let mut rig = Rig::new(config);
        fail(&rig.breaker);
        let other = rig.spawn(1, fail);
        fail(&rig.breaker);
        other.join().unwrap();
        assert_eq!(rig.transitions(), [(State::Closed, State::Open)]);
        assert_eq!(rig.breaker.totals().failure, 3);
    });
}

/// The wait and the facts of a rejection belong to one opening.
#[test]
fn loom_a_rejection_shows_one_state() {
    explore(TWO_THREADS, || {
        let rig = Rig::new(count().open_wait(SECOND, 3.0, 9 * SECOND));
        fail(&rig.breaker);
        fail(&rig.breaker);
        let other = rig.spawn(1, |breaker| {
            let rejection = breaker.try_acquire_owned().err();
            rejection.map(|rejection| (rejection.retry_after(), rejection.facts()))
        });
        // The second time in a row, by hand, for three seconds.
        rig.breaker.transition_to(State::HalfOpen).unwrap();
        rig.breaker.transition_to(State::Open).unwrap();
        let of_two = Facts::FailureRate {
            failed: 2,
            recorded: 2,
        };
        match other.join().unwrap() {
            None => {}
            Some((wait, facts)) if facts == of_two => assert_eq!(wait, Some(SECOND)),
            Some((wait, facts)) => assert_eq!((wait, facts), (Some(3 * SECOND), Facts::None)),
        }
    });
}

// --- Probes ---

/// Who was admitted, and how many were at most out at once. A probe is taken off the count before
/// it is given back, so the count is never too high.
#[derive(Clone, Default)]
struct Out(Arc<AtomicUsize>);

impl Out {
    fn admitted(&self, at_most: usize) {
        let out = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(out <= at_most, "{out} probes are out");
    }

    fn returns(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn is_full(result: &Result<OwnedPermit, Rejection>) -> bool {
    let rejection = result.as_ref().err();
    rejection.is_some_and(|rejection| rejection.kind() == RejectionKind::ProbesFull)
}

#[test]
fn loom_a_place_given_back_is_taken_once() {
    for ignores in [false, true] {
        explore(THREE_THREADS, move || {
            let (mut rig, mut permits) = Rig::half_open(count().probes(1), 1);
            let out = Out::default();
            out.admitted(1);
            let permit = permits.remove(0);
            let others = [1, 2].map(|number| {
                let out = out.clone();
                rig.spawn(number, move |breaker| {
                    let result = breaker.try_acquire_owned();
                    assert!(result.is_ok() || is_full(&result));
                    result.inspect(|_| out.admitted(1)).ok()
                })
            });
            out.returns();
            if ignores {
                permit.ignore();
            } else {
                drop(permit);
            }
            let held = others.map(|other| other.join().unwrap());
            let calls = 3 + u64::from(held.iter().all(Option::is_none));
            held.into_iter().flatten().for_each(OwnedPermit::success);
            rig.is_not_wedged(1);
            assert_eq!(rig.transitions(), [(State::HalfOpen, State::Closed)]);
            let totals = rig.breaker.totals();
            assert_eq!((totals.success, totals.failure, totals.late), (1, 0, 0));
            assert_eq!(totals.admitted() + totals.rejected(), calls);
        });
    }
}

#[test]
fn loom_at_most_n_probes_at_the_instant_of_opening() {
    for probes in [1, 2] {
        explore(THREE_THREADS, move || {
            let rig = Rig::new(count().probes(probes));
            rig.breaker.transition_to(State::Open).unwrap();
            rig.clock.advance(SECOND);
            let others = [1, 2].map(|n| rig.spawn(n, CircuitBreaker::try_acquire_owned));
            let mine = rig.breaker.try_acquire_owned();
            let [one, two] = others.map(|other| other.join().unwrap());
            let all = [mine, one, two];
            let admitted = all.iter().filter(|result| result.is_ok()).count();
            assert_eq!(admitted, probes as usize);
            assert_eq!(
                all.iter().filter(|result| is_full(result)).count(),
                3 - admitted
            );
            drop(all);
            rig.is_not_wedged(probes as usize);
        });
    }
}

#[test]
fn loom_the_verdict_falls_once() {
    for (first, second) in [(true, true), (true, false), (false, false)] {
        for decision in [ProbeDecision::Early, ProbeDecision::All] {
            explore(TWO_THREADS, move || {
                let config = count().probes(2).probe_decision(decision);
                let (mut rig, mut permits) = Rig::half_open(config, 2);
                let settle = |permit: OwnedPermit, succeeds| {
                    if succeeds {
                        permit.success();
                    } else {
                        permit.failure();
                    }
                };
                let others = permits.remove(1);
                let other = rig.spawn(1, move |_| settle(others, second));
                settle(permits.remove(0), first);
                other.join().unwrap();
                let to = if first && second {
                    State::Closed
                } else {
                    State::Open
                };
                assert_eq!(rig.transitions(), [(State::HalfOpen, to)]);
                let totals = rig.breaker.totals();
                assert_eq!(totals.admitted(), 2);
                assert!(totals.late == 0 || decision == ProbeDecision::Early);
                rig.is_not_wedged(2);
            });
        }
    }
}

/// A probe comes back at the moment in which it is written off.
#[test]
fn loom_a_probe_is_written_off_or_comes_back() {
    for probes in [1, 2] {
        for succeeds in [true, false] {
            explore(TWO_THREADS, move || {
                let (mut rig, mut permits) = Rig::half_open(count().probes(probes), 1);
                let permit = permits.remove(0);
                let other = rig.spawn(1, move |_| {
                    if succeeds {
                        permit.success();
                    } else {
                        drop(permit);
                    }
                });
                // The clock is no matter of loom's; here the other may come first.
                rig.breaker.machine().word();
                rig.clock.advance(SECOND);
                let mine = rig.breaker.try_acquire_owned();
                let was_admitted = mine.is_ok();
                drop(mine);
                other.join().unwrap();
                let totals = rig.breaker.totals();
                let late = totals.late == 1;
                assert_eq!(totals.admitted(), 1 + u64::from(was_admitted));
                // Written off, it fails the circuit: one of two is half of them.
                match rig.transitions()[..] {
                    [] => assert!(!late && was_admitted && (probes == 2 || !succeeds)),
                    [(State::HalfOpen, State::Open)] => assert!(late && !was_admitted),
                    [(State::HalfOpen, State::Closed)] => {
                        assert!(!late && was_admitted && probes == 1 && succeeds);
                    }
                    ref other => panic!("{other:?}"),
                }
                rig.is_not_wedged(probes as usize);
            });
        }
    }
}

/// A probe of an older half-open state does not give back the place of a newer one's.
#[test]
fn loom_a_probe_of_an_older_state_frees_no_place() {
    for ends in [drop, OwnedPermit::success, OwnedPermit::failure] {
        explore(TWO_THREADS, move || {
            let (mut rig, mut permits) = Rig::half_open(count().probes(1), 1);
            let old = permits.remove(0);
            let other = rig.spawn(1, move |_| ends(old));
            rig.breaker.transition_to(State::Open).unwrap();
            rig.breaker.transition_to(State::HalfOpen).unwrap();
            let mine = rig.breaker.try_acquire().unwrap();
            assert!(rig.breaker.try_acquire().is_err(), "two probes are out");
            drop(mine);
            other.join().unwrap();
            rig.transitions();
            rig.is_not_wedged(1);
        });
    }
}

/// A verdict, and a hand that holds the circuit open.
#[test]
fn loom_a_verdict_beside_a_hand() {
    for by_guard in [false, true] {
        explore(TWO_THREADS, move || {
            let (mut rig, mut permits) = Rig::half_open(count().probes(1), 1);
            let permit = permits.remove(0);
            let other = rig.spawn(1, move |_| permit.success());
            if by_guard {
                drop(rig.breaker.isolate());
            } else {
                rig.breaker.force_open();
                assert_eq!(rig.breaker.state(), State::ForcedOpen);
                rig.breaker.release_force_open();
            }
            other.join().unwrap();
            let totals = rig.breaker.totals();
            let mut expected = vec![
                (State::HalfOpen, State::ForcedOpen),
                (State::ForcedOpen, State::Closed),
            ];
            if totals.success == 1 {
                expected[0] = (State::HalfOpen, State::Closed);
                expected.insert(1, (State::Closed, State::ForcedOpen));
            }
            assert_eq!(rig.transitions(), expected);
            assert_eq!(totals.success + totals.late, 1);
        });
    }
}
