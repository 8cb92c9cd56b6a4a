//! A time limit for code that blocks.

use super::config::Limit;
use super::machine::{Machine, Refused};
use super::totals::Counter;
use crate::kernel::instant::Instant;
use crate::kernel::rejection::Rejection;
use crate::kernel::shared::Shared;
use crate::kernel::sync::{AtomicBool, Ordering};
use std::fmt;
use std::time::Duration;

/// The time by which a blocking call has to be through, from
/// [`Timeout::deadline`](super::Timeout::deadline).
///
/// Blocking code cannot be interrupted: it has to look at the deadline by itself, between its
/// steps, and hand [`remaining`](Self::remaining) to what it waits for. What it does not check it
/// is not held to.
///
/// ```
/// use backstop::{Rejection, Timeout};
/// use std::time::Duration;
///
/// fn sum(timeout: &Timeout, pages: &[&[u64]]) -> Result<u64, Rejection> {
///     let deadline = timeout.deadline();
///     let mut sum = 0;
///     for page in pages {
///         deadline.check()?;
///         sum += page.iter().sum::<u64>();
///     }
///     Ok(sum)
/// }
///
/// let timeout = Timeout::new("report", Duration::from_secs(5))?;
/// assert_eq!(sum(&timeout, &[&[1, 2], &[3]]).unwrap(), 6);
/// # Ok::<(), backstop::ConfigError>(())
/// ```
pub struct Deadline {
    machine: Shared<Machine>,
    limit: Limit,
    at: Instant,
    is_refused: bool,
    /// A call that is over was counted, however often it is checked after that.
    counted: AtomicBool,
}

impl Deadline {
    pub(super) fn new(machine: Shared<Machine>) -> Self {
        let is_refused = machine.is_isolated();
        let limit = machine.limit();
        let at = match limit.duration() {
            Some(limit) if !is_refused => {
                machine.totals.bump(Counter::Armed as usize);
                machine.clock.deadline(limit)
            }
            _ => Instant::from_nanos(0),
        };
        Self {
            machine,
            limit,
            at,
            is_refused,
            counted: AtomicBool::new(false),
        }
    }

    /// How much time is left, zero if it is over; `None` without a limit.
    ///
    /// A socket's read and write timeouts want just this, except that they refuse zero.
    pub fn remaining(&self) -> Option<Duration> {
        if self.is_refused {
            return Some(Duration::ZERO);
        }
        self.limit.duration()?;
        Some(self.at.saturating_duration_since(self.machine.clock.now()))
    }

    /// Whether the time is over, or the timeout was isolated when the deadline was made.
    pub fn is_over(&self) -> bool {
        self.remaining().is_some_and(|left| left.is_zero())
    }

    /// Ends the call with `?` if the time is over; counted once per deadline.
    ///
    /// # Errors
    ///
    /// A rejection of the kind [`TimedOut`](crate::kernel::rejection::RejectionKind::TimedOut); of
    /// the kind [`ForcedOpen`](crate::kernel::rejection::RejectionKind::ForcedOpen) if the timeout
    /// was isolated when the deadline was made.
    pub fn check(&self) -> Result<(), Rejection> {
        if self.is_over() {
            Err(self.refuse())
        } else {
            Ok(())
        }
    }

    #[cold]
    fn refuse(&self) -> Rejection {
        let is_first = !self.counted.swap(true, Ordering::Relaxed);
        let (counter, refused) = if self.is_refused {
            (Counter::RejectedForcedOpen, Refused::Isolated)
        } else {
            let limit = self.limit.duration().unwrap_or_default();
            (Counter::TimedOut, Refused::TimedOut(limit))
        };
        if is_first {
            self.machine.totals.bump(counter as usize);
        }
        self.machine.reject(refused)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("timeout", &self.machine.name)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
