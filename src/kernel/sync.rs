//! The shim between the shipped lock-free code and the model checkers.
//!
//! Lock-free rooms take their atomics, fences and locks from here. A normal build gets `std` and
//! `parking_lot`; `--cfg backstop_loom` and `--cfg backstop_shuttle` get the checkers' own, so that
//! the types under test are the shipped ones. (Plain `--cfg loom` would take tokio's network out of
//! the dev-dependencies.)

#[cfg(not(any(backstop_loom, backstop_shuttle)))]
mod imp {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence,
    };
}

#[cfg(any(backstop_loom, backstop_shuttle))]
mod imp {
    #[cfg(backstop_loom)]
    use loom::sync as checker;
    #[cfg(backstop_shuttle)]
    use shuttle::sync as checker;

    use checker::MutexGuard;
    #[cfg(backstop_shuttle)]
    pub(crate) use checker::atomic::fence;
    pub(crate) use checker::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

    #[cfg(backstop_loom)]
    loom::thread_local! {
        static LEAVES_FENCES_OUT: std::cell::Cell<bool> = std::cell::Cell::new(false);
    }

    /// The checker's fence, unless this thread leaves fences out.
    #[cfg(backstop_loom)]
    pub(crate) fn fence(order: Ordering) {
        if !LEAVES_FENCES_OUT.with(std::cell::Cell::get) {
            checker::atomic::fence(order);
        }
    }

    /// From here on this thread runs the code as if it had no fences: a model that still passes
    /// does not test them.
    #[cfg(all(test, backstop_loom))]
    pub(crate) fn leave_fences_out() {
        LEAVES_FENCES_OUT.with(|leaves_out| leaves_out.set(true));
    }

    /// The checker's mutex with `parking_lot`'s signature.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(checker::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checker::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no user code runs under our locks")
        }
    }
}

pub(crate) use imp::*;

/// Wakes all in order, also those behind one whose waker panics.
pub(crate) fn wake_all(mut wakers: Vec<std::task::Waker>) {
    struct Rest(Vec<std::task::Waker>);
    impl Rest {
        fn wake(&mut self) {
            while let Some(waker) = self.0.pop() {
                waker.wake();
            }
        }
    }
    impl Drop for Rest {
        fn drop(&mut self) {
            self.wake();
        }
    }
    // From the back, so that what is left is there for `drop` if one panics.
    wakers.reverse();
    Rest(wakers).wake();
}

/// A value that is replaced whole while others read it.
///
/// `arc-swap` in a normal build; a checked mutex under a model checker.
#[derive(Debug)]
pub(crate) struct Published<T> {
    #[cfg(not(any(backstop_loom, backstop_shuttle)))]
    slot: arc_swap::ArcSwapOption<T>,
    #[cfg(any(backstop_loom, backstop_shuttle))]
    slot: Mutex<Option<std::sync::Arc<T>>>,
}

#[cfg(not(any(backstop_loom, backstop_shuttle)))]
impl<T> Published<T> {
    pub(crate) fn empty() -> Self {
        Self {
            slot: arc_swap::ArcSwapOption::empty(),
        }
    }

    /// Reads a part of the value that is there.
    pub(crate) fn read<R>(&self, part: impl FnOnce(&T) -> R) -> Option<R> {
        self.slot.load().as_deref().map(part)
    }

    /// Puts a new value; the old one is returned, so that its drop can wait for an unlock.
    pub(crate) fn replace(&self, value: Option<std::sync::Arc<T>>) -> Option<std::sync::Arc<T>> {
        self.slot.swap(value)
    }
}

#[cfg(any(backstop_loom, backstop_shuttle))]
impl<T> Published<T> {
    pub(crate) fn empty() -> Self {
        Self {
            slot: Mutex::new(None),
        }
    }

    pub(crate) fn read<R>(&self, part: impl FnOnce(&T) -> R) -> Option<R> {
        let value = self.slot.lock().clone();
        value.as_deref().map(part)
    }

    pub(crate) fn replace(&self, value: Option<std::sync::Arc<T>>) -> Option<std::sync::Arc<T>> {
        std::mem::replace(&mut *self.slot.lock(), value)
    }
}
