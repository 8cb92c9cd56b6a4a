//! Typed events with bounded subscribers.
//!
//! A source numbers its events and puts them, in that order, into the queue of each subscriber.
//! A queue that is full loses its oldest event and counts it: a slow subscriber never holds up the
//! source. With no subscriber, an event costs one relaxed load.

use crate::kernel::sync::{AtomicUsize, Mutex, Ordering, wake_all};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

/// The receiving end of a source's events.
///
/// Dropping it unsubscribes.
pub struct Subscriber<E> {
    queue: Arc<Queue<E>>,
}

struct Queue<E> {
    capacity: NonZeroUsize,
    listeners: Arc<AtomicUsize>,
    inbox: Mutex<Inbox<E>>,
}

struct Inbox<E> {
    events: VecDeque<E>,
    lost: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl<E> Subscriber<E> {
    /// The next event; `None` once the source is gone and everything was received.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<E> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, if one is there.
    pub fn try_recv(&mut self) -> Option<E> {
        self.queue.inbox.lock().events.pop_front()
    }

    /// How many events this subscriber was too slow for.
    pub fn lost(&self) -> u64 {
        self.queue.inbox.lock().lost
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<E>> {
        // Wakers are the executor's code: cloned before the lock, dropped after it.
        let waker = cx.waker().clone();
        let mut inbox = self.queue.inbox.lock();
        if let Some(event) = inbox.events.pop_front() {
            drop(inbox);
            return Poll::Ready(Some(event));
        }
        if inbox.closed {
            drop(inbox);
            return Poll::Ready(None);
        }
        let replaced = inbox.waker.replace(waker);
        drop(inbox);
        drop(replaced);
        Poll::Pending
    }
}

impl<E> Drop for Subscriber<E> {
    fn drop(&mut self) {
        self.queue.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<E> fmt::Debug for Subscriber<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inbox = self.queue.inbox.lock();
        f.debug_struct("Subscriber")
            .field("capacity", &self.queue.capacity)
            .field("waiting", &inbox.events.len())
            .field("lost", &inbox.lost)
            .finish_non_exhaustive()
    }
}

/// The sending end: one per source.
pub(crate) struct Events<E> {
    listeners: Arc<AtomicUsize>,
    queues: Mutex<Vec<Weak<Queue<E>>>>,
}

impl<E: Clone> Events<E> {
    pub(crate) fn new() -> Self {
        Self {
            listeners: Arc::new(AtomicUsize::new(0)),
            queues: Mutex::new(Vec::new()),
        }
    }

    /// Another source whose subscribers count as this one's in [`is_heard`](Self::is_heard): one load tells
    /// whether anybody subscribes to any of a family.
    pub(crate) fn beside(&self) -> Self {
        Self {
            listeners: self.listeners.clone(),
            queues: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<E> {
        let queue = Arc::new(Queue {
            capacity,
            listeners: self.listeners.clone(),
            inbox: Mutex::new(Inbox {
                events: VecDeque::new(),
                lost: 0,
                waker: None,
                closed: false,
            }),
        });
        self.queues.lock().push(Arc::downgrade(&queue));
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Subscriber { queue }
    }

    /// Whether anybody subscribes: one relaxed load.
    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) != 0
    }

    /// Puts events into all queues. The source calls this while it holds the lock that orders its
    /// events, and lets go of `Aftermath` when it has let go of the lock.
    pub(crate) fn enqueue(&self, events: &[E]) -> Aftermath<E> {
        let mut aftermath = Aftermath {
            wakers: Vec::new(),
            displaced: Vec::new(),
            queues: Vec::new(),
        };
        if self.listeners.load(Ordering::Relaxed) == 0 {
            return aftermath;
        }
        self.queues.lock().retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            let mut inbox = queue.inbox.lock();
            for event in events {
                if inbox.events.len() == queue.capacity.get() {
                    inbox.lost = inbox.lost.saturating_add(1);
                    aftermath.displaced.extend(inbox.events.pop_front());
                }
                inbox.events.push_back(event.clone());
            }
            aftermath.wakers.extend(inbox.waker.take());
            drop(inbox);
            // If the subscriber went meanwhile, this is the last reference, and its drop runs code
            // that is not ours.
            aftermath.queues.push(queue);
            true
        });
        aftermath
    }
}

impl<E> Drop for Events<E> {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        for queue in self.queues.get_mut().iter().filter_map(Weak::upgrade) {
            let mut inbox = queue.inbox.lock();
            inbox.closed = true;
            wakers.extend(inbox.waker.take());
            drop(inbox);
        }
        wake_all(wakers);
    }
}

impl<E> fmt::Debug for Events<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// What must wait for an unlock: waking subscribers and dropping displaced events, both of which
/// run code that is not ours.
#[must_use = "run it after the unlock"]
pub(crate) struct Aftermath<E> {
    wakers: Vec<Waker>,
    displaced: Vec<E>,
    queues: Vec<Arc<Queue<E>>>,
}

impl<E> Aftermath<E> {
    pub(crate) fn run(self) {
        wake_all(self.wakers);
        drop((self.displaced, self.queues));
    }
}

#[cfg(all(test, backstop_loom))]
mod loom_tests;

#[cfg(all(test, not(any(backstop_loom, backstop_shuttle))))]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::task::{ArcWake, waker};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn capacity(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    #[test]
    fn a_full_queue_loses_the_oldest_and_counts_it() {
        let events = Events::new();
        let mut subscriber = events.subscribe(capacity(2));
        events.enqueue(&[1, 2, 3]).run();
        assert_eq!(subscriber.lost(), 1);
        assert_eq!(subscriber.try_recv(), Some(2));
        assert_eq!(subscriber.try_recv(), Some(3));
        assert_eq!(subscriber.try_recv(), None);
        assert!(format!("{subscriber:?} {events:?}").contains("lost: 1"));
    }

    #[test]
    fn a_subscriber_ends_with_its_source() {
        let events = Events::new();
        let mut subscriber = events.subscribe(capacity(4));
        events.enqueue(&[1]).run();
        drop(events);
        assert_eq!(subscriber.recv().now_or_never(), Some(Some(1)));
        assert_eq!(subscriber.recv().now_or_never(), Some(None));
    }

    #[test]
    fn sources_beside_each_other_are_heard_together_and_apart() {
        let one = Events::new();
        let other = one.beside();
        assert!(!one.is_heard() && !other.is_heard());
        let mut subscriber = other.subscribe(capacity(4));
        assert!(one.is_heard() && other.is_heard());
        one.enqueue(&[1]).run();
        other.enqueue(&[2]).run();
        assert_eq!(subscriber.try_recv(), Some(2));
        assert_eq!(subscriber.try_recv(), None);
        drop(subscriber);
        assert!(!one.is_heard() && !other.is_heard());
    }

    #[test]
    fn a_dropped_subscriber_is_forgotten() {
        let events = Events::new();
        drop(events.subscribe(capacity(1)));
        let _kept = events.subscribe(capacity(1));
        events.enqueue(&[1]).run();
        assert_eq!(events.queues.lock().len(), 1);
        assert_eq!(events.listeners.load(Ordering::Relaxed), 1);
    }

    /// A waker that looks into the subscriber's queue when it is woken, and may panic.
    struct Reentrant {
        queue: Arc<Queue<u8>>,
        seen: Mutex<Vec<usize>>,
        panics: bool,
    }

    impl ArcWake for Reentrant {
        fn wake_by_ref(this: &Arc<Self>) {
            this.seen.lock().push(this.queue.inbox.lock().events.len());
            assert!(!this.panics, "a waker that panics");
        }
    }

    #[test]
    fn wakers_run_after_the_unlock_and_a_panicking_one_stops_no_other() {
        let events = Events::new();
        let mut subscribers: Vec<_> = (0..3).map(|_| events.subscribe(capacity(1))).collect();
        let wakers: Vec<_> = subscribers
            .iter_mut()
            .enumerate()
            .map(|(n, subscriber)| {
                let reentrant = Arc::new(Reentrant {
                    queue: subscriber.queue.clone(),
                    seen: Mutex::default(),
                    panics: n == 1,
                });
                let polled = subscriber.poll_recv(&Context::from_waker(&waker(reentrant.clone())));
                assert!(polled.is_pending());
                reentrant
            })
            .collect();
        let aftermath = events.enqueue(&[7]);
        assert!(catch_unwind(AssertUnwindSafe(|| aftermath.run())).is_err());
        for reentrant in wakers {
            assert_eq!(*reentrant.seen.lock(), [1]);
        }
    }
}
