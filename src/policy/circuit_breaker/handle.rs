//! The handle that users hold.

use super::call::{Call, Observed};
use super::config::{CircuitBreakerConfig, Rules};
use super::control::Mode;
use super::event::{CircuitBreakerEvent, EventKind, Reason, State, Trip};
use super::machine::{Machine, POLICY};
use super::permit::{OwnedPermit, Permit};
use super::snapshot::{CircuitBreakerSnapshot, Figures};
use super::totals::{LastWords, Totals};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::Subscriber;
use crate::kernel::histogram::LatencySnapshot;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outcome::{AnyError, Classifier, DefaultClassifier, Tidings};
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, PolicyError, Rejection};
use crate::kernel::shared::{Shared, WeakShared};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A circuit breaker: stops calls to what keeps failing, and finds out when it is well again.
///
/// See the [room](super) for how it works. Clones share the circuit. A clone made from a
/// `&'static` one copies a pointer, where any other counts references, which is two shared writes
/// per tower call:
///
/// ```
/// use backstop::{CircuitBreaker, CircuitBreakerConfig};
/// use std::sync::LazyLock;
///
/// static PAYMENTS: LazyLock<CircuitBreaker> = LazyLock::new(|| {
///     CircuitBreaker::new("payments", CircuitBreakerConfig::default()).expect("the default is valid")
/// });
/// let breaker = CircuitBreaker::from(&*PAYMENTS);
/// assert!(breaker.call_blocking(|| Ok::<_, std::io::Error>(())).is_ok());
/// assert_eq!(PAYMENTS.totals().success, 1);
/// ```
#[derive(Clone)]
pub struct CircuitBreaker(Shared<Machine>);

impl CircuitBreaker {
    /// A closed breaker on the default clock.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(name: impl Into<Name>, config: CircuitBreakerConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: CircuitBreakerConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        let rules = Arc::new(config.rules()?);
        Self::build(name.into(), rules, clock.into(), false)
    }

    pub(super) fn build(
        name: Name,
        rules: Arc<Rules>,
        clock: Clock,
        compact: bool,
    ) -> Result<Self, ConfigError> {
        let machine = Machine::new(name, clock, rules, compact)?;
        Ok(Self(Shared::new(machine)))
    }

    /// Makes a call through the breaker; every `Err` counts as a failure.
    ///
    /// `operation` runs when the future is first polled, and only if the call is admitted. The
    /// future allocates nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] if the call was not made, [`Error::Inner`] with its own error if it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the call, which counts as
    /// [`dropped_calls`](CircuitBreakerConfig::dropped_calls) says (by default as nothing), and
    /// gives a probe's place back. A panic in the call is a failure and goes on unwinding.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, AnyError, Wrapped)
    }

    /// Makes a call whose result `classifier` judges. Otherwise as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    #[inline]
    pub fn call_with<C, T, E, O, F>(
        &self,
        classifier: C,
        operation: O,
    ) -> impl Future<Output = Result<T, Error<E>>>
    where
        C: Classifier<T, E>,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, classifier, Wrapped)
    }

    /// Makes a call whose error type can hold a rejection, so that policies compose without
    /// wrapping: an inner policy's rejection is ignored here (a timeout is a failure).
    ///
    /// # Errors
    ///
    /// The rejection as an `E`, or the call's own error.
    #[inline]
    pub fn call_in<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        E: PolicyError,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, DefaultClassifier, AsIs)
    }

    /// The same with results that `classifier` judges, rejections among them.
    ///
    /// # Errors
    ///
    /// As [`call_in`](Self::call_in).
    #[inline]
    pub fn call_in_with<C, T, E, O, F>(
        &self,
        classifier: C,
        operation: O,
    ) -> impl Future<Output = Result<T, E>>
    where
        C: Classifier<T, E>,
        E: From<Rejection>,
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        Call::new(&self.0, operation, classifier, AsIs)
    }

    /// Makes a blocking call; every `Err` counts as a failure. Needs no runtime.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). A panic in the call is a failure and goes on unwinding.
    pub fn call_blocking<T, E, F>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Result<T, E>,
    {
        self.call_blocking_with(AnyError, operation)
    }

    /// Makes a blocking call whose result `classifier` judges.
    ///
    /// # Errors
    ///
    /// As [`call_blocking`](Self::call_blocking).
    #[expect(clippy::needless_pass_by_value, reason = "as for the async call")]
    pub fn call_blocking_with<C, T, E, F>(&self, classifier: C, operation: F) -> Result<T, Error<E>>
    where
        C: Classifier<T, E>,
        F: FnOnce() -> Result<T, E>,
    {
        let permit = match self.0.admit() {
            Ok(ticket) => Permit::new(&self.0, ticket),
            Err(refused) => return self.0.reject(refused, |refusal| Err(refusal.into())),
        };
        let result = operation();
        permit.record(classifier.classify(result.as_ref()));
        result.map_err(Error::Inner)
    }

    /// Asks for a call to be made by other means; say how it went on the permit.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejection> {
        match self.0.admit() {
            Ok(ticket) => Ok(Permit::new(&self.0, ticket)),
            Err(refused) => self.0.reject(refused, Err),
        }
    }

    /// The same with a permit that owns a handle, so that it can move into a task.
    ///
    /// # Errors
    ///
    /// The rejection.
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejection> {
        match self.0.admit() {
            Ok(ticket) => Ok(OwnedPermit::new(self.0.clone(), ticket)),
            Err(refused) => self.0.reject(refused, Err),
        }
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.front.name
    }

    /// The state. An open circuit whose wait is over is `Open` until the next call asks, unless
    /// [`auto_half_open`](CircuitBreakerConfig::auto_half_open) is set.
    pub fn state(&self) -> State {
        let state = self.0.word().state();
        if state != State::Open || self.0.is_shut() {
            return state;
        }
        self.0.locked(|locked| {
            let now = locked.machine.front.clock.now();
            let is_due = locked.word().state() == State::Open && now >= locked.end();
            if is_due && locked.control.rules.given.auto_half_open {
                locked.half_open(now, Reason::WaitOver);
            }
            locked.word().state()
        })
    }

    /// What was counted since the breaker was made.
    pub fn totals(&self) -> Totals {
        self.0.read_totals()
    }

    /// How long calls took, with [`durations`](CircuitBreakerConfig::durations).
    pub fn durations(&self) -> Option<LatencySnapshot> {
        self.0.read_durations()
    }

    /// The state as a value. Reading it draws the conclusions of time passing, as a call would,
    /// except that an open circuit stays open.
    pub fn snapshot(&self) -> CircuitBreakerSnapshot {
        let _ = self.state();
        self.0.read_snapshot()
    }

    /// Puts a stored state back; calls under way become late. A count window of another size keeps
    /// the newest calls that fit; any other window of another shape begins empty. A remaining open
    /// time is cut to the longest that this configuration can give.
    ///
    /// # Errors
    ///
    /// Content that no breaker has stored; nothing changes then.
    pub fn restore(&self, snapshot: &CircuitBreakerSnapshot) -> Result<(), ConfigError> {
        self.0.put_back(snapshot)
    }

    /// The window that last opened the circuit, as it was then.
    pub fn last_trip(&self) -> Option<Trip> {
        self.0
            .locked(|locked| locked.control.last_trip.as_deref().cloned())
    }

    /// Subscribes to what happens from now on; the subscriber keeps at most `capacity` events.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<CircuitBreakerEvent> {
        self.0.events.subscribe(capacity)
    }

    /// Closes the circuit with empty windows, and undoes [`force_open`](Self::force_open) and
    /// [`set_mode`](Self::set_mode). Isolation guards that are alive still hold it open; totals
    /// stay.
    pub fn reset(&self) {
        self.0.locked(|locked| {
            locked.control.mode = Mode::Normal;
            locked.control.forced_by_hand = false;
            locked.forget_trip();
            locked.realign();
            locked.restart();
            locked.note(EventKind::Reset);
        });
    }

    /// Rejects every call until [`release_force_open`](Self::release_force_open).
    pub fn force_open(&self) {
        self.0.locked(|locked| {
            locked.control.forced_by_hand = true;
            locked.apply_modes();
        });
    }

    /// Undoes [`force_open`](Self::force_open); the circuit is closed then, with empty windows,
    /// unless an [`isolate`](Self::isolate) guard is alive.
    pub fn release_force_open(&self) {
        self.0.locked(|locked| {
            locked.control.forced_by_hand = false;
            locked.apply_modes();
        });
    }

    /// Rejects every call until this guard, and every other one, is dropped.
    pub fn isolate(&self) -> Isolation {
        self.0.locked(|locked| {
            locked.control.isolations = locked.control.isolations.saturating_add(1);
            locked.apply_modes();
        });
        let breaker = self.clone();
        Isolation::new(move || {
            breaker.0.locked(|locked| {
                locked.control.isolations = locked.control.isolations.saturating_sub(1);
                locked.apply_modes();
            });
        })
    }

    /// Sets the mode. Leaving a mode closes the circuit with empty windows.
    pub fn set_mode(&self, mode: Mode) {
        self.0.locked(|locked| {
            locked.control.mode = mode;
            locked.apply_modes();
        });
    }

    /// Moves the circuit by hand. To the state it is in: nothing happens.
    ///
    /// # Errors
    ///
    /// `Closed` to `HalfOpen` is refused (there is nothing to probe for), and so is everything
    /// while a mode, a forcing or an isolation stands in for the circuit; to the modes themselves
    /// lead [`set_mode`](Self::set_mode) and [`force_open`](Self::force_open).
    pub fn transition_to(&self, to: State) -> Result<(), TransitionRefused> {
        self.0.locked(|locked| {
            let from = locked.word().state();
            let now = locked.machine.front.clock.now();
            match (from, to) {
                _ if from == to => {}
                (State::Closed | State::HalfOpen, State::Open) => {
                    locked.open(now, Reason::ByHand, Tidings::default());
                }
                (State::Open, State::HalfOpen) => locked.half_open(now, Reason::ByHand),
                (State::Open | State::HalfOpen, State::Closed) => {
                    locked.close(now, Reason::ByHand);
                }
                _ => return Err(TransitionRefused { from, to }),
            }
            Ok(())
        })
    }

    /// Takes a new configuration from the next call on. State, generation and counts stay, unless
    /// the window changes its shape: then it begins empty, and calls under way become late.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or a 128th shape of time window; the old one stays.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a configuration is handed over"
    )]
    pub fn reconfigure(&self, config: CircuitBreakerConfig) -> Result<(), ConfigError> {
        self.take_config(&config)
    }

    fn take_config(&self, config: &CircuitBreakerConfig) -> Result<(), ConfigError> {
        let rules = Arc::new(config.clone().rules()?);
        self.0.locked(|locked| {
            locked.take(rules)?;
            locked.note(EventKind::Reconfigured);
            Ok(())
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> CircuitBreakerConfig {
        self.0.locked(|locked| locked.control.rules.given.clone())
    }

    /// What of a snapshot an exporter shows, without the copy of the window.
    pub(crate) fn figures(&self) -> Figures {
        let _ = self.state();
        self.0.read_figures()
    }

    /// Where this breaker will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        self.0.last_words.get_or_init(LastWords::default).clone()
    }

    /// A handle that does not keep the breaker alive.
    pub(crate) fn downgrade(&self) -> WeakCircuitBreaker {
        WeakCircuitBreaker(self.0.downgrade())
    }

    /// Makes a call on behalf of a policy that composes with this one: it is admitted or rejected
    /// here, and not when it is first polled. `place` puts away what it comes to.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what is placed is built in its place")]
    pub(crate) fn start<'a, F, C, R>(
        &'a self,
        classifier: C,
        make: impl FnOnce() -> F,
        place: impl FnOnce(Result<Observed<&'a Machine, F, C>, Rejection>) -> R,
    ) -> R {
        Observed::start(&self.0, classifier, make, place)
    }

    /// What the other files of the room work with.
    #[inline]
    pub(super) fn machine(&self) -> &Shared<Machine> {
        &self.0
    }

    /// How many handles and owned permits there are; a static one is never counted.
    pub(super) fn handles(&self) -> usize {
        self.0.count()
    }
}

/// A handle that does not keep the breaker alive.
#[derive(Clone, Debug)]
pub(crate) struct WeakCircuitBreaker(WeakShared<Machine>);

impl WeakCircuitBreaker {
    pub(crate) fn upgrade(&self) -> Option<CircuitBreaker> {
        self.0.upgrade().map(CircuitBreaker)
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static CircuitBreaker> for CircuitBreaker {
    fn from(breaker: &'static CircuitBreaker) -> Self {
        Self(Shared::of_static(&breaker.0))
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A transition that cannot be made by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransitionRefused {
    /// The state it is in.
    pub from: State,
    /// The state that was asked for.
    pub to: State,
}

impl fmt::Display for TransitionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a circuit cannot be moved from {} to {} by hand",
            self.from, self.to
        )
    }
}

impl std::error::Error for TransitionRefused {}

impl Managed for CircuitBreaker {
    fn policy(&self) -> &'static str {
        POLICY
    }

    fn name(&self) -> &Name {
        self.name()
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn snapshot(&self) -> ManagedSnapshot {
        let snapshot = self.snapshot();
        let remaining = snapshot.remaining.unwrap_or_default().as_secs_f64();
        ManagedSnapshot::new(POLICY, self.name(), snapshot.state.as_str())
            .with_figure("recorded", snapshot.counts.recorded as f64)
            .with_figure("failed", snapshot.counts.failed as f64)
            .with_figure("slow", snapshot.counts.slow as f64)
            .with_figure("opens", f64::from(snapshot.opens))
            .with_figure("remaining_seconds", remaining)
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
        self.take_config(config_of(config, "a CircuitBreakerConfig")?)
    }
}
