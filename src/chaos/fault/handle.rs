//! The handle that users hold.

use super::call::{Call, panic_as};
use super::config::Fault;
use super::counts::{FaultCounts, bump};
use super::machine::{FaultId, InjectedFault, Machine, Then};
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Injects faults into the calls that go through it.
///
/// See the [room](super) for how faults combine. Clones share faults, draws and counters.
#[derive(Clone)]
pub struct FaultInjector(Arc<Machine>);

impl FaultInjector {
    /// An injector without faults, on the default clock. The same seed gives the same draws.
    pub fn new(seed: u64) -> Self {
        Self::with_clock(seed, Clock::default())
    }

    /// The same on a clock of your own.
    pub fn with_clock(seed: u64, clock: impl Into<Clock>) -> Self {
        Self(Arc::new(Machine::new(seed, clock.into())))
    }

    /// The seed, to be printed by a test that draws.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Adds a fault to those in force: from now on it draws for each call.
    ///
    /// # Errors
    ///
    /// A fault that cannot be (a probability outside 0 to 1 or NaN, a latency or time to live of
    /// zero), or one more than 1,000 at a time.
    pub fn inject(&self, fault: Fault) -> Result<FaultId, ConfigError> {
        self.0.inject(fault)
    }

    /// The same for as long as the guard lives.
    ///
    /// ```
    /// use backstop::chaos::fault::{Fault, FaultInjector};
    ///
    /// let injector = FaultInjector::new(42);
    /// let call = || injector.call_blocking(|| Ok(()), || "injected");
    /// {
    ///     let _outage = injector.inject_guarded(Fault::error())?;
    ///     assert!(call().is_err());
    /// }
    /// assert!(call().is_ok());
    /// # Ok::<(), backstop::kernel::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`inject`](Self::inject).
    pub fn inject_guarded(&self, fault: Fault) -> Result<FaultGuard, ConfigError> {
        Ok(FaultGuard {
            id: self.inject(fault)?,
            injector: self.clone(),
        })
    }

    /// Ends one fault, and its hangs; whether it was still there.
    pub fn remove(&self, id: FaultId) -> bool {
        self.0.remove_if(|fault| fault.id == id) > 0
    }

    /// Ends all faults, and their hangs. Counters and the numbering go on.
    pub fn clear(&self) {
        self.0.remove_if(|_| true);
    }

    /// The faults in force, in the order of their injection.
    pub fn faults(&self) -> Vec<InjectedFault> {
        self.0.shown()
    }

    /// What was injected since the injector was made.
    pub fn counts(&self) -> FaultCounts {
        self.0.counters.read()
    }

    /// Makes a call that may be hit; `make_error` makes the injected error.
    ///
    /// Faults draw when the future is first polled; `operation` runs after latencies and hangs, and
    /// not at all if there is to be an error or a panic.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), backstop::kernel::config::ConfigError> {
    /// use backstop::chaos::fault::{Fault, FaultInjector};
    ///
    /// let injector = FaultInjector::new(42);
    /// injector.inject(Fault::error().probability(0.3))?;
    /// let mut failed = 0;
    /// for _ in 0..1_000 {
    ///     let result = injector.call(|| async { Ok("fine") }, || "injected").await;
    ///     failed += u32::from(result.is_err());
    /// }
    /// assert!((250..350).contains(&failed));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The injected error, or the call's own.
    ///
    /// # Panics
    ///
    /// An injected panic happens while the future is polled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the call, and leaves nothing behind.
    #[inline]
    pub fn call<T, E, O, F, M>(
        &self,
        operation: O,
        make_error: M,
    ) -> impl Future<Output = Result<T, E>>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        M: FnOnce() -> E,
    {
        Call::new(&self.0, operation, make_error)
    }

    /// Makes a blocking call that may be hit. Needs no runtime.
    ///
    /// Latencies and hangs block this thread: a latency until the clock has moved on by it, a hang
    /// until another thread ends its fault, or until its time to live is over. Under a manual or
    /// paused clock somebody else has to move that clock meanwhile.
    ///
    /// # Errors
    ///
    /// The injected error, or the call's own.
    ///
    /// # Panics
    ///
    /// With an injected panic.
    pub fn call_blocking<T, E, O, M>(&self, operation: O, make_error: M) -> Result<T, E>
    where
        O: FnOnce() -> Result<T, E>,
        M: FnOnce() -> E,
    {
        let Some(draw) = self.0.draw() else {
            return operation();
        };
        let Machine {
            clock, counters, ..
        } = &*self.0;
        if !draw.latency.is_zero() {
            bump(&counters.latency);
            clock.park_until(clock.now() + draw.latency);
        }
        match draw.then {
            Then::Proceed => {}
            Then::Hang(fault) => {
                bump(&counters.hang);
                fault.gate.park(clock, fault.end);
            }
            Then::Panic(fault) => panic_as(&fault, counters),
            Then::Error => {
                bump(&counters.error);
                return Err(make_error());
            }
        }
        operation()
    }

    /// What the other files of the room work with.
    #[inline]
    pub(super) fn machine(&self) -> &Machine {
        &self.0
    }
}

impl fmt::Debug for FaultInjector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultInjector")
            .field("seed", &self.0.seed)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// Keeps a fault in force; dropping it ends the fault.
#[derive(Debug)]
#[must_use = "dropping it ends the fault"]
pub struct FaultGuard {
    injector: FaultInjector,
    id: FaultId,
}

impl FaultGuard {
    /// The number of the fault.
    pub fn id(&self) -> FaultId {
        self.id
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.injector.remove(self.id);
    }
}
