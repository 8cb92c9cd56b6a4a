//! What users hold.

use super::call::Call;
use super::config::{GateConfig, Idempotence};
use super::control::GateState;
use super::machine::Machine;
use super::pass::{Pass, Visit};
use super::reboot::Reboot;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, Rejection};
use crate::kernel::shared::Shared;
use crate::supervise::microreboot::record::CallsSeen;
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A gate before a component that can be rebooted, to be called through.
///
/// While the component is well a call goes through. While it is being rebooted, callers whose calls
/// are idempotent wait, and notice latency instead of failure; the others are refused at once. Calls
/// in flight are waited for, up to a bound, and then dropped.
///
/// Clones share it. Each clone that makes a call through tower counts a reference; a handle made
/// from a `&'static` one counts none.
///
/// ```
/// use backstop::Error;
/// use backstop::supervise::microreboot::{Gate, GateConfig, Idempotence};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), backstop::ConfigError> {
/// let gate = Gate::new("index", GateConfig::default())?;
/// let search = || async { Ok::<_, std::io::Error>("found") };
/// assert_eq!(gate.call(search).await.ok(), Some("found"));
///
/// let reboot = gate.begin_reboot();
/// let refused = gate.call(search).await;
/// assert!(matches!(refused, Err(Error::Rejected(_))));
/// let waits = gate.call_with(Idempotence::Idempotent, search);
/// let rebooted = async {
///     reboot.drain().await;
///     // The component is stopped and started here.
///     reboot.succeed();
/// };
/// let (found, ()) = tokio::join!(waits, rebooted);
/// assert_eq!(found.ok(), Some("found"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Gate(Shared<Machine>);

impl Gate {
    /// An open gate on the default clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(name: impl Into<Name>, config: GateConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own, which its waits and reboots are measured by.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: GateConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let machine = Machine::new(name.into(), clock.into(), config);
        Ok(Self(Shared::new(machine)))
    }

    /// Makes a call of which nobody knows whether it may be repeated. An `Err` counts as a failure.
    ///
    /// `operation` runs at the first poll, if the gate is open.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] of kind `Restarting`: with `executed: No` and without a time to come back
    /// if the gate is shut; with `executed: Unknown` if the component was stopped beneath the call.
    /// [`Error::Inner`] with its own error if it was made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the call, which counts as neither success nor failure. A panic in
    /// the call is a failure and goes on unwinding.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, Idempotence::Unknown, operation, Wrapped)
    }

    /// Makes a call that says whether it is idempotent. If it is, it waits while the component is
    /// rebooted: at most as long as the longest of the last 8 reboots took, and a second.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). An idempotent one is refused with a time to come back if there is no
    /// room to wait, or the wait is over; without one if the reboot fails, as nobody knows. Of kind
    /// `NoRuntime` if it would have to wait and the clock has no timers here.
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call); one that waits leaves.
    #[inline]
    pub fn call_with<T, E, O, F>(
        &self,
        idempotence: Idempotence,
        operation: O,
    ) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, idempotence, operation, Wrapped)
    }

    /// Makes a call whose error type can hold a rejection, so that policies compose without
    /// wrapping. Otherwise as [`call_with`](Self::call_with).
    ///
    /// # Errors
    ///
    /// The rejection as an `E`, or the call's own error.
    #[inline]
    pub fn call_in<T, E, O, F>(
        &self,
        idempotence: Idempotence,
        operation: O,
    ) -> impl Future<Output = Result<T, E>>
    where
        E: From<Rejection>,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, idempotence, operation, AsIs)
    }

    /// Goes in, for what is no future. It never waits.
    ///
    /// # Errors
    ///
    /// The rejection, with a time to come back for idempotent work.
    pub fn enter(&self, idempotence: Idempotence) -> Result<Pass, Rejection> {
        match self.0.enter() {
            Ok(admitted) => Ok(Pass::new(Visit::inside(self.0.clone(), admitted))),
            Err(_) => Err(self.0.refuse(idempotence)),
        }
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// Whether nobody goes in at the moment. One load.
    #[inline]
    pub fn is_shut(&self) -> bool {
        self.0.stripes.is_shut()
    }

    /// How it stands.
    pub fn state(&self) -> GateState {
        self.0.control.lock().state
    }

    /// Calls in flight; 0 if the gate does not count them.
    pub fn in_flight(&self) -> u64 {
        self.0.stripes.inside()
    }

    /// Callers who wait outside.
    pub fn parked(&self) -> u32 {
        self.0.control.lock().parked()
    }

    /// How long callers are told to stay away if they meet a shut gate now: the longest of the last 8
    /// reboots, or what is expected before the first one, and some jitter. None while it is down.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after()
    }

    /// The calls that have ended since it was made, refused and cut ones included. The bad ones
    /// failed, were refused or cut, or were over their objective.
    pub fn seen(&self) -> CallsSeen {
        self.0.seen()
    }

    /// The same at the beginning of the present run of failures, which ends after ten seconds
    /// without one; at this moment if there is none. The calls of an outage are those
    /// [since](CallsSeen::since) then.
    pub fn seen_at_onset(&self) -> CallsSeen {
        self.0.onset()
    }

    /// Shuts the gate for a reboot of its component. Does not wait: see [`Reboot`].
    pub fn begin_reboot(&self) -> Reboot {
        Reboot::new(self.0.clone())
    }

    /// Opens the gate after a reboot that failed, if somebody has made the component well. Returns
    /// whether it was down.
    pub fn reopen(&self) -> bool {
        self.0.reopen()
    }

    /// Takes a new configuration from the next call on. Calls that are inside stay as they went in.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be; the old one stays.
    pub fn reconfigure(&self, config: GateConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.0.reconfigure(config);
        Ok(())
    }

    /// The configuration in force.
    pub fn config(&self) -> GateConfig {
        self.0.control.lock().config
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared<Machine> {
        &self.0
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static Gate> for Gate {
    fn from(gate: &'static Gate) -> Self {
        Self(Shared::of_static(&gate.0))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
