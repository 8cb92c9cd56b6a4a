//! One compartment of a set, as users hold it.

use super::compartments_call::{
    AcquireCompartment, AcquireCompartmentOwned, Call, CompartmentPermit, OwnedCompartmentPermit,
    seat_blocking,
};
use super::compartments_config::CompartmentConfig;
use super::compartments_seat::{Refused, Seat};
use super::machine::POLICY;
use super::service::{BulkheadLayer, sealed};
use super::totals::{BulkheadSnapshot, LastWords, Totals};
use crate::kernel::config::ConfigError;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, Rejection};
use crate::kernel::shared::{Shared, WeakShared};
use std::any::Any;
use std::fmt;
use std::future::Future;

/// A compartment of a [`Compartments`](super::Compartments): a bulkhead whose slots are part of a
/// larger whole.
///
/// Clones share it; one made from a `&'static` compartment copies a pointer. Its name in errors and
/// metrics is `set/compartment`.
#[derive(Clone)]
pub struct Compartment(Shared<Seat>);

impl Compartment {
    pub(super) fn of(seat: Shared<Seat>) -> Self {
        Self(seat)
    }

    /// Makes a call once it has a slot.
    ///
    /// `operation` runs when a slot was taken: at the first poll if there is one, else after a wait,
    /// if the compartment has a queue. The slot is given back when the call ends. Where nobody
    /// waits, the future allocates nothing.
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
        Call::new(&*self.0, operation, Wrapped)
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
        Call::new(&*self.0, operation, AsIs)
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
        let _occupied = seat_blocking(&self.0)?;
        operation().map_err(Error::Inner)
    }

    /// Takes a slot if there is one for this compartment. It never waits.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire(&self) -> Result<CompartmentPermit<'_>, Rejection> {
        match self.0.try_take() {
            Ok(()) => Ok(CompartmentPermit::of(&self.0)),
            Err(refused) => Err(self.0.refuse(refused)),
        }
    }

    /// The same with a permit that owns a handle, so that it can move to where the work is.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedCompartmentPermit, Rejection> {
        match self.0.try_take() {
            Ok(()) => Ok(OwnedCompartmentPermit::of(self.0.clone())),
            Err(refused) => Err(self.0.refuse(refused)),
        }
    }

    /// Takes a slot, or waits for one if there is a queue.
    ///
    /// # Errors
    ///
    /// The rejection, of the kinds that [`call`](Self::call) names.
    #[inline]
    pub fn acquire(&self) -> AcquireCompartment<'_> {
        AcquireCompartment::new(&self.0)
    }

    /// The same with a permit that owns a handle.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_owned(&self) -> AcquireCompartmentOwned {
        AcquireCompartmentOwned::new(self.0.clone())
    }

    /// A tower layer that lets calls through while there is a slot for them, and refuses the others
    /// at once, also if the compartment has a queue.
    ///
    /// ```
    /// use backstop::policy::bulkhead::{Compartments, CompartmentsConfig};
    /// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let compartments = Compartments::new("api", CompartmentsConfig::presets())?;
    /// let mut reports = ServiceBuilder::new()
    ///     .layer(compartments.require("batch")?.layer())
    ///     .service(service_fn(|name: String| async move { Ok::<_, BoxError>(name) }));
    /// assert_eq!(reports.ready().await?.call("sales".into()).await?, "sales");
    /// # Ok(())
    /// # }
    /// ```
    pub fn layer(&self) -> BulkheadLayer<Self> {
        BulkheadLayer::around(self.clone())
    }

    /// The name in errors and metrics: `set/compartment`.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The name in the set.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// How many calls hold a slot.
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.0.running()).unwrap_or(u32::MAX)
    }

    /// How it stands at this moment.
    pub fn snapshot(&self) -> BulkheadSnapshot {
        self.0.snapshot()
    }

    /// What was counted since the set was made.
    pub fn totals(&self) -> Totals {
        self.0.totals()
    }

    /// The configuration in force.
    pub fn config(&self) -> CompartmentConfig {
        self.0.config()
    }

    /// Takes new numbers from the next call on. Running calls and those who wait stay. See
    /// [`Compartments::reconfigure`](super::Compartments::reconfigure).
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, the guarantees of the others included; the old one stays.
    pub fn reconfigure(&self, config: CompartmentConfig) -> Result<(), ConfigError> {
        self.0.reconfigure(config)
    }

    /// Forgets the peak, and that it was saturated. Calls, totals and isolations stay.
    pub fn reset(&self) {
        self.0.reset();
    }

    /// Refuses every call, those that wait included, until this guard, and every other one, is
    /// dropped. Running calls finish, and the others may borrow what is idle. While it lasts, the
    /// calls of all compartments of a set with a total take a short lock.
    pub fn isolate(&self) -> Isolation {
        self.0.slots.isolate(self.0.at);
        let seat = self.0.clone();
        Isolation::new(move || seat.slots.release_isolation(seat.at))
    }

    /// Where this compartment will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        self.0.last_words.get_or_init(LastWords::default).clone()
    }

    /// A handle that does not keep the compartment alive.
    pub(crate) fn downgrade(&self) -> WeakCompartment {
        WeakCompartment(self.0.downgrade())
    }
}

impl sealed::Slots for Compartment {
    type Permit = OwnedCompartmentPermit;

    #[inline]
    fn is_shut(&self) -> bool {
        self.0.slots.is_shut(self.0.at)
    }

    fn refuse_unready(&self) -> Rejection {
        let refused = self.0.slots.obstacle(self.0.at);
        self.0.refuse(Refused::For(refused))
    }

    #[inline]
    fn try_acquire_owned(&self) -> Result<OwnedCompartmentPermit, Rejection> {
        self.try_acquire_owned()
    }
}

/// A handle that does not keep the compartment alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakCompartment(WeakShared<Seat>);

impl WeakCompartment {
    pub(crate) fn upgrade(&self) -> Option<Compartment> {
        self.0.upgrade().map(Compartment)
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static Compartment> for Compartment {
    fn from(compartment: &'static Compartment) -> Self {
        Self(Shared::of_static(&compartment.0))
    }
}

impl fmt::Debug for Compartment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Managed for Compartment {
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
        self.reconfigure(*config_of(config, "a CompartmentConfig")?)
    }
}
