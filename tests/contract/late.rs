//! The laws about readiness, for services that are always ready and make a clone of the inner
//! service ready within the call's future.

use crate::mock::{End, Readiness, request};
use crate::row::{Seen, Subject, Trial};

/// Each call asks an inner service of its own, and asks it when it is polled: an idle service and a
/// call that nobody polls keep no readiness.
pub(crate) fn a_clone_is_polled_itself<S: Subject>(mut trial: Trial<'_, S>) {
    trial.make_ready();
    let asked = trial.stage.asked();
    let calls = [(); 2].map(|()| trial.call_unpolled(request(0, End::Succeed)));
    assert_eq!(trial.stage.asked(), asked, "asked before it was polled");
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(trial.finish(call, 1), Seen::Done);
        assert_eq!(trial.stage.asked(), asked + number + 1);
    }
    trial.settle();
}

/// A call whose inner service is not ready waits, does not wake itself, and is woken by it.
pub(crate) fn an_inner_service_that_is_not_ready_is_waited_for<S: Subject>(
    mut trial: Trial<'_, S>,
) {
    trial.stage.set(Readiness::Pending);
    let mut call = trial.call_unpolled(request(0, End::Succeed));
    for polls in 1..4 {
        assert_eq!(trial.poll(&mut call), None);
        assert_eq!(trial.stage.asked(), polls);
        assert_eq!(trial.wakes.count(), 0, "a pending poll woke itself");
    }
    trial.stage.set(Readiness::Ready);
    trial.stage.wake();
    assert!(trial.wakes.count() > 0, "the waker was not passed on");
    assert_eq!(trial.finish(call, 1), Seen::Done);
    // And one that is dropped while it waits leaves nothing behind.
    trial.stage.set(Readiness::Pending);
    let mut call = trial.call_unpolled(request(0, End::Succeed));
    assert_eq!(trial.poll(&mut call), None);
    trial.abandon(call);
    trial.stage.set(Readiness::Ready);
    trial.settle();
}

/// An error of the inner `poll_ready` is the outcome of the call.
pub(crate) fn an_inner_service_that_fails_in_poll_ready_is_heard<S: Subject>(
    mut trial: Trial<'_, S>,
) {
    for _ in 0..3 {
        trial.stage.set(Readiness::Fail);
        let calls = trial.stage.calls();
        let call = trial.call_unpolled(request(0, End::Succeed));
        assert_eq!(trial.finish(call, 1), Seen::Failed);
        assert_eq!(trial.stage.calls(), calls, "called without being ready");
        trial.stage.set(Readiness::Ready);
        let call = trial.start(request(0, End::Succeed)).expect("no panic");
        assert_eq!(trial.finish(call, 2), Seen::Done);
    }
    trial.settle();
}
