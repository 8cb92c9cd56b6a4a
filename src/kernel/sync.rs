//! The shim between the shipped lock-free code and the model checkers.
//!
//! Lock-free rooms take their atomics, fences and locks from here. A normal build gets `std` and
//! `parking_lot`; `--cfg backstop_loom` and `--cfg backstop_shuttle` get the checkers' own, so that
//! the types under test are the shipped ones. (Plain `--cfg loom` would take tokio's network out of
//! the dev-dependencies.)

#[cfg(not(any(backstop_loom, backstop_shuttle)))]
mod imp {
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(feature = "durable")]
    pub(crate) use std::thread::park;
    pub(crate) use std::thread::{Thread, current as current_thread};

    /// `parking_lot`'s, with guards that are handed over as `std` does.
    #[derive(Debug)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }

        pub(crate) fn wait_for<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            longest: std::time::Duration,
        ) -> MutexGuard<'a, T> {
            self.0.wait_for(&mut guard, longest);
            guard
        }
    }
}

#[cfg(any(backstop_loom, backstop_shuttle))]
mod imp {
    #[cfg(backstop_loom)]
    pub(crate) use super::for_loom::*;
    #[cfg(backstop_loom)]
    use loom::{sync as checker, thread};
    #[cfg(backstop_shuttle)]
    use shuttle::{sync as checker, thread};

    pub(crate) use checker::MutexGuard;
    pub(crate) use checker::atomic::Ordering;
    #[cfg(backstop_shuttle)]
    pub(crate) use checker::atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
    };
    use std::sync::PoisonError;
    #[cfg(feature = "durable")]
    pub(crate) use thread::park;
    pub(crate) use thread::{Thread, current as current_thread};

    /// The checker's mutex with `parking_lot`'s signature.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(checker::Mutex<T>);

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checker::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            // `parking_lot` knows no poison. A guard that is let go while the thread unwinds (a call
            // panicked, and is being recorded) poisons here, and means nothing.
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// The checker's. Under loom no time passes: a wait with a limit ends when it is notified.
    #[derive(Debug)]
    pub(crate) struct Condvar(checker::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(checker::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn wait_for<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            longest: std::time::Duration,
        ) -> MutexGuard<'a, T> {
            let waited = self.0.wait_timeout(guard, longest);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
    }
}

/// What loom needs besides its own types.
#[cfg(backstop_loom)]
mod for_loom {
    use loom::sync::atomic;
    use loom::sync::atomic::Ordering;
    use std::cell::Cell;
    use std::ops::Deref;

    /// An atomic whose loads loom puts in order, too.
    ///
    /// Loom finds a race of a store by the *last* access to the atomic. A load of the storing
    /// thread's own, as before each exchange, is that last access, and hides the loads of others
    /// before it: interleavings of them would be left out (in loom 0.7). So a load first takes a
    /// turn: an exchange, on an atomic beside it, that always fails and so changes nothing but that
    /// loom tries both orders of any two loads.
    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name {
                atomic: atomic::$name,
                turn: atomic::AtomicBool,
            }

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self {
                        atomic: atomic::$name::new(value),
                        turn: atomic::AtomicBool::new(false),
                    }
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    let relaxed = Ordering::Relaxed;
                    let _ = self.turn.compare_exchange(true, true, relaxed, relaxed);
                    self.atomic.load(order)
                }
            }

            impl Deref for $name {
                type Target = atomic::$name;

                fn deref(&self) -> &atomic::$name {
                    &self.atomic
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    atomic!(AtomicU8, u8);
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
    atomic!(AtomicUsize, usize);

    loom::thread_local! {
        static LEAVES_FENCES_OUT: Cell<bool> = Cell::new(false);
    }

    /// Loom's fence, unless this thread leaves fences out.
    pub(crate) fn fence(order: Ordering) {
        if !LEAVES_FENCES_OUT.with(Cell::get) {
            atomic::fence(order);
        }
    }

    /// From here on this thread runs the code as if it had no fences: a model that still passes
    /// does not test them.
    #[cfg(test)]
    pub(crate) fn leave_fences_out() {
        LEAVES_FENCES_OUT.with(|leaves_out| leaves_out.set(true));
    }

    /// Runs `model` in every interleaving of its threads in which at most `preemptions` of them
    /// are interrupted; `None` for all interleavings.
    #[cfg(test)]
    pub(crate) fn explore(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
        let explored = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.max_branches = 100_000;
        builder.check({
            let explored = explored.clone();
            move || {
                explored.fetch_add(1, Ordering::Relaxed);
                model();
            }
        });
        println!("{} interleavings", explored.load(Ordering::Relaxed));
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

    /// The value that is there.
    pub(crate) fn get(&self) -> Option<std::sync::Arc<T>> {
        self.slot.load_full()
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
        self.get().as_deref().map(part)
    }

    pub(crate) fn get(&self) -> Option<std::sync::Arc<T>> {
        self.slot.lock().clone()
    }

    pub(crate) fn replace(&self, value: Option<std::sync::Arc<T>>) -> Option<std::sync::Arc<T>> {
        std::mem::replace(&mut *self.slot.lock(), value)
    }
}
