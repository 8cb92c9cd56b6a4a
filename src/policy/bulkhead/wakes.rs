//! Wakers that wait for an unlock.

use super::machine::Machine;
use std::task::Waker;

/// Few slots come free at once, so that there is no need to allocate for their waiters.
const AT_ONCE: usize = 8;

/// The wakers of waiters that got their news under the lock. Dropping it wakes them, in order, also
/// those behind one whose waker panics; and if it was full, it asks the machine for more.
pub(super) struct Wakes<'a> {
    machine: &'a Machine,
    wakers: [Option<Waker>; AT_ONCE],
    len: usize,
}

impl<'a> Wakes<'a> {
    #[inline]
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self {
            machine,
            wakers: [const { None }; AT_ONCE],
            len: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == AT_ONCE
    }

    pub(super) fn push(&mut self, waker: Option<Waker>) {
        debug_assert!(!self.is_full(), "there is room for this one");
        self.wakers[self.len] = waker;
        self.len += 1;
    }

    fn run(&mut self) {
        while self.len > 0 {
            let may_be_more = self.is_full();
            // One that panics is out of the array then, and the next run goes on behind it.
            for waker in &mut self.wakers[..self.len] {
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
            }
            self.len = 0;
            if may_be_more {
                self.machine.locked_once(self, |locked| locked.settle());
            }
        }
    }
}

impl Drop for Wakes<'_> {
    fn drop(&mut self) {
        struct Rest<'b, 'a>(&'b mut Wakes<'a>);
        impl Drop for Rest<'_, '_> {
            fn drop(&mut self) {
                self.0.run();
            }
        }
        if self.len > 0 {
            Rest(self).0.run();
        }
    }
}
