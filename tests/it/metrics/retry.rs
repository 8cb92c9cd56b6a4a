//! What is published of a retry.

use super::recorder::Sums;
use backstop::kernel::backoff::Backoff;
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::clock::Clock;
use backstop::observe::metrics::Exporter;
use backstop::policy::retry::{Hint, StopReason};
use backstop::{Retry, RetryConfig};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::time::Duration;

/// Without waits, and with ten retries to give.
fn config() -> RetryConfig {
    RetryConfig::default()
        .waits(|| std::iter::repeat(Duration::ZERO))
        .budget(BudgetConfig::token_bucket(
            Duration::from_secs(10),
            1,
            0.000_001,
        ))
}

fn retry(name: &'static str) -> Retry {
    Retry::with_clock(name, config(), Clock::manual()).unwrap()
}

/// Fails so many times and then succeeds.
fn call(retry: &Retry, failures: u32) {
    let call = retry.call(|attempt| {
        ready(if attempt.number > failures {
            Ok(())
        } else {
            Err(())
        })
    });
    let _ = call.now_or_never().expect("no waits");
}

fn published(exporter: &Exporter, sums: &Sums) -> BTreeMap<String, f64> {
    metrics::with_local_recorder(sums, || exporter.publish());
    let policies = ["policy_", "retry_"].map(|prefix| sums.all(prefix));
    policies.into_iter().flatten().collect()
}

#[test]
fn a_retrys_life_is_published_as_it_went() {
    let (sums, exporter) = (Sums::new(), Exporter::new());
    let retry = retry("life");
    exporter.add(&retry);
    exporter.add(&retry.clone());
    let first = published(&exporter, &sums);
    assert_eq!(first["retry_budget_balance{life}"], 10.0);
    assert!(
        first
            .iter()
            .all(|(name, value)| *value == 0.0 || name == "retry_budget_balance{life}")
    );

    for failures in [0, 0, 1, 2, 3] {
        call(&retry, failures);
    }
    drop(retry.call(|_| pending::<Result<(), ()>>()).now_or_never());
    let asked = |_: Result<&(), &()>| Hint::Stop;
    let _ = retry.call_with(asked, |_| ready(Err(()))).now_or_never();
    let isolation = retry.isolate();
    call(&retry, 0);
    drop(isolation);
    let values = published(&exporter, &sums);
    for (series, value) in [
        ("policy_calls_total{retry,life,success}", 4.0),
        ("policy_calls_total{retry,life,failure}", 2.0),
        ("policy_calls_total{retry,life,dropped}", 1.0),
        ("policy_rejections_total{retry,life,forced_open}", 1.0),
        ("retry_attempts_total{life,first}", 7.0),
        ("retry_attempts_total{life,retry}", 5.0),
        ("retry_stops_total{life,exhausted}", 1.0),
        ("retry_stops_total{life,hint_stop}", 1.0),
        ("retry_stops_total{life,budget_empty}", 0.0),
        ("retry_budget_balance{life}", 5.0),
    ] {
        assert_eq!(values[series], value, "{series}");
    }
    for reason in StopReason::ALL {
        assert!(values.contains_key(&format!("retry_stops_total{{life,{reason}}}")));
    }
    // Publishing twice counts once.
    assert_eq!(published(&exporter, &sums), values);

    for _ in 0..4 {
        call(&retry, 9);
    }
    drop(retry);
    let last = published(&exporter, &sums);
    assert_eq!(last["retry_attempts_total{life,first}"], 11.0);
    assert_eq!(last["retry_attempts_total{life,retry}"], 10.0);
    assert_eq!(last["retry_stops_total{life,budget_empty}"], 2.0);
    assert_eq!(last["policy_calls_total{retry,life,failure}"], 6.0);
    assert_eq!(last["retry_budget_balance{life}"], 0.0);
}

#[test]
fn without_a_budget_there_is_no_balance() {
    let (sums, exporter) = (Sums::new(), Exporter::new());
    let retry = retry("plain");
    let none = config().budget(BudgetConfig::none());
    retry
        .reconfigure(none.backoff(Backoff::constant(Duration::from_secs(1))))
        .unwrap();
    exporter.add(&retry);
    let values = published(&exporter, &sums);
    assert!(!values.contains_key("retry_budget_balance{plain}"));
    retry.reconfigure(config()).unwrap();
    let values = published(&exporter, &sums);
    assert_eq!(values["retry_budget_balance{plain}"], 10.0);
    retry
        .reconfigure(config().budget(BudgetConfig::none()))
        .unwrap();
    let values = published(&exporter, &sums);
    assert_eq!(values["retry_budget_balance{plain}"], 0.0);
}
