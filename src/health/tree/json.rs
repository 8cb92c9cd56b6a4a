//! Health as `health+json`.

use super::shared::Health;
use super::snapshot::{CheckSnapshot, ComponentSnapshot, HealthSnapshot};
use crate::health::check::{CheckState, Level, Status};
use serde::Serialize;
use std::collections::BTreeMap;

/// How much of a tree is shown.
///
/// Names tell how a system is built, and messages of errors may hold addresses and secrets: what
/// anybody can read should show neither.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The status alone.
    #[default]
    Status,
    /// The names and states of components and checks, and their ages and values.
    Names,
    /// Messages too.
    Full,
}

/// A health answer in the form `application/health+json`, to be written by serde.
///
/// The fields are those of the Internet-Draft *Health Check Response Format for HTTP APIs*
/// (draft-inadarei-api-health-check-06): `status` is `pass`, `warn` or `fail`; `checks` holds a list
/// for each `component:check`, and one for each component alone. What the three words cannot tell is
/// in `notes`.
///
/// ```
/// use backstop::health::check::{Check, Level};
/// use backstop::health::tree::{Component, Detail, HealthJson, HealthTree};
///
/// let tree = HealthTree::builder("shop")
///     .component(Component::new("db").check(Check::reported("ping", Level::Critical)))
///     .build()?;
/// tree.reporter("db", "ping").expect("it was just made").passed();
/// let json = HealthJson::new(&tree.snapshot(), Detail::Status).release_id("1.2.3");
/// assert_eq!(
///     serde_json::to_string(&json).unwrap(),
///     r#"{"status":"pass","releaseId":"1.2.3","notes":["healthy"]}"#
/// );
/// # Ok::<(), backstop::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthJson {
    status: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    notes: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    checks: BTreeMap<String, [Entry; 1]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Pass,
    Warn,
    Fail,
}

impl Word {
    const fn of(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Pass,
            Status::Degraded => Self::Warn,
            Status::Starting | Status::Unknown | Status::Unhealthy | Status::OutOfService => {
                Self::Fail
            }
        }
    }

    const fn of_check(check: &CheckSnapshot) -> Self {
        match (check.state, check.level) {
            (CheckState::Passing, _)
            | (CheckState::Starting | CheckState::Stale, Level::Maintenance) => Self::Pass,
            (CheckState::Failing(Level::Maintenance | Level::Degraded), _)
            | (CheckState::Stale, Level::Degraded) => Self::Warn,
            (CheckState::Failing(Level::Critical) | CheckState::Starting, _)
            | (CheckState::Stale, Level::Critical) => Self::Fail,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    component_type: &'static str,
    status: Word,
    notes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_unit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl HealthJson {
    /// The view of a tree, with so much detail.
    pub fn new(snapshot: &HealthSnapshot, detail: Detail) -> Self {
        let mut json = Self::of(snapshot.health());
        if detail >= Detail::Names {
            for component in snapshot.components() {
                json.put(component, detail);
            }
        }
        json
    }

    /// A status alone.
    pub(super) fn of(health: Health) -> Self {
        Self {
            status: Word::of(health.status),
            version: None,
            release_id: None,
            service_id: None,
            description: None,
            notes: notes(health),
            checks: BTreeMap::new(),
        }
    }

    /// An answer of one word.
    #[cfg(feature = "axum")]
    pub(super) const fn of_probe(says_yes: bool) -> Self {
        Self {
            status: if says_yes { Word::Pass } else { Word::Fail },
            version: None,
            release_id: None,
            service_id: None,
            description: None,
            notes: Vec::new(),
            checks: BTreeMap::new(),
        }
    }

    fn put(&mut self, component: &ComponentSnapshot, detail: Detail) {
        let entry = Entry {
            component_type: "component",
            status: Word::of(component.health.status),
            notes: notes(component.health),
            observed_value: None,
            observed_unit: None,
            time: None,
            output: None,
        };
        self.checks.insert(component.name.to_string(), [entry]);
        for check in &component.checks {
            let key = format!("{}:{}", component.name, check.name);
            self.checks.insert(key, [Entry::of(check, detail)]);
        }
    }

    /// The version of the service's API.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The version of its implementation.
    pub fn release_id(mut self, id: impl Into<String>) -> Self {
        self.release_id = Some(id.into());
        self
    }

    /// What tells it from other services.
    pub fn service_id(mut self, id: impl Into<String>) -> Self {
        self.service_id = Some(id.into());
        self
    }

    /// What it is, for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

fn notes(health: Health) -> Vec<&'static str> {
    let mut notes = vec![health.status.as_str()];
    if health.needs_attention {
        notes.push("needs attention");
    }
    if health.in_maintenance {
        notes.push("in maintenance");
    }
    notes
}

impl Entry {
    fn of(check: &CheckSnapshot, detail: Detail) -> Self {
        let result = check.result.as_ref();
        let observed = result.and_then(|result| result.observed.as_ref());
        let message = result.and_then(|result| result.message.as_deref());
        Self {
            component_type: check.probe.as_str(),
            status: Word::of_check(check),
            notes: vec![check.state.as_str(), check.level.as_str()],
            // JSON has no word for what is not finite.
            observed_value: observed
                .map(|it| it.value)
                .filter(|value| value.is_finite()),
            observed_unit: observed.map(|it| it.unit),
            time: result.map(|result| humantime::format_rfc3339_millis(result.wall).to_string()),
            output: message
                .filter(|_| detail >= Detail::Full)
                .map(ToOwned::to_owned),
        }
    }
}
