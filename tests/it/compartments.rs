//! Compartments: limits by name, guaranteed shares, borrowed slots.

use allocation_counter::measure;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::{Facts, Rejection, RejectionKind};
use backstop::policy::bulkhead::{
    Compartment, CompartmentConfig, Compartments, CompartmentsConfig, Order, OwnedCompartmentPermit,
};
#[cfg(feature = "serde")]
use backstop::policy::bulkhead::{IsolatedCompartmentsConfig, IsolatedConfig};
use backstop::{ConfigError, Error};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

type Shares<'a> = &'a [(&'static str, CompartmentConfig)];

fn config(total: Option<u32>, shares: Shares<'_>) -> CompartmentsConfig {
    let mut config = CompartmentsConfig::new();
    if let Some(total) = total {
        config = config.total(total);
    }
    let add = |config: CompartmentsConfig, share: &(&'static str, CompartmentConfig)| {
        config.compartment(share.0, share.1)
    };
    shares.iter().fold(config, add)
}

struct Rig {
    set: Compartments,
    clock: ManualClock,
}

impl Rig {
    fn new(total: Option<u32>, shares: Shares<'_>) -> Self {
        let clock = Clock::manual();
        let set = Compartments::with_clock("set", config(total, shares), &clock).unwrap();
        Self { set, clock }
    }

    fn get(&self, name: &str) -> Compartment {
        self.set.require(name).unwrap()
    }

    fn take(&self, name: &str, slots: usize) -> Vec<OwnedCompartmentPermit> {
        let compartment = self.get(name);
        let take = |_| compartment.try_acquire_owned().expect("a slot");
        (0..slots).map(take).collect()
    }

    fn refusal(&self, name: &str) -> Rejection {
        let compartment = self.get(name);
        compartment.try_acquire().map(drop).expect_err("refused")
    }

    fn is_full(&self, name: &str) -> bool {
        self.refusal(name).kind() == RejectionKind::Full
    }
}

fn new(limit: u32) -> CompartmentConfig {
    CompartmentConfig::new(limit)
}

/// A caller that waits, and whether it was woken.
struct Caller {
    future: Pin<Box<dyn Future<Output = Result<OwnedCompartmentPermit, Rejection>>>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Caller {
    fn of(compartment: &Compartment) -> Self {
        let mut caller = Self {
            future: Box::pin(compartment.acquire_owned()),
            woken: Arc::default(),
        };
        assert!(caller.poll().is_none(), "it waits");
        caller
    }

    fn poll(&mut self) -> Option<Result<OwnedCompartmentPermit, Rejection>> {
        let waker = waker(self.woken.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Its slot, if it was told that it has one.
    fn slot(&mut self) -> Option<OwnedCompartmentPermit> {
        if self.woken.0.swap(0, Ordering::SeqCst) == 0 {
            return None;
        }
        self.poll().map(|result| result.expect("a slot"))
    }
}

#[test]
fn bh2a_each_compartment_has_its_own_limit() {
    let rig = Rig::new(None, &[("a", new(2)), ("b", new(1)), ("none", new(0))]);
    let held = rig.take("a", 2);
    let refused = rig.refusal("a");
    assert_eq!(refused.kind(), RejectionKind::Full);
    assert_eq!(refused.facts(), Facts::Limit { limit: 2 });
    assert_eq!(
        refused.to_string(),
        "bulkhead `set/a` is full: the limit is 2"
    );
    let other = rig.take("b", 1);
    assert!(rig.is_full("b") && rig.is_full("none"));
    assert_eq!(rig.set.in_flight(), 3);
    drop((held, other));
    assert_eq!(rig.set.in_flight(), 0);
    assert_eq!(rig.get("a").totals().finished, 2);

    let shared = Rig::new(Some(10), &[("a", new(2)), ("b", new(1)), ("none", new(0))]);
    let _held = shared.take("a", 2);
    assert_eq!(shared.refusal("a").facts(), Facts::Limit { limit: 2 });
    assert!(shared.is_full("none"));
}

#[test]
fn bh2a_the_presets() {
    let set = Compartments::new("set", CompartmentsConfig::presets()).unwrap();
    let limits = set.iter().map(|compartment| {
        let mut taken = Vec::new();
        while let Ok(permit) = compartment.try_acquire() {
            taken.push(permit);
        }
        (compartment.key().to_owned(), taken.len())
    });
    let expected = [("batch", 50), ("critical", 100), ("standard", 500)];
    let expected = expected.map(|(name, limit)| (name.to_owned(), limit));
    assert_eq!(limits.collect::<Vec<_>>(), expected);
}

#[test]
fn bh2b_no_more_than_the_total_run() {
    let rig = Rig::new(Some(5), &[("a", new(4)), ("b", new(4))]);
    let held = rig.take("a", 4);
    let _other = rig.take("b", 1);
    assert_eq!(rig.refusal("b").facts(), Facts::Limit { limit: 5 });
    drop(held);
    let _more = rig.take("b", 3);
    assert_eq!(rig.set.in_flight(), 4);
}

#[test]
fn bh2c_what_cannot_be_is_refused() {
    let second = SECOND;
    let refused = |total, shares: Shares<'_>| -> ConfigError {
        Compartments::new("set", config(total, shares)).unwrap_err()
    };
    let with_share = |share| refused(Some(10), &[("a", share)]);
    let cases = [
        (refused(None, &[]), "compartments"),
        (refused(Some(0), &[("a", new(1))]), "total"),
        (refused(Some(u32::MAX), &[("a", new(1))]), "total"),
        (refused(None, &[("", new(1))]), "compartments"),
        (
            refused(None, &[("a", new(5).guaranteed(1))]),
            "compartments.guaranteed",
        ),
        (with_share(new(2).guaranteed(3)), "compartments.guaranteed"),
        (with_share(new(u32::MAX)), "compartments.limit"),
        (
            with_share(new(2).queue(0, second)),
            "compartments.max_waiting",
        ),
        (
            with_share(new(2).queue(u32::MAX, second)),
            "compartments.max_waiting",
        ),
        (
            with_share(new(2).queue(1, Duration::ZERO)),
            "compartments.max_wait",
        ),
        (
            refused(
                Some(10),
                &[("a", new(6).guaranteed(6)), ("b", new(5).guaranteed(5))],
            ),
            "compartments.guaranteed",
        ),
    ];
    for (error, field) in &cases {
        assert_eq!(error.field(), *field, "{error}");
    }
    let owed_for = config(Some(1), &[("a", new(1))]).owed_for(Duration::ZERO);
    assert_eq!(
        Compartments::new("set", owed_for).unwrap_err().field(),
        "owed_for"
    );
    assert_eq!(
        cases[10].0.to_string(),
        "compartments.guaranteed: 11 in all is not allowed; it must be at most the total (10) in all"
    );
    let exact = config(
        Some(10),
        &[("a", new(6).guaranteed(6)), ("b", new(4).guaranteed(4))],
    );
    assert!(Compartments::new("set", exact).is_ok());
}

#[test]
fn bh2d_idle_guarantees_can_be_borrowed_and_are_not_taken_back() {
    let rig = Rig::new(Some(4), &[("a", new(4).guaranteed(3)), ("b", new(4))]);
    let borrowed = rig.take("b", 4);
    assert!(rig.is_full("a"));
    rig.clock.advance(3600 * SECOND);
    assert_eq!(rig.get("b").in_flight(), 4, "nobody takes them back");
    drop(borrowed);
    assert_eq!(rig.take("a", 4).len(), 4);
}

#[test]
fn bh2e_a_call_within_its_guarantee_is_owed_the_next_slots() {
    let rig = Rig::new(Some(3), &[("a", new(3).guaranteed(2)), ("b", new(3))]);
    let mut borrowed = rig.take("b", 3);
    assert!(rig.is_full("a"));
    assert!(rig.is_full("a"));
    assert!(rig.is_full("a"), "a third refusal owes no third slot");
    drop(borrowed.pop());
    assert!(rig.is_full("b"));
    drop(borrowed.pop());
    assert!(rig.is_full("b"));
    // Two were owed and are free; what is free beyond them is anybody's.
    drop(borrowed.pop());
    let third = rig.take("b", 1);
    assert!(rig.is_full("b"));
    let mine = rig.take("a", 2);
    assert_eq!((mine.len(), third.len()), (2, 1));
}

#[test]
fn bh2f_no_borrower_takes_a_slot_that_is_owed() {
    for (borrower, guaranteed) in [("b", 0), ("b", 1), ("a", 2)] {
        // The owed one never asks again; `a` borrows beyond its own guarantee, too.
        let shares = [
            ("a", new(4).guaranteed(2)),
            ("b", new(4).guaranteed(guaranteed.min(1))),
            ("c", new(4).guaranteed(1)),
        ];
        let rig = Rig::new(Some(4), &shares);
        let mut borrowed = rig.take(borrower, 4);
        assert!(rig.is_full("c"));
        drop(borrowed.pop());
        assert!(
            rig.is_full(borrower),
            "{borrower} has more than it is guaranteed"
        );
        // Compartments within their guarantee are no borrowers.
        if borrower == "b" {
            assert_eq!(rig.take("a", 1).len(), 1);
        }
        assert_eq!(rig.take("c", 1).len(), 1);
    }
}

#[test]
fn bh2f_a_waiting_borrower_does_not_take_it_either() {
    let shares = [
        ("a", new(2).guaranteed(1)),
        ("b", new(2).queue(5, 60 * SECOND)),
    ];
    let rig = Rig::new(Some(2), &shares);
    let mut borrowed = rig.take("b", 2);
    let mut waits = Caller::of(&rig.get("b"));
    assert!(rig.is_full("a"));
    drop(borrowed.pop());
    assert!(waits.slot().is_none(), "the slot is owed");
    let mine = rig.take("a", 1);
    drop(borrowed.pop());
    let slot = waits.slot();
    assert!(slot.is_some());
    drop(mine);
}

#[test]
fn bh2g_a_debt_ends_with_time() {
    let rig = Rig::new(Some(2), &[("a", new(2).guaranteed(1)), ("b", new(2))]);
    let mut borrowed = rig.take("b", 2);
    assert!(rig.is_full("a"));
    rig.clock.advance(SECOND / 2);
    // Refused again, it is owed as much, and for longer.
    assert!(rig.is_full("a"));
    drop(borrowed.pop());
    rig.clock.advance(SECOND - Duration::from_nanos(1));
    assert!(rig.is_full("b"));
    rig.clock.advance(Duration::from_nanos(1));
    assert_eq!(rig.take("b", 1).len(), 1);
}

#[test]
fn bh2g_a_debt_ends_when_it_is_paid() {
    let rig = Rig::new(Some(2), &[("a", new(2).guaranteed(2)), ("b", new(2))]);
    let mut borrowed = rig.take("b", 2);
    assert!(rig.is_full("a"));
    drop(borrowed.pop());
    drop(rig.take("a", 1));
    assert_eq!(rig.take("b", 1).len(), 1, "it had its slot");
}

#[test]
fn bh2g_a_waiter_looks_by_itself_when_the_debt_ends() {
    let shares = [
        ("a", new(2).guaranteed(1)),
        ("b", new(2).queue(5, 60 * SECOND)),
    ];
    let rig = Rig::new(Some(2), &shares);
    let mut borrowed = rig.take("b", 2);
    // One waits before there is a debt, one comes while there is one.
    let mut before = Caller::of(&rig.get("b"));
    assert!(rig.is_full("a"));
    drop(borrowed.pop());
    let mut after = Caller::of(&rig.get("b"));
    assert!(before.slot().is_none() && after.slot().is_none());
    rig.clock.advance(SECOND);
    let slot = before.slot().expect("it looked by itself");
    assert!(after.slot().is_none());
    drop(slot);
    assert!(after.slot().is_some());
}

#[test]
fn bh2g_one_that_waits_behind_a_debt_hands_the_look_on() {
    let shares = [
        ("a", new(2).guaranteed(1)),
        ("b", new(2).queue(5, 60 * SECOND)),
    ];
    let rig = Rig::new(Some(2), &shares);
    let mut borrowed = rig.take("b", 2);
    let mut callers = [(); 2].map(|()| Caller::of(&rig.get("b")));
    assert!(rig.is_full("a"));
    drop(borrowed.pop());
    assert!(callers[0].slot().is_none());
    let [first, mut second] = callers;
    drop(first);
    assert!(second.slot().is_none(), "it is told of the debt");
    rig.clock.advance(SECOND);
    assert!(second.slot().is_some());
}

#[test]
fn bh2h_slots_go_to_those_below_their_guarantee_first_then_by_age() {
    let queue = |share: CompartmentConfig| share.queue(5, 60 * SECOND);
    let shares = [
        ("a", queue(new(3).guaranteed(1))),
        ("b", queue(new(3))),
        ("c", queue(new(3))),
    ];
    let rig = Rig::new(Some(3), &shares);
    let mut held = rig.take("b", 3);
    let mut oldest = Caller::of(&rig.get("c"));
    let mut second = Caller::of(&rig.get("b"));
    let mut entitled = Caller::of(&rig.get("a"));
    let mut beyond = Caller::of(&rig.get("a"));
    drop(held.pop());
    let first = entitled.slot().expect("below its guarantee");
    assert!(oldest.slot().is_none() && second.slot().is_none() && beyond.slot().is_none());
    drop(held.pop());
    let next = oldest.slot().expect("it came first");
    drop(held.pop());
    let then = second.slot().expect("it came second");
    assert!(rig.is_full("c"), "nobody goes before who waits");
    drop(next);
    let last = beyond.slot().expect("it came last");
    drop((first, then, last));
}

#[test]
fn bh2h_the_order_of_a_queue_and_its_bounds() {
    for (order, expected) in [(Order::Fifo, [0, 1, 2]), (Order::Lifo, [2, 1, 0])] {
        let rig = Rig::new(None, &[("a", new(1).queue(3, 5 * SECOND).order(order))]);
        let mut held = rig.take("a", 1).pop();
        let mut callers = [(); 3].map(|()| Caller::of(&rig.get("a")));
        let one_too_many = rig
            .get("a")
            .acquire_owned()
            .now_or_never()
            .expect("at once");
        assert_eq!(one_too_many.unwrap_err().kind(), RejectionKind::Full);
        assert!(rig.is_full("a"), "and who cannot wait is refused at once");
        for n in expected {
            drop(held.take());
            held = Some(callers[n].slot().expect("it is its turn"));
        }
        drop(held);
        assert_eq!(rig.get("a").totals().waited, 3);
    }
}

#[test]
fn bh2h_a_wait_ends() {
    let shares = [
        ("a", new(2).guaranteed(1).queue(5, 5 * SECOND)),
        ("b", new(2)),
    ];
    let rig = Rig::new(Some(2), &shares);
    let mut held = rig.take("b", 2);
    let mut caller = Caller::of(&rig.get("a"));
    rig.clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(caller.slot().is_none());
    rig.clock.advance(Duration::from_nanos(1));
    let refused = caller.poll().expect("its time is up").unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::Full);
    assert_eq!(refused.facts(), Facts::Limit { limit: 2 });
    assert_eq!(rig.get("a").totals().refused_wait_over, 1);
    assert_eq!(rig.get("a").snapshot().waiting, 0);
    // It was within its guarantee, so it is owed one.
    drop(held.pop());
    assert!(rig.is_full("b"));
    assert!(caller.poll().is_none(), "it has said all it had to say");
}

#[test]
fn bh2h_without_timers_there_is_no_wait() {
    let shares = [("a", new(1).queue(5, SECOND))];
    let set = Compartments::with_clock("set", config(None, &shares), Clock::system()).unwrap();
    let a = set.get("a").unwrap();
    let held = a.try_acquire().unwrap();
    let refused = a.acquire().now_or_never().expect("at once").map(drop);
    assert_eq!(refused.unwrap_err().kind(), RejectionKind::NoRuntime);
    assert_eq!(a.snapshot().waiting, 0);
    drop(held);
    assert!(a.acquire().now_or_never().expect("at once").is_ok());
}

#[test]
fn bh2h_a_blocking_call_waits_on_its_thread() {
    let shares = [("a", new(1).queue(5, SECOND))];
    let rig = Rig::new(None, &shares);
    let held = rig.take("a", 1);
    let a = rig.get("a");
    thread::scope(|scope| {
        let (waits, gets) = (a.clone(), a.clone());
        let blocked = scope.spawn(move || gets.call_blocking(|| Ok::<_, Infallible>(1)));
        while waits.snapshot().waiting == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(blocked.join().unwrap().unwrap(), 1);
    });
    let held = rig.take("a", 1);
    thread::scope(|scope| {
        let blocked = scope.spawn(|| a.call_blocking(|| Ok::<_, Infallible>(1)));
        while a.snapshot().waiting == 0 {
            thread::yield_now();
        }
        rig.clock.advance(SECOND);
        assert!(matches!(blocked.join().unwrap(), Err(Error::Rejected(_))));
    });
    drop(held);
    assert_eq!(a.snapshot().waiting, 0);
}

#[test]
fn bh2i_one_that_leaves_leaves_no_hole() {
    let queue = new(1).queue(5, 60 * SECOND);
    for total in [None, Some(1)] {
        let rig = Rig::new(total, &[("a", queue)]);
        let held = rig.take("a", 1);
        let mut callers: Vec<_> = (0..3).map(|_| Caller::of(&rig.get("a"))).collect();
        drop(callers.remove(1));
        drop(held);
        // The first was given the slot, and goes before it looks.
        drop(callers.remove(0));
        let slot = callers[0].slot().expect("it goes on to the next");
        drop(slot);
        assert_eq!(rig.set.in_flight(), 0);
        assert_eq!(rig.get("a").snapshot().waiting, 0);
        assert_eq!(rig.get("a").totals().cancelled, 2);
    }
}

/// A call through every stage, dropped at each of its polls.
#[test]
fn bh2i_a_call_can_be_dropped_at_any_poll() {
    let queue = new(1).queue(5, 60 * SECOND);
    let rig = Rig::new(Some(1), &[("a", queue), ("b", queue.guaranteed(1))]);
    let a = rig.get("a");
    for polls in 0..4 {
        let held = rig.take("b", 1);
        let mut step = 0;
        let steps = std::future::poll_fn(move |_| {
            step += 1;
            if step < 3 {
                Poll::Pending
            } else {
                Poll::Ready(Ok::<_, Infallible>(()))
            }
        });
        let mut call = Box::pin(a.call(|| steps));
        for poll in 0..polls {
            assert!((&mut call).now_or_never().is_none());
            if poll == 0 {
                assert_eq!(a.snapshot().waiting, 1);
            }
        }
        drop(held);
        if polls > 0 {
            assert!((&mut call).now_or_never().is_none());
            assert_eq!(a.in_flight(), 1);
        }
        drop(call);
        assert_eq!(
            (a.in_flight(), a.snapshot().waiting),
            (0, 0),
            "after {polls} polls"
        );
        assert_eq!(rig.take("b", 1).len(), 1);
    }
}

#[test]
fn bh2i_a_panic_gives_the_slot_back() {
    for total in [None, Some(1)] {
        let rig = Rig::new(total, &[("a", new(1))]);
        let a = rig.get("a");
        let panics: [&dyn Fn(); 3] = [
            &|| drop(a.call_blocking(|| -> Result<(), Infallible> { panic!("in it") })),
            &|| {
                let make = || -> futures::future::Ready<Result<(), Infallible>> { panic!("first") };
                let _ = a.call(make).now_or_never();
            },
            &|| {
                let call = a.call(|| async { panic!("in a poll") });
                let _: Option<Result<(), Error<Infallible>>> = call.now_or_never();
            },
        ];
        for panics in panics {
            assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
            assert_eq!(a.in_flight(), 0);
        }
    }
}

#[test]
fn bh2j_a_healthy_call_allocates_nothing() {
    for total in [None, Some(10)] {
        let rig = Rig::new(total, &[("a", new(5).guaranteed(0)), ("b", new(5))]);
        let a = rig.get("a");
        let fixed: &'static Compartment = Box::leak(Box::new(a.clone()));
        let copied = Compartment::from(fixed);
        let calls = || {
            for a in [&a, &copied] {
                assert!(
                    a.call(|| ready(Ok::<_, Infallible>(1)))
                        .now_or_never()
                        .is_some()
                );
                assert!(
                    a.call_in(|| ready(Ok::<_, Rejection>(1)))
                        .now_or_never()
                        .is_some()
                );
                assert!(a.call_blocking(|| Ok::<_, Infallible>(1)).is_ok());
                drop(a.try_acquire().unwrap());
                drop(a.try_acquire_owned().unwrap());
            }
            let held = [(); 5].map(|()| a.try_acquire().unwrap());
            assert!(a.try_acquire().is_err());
            drop(held);
        };
        calls();
        assert_eq!(measure(|| (0..100).for_each(|_| calls())).count_total, 0);
    }
}

#[test]
fn bh2j_waiting_allocates_nothing_once_it_has_been_done() {
    let queue = new(1).queue(5, 60 * SECOND);
    let rig = Rig::new(Some(1), &[("a", queue), ("b", queue)]);
    let [a, b] = ["a", "b"].map(|name| rig.get(name));
    let noop = futures::task::noop_waker();
    let round = || {
        let held = a.try_acquire().unwrap();
        let mut waits = std::pin::pin!(b.acquire());
        assert!(
            waits
                .as_mut()
                .poll(&mut Context::from_waker(&noop))
                .is_pending()
        );
        drop(held);
        assert!(waits.poll(&mut Context::from_waker(&noop)).is_ready());
    };
    (0..10).for_each(|_| round());
    // What the manual clock allocates for its sleepers is its own.
    let info = measure(|| (0..100).for_each(|_| round()));
    assert!(info.count_total <= 200, "{info:?}");
}

#[test]
fn bh2k_a_set_is_reconfigured_live() {
    let shares = [("a", new(3).guaranteed(1)), ("b", new(3))];
    let rig = Rig::new(Some(3), &shares);
    let mut held = rig.take("b", 3);
    let [a, b] = ["a", "b"].map(|name| rig.get(name));

    // Smaller: what runs goes on, and nothing begins before enough have ended.
    rig.set.reconfigure(config(Some(2), &shares)).unwrap();
    assert_eq!(b.in_flight(), 3);
    assert!(rig.is_full("b"));
    drop(held.pop());
    assert!(rig.is_full("b"));
    // Larger, by one compartment alone: at once.
    rig.set.reconfigure(config(Some(8), &shares)).unwrap();
    b.reconfigure(new(5)).unwrap();
    held.extend(rig.take("b", 3));
    assert_eq!(rig.refusal("b").facts(), Facts::Limit { limit: 5 });
    assert_eq!(
        rig.set.config(),
        config(Some(8), &[shares[0], ("b", new(5))])
    );

    let in_force = rig.set.config();
    let refused = [
        rig.set
            .reconfigure(config(Some(8), &[shares[0]]))
            .unwrap_err(),
        rig.set
            .reconfigure(config(Some(8), &[shares[0], ("c", new(1))]))
            .unwrap_err(),
        rig.set
            .reconfigure(config(None, &[("a", new(1)), ("b", new(1))]))
            .unwrap_err(),
        a.reconfigure(new(8).guaranteed(9)).unwrap_err(),
    ];
    let fields = [
        "compartments",
        "compartments",
        "total",
        "compartments.guaranteed",
    ];
    assert_eq!(refused.map(|error| error.field()), fields);
    assert_eq!(rig.set.config(), in_force);
    drop(held);
    assert_eq!(rig.set.in_flight(), 0);
}

/// Each change uses up one of the layouts that a word can name; without them it goes on, locked.
#[test]
fn bh2k_it_can_be_reconfigured_any_number_of_times() {
    let rig = Rig::new(Some(4), &[("a", new(4)), ("b", new(4))]);
    let held = rig.take("a", 1);
    for n in 0..100 {
        let limit = 2 + n % 3;
        rig.get("a").reconfigure(new(limit)).unwrap();
        let more = rig.take("a", limit as usize - 1);
        assert!(rig.is_full("a"));
        assert_eq!(rig.take("b", 4 - limit as usize).len(), 4 - limit as usize);
        drop(more);
    }
    drop(held);
    assert_eq!(rig.set.in_flight(), 0);
}

#[test]
fn bh2k_who_waits_gets_what_a_new_configuration_gives() {
    let queue = new(1).queue(5, 60 * SECOND);
    for total in [None, Some(4)] {
        let rig = Rig::new(total, &[("a", queue)]);
        let held = rig.take("a", 1);
        let mut callers = [(); 2].map(|()| Caller::of(&rig.get("a")));
        rig.get("a").reconfigure(new(3)).unwrap();
        let slots = callers
            .each_mut()
            .map(|caller| caller.slot().expect("room for all"));
        drop(slots);
        // With none at all, those who wait are refused.
        rig.get("a").reconfigure(queue).unwrap();
        let mut caller = Caller::of(&rig.get("a"));
        rig.get("a").reconfigure(new(0)).unwrap();
        let refused = caller.poll().expect("refused").unwrap_err();
        assert_eq!(refused.facts(), Facts::Limit { limit: 0 });
        drop(held);
    }
}

#[cfg(feature = "serde")]
#[test]
fn configurations_are_text() {
    let text = r#"
        total = 400
        owed_for = "2s"
        compartments.critical = { limit = 100, guaranteed = 50 }
        compartments.batch = { limit = 50, max_waiting = 200, max_wait = "5s", order = "lifo" }
    "#;
    let read: CompartmentsConfig = toml::from_str(text).unwrap();
    let batch = CompartmentConfig::batch()
        .queue(200, 5 * SECOND)
        .order(Order::Lifo);
    let written = CompartmentsConfig::new()
        .total(400)
        .owed_for(2 * SECOND)
        .compartment("critical", CompartmentConfig::critical().guaranteed(50))
        .compartment("batch", batch);
    assert_eq!(read, written);
    let again = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
    assert_eq!(read, again);
    let bare: CompartmentsConfig = toml::from_str("compartments.a = { limit = 1 }").unwrap();
    assert_eq!(bare, config(None, &[("a", new(1))]));
    for unknown in [
        "compartments.a = { limit = 1, x = 2 }",
        "compartments.a = { limit = 1 }\nx = 2",
        "total = 5",
        "compartments.a = { guaranteed = 1 }",
    ] {
        assert!(
            toml::from_str::<CompartmentsConfig>(unknown).is_err(),
            "{unknown}"
        );
    }

    let isolated: IsolatedCompartmentsConfig = toml::from_str(
        r#"reports = { worker_threads = 4, max_concurrent = 8, time_limit = "30s" }"#,
    )
    .unwrap();
    let reports = IsolatedConfig::new(4)
        .max_concurrent(8)
        .time_limit(30 * SECOND);
    let written = IsolatedCompartmentsConfig::new().compartment("reports", reports);
    assert_eq!(isolated, written);
    assert!(toml::from_str::<IsolatedConfig>("worker_threads = 1\nx = 2").is_err());
}

#[test]
fn bh2l_an_unknown_name_lists_those_there_are() {
    let set = Compartments::new("api", CompartmentsConfig::presets()).unwrap();
    assert!(set.get("bach").is_none());
    let unknown = set.require("bach").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "`api` has no compartment \"bach\"; it has batch, critical, standard"
    );
    assert_eq!(unknown.name(), "bach");
    assert!(unknown.known().eq(set.names()));
}

#[test]
fn bh2m_an_isolated_compartment_refuses_everything_and_lends_all() {
    let queue = |share: CompartmentConfig| share.queue(5, 60 * SECOND);
    let rig = Rig::new(
        Some(2),
        &[("a", queue(new(2).guaranteed(2))), ("b", queue(new(2)))],
    );
    let held = rig.take("b", 2);
    let mut waits = Caller::of(&rig.get("a"));
    let guards = [rig.get("a").isolate(), rig.get("a").isolate()];
    let refused = waits.poll().expect("refused").unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::ForcedOpen);
    assert_eq!(rig.refusal("a").kind(), RejectionKind::ForcedOpen);
    assert!(rig.get("a").snapshot().is_isolated);
    drop(held);
    let held = rig.take("b", 2);
    let [first, second] = guards;
    drop(first);
    assert_eq!(rig.refusal("a").kind(), RejectionKind::ForcedOpen);
    drop(second);
    drop(held);
    assert_eq!(rig.take("a", 2).len(), 2);
    assert_eq!(rig.get("a").totals().refused_forced_open, 3);
}

#[test]
fn they_can_be_managed() {
    let rig = Rig::new(Some(2), &[("a", new(2)), ("b", new(2))]);
    let a = rig.get("a");
    let managed: &dyn Managed = &a;
    assert_eq!(
        (managed.policy(), managed.name().as_str()),
        ("bulkhead", "set/a")
    );
    let held = rig.take("a", 2);
    assert_eq!(managed.snapshot().state, "available");
    assert!(rig.is_full("a"));
    let snapshot = managed.snapshot();
    assert_eq!(snapshot.state, "saturated");
    let figures = [
        ("in_flight", 2.0),
        ("waiting", 0.0),
        ("limit", 2.0),
        ("peak", 2.0),
    ];
    assert_eq!(snapshot.figures, figures);
    drop(held);
    rig.clock.advance(SECOND);
    assert_eq!(managed.snapshot().state, "available");
    managed.reset();
    assert_eq!(a.snapshot().peak, 0);
    managed.reconfigure(&new(1)).unwrap();
    assert_eq!(managed.config().downcast_ref(), Some(&new(1)));
    assert!(managed.reconfigure(&1_u8).is_err());
    drop(managed.isolate());
}

/// Uses the set from wakers, and from the drop of a call.
#[test]
fn a_set_can_be_used_from_everything_that_it_calls() {
    struct Poking(Compartments, AtomicBool);
    impl Poking {
        fn poke(&self) {
            for compartment in self.0.iter() {
                let _ = compartment.snapshot();
                drop(compartment.try_acquire());
                drop(compartment.isolate());
                compartment.reconfigure(compartment.config()).unwrap();
                let _ = format!("{compartment:?}");
            }
            self.1.store(true, Ordering::SeqCst);
        }
    }
    impl ArcWake for Poking {
        fn wake_by_ref(this: &Arc<Self>) {
            this.poke();
        }
    }
    struct PokesWhenDropped(Compartments);
    impl Drop for PokesWhenDropped {
        fn drop(&mut self) {
            Poking(self.0.clone(), AtomicBool::default()).poke();
        }
    }
    let (done, is_done) = mpsc::channel();
    let test = thread::spawn(move || {
        let queue = new(1).queue(5, 60 * SECOND);
        let rig = Rig::new(Some(1), &[("a", queue), ("b", queue.guaranteed(1))]);
        let pokes = Arc::new(Poking(rig.set.clone(), AtomicBool::default()));
        let held = rig.take("a", 1);
        let b = rig.get("b");
        let mut call = Box::pin(b.call(|| {
            let pokes = PokesWhenDropped(rig.set.clone());
            async move {
                let _pokes = pokes;
                pending::<Result<(), Infallible>>().await
            }
        }));
        let waker = waker(pokes.clone());
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(held);
        assert!(pokes.1.load(Ordering::SeqCst));
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(call);
        drop((waker, pokes));
        assert_eq!(rig.set.in_flight(), 0);
        done.send(()).unwrap();
    });
    let done = is_done.recv_timeout(PATIENCE);
    assert_ne!(
        done,
        Err(mpsc::RecvTimeoutError::Timeout),
        "it is locked up"
    );
    test.join().unwrap();
}

/// 64 threads on a small set: never more than the limits, and every total exact.
#[test]
fn totals_are_exact_under_64_threads() {
    const CALLS: usize = 200;
    let queue = |share: CompartmentConfig| share.queue(64, PATIENCE);
    let shares = [
        ("a", queue(new(6).guaranteed(3))),
        ("b", queue(new(4).guaranteed(1))),
        ("c", new(3)),
    ];
    for total in [None, Some(6)] {
        let shares = shares.map(|(name, share)| match total {
            None => (name, share.guaranteed(0)),
            Some(_) => (name, share),
        });
        let config = config(total, &shares);
        let set = Compartments::with_clock("set", config, Clock::system()).unwrap();
        let running = [const { AtomicUsize::new(0) }; 3];
        let all = AtomicUsize::new(0);
        let (made, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for n in 0..64 {
                let (set, running, all, made, refused) = (&set, &running, &all, &made, &refused);
                scope.spawn(move || {
                    let at = n % 3;
                    let (name, limit) = [("a", 6), ("b", 4), ("c", 3)][at];
                    let compartment = set.require(name).unwrap();
                    for _ in 0..CALLS {
                        let result = compartment.call_blocking(|| {
                            let mine = running[at].fetch_add(1, Ordering::SeqCst) + 1;
                            let everybodys = all.fetch_add(1, Ordering::SeqCst) + 1;
                            assert!(mine <= limit, "{mine} in {name}");
                            assert!(total.is_none_or(|total| everybodys <= total as usize));
                            thread::yield_now();
                            all.fetch_sub(1, Ordering::SeqCst);
                            running[at].fetch_sub(1, Ordering::SeqCst);
                            Ok::<_, Infallible>(())
                        });
                        let counter = if result.is_ok() { made } else { refused };
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let mut totals = (0, 0);
        for compartment in set.iter() {
            let counted = compartment.totals();
            totals.0 += counted.finished;
            totals.1 += counted.refused();
            let snapshot = compartment.snapshot();
            assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
            assert!(snapshot.peak <= snapshot.limit);
        }
        let load = |counter: &AtomicUsize| counter.load(Ordering::SeqCst) as u64;
        assert_eq!(totals, (load(&made), load(&refused)));
        assert_eq!(totals.0 + totals.1, 64 * CALLS as u64);
    }
}
