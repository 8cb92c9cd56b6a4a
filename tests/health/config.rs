//! Settings that cannot be.

use super::rig::{SECOND, reported, with_checks};
use backstop::health::check::{Check, CheckConfig, Level, RecoveryAction};
use backstop::health::tree::{Component, HealthTree, StatusOrder};
use backstop::kernel::backoff::Backoff;
use std::time::Duration;

#[track_caller]
fn refused(component: Component) -> String {
    let built = HealthTree::builder("root").component(component).build();
    built.expect_err("it is refused").to_string()
}

#[test]
fn bad_settings_are_named() {
    let with = |config| {
        refused(with_checks(
            "db",
            [Check::reported("x", Level::Critical).config(config)],
        ))
    };
    let config = CheckConfig::default();
    for (config, field) in [
        (config.period(Duration::ZERO), "check.period: 0s"),
        (config.timeout(Duration::ZERO), "check.timeout: 0ns"),
        (config.timeout(11 * SECOND), "check.timeout: 11s"),
        (config.failure_threshold(0), "check.failure_threshold: 0"),
        (config.success_threshold(0), "check.success_threshold: 0"),
    ] {
        let message = with(config);
        assert!(message.starts_with(field), "{message}");
    }
    let check = || reported("x", Level::Critical);
    let act = || RecoveryAction::new("x", || async { Ok::<_, std::io::Error>(()) });
    for (check, field) in [
        (
            check().on_error(Level::Degraded),
            "check.on_error: degraded",
        ),
        (
            check().recovery(act().timeout(Duration::ZERO)),
            "recovery.timeout: 0s",
        ),
        (
            check().recovery(act().backoff(Backoff::constant(Duration::ZERO))),
            "recovery.backoff.base: 0s",
        ),
    ] {
        let message = refused(with_checks("db", [check]));
        assert!(message.starts_with(field), "{message}");
    }
}

#[test]
fn names_are_unique() {
    assert!(refused(Component::new("root")).starts_with("component: \"root\""));
    let twice = ["x", "x"].map(|name| reported(name, Level::Critical));
    assert!(refused(with_checks("db", twice)).starts_with("check: \"x\""));
}

#[cfg(feature = "serde")]
#[test]
fn a_configuration_is_read_from_text() {
    let config: CheckConfig =
        toml::from_str("period = \"5s\"\nfailure_threshold = 2").expect("it is valid");
    assert_eq!(
        config,
        CheckConfig::default()
            .period(5 * SECOND)
            .failure_threshold(2)
    );
    // What was not set is not written, so that it goes on following what is.
    let written = toml::to_string(&config).expect("it can be written");
    assert!(
        !written.contains("timeout") && !written.contains("stale_after"),
        "{written}"
    );
    assert_eq!(toml::from_str(&written), Ok(config));
    let config = config.timeout(SECOND / 4).stale_after(60 * SECOND);
    let written = toml::to_string(&config).expect("it can be written");
    assert!(written.contains("timeout = \"250ms\""), "{written}");
    assert_eq!(toml::from_str(&written), Ok(config));
    let order =
        "[\"healthy\",\"starting\",\"degraded\",\"unknown\",\"unhealthy\",\"out_of_service\"]";
    let read: StatusOrder = serde_json::from_str(order).expect("it is valid");
    assert_eq!(
        serde_json::to_string(&read).expect("it can be written"),
        order
    );
    assert!(serde_json::from_str::<StatusOrder>(&order.replace("starting", "healthy")).is_err());
    let unknown = toml::from_str::<CheckConfig>("interval = \"5s\"");
    assert!(unknown.is_err_and(|error| error.to_string().contains("interval")));
}
