//! One error for a whole stack of policies.
//!
//! Layers do not nest their error types. A policy that refuses a call makes a [`Rejection`], and
//! the error of the stack is the error of the service, as long as it is `From<Rejection>`:
//! `Box<dyn Error + Send + Sync>`, [`Error<E>`], `anyhow::Error` (feature `anyhow`), or your own.

use crate::kernel::instant::saturating_nanos;
use crate::kernel::name::Name;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a classifier hands over as the reason of a failure.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A cause as rejections keep it: one thin pointer to the one that the classifier handed over.
pub(crate) type SharedCause = Arc<Cause>;

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

/// A policy's refusal of a call, by value: making or cloning one allocates nothing, except that
/// [`with_cause`](Self::with_cause) does.
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
    // A word of its own, and the first: the compiler puts the tags of the enums around a rejection
    // into what this has no use for, and so a result is moved in whole words.
    facts: FactsKind,
    /// The numbers of the facts, as [`FactsKind`] says.
    numbers: u64,
    policy: &'static str,
    name: Name,
    /// In nanoseconds; [`NEVER`] for none, [`LONGEST`] for the longest there is.
    retry_after: u64,
    // A second pointer, so that the first one is thin.
    cause: Option<SharedCause>,
    kind: RejectionKind,
    executed: Executed,
}

/// No time at which coming back makes sense.
pub(crate) const NEVER: u64 = u64::MAX;

/// A wait that does not fit into a word of nanoseconds.
pub(crate) const LONGEST: u64 = NEVER - 1;

/// Which of the [`Facts`] a word of numbers tells.
///
/// Packed, because every guarded call's result has room for a rejection: what is moved and stored
/// with it is most of what a call costs.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum FactsKind {
    None,
    /// Two numbers, the bad ones in the low half; so are the next two.
    FailureRate,
    SlowRate,
    Probes,
    /// One number.
    Consecutive,
    /// One number.
    Limit,
    /// In nanoseconds.
    Time,
}

/// Two numbers in one word.
pub(crate) const fn pair(bad: u32, recorded: u32) -> u64 {
    bad as u64 | (recorded as u64) << 32
}

impl Facts {
    const fn pack(self) -> (FactsKind, u64) {
        match self {
            Self::None => (FactsKind::None, 0),
            Self::FailureRate { failed, recorded } => {
                (FactsKind::FailureRate, pair(failed, recorded))
            }
            Self::SlowRate { slow, recorded } => (FactsKind::SlowRate, pair(slow, recorded)),
            Self::Probes { bad, recorded } => (FactsKind::Probes, pair(bad, recorded)),
            Self::Consecutive { failures } => (FactsKind::Consecutive, failures as u64),
            Self::Limit { limit } => (FactsKind::Limit, limit),
            Self::Time { limit } => (FactsKind::Time, saturating_nanos(limit)),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of the word")]
    const fn unpack(kind: FactsKind, numbers: u64) -> Self {
        let (bad, recorded) = (numbers as u32, (numbers >> 32) as u32);
        match kind {
            FactsKind::None => Self::None,
            FactsKind::FailureRate => Self::FailureRate {
                failed: bad,
                recorded,
            },
            FactsKind::SlowRate => Self::SlowRate {
                slow: bad,
                recorded,
            },
            FactsKind::Probes => Self::Probes { bad, recorded },
            FactsKind::Consecutive => Self::Consecutive { failures: bad },
            FactsKind::Limit => Self::Limit { limit: numbers },
            FactsKind::Time => Self::Time {
                limit: match numbers {
                    u64::MAX => Duration::MAX,
                    nanos => Duration::from_nanos(nanos),
                },
            },
        }
    }
}

fn nanos_or_never(wait: Option<Duration>) -> u64 {
    wait.map_or(NEVER, |wait| saturating_nanos(wait).min(LONGEST))
}

impl Rejection {
    /// A refusal by `policy` (its type in `snake_case`) called `name`; nothing was executed, there
    /// is no hint and no cause.
    pub const fn new(policy: &'static str, name: Name, kind: RejectionKind) -> Self {
        Self {
            facts: FactsKind::None,
            numbers: 0,
            policy,
            name,
            retry_after: NEVER,
            cause: None,
            kind,
            executed: match kind {
                RejectionKind::TimedOut | RejectionKind::Panicked => Executed::Unknown,
                _ => Executed::No,
            },
        }
    }

    /// All at once, of a call that was not executed: each `with_` moves the whole value.
    #[inline]
    #[allow(dead_code, reason = "for policies that keep their facts unpacked")]
    pub(crate) fn assemble(
        policy: &'static str,
        name: Name,
        kind: RejectionKind,
        facts: Facts,
        retry_after: Option<Duration>,
        cause: Option<Cause>,
    ) -> Self {
        let (wait, cause) = (nanos_or_never(retry_after), cause.map(Arc::new));
        Self::assemble_packed(policy, name, kind, facts.pack(), wait, cause)
    }

    /// The same of what is at hand in the form in which it is kept.
    #[inline]
    pub(crate) fn assemble_packed(
        policy: &'static str,
        name: Name,
        kind: RejectionKind,
        (facts, numbers): (FactsKind, u64),
        retry_after: u64,
        cause: Option<SharedCause>,
    ) -> Self {
        Self {
            facts,
            numbers,
            policy,
            name,
            retry_after,
            cause,
            kind,
            executed: Executed::No,
        }
    }

    /// The first refusal among an error and its sources: an error of other layers may be around it.
    ///
    /// ```
    /// use backstop::{CircuitBreaker, CircuitBreakerConfig, Rejection, RejectionKind};
    ///
    /// let breaker = CircuitBreaker::new("payments", CircuitBreakerConfig::default())?;
    /// breaker.force_open();
    /// let error = breaker.call_blocking(|| Ok::<_, std::io::Error>(())).unwrap_err();
    /// let error: Box<dyn std::error::Error + Send + Sync> = error.into();
    /// let refused = Rejection::find(&*error).expect("it was refused");
    /// assert_eq!(refused.kind(), RejectionKind::ForcedOpen);
    /// # Ok::<(), backstop::ConfigError>(())
    /// ```
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source())
            .find_map(|error| error.downcast_ref())
    }

    /// Adds the numbers behind it. A time limit above 584 years reads as
    /// [`Duration::MAX`].
    pub fn with_facts(mut self, facts: Facts) -> Self {
        (self.facts, self.numbers) = facts.pack();
        self
    }

    /// Adds when coming back makes sense. A wait above 584 years reads as
    /// [`Duration::MAX`], so that nobody is told to come back early.
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = nanos_or_never(retry_after);
        self
    }

    /// Adds the error that led to it, which costs an allocation.
    pub fn with_cause(mut self, cause: Option<Cause>) -> Self {
        self.cause = cause.map(Arc::new);
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
        Facts::unpack(self.facts, self.numbers)
    }

    /// How long to wait before coming back makes sense; never too short.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.retry_after {
            NEVER => None,
            LONGEST => Some(Duration::MAX),
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// The error that led to it, where a classifier handed one over.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_deref()
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
        match self.facts() {
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
        match self.retry_after() {
            Some(after) => write!(f, "; retry after {after:.1?}"),
            None => Ok(()),
        }
    }
}

#[expect(
    clippy::missing_fields_in_debug,
    reason = "the numbers are shown as facts"
)]
impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("policy", &self.policy)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("executed", &self.executed)
            .field("facts", &self.facts())
            .field("retry_after", &self.retry_after())
            .field("cause", &self.cause)
            .finish()
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|cause| &**cause as _)
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
    /// Of a rejection, the rejection, so that a policy further out finds it behind a box, whatever
    /// `E` is; of the call's own error, its source.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(rejection) => Some(rejection),
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

/// The error itself, or one of its sources.
impl PolicyError for Box<dyn std::error::Error + Send + Sync> {
    fn rejection(&self) -> Option<&Rejection> {
        Rejection::find(&**self)
    }
}

#[cfg(feature = "anyhow")]
impl PolicyError for anyhow::Error {
    fn rejection(&self) -> Option<&Rejection> {
        self.chain().find_map(|error| error.downcast_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::task::Poll;

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
        let source = wrapped.source().unwrap();
        assert!(source.is::<Rejection>());
        assert_eq!(source.source().unwrap().to_string(), "refused");
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
        let error = || Error::<std::io::Error>::from(rejection());
        let boxed: Box<dyn std::error::Error + Send + Sync> = error().into();
        assert_eq!(boxed.rejection().unwrap().name().as_str(), "db");
        let other: Box<dyn std::error::Error + Send + Sync> = "down".into();
        assert!(other.rejection().is_none());
        #[cfg(feature = "anyhow")]
        {
            assert_eq!(recognised::<anyhow::Error>(), Some(RejectionKind::Open));
            let within = anyhow::Error::new(error()).context("while paying");
            assert_eq!(within.rejection().unwrap().name().as_str(), "db");
        }
        let foreign: Box<dyn std::error::Error + Send + Sync> = "no".into();
        assert!(foreign.rejection().is_none());
        assert!(Error::Inner(1_u8).rejection().is_none());
        assert_eq!(Error::Inner(1_u8).into_inner(), Some(1));
    }

    #[test]
    fn facts_and_waits_come_back_as_they_were_given() {
        let all = [
            Facts::None,
            Facts::FailureRate {
                failed: 1,
                recorded: u32::MAX,
            },
            Facts::SlowRate {
                slow: u32::MAX,
                recorded: 2,
            },
            Facts::Consecutive { failures: u32::MAX },
            Facts::Probes {
                bad: 3,
                recorded: 4,
            },
            Facts::Limit { limit: u64::MAX },
            Facts::Time {
                limit: Duration::from_nanos(u64::MAX - 1),
            },
        ];
        let waits = [0, 1, u64::MAX - 2].map(Duration::from_nanos).map(Some);
        for facts in all {
            for wait in waits.into_iter().chain([None]) {
                let given = rejection().with_facts(facts).with_retry_after(wait);
                assert_eq!((given.facts(), given.retry_after()), (facts, wait));
                let (name, kind) = (Name::from("db"), RejectionKind::Open);
                let given = Rejection::assemble("policy", name, kind, facts, wait, None);
                assert_eq!((given.facts(), given.retry_after()), (facts, wait));
            }
        }
        // What does not fit is never shorter, and not none.
        for longest in [Duration::MAX, Duration::from_nanos(u64::MAX)] {
            let given = rejection().with_retry_after(Some(longest));
            assert_eq!(given.retry_after(), Some(Duration::MAX));
            let given = rejection().with_facts(Facts::Time { limit: longest });
            let limit = Duration::MAX;
            assert_eq!(given.facts(), Facts::Time { limit });
        }
    }

    #[test]
    fn a_rejection_is_nine_words_and_so_is_the_result_of_a_call() {
        assert_eq!(size_of::<Rejection>(), 72);
        assert_eq!(size_of::<Error<u64>>(), 72);
        assert_eq!(size_of::<Poll<Result<u64, Error<u64>>>>(), 72);
        assert_eq!(size_of::<Poll<Result<[u64; 8], Error<[u64; 8]>>>>(), 72);
    }
}
