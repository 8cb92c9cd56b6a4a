//! The interleavings of a source and its subscribers.

use super::*;
use crate::kernel::sync::explore;
use loom::thread;

/// A source of numbered facts, with the lock that orders them.
struct Source {
    last: Mutex<u32>,
    events: Events<u32>,
}

impl Source {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            last: Mutex::new(0),
            events: Events::new(),
        })
    }

    fn tell(&self) {
        let mut last = self.last.lock();
        *last += 1;
        let aftermath = self.events.enqueue(&[*last]);
        drop(last);
        aftermath.run();
    }

    fn subscribe(&self) -> Subscriber<u32> {
        self.events.subscribe(NonZeroUsize::MIN.saturating_add(9))
    }
}

fn received(subscriber: &mut Subscriber<u32>) -> Vec<u32> {
    std::iter::from_fn(|| subscriber.try_recv()).collect()
}

#[test]
fn loom_all_subscribers_see_one_order() {
    explore(Some(3), || {
        let source = Source::new();
        let mut early = source.subscribe();
        let teller = {
            let source = source.clone();
            thread::spawn(move || source.tell())
        };
        source.tell();
        let mut late = source.subscribe();
        source.tell();
        teller.join().unwrap();
        assert_eq!(received(&mut early), [1, 2, 3]);
        // What was told after it subscribed, without a gap.
        let late = received(&mut late);
        assert!(late == [3] || late == [2, 3], "{late:?}");
    });
}

#[test]
fn loom_a_subscriber_goes_while_another_comes() {
    explore(Some(3), || {
        let source = Source::new();
        let first = source.subscribe();
        let other = {
            let source = source.clone();
            thread::spawn(move || {
                drop(first);
                let mut second = source.subscribe();
                source.tell();
                received(&mut second)
            })
        };
        source.tell();
        let told = other.join().unwrap();
        assert!(told == [1] || told == [2] || told == [1, 2], "{told:?}");
        assert_eq!(source.events.listeners.load(Ordering::Relaxed), 0);
    });
}
