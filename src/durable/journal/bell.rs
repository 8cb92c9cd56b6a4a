//! How the flusher hears that there is something to flush.

use crate::kernel::sync::Mutex;
use std::task::{Context, Poll, Waker};

/// Rung by the first record after a flush, closed with the journal.
#[derive(Debug)]
pub(super) struct Bell(Mutex<State>);

#[derive(Debug)]
struct State {
    is_rung: bool,
    is_closed: bool,
    waker: Option<Waker>,
}

/// The journal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Bell {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            is_rung: false,
            is_closed: false,
            waker: None,
        }))
    }

    pub(super) fn ring(&self) {
        self.change(|state| state.is_rung = true);
    }

    pub(super) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.0.lock();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once it was rung, which it is no more then, or closed.
    pub(super) fn poll_rung(&self, cx: &Context<'_>) -> Poll<Result<(), Closed>> {
        self.poll(cx, |state| std::mem::take(&mut state.is_rung).then_some(()))
    }

    /// Ready once it is closed.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<Closed> {
        self.poll(cx, |_| None)
            .map(|closed: Result<(), Closed>| closed.err().unwrap_or(Closed))
    }

    fn poll(
        &self,
        cx: &Context<'_>,
        find: impl FnOnce(&mut State) -> Option<()>,
    ) -> Poll<Result<(), Closed>> {
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        if state.is_closed {
            return Poll::Ready(Err(Closed));
        }
        if let Some(()) = find(&mut state) {
            return Poll::Ready(Ok(()));
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}
