//! What is done when a check fails.

use super::finding::Chain;
use super::run::{Lane, Work, asynchronous};
use crate::kernel::backoff::Backoff;
use crate::kernel::config::ConfigError;
use crate::kernel::name::Name;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What to do when a check fails: once per episode, and again only if it did not work.
///
/// An episode begins when the check fails, and ends after two clean results in a row. Actions with
/// the same target count as one: while one of their checks is in an episode, none acts again.
///
/// | setting | default | why |
/// |---|---|---|
/// | [`timeout`](Self::timeout) | 30 s | a restart of a part takes seconds; what takes longer hangs |
/// | [`retries`](Self::retries) | 2 | what did not work three times will not |
/// | [`backoff`](Self::backoff) | 1 s, doubled up to 60 s | leaves what failed time to come back by itself |
///
/// ```
/// use backstop::health::check::{Check, Level, RecoveryAction};
///
/// # struct Pool; impl Pool {
/// # async fn ping(&self) -> Result<(), std::io::Error> { Ok(()) }
/// # async fn reconnect(&self) -> Result<(), std::io::Error> { Ok(()) } }
/// let pool = std::sync::Arc::new(Pool);
/// let again = pool.clone();
/// let check = Check::new("ping", Level::Critical, move || {
///     let pool = pool.clone();
///     async move { pool.ping().await }
/// })
/// .recovery(RecoveryAction::new("pool", move || {
///     let pool = again.clone();
///     async move { pool.reconnect().await }
/// }));
/// # let _ = check;
/// ```
#[derive(Clone)]
pub struct RecoveryAction {
    pub(crate) target: Name,
    pub(crate) work: Work<Result<(), Arc<str>>>,
    pub(crate) lane: Lane,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
}

impl RecoveryAction {
    /// An action on `target`. Each attempt calls `act` in a task of its own.
    pub fn new<F, E>(target: impl Into<Name>, act: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let act = Arc::new(act);
        Self {
            target: target.into(),
            work: asynchronous(move || {
                let act = act.clone();
                async move {
                    let done = act().await;
                    done.map_err(|error| super::finding::bounded(&Chain(&*error.into())))
                }
            }),
            lane: Lane::default(),
            timeout: Duration::from_secs(30),
            retries: 2,
            backoff: Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(60)),
        }
    }

    /// How long an attempt may take (above 0). Default: 30 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often it is tried again within an episode, if it fails. Default: 2.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The waits before it is tried again. Default: 1 s, doubled up to 60 s.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.timeout.is_zero() {
            return Err(ConfigError::new("timeout", "0s", "above 0s").within("recovery"));
        }
        self.backoff
            .validate()
            .map_err(|refused| refused.within("recovery.backoff"))
    }
}

impl fmt::Debug for RecoveryAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryAction")
            .field("target", &self.target)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}
