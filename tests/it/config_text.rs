//! Configuration read from TOML and JSON.

use crate::rig::SECOND;
use backstop::policy::circuit_breaker::{DroppedCalls, ProbeDecision, Window};
use backstop::{CircuitBreaker, CircuitBreakerConfig, Timeout, TimeoutConfig};
use std::time::Duration;

fn toml(text: &str) -> Result<CircuitBreakerConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn full() -> CircuitBreakerConfig {
    CircuitBreakerConfig::default()
        .window(Window::time(10 * SECOND, 20))
        .consecutive_failures(7)
        .failure_rate(0.3)
        .slow_calls(2 * SECOND, 0.8)
        .minimum_calls(5)
        .failures_only(true)
        .open_wait(2 * SECOND, 3.0, 90 * SECOND)
        .open_wait_jitter(0.2)
        .max_hint(30 * SECOND)
        .probes(3)
        .probe_decision(ProbeDecision::All)
        .probe_max_wait(Duration::from_millis(1500))
        .half_open_limit(300 * SECOND)
        .dropped_calls(DroppedCalls::FailureIfSlow)
        .auto_half_open(true)
        .totals(false)
        .durations(true)
        .seed(9)
}

#[test]
fn every_field_is_read_from_toml() {
    let read = toml(
        r#"
        window = { time = "10s", buckets = 20 }
        consecutive_failures = 7
        failure_rate = "30%"
        slow_call_limit = "2s"
        slow_call_rate = 0.8
        minimum_calls = 5
        failures_only = true
        open_wait = { base = "2s", factor = 3.0, cap = "1m 30s", jitter = "20%" }
        max_hint = "30s"
        probes = 3
        probe_decision = "all"
        probe_max_wait = "1500ms"
        half_open_limit = "5m"
        dropped_calls = "failure_if_slow"
        auto_half_open = true
        totals = false
        durations = true
        seed = 9
        "#,
    );
    assert_eq!(read, Ok(full()));
    assert!(CircuitBreaker::new("x", full()).is_ok());
}

#[test]
fn text_round_trips_in_both_languages() {
    let configs = [
        CircuitBreakerConfig::default(),
        full(),
        CircuitBreakerConfig::consecutive(5),
        CircuitBreakerConfig::default().without_failure_rate(),
    ];
    for config in configs {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<CircuitBreakerConfig>(&json).unwrap(),
            config,
            "{json}"
        );
    }
    assert_eq!(toml(""), Ok(CircuitBreakerConfig::default()));
    let none = r#"
        window = {}
        consecutive_failures = 5
        failure_rate = "off"
    "#;
    let expected = CircuitBreakerConfig::default()
        .window(Window::none())
        .consecutive_failures(5)
        .without_failure_rate();
    assert_eq!(toml(none), Ok(expected));
    assert_eq!(
        toml("window = { time = \"10s\" }").unwrap(),
        toml("window = { time = \"10s\", buckets = 10 }").unwrap()
    );
}

#[test]
fn bad_text_names_line_column_and_what_is_allowed() {
    let cases = [
        (
            "probes = 3\nfailure_rat = \"50%\"",
            "line 2",
            "unknown field `failure_rat`",
        ),
        (
            "failure_rate = \"150%\"",
            "line 1, column 16",
            "from \"0%\" to \"100%\"",
        ),
        ("failure_rate = 1.5", "line 1, column 16", "from 0 to 1"),
        ("failure_rate = nan", "line 1, column 16", "from 0 to 1"),
        (
            "\n\nmax_hint = \"soon\"",
            "line 3, column 12",
            "not a duration such as \"30s\"",
        ),
        ("max_hint = 30", "line 1, column 12", "expected a string"),
        (
            "window = { count = 10, time = \"1s\" }",
            "line 1, column 10",
            "either `count`, or `time`",
        ),
        (
            "window = { size = 10 }",
            "line 1, column 12",
            "unknown field `size`",
        ),
        (
            "probe_decision = \"late\"",
            "line 1, column 18",
            "`early` or `all`",
        ),
        (
            "open_wait = { bas = \"1s\" }",
            "line 1, column 15",
            "unknown field `bas`",
        ),
        ("probes = -1", "line 1, column 10", "u32"),
        ("minimum_calls = 99999999999", "line 1, column 17", "u32"),
    ];
    for (text, place, what) in cases {
        let error = toml(text).unwrap_err();
        assert!(
            error.contains(place) && error.contains(what),
            "{text}: {error}"
        );
    }
    let json = serde_json::from_str::<CircuitBreakerConfig>("{\n \"probes\": 3,\n \"prob\": 1}");
    let error = json.unwrap_err().to_string();
    assert!(
        error.contains("unknown field `prob`") && error.contains("line 3 column 7"),
        "{error}"
    );
    let json = serde_json::from_str::<CircuitBreakerConfig>(r#"{"failure_rate": "x%"}"#);
    let error = json.unwrap_err().to_string();
    assert!(error.contains("line 1 column"), "{error}");
}

#[test]
fn text_that_reads_well_and_cannot_be_is_refused_at_construction() {
    let config = toml("window = { count = 10 }\nminimum_calls = 11").unwrap();
    let refused = CircuitBreaker::new("x", config).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "minimum_calls: 11 is not allowed; it must be at most the size of the window (10)"
    );
}

#[test]
fn a_timeout_is_read_from_text_and_written_back() {
    let read =
        |text: &str| toml::from_str::<TimeoutConfig>(text).map_err(|error| error.to_string());
    for (text, config) in [
        ("limit = \"2s\"", TimeoutConfig::new(2 * SECOND)),
        ("limit = \"1m 30s\"", TimeoutConfig::new(90 * SECOND)),
        ("limit = \"none\"", TimeoutConfig::none()),
        ("", TimeoutConfig::default()),
    ] {
        assert_eq!(read(text), Ok(config), "{text}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<TimeoutConfig>(&json).unwrap(),
            config
        );
    }
    for (text, what) in [
        ("limit = \"soon\"", "not a duration such as \"30s\""),
        ("limit = \"None\"", "not a duration"),
        ("limit = 2", "expected a string"),
        ("limt = \"2s\"", "unknown field `limt`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(what) && error.contains("line 1"), "{error}");
    }
    let zero = read("limit = \"0s\"").unwrap();
    assert_eq!(
        Timeout::new("x", zero).unwrap_err().to_string(),
        "limit: 0s is not allowed; it must be above 0s; `none` is no limit"
    );
}
