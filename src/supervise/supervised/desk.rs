//! What the clones of a service and its workers share.

use super::config::SupervisedConfig;
use super::machine::{Inbox, Refusal};
use crate::kernel::clock::Clock;
use crate::kernel::name::Name;
use crate::kernel::rejection::{Executed, Facts, Rejection, RejectionKind};
use crate::kernel::rng::Rolls;
use crate::kernel::sync::Mutex;
use std::task::Waker;
use tokio::sync::oneshot;

/// What becomes of a call that was taken. Without a word, it was given to a worker which has gone.
pub(super) enum Outcome<T, E> {
    Answered(Result<T, E>),
    /// The worker went before it was given the call.
    NotGiven,
}

pub(super) type Reply<T, E> = oneshot::Sender<Outcome<T, E>>;

/// A call that waits.
pub(super) struct Queued<Q, T, E> {
    pub(super) request: Q,
    pub(super) reply: Reply<T, E>,
}

pub(super) struct Core<Q, T, E> {
    name: Name,
    clock: Clock,
    desk: Mutex<Desk<Q, T, E>>,
}

struct Desk<Q, T, E> {
    inbox: Inbox<Queued<Q, T, E>>,
    /// Of the worker, if it waits for a call.
    waker: Option<Waker>,
}

/// Whether there is a call for a worker.
pub(super) enum Taken<Q, T, E> {
    Call(Queued<Q, T, E>),
    NoneYet,
    /// Another worker has taken over.
    Over,
}

impl<Q, T, E> Core<Q, T, E> {
    pub(super) fn new(name: Name, config: SupervisedConfig, clock: Clock) -> Self {
        let inbox = Inbox::new(config, clock.now(), Rolls::random());
        Self {
            name,
            clock,
            desk: Mutex::new(Desk { inbox, waker: None }),
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Whether there is a worker, and how many calls wait.
    pub(super) fn state(&self) -> (bool, usize) {
        let desk = self.desk.lock();
        (desk.inbox.is_up(), desk.inbox.len())
    }

    /// Puts a call into the queue, or refuses it.
    pub(super) fn put(&self, request: Q, reply: Reply<T, E>) -> Result<u64, Rejection> {
        let queued = Queued { request, reply };
        let (admitted, waker) = {
            let mut desk = self.desk.lock();
            match desk.inbox.admit() {
                Err(refusal) => (Err((refusal, queued)), None),
                Ok(()) => (Ok(desk.inbox.push(queued)), desk.waker.take()),
            }
        };
        // Requests and wakers are the user's: no lock is held here.
        if let Some(waker) = waker {
            waker.wake();
        }
        admitted.map_err(|(refusal, queued)| {
            drop(queued);
            self.refused(refusal)
        })
    }

    fn refused(&self, refusal: Refusal) -> Rejection {
        match refusal {
            Refusal::Down(after) => self
                .rejection(RejectionKind::Restarting)
                .with_retry_after(Some(after)),
            Refusal::Full(limit) => self
                .rejection(RejectionKind::Full)
                .with_facts(Facts::Limit {
                    limit: limit as u64,
                }),
        }
    }

    fn rejection(&self, kind: RejectionKind) -> Rejection {
        Rejection::new("supervised", self.name.clone(), kind)
    }

    /// For a call that no worker was given.
    pub(super) fn not_given(&self) -> Rejection {
        let after = self.desk.lock().inbox.retry_after();
        self.refused(Refusal::Down(after))
    }

    /// For a call whose worker has gone. It has no hint, so that a retry by default does not do twice what
    /// may have been done.
    pub(super) fn lost(&self) -> Rejection {
        self.rejection(RejectionKind::Restarting)
            .with_executed(Executed::Unknown)
    }

    pub(super) fn withdraw(&self, number: u64) {
        let gone = self.desk.lock().inbox.withdraw(number);
        drop(gone);
    }

    /// A worker has come.
    pub(super) fn come(&self) -> u64 {
        let now = self.clock.now();
        let (worker, before) = {
            let mut desk = self.desk.lock();
            (desk.inbox.come(now), desk.waker.take())
        };
        if let Some(before) = before {
            before.wake();
        }
        worker
    }

    /// A worker has gone.
    pub(super) fn go(&self, worker: u64) {
        let now = self.clock.now();
        let (left, waker) = {
            let mut desk = self.desk.lock();
            let left = desk.inbox.go(worker, now);
            let waker = if desk.inbox.is_up() {
                None
            } else {
                desk.waker.take()
            };
            (left, waker)
        };
        drop(waker);
        for Queued { request, reply } in left {
            let _gone = reply.send(Outcome::NotGiven);
            drop(request);
        }
    }

    /// A call for that worker; `waker` is kept if there is none yet.
    pub(super) fn take(&self, worker: u64, waker: Waker) -> Taken<Q, T, E> {
        let mut desk = self.desk.lock();
        let taken = if !desk.inbox.is_worker(worker) {
            Taken::Over
        } else if let Some(queued) = desk.inbox.pop() {
            Taken::Call(queued)
        } else {
            let before = desk.waker.replace(waker);
            drop(desk);
            drop(before);
            return Taken::NoneYet;
        };
        drop(desk);
        drop(waker);
        taken
    }
}
