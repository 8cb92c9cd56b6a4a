//! The handle that users hold.

use super::bucket::Bucket;
use super::config::{BudgetConfig, Rules};
use super::in_flight::InFlight;
use super::tokens::Tokens;
use crate::kernel::clock::Clock;
use crate::kernel::config::ConfigError;
use crate::kernel::shared::Shared;
use crate::kernel::window::Class;
use std::fmt;

/// What the retries and hedges of a target may add to its load. See the [room](super).
///
/// Clones share the budget. One made from a `&'static` copies a pointer.
#[derive(Clone)]
pub struct RetryBudget(Shared<Core>);

struct Core {
    config: BudgetConfig,
    clock: Clock,
    kind: Kind,
}

enum Kind {
    None,
    Bucket(Bucket),
    InFlight(InFlight),
    Tokens(Tokens),
}

impl RetryBudget {
    /// A budget on the default clock, with what its minimum allows.
    ///
    /// # Errors
    ///
    /// A configuration that cannot be: the error names the field, its value and what is allowed.
    pub fn new(config: BudgetConfig) -> Result<Self, ConfigError> {
        Self::with_clock(config, Clock::default())
    }

    /// The same on a clock of your own.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(config: BudgetConfig, clock: impl Into<Clock>) -> Result<Self, ConfigError> {
        let clock = clock.into();
        let kind = match config.rules()? {
            Rules::None => Kind::None,
            Rules::TokenBucket {
                ttl,
                reserve,
                share,
            } => Kind::Bucket(Bucket::new(ttl, reserve, share, &clock)),
            Rules::InFlight { share, at_least } => Kind::InFlight(InFlight::new(share, at_least)),
            Rules::Tokens { max, ratio } => Kind::Tokens(Tokens::new(max, ratio)),
        };
        Ok(Self(Shared::new(Core {
            config,
            clock,
            kind,
        })))
    }

    /// A call begins. The guard says how it goes; without a word it was given up, which counts as a
    /// call all the same.
    pub fn begin(&self) -> BudgetedCall<'_> {
        self.enter();
        BudgetedCall {
            budget: self,
            has_paid: false,
        }
    }

    /// Takes leave for one further attempt; `None` if there is none to be had.
    pub fn try_withdraw(&self) -> Option<Withdrawal> {
        let slot = match &self.0.kind {
            Kind::None => 0,
            Kind::Bucket(bucket) => bucket.try_take(&self.0.clock)?,
            Kind::InFlight(in_flight) => in_flight.try_take().then_some(0)?,
            Kind::Tokens(tokens) => tokens.allows().then_some(0)?,
        };
        Some(Withdrawal {
            budget: self.clone(),
            slot,
            is_spent: false,
        })
    }

    /// How many further attempts it would allow now; `None` if it has no limit.
    pub fn balance(&self) -> Option<u64> {
        match &self.0.kind {
            Kind::None => None,
            Kind::Bucket(bucket) => Some(bucket.balance(&self.0.clock)),
            Kind::InFlight(in_flight) => Some(in_flight.balance()),
            Kind::Tokens(tokens) => Some(tokens.balance()),
        }
    }

    /// Forgets what was paid in and taken. What is in flight stays so.
    pub fn reset(&self) {
        match &self.0.kind {
            Kind::None | Kind::InFlight(_) => {}
            Kind::Bucket(bucket) => bucket.reset(),
            Kind::Tokens(tokens) => tokens.reset(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> BudgetConfig {
        self.0.config
    }
}

/// The steps of a [`BudgetedCall`], for futures that keep track themselves.
impl RetryBudget {
    /// Whether it has to hear of the begin of a call.
    pub(crate) fn counts_in_flight(&self) -> bool {
        matches!(self.0.kind, Kind::InFlight(_))
    }

    /// Whether it has to hear of anything.
    pub(crate) fn is_limited(&self) -> bool {
        !matches!(self.0.kind, Kind::None)
    }

    /// A call begins.
    #[inline]
    pub(crate) fn enter(&self) {
        if let Kind::InFlight(in_flight) = &self.0.kind {
            in_flight.enter();
        }
    }

    /// A call that entered is over.
    #[inline]
    pub(crate) fn leave(&self) {
        if let Kind::InFlight(in_flight) = &self.0.kind {
            in_flight.leave();
        }
    }

    /// A call that entered succeeded at its first attempt, and is over. `true` if the budget has
    /// counted it, as [`good`](Self::good) tells.
    #[inline]
    pub(crate) fn finish_good(&self) -> bool {
        match &self.0.kind {
            Kind::None => {}
            Kind::Bucket(bucket) => {
                bucket.deposit(&self.0.clock, Class::Ok);
                return true;
            }
            Kind::InFlight(in_flight) => in_flight.leave(),
            Kind::Tokens(tokens) => tokens.succeed(),
        }
        false
    }

    /// A call's first attempt is over, and was not that good.
    pub(crate) fn deposit_other(&self) {
        if let Kind::Bucket(bucket) = &self.0.kind {
            bucket.deposit(&self.0.clock, Class::Failed);
        }
    }

    /// An attempt succeeded.
    pub(crate) fn succeed(&self) {
        if let Kind::Tokens(tokens) = &self.0.kind {
            tokens.succeed();
        }
    }

    /// An attempt failed.
    pub(crate) fn fail(&self) {
        if let Kind::Tokens(tokens) = &self.0.kind {
            tokens.fail();
        }
    }

    /// What [`finish_good`](Self::finish_good) has counted.
    pub(crate) fn good(&self) -> u64 {
        match &self.0.kind {
            Kind::Bucket(bucket) => bucket.good(),
            _ => 0,
        }
    }
}

/// The handle that copies a pointer instead of counting references.
impl From<&'static RetryBudget> for RetryBudget {
    fn from(budget: &'static RetryBudget) -> Self {
        Self(Shared::of_static(&budget.0))
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("config", &self.0.config)
            .field("balance", &self.balance())
            .finish_non_exhaustive()
    }
}

/// A call under way, as its budget sees it. Dropping it ends the call.
#[must_use = "dropping it ends the call"]
pub struct BudgetedCall<'a> {
    budget: &'a RetryBudget,
    has_paid: bool,
}

impl BudgetedCall<'_> {
    /// An attempt failed in a way that another one might mend.
    pub fn failure(&mut self) {
        self.pay();
        self.budget.fail();
    }

    /// The call succeeded, whichever attempt did it.
    pub fn success(mut self) {
        self.pay();
        self.budget.succeed();
    }

    fn pay(&mut self) {
        if !std::mem::replace(&mut self.has_paid, true) {
            self.budget.deposit_other();
        }
    }
}

impl Drop for BudgetedCall<'_> {
    fn drop(&mut self) {
        self.pay();
        self.budget.leave();
    }
}

impl fmt::Debug for BudgetedCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetedCall").finish_non_exhaustive()
    }
}

/// Leave for one further attempt. Keep it until that attempt is over.
///
/// Dropped without [`spend`](Self::spend), it goes back: the attempt was not made after all.
#[must_use = "dropping it gives it back"]
pub struct Withdrawal {
    budget: RetryBudget,
    slot: u64,
    is_spent: bool,
}

impl Withdrawal {
    /// The attempt is made now.
    pub fn spend(&mut self) {
        self.is_spent = true;
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        match &self.budget.0.kind {
            Kind::Bucket(bucket) if !self.is_spent => bucket.give_back(self.slot),
            // In flight until here, whether it was made or not.
            Kind::InFlight(in_flight) => in_flight.give_back(),
            Kind::Bucket(_) | Kind::None | Kind::Tokens(_) => {}
        }
    }
}

impl fmt::Debug for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Withdrawal")
            .field("is_spent", &self.is_spent)
            .finish_non_exhaustive()
    }
}
