//! The interleavings of reporters and a flight, on the shipped table, landing and incarnation.

use super::flights::{Boarding, Flights};
use super::landing::{Landing, Seat};
use super::part::Incarnation;
use crate::kernel::sync::{Mutex, explore};
use futures::task::{ArcWake, waker};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What a reporter came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// It opened the flight, and flew it.
    Flew,
    Outcome(u64),
    Stale(u64),
}

#[derive(Default)]
struct Table {
    flights: Mutex<Flights<u64>>,
    incarnation: Incarnation,
}

/// What a waker counts is no part of the model.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl ArcWake for Wakes {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reporter that waits, or does not have to.
enum Reporter {
    Is(Got),
    Waits(Seat<u64>, Arc<Wakes>),
}

impl Reporter {
    fn seat(landing: Arc<Landing<u64>>) -> Self {
        let mut seat = Seat::new(landing);
        let wakes: Arc<Wakes> = Arc::default();
        match seat.poll(&Context::from_waker(&waker(wakes.clone()))) {
            Poll::Ready(outcome) => Self::Is(Got::Outcome(outcome)),
            Poll::Pending => Self::Waits(seat, wakes),
        }
    }

    /// When everybody is done.
    fn end(self) -> Got {
        match self {
            Self::Is(got) => got,
            Self::Waits(mut seat, wakes) => {
                assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "woken once");
                let waker = waker(Arc::new(Wakes::default()));
                match seat.poll(&Context::from_waker(&waker)) {
                    Poll::Ready(outcome) => Got::Outcome(outcome),
                    Poll::Pending => panic!("woken, and there is nothing"),
                }
            }
        }
    }
}

impl Table {
    /// As the manager does it: decided under the lock, landed outside of it.
    fn report(&self, seen: u64) -> Reporter {
        let (flight, landing) = {
            let mut flights = self.flights.lock();
            match flights.board(0, Some(seen), self.incarnation.get()) {
                Boarding::Stale { current } => return Reporter::Is(Got::Stale(current)),
                Boarding::Joined(_, landing) => {
                    drop(flights);
                    return Reporter::seat(landing);
                }
                Boarding::None => flights.open(vec![0], 1, false),
            }
        };
        {
            let mut flights = self.flights.lock();
            assert!(flights.is_clear(flight), "one at a time");
            flights.begin(flight);
        }
        self.incarnation.set(seen + 1);
        let closed = self.flights.lock().close(flight);
        drop(closed);
        assert!(landing.land(seen + 1));
        Reporter::Is(Got::Flew)
    }
}

fn table() -> Arc<Table> {
    let table = Table::default();
    table.incarnation.set(1);
    Arc::new(table)
}

#[test]
fn loom_reporters_of_one_failure_share_one_flight() {
    explore(Some(3), || {
        let table = table();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let table = table.clone();
                thread::spawn(move || table.report(1))
            })
            .collect();
        let mut reporters = vec![table.report(1)];
        reporters.extend(others.into_iter().map(|other| other.join().unwrap()));
        let got: Vec<_> = reporters.into_iter().map(Reporter::end).collect();
        let flew = got.iter().filter(|&&got| got == Got::Flew).count();
        assert_eq!(flew, 1, "{got:?}");
        let shared = [Got::Flew, Got::Outcome(2), Got::Stale(2)];
        assert!(got.iter().all(|got| shared.contains(got)), "{got:?}");
        assert_eq!(table.incarnation.get(), 2);
        assert!(table.flights.lock().find(1).is_none());
    });
}

#[test]
fn loom_a_seat_that_is_given_up_takes_no_wake_from_another() {
    explore(None, || {
        let landing = Landing::new();
        let leaves = Reporter::seat(landing.clone());
        let stays = Reporter::seat(landing.clone());
        let lands = {
            let landing = landing.clone();
            thread::spawn(move || landing.land(7))
        };
        drop(leaves);
        assert!(lands.join().unwrap());
        assert!(!landing.land(8));
        assert_eq!(stays.end(), Got::Outcome(7));
    });
}
