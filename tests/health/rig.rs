//! Short words for what the tests of the wing do.

use backstop::health::check::{Check, CheckConfig, CheckState, Level, Status};
use backstop::health::tree::{Component, HealthTree, HealthTreeBuilder, Reporter};
use backstop::kernel::clock::{Clock, ManualClock};
use std::time::Duration;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A check that others report to, with a period of 10 s and whose every report decides.
pub(crate) fn reported(name: &'static str, level: Level) -> Check {
    Check::reported(name, level).config(CheckConfig::default().failure_threshold(1))
}

/// A tree `shop` with a component `db` with these checks, on a manual clock.
pub(crate) fn shop(checks: impl IntoIterator<Item = Check>) -> (HealthTree, ManualClock) {
    let clock = Clock::manual();
    let builder = HealthTree::builder("shop").component(with_checks("db", checks));
    (build(builder.clock(&clock)), clock)
}

pub(crate) fn with_checks(
    name: &'static str,
    checks: impl IntoIterator<Item = Check>,
) -> Component {
    checks
        .into_iter()
        .fold(Component::new(name), Component::check)
}

#[track_caller]
pub(crate) fn build(builder: HealthTreeBuilder) -> HealthTree {
    builder.build().expect("a valid tree")
}

#[track_caller]
pub(crate) fn reporter(tree: &HealthTree, component: &str, check: &str) -> Reporter {
    tree.reporter(component, check).expect("it is there")
}

#[track_caller]
pub(crate) fn status(tree: &HealthTree, component: &str) -> Status {
    tree.component(component).expect("it is there").status()
}

/// The state of the check `db:name`, and its message.
#[track_caller]
pub(crate) fn check(tree: &HealthTree, name: &str) -> (CheckState, String) {
    let snapshot = tree.snapshot();
    let db = snapshot.component("db").expect("it is there");
    let check = db.checks.iter().find(|check| check.name.as_str() == name);
    let check = check.expect("it is there");
    let message = check.result.as_ref().and_then(|it| it.message.as_deref());
    (check.state, message.unwrap_or_default().to_owned())
}
