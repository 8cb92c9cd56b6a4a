//! The rules of budgets and waits, and the window beside a naive one.

use super::config::never_exhausts;
use super::*;
use crate::kernel::config::ConfigError;
use crate::kernel::instant::Instant;
use crate::kernel::rng::Rolls;
use proptest::prelude::*;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn at(time: Duration) -> Instant {
    // Far from 0, as a clock's readings are; and a whole millisecond.
    Instant::from_nanos(1_000_000 << 40) + time
}

fn window(restarts: u32, within: Duration) -> Window {
    let budget = RestartBudget::new(restarts, within);
    budget.validate().unwrap();
    Window::new(budget)
}

fn steady(wait: Duration) -> RestartBackoff {
    RestartBackoff::exponential(wait, 1.0, wait).jitter(0.0)
}

fn field(checked: Result<(), ConfigError>) -> &'static str {
    checked.unwrap_err().field()
}

#[test]
fn sv4a_the_restart_after_the_last_of_n_is_refused_until_the_first_is_a_period_ago() {
    let mut window = window(2, 10 * SECOND);
    assert!(window.charge(at(SECOND)) && window.charge(at(4 * SECOND)));
    assert!(!window.charge(at(11 * SECOND - MS)));
    // `(t - P, t]`: what is exactly a period ago is out.
    assert_eq!(window.used(at(11 * SECOND - MS)), 2);
    assert_eq!(window.used(at(11 * SECOND)), 1);
    assert!(window.charge(at(11 * SECOND)));
    assert!(!window.charge(at(14 * SECOND - MS)));
    assert!(window.charge(at(14 * SECOND)));
}

#[test]
fn sv4b_it_neither_tumbles_nor_clears_after_a_gap() {
    let mut sliding = window(3, 10 * SECOND);
    // A tumbling window of 10 s would begin anew at 10 s, and grant these.
    for second in [8, 9, 9] {
        assert!(sliding.charge(at(second * SECOND)));
    }
    assert!(!sliding.charge(at(11 * SECOND)));
    // A window that clears after a gap would forget the first two.
    let mut gapped = window(3, 10 * SECOND);
    for second in [0, 0, 9] {
        assert!(gapped.charge(at(second * SECOND)));
    }
    assert!(!gapped.charge(at(9 * SECOND + 999 * MS)));
}

#[test]
fn sv4c_times_are_whole_milliseconds() {
    let nanos = Duration::from_nanos(1);
    let mut window = window(1, SECOND);
    assert!(window.charge(at(MS - nanos)));
    // Less than a second later, and yet in the millisecond that is one second later.
    assert!(!window.charge(at(SECOND - nanos)));
    assert!(window.charge(at(SECOND)));
}

#[test]
fn sv4d_a_budget_of_0_refuses_the_first() {
    let mut window = window(0, SECOND);
    for _ in 0..3 {
        assert!(!window.charge(at(SECOND)));
    }
    assert_eq!((window.used(at(SECOND)), window.len()), (0, 0));
}

#[test]
fn sv4e_the_default_is_8_within_60_s() {
    let default = RestartBudget::default();
    assert_eq!((default.restarts(), default.within()), (8, 60 * SECOND));
    assert_eq!(default.check_with(&RestartBackoff::default()), Ok(()));
    assert_eq!(default.to_string(), "8 restarts within 60s");
}

#[test]
fn sv4f_what_a_clock_that_stepped_back_granted_later_counts_as_granted_now() {
    let mut window = window(2, 10 * SECOND);
    assert!(window.charge(at(3_600 * SECOND)) && window.charge(at(3_601 * SECOND)));
    // An hour back: both still count, and none outlasts a period from here.
    assert_eq!(window.used(at(SECOND)), 2);
    assert!(!window.charge(at(SECOND)));
    assert_eq!(window.used(at(11 * SECOND - MS)), 2);
    assert_eq!(window.used(at(11 * SECOND)), 0);
    // What was dropped stays dropped.
    assert!(window.charge(at(11 * SECOND)));
    assert_eq!((window.used(at(2 * SECOND)), window.len()), (1, 1));
}

#[test]
fn sv4g_budgets_out_of_range_are_refused_by_name() {
    let checked = |restarts, within| RestartBudget::new(restarts, within).validate();
    for within in [
        Duration::ZERO,
        MS / 2,
        SECOND + MS / 2,
        24 * 3_600 * SECOND + MS,
        Duration::MAX,
    ] {
        assert_eq!(field(checked(1, within)), "budget.within", "{within:?}");
    }
    for within in [MS, 24 * 3_600 * SECOND] {
        assert_eq!(checked(100_000, within), Ok(()));
    }
    assert_eq!(field(checked(100_001, SECOND)), "budget.restarts");
}

/// All that was granted, and all of it looked at each time.
#[derive(Default)]
struct Naive {
    granted: Vec<u64>,
}

impl Naive {
    fn used(&self, n: u32, period: u64, now: u64) -> (u32, bool) {
        let counted = self
            .granted
            .iter()
            .filter(|at| **at <= now && **at + period > now)
            .count();
        let counted = u32::try_from(counted).unwrap();
        (counted, counted < n)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn sv4a_sv4b_sv4c_sv4d_any_restarts_agree_with_a_naive_window(
        n in 0..6_u32,
        period in 1..40_u64,
        // In tenths of a millisecond.
        pauses in prop::collection::vec(0..150_u64, 1..200),
    ) {
        let mut window = window(n, Duration::from_millis(period));
        let mut naive = Naive::default();
        let mut tenths = 0;
        for pause in pauses {
            tenths += pause;
            let now = at(Duration::from_micros(100 * tenths));
            let millis = now.as_nanos() / 1_000_000;
            let (used, is_granted) = naive.used(n, period, millis);
            prop_assert_eq!(window.used(now), used);
            prop_assert_eq!(window.charge(now), is_granted);
            if is_granted {
                naive.granted.push(millis);
            }
            prop_assert!(window.len() <= n as usize);
        }
    }

    #[test]
    fn sv4f_any_clock_at_all_leaves_it_bounded_and_lets_it_recover(
        n in 1..6_u32,
        times in prop::collection::vec(any::<u64>(), 1..50),
        last in any::<u64>(),
    ) {
        let period = 10 * MS;
        let mut window = window(n, period);
        let mut granted_at_once = 0;
        for time in times {
            let now = Instant::from_nanos(time);
            let used = window.used(now);
            let is_granted = window.charge(now);
            prop_assert_eq!(is_granted, used < n);
            prop_assert!(window.len() <= n as usize);
        }
        // Whatever came before: at one time there are never more than n, and a period later n again.
        let last = Instant::from_nanos(last);
        for _ in 0..10 {
            granted_at_once += u32::from(window.charge(last));
        }
        prop_assert!(granted_at_once <= n);
        let later = last + period;
        if later.as_nanos() < u64::MAX {
            for _ in 0..n {
                prop_assert!(window.charge(later));
            }
            prop_assert!(!window.charge(later));
        }
    }

    #[test]
    fn sv5e_what_is_refused_may_never_be_exhausted_and_what_is_not_always_is(
        restarts in 0..12_u32,
        within in 1..3_000_u64,
        base in 1..100_u64,
        factor in 1.0..3.0_f64,
        jitter in prop::sample::select(vec![0.0, 0.1, 0.5, 1.0]),
        seed in any::<u64>(),
        offset in 0..1_000_000_u64,
    ) {
        let budget = RestartBudget::new(restarts, Duration::from_millis(within));
        let backoff = RestartBackoff::exponential(Duration::from_millis(base), factor, SECOND)
            .jitter(jitter);
        let is_exhausted = |rolls: &mut Rolls| {
            let mut window = Window::new(budget);
            let mut streak = Streak::default();
            let mut now = at(Duration::from_nanos(offset));
            for _ in 0..200 {
                if !window.charge(now) {
                    return true;
                }
                now = now + streak.fail(Duration::ZERO, &backoff, rolls);
            }
            false
        };
        let worst = &mut Rolls::script([1.0]);
        if never_exhausts(&budget, &backoff) {
            prop_assert!(budget.check_with(&backoff).is_err());
            // Within 2 ms it depends on where a millisecond begins.
            let longer = RestartBudget::new(restarts, budget.within() + 2 * MS);
            if never_exhausts(&longer, &backoff) {
                prop_assert!(!is_exhausted(worst));
            }
        } else {
            prop_assert!(is_exhausted(worst));
            prop_assert!(is_exhausted(&mut Rolls::seeded(seed)));
        }
    }
}

fn millis(backoff: &RestartBackoff, rolls: impl IntoIterator<Item = f64>) -> Vec<u128> {
    let mut rolls = Rolls::script(rolls);
    (1..=7)
        .map(|n| backoff.delay(n, &mut rolls).as_millis())
        .collect()
}

#[test]
fn sv5a_waits_double_up_to_the_cap() {
    let default = RestartBackoff::default().jitter(0.0);
    assert_eq!(
        millis(&default, []),
        [100, 200, 400, 800, 1_600, 3_200, 6_400]
    );
    assert_eq!(default.delay(9, &mut Rolls::script([])), 25_600 * MS);
    for n in [10, 11, 1_000, u32::MAX] {
        assert_eq!(default.delay(n, &mut Rolls::script([])), 30 * SECOND);
    }
    assert_eq!(millis(&RestartBackoff::none(), [0.9]), [0; 7]);
}

#[test]
fn sv5b_a_geometric_one_reaches_its_maximum_in_k_steps() {
    let geometric = RestartBackoff::geometric(100 * MS, 3_200 * MS, 5).jitter(0.0);
    assert_eq!(
        millis(&geometric, []),
        [100, 200, 400, 800, 1_600, 3_200, 3_200]
    );
    let one = RestartBackoff::geometric(100 * MS, SECOND, 1).jitter(0.0);
    assert_eq!(millis(&one, [])[..3], [100, 1_000, 1_000]);
    assert_eq!(one.delay(u32::MAX, &mut Rolls::script([])), SECOND);
}

#[test]
fn sv5c_jitter_only_lengthens() {
    let backoff = steady(SECOND).jitter(0.5);
    assert_eq!(
        millis(&backoff, [0.0, 0.5, 1.0]),
        [1_000, 1_250, 1_500, 1_000, 1_250, 1_500, 1_000]
    );
    // Of a wait at the cap as well.
    let capped = RestartBackoff::default().jitter(1.0);
    assert_eq!(capped.delay(99, &mut Rolls::script([0.5])), 45 * SECOND);
}

#[test]
fn sv5d_a_stable_run_starts_the_count_again_and_a_shorter_one_does_not() {
    let backoff = RestartBackoff::exponential(SECOND, 10.0, 1_000 * SECOND).jitter(0.0);
    let mut rolls = Rolls::script([]);
    let mut streak = Streak::default();
    let mut fail = |ran_for| {
        let wait = streak.fail(ran_for, &backoff, &mut rolls).as_secs();
        (wait, streak.failures())
    };
    assert_eq!(fail(3_600 * SECOND), (1, 1));
    assert_eq!(fail(Duration::ZERO), (10, 2));
    assert_eq!(fail(60 * SECOND - MS), (100, 3));
    // Twice the wait of 100 s is longer than 60 s.
    assert_eq!(fail(200 * SECOND - MS), (1_000, 4));
    assert_eq!(fail(2_000 * SECOND), (1, 1));
    assert_eq!(fail(60 * SECOND), (1, 1));
    assert_eq!(fail(Duration::ZERO), (10, 2));
}

#[test]
fn sv5e_a_budget_out_of_reach_is_refused() {
    let budget = RestartBudget::new(8, 60 * SECOND);
    assert!(never_exhausts(&budget, &steady(10 * SECOND)));
    assert!(!never_exhausts(&budget, &steady(7 * SECOND)));
    // 8 waits of 7.5 s take as long as the window, and what is a period ago is out of it.
    assert!(never_exhausts(&budget, &steady(7_500 * MS)));
    // With the dice, 7 s may be 7.7 s.
    assert!(never_exhausts(&budget, &steady(7 * SECOND).jitter(0.1)));
    assert!(!never_exhausts(&budget, &RestartBackoff::none()));
    assert!(!never_exhausts(&RestartBudget::new(0, MS), &steady(SECOND)));
    let refused = budget.check_with(&steady(10 * SECOND)).unwrap_err();
    assert_eq!(refused.field(), "budget");
    assert!(
        refused.to_string().contains("first 8 waits take up to 80s"),
        "{refused}"
    );
}

#[test]
fn sv5f_values_out_of_range_are_refused_by_name() {
    let exponential = RestartBackoff::exponential;
    for (backoff, name) in [
        (exponential(Duration::ZERO, 2.0, SECOND), "backoff.base"),
        (exponential(2 * SECOND, 2.0, SECOND), "backoff.cap"),
        (exponential(SECOND, 2.0, Duration::MAX), "backoff.cap"),
        (exponential(SECOND, 0.5, SECOND), "backoff.factor"),
        (exponential(SECOND, f64::NAN, SECOND), "backoff.factor"),
        (steady(SECOND).jitter(1.1), "backoff.jitter"),
        (steady(SECOND).jitter(f64::NAN), "backoff.jitter"),
        (RestartBackoff::geometric(SECOND, MS, 1), "backoff.max"),
        (
            RestartBackoff::geometric(Duration::ZERO, MS, 1),
            "backoff.base",
        ),
        (RestartBackoff::geometric(MS, SECOND, 0), "backoff.steps"),
        (
            RestartBackoff::geometric(MS, SECOND, 1_001),
            "backoff.steps",
        ),
    ] {
        assert_eq!(field(backoff.validate()), name, "{backoff:?}");
        assert_eq!(field(RestartBudget::default().check_with(&backoff)), name);
    }
    // The largest there are: everything saturates.
    let budget = RestartBudget::new(100_000, 24 * 3_600 * SECOND);
    assert!(never_exhausts(
        &budget,
        &exponential(SECOND, 1e6, 24 * 3_600 * SECOND)
    ));
    let odd = exponential(Duration::MAX, 1e6, Duration::MAX).jitter(1.0);
    assert_eq!(
        odd.delay(u32::MAX, &mut Rolls::script([1.0])),
        Duration::MAX
    );
    assert_eq!(odd.stable_after(Duration::MAX), Duration::MAX);
}

#[cfg(feature = "serde")]
#[test]
fn sv5f_text_round_trips_and_refuses_what_it_does_not_know() {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        text: &str,
        value: &T,
    ) {
        let read: T = serde_json::from_str(text).unwrap();
        assert_eq!(&read, value, "{text}");
        let written = serde_json::to_string(value).unwrap();
        assert_eq!(
            &serde_json::from_str::<T>(&written).unwrap(),
            value,
            "{written}"
        );
    }
    same(
        r#"{"restarts":3,"within":"5s"}"#,
        &RestartBudget::new(3, 5 * SECOND),
    );
    same("{}", &RestartBudget::default());
    same(r#""off""#, &RestartBackoff::none());
    same(r#"{"exponential":"100ms"}"#, &RestartBackoff::default());
    same(
        r#"{"exponential":"1m","factor":1.5,"jitter":"0%"}"#,
        &RestartBackoff::exponential(60 * SECOND, 1.5, 60 * SECOND).jitter(0.0),
    );
    same(
        r#"{"geometric":"1s","max":"1m","steps":4}"#,
        &RestartBackoff::geometric(SECOND, 60 * SECOND, 4),
    );
    same(
        r#"{"half_life":"1m","threshold":2.5}"#,
        &Pausing::default().half_life(60 * SECOND).threshold(2.5),
    );
    for text in [
        "{}",
        r#"{"exponential":"1s","geometric":"1s"}"#,
        r#"{"exponential":"1s","steps":3}"#,
        r#"{"geometric":"1s","max":"2s"}"#,
        r#"{"geometric":"1s","max":"2s","steps":3,"factor":2.0}"#,
        r#"{"exponential":"1s","max_wait":"1s"}"#,
        r#"{"exponential":"1s","jitter":"101%"}"#,
        r#""on""#,
    ] {
        assert!(
            serde_json::from_str::<RestartBackoff>(text).is_err(),
            "{text}"
        );
    }
    assert!(serde_json::from_str::<RestartBudget>(r#"{"restart":3}"#).is_err());
    assert!(serde_json::from_str::<Pausing>(r#"{"pauses":"3s"}"#).is_err());
}

#[test]
fn sv12m_each_failure_adds_1_and_each_half_life_halves() {
    let mut score = Score::new(Pausing::default());
    let near = |value: f64, of: f64| (value - of).abs() < 1e-9;
    assert!(near(score.value(at(SECOND)), 0.0));
    assert!(score.fail(at(SECOND)));
    assert!(near(score.value(at(SECOND)), 1.0));
    assert!(near(score.value(at(31 * SECOND)), 0.5));
    assert!(score.fail(at(31 * SECOND)));
    assert!(near(score.value(at(91 * SECOND)), 0.375));
    score.clear();
    // Five at once are at the threshold and not above it.
    for _ in 0..5 {
        assert!(score.fail(at(100 * SECOND)));
    }
    assert!(!score.fail(at(100 * SECOND)));
    // A steady crash asks for a pause if it comes more often than every 9.66 s.
    for (every, pauses) in [(9_600 * MS, true), (9_700 * MS, false)] {
        let mut score = Score::new(Pausing::default());
        let paused = (0..1_000).any(|n| !score.fail(at(n * every)));
        assert_eq!(paused, pauses, "{every:?}");
    }
}

#[test]
fn sv12n_a_pause_is_up_to_half_as_long_again_and_clears_the_score() {
    let pausing = Pausing::default();
    let mut rolls = Rolls::script([0.0, 0.5, 1.0]);
    assert_eq!(pausing.length(&mut rolls), 15 * SECOND);
    assert_eq!(pausing.length(&mut rolls), 18_750 * MS);
    let longest = pausing.length(&mut rolls);
    assert!(longest <= 22_500 * MS && longest > 22_499 * MS);
    let mut score = Score::new(pausing.threshold(1.0));
    assert!(score.fail(at(SECOND)) && !score.fail(at(SECOND)));
    score.clear();
    assert!(score.fail(at(SECOND)));
    assert_eq!(score.pausing(), &pausing.threshold(1.0));
    for (pausing, name) in [
        (pausing.threshold(0.5), "pausing.threshold"),
        (pausing.threshold(f64::NAN), "pausing.threshold"),
        (pausing.half_life(Duration::ZERO), "pausing.half_life"),
        (pausing.pause(Duration::MAX), "pausing.pause"),
    ] {
        assert_eq!(field(pausing.validate()), name);
    }
    assert_eq!(pausing.validate(), Ok(()));
}

#[test]
fn sv12o_a_clock_that_steps_back_leaves_a_score_as_it_is() {
    let mut score = Score::new(Pausing::default());
    assert!(score.fail(at(3_600 * SECOND)) && score.fail(at(3_600 * SECOND)));
    assert!((score.value(at(SECOND)) - 2.0).abs() < 1e-9);
    assert!(score.fail(at(SECOND)));
    assert!((score.value(at(SECOND)) - 3.0).abs() < 1e-9);
    assert!((score.value(at(31 * SECOND)) - 1.5).abs() < 1e-9);
}
