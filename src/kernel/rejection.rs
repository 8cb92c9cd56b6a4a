//! One error for a whole stack of policies.
//!
//! Layers do not nest their error types. A policy that refuses a call makes a [`Rejection`], and
//! the error of the stack is the error of the service, as long as it is `From<Rejection>`:
//! `Box<dyn Error + Send + Sync>`, [`Error<E>`], `anyhow::Error` (feature `anyhow`), or your own.

use crate::kernel::name::Name;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What happened to a call that a policy refused. Kinds tell what happened, not which policy spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// A circuit is open: the callee fails too often to be asked.
    Open,
    /// An operator, or something that repairs the callee, holds the circuit open.
    ForcedOpen,
    /// The circuit is being probed and has all the probes it needs.
    ProbesFull,
    /// No capacity, and no room to wait.
    Full,
    /// Dropped to protect more important work.
    Shed,
    /// Over the agreed rate.
    RateLimited,
    /// The component is being restarted.
    Restarting,
    /// It ran, and did not finish in time.
    TimedOut,
    /// The policy needs a timer, and there is no tokio runtime with timers here. Nothing is wrong
    /// with the callee.
    NoRuntime,
    /// It ran where its panic could be caught, and panicked.
    Panicked,
}

impl RejectionKind {
    /// In `snake_case`, as in metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ForcedOpen => "forced_open",
            Self::ProbesFull => "probes_full",
            Self::Full => "full",
            Self::Shed => "shed",
            Self::RateLimited => "rate_limited",
            Self::Restarting => "restarting",
            Self::TimedOut => "timed_out",
            Self::NoRuntime => "no_runtime",
            Self::Panicked => "panicked",
        }
    }
}

/// Whether a rejected call may have had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It did not start.
    No,
    /// It was running when it was given up; nobody knows how far it got.
    Unknown,
}

/// The numbers behind a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facts {
    /// The kind says it all.
    None,
    /// Too many failures among the recorded calls.
    FailureRate {
        /// Failed calls in the window when the circuit opened.
        failed: u32,
        /// All calls in the window then.
        recorded: u32,
    },
    /// Too many slow calls among the recorded ones.
    SlowRate {
        /// Slow calls in the window when the circuit opened.
        slow: u32,
        /// All calls in the window then.
        recorded: u32,
    },
    /// Too many failures in a row.
    Consecutive {
        /// How many.
        failures: u32,
    },
    /// Too many probes failed or were slow.
    Probes {
        /// Failed and slow ones.
        bad: u32,
        /// All that were answered.
        recorded: u32,
    },
    /// A limit was reached.
    Limit {
        /// The limit.
        limit: u64,
    },
    /// A time limit was reached.
    Time {
        /// The limit.
        limit: Duration,
    },
}

/// A policy's refusal of a call, by value: making or cloning one allocates nothing.
///
/// ```
/// use backstop::{CircuitBreaker, CircuitBreakerConfig, Error};
///
/// let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
/// breaker.force_open();
/// let refused = breaker.call_blocking(|| Ok::<_, std::io::Error>(())).unwrap_err();
/// let Error::Rejected(rejection) = &refused else { panic!() };
/// assert_eq!(rejection.name().as_str(), "payments");
/// assert_eq!(refused.to_string(), "circuit_breaker `payments` is forced open");
/// # Ok::<(), backstop::kernel::config::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Rejection {
    policy: &'static str,
    name: Name,
    kind: RejectionKind,
    executed: Executed,
    facts: Facts,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

impl Rejection {
    /// A refusal by `policy` (its type in `snake_case`) called `name`; nothing was executed, there
    /// is no hint and no cause.
    pub const fn new(policy: &'static str, name: Name, kind: RejectionKind) -> Self {
        Self {
            policy,
            name,
            kind,
            executed: match kind {
                RejectionKind::TimedOut | RejectionKind::Panicked => Executed::Unknown,
                _ => Executed::No,
            },
            facts: Facts::None,
            retry_after: None,
            cause: None,
        }
    }

    /// All at once: each `with_` moves the whole value.
    #[inline]
    pub(crate) fn assemble(
        policy: &'static str,
        name: Name,
        kind: RejectionKind,
        facts: Facts,
        retry_after: Option<Duration>,
        cause: Option<Cause>,
    ) -> Self {
        let executed = Executed::No;
        Self {
            policy,
            name,
            kind,
            executed,
            facts,
            retry_after,
            cause,
        }
    }

    /// Adds the numbers behind it.
    pub fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Adds when coming back makes sense.
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds the error that led to it.
    pub fn with_cause(mut self, cause: Option<Cause>) -> Self {
        self.cause = cause;
        self
    }

    /// Says that the call may have had an effect.
    pub fn with_executed(mut self, executed: Executed) -> Self {
        self.executed = executed;
        self
    }

    /// The type of the policy that refused, in `snake_case`.
    pub const fn policy(&self) -> &'static str {
        self.policy
    }

    /// The name of the policy that refused.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What happened.
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// Whether the call may have had an effect.
    pub const fn executed(&self) -> Executed {
        self.executed
    }

    /// The numbers behind it.
    pub const fn facts(&self) -> Facts {
        self.facts
    }

    /// How long to wait before coming back makes sense; never too short.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error that led to it, where a classifier handed one over.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            RejectionKind::Open => "is open",
            RejectionKind::ForcedOpen => "is forced open",
            RejectionKind::ProbesFull => "is half-open and has all its probes",
            RejectionKind::Full => "is full",
            RejectionKind::Shed => "sheds load",
            RejectionKind::RateLimited => "is over its rate",
            RejectionKind::Restarting => "is restarting",
            RejectionKind::TimedOut => "timed out",
            RejectionKind::NoRuntime => "has no tokio runtime with timers",
            RejectionKind::Panicked => "ran a call that panicked",
        };
        write!(f, "{} `{}` {what}", self.policy, self.name)?;
        match self.facts {
            Facts::None => {}
            Facts::FailureRate { failed, recorded } => {
                write!(f, ": {failed} of {recorded} calls failed")?;
            }
            Facts::SlowRate { slow, recorded } => {
                write!(f, ": {slow} of {recorded} calls were slow")?;
            }
            Facts::Consecutive { failures: 1 } => f.write_str(": 1 failure in a row")?,
            Facts::Consecutive { failures } => write!(f, ": {failures} failures in a row")?,
            Facts::Probes { bad, recorded } => {
                write!(f, ": {bad} of {recorded} probes failed or were slow")?;
            }
            Facts::Limit { limit } => write!(f, ": the limit is {limit}")?,
            Facts::Time { limit } => write!(f, ": the limit is {limit:?}")?,
        }
        match self.retry_after {
            Some(after) => write!(f, "; retry after {after:.1?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("policy", &self.policy)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("executed", &self.executed)
            .field("facts", &self.facts)
            .field("retry_after", &self.retry_after)
            .field("cause", &self.cause)
            .finish()
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// What a guarded call ends with: the policy's refusal, or the call's own error.
#[derive(Clone, Debug)]
pub enum Error<E> {
    /// A policy refused the call.
    Rejected(Rejection),
    /// The call was made, and this is its error.
    Inner(E),
}

impl<E> Error<E> {
    /// The call's own error, if it was made.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Rejected(_) => None,
            Self::Inner(error) => Some(error),
        }
    }
}

impl<E> From<Rejection> for Error<E> {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    /// The source of the part that is shown, so that no message is told twice.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(rejection) => rejection.source(),
            Self::Inner(error) => error.source(),
        }
    }
}

/// An error in which an outer policy can recognise an inner one's refusal.
///
/// Layers need only `From<Rejection>`; this is for the default classifier. An error that is not
/// recognised is a failure.
pub trait PolicyError: From<Rejection> {
    /// The refusal, if this error is one.
    fn rejection(&self) -> Option<&Rejection>;
}

impl PolicyError for Rejection {
    fn rejection(&self) -> Option<&Rejection> {
        Some(self)
    }
}

impl<E> PolicyError for Error<E> {
    fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
            Self::Inner(_) => None,
        }
    }
}

impl PolicyError for Box<dyn std::error::Error + Send + Sync> {
    fn rejection(&self) -> Option<&Rejection> {
        self.downcast_ref()
    }
}

#[cfg(feature = "anyhow")]
impl PolicyError for anyhow::Error {
    fn rejection(&self) -> Option<&Rejection> {
        self.downcast_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn rejection() -> Rejection {
        Rejection::new("circuit_breaker", Name::from("db"), RejectionKind::Open)
            .with_facts(Facts::FailureRate {
                failed: 12,
                recorded: 20,
            })
            .with_retry_after(Some(Duration::from_millis(2500)))
            .with_cause(Some(Arc::new(std::io::Error::other("refused"))))
    }

    #[test]
    fn it_tells_what_why_and_when() {
        let rejection = rejection();
        assert_eq!(
            rejection.to_string(),
            "circuit_breaker `db` is open: 12 of 20 calls failed; retry after 2.5s"
        );
        assert_eq!(rejection.source().unwrap().to_string(), "refused");
        assert_eq!(rejection.executed(), Executed::No);
        assert!(format!("{rejection:?}").contains("FailureRate"));
        let wrapped = Error::<std::io::Error>::from(rejection);
        assert_eq!(wrapped.source().unwrap().to_string(), "refused");
        assert!(wrapped.clone_kind() == Some(RejectionKind::Open));
        let timed_out = Rejection::new("timeout", Name::from("db"), RejectionKind::TimedOut);
        assert_eq!(timed_out.executed(), Executed::Unknown);
    }

    impl<E> Error<E> {
        fn clone_kind(&self) -> Option<RejectionKind> {
            self.rejection().map(Rejection::kind)
        }
    }

    #[test]
    fn every_error_type_of_a_stack_recognises_it() {
        fn recognised<E: PolicyError>() -> Option<RejectionKind> {
            E::from(rejection()).rejection().map(Rejection::kind)
        }
        assert_eq!(recognised::<Rejection>(), Some(RejectionKind::Open));
        assert_eq!(recognised::<Error<u8>>(), Some(RejectionKind::Open));
        assert_eq!(
            recognised::<Box<dyn std::error::Error + Send + Sync>>(),
            Some(RejectionKind::Open)
        );
        #[cfg(feature = "anyhow")]
        assert_eq!(recognised::<anyhow::Error>(), Some(RejectionKind::Open));
        let foreign: Box<dyn std::error::Error + Send + Sync> = "no".into();
        assert!(foreign.rejection().is_none());
        assert!(Error::Inner(1_u8).rejection().is_none());
        assert_eq!(Error::Inner(1_u8).into_inner(), Some(1));
    }

    #[test]
    fn a_rejection_is_small() {
        assert!(size_of::<Rejection>() <= 112, "{}", size_of::<Rejection>());
    }
}
