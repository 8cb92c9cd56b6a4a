//! What a retry traces.

use super::{SECOND, Seen, traced};
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::{Retry, RetryConfig};
use futures::FutureExt;
use std::future::ready;
use std::time::Duration;
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Without waits, and with one retry a second to give.
fn config() -> RetryConfig {
    RetryConfig::default()
        .max_attempts(2)
        .waits(|| std::iter::repeat(Duration::ZERO))
        .budget(BudgetConfig::token_bucket(SECOND, 1, 0.000_001))
}

fn fail(retry: &Retry) {
    let failed = retry.call(|_| ready(Err::<(), _>("down"))).now_or_never();
    assert!(failed.expect("it does not wait").is_err());
}

fn message(level: Level, seq: &str, text: &str) -> Seen {
    Seen::new(
        level,
        &[("message", text), ("name", "traced"), ("seq", seq)],
    )
}

#[test]
fn rt5e_an_empty_budget_is_traced_when_it_runs_empty_and_when_it_has_recovered() {
    let clock = Clock::manual();
    let retry = Retry::with_clock("traced", config(), &clock).unwrap();
    let seen = traced(LevelFilter::TRACE, || {
        (0..5).for_each(|_| fail(&retry));
        clock.advance(10 * SECOND);
        fail(&retry);
        (0..5).for_each(|_| fail(&retry));
    });
    let texts = [
        "retry budget is empty",
        "retry budget has recovered",
        "retry budget is empty",
    ];
    let expected = ["1", "2", "3"].into_iter().zip(texts);
    let expected: Vec<_> = expected
        .map(|(seq, text)| message(Level::INFO, seq, text))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(retry.totals().budget_empty, 9);
}

#[test]
fn rt9_that_it_cannot_wait_is_a_warning() {
    // A clock that needs a runtime, and none here.
    let config = RetryConfig::default();
    let retry = Retry::with_clock("traced", config, Clock::system()).unwrap();
    let seen = traced(LevelFilter::WARN, || (0..5).for_each(|_| fail(&retry)));
    assert_eq!(retry.totals().no_timer, 5);
    let text = "retry cannot wait: no tokio runtime with timers here";
    let warning = Seen::new(Level::WARN, &[("message", text), ("name", "traced")]);
    // At most once a second, however long these calls took.
    assert!(!seen.is_empty() && seen.len() <= 5, "{seen:?}");
    assert!(seen.iter().all(|told| *told == warning), "{seen:?}");
}

#[test]
fn changes_by_hand_are_traced() {
    let retry = Retry::with_clock("traced", config(), Clock::manual()).unwrap();
    let seen = traced(LevelFilter::INFO, || {
        drop(retry.isolate());
        retry.reset();
        retry.reconfigure(config()).unwrap();
    });
    let what: Vec<_> = seen
        .iter()
        .map(|seen| seen.fields["what"].as_str())
        .collect();
    let expected = ["Isolated(true)", "Isolated(false)", "Reset", "Reconfigured"];
    assert_eq!(what, expected);
}
