//! A check as its user describes it.

use super::action::RecoveryAction;
use super::config::CheckConfig;
use super::finding::{Finding, RunResult};
use super::run::{Work, asynchronous, blocking};
use super::status::{Level, Probe};
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// One check of a component: what is asked, what its failure means, and what is done then.
///
/// A [`Component`](crate::health::tree::Component) takes it.
pub struct Check {
    pub(crate) name: Name,
    pub(crate) level: Level,
    pub(crate) on_error: Level,
    pub(crate) probe: Probe,
    pub(crate) config: CheckConfig,
    pub(crate) action: Option<RecoveryAction>,
    /// None: others report to it.
    pub(crate) work: Option<Work<RunResult>>,
}

impl Check {
    /// A check that calls `ask` each period, each time in a task of its own.
    ///
    /// `Ok(())` is clean, `Ok(Finding::failed(..))` and an error are failures. A panic and a run that
    /// takes longer than the [`timeout`](CheckConfig::timeout) are errors too. What hangs is
    /// aborted; what blocks its thread cannot be, is not started again beside itself, and counts as
    /// a failure each period.
    ///
    /// A check that blocks belongs into [`blocking`](Self::blocking).
    pub fn new<F, R, E>(
        name: impl Into<Name>,
        level: Level,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Finding>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let ask = Arc::new(ask);
        let work = asynchronous(move || {
            let ask = ask.clone();
            async move { RunResult::of(ask().await) }
        });
        Self::with_work(name.into(), level, Some(work))
    }

    /// A check that blocks its thread; it runs on one of the runtime's blocking threads.
    pub fn blocking<R, E>(
        name: impl Into<Name>,
        level: Level,
        ask: impl Fn() -> Result<R, E> + Send + Sync + 'static,
    ) -> Self
    where
        R: Into<Finding>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let work = blocking(move || RunResult::of(ask()));
        Self::with_work(name.into(), level, Some(work))
    }

    /// A check that asks nothing: others report to it, by a
    /// [`Reporter`](crate::health::tree::Reporter).
    pub fn reported(name: impl Into<Name>, level: Level) -> Self {
        Self::with_work(name.into(), level, None)
    }

    /// A critical check that says whether the process must be restarted, with the settings of
    /// [`CheckConfig::liveness`].
    pub fn liveness<F, R, E>(
        name: impl Into<Name>,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Finding>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::new(name, Level::Critical, ask)
            .probe(Probe::Liveness)
            .config(CheckConfig::liveness())
    }

    pub(crate) fn with_work(name: Name, level: Level, work: Option<Work<RunResult>>) -> Self {
        Self {
            name,
            level,
            on_error: level,
            probe: Probe::Readiness,
            config: CheckConfig::default(),
            action: None,
            work,
        }
    }

    /// How often it runs and how many results decide.
    pub const fn config(mut self, config: CheckConfig) -> Self {
        self.config = config;
        self
    }

    /// What its answer is for. Default: [`Probe::Readiness`].
    pub const fn probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }

    /// What it means that the check could not be carried out: an error, a timeout, a panic. It is at
    /// least the level of the check. Default: that level.
    pub const fn on_error(mut self, level: Level) -> Self {
        self.on_error = level;
        self
    }

    /// What is done when it fails. Default: nothing.
    pub fn recovery(mut self, action: RecoveryAction) -> Self {
        self.action = Some(action);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.config
            .validate()
            .map_err(|refused| refused.within("check"))?;
        if self.on_error < self.level {
            let refused = ConfigError::new(
                "on_error",
                self.on_error,
                format!("at least the level of the check ({})", self.level),
            );
            return Err(refused.within("check"));
        }
        self.action
            .as_ref()
            .map_or(Ok(()), RecoveryAction::validate)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("level", &self.level)
            .field("on_error", &self.on_error)
            .field("probe", &self.probe)
            .field("config", &self.config)
            .field("action", &self.action)
            .field("is_reported", &self.work.is_none())
            .finish()
    }
}
