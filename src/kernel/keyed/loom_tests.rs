//! The interleavings of a call that finds an entry and the sweep that evicts it.

use super::*;
use crate::kernel::sync::{AtomicU64, explore, leave_fences_out};
use loom::thread;

/// Counts its handles as `Arc` does, under loom's eyes.
struct Counted(Arc<Inner>);

struct Inner {
    handles: AtomicU64,
    calls: AtomicU64,
}

impl Counted {
    fn new() -> Self {
        Self(Arc::new(Inner {
            handles: AtomicU64::new(1),
            calls: AtomicU64::new(0),
        }))
    }

    fn call(&self) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.handles.fetch_sub(1, Ordering::Release);
    }
}

impl sealed::Sealed for Counted {}

impl Entry for Counted {
    type Remains = u64;

    fn is_held(&self) -> bool {
        self.0.handles.load(Ordering::Relaxed) > 1
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn leave(&self, remains: &mut u64) {
        *remains += self.0.calls.load(Ordering::Relaxed);
    }
}

/// A sweep over an entry that was not asked for since the last one, beside `callers` that find it:
/// either the sweep sees that it is held, or the caller that it is gone; and what a caller counted
/// is not lost.
fn sweep_beside(callers: usize, has_fences: bool) {
    explore(Some(3), move || {
        let slot = Arc::new(Slot::new(Counted::new()));
        slot.touched.store(false, Ordering::Relaxed);
        let spawn = |_| {
            let slot = slot.clone();
            thread::spawn(move || {
                if !has_fences {
                    leave_fences_out();
                }
                slot.hold().map(|held| held.call()).is_some()
            })
        };
        let callers: Vec<_> = (0..callers).map(spawn).collect();
        if !has_fences {
            leave_fences_out();
        }
        let mut remains = 0;
        let is_gone = slot.retire();
        if is_gone {
            slot.value.leave(&mut remains);
        }
        let calls = callers
            .into_iter()
            .map(|caller| u64::from(caller.join().unwrap()));
        let calls: u64 = calls.sum();
        assert!(!is_gone || calls == remains, "a call is lost");
        assert_eq!(slot.hold().is_none(), is_gone);
    });
}

#[test]
fn loom_an_entry_is_held_or_gone() {
    sweep_beside(1, true);
    sweep_beside(2, true);
}

#[test]
#[should_panic(expected = "a call is lost")]
fn loom_the_model_finds_a_sweep_without_fences() {
    sweep_beside(1, false);
}
