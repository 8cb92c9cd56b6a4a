//! A retry's configuration, read from TOML and JSON.

use crate::rig::{MS, SECOND};
use backstop::kernel::backoff::{Backoff, Jitter};
use backstop::kernel::budget::BudgetConfig;
use backstop::kernel::ratio::Ratio;
use backstop::{Retry, RetryConfig};

fn toml(text: &str) -> Result<RetryConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn full() -> RetryConfig {
    let jitter = Jitter::Proportional(Ratio::new(0.1).unwrap());
    RetryConfig::default()
        .max_attempts(7)
        .backoff(
            Backoff::exponential(50 * MS)
                .factor(1.5)
                .cap(5 * SECOND)
                .jitter(jitter),
        )
        .max_hint(30 * SECOND)
        .deadline(90 * SECOND)
        .budget(BudgetConfig::token_bucket(30 * SECOND, 3, 1.5))
        .seed(9)
}

#[test]
fn every_field_is_read_from_toml() {
    let read = toml(
        r#"
        max_attempts = 7
        backoff = { exponential = "50ms", factor = 1.5, cap = "5s", jitter = "10%" }
        max_hint = "30s"
        deadline = "1m 30s"
        budget = { ttl = "30s", min_per_second = 3, share = "150%" }
        seed = 9
        "#,
    );
    assert_eq!(read, Ok(full()));
    assert!(Retry::new("x", full()).is_ok());
    assert_eq!(toml(""), Ok(RetryConfig::default()));
}

#[test]
fn every_kind_of_budget_is_read() {
    for (text, budget) in [
        ("{}", BudgetConfig::default()),
        (
            "{ share = 0.5 }",
            BudgetConfig::token_bucket(10 * SECOND, 10, 0.5),
        ),
        (
            "{ ttl = \"5s\" }",
            BudgetConfig::token_bucket(5 * SECOND, 10, 0.2),
        ),
        (
            "{ share = \"200%\" }",
            BudgetConfig::token_bucket(10 * SECOND, 10, 2.0),
        ),
        ("{ in_flight = \"10%\" }", BudgetConfig::in_flight(0.1, 3)),
        (
            "{ in_flight = 0.1, at_least = 9 }",
            BudgetConfig::in_flight(0.1, 9),
        ),
        (
            "{ tokens = 100, ratio = 0.1 }",
            BudgetConfig::tokens(100, 0.1),
        ),
        ("\"none\"", BudgetConfig::none()),
    ] {
        let config = RetryConfig::default().budget(budget);
        assert_eq!(
            toml(&format!("budget = {text}")),
            Ok(config.clone()),
            "{text}"
        );
        let json = serde_json::to_string(&config).unwrap();
        let again: RetryConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(again, config, "{json}");
    }
}

#[test]
fn text_round_trips() {
    for config in [
        RetryConfig::default(),
        full(),
        full().backoff(Backoff::linear(MS)),
        full().backoff(Backoff::fibonacci(MS).jitter(Jitter::Decorrelated)),
    ] {
        let json = serde_json::to_string(&config).unwrap();
        let again: RetryConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(again, config, "{json}");
    }
}

#[test]
fn bad_text_names_line_column_and_what_is_allowed() {
    for (text, place, what) in [
        (
            "seed = 1\nmax_attempt = 3",
            "line 2",
            "unknown field `max_attempt`",
        ),
        ("max_attempts = -1", "line 1, column 16", "u32"),
        ("deadline = \"soon\"", "line 1, column 12", "not a duration"),
        (
            "backoff = { constant = \"1s\", linear = \"1s\" }",
            "line 1, column 11",
            "one of `constant`, `linear`, `exponential`",
        ),
        (
            "backoff = { constant = \"1s\", jitter = \"lots\" }",
            "line 1, column 39",
            "not a jitter",
        ),
        ("budget = \"some\"", "line 1, column 10", "or \"none\""),
        ("budget = 3", "line 1, column 10", "a budget such as"),
        (
            "budget = { share = \"x\" }",
            "line 1, column 20",
            "a share such as \"20%\" or \"150%\"",
        ),
        (
            "budget = { share = 20 }",
            "line 1, column 20",
            "a number from 0 to 1",
        ),
        (
            "budget = { in_flight = 1.5 }",
            "line 1, column 24",
            "a number from 0 to 1",
        ),
        (
            "budget = { ttl = \"10s\", tokens = 3, ratio = 1 }",
            "line 1",
            "or `tokens` with `ratio`",
        ),
        (
            "budget = { at_least = 3 }",
            "line 1",
            "`in_flight` with `at_least`",
        ),
        (
            "budget = { sharre = 3 }",
            "line 1",
            "unknown field `sharre`",
        ),
        ("waits = []", "line 1", "unknown field `waits`"),
    ] {
        let error = toml(text).unwrap_err();
        assert!(
            error.contains(place) && error.contains(what),
            "{text}: {error}"
        );
    }
}

#[test]
fn text_that_reads_well_and_cannot_be_is_refused_at_construction() {
    for (text, field) in [
        ("budget = { share = \"NaN%\" }", "budget.share"),
        ("budget = { share = \"-5%\" }", "budget.share"),
        ("budget = { ttl = \"2m\" }", "budget.ttl"),
        ("max_attempts = 0", "max_attempts"),
        ("backoff = { exponential = \"0s\" }", "backoff.base"),
    ] {
        let refused = Retry::new("x", toml(text).unwrap()).unwrap_err();
        assert_eq!(refused.field(), field, "{text}");
    }
}
