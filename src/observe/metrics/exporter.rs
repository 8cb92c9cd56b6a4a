//! Who publishes what, and when.

use crate::kernel::clock::{Clock, NoRuntime};
use crate::kernel::config::ConfigError;
use crate::observe::names;
use parking_lot::Mutex;
use sealed::{Sealed, Source};
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

/// What an [`Exporter`] can publish: a [`CircuitBreaker`](crate::CircuitBreaker), a
/// [`Keyed`](crate::kernel::keyed::Keyed) set of them, a [`Bulkhead`](crate::Bulkhead), a
/// [`Compartment`](crate::policy::bulkhead::Compartment), a [`Retry`](crate::Retry), a
/// [`Timeout`](crate::Timeout), a [`Pipeline`](crate::Pipeline), which is all of its parts, and a
/// [`HealthTree`](crate::health::tree::HealthTree), a
/// [`Supervisor`](crate::supervise::supervisor::Supervisor), a
/// [`MicrorebootManager`](crate::supervise::microreboot::MicrorebootManager); with the
/// feature `durable` the `Checkpoints` of a key.
/// feature `durable` a `Journal`.
///
/// It is sealed: what is published is listed in [`names`].
pub trait Exported: Sealed {}

pub(super) mod sealed {
    pub trait Sealed {
        /// Its series, and a way to its figures that does not keep it alive: of each policy in it.
        fn sources(&self) -> Vec<Box<dyn Source>>;
    }

    /// What belongs to one policy. Everything here runs the recorder's code.
    pub trait Source: Send + Sync {
        /// Tells policies apart for as long as the source is there.
        fn id(&self) -> usize;

        /// Publishes the figures of a policy that is there.
        fn publish(&mut self);

        /// Publishes for the last time what a policy that is gone has left. `false` if it is not
        /// gone, or still going.
        fn bury(&mut self) -> bool;
    }
}

/// Publishes policies to the `metrics` facade.
///
/// See the [room](super) for what is published and what to mind. Clones share what was added.
///
/// ```
/// use backstop::observe::metrics::Exporter;
/// use backstop::{CircuitBreaker, CircuitBreakerConfig};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let payments = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
/// let exporter = Exporter::new();
/// exporter.add(&payments);
/// let publisher = exporter.clone();
/// tokio::spawn(async move { publisher.run(Duration::from_secs(5)).await });
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Exporter {
    desk: Arc<Mutex<Desk>>,
    clock: Clock,
}

#[derive(Default)]
struct Desk {
    /// While a thread publishes it has these, and only what was added meanwhile is here.
    sources: Vec<Box<dyn Source>>,
    /// Of all sources, wherever they are.
    ids: HashSet<usize>,
    publisher: Option<ThreadId>,
    /// Another thread asked meanwhile.
    again: bool,
    described: bool,
}

impl Exporter {
    /// An exporter of nothing yet, on the default clock.
    pub fn new() -> Self {
        Self::with_clock(Clock::default())
    }

    /// The same on a clock of your own, which [`run`](Self::run) counts its interval by.
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self {
            desk: Arc::default(),
            clock: clock.into(),
        }
    }

    /// Publishes `policy` from now on, with all that it has counted since it was made.
    ///
    /// A policy that was added before, by this handle or a clone of it, stays as it is.
    pub fn add(&self, policy: &impl Exported) {
        let sources = policy.sources();
        let mut desk = self.desk.lock();
        for source in sources {
            if desk.ids.insert(source.id()) {
                desk.sources.push(source);
            }
        }
    }

    /// Publishes everything.
    ///
    /// While another thread publishes by a clone of this handle, it returns at once, and that
    /// thread publishes once more. A recorder that calls this from within a publish does nothing
    /// by it.
    pub fn publish(&self) {
        let Some(mut turn) = Turn::take(&self.desk) else {
            return;
        };
        loop {
            turn.publish();
            if turn.is_over() {
                return;
            }
        }
    }

    /// Publishes now, and then each time `interval` (above zero) has passed since it last did,
    /// without an end.
    ///
    /// # Errors
    ///
    /// An interval of zero, and a clock that needs a tokio runtime with timers where there is none;
    /// then it has published at most once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the publishing; what was counted by then is published by the next
    /// [`publish`](Self::publish) or `run`.
    pub async fn run(&self, interval: Duration) -> Result<Infallible, RunError> {
        if interval.is_zero() {
            return Err(ConfigError::new("interval", "0s", "above 0s").into());
        }
        loop {
            self.publish();
            self.clock.sleep_until(self.clock.now() + interval)?.await;
        }
    }
}

impl Default for Exporter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("policies", &self.desk.lock().ids.len())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// The right to publish: one thread at a time has it, and all sources with it, so that the
/// recorder's code runs under no lock of ours.
struct Turn<'a> {
    desk: &'a Mutex<Desk>,
    sources: Vec<Box<dyn Source>>,
}

impl<'a> Turn<'a> {
    /// `None` if somebody has it.
    fn take(desk: &'a Mutex<Desk>) -> Option<Self> {
        let me = std::thread::current().id();
        let mut held = desk.lock();
        match held.publisher {
            None => held.publisher = Some(me),
            Some(publisher) => {
                // The recorder's code is not asked again by its own call: that would not end.
                held.again |= publisher != me;
                return None;
            }
        }
        drop(held);
        Some(Self {
            desk,
            sources: Vec::new(),
        })
    }

    fn publish(&mut self) {
        let is_first = {
            let mut desk = self.desk.lock();
            self.sources.append(&mut desk.sources);
            !std::mem::replace(&mut desk.described, true)
        };
        if is_first {
            names::describe();
        }
        // Those that are gone come first: another policy may have their name by now.
        let mut at = 0;
        while let Some(source) = self.sources.get_mut(at) {
            if source.bury() {
                let gone = self.sources.remove(at);
                self.desk.lock().ids.remove(&gone.id());
            } else {
                at += 1;
            }
        }
        self.sources.iter_mut().for_each(|source| source.publish());
    }

    /// Gives it back, unless another thread asked meanwhile.
    fn is_over(&mut self) -> bool {
        let mut desk = self.desk.lock();
        if std::mem::take(&mut desk.again) {
            return false;
        }
        self.give_back(&mut desk);
        true
    }

    fn give_back(&mut self, desk: &mut Desk) {
        desk.publisher = None;
        desk.again = false;
        // In the order in which they were added.
        self.sources.append(&mut desk.sources);
        std::mem::swap(&mut self.sources, &mut desk.sources);
    }
}

/// A panic of the recorder's goes on unwinding, and loses no policy.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut desk = self.desk.lock();
        if desk.publisher == Some(std::thread::current().id()) {
            self.give_back(&mut desk);
        }
    }
}

/// Why an exporter does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The interval cannot be.
    Interval(ConfigError),
    /// The clock cannot wait here.
    NoRuntime(NoRuntime),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(refused) => fmt::Display::fmt(refused, f),
            Self::NoRuntime(missing) => fmt::Display::fmt(missing, f),
        }
    }
}

impl std::error::Error for RunError {}

impl From<ConfigError> for RunError {
    fn from(refused: ConfigError) -> Self {
        Self::Interval(refused)
    }
}

impl From<NoRuntime> for RunError {
    fn from(missing: NoRuntime) -> Self {
        Self::NoRuntime(missing)
    }
}
