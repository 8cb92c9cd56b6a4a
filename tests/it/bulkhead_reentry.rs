//! A bulkhead may be used from everything that it calls: it holds no lock then.

use crate::bulkhead::slots;
use crate::reentry::returns;
use crate::rig::SECOND;
use backstop::kernel::clock::{Clock, ManualClock};
use backstop::kernel::managed::Managed;
use backstop::policy::bulkhead::{Ask, BulkheadEvent, EventKind, OwnedPermit};
use backstop::{Bulkhead, Error};
use futures::FutureExt;
use futures::task::{ArcWake, waker};
use std::future::{Future, ready};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

/// A bulkhead for as long as the test runs, so that what it calls can hold it without a cycle.
fn leaked(of: u32) -> (&'static Bulkhead, ManualClock) {
    let clock = Clock::manual();
    let config = slots(of).queue(50, SECOND);
    let bulkhead = Bulkhead::with_clock("reentry", config, &clock).unwrap();
    (Box::leak(Box::new(bulkhead)), clock)
}

/// Uses everything that a handle offers, and leaves it as it was.
fn poke(bulkhead: &Bulkhead) {
    let _ = (bulkhead.snapshot(), bulkhead.totals(), bulkhead.in_flight());
    let _ = format!("{bulkhead:?}");
    drop(bulkhead.try_acquire());
    drop(bulkhead.try_acquire_owned());
    let _ = bulkhead.call(|| ready(Ok::<u8, u8>(1))).now_or_never();
    let _ = bulkhead.acquire(Ask::default()).now_or_never();
    let config = bulkhead.config();
    bulkhead.reconfigure(config).unwrap();
    let _ = Managed::snapshot(bulkhead);
    let _ = bulkhead.subscribe(NonZeroUsize::MIN).try_recv();
    bulkhead.reset();
}

/// A waker that uses the bulkhead when it is woken and when its last clone is dropped.
struct Poking {
    bulkhead: &'static Bulkhead,
    woken: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

impl ArcWake for Poking {
    fn wake_by_ref(this: &Arc<Self>) {
        this.woken.fetch_add(1, Ordering::Relaxed);
        poke(this.bulkhead);
    }
}

impl Drop for Poking {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        poke(self.bulkhead);
    }
}

#[derive(Default)]
struct Seen {
    woken: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

impl Seen {
    /// Polls with a waker of which the queue, and the clock, keep the last clones.
    fn poll<F: Future + Unpin>(
        &self,
        bulkhead: &'static Bulkhead,
        future: &mut F,
    ) -> Poll<F::Output> {
        let waker = waker(Arc::new(Poking {
            bulkhead,
            woken: self.woken.clone(),
            dropped: self.dropped.clone(),
        }));
        future.poll_unpin(&mut Context::from_waker(&waker))
    }

    fn counts(&self) -> [u32; 2] {
        [&self.woken, &self.dropped].map(|count| count.load(Ordering::Relaxed))
    }
}

#[test]
fn bh4e_wakers_may_use_the_bulkhead_when_they_are_woken_and_dropped() {
    returns(|| {
        let (bulkhead, _clock) = leaked(1);
        let seen = Seen::default();
        let queue = |of: usize| {
            let mut waiters: Vec<_> = (0..of)
                .map(|_| Box::pin(bulkhead.acquire_owned(Ask::default())))
                .collect();
            for waiter in &mut waiters {
                assert!(seen.poll(bulkhead, waiter).is_pending());
            }
            waiters
        };
        // Woken by a release, replaced by another waker, dropped with the wait.
        let held = bulkhead.try_acquire().unwrap();
        let mut waiters = queue(3);
        assert!(seen.poll(bulkhead, &mut waiters[1]).is_pending());
        let [_, dropped] = seen.counts();
        assert!(dropped > 0, "a replaced waker is dropped");
        drop(waiters.pop());
        drop(held);
        for waiter in &mut waiters {
            assert!(matches!(seen.poll(bulkhead, waiter), Poll::Ready(Ok(_))));
        }
        drop(waiters);
        // By a resize, an isolation, a reconfiguration; more of them than are woken at once.
        let ways: [fn(&'static Bulkhead); 3] = [
            |bulkhead| bulkhead.resize(40).unwrap(),
            |bulkhead| drop(bulkhead.isolate()),
            |bulkhead| bulkhead.reconfigure(slots(30).queue(50, SECOND)).unwrap(),
        ];
        for way in ways {
            bulkhead.resize(1).unwrap();
            let held = bulkhead.try_acquire().unwrap();
            let mut waiters = queue(20);
            let [woken, _] = seen.counts();
            way(bulkhead);
            assert_eq!(seen.counts()[0], woken + 20);
            for waiter in &mut waiters {
                assert!(seen.poll(bulkhead, waiter).is_ready());
            }
            drop((held, waiters));
        }
        let [_, dropped] = seen.counts();
        assert!(dropped >= 60, "{dropped}");
        assert_eq!(bulkhead.snapshot().in_flight, 0);
    });
}

#[test]
fn bh4e_the_end_of_a_wait_may_use_the_bulkhead() {
    returns(|| {
        let (bulkhead, clock) = leaked(1);
        let seen = Seen::default();
        let held = bulkhead.try_acquire().unwrap();
        let mut waiter = Box::pin(bulkhead.acquire_owned(Ask::default()));
        assert!(seen.poll(bulkhead, &mut waiter).is_pending());
        clock.advance(SECOND);
        assert_eq!(seen.counts()[0], 1);
        assert!(matches!(
            seen.poll(bulkhead, &mut waiter),
            Poll::Ready(Err(_))
        ));
        drop(held);
        assert_eq!(bulkhead.in_flight(), 0);
    });
}

#[test]
fn operations_and_what_they_hold_may_use_the_bulkhead() {
    /// Pokes when it is dropped.
    struct Held(&'static Bulkhead);
    impl Drop for Held {
        fn drop(&mut self) {
            poke(self.0);
        }
    }
    returns(|| {
        let (bulkhead, _clock) = leaked(2);
        let call = bulkhead.call(|| {
            poke(bulkhead);
            let held = Held(bulkhead);
            async move {
                poke(held.0);
                Err::<u8, Held>(held)
            }
        });
        assert!(matches!(call.now_or_never(), Some(Err(Error::Inner(_)))));
        let blocking = bulkhead.call_blocking(|| {
            poke(bulkhead);
            Ok::<Held, u8>(Held(bulkhead))
        });
        assert!(blocking.is_ok());
        // Dropped with the call, and with a call that waits.
        let both: Vec<_> = (0..2)
            .map(|_| bulkhead.try_acquire_owned().unwrap())
            .collect();
        let held = Held(bulkhead);
        let mut waits = Box::pin(bulkhead.call(move || {
            let _ = &held;
            ready(Ok::<u8, u8>(1))
        }));
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
        drop(waits);
        drop::<Vec<OwnedPermit>>(both);
        assert_eq!(bulkhead.in_flight(), 0);
    });
}

#[test]
fn a_listener_and_a_tracing_subscriber_may_use_the_bulkhead() {
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

    struct PokingLayer(&'static Bulkhead, Arc<AtomicU32>);

    impl<S: tracing::Subscriber> Layer<S> for PokingLayer {
        fn on_event(&self, _: &tracing::Event<'_>, _: LayerContext<'_, S>) {
            // Once is enough; the pokes are told as well.
            if self.1.fetch_add(1, Ordering::Relaxed) == 0 {
                poke(self.0);
            }
        }
    }

    returns(|| {
        let (bulkhead, _clock) = leaked(1);
        let seen = Seen::default();
        let mut events = bulkhead.subscribe(NonZeroUsize::new(100).unwrap());
        {
            let mut next = Box::pin(events.recv());
            assert!(seen.poll(bulkhead, &mut next).is_pending());
            let _held = bulkhead.try_acquire().unwrap();
            assert!(bulkhead.try_acquire().is_err());
            assert_eq!(seen.counts()[0], 1);
        }
        let event: BulkheadEvent = events.try_recv().unwrap();
        assert!(matches!(event.kind, EventKind::Saturated { .. }));

        let told = Arc::new(AtomicU32::new(0));
        let layer = PokingLayer(bulkhead, told.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || drop(bulkhead.isolate()));
        assert!(told.load(Ordering::Relaxed) > 1);
    });
}
