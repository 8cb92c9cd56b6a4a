//! A row of the table, and a service of it on trial.

use crate::mock::{End, Failed, Mock, Request, Stage, Wakes, request};
use axum::response::Response;
use backstop::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// A service that can be tried.
pub(crate) trait Subject:
    Service<Request, Response: Answer, Error: Refusal, Future: 'static> + Clone
{
}

impl<S> Subject for S where
    S: Service<Request, Response: Answer, Error: Refusal, Future: 'static> + Clone
{
}

/// What a caller sees of a call that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Done,
    Failed,
    Rejected,
}

/// A response, which may be a rejection in disguise.
pub(crate) trait Answer {
    fn is_rejection(&self) -> bool {
        false
    }
}

impl Answer for &str {}

impl Answer for Response {
    fn is_rejection(&self) -> bool {
        self.status() == 503
    }
}

/// An error, which may be a rejection.
pub(crate) trait Refusal {
    fn is_rejection(&self) -> bool;
}

impl Refusal for Failed {
    fn is_rejection(&self) -> bool {
        false
    }
}

impl<E: Refusal> Refusal for Error<E> {
    fn is_rejection(&self) -> bool {
        match self {
            Self::Rejected(_) => true,
            Self::Inner(error) => error.is_rejection(),
        }
    }
}

fn seen<T: Answer, E: Refusal>(result: &Result<T, E>) -> Seen {
    match result {
        Ok(answer) if answer.is_rejection() => Seen::Rejected,
        Ok(_) => Seen::Done,
        Err(error) if error.is_rejection() => Seen::Rejected,
        Err(_) => Seen::Failed,
    }
}

type Make<S> = Box<dyn Fn(Mock) -> S>;
type Capacity = Box<dyn Fn(&Ledger) -> usize>;

/// A service of the table: how it is made, and what is true of it.
pub(crate) struct Row<S> {
    make: Make<S>,
    calls_late: bool,
    refusing: Option<Make<S>>,
    capacity: Option<Capacity>,
    check: Box<dyn Fn(&Ledger)>,
}

impl<S> Row<S> {
    /// A service that admits everything and counts nothing.
    pub(crate) fn new(make: impl Fn(Mock) -> S + 'static) -> Self {
        Self {
            make: Box::new(make),
            calls_late: false,
            refusing: None,
            capacity: None,
            check: Box::new(|_| ()),
        }
    }

    /// The same policy where it rejects every call by itself.
    pub(crate) fn refusing(mut self, make: impl Fn(Mock) -> S + 'static) -> Self {
        self.refusing = Some(Box::new(make));
        self
    }

    /// It is always ready, and drives a clone of the inner service to ready within the call's future.
    /// What the inner `poll_ready` has to say is said by the call.
    pub(crate) fn calling_late(mut self) -> Self {
        self.calls_late = true;
        self
    }

    /// After what happened so far it runs this many calls at once, and rejects one more.
    pub(crate) fn capacity(mut self, capacity: impl Fn(&Ledger) -> usize + 'static) -> Self {
        self.capacity = Some(Box::new(capacity));
        self
    }

    /// Asserts that what it counted is what happened.
    pub(crate) fn check(mut self, check: impl Fn(&Ledger) + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

/// What happened to the calls of a trial.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// Rejected further in.
    pub(crate) rejected_within: u64,
    pub(crate) panicked: u64,
    pub(crate) dropped: u64,
    /// Errors of the inner `poll_ready`.
    pub(crate) unready: u64,
    /// Rejected by the service itself.
    pub(crate) rejected: u64,
}

/// A call under way, and how it ended if that was seen when it was begun.
pub(crate) struct Running<S: Service<Request>>(Pin<Box<S::Future>>, Option<Seen>);

/// One service of a row around a mock.
pub(crate) struct Trial<'a, S> {
    row: &'a Row<S>,
    pub(crate) service: S,
    pub(crate) stage: Arc<Stage>,
    pub(crate) ledger: Ledger,
    pub(crate) wakes: Arc<Wakes>,
}

impl<'a, S: Subject> Trial<'a, S> {
    pub(crate) fn new(row: &'a Row<S>) -> Self {
        Self::of(row, &row.make)
    }

    /// Of the policy where it rejects everything, if there is such a state.
    pub(crate) fn refusing(row: &'a Row<S>) -> Option<Self> {
        row.refusing.as_ref().map(|make| Self::of(row, make))
    }

    fn of(row: &'a Row<S>, make: &Make<S>) -> Self {
        let (mock, stage) = Mock::new();
        Self {
            row,
            service: make(mock),
            stage,
            ledger: Ledger::default(),
            wakes: Arc::default(),
        }
    }

    pub(crate) fn is_unlimited(&self) -> bool {
        self.row.capacity.is_none()
    }

    pub(crate) fn calls_late(&self) -> bool {
        self.row.calls_late
    }

    /// Polls the service; an error is put down in the ledger.
    pub(crate) fn poll_ready(&mut self) -> Poll<Result<(), S::Error>> {
        poll_ready(&mut self.service, &self.wakes, &mut self.ledger)
    }

    #[track_caller]
    pub(crate) fn make_ready(&mut self) {
        assert!(matches!(self.poll_ready(), Poll::Ready(Ok(()))));
    }

    /// Makes the service ready and calls it. `None` if `call` panicked.
    pub(crate) fn start(&mut self, request: Request) -> Option<Running<S>> {
        self.make_ready();
        self.call(request)
    }

    /// Calls the service as it is; where the inner one is called within the future, that is begun.
    /// `None` if `call`, or that, panicked.
    pub(crate) fn call(&mut self, request: Request) -> Option<Running<S>> {
        if self.calls_late() {
            return self.call_late(request);
        }
        let service = &mut self.service;
        let future = catch_unwind(AssertUnwindSafe(|| service.call(request)));
        self.ledger.panicked += u64::from(future.is_err());
        future.ok().map(|future| Running(Box::pin(future), None))
    }

    /// Calls the service and polls the call once, with one `Pending` more to come, so that the inner
    /// call is under way then.
    fn call_late(&mut self, mut request: Request) -> Option<Running<S>> {
        request.pendings += 1;
        let mut call = Running(Box::pin(self.service.call(request)), None);
        let panicked = self.ledger.panicked;
        call.1 = self.poll(&mut call);
        self.stage.forget();
        (self.ledger.panicked == panicked).then_some(call)
    }

    /// Calls the service, and does not poll the call yet.
    pub(crate) fn call_unpolled(&mut self, request: Request) -> Running<S> {
        Running(Box::pin(self.service.call(request)), None)
    }

    /// Polls a call once; how it ended is put down in the ledger. `None` if it is pending or
    /// panicked.
    pub(crate) fn poll(&mut self, call: &mut Running<S>) -> Option<Seen> {
        if let Some(seen) = call.1.take() {
            return Some(seen);
        }
        let waker = self.wakes.waker();
        let mut cx = Context::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| call.0.as_mut().poll(&mut cx))) {
            Ok(Poll::Ready(result)) => {
                let seen = seen(&result);
                *match seen {
                    Seen::Done => &mut self.ledger.succeeded,
                    Seen::Failed => &mut self.ledger.failed,
                    Seen::Rejected => &mut self.ledger.rejected_within,
                } += 1;
                Some(seen)
            }
            Ok(Poll::Pending) => None,
            Err(_) => {
                self.ledger.panicked += 1;
                None
            }
        }
    }

    /// Polls a call that must end within `polls` polls.
    #[track_caller]
    pub(crate) fn finish(&mut self, mut call: Running<S>, polls: u32) -> Seen {
        (0..polls)
            .find_map(|_| self.poll(&mut call))
            .expect("the call ends")
    }

    /// Drops a call that has not ended.
    pub(crate) fn abandon(&mut self, call: Running<S>) {
        drop(call);
        self.ledger.dropped += 1;
    }

    /// Asserts that nothing leaked: the service counted what happened, no future is alive, and it
    /// still runs as many calls at once as it should.
    #[track_caller]
    pub(crate) fn settle(mut self) {
        assert_eq!(self.stage.running(), 0, "futures are alive");
        (self.row.check)(&self.ledger);
        let capacity = self.row.capacity.as_ref();
        let at_once = capacity.map_or(32, |capacity| capacity(&self.ledger));
        let calls: Vec<_> = (0..at_once)
            .filter_map(|_| self.start(request(1, End::Succeed)))
            .collect();
        assert_eq!(self.stage.running(), at_once, "capacity leaked");
        if self.row.capacity.is_some() {
            let beyond = self.start(request(0, End::Succeed)).expect("no panic");
            assert_eq!(self.finish(beyond, 1), Seen::Rejected);
            self.ledger.rejected_within -= 1;
            self.ledger.rejected += 1;
        }
        for call in calls {
            self.abandon(call);
        }
        assert_eq!(self.stage.running(), 0, "futures are alive");
        (self.row.check)(&self.ledger);
    }
}

pub(crate) fn poll_ready<S: Subject>(
    service: &mut S,
    wakes: &Arc<Wakes>,
    ledger: &mut Ledger,
) -> Poll<Result<(), S::Error>> {
    let polled = service.poll_ready(&mut Context::from_waker(&wakes.waker()));
    if let Poll::Ready(Err(error)) = &polled {
        assert!(!error.is_rejection(), "`poll_ready` must not reject");
        ledger.unready += 1;
    }
    polled
}
