//! The handle that users hold.

use super::attempt::{Attempt, Operation, StartAttempt};
use super::call::{Retrying, call_blocking};
use super::config::RetryConfig;
use super::event::{RetryEvent, RetryEventKind};
use super::machine::{Machine, POLICY};
use super::totals::{LastWords, RetryTotals};
use super::when::{DefaultRetry, RetryWhen};
use crate::kernel::budget::RetryBudget;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::event::Subscriber;
use crate::kernel::instant::Instant;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outcome::AnyError;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, PolicyError, Rejection};
use crate::kernel::shared::{Shared, WeakShared};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;

/// A retry: makes a failed call again, as long as that is likely to help and does no harm.
///
/// See the [room](super) for how it works. Clones share the budget and the counters. A clone made
/// from a `&'static` one copies a pointer, where any other counts references, which is two shared
/// writes per tower call.
#[derive(Clone)]
pub struct Retry(Shared<Machine>);

impl Retry {
    /// A retry on the default clock, with a budget of its own.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(name: impl Into<Name>, config: RetryConfig) -> Result<Self, ConfigError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: RetryConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        Self::build(name.into(), config, clock.into(), None)
    }

    /// A retry that draws on a budget which others draw on too: one per target, whatever the number
    /// of retries and hedges in front of it. The configuration's own
    /// [`budget`](RetryConfig::budget) is not used then.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_budget(
        name: impl Into<Name>,
        config: RetryConfig,
        clock: impl Into<Clock>,
        budget: impl Into<RetryBudget>,
    ) -> Result<Self, ConfigError> {
        Self::build(name.into(), config, clock.into(), Some(budget.into()))
    }

    fn build(
        name: Name,
        config: RetryConfig,
        clock: Clock,
        budget: Option<RetryBudget>,
    ) -> Result<Self, ConfigError> {
        let machine = Machine::new(name, config, clock, budget)?;
        Ok(Self(Shared::new(machine)))
    }

    /// Makes a call, and makes it again while it ends with an `Err`.
    ///
    /// `operation` makes the future of an attempt; it is told the attempt's number and the error of
    /// the one before. It first runs when the call's future is polled. A call that succeeds at once
    /// allocates nothing; one that is tried again has one allocation.
    ///
    /// ```
    /// use backstop::{Retry, RetryConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let retry = Retry::new("payments", RetryConfig::default())?;
    /// let reply = retry
    ///     .call(|attempt| {
    ///         let number = attempt.number;
    ///         async move { if number < 2 { Err("not yet") } else { Ok(number) } }
    ///     })
    ///     .await;
    /// assert_eq!(reply.unwrap(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] with the error of the last attempt, unchanged;
    /// [`totals`](Self::totals) and events say why there was no other.
    /// [`Error::Rejected`] while the retry is isolated.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt under way, or ends the wait for the next, whose place
    /// in the budget is given back. A panic in an attempt ends the call and goes on unwinding.
    #[inline]
    pub fn call<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        O: FnMut(Attempt<'_, E>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        self.call_with(AnyError, operation)
    }

    /// Makes a call again while `when` says so. Otherwise as [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). An `Ok` that `when` would not accept is returned as it is when
    /// there is no further attempt.
    #[inline]
    pub fn call_with<P, T, E, O, F>(
        &self,
        when: P,
        operation: O,
    ) -> impl Future<Output = Result<T, Error<E>>>
    where
        P: RetryWhen<T, E>,
        O: FnMut(Attempt<'_, E>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        Retrying::<_, _, _, F, E, _>::new(&*self.0, Operation(operation), when, None, Wrapped)
    }

    /// Makes a call whose error type can hold a rejection, so that policies compose without
    /// wrapping: an inner policy's rejection says itself whether another attempt makes sense, see
    /// [`DefaultRetry`].
    ///
    /// # Errors
    ///
    /// The error of the last attempt, or the rejection as an `E`.
    #[inline]
    pub fn call_in<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        E: PolicyError,
        O: FnMut(Attempt<'_, E>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        Retrying::<_, _, _, F, E, _>::new(&*self.0, Operation(operation), DefaultRetry, None, AsIs)
    }

    /// The same with results that `when` judges, rejections among them.
    ///
    /// # Errors
    ///
    /// As [`call_in`](Self::call_in).
    #[inline]
    pub fn call_in_with<P, T, E, O, F>(
        &self,
        when: P,
        operation: O,
    ) -> impl Future<Output = Result<T, E>>
    where
        P: RetryWhen<T, E>,
        E: From<Rejection>,
        O: FnMut(Attempt<'_, E>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        Retrying::<_, _, _, F, E, _>::new(&*self.0, Operation(operation), when, None, AsIs)
    }

    /// Makes a blocking call, and makes it again while it ends with an `Err`. It waits by blocking
    /// the thread, and needs no runtime.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call). A panic in an attempt ends the call and goes on unwinding.
    pub fn call_blocking<T, E, O>(&self, operation: O) -> Result<T, Error<E>>
    where
        O: FnMut(Attempt<'_, E>) -> Result<T, E>,
    {
        call_blocking(&self.0, &AnyError, operation)
    }

    /// Makes a blocking call again while `when` says so.
    ///
    /// # Errors
    ///
    /// As [`call_with`](Self::call_with).
    #[expect(clippy::needless_pass_by_value, reason = "as for the async call")]
    pub fn call_blocking_with<P, T, E, O>(&self, when: P, operation: O) -> Result<T, Error<E>>
    where
        P: RetryWhen<T, E>,
        O: FnMut(Attempt<'_, E>) -> Result<T, E>,
    {
        call_blocking(&self.0, &when, operation)
    }

    /// The name.
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// What was counted since the retry was made.
    pub fn totals(&self) -> RetryTotals {
        self.0.read_totals()
    }

    /// How many retries the budget would allow now; `None` if it has no limit.
    pub fn budget_balance(&self) -> Option<u64> {
        self.0.current_budget().and_then(RetryBudget::balance)
    }

    /// Subscribes to what happens from now on; the subscriber keeps at most `capacity` events.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<RetryEvent> {
        self.0.events.subscribe(capacity)
    }

    /// Clears the budget: what was paid in and taken is forgotten. A budget that others share is
    /// left to them. Isolations that are alive stay, and so do totals.
    pub fn reset(&self) {
        self.0.own_budgets().for_each(RetryBudget::reset);
        self.0.note(RetryEventKind::Reset);
    }

    /// Refuses every call until this guard, and every other one, is dropped. Calls under way go on.
    pub fn isolate(&self) -> Isolation {
        self.0.isolate(true);
        let retry = self.clone();
        Isolation::new(move || retry.0.isolate(false))
    }

    /// Takes a new configuration, from the next call on; a call under way keeps its deadline, and
    /// the rules that were in force when it first failed. A budget of another kind or size begins
    /// as it would in a new retry; one that was in force before goes on from where it was.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or a 17th budget; the old one stays.
    pub fn reconfigure(&self, config: RetryConfig) -> Result<(), ConfigError> {
        self.0.take(config)
    }

    /// The configuration in force.
    pub fn config(&self) -> RetryConfig {
        self.0.config()
    }

    /// Where this retry will leave its figures when it is gone.
    pub(crate) fn last_words(&self) -> LastWords {
        self.0.last_words.get_or_init(LastWords::default).clone()
    }

    /// A handle that does not keep the retry alive.
    pub(crate) fn downgrade(&self) -> WeakRetry {
        WeakRetry(self.0.downgrade())
    }

    /// What the other files of the room work with.
    #[inline]
    pub(crate) fn machine(&self) -> &Shared<Machine> {
        &self.0
    }
}

/// For what composes policies.
#[allow(dead_code, reason = "for what composes policies")]
impl Retry {
    /// A call whose attempts are started by `starter`, on a borrowed handle. No attempt is begun at
    /// `limit` or later.
    #[inline]
    pub(crate) fn drive<S, P, T, E>(
        &self,
        starter: S,
        when: P,
        limit: Option<Instant>,
    ) -> Retrying<&Machine, S, P, S::Future, E, AsIs>
    where
        S: StartAttempt<T, E>,
        P: RetryWhen<T, E>,
    {
        Retrying::new(&*self.0, starter, when, limit, AsIs)
    }

    /// The same with a future that owns its handle.
    #[inline]
    pub(crate) fn drive_owned<S, P, T, E>(
        &self,
        starter: S,
        when: P,
        limit: Option<Instant>,
    ) -> Retrying<Shared<Machine>, S, P, S::Future, E, AsIs>
    where
        S: StartAttempt<T, E>,
        P: RetryWhen<T, E>,
    {
        Retrying::new(self.0.clone(), starter, when, limit, AsIs)
    }
}

/// A handle that does not keep the retry alive.
#[derive(Clone)]
pub(crate) struct WeakRetry(WeakShared<Machine>);

impl WeakRetry {
    pub(crate) fn upgrade(&self) -> Option<Retry> {
        self.0.upgrade().map(Retry)
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static Retry> for Retry {
    fn from(retry: &'static Retry) -> Self {
        Self(Shared::of_static(&retry.0))
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Managed for Retry {
    fn policy(&self) -> &'static str {
        POLICY
    }

    fn name(&self) -> &Name {
        self.name()
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn snapshot(&self) -> ManagedSnapshot {
        let state = if self.0.is_isolated() {
            "isolated"
        } else {
            "active"
        };
        let totals = self.totals();
        let snapshot = ManagedSnapshot::new(POLICY, self.name(), state)
            .with_figure("calls", totals.calls() as f64)
            .with_figure("attempts", totals.attempts as f64)
            .with_figure("retries", totals.retries as f64)
            .with_figure("failures", totals.failures() as f64);
        match self.budget_balance() {
            Some(balance) => snapshot.with_figure("budget_balance", balance as f64),
            None => snapshot,
        }
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
        self.reconfigure(config_of::<RetryConfig>(config, "a RetryConfig")?.clone())
    }
}
