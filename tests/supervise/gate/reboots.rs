//! Calls in flight when a reboot begins.

use super::{CUT, MS, REFUSED, SECOND, Task, config, gate, rejected};
use backstop::kernel::outcome::Outcome;
use backstop::kernel::rejection::{Executed, RejectionKind};
use backstop::supervise::microreboot::{CallsSeen, Drained, Gate, GateState, Idempotence};
use futures::FutureExt;
use futures::channel::oneshot;
use std::cell::Cell;
use std::future::{pending, ready};
use std::time::Duration;

/// A call that waits for an answer.
fn asking(gate: &Gate) -> (Task<'_, super::Reply>, oneshot::Sender<u8>) {
    let (sender, answer) = oneshot::channel();
    let call = gate.call(|| async move { answer.await.map_err(|_| 1) });
    (Task::new(call), sender)
}

#[test]
fn mr8h_a_reboot_goes_on_when_the_last_call_has_ended() {
    let (gate, clock) = gate(config().drain(SECOND));
    let [(mut one, answer_one), (mut other, answer_other)] = [asking(&gate), asking(&gate)];
    one.is_pending();
    other.is_pending();
    let reboot = gate.begin_reboot();
    let mut drain = Task::new(reboot.drain());
    drain.is_pending();
    clock.advance(999 * MS);
    answer_one.send(7).unwrap();
    assert!(matches!(one.ready(), Ok(7)));
    assert!(!drain.is_woken(), "one is still inside");
    drain.is_pending();
    answer_other.send(8).unwrap();
    assert!(matches!(other.ready(), Ok(8)));
    assert_eq!(drain.ready(), Drained { cut: 0 });
    drain.is_pending();
}

#[test]
fn mr8h_an_empty_gate_is_drained_at_once_and_a_call_that_is_dropped_is_gone() {
    let (gate, _clock) = gate(config());
    let reboot = gate.begin_reboot();
    assert_eq!(reboot.drain().now_or_never(), Some(Drained { cut: 0 }));
    reboot.succeed();
    let pass = gate.enter(Idempotence::Unknown).unwrap();
    let (mut call, _answer) = asking(&gate);
    call.is_pending();
    let reboot = gate.begin_reboot();
    let mut drain = Task::new(reboot.drain());
    drain.is_pending();
    drop(call);
    drain.is_pending();
    pass.end(Outcome::Success);
    assert_eq!(drain.ready(), Drained { cut: 0 });
}

/// Says whether the gate still counted the call when what it held was dropped.
struct Held<'a>(&'a Gate, &'a Cell<Option<u64>>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.1.set(Some(self.0.in_flight()));
    }
}

#[test]
fn mr8i_who_is_late_is_dropped_and_nobody_knows_how_far_it_got() {
    let (gate, clock) = gate(config());
    let dropped = Cell::new(None);
    let held = Held(&gate, &dropped);
    let mut call = Task::new(gate.call(|| async move {
        let _held = held;
        pending::<Result<u8, u8>>().await
    }));
    call.is_pending();
    let mut idempotent =
        Task::new(gate.call_with(Idempotence::Idempotent, pending::<Result<u8, u8>>));
    idempotent.is_pending();
    let pass = gate.enter(Idempotence::Unknown).unwrap();
    let reboot = gate.begin_reboot();
    let mut drain = Task::new(reboot.drain());
    drain.is_pending();
    clock.advance(249 * MS);
    drain.is_pending();
    assert!(!call.is_woken() && !pass.is_cut());
    clock.advance(MS);
    assert_eq!(drain.ready(), Drained { cut: 3 });
    assert!(pass.is_cut());
    assert_eq!(rejected(call.ready()), CUT);
    assert_eq!((dropped.get(), gate.in_flight()), (Some(3), 2));
    let told = (RejectionKind::Restarting, Executed::Unknown, Some(SECOND));
    assert_eq!(rejected(idempotent.ready()), told);
    call.is_pending();
    drop((pass, drain));
    assert_eq!((gate.in_flight(), gate.state()), (0, GateState::Restarting));
    reboot.succeed();
    assert_eq!(gate.seen(), CallsSeen { bad: 2, all: 3 });
}

#[test]
fn mr8i_a_result_that_is_there_is_not_thrown_away_and_later_calls_are_not_touched() {
    let (gate, _clock) = gate(config().drain(Duration::ZERO));
    let reboot = Cell::new(None);
    // The gate is shut and everything is cut while this is polled, and it is ready then.
    let call = gate.call(|| {
        let begun = gate.begin_reboot();
        assert_eq!(begun.drain().now_or_never(), Some(Drained { cut: 1 }));
        reboot.set(Some(begun));
        ready(Ok::<u8, u8>(7))
    });
    assert!(matches!(call.now_or_never(), Some(Ok(7))));
    reboot.take().unwrap().succeed();
    // This one waits when it was cut before it first waited.
    let call = gate.call(|| {
        let begun = gate.begin_reboot();
        begun.cut();
        reboot.set(Some(begun));
        pending::<Result<u8, u8>>()
    });
    assert_eq!(rejected(call.now_or_never().unwrap()), CUT);
    reboot.take().unwrap().succeed();
    let (mut later, answer) = asking(&gate);
    later.is_pending();
    later.is_pending();
    answer.send(7).unwrap();
    assert!(matches!(later.ready(), Ok(7)));
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn mr8i_a_call_that_is_polled_after_the_gate_has_opened_again_is_still_cut() {
    let (gate, _clock) = gate(config().drain(Duration::ZERO));
    let (mut call, _answer) = asking(&gate);
    call.is_pending();
    let reboot = gate.begin_reboot();
    assert_eq!(reboot.drain().now_or_never(), Some(Drained { cut: 1 }));
    reboot.succeed();
    let written_off = CallsSeen { bad: 1, all: 1 };
    assert_eq!((gate.seen(), gate.in_flight()), (written_off, 1));
    assert_eq!(rejected(call.ready()), CUT);
    assert_eq!((gate.seen(), gate.in_flight()), (written_off, 0));
}

#[test]
fn mr8l_without_draining_nobody_is_counted_or_cut() {
    let (gate, _clock) = gate(config().without_drain());
    let (mut call, answer) = asking(&gate);
    call.is_pending();
    assert_eq!(gate.in_flight(), 0);
    let reboot = gate.begin_reboot();
    assert_eq!(reboot.drain().now_or_never(), Some(Drained { cut: 0 }));
    assert_eq!(reboot.cut(), 0);
    assert!(!call.is_woken());
    call.is_pending();
    assert_eq!(
        rejected(gate.call(|| ready(Ok::<u8, u8>(1))).now_or_never().unwrap()),
        REFUSED
    );
    reboot.succeed();
    answer.send(7).unwrap();
    assert!(matches!(call.ready(), Ok(7)));
    assert_eq!(gate.seen(), CallsSeen { bad: 1, all: 2 });
}

#[test]
fn mr8l_calls_stay_as_they_went_in() {
    let (gate, _clock) = gate(config());
    let (mut counted, _one) = asking(&gate);
    counted.is_pending();
    gate.reconfigure(config().without_drain()).unwrap();
    let (mut uncounted, _other) = asking(&gate);
    uncounted.is_pending();
    assert_eq!(gate.in_flight(), 1);
    assert_eq!(gate.begin_reboot().cut(), 1);
    assert!(counted.is_woken() && !uncounted.is_woken());
    drop((counted, uncounted));
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn mr8o_a_reboot_without_a_word_has_failed_and_the_last_one_decides() {
    let (gate, _clock) = gate(config());
    drop(gate.begin_reboot());
    assert_eq!(gate.state(), GateState::Down);
    for (last_succeeds, then) in [(true, GateState::Open), (false, GateState::Down)] {
        let [one, other] = [gate.begin_reboot(), gate.begin_reboot()];
        if last_succeeds {
            one.fail();
        } else {
            one.succeed();
        }
        assert_eq!(gate.state(), GateState::Restarting);
        if last_succeeds {
            other.succeed();
        } else {
            other.fail();
        }
        assert_eq!(gate.state(), then);
    }
}
