//! One circuit per endpoint, tenant or route.

use super::config::CircuitBreakerConfig;
use super::event::State;
use super::handle::CircuitBreaker;
use super::totals::Totals;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::keyed::{Entry, Keyed, sealed::Sealed};
use crate::kernel::name::Name;
use std::hash::Hash;
use std::sync::Arc;

impl Sealed for CircuitBreaker {}

impl Entry for CircuitBreaker {
    type Remains = Totals;

    fn is_held(&self) -> bool {
        // The set's own handle is one; permits and subscribers' guards hold others.
        self.handles() > 1
    }

    fn is_idle(&self) -> bool {
        match self.machine().word().state() {
            State::Closed | State::HalfOpen => true,
            State::Open => !self.machine().is_shut(),
            // Set by hand, so it is not ours to forget.
            State::ForcedOpen | State::Disabled | State::MetricsOnly => false,
        }
    }

    fn leave(&self, remains: &mut Totals) {
        remains.add(&self.totals());
    }
}

impl<K> Keyed<K, CircuitBreaker>
where
    K: Hash + Eq + Send + Sync + 'static,
{
    /// An empty set of at most `capacity` circuits (1 to 16,777,216) that share a name and a
    /// configuration.
    ///
    /// ```
    /// use backstop::kernel::keyed::Keyed;
    /// use backstop::{CircuitBreaker, CircuitBreakerConfig};
    ///
    /// let config = CircuitBreakerConfig::consecutive(1);
    /// let hosts = Keyed::<String, CircuitBreaker>::new("hosts", 1_000, config)?;
    /// let _ = hosts.get("a.example").call_blocking(|| Err::<(), _>("down"));
    /// assert!(hosts.get("a.example").call_blocking(|| Ok::<_, ()>(())).is_err());
    /// assert!(hosts.get("b.example").call_blocking(|| Ok::<_, ()>(())).is_ok());
    /// # Ok::<(), backstop::kernel::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A capacity out of range, or a configuration that cannot be.
    pub fn new(
        name: impl Into<Name>,
        capacity: usize,
        config: CircuitBreakerConfig,
    ) -> Result<Self, ConfigError> {
        Self::with_clock(name, capacity, config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(
        name: impl Into<Name>,
        capacity: usize,
        config: CircuitBreakerConfig,
        clock: impl Into<Clock>,
    ) -> Result<Self, ConfigError> {
        let (name, clock) = (name.into(), clock.into());
        let rules = Arc::new(config.rules()?);
        let overflow = CircuitBreaker::build(name.clone(), rules.clone(), clock.clone(), false)?;
        let (label, fallback) = (name.clone(), overflow.clone());
        Self::with(name, capacity, overflow, move |_| {
            // The overflow entry was made of this configuration, so it cannot be refused here.
            CircuitBreaker::build(label.clone(), rules.clone(), clock.clone(), true)
                .unwrap_or_else(|_| fallback.clone())
        })
    }

    /// The totals of all circuits, of those evicted too.
    pub fn totals(&self) -> Totals {
        self.sum()
    }

    /// How many circuits are in `state`.
    pub fn count_in(&self, state: State) -> usize {
        let mut count = 0;
        self.for_each(|_, breaker| count += usize::from(breaker.state() == state));
        count
    }
}
