//! The gate's core in every interleaving of two or three threads.

use super::control::{Fate, Parked};
use super::machine::Machine;
use super::stripe::{End, Stripes};
use super::{Gate, GateConfig};
use crate::kernel::clock::Clock;
use crate::kernel::stripe::set_thread_number;
use crate::kernel::sync::{AtomicBool, AtomicU64, Ordering, explore};
use loom::thread;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

fn flag() -> (Arc<Flag>, Waker) {
    let flag = Arc::new(Flag::default());
    (flag.clone(), Waker::from(flag))
}

/// Waits for an empty gate as a task does: it looks, and looks again when it was woken.
struct Drainer {
    key: Option<super::wakers::Key>,
    flag: Arc<Flag>,
    waker: Waker,
}

impl Drainer {
    fn new() -> Self {
        let (flag, waker) = flag();
        let key = None;
        Self { key, flag, waker }
    }

    fn poll(&mut self, stripes: &Stripes) -> Poll<()> {
        stripes.poll_empty(&mut self.key, &Context::from_waker(&self.waker))
    }
}

/// Callers on both stripes, one who shuts the gate and waits for it to be empty. Returns how many
/// went in.
fn drained(callers: usize, work: Arc<AtomicU64>) -> u64 {
    let stripes = Arc::new(Stripes::new());
    let threads: Vec<_> = (0..callers)
        .map(|caller| {
            let (stripes, work) = (stripes.clone(), work.clone());
            thread::spawn(move || {
                set_thread_number(caller);
                let Ok((ticket, _)) = stripes.enter() else {
                    return 0;
                };
                // Relaxed: that the gate is empty has to say that this is seen.
                work.fetch_add(1, Ordering::Relaxed);
                work.fetch_sub(1, Ordering::Relaxed);
                stripes.leave(ticket, End::Well);
                1
            })
        })
        .collect();
    stripes.shut();
    let mut drainer = Drainer::new();
    let first = drainer.poll(&stripes);
    if first.is_ready() {
        assert_eq!(work.load(Ordering::Relaxed), 0, "somebody is inside");
    }
    let went_in: u64 = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    if first.is_pending() {
        assert!(drainer.flag.is_set(), "nobody woke it");
        assert!(drainer.poll(&stripes).is_ready());
    }
    assert_eq!((stripes.inside(), stripes.sums().ended), (0, went_in));
    went_in
}

#[test]
fn mr8j_mr8k_loom_nobody_is_inside_of_a_drained_gate() {
    explore(None, || {
        drained(1, Arc::new(AtomicU64::new(0)));
    });
    explore(Some(3), || {
        drained(2, Arc::new(AtomicU64::new(0)));
    });
}

#[test]
fn mr8j_loom_nobody_goes_in_after_the_gate_was_seen_empty() {
    explore(None, || {
        let stripes = Arc::new(Stripes::new());
        let is_empty = Arc::new(AtomicBool::new(false));
        let caller = {
            let (stripes, is_empty) = (stripes.clone(), is_empty.clone());
            thread::spawn(move || {
                set_thread_number(1);
                if let Ok((ticket, _)) = stripes.enter() {
                    assert!(!is_empty.load(Ordering::Acquire));
                    stripes.leave(ticket, End::Well);
                }
            })
        };
        stripes.shut();
        if Drainer::new().poll(&stripes).is_ready() {
            is_empty.store(true, Ordering::Release);
        }
        caller.join().unwrap();
    });
}

#[test]
fn mr8k_loom_a_waiting_call_learns_that_it_was_cut_and_a_later_one_is_not() {
    explore(None, || {
        let stripes = Arc::new(Stripes::new());
        let shut = Arc::new(AtomicBool::new(false));
        let caller = {
            let (stripes, shut) = (stripes.clone(), shut.clone());
            thread::spawn(move || {
                set_thread_number(1);
                let (ticket, _) = stripes.enter().ok()?;
                let went_in_later = shut.load(Ordering::Relaxed);
                let (flag, waker) = flag();
                let waits = stripes.wait(ticket, &mut None, &waker);
                Some((ticket, went_in_later, waits, flag))
            })
        };
        stripes.shut();
        shut.store(true, Ordering::Relaxed);
        let (inside, wakers) = stripes.cut();
        wakers.into_iter().for_each(Waker::wake);
        stripes.open();
        let Some((ticket, saw_shut, waits, flag)) = caller.join().unwrap() else {
            return;
        };
        if stripes.is_of_the_past(ticket) {
            assert!(inside >= 1, "it was not seen inside");
            assert!(stripes.is_cut(ticket));
            assert!(waits.is_err() || flag.is_set(), "it is not told");
        } else {
            assert!(saw_shut, "it went in before the gate was shut");
            assert!(!stripes.is_cut(ticket) && waits.is_ok() && !flag.is_set());
        }
        stripes.leave(ticket, End::Well);
        assert_eq!(stripes.inside(), 0);
    });
}

fn machine() -> Gate {
    Gate::with_clock("loom", GateConfig::default(), Clock::manual()).unwrap()
}

fn shared(gate: &Gate) -> &Machine {
    gate.shared()
}

#[test]
fn mr8k_loom_who_waits_outside_learns_that_the_gate_opens_or_stays_shut() {
    for cured in [Some(Duration::ZERO), None] {
        explore(None, move || {
            let gate = machine();
            shared(&gate).begin();
            let caller = {
                let gate = gate.clone();
                thread::spawn(move || {
                    set_thread_number(1);
                    let (flag, waker) = flag();
                    (shared(&gate).park(&waker), flag, waker)
                })
            };
            shared(&gate).end(cured);
            match caller.join().unwrap() {
                (Parked::Waits(place), flag, waker) => {
                    assert!(flag.is_set(), "nobody woke it");
                    let fate = shared(&gate).look(place, &waker);
                    let open = [Fate::Down, Fate::Open][usize::from(cured.is_some())];
                    assert_eq!(fate, open);
                    assert_eq!(gate.parked(), 0);
                }
                (Parked::Open, ..) => assert!(cured.is_some()),
                (Parked::Refused, ..) => assert!(cured.is_none()),
            }
        });
    }
}
