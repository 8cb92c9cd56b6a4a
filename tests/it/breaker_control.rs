//! By hand: transitions, modes, isolation, reset, reconfiguration, snapshots, events.

use crate::rig::{MS, Rig, SECOND, config};
use backstop::kernel::managed::Managed;
use backstop::kernel::rejection::RejectionKind;
use backstop::policy::circuit_breaker::{
    EventKind, Mode, Reason, State, TransitionRefused, Window,
};
use backstop::{CircuitBreaker, CircuitBreakerConfig};
use std::sync::LazyLock;

#[test]
fn g4a_a_new_configuration_keeps_state_generation_and_counts() {
    let rig = Rig::new(config());
    rig.succeed(10);
    rig.fail(9);
    let before = rig.breaker.try_acquire().unwrap();
    rig.breaker.reconfigure(config().minimum_calls(25)).unwrap();
    assert_eq!(rig.counts().recorded, 19);
    before.failure();
    assert_eq!(rig.counts().failed, 10, "a call under way is not late");
    assert_eq!(
        rig.state(),
        State::Closed,
        "20 calls are below the new minimum"
    );
    rig.fail(5);
    assert_eq!(rig.state(), State::Open);
    // While it is open: the end stays, the next wait is the new one.
    rig.breaker
        .reconfigure(config().open_wait(SECOND, 3.0, 60 * SECOND).probes(1))
        .unwrap();
    assert_eq!(rig.rejection().retry_after(), Some(5 * SECOND));
    rig.clock.advance(5 * SECOND);
    rig.fail(1);
    assert_eq!(rig.rejection().retry_after(), Some(3 * SECOND));
}

#[test]
fn g4a_a_call_under_way_is_not_late_after_the_first_reconfiguration() {
    for window in [Window::count(100), Window::time(10 * SECOND, 10)] {
        let rig = Rig::new(config().window(window));
        let before = rig.breaker.try_acquire().unwrap();
        rig.breaker
            .reconfigure(config().window(window).probes(1))
            .unwrap();
        before.failure();
        assert_eq!(rig.counts().failed, 1);
    }
}

#[test]
fn g4a_a_new_shape_of_window_begins_empty() {
    let shapes = [
        Window::count(50),
        Window::time(10 * SECOND, 10),
        Window::time(20 * SECOND, 10),
        Window::count(100),
        Window::time(10 * SECOND, 10),
    ];
    let rig = Rig::new(config());
    let mut late = 0;
    for shape in shapes {
        rig.fail(10);
        let before = rig.breaker.try_acquire().unwrap();
        rig.breaker.reconfigure(config().window(shape)).unwrap();
        assert_eq!(rig.counts().recorded, 0);
        before.failure();
        late += 1;
        assert_eq!(rig.breaker.totals().late, late);
        rig.fail(10);
        assert_eq!(rig.counts().recorded, 10);
        rig.breaker.reset();
    }
    assert_eq!(rig.breaker.totals().failure, 2 * 5 * 10);
}

#[test]
fn g4a_only_so_many_shapes_of_time_window_are_kept() {
    let rig = Rig::new(config());
    let shape = |n: u32| config().window(Window::time(10 * n * MS, 10));
    for n in 1..=127 {
        rig.breaker.reconfigure(shape(n)).unwrap();
    }
    let refused = rig.breaker.reconfigure(shape(128)).unwrap_err();
    assert_eq!(refused.field(), "window.time");
    assert_eq!(rig.breaker.config(), shape(127), "the old one stays");
    rig.breaker.reconfigure(shape(5)).unwrap();
    rig.trip();
}

#[test]
fn g4b_a_bad_configuration_is_refused_and_the_old_one_stays() {
    let mut rig = Rig::new(config());
    let refused = rig
        .breaker
        .reconfigure(config().minimum_calls(0))
        .unwrap_err();
    assert_eq!(refused.field(), "minimum_calls");
    assert_eq!(rig.breaker.config(), config());
    assert!(rig.events().is_empty());
    let managed: &dyn Managed = &rig.breaker;
    assert_eq!(managed.reconfigure(&7_u8).unwrap_err().field(), "config");
    let old = managed.config();
    managed.reconfigure(&config().probes(1)).unwrap();
    assert_eq!(rig.breaker.config(), config().probes(1));
    managed.reconfigure(&*old).unwrap();
    assert_eq!(rig.breaker.config(), config());
}

#[test]
fn g5_one_fact_is_one_event_with_increasing_numbers() {
    let mut rig = Rig::new(config().probes(1));
    let mut seen = rig
        .breaker
        .subscribe(std::num::NonZeroUsize::new(100).unwrap());
    rig.trip_and_wait();
    rig.fail(1);
    rig.clock.advance(10 * SECOND);
    rig.succeed(1);
    rig.breaker.reset();
    rig.breaker.reconfigure(config()).unwrap();
    let events: Vec<_> = std::iter::from_fn(|| seen.try_recv()).collect();
    assert!(
        events.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1),
        "{events:?}"
    );
    assert!(events.windows(2).all(|pair| pair[1].at >= pair[0].at));
    let told: Vec<_> = rig
        .events()
        .iter()
        .map(|event| match event {
            EventKind::StateChanged { from, to, .. } => format!("{from}->{to}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "closed->open",
            "open->half_open",
            "half_open->open",
            "open->half_open",
            "half_open->closed",
            "Reset",
            "Reconfigured"
        ]
    );
}

#[test]
fn cb8a_transitions_by_hand() {
    use State::{Closed, Disabled, ForcedOpen, HalfOpen, MetricsOnly, Open};
    let mut rig = Rig::new(config());
    for (to, allowed) in [
        (Closed, true),
        (HalfOpen, false),
        (Disabled, false),
        (Open, true),
        (Open, true),
        (HalfOpen, true),
        (HalfOpen, true),
        (Open, true),
        (Closed, true),
        (Open, true),
        (HalfOpen, true),
        (Closed, true),
        (ForcedOpen, false),
        (MetricsOnly, false),
    ] {
        let from = rig.state();
        let result = rig.breaker.transition_to(to);
        assert_eq!(result.is_ok(), allowed, "{from} to {to}");
        if let Err(refused) = result {
            assert_eq!((refused.from, refused.to), (from, to));
            assert!(refused.to_string().contains(from.as_str()));
        } else {
            assert_eq!(rig.state(), to);
        }
    }
    assert_eq!(
        rig.states(),
        [Open, HalfOpen, Open, Closed, Open, HalfOpen, Closed]
    );
    rig.breaker.force_open();
    for to in [Closed, Open, HalfOpen] {
        let refused: TransitionRefused = rig.breaker.transition_to(to).unwrap_err();
        assert_eq!(refused.from, ForcedOpen);
    }
}

#[test]
fn cb8b_reset_works_from_every_state_and_clears_everything() {
    let ways: [fn(&Rig); 6] = [
        |rig| rig.fail(7),
        Rig::trip,
        |rig| {
            rig.trip_and_wait();
            rig.fail(1);
        },
        |rig| rig.breaker.force_open(),
        |rig| rig.breaker.set_mode(Mode::Disabled),
        |rig| rig.breaker.set_mode(Mode::MetricsOnly),
    ];
    for way in ways {
        let rig = Rig::new(config());
        way(&rig);
        let permit = rig.breaker.try_acquire().ok();
        rig.breaker.reset();
        assert_eq!(rig.state(), State::Closed);
        assert_eq!(rig.counts().recorded, 0);
        assert!(rig.breaker.last_trip().is_none());
        drop(permit);
        assert_eq!(rig.counts().recorded, 0, "a call under way is late");
        rig.fail(19);
        assert_eq!(rig.state(), State::Closed);
        rig.fail(1);
        assert_eq!(
            rig.rejection().retry_after(),
            Some(5 * SECOND),
            "the first wait again"
        );
    }
    let rig = Rig::new(config());
    let held = rig.breaker.isolate();
    rig.breaker.reset();
    assert_eq!(
        rig.state(),
        State::ForcedOpen,
        "who isolated it still holds it"
    );
    drop(held);
    assert_eq!(rig.state(), State::Closed);
}

#[test]
fn cb14a_forced_open_until_hand_and_guards_have_let_go() {
    let mut rig = Rig::new(config());
    let first = rig.breaker.isolate();
    let second = rig.breaker.isolate();
    rig.breaker.force_open();
    assert!(rig.rejects(RejectionKind::ForcedOpen));
    rig.clock.advance(3600 * SECOND);
    drop(first);
    rig.breaker.release_force_open();
    assert!(rig.rejects(RejectionKind::ForcedOpen));
    rig.breaker.force_open();
    drop(second);
    assert!(rig.rejects(RejectionKind::ForcedOpen));
    rig.breaker.release_force_open();
    rig.breaker.release_force_open();
    assert_eq!(rig.states(), [State::ForcedOpen, State::Closed]);
    assert_eq!(rig.breaker.totals().rejected_forced_open, 3);
    rig.succeed(1);
}

#[test]
fn cb14b_disabled_admits_everything_and_records_nothing() {
    let rig = Rig::new(config());
    rig.breaker.set_mode(Mode::Disabled);
    rig.fail(1_000);
    drop(rig.breaker.try_acquire().unwrap());
    let across = rig.breaker.try_acquire().unwrap();
    assert_eq!(rig.state(), State::Disabled);
    rig.breaker.set_mode(Mode::Normal);
    across.failure();
    assert_eq!(
        rig.breaker.totals(),
        backstop::policy::circuit_breaker::Totals::default()
    );
    assert_eq!(rig.counts().recorded, 0);
}

#[test]
fn cb14c_metrics_only_tells_once_per_crossing_and_rejects_nothing() {
    for window in [Window::count(20), Window::time(10 * SECOND, 10)] {
        let mut rig = Rig::new(config().window(window));
        rig.breaker.set_mode(Mode::MetricsOnly);
        for _ in 0..3 {
            rig.fail(50);
            rig.succeed(100);
            rig.clock.advance(20 * SECOND);
            rig.succeed(40);
        }
        let crossings = rig
            .events()
            .into_iter()
            .filter(|event| match event {
                EventKind::WouldHaveOpened { reason } => matches!(reason, Reason::FailureRate(_)),
                _ => false,
            })
            .count();
        assert_eq!(crossings, 3);
        assert_eq!(rig.state(), State::MetricsOnly);
        assert_eq!(rig.breaker.totals().failure, 150);
        assert_eq!(rig.breaker.totals().rejected(), 0);
    }
}

#[test]
fn cb14d_leaving_a_mode_closes_with_a_new_generation() {
    let mut rig = Rig::new(config());
    rig.trip();
    rig.breaker.set_mode(Mode::MetricsOnly);
    let across = rig.breaker.try_acquire().unwrap();
    rig.fail(5);
    rig.breaker.force_open();
    rig.breaker.release_force_open();
    assert_eq!(
        rig.state(),
        State::MetricsOnly,
        "forcing is over, the mode is not"
    );
    rig.breaker.set_mode(Mode::Normal);
    rig.breaker.set_mode(Mode::Normal);
    across.failure();
    assert_eq!(rig.counts().recorded, 0);
    assert_eq!(rig.breaker.totals().late, 1);
    assert_eq!(
        rig.states(),
        [
            State::Open,
            State::MetricsOnly,
            State::ForcedOpen,
            State::MetricsOnly,
            State::Closed
        ]
    );
    // Setting the mode it is in anyway does not close a circuit that opened by itself.
    rig.trip();
    rig.breaker.set_mode(Mode::Normal);
    rig.breaker.release_force_open();
    assert_eq!(rig.state(), State::Open);
}

#[test]
fn cb10_a_snapshot_puts_the_window_back() {
    for window in [Window::count(50), Window::time(10 * SECOND, 10)] {
        let old = Rig::new(config().window(window).minimum_calls(30));
        old.succeed(10);
        old.clock.advance(3 * SECOND);
        old.fail(14);
        old.succeed(5);
        let snapshot = old.breaker.snapshot();
        assert_eq!((snapshot.counts.recorded, snapshot.counts.failed), (29, 14));
        let new = Rig::new(config().window(window).minimum_calls(30));
        new.clock.advance(123 * SECOND);
        new.breaker.restore(&snapshot).unwrap();
        assert_eq!(new.breaker.snapshot(), snapshot);
        assert_eq!(
            new.breaker.totals().admitted(),
            0,
            "they were counted where they happened"
        );
        new.fail(1);
        assert_eq!(new.state(), State::Open, "15 of 30");
        assert_eq!(new.breaker.totals().failure, 1);
    }
}

#[test]
fn cb10_the_remaining_open_time_stands_still_while_it_is_stored() {
    let old = Rig::new(config().probes(1));
    old.trip_and_wait();
    old.fail(1);
    old.clock.advance(3 * SECOND);
    let snapshot = old.breaker.snapshot();
    assert_eq!(snapshot.remaining, Some(7 * SECOND));
    let new = Rig::new(config().probes(1));
    new.clock.advance(86_400 * SECOND);
    new.breaker.restore(&snapshot).unwrap();
    assert_eq!(new.rejection().retry_after(), Some(7 * SECOND));
    new.clock.advance(7 * SECOND);
    new.fail(1);
    assert_eq!(
        new.rejection().retry_after(),
        Some(20 * SECOND),
        "the third wait in a row"
    );
}

#[test]
fn cb10_probes_modes_and_bad_content() {
    let old = Rig::new(config());
    old.trip_and_wait();
    old.succeed(2);
    let half_open = old.breaker.snapshot();
    let new = Rig::new(config());
    new.breaker.restore(&half_open).unwrap();
    assert_eq!(new.state(), State::HalfOpen);
    new.succeed(1);
    assert_eq!(new.state(), State::Closed, "2 + 1 good probes of 5");

    for mode in [Mode::Disabled, Mode::MetricsOnly] {
        let old = Rig::new(config());
        old.breaker.set_mode(mode);
        new.breaker.restore(&old.breaker.snapshot()).unwrap();
        assert_eq!(new.state(), old.state());
    }
    let forced = Rig::new(config());
    forced.breaker.force_open();
    new.breaker.restore(&forced.breaker.snapshot()).unwrap();
    assert_eq!(new.state(), State::ForcedOpen);
    new.breaker.release_force_open();
    assert_eq!(new.state(), State::Closed);

    let mut bad = half_open.clone();
    bad.counts.failed = 99;
    assert_eq!(new.breaker.restore(&bad).unwrap_err().field(), "counts");
    assert_eq!(new.state(), State::Closed, "nothing changed");
}

#[cfg(feature = "serde")]
#[test]
fn cb10_a_snapshot_survives_text() {
    for window in [Window::count(50), Window::time(10 * SECOND, 10)] {
        let rig = Rig::new(config().window(window));
        rig.succeed(3);
        rig.fail(2);
        let snapshot = rig.breaker.snapshot();
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str(&text).ok(), Some(snapshot), "{text}");
        rig.trip();
        let snapshot = rig.breaker.snapshot();
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str(&text).ok(), Some(snapshot), "{text}");
    }
    let letters = r#"{"state":"closed","mode":"normal","forced_open":false,"opens":0,
        "counts":{"recorded":1,"failed":0,"slow":0},"window":{"count":"x"}}"#;
    let rig = Rig::new(config());
    let refused = rig
        .breaker
        .restore(&serde_json::from_str(letters).unwrap())
        .unwrap_err();
    assert_eq!((refused.field(), refused.value()), ("window.count", "'x'"));
}

#[test]
fn a_static_handle_is_the_same_breaker() {
    static BREAKER: LazyLock<CircuitBreaker> = LazyLock::new(|| {
        CircuitBreaker::new("static", CircuitBreakerConfig::default())
            .expect("a valid configuration")
    });
    let handle = CircuitBreaker::from(&*BREAKER);
    let clone = handle.clone();
    handle.force_open();
    assert_eq!(
        (clone.state(), BREAKER.state()),
        (State::ForcedOpen, State::ForcedOpen)
    );
    clone.reset();
    assert_eq!(BREAKER.state(), State::Closed);
    assert!(format!("{handle:?}").contains("static"));
}

#[test]
fn a_breaker_is_managed_like_any_policy() {
    let rig = Rig::new(config());
    let managed: &dyn Managed = &rig.breaker;
    assert_eq!(
        (managed.policy(), managed.name().as_str()),
        ("circuit_breaker", "rig")
    );
    rig.trip();
    let snapshot = managed.snapshot();
    assert_eq!(snapshot.state, "open");
    assert!(
        snapshot.figures.contains(&("remaining_seconds", 5.0)),
        "{snapshot:?}"
    );
    managed.reset();
    let held = managed.isolate();
    assert_eq!(managed.snapshot().state, "forced_open");
    drop(held);
    assert_eq!(managed.snapshot().state, "closed");
}
