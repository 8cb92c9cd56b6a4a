//! Tower's contract, law by law.

use crate::late;
use crate::mock::{End, Readiness, request};
use crate::row::{Row, Running, Seen, Subject, Trial, poll_ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

const ENDS: [(End, Option<Seen>); 4] = [
    (End::Succeed, Some(Seen::Done)),
    (End::Fail, Some(Seen::Failed)),
    (End::Reject, Some(Seen::Rejected)),
    (End::Panic, None),
];

/// A call ends as the inner one does, after as many polls, and its waker reaches the inner one.
pub(crate) fn a_call_ends_as_the_inner_one<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    for pendings in 0..3 {
        for (end, seen) in ENDS {
            let calls = trial.stage.calls();
            let mut call = trial.start(request(pendings, end)).expect("no panic");
            for _ in 0..pendings {
                let wakes = trial.wakes.count();
                assert_eq!(trial.poll(&mut call), None);
                assert_eq!(trial.wakes.count(), wakes, "a pending poll woke itself");
                trial.stage.wake();
                assert_eq!(
                    trial.wakes.count(),
                    wakes + 1,
                    "the waker was not passed on"
                );
            }
            assert_eq!(trial.poll(&mut call), seen, "{end:?} after {pendings}");
            assert_eq!(trial.stage.calls(), calls + 1);
        }
    }
    trial.settle();
}

/// A call is dropped after any number of polls, the service is dropped before or after it, and
/// nothing leaks.
pub(crate) fn a_call_can_be_dropped_at_any_poll<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    for pendings in 0..4 {
        for polls in 0..=pendings {
            let mut call = trial
                .start(request(pendings, End::Succeed))
                .expect("no panic");
            for _ in 0..polls {
                assert_eq!(trial.poll(&mut call), None);
            }
            trial.abandon(call);
            assert_eq!(trial.stage.running(), 0);
        }
    }
    let mut other = trial.service.clone();
    std::mem::swap(&mut trial.service, &mut other);
    let call = trial.start(request(1, End::Succeed)).expect("no panic");
    drop(other);
    trial.abandon(call);
    trial.settle();
}

/// Many calls run at once, and end or are dropped in any order.
pub(crate) fn calls_interleave<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    let mut calls: Vec<_> = (0..8_u32)
        .map(|n| trial.start(request(n % 3, End::Succeed)).expect("no panic"))
        .collect();
    while !calls.is_empty() {
        let mut call = calls.swap_remove(calls.len() / 2);
        match calls.len() % 4 {
            0 => trial.abandon(call),
            _ if trial.poll(&mut call).is_none() => calls.push(call),
            _ => {}
        }
    }
    trial.settle();
}

/// A clone of a ready service is not ready: it asks its own inner service, and takes nothing from
/// the one it was cloned from.
pub(crate) fn a_clone_is_polled_itself<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    if trial.calls_late() {
        return late::a_clone_is_polled_itself(trial);
    }
    trial.make_ready();
    let asked = trial.stage.asked();
    let mut clone = trial.service.clone();
    let polled = poll_ready(&mut clone, &trial.wakes, &mut trial.ledger);
    assert!(matches!(polled, Poll::Ready(Ok(()))));
    assert_eq!(trial.stage.asked(), asked + 1, "the clone did not ask");
    std::mem::swap(&mut trial.service, &mut clone);
    let by_the_clone = trial.call(request(0, End::Succeed)).expect("no panic");
    std::mem::swap(&mut trial.service, &mut clone);
    let by_the_first = trial.call(request(0, End::Succeed)).expect("no panic");
    assert_eq!(trial.finish(by_the_first, 1), Seen::Done);
    assert_eq!(trial.finish(by_the_clone, 1), Seen::Done);
    trial.settle();
}

/// A service that is ready stays ready until it is called, however often it is asked.
pub(crate) fn readiness_is_kept<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    for _ in 0..3 {
        trial.make_ready();
    }
    let call = trial.call(request(0, End::Succeed)).expect("no panic");
    assert_eq!(trial.finish(call, 1), Seen::Done);
    let call = trial.start(request(0, End::Succeed)).expect("no panic");
    assert_eq!(trial.finish(call, 1), Seen::Done);
    trial.settle();
}

/// A service whose inner one is not ready is not ready, does not wake itself, and is woken by it.
pub(crate) fn an_inner_service_that_is_not_ready_is_waited_for<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    if trial.calls_late() {
        return late::an_inner_service_that_is_not_ready_is_waited_for(trial);
    }
    trial.stage.set(Readiness::Pending);
    for polls in 1..4 {
        assert!(trial.poll_ready().is_pending());
        assert_eq!(trial.stage.asked(), polls);
        assert_eq!(trial.wakes.count(), 0, "a pending poll woke itself");
    }
    trial.stage.set(Readiness::Ready);
    trial.stage.wake();
    assert!(trial.wakes.count() > 0, "the waker was not passed on");
    let call = trial.start(request(0, End::Succeed)).expect("no panic");
    assert_eq!(trial.finish(call, 1), Seen::Done);
    trial.settle();
}

/// An error of the inner `poll_ready` is passed on, and the service can be asked again.
pub(crate) fn an_inner_service_that_fails_in_poll_ready_is_heard<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    if trial.calls_late() {
        return late::an_inner_service_that_fails_in_poll_ready_is_heard(trial);
    }
    for _ in 0..3 {
        trial.stage.set(Readiness::Fail);
        assert!(matches!(trial.poll_ready(), Poll::Ready(Err(_))));
        trial.stage.set(Readiness::Ready);
        let call = trial.start(request(0, End::Succeed)).expect("no panic");
        assert_eq!(trial.finish(call, 1), Seen::Done);
    }
    trial.settle();
}

/// A panic anywhere in the inner service goes on unwinding, leaks nothing, and leaves a service
/// that works.
pub(crate) fn a_panic_within_leaks_nothing<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    for pendings in 0..3 {
        assert!(trial.start(request(0, End::PanicInCall)).is_none());
        let mut call = trial
            .start(request(pendings, End::Panic))
            .expect("no panic in `call`");
        let before = trial.ledger.panicked;
        for _ in 0..=pendings {
            assert_eq!(trial.poll(&mut call), None);
        }
        assert_eq!(trial.ledger.panicked, before + 1, "the panic did not go on");
        drop(call);

        trial.stage.set(Readiness::Panic);
        if trial.calls_late() {
            assert!(trial.start(request(0, End::Succeed)).is_none());
        } else {
            assert!(catch_unwind(AssertUnwindSafe(|| trial.poll_ready())).is_err());
        }
        trial.stage.set(Readiness::Ready);
        let call = trial.start(request(0, End::Succeed)).expect("no panic");
        assert_eq!(trial.finish(call, 1), Seen::Done);
    }
    trial.settle();
}

/// A policy that rejects is ready, and says so by the outcome of the call.
pub(crate) fn a_rejection_is_an_outcome_of_call<S: Subject>(row: &Row<S>) {
    let Some(mut trial) = Trial::refusing(row) else {
        return;
    };
    for _ in 0..3 {
        let call = trial.start(request(0, End::Succeed)).expect("no panic");
        assert_eq!(trial.finish(call, 1), Seen::Rejected);
        let never_polled = trial.start(request(0, End::Succeed)).expect("no panic");
        drop(never_polled);
    }
    assert_eq!(trial.stage.calls(), 0, "a rejected call was made");
    assert_eq!(trial.wakes.count(), 0);
}

/// Clones that are ready and idle hold nothing that others need.
pub(crate) fn an_idle_ready_clone_holds_no_capacity<S: Subject>(row: &Row<S>) {
    let mut trial = Trial::new(row);
    let mut clones = vec![trial.service.clone(); 100];
    for clone in &mut clones {
        let polled = poll_ready(clone, &trial.wakes, &mut trial.ledger);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
    }
    clones.truncate(50);
    trial.settle();
    drop(clones);
}

/// Whatever happens in whatever order, the policy counts it exactly.
pub(crate) fn counters_are_exact_after_a_bad_day<S: Subject>(row: &Row<S>) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut trial = Trial::new(row);
    // Where a policy's capacity follows from what came before, an arbitrary day has no one answer.
    if !trial.is_unlimited() {
        return;
    }
    let mut calls: Vec<Running<S>> = Vec::new();
    for _ in 0..5_000 {
        match rng.u8(..10) {
            0..4 => {
                let ends = [
                    End::Succeed,
                    End::Fail,
                    End::Reject,
                    End::Panic,
                    End::PanicInCall,
                ];
                let end = ends[rng.usize(..ends.len())];
                calls.extend(trial.start(request(rng.u32(..3), end)));
            }
            4..8 if !calls.is_empty() => {
                let mut call = calls.swap_remove(rng.usize(..calls.len()));
                let panicked = trial.ledger.panicked;
                if trial.poll(&mut call).is_none() && trial.ledger.panicked == panicked {
                    calls.push(call);
                }
            }
            8 if !calls.is_empty() => {
                let call = calls.swap_remove(rng.usize(..calls.len()));
                trial.abandon(call);
            }
            _ => {
                let clone = trial.service.clone();
                trial.service = clone;
                trial.stage.set(Readiness::Fail);
                if trial.calls_late() {
                    let call = trial.call_unpolled(request(0, End::Succeed));
                    assert_eq!(trial.finish(call, 1), Seen::Failed);
                } else {
                    assert!(matches!(trial.poll_ready(), Poll::Ready(Err(_))));
                }
                trial.stage.set(Readiness::Ready);
            }
        }
    }
    for call in calls {
        trial.abandon(call);
    }
    trial.settle();
}
