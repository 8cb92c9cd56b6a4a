//! The handle that users hold.

use super::call::Call;
use super::config::TimeoutConfig;
use super::deadline::Deadline;
use super::machine::{Machine, POLICY};
use super::totals::{LastWords, Totals};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, PolicyError};
use crate::kernel::shared::{Shared, WeakShared};
use std::any::Any;
use std::fmt;
use std::future::Future;

/// A timeout: ends calls that are pending for too long.
///
/// See the [room](super) for what it measures. Clones share the limit and the counters; a clone made
/// from a `&'static` one copies a pointer instead of counting references.
#[derive(Clone)]
pub struct Timeout(Shared<Machine>);

impl Timeout {
    /// A timeout on the default clock.
    ///
    /// # Errors
    ///
    /// A limit of zero.
    pub fn new(
        name: impl Into<Name>,
        config: impl Into<TimeoutConfig>,
    ) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: impl Into<TimeoutConfig>,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        let machine = Machine::new(name.into(), config.into(), clock.into())?;
        Ok(Self(Shared::new(machine)))
    }

    /// One without a limit, on the default clock, until it is [reconfigured](Self::reconfigure).
    pub fn none(name: impl Into<Name>) -> Self {
        let machine = Machine::unlimited(name.into(), Clock::default());
        Self(Shared::new(machine))
    }

    /// Makes a call that ends when it has been pending for longer than the limit.
    ///
    /// `operation` runs when the future is first polled. The time counts from the end of that poll
    /// on: a call that is ready by then reads no clock and makes no timer. The future allocates
    /// nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use backstop::{Error, Timeout};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), backstop::ConfigError> {
    /// let timeout = Timeout::new("payments", Duration::from_millis(20))?;
    /// let never = || std::future::pending::<Result<(), std::io::Error>>();
    /// let Err(Error::Rejected(rejection)) = timeout.call(never).await else { panic!() };
    /// assert_eq!(rejection.to_string(), "timeout `payments` timed out: the limit is 20ms");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] with the call's own error; [`Error::Rejected`]
    ///
    /// * of the kind [`TimedOut`](crate::kernel::rejection::RejectionKind::TimedOut) if the call was
    ///   ended: it was dropped by then, and nobody knows how far it got;
    /// * of the kind [`NoRuntime`](crate::kernel::rejection::RejectionKind::NoRuntime) if the call
    ///   was pending and the clock has no timers here: it was dropped, because a call without its
    ///   timeout is what nobody asked for;
    /// * of the kind [`ForcedOpen`](crate::kernel::rejection::RejectionKind::ForcedOpen) if the
    ///   timeout is isolated: the call was not made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the call. That is no timeout, and counts nowhere as one.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, Wrapped)
    }

    /// Makes a call whose error can hold rejections itself, as inside another policy's call.
    /// Otherwise as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call), in the call's own error type.
    #[inline]
    pub fn call_in<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        E: PolicyError,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, AsIs)
    }

    /// The time by which a blocking call that begins now has to be through.
    ///
    /// Blocking code cannot be interrupted, so it has to look at this by itself; it needs no
    /// runtime. If the timeout is isolated now, the deadline is over, and its
    /// [`check`](Deadline::check) says why.
    pub fn deadline(&self) -> Deadline {
        Deadline::new(self.0.clone())
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// What was counted since the timeout was made.
    pub fn totals(&self) -> Totals {
        self.0.read_totals()
    }

    /// Rejects every call until this guard, and every other one, is dropped. Calls under way go on.
    pub fn isolate(&self) -> Isolation {
        self.0.isolate();
        let shared = self.0.clone();
        Isolation::new(move || shared.release())
    }

    /// Takes a new limit: for calls whose time begins to count from now on. Calls whose time counts
    /// already, and deadlines that were handed out, keep theirs.
    ///
    /// # Errors
    ///
    /// A limit of zero; the old one stays.
    pub fn reconfigure(&self, config: impl Into<TimeoutConfig>) -> Result<(), ConfigError> {
        self.0.reconfigure(config.into())
    }

    /// The configuration in force.
    pub fn config(&self) -> TimeoutConfig {
        self.0.config()
    }

    /// Where this timeout will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        self.0.last_words.get_or_init(LastWords::default).clone()
    }

    /// A handle that does not keep the timeout alive.
    pub(crate) fn downgrade(&self) -> WeakTimeout {
        WeakTimeout(self.0.downgrade())
    }

    /// What futures that compose with this one work with.
    #[inline]
    pub(crate) fn machine(&self) -> &Shared<Machine> {
        &self.0
    }
}

/// A handle that does not keep the timeout alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakTimeout(WeakShared<Machine>);

impl WeakTimeout {
    pub(crate) fn upgrade(&self) -> Option<Timeout> {
        self.0.upgrade().map(Timeout)
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static Timeout> for Timeout {
    fn from(timeout: &'static Timeout) -> Self {
        Self(Shared::of_static(&timeout.0))
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Managed for Timeout {
    fn policy(&self) -> &'static str {
        POLICY
    }

    fn name(&self) -> &Name {
        self.name()
    }

    /// Its state is `forced_open` while it is isolated, else `limited` or `unlimited`.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn snapshot(&self) -> ManagedSnapshot {
        let limit = self.config().limit();
        let state = match limit {
            _ if self.0.is_isolated() => "forced_open",
            Some(_) => "limited",
            None => "unlimited",
        };
        let limit = limit.map_or(f64::INFINITY, |limit| limit.as_secs_f64());
        let totals = self.totals();
        ManagedSnapshot::new(POLICY, self.name(), state)
            .with_figure("limit_seconds", limit)
            .with_figure("armed", totals.armed as f64)
            .with_figure("timed_out", totals.timed_out as f64)
    }

    /// A timeout remembers nothing, so there is nothing to reset; guards that isolate it still do.
    fn reset(&self) {}

    fn isolate(&self) -> Isolation {
        self.isolate()
    }

    fn config(&self) -> Box<dyn Any + Send + Sync> {
        Box::new(self.config())
    }

    fn reconfigure(&self, config: &(dyn Any + Send + Sync)) -> Result<(), ConfigError> {
        self.0.reconfigure(*config_of(config, "a TimeoutConfig")?)
    }
}
