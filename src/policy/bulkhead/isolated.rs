//! A bulkhead with a runtime of its own, as users hold it.

use super::acquire::AcquireOwned;
use super::config::Ask;
use super::handle::Bulkhead;
use super::isolated_config::IsolatedConfig;
use super::isolated_place::Place;
use super::isolated_run::{Async, Blocking, Run};
use super::totals::{BulkheadSnapshot, Totals};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::instant::saturating_nanos;
use crate::kernel::managed::{Isolation, Managed, ManagedSnapshot, config_of};
use crate::kernel::name::Name;
use crate::kernel::outlet::{AsIs, Wrapped};
use crate::kernel::rejection::{Error, Rejection};
use crate::kernel::shared::Shared;
use crate::kernel::stripe::Striped;
use crate::kernel::sync::{AtomicU64, Ordering};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

/// A bulkhead whose calls run on a runtime and threads of their own, so that a compartment that is
/// stuck takes no thread from anybody else.
///
/// * Calls move there, so they are `Send + 'static`, and each allocates: the task or the job, its
///   way back, and what tells whether it has begun. Where calls only wait for others, a
///   [`Bulkhead`] does the same for less; this is for calls that block or compute.
/// * **The slot goes with the work, not with the caller.** A caller that drops its future, or whose
///   [`time_limit`](IsolatedConfig::time_limit) is over, leaves. Work that has not begun then never
///   does; async work is dropped at its next await; blocking work runs to its end. The slot is free
///   when the work has ended, and not before.
/// * A panic in the work comes back as a rejection of kind `Panicked`, whose cause is a
///   [`WorkPanicked`](super::WorkPanicked) with its message.
/// * The worker threads for async work are made when the bulkhead is; a system that does not give
///   them is an error then, and not in the middle of an incident. Threads for blocking work are
///   made when they are needed and end when they were idle for 10 s. An idle thread of
///   either kind holds about 10 KiB of memory and 2 MiB of address space (measured with 10 to 200
///   of them on Linux); making 50 workers takes a few milliseconds, on the thread that asks.
/// * When the last handle is gone, the runtime shuts down in the background, also inside an async
///   task: async work is dropped at its next await, blocking work runs to its end, nobody waits.
/// * **Under [`Clock::tokio`]**, the default with the feature `test-util`, it has neither runtime
///   nor threads: async work is spawned on the caller's runtime and blocking work goes through its
///   `spawn_blocking`, with the same limits. A clock that may be paused must see all that goes on.
///   Tests of real isolation ask for [`Clock::system`].
///
/// ```
/// use backstop::kernel::clock::Clock;
/// use backstop::policy::bulkhead::{IsolatedBulkhead, IsolatedConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reports = IsolatedBulkhead::with_clock("reports", IsolatedConfig::new(2), Clock::system())?;
/// let sum = reports.run_blocking(|| Ok::<u64, std::io::Error>((1..=1000).sum())).await?;
/// let again = reports.run(move || async move { Ok::<_, std::io::Error>(sum + 1) }).await?;
/// assert_eq!(again, 500_501);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IsolatedBulkhead(Shared<Isolated>);

/// What clones share.
pub(super) struct Isolated {
    bulkhead: Bulkhead,
    pub(super) place: Place,
    pub(super) clock: Clock,
    /// In nanoseconds; `u64::MAX` for none.
    time_limit: AtomicU64,
    worker_threads: u32,
    totals: Striped<{ Counter::ALL }>,
}

/// The striped counters, by index.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    Panicked = 0,
    TimedOut = 1,
    Abandoned = 2,
}

impl Counter {
    const ALL: usize = 3;
}

/// What an isolated bulkhead has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct IsolatedTotals {
    /// Slots: what was admitted and has ended, what was refused.
    pub slots: Totals,
    /// Calls whose work panicked while somebody waited for it.
    pub panicked: u64,
    /// Callers that left because the time limit was over.
    pub timed_out: u64,
    /// Callers that dropped their future after the work had been sent.
    pub abandoned: u64,
}

impl Isolated {
    pub(super) fn name(&self) -> &Name {
        self.bulkhead.name()
    }

    pub(super) fn admission(&self) -> AcquireOwned {
        self.bulkhead.acquire_owned(Ask::default())
    }

    pub(super) fn count(&self, counter: Counter) {
        self.totals.bump(counter as usize);
    }

    pub(super) fn time_limit(&self) -> Option<Duration> {
        match self.time_limit.load(Ordering::Relaxed) {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn set_time_limit(&self, limit: Option<Duration>) {
        let nanos = limit.map_or(u64::MAX, saturating_nanos);
        self.time_limit.store(nanos, Ordering::Relaxed);
    }
}

impl IsolatedBulkhead {
    /// A bulkhead on the default clock, with its threads running (see
    /// [`IsolatedBulkhead`] for what `test-util` makes of that).
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or a system that does not give the threads.
    pub fn new(name: impl Into<Name>, config: IsolatedConfig) -> Result<Self, StartError> {
        Self::with_clock(name, config, Clock::default())
    }

    /// The same on a clock of your own, which waits and the time limit are measured by. Under
    /// [`Clock::tokio`] there is no runtime of its own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        config: IsolatedConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, StartError> {
        let (name, clock) = (name.into(), clock.into());
        let plan = config.checked()?;
        let place = if clock.is_tokios() {
            Place::Callers
        } else {
            Place::own(name.as_str(), plan.worker_threads, plan.blocking_threads)
                .map_err(StartError::Threads)?
        };
        let isolated = Isolated {
            bulkhead: Bulkhead::with_clock(name, plan.admission, clock.clone())?,
            place,
            clock,
            time_limit: AtomicU64::new(u64::MAX),
            worker_threads: config.worker_threads(),
            totals: Striped::compact(),
        };
        isolated.set_time_limit(plan.time_limit);
        Ok(Self(Shared::new(isolated)))
    }

    /// Runs async work on the bulkhead's runtime.
    ///
    /// Nothing happens before the future is first polled; then it takes a slot, or waits for one,
    /// and `operation` and what it returns run there.
    ///
    /// # Errors
    ///
    /// [`Error::Inner`] with the work's own error; [`Error::Rejected`] of kind
    ///
    /// * `Full`: no slot; or no thread for blocking work, with the system's error as the cause,
    /// * `TimedOut`: the time limit is over; `executed` is `No` if the work had not begun,
    /// * `Panicked`: the work did, with a [`WorkPanicked`](super::WorkPanicked) as the cause,
    /// * `ForcedOpen`: it is isolated,
    /// * `NoRuntime`: it must wait and has no timers here; or, under tokio's clock, the caller's
    ///   runtime is missing, or was shut down while the work ran (`executed` tells which).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue, or calls the work off if it has not begun, or ends it
    /// at its next await. The slot is given back when the work is gone.
    pub fn run<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
        O: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        Run::new(&self.0, Async(operation), Wrapped)
    }

    /// Runs async work whose error type can hold a rejection. Otherwise as [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// The rejection as an `E`, or the work's own error.
    pub fn run_in<T, E, O, F>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        T: Send + 'static,
        E: From<Rejection> + Send + 'static,
        O: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        Run::new(&self.0, Async(operation), AsIs)
    }

    /// Runs a closure that may block, on a thread of its own.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue, or calls the work off if it has not begun. Work that
    /// has begun runs to its end, with its slot.
    pub fn run_blocking<T, E, O>(&self, operation: O) -> impl Future<Output = Result<T, Error<E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
        O: FnOnce() -> Result<T, E> + Send + 'static,
    {
        Run::new(&self.0, Blocking(operation), Wrapped)
    }

    /// Runs a closure whose error type can hold a rejection. Otherwise as
    /// [`run_blocking`](Self::run_blocking).
    ///
    /// # Errors
    ///
    /// The rejection as an `E`, or the work's own error.
    pub fn run_blocking_in<T, E, O>(&self, operation: O) -> impl Future<Output = Result<T, E>>
    where
        T: Send + 'static,
        E: From<Rejection> + Send + 'static,
        O: FnOnce() -> Result<T, E> + Send + 'static,
    {
        Run::new(&self.0, Blocking(operation), AsIs)
    }

    /// The bulkhead that admits the calls: its events, its figures, what exports them. A slot taken
    /// from it by other means counts as a call.
    pub fn admission(&self) -> &Bulkhead {
        &self.0.bulkhead
    }

    /// The name.
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// How many calls hold a slot, those whose callers have left included.
    pub fn in_flight(&self) -> u32 {
        self.0.bulkhead.in_flight()
    }

    /// How its slots stand at this moment.
    pub fn snapshot(&self) -> BulkheadSnapshot {
        self.0.bulkhead.snapshot()
    }

    /// What was counted since it was made.
    pub fn totals(&self) -> IsolatedTotals {
        let sum = |counter: Counter| self.0.totals.sum(counter as usize);
        IsolatedTotals {
            slots: self.0.bulkhead.totals(),
            panicked: sum(Counter::Panicked),
            timed_out: sum(Counter::TimedOut),
            abandoned: sum(Counter::Abandoned),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> IsolatedConfig {
        let admission = self.0.bulkhead.config();
        IsolatedConfig::of(self.0.worker_threads, admission, self.0.time_limit())
    }

    /// Takes a new configuration from the next call on; running calls and those who wait stay.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be, or another number of worker threads; the old one stays.
    pub fn reconfigure(&self, config: IsolatedConfig) -> Result<(), ConfigError> {
        let plan = config.checked()?;
        let workers = self.0.worker_threads;
        if config.worker_threads() != workers {
            return Err(ConfigError::new(
                "worker_threads",
                config.worker_threads(),
                format!("{workers}, as when it was made"),
            ));
        }
        // Threads first: who is admitted finds one.
        self.0.place.allow_blocking_threads(plan.blocking_threads);
        self.0.set_time_limit(plan.time_limit);
        self.0.bulkhead.reconfigure(plan.admission)
    }

    /// Refuses every call, those that wait included, until this guard, and every other one, is
    /// dropped. Running calls finish.
    pub fn isolate(&self) -> Isolation {
        self.0.bulkhead.isolate()
    }

    /// Forgets the peak, and that it was saturated.
    pub fn reset(&self) {
        self.0.bulkhead.reset();
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static IsolatedBulkhead> for IsolatedBulkhead {
    fn from(bulkhead: &'static IsolatedBulkhead) -> Self {
        Self(Shared::of_static(&bulkhead.0))
    }
}

impl fmt::Debug for IsolatedBulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolatedBulkhead")
            .field("admission", &self.0.bulkhead)
            .finish_non_exhaustive()
    }
}

impl Managed for IsolatedBulkhead {
    fn policy(&self) -> &'static str {
        Managed::policy(&self.0.bulkhead)
    }

    fn name(&self) -> &Name {
        self.name()
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn snapshot(&self) -> ManagedSnapshot {
        let totals = self.totals();
        Managed::snapshot(&self.0.bulkhead)
            .with_figure("panicked", totals.panicked as f64)
            .with_figure("timed_out", totals.timed_out as f64)
            .with_figure("abandoned", totals.abandoned as f64)
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
        self.reconfigure(*config_of(config, "an IsolatedConfig")?)
    }
}

/// An isolated bulkhead could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its configuration cannot be.
    Config(ConfigError),
    /// The system does not give its threads.
    Threads(io::Error),
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Threads(_) => f.write_str("the threads of an isolated bulkhead cannot be had"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its text is the one that is shown.
            Self::Config(_) => None,
            Self::Threads(error) => Some(error),
        }
    }
}
