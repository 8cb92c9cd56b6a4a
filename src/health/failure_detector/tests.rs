use super::machine::Machine;
use super::tail;
use super::{FailureDetector, FailureDetectorConfig, Model, StallWatch, Verdict};
use crate::kernel::clock::{Clock, ManualClock};
use crate::kernel::instant::Instant;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const YEARS: Duration = Duration::from_secs(100_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn detector(config: FailureDetectorConfig) -> (ManualClock, FailureDetector) {
    let clock = Clock::manual();
    let detector = FailureDetector::with_clock("node", config, &clock).unwrap();
    (clock, detector)
}

/// After `beats` heartbeats, each `interval` after the one before; the last one is now.
fn beating(
    config: FailureDetectorConfig,
    interval: Duration,
    beats: u32,
) -> (ManualClock, FailureDetector) {
    let (clock, detector) = detector(config);
    detector.heartbeat();
    for _ in 1..beats {
        clock.advance(interval);
        detector.heartbeat();
    }
    (clock, detector)
}

fn is_near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

/// Computed with 40 digits.
#[expect(
    clippy::approx_constant,
    clippy::excessive_precision,
    reason = "a table"
)]
const TAIL: [(f64, f64); 12] = [
    (-3.0, 0.000_586_649_313_790_066_7),
    (0.0, 0.301_029_995_663_981_2),
    (1.0, 0.799_545_541_491_970_5),
    (3.0, 2.869_699_035_929_369),
    (5.0, 6.542_645_672_390_654_5),
    (8.4, 16.651_229_309_567_295),
    (8.5, 17.023_212_973_749_166),
    (10.0, 23.118_053_405_486_076),
    (37.5, 307.336_737_074_644_64),
    (38.6, 325.526_671_360_304_04),
    (100.0, 2_173.871_542_869_034),
    (10_000.0, 21_714_728.494_254_253),
];

#[test]
fn hc8a_the_tail_is_exact_in_the_log_domain() {
    for (z, expected) in TAIL {
        let found = tail::exponent(z);
        assert!(is_near(found, expected), "{z}: {found} and not {expected}");
    }
    // Where one way of computing it ends and the other begins, nothing jumps.
    let edge = 6.0 * std::f64::consts::SQRT_2;
    let (before, after) = (tail::exponent(edge - 1e-9), tail::exponent(edge + 1e-9));
    assert!(before < after && after - before < 1e-7);
}

#[test]
fn hc8a_the_silence_is_measured_in_deviations_beyond_mean_and_pause() {
    let config = FailureDetectorConfig::default().window(4);
    let (clock, detector) = beating(config, SECOND, 10);
    for (silence, row) in [(4_000, 1), (4_100, 2), (4_500, 4), (5_000, 7), (14_000, 10)] {
        let last = ms(silence);
        clock.advance(last);
        let (_, expected) = TAIL[row];
        let phi = detector.phi();
        assert!((phi - expected).abs() < 1e-6 * expected, "{silence}: {phi}");
        clock.step_back(last);
    }
    // Two of 0.5 s and two of 1.5 s: the deviation is 0.5 s.
    let (clock, detector) = beating(config.first_estimate(SECOND), ms(500), 3);
    for _ in 0..2 {
        clock.advance(ms(1_500));
        detector.heartbeat();
    }
    clock.advance(ms(4_500));
    assert!((detector.phi() - TAIL[2].1).abs() < 1e-6);
}

#[test]
fn hc8b_the_exponential_model_divides_by_the_mean() {
    let config = FailureDetectorConfig::default()
        .model(Model::Exponential)
        .window(10);
    let (clock, detector) = beating(config, ms(250), 20);
    clock.advance(SECOND);
    assert!(is_near(detector.phi(), 4.0 / std::f64::consts::LN_10));
    clock.advance(ms(3_604));
    assert_eq!(detector.verdict(), Verdict::Alive);
    clock.advance(ms(2));
    assert_eq!(
        detector.verdict(),
        Verdict::Suspected,
        "18.42 intervals are 8"
    );
}

#[test]
fn hc8c_the_deadline_is_still_in_time() {
    let config = FailureDetectorConfig::default()
        .model(Model::Deadline)
        .deadline(ms(700));
    let (clock, detector) = beating(config, ms(10), 5);
    clock.advance(ms(700));
    assert_eq!((detector.phi(), detector.verdict()), (0.0, Verdict::Alive));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(detector.verdict(), Verdict::Suspected);
    assert!(detector.phi().is_infinite());
    detector.heartbeat();
    assert_eq!(detector.verdict(), Verdict::Alive);
}

#[test]
fn hc8d_two_intervals_are_assumed_at_first_and_leave_the_window_first() {
    let config = FailureDetectorConfig::default()
        .first_estimate(ms(400))
        .window(2);
    let mut machine = Machine::new(config);
    assert_eq!(machine.mean(), ms(400));
    let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
    machine.heartbeat(at(0));
    // (300 + 500) / 2 = 400, deviation 100; the pause is 3 s.
    assert!(is_near(machine.phi(at(3_500)), TAIL[2].1));
    machine.heartbeat(at(600));
    assert_eq!(machine.mean(), ms(550), "500 and 600");
    machine.heartbeat(at(1_000));
    assert_eq!(machine.mean(), ms(500), "600 and 400");
    machine.heartbeat(at(1_200));
    assert_eq!(machine.mean(), ms(300), "400 and 200");
}

#[test]
fn hc8e_the_length_of_an_outage_is_not_learnt() {
    for model in [Model::Normal, Model::Exponential, Model::Deadline] {
        let config = FailureDetectorConfig::default().model(model);
        let (clock, detector) = beating(config, SECOND, 50);
        let before = detector.snapshot().mean_interval;
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(detector.verdict(), Verdict::Suspected);
        detector.heartbeat();
        assert_eq!(detector.verdict(), Verdict::Alive);
        assert_eq!(detector.snapshot().mean_interval, before);
        // And what is late, but not suspicious, is.
        clock.advance(ms(3_500));
        detector.heartbeat();
        assert!(detector.snapshot().mean_interval > before);
    }
}

#[test]
fn hc8f_nothing_is_known_before_the_first_heartbeat() {
    let (clock, detector) = detector(FailureDetectorConfig::default());
    clock.advance(YEARS);
    assert_eq!(detector.verdict(), Verdict::Unknown);
    assert_eq!((detector.phi(), detector.snapshot().silence), (0.0, None));
    detector.heartbeat();
    assert_eq!(detector.verdict(), Verdict::Alive);
    clock.advance(YEARS);
    assert_eq!(detector.verdict(), Verdict::Suspected);
    detector.reset();
    assert_eq!(detector.verdict(), Verdict::Unknown);
}

#[test]
fn hc8f_suspicion_begins_at_the_threshold() {
    let config = FailureDetectorConfig::default();
    let (clock, detector) = beating(config, SECOND, 2_000);
    clock.advance(ms(4_000));
    while detector.phi() < 8.0 {
        assert_eq!(detector.verdict(), Verdict::Alive);
        clock.advance(ms(1));
    }
    assert_eq!(detector.verdict(), Verdict::Suspected);
    // As the docs say: 5.6 deviations of 100 ms beyond the pause.
    let silence = detector.snapshot().silence.unwrap();
    assert!((ms(4_560)..ms(4_565)).contains(&silence), "{silence:?}");
}

#[test]
fn hc8g_a_stall_of_this_process_convicts_nobody() {
    let (clock, detector) = beating(FailureDetectorConfig::default(), SECOND, 50);
    let stalls = StallWatch::with_clock(&clock);
    let watched = detector.clone().stalls(&stalls);
    let due = Instant::from_nanos(clock.clock().now().as_nanos()) + ms(500);
    clock.advance(Duration::from_secs(20));
    // Before the timer has gone off, nothing is known of the stall.
    assert_eq!(watched.verdict(), Verdict::Suspected);
    stalls.ticked(due, clock.clock().now());
    assert_eq!(watched.verdict(), Verdict::Suspended);
    assert!(watched.is_available() && stalls.is_suspended());
    assert_eq!(detector.verdict(), Verdict::Suspected, "it has no watch");
    clock.advance(ms(4_999));
    assert_eq!(watched.verdict(), Verdict::Suspended);
    clock.advance(ms(1));
    assert_eq!(watched.verdict(), Verdict::Suspected);
    assert_eq!(stalls.stalls(), 1);
    // Late by five seconds, and no more.
    let now = clock.clock().now();
    clock.advance(Duration::from_secs(5));
    stalls.ticked(now, clock.clock().now());
    assert!(!stalls.is_suspended());
}

#[test]
fn hc8g_the_watch_is_a_timer() {
    let clock = Clock::manual();
    let stalls = StallWatch::with_clock(&clock);
    let watch = stalls.run();
    let mut watch = std::pin::pin!(watch);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut poll = || assert!(watch.as_mut().poll(&mut context).is_pending());
    poll();
    for late in [500, 3_000] {
        clock.advance(ms(late));
        poll();
        assert_eq!(stalls.stalls(), 0);
    }
    clock.advance(ms(5_501));
    poll();
    assert_eq!(stalls.stalls(), 1);
    assert!(stalls.is_suspended());
}

#[test]
fn hc8h_odd_times_make_no_odd_figures() {
    for model in [Model::Normal, Model::Exponential] {
        let (clock, detector) = detector(FailureDetectorConfig::default().model(model).window(3));
        for step in [
            Duration::ZERO,
            Duration::ZERO,
            YEARS,
            ms(1),
            YEARS,
            Duration::ZERO,
        ] {
            detector.heartbeat();
            clock.advance(step);
            let phi = detector.phi();
            assert!(phi.is_finite() && phi >= 0.0, "{model:?}: {phi}");
        }
        clock.step_back(Duration::from_secs(3_600));
        detector.heartbeat();
        assert!(detector.phi() < 8.0);
        clock.advance(YEARS);
        assert_eq!(
            detector.verdict(),
            Verdict::Suspected,
            "it goes on by the new time"
        );
    }
}

#[test]
fn hc8h_the_ends_of_time_make_no_odd_figures() {
    const ENDS: [u64; 6] = [0, u64::MAX, 0, 1, u64::MAX - 1, u64::MAX];
    for model in [Model::Normal, Model::Exponential, Model::Deadline] {
        let config = FailureDetectorConfig::default().model(model);
        let largest = config
            .window(100_000)
            .pause(Duration::MAX)
            .deadline(Duration::MAX);
        for config in [
            config.window(2),
            largest,
            config.min_deviation(Duration::MAX),
        ] {
            let mut machine = Machine::new(config);
            for heartbeat in ENDS {
                for asked in ENDS {
                    let phi = machine.phi(Instant::from_nanos(asked));
                    let is_number = phi >= 0.0 && (phi.is_finite() || model == Model::Deadline);
                    assert!(is_number, "{config:?}: {phi} at {asked}");
                }
                machine.heartbeat(Instant::from_nanos(heartbeat));
            }
            let mean = machine.mean();
            assert!(
                !mean.is_zero() && mean <= Duration::from_secs(20 * 3_600),
                "{mean:?}"
            );
        }
    }
}

/// Heartbeats that queued up somewhere come all at once.
#[test]
fn hc8b_a_burst_of_heartbeats_keeps_the_figures_and_convicts_nobody_later() {
    for model in [Model::Normal, Model::Exponential] {
        let config = FailureDetectorConfig::default().model(model).window(10);
        let (clock, detector) = beating(config, SECOND, 50);
        for _ in 0..100_000 {
            detector.heartbeat();
        }
        let phi = detector.phi();
        assert!(phi.is_finite() && phi < 8.0, "{phi}");
        assert_eq!(detector.verdict(), Verdict::Alive);
        assert_eq!(detector.snapshot().heartbeats, 100_050);
        // What it has learnt is that they come at once; a regular sender teaches it better.
        for _ in 0..50 {
            clock.advance(SECOND);
            assert_eq!(detector.verdict(), Verdict::Alive, "{model:?}");
            detector.heartbeat();
        }
        // None of its silences was suspicious, so all of them are learnt.
        assert_eq!(detector.snapshot().mean_interval, SECOND, "{model:?}");
    }
}

#[test]
fn hc8h_a_clock_far_ahead_and_back_leaves_a_detector_that_works() {
    for model in [Model::Normal, Model::Exponential, Model::Deadline] {
        let config = FailureDetectorConfig::default().model(model);
        let (clock, detector) = beating(config, SECOND, 50);
        clock.advance(YEARS);
        detector.heartbeat();
        clock.step_back(YEARS);
        // The last heartbeat is of a time to come: there is no silence yet.
        assert_eq!(detector.verdict(), Verdict::Alive);
        assert_eq!(detector.snapshot().silence, Some(Duration::ZERO));
        detector.heartbeat();
        assert_eq!(
            detector.snapshot().mean_interval,
            SECOND,
            "no jump is learnt"
        );
        clock.advance(Duration::from_secs(60));
        assert_eq!(detector.verdict(), Verdict::Suspected, "{model:?}");
    }
}

#[test]
fn hc8h_many_threads_beat_ask_and_reset() {
    let (clock, detector) = detector(FailureDetectorConfig::default().window(7));
    std::thread::scope(|scope| {
        for thread in 0..64_u32 {
            let (clock, detector) = (&clock, &detector);
            scope.spawn(move || {
                for n in 0..200 {
                    match (n + thread) % 8 {
                        0 => clock.advance(ms(700)),
                        1 => clock.step_back(ms(300)),
                        2 if n % 50 == 0 => detector.reset(),
                        3 => assert!(detector.phi() >= 0.0),
                        4 => {
                            let found = detector.snapshot();
                            assert!(found.phi.is_finite() && !found.mean_interval.is_zero());
                        }
                        _ => detector.heartbeat(),
                    }
                }
            });
        }
    });
    detector.reset();
    assert_eq!(detector.verdict(), Verdict::Unknown);
    // No heartbeat is lost where nobody resets.
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| (0..200).for_each(|_| detector.heartbeat()));
        }
    });
    assert_eq!(detector.snapshot().heartbeats, 64 * 200);
    assert_eq!(detector.verdict(), Verdict::Alive);
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let config = FailureDetectorConfig::default;
    for (config, field) in [
        (config().threshold(0.0), "threshold"),
        (config().threshold(f64::NAN), "threshold"),
        (config().threshold(f64::INFINITY), "threshold"),
        (config().window(1), "window"),
        (config().window(100_001), "window"),
        (config().min_deviation(Duration::ZERO), "min_deviation"),
        (config().first_estimate(Duration::ZERO), "first_estimate"),
        (config().first_estimate(YEARS), "first_estimate"),
        (config().deadline(Duration::ZERO), "deadline"),
    ] {
        assert_eq!(
            FailureDetector::new("x", config).unwrap_err().field(),
            field
        );
    }
    config().pause(Duration::ZERO).check().unwrap();
}

/// Keeps all intervals, and computes from them anew each time.
struct Naive {
    all: Vec<f64>,
    last: Option<u64>,
    window: usize,
}

impl Naive {
    fn figures(&self) -> (f64, f64) {
        let from = self.all.len().saturating_sub(self.window);
        let window: VecDeque<f64> = self.all[from..].iter().copied().collect();
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let count = window.len() as f64;
        let mean = window.iter().sum::<f64>() / count;
        let squares = window.iter().map(|interval| (interval - mean).powi(2));
        (mean, (squares.sum::<f64>() / count).sqrt())
    }

    fn phi(&self, now: u64, model: Model) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let silence = now.saturating_sub(last) as f64 / 1e9;
        let (mean, deviation) = self.figures();
        match model {
            // A tenth of the estimate at least, which is a second.
            Model::Exponential => silence / mean.max(0.1) / std::f64::consts::LN_10,
            _ => tail::exponent((silence - mean - 3.0) / deviation.max(0.1)),
        }
    }
}

proptest! {
    #[test]
    fn hc8a_hc8b_hc8d_hc8e_it_agrees_with_a_naive_model(
        steps in prop::collection::vec((0_u64..6_000_000_000, any::<bool>()), 1..200),
        window in 2_u32..20,
        exponential in any::<bool>(),
    ) {
        let model = if exponential { Model::Exponential } else { Model::Normal };
        let config = FailureDetectorConfig::default().window(window).model(model);
        let mut machine = Machine::new(config);
        let mut naive = Naive { all: vec![0.75, 1.25], last: None, window: window as usize };
        let mut now = 0;
        for (step, is_heartbeat) in steps {
            now += step;
            let at = Instant::from_nanos(now);
            let (phi, expected) = (machine.phi(at), naive.phi(now, model));
            prop_assert!((phi - expected).abs() <= 1e-6 * expected.max(1.0), "{} {}", phi, expected);
            // Too near to the threshold for two ways of rounding.
            if (expected - 8.0).abs() < 1e-4 {
                continue;
            }
            if is_heartbeat {
                machine.heartbeat(at);
                if let (Some(last), true) = (naive.last, expected < 8.0) {
                    #[expect(clippy::cast_precision_loss, reason = "small")]
                    naive.all.push((now - last).max(1) as f64 / 1e9);
                }
                naive.last = Some(now);
            }
        }
    }
}
