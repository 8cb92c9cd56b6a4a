//! What users hold.

use super::acquire::{Acquire, AcquireOwned, acquire_blocking};
use super::call::Call;
use super::config::{Ask, BulkheadConfig, checked_limit};
use super::event::{BulkheadEvent, EventKind};
use super::machine::{Machine, POLICY};
use super::permit::{Held, OwnedPermit, Permit};
use super::totals::{BulkheadSnapshot, LastWords, Totals};
use super::word::UNCOUNTED;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::Subscriber;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, Rejection};
use crate::kernel::shared::{Shared, WeakShared};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;

/// A limit on the calls that run at once, to be called through.
///
/// Clones share it. Each clone that makes a call counts a reference; a handle made from a
/// `&'static` one counts none:
///
/// ```
/// use backstop::{Bulkhead, BulkheadConfig};
/// use std::sync::LazyLock;
///
/// static REPORTS: LazyLock<Bulkhead> = LazyLock::new(|| {
///     Bulkhead::new("reports", BulkheadConfig::default()).expect("the default is valid")
/// });
/// let bulkhead = Bulkhead::from(&*REPORTS);
/// assert!(bulkhead.call_blocking(|| Ok::<_, std::io::Error>(())).is_ok());
/// assert_eq!(REPORTS.totals().finished, 1);
/// ```
#[derive(Clone)]
pub struct Bulkhead(Shared<Machine>);

impl Bulkhead {
    /// An empty bulkhead on the default clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(name: impl Into<Name>, config: BulkheadConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own, which the waits are measured by.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: BulkheadConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let machine = Machine::new(name.into(), clock.into(), config);
        Ok(Self(Shared::new(machine)))
    }

    /// Makes a call once it has a slot.
    ///
    /// `operation` runs when a slot was taken: at the first poll if one is free, else after a wait,
    /// if the bulkhead has a queue. The slot is given back when the call ends. Where nobody waits,
    /// the future allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if the call was not made: of kind `Full` if there was no slot, at once or
    /// until the wait was over; `ForcedOpen` while isolated; `NoRuntime` if it would have to wait and
    /// the clock has no timers here. [`Error::Inner`] with its own error if it was made.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the call, or leaves the queue, and then gives the slot back. So
    /// does a panic in the call, which goes on unwinding.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, Ask::default(), operation, Wrapped)
    }

    /// Makes a call that says how it asks for its slot: by a [`Priority`], or by an [`Ask`] with
    /// both priority and patience. Otherwise as [`call`](Self::call).
    ///
    /// [`Priority`]: crate::kernel::priority::Priority
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_with<T, E, O, F>(
        &self,
        ask: impl Into<Ask>,
        operation: O,
    ) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, ask.into(), operation, Wrapped)
    }

    /// Makes a call whose error type can hold a rejection, so that policies compose without
    /// wrapping. Otherwise as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// The rejection as an `E`, or the call's own error.
    #[inline]
    pub fn call_in<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        E: From<Rejection>,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, Ask::default(), operation, AsIs)
    }

    /// Makes a call as [`call_in`](Self::call_in), asking for its slot as
    /// [`call_with`](Self::call_with).
    ///
    /// # Errors
    ///
    /// As [`call_in`](Self::call_in).
    #[inline]
    pub fn call_in_with<T, E, O, F>(
        &self,
        ask: impl Into<Ask>,
        operation: O,
    ) -> impl Future<Output = Result<T, E>>
    where
        E: From<Rejection>,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, ask.into(), operation, AsIs)
    }

    /// Makes a blocking call once it has a slot; where there is a queue it waits for one on this
    /// thread. Needs no runtime, and must not be used on a thread of one's async tasks.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). A panic in the call gives the slot back and goes on unwinding.
    pub fn call_blocking<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        self.call_blocking_with(Ask::default(), operation)
    }

    /// Makes a blocking call that says how it asks for its slot.
    ///
    /// # Errors
    ///
    /// As [`call_blocking`](Self::call_blocking).
    pub fn call_blocking_with<T, E, F>(
        &self,
        ask: impl Into<Ask>,
        operation: F,
    ) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        let _permit = self.acquire_blocking(ask)?;
        operation().map_err(Error::Inner)
    }

    /// Takes a slot if one is free and nobody waits for it. It never waits.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejection> {
        match self.0.try_take() {
            Ok(()) => Ok(Permit::new(Held::new(&self.0))),
            Err(word) => Err(self.0.refuse(Machine::refusal(word))),
        }
    }

    /// Takes a slot if one is free and nobody waits for it. That there is none is not counted: who
    /// asks will wait.
    #[inline]
    pub(crate) fn take_if_free(&self) -> Option<Permit<'_>> {
        let taken = self.0.try_take().is_ok();
        taken.then(|| Permit::new(Held::new(&self.0)))
    }

    /// The same with a permit that owns a handle, so that it can move to where the work is.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejection> {
        match self.0.try_take() {
            Ok(()) => Ok(OwnedPermit::new(Held::new(self.0.clone()))),
            Err(word) => Err(self.0.refuse(Machine::refusal(word))),
        }
    }

    /// Takes a slot, or waits for one if there is a queue.
    ///
    /// ```
    /// # use backstop::{Bulkhead, BulkheadConfig};
    /// # use backstop::kernel::priority::Priority;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bulkhead = Bulkhead::new("reports", BulkheadConfig::default())?;
    /// let permit = bulkhead.acquire(Priority::Sheddable).await?;
    /// # drop(permit);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The rejection, of the kinds that [`call`](Self::call) names.
    #[inline]
    pub fn acquire(&self, ask: impl Into<Ask>) -> Acquire<'_> {
        Acquire::new(&self.0, ask.into())
    }

    /// The same with a permit that owns a handle.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_owned(&self, ask: impl Into<Ask>) -> AcquireOwned {
        AcquireOwned::new(self.0.clone(), ask.into())
    }

    /// Takes a slot, or waits for one on this thread if there is a queue.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), without `NoRuntime`.
    pub fn acquire_blocking(&self, ask: impl Into<Ask>) -> Result<Permit<'_>, Rejection> {
        acquire_blocking(&self.0, ask.into()).map(Permit::new)
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// How many calls hold a slot. One load.
    pub fn in_flight(&self) -> u32 {
        self.0.word().in_flight()
    }

    /// How it stands at this moment.
    pub fn snapshot(&self) -> BulkheadSnapshot {
        self.0.read_snapshot()
    }

    /// What was counted since it was made.
    pub fn totals(&self) -> Totals {
        self.0.read_totals()
    }

    /// Subscribes to what happens from now on; the subscriber keeps at most `capacity` events.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<BulkheadEvent> {
        self.0.events.subscribe(capacity)
    }

    /// Changes the limit (0 to 268,435,455) at once, and never blocks. More slots go to those who
    /// wait; with fewer, running calls finish, and none begins before enough have. With none, those
    /// who wait are refused too.
    ///
    /// # Errors
    ///
    /// A limit above the highest; the old one stays.
    pub fn resize(&self, max_concurrent: u32) -> Result<(), ConfigError> {
        checked_limit("max_concurrent", max_concurrent)?;
        self.0.locked(|locked| locked.resize(max_concurrent));
        Ok(())
    }

    /// Takes a new configuration from the next call on. Running calls and those who wait stay, even
    /// if the new queue would be too short for them or their wait too long.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be; the old one stays.
    pub fn reconfigure(&self, config: BulkheadConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.0.locked(|locked| {
            locked.take(config);
            locked.note(EventKind::Reconfigured);
        });
        Ok(())
    }

    /// The configuration in force, with the limit as it was last resized.
    pub fn config(&self) -> BulkheadConfig {
        self.0.locked(|locked| locked.control.config)
    }

    /// Forgets the peak, and that it was saturated. Calls, totals and isolations stay.
    pub fn reset(&self) {
        self.0.locked(|locked| locked.reset());
    }

    /// Refuses every call, those that wait included, until this guard, and every other one, is
    /// dropped. Running calls finish.
    pub fn isolate(&self) -> Isolation {
        self.0.locked(|locked| locked.isolate());
        let bulkhead = self.clone();
        Isolation::new(move || bulkhead.0.locked(|locked| locked.release_isolation()))
    }

    /// Whether everything is refused, whoever comes and whoever goes.
    pub(super) fn is_shut(&self) -> bool {
        self.0.word().is_shut()
    }

    /// The rejection of a call over a service that was not asked whether it is ready.
    #[cold]
    pub(super) fn refuse_unready(&self) -> Rejection {
        self.0.refuse(Machine::refusal(self.0.word()))
    }

    /// Whether calls that went through are counted.
    pub(crate) fn counts_totals(&self) -> bool {
        !self.0.word().has(UNCOUNTED)
    }

    /// Where this bulkhead will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        self.0.last_words.get_or_init(LastWords::default).clone()
    }

    /// A handle that does not keep the bulkhead alive.
    pub(crate) fn downgrade(&self) -> WeakBulkhead {
        WeakBulkhead(self.0.downgrade())
    }
}

/// A handle that does not keep the bulkhead alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakBulkhead(WeakShared<Machine>);

impl WeakBulkhead {
    pub(crate) fn upgrade(&self) -> Option<Bulkhead> {
        self.0.upgrade().map(Bulkhead)
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static Bulkhead> for Bulkhead {
    fn from(bulkhead: &'static Bulkhead) -> Self {
        Self(Shared::of_static(&bulkhead.0))
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Managed for Bulkhead {
    fn policy(&self) -> &'static str {
        POLICY
    }

    fn name(&self) -> &Name {
        self.name()
    }

    fn snapshot(&self) -> ManagedSnapshot {
        let snapshot = self.snapshot();
        ManagedSnapshot::new(POLICY, self.name(), snapshot.state())
            .with_figure("in_flight", f64::from(snapshot.in_flight))
            .with_figure("waiting", f64::from(snapshot.waiting))
            .with_figure("limit", f64::from(snapshot.limit))
            .with_figure("peak", f64::from(snapshot.peak))
    }

    fn reset(&self) {
        self.reset();
    }

    fn isolate(&self) -> Isolation {
        self.isolate()
    }

    fn config(&self) -> Box<dyn Any + Send + Sync> {
        Box::new(self.config())
    }

    fn reconfigure(&self, config: &(dyn Any + Send + Sync)) -> Result<(), ConfigError> {
        self.reconfigure(*config_of(config, "a BulkheadConfig")?)
    }
}
