//! Retry: makes a call again that failed, as long as that is likely to help and does no harm.

mod attempt;
mod call;
mod config;
mod event;
mod flight;
mod handle;
mod machine;
mod repeat;
mod service;
mod totals;
mod trace;
mod when;

pub use attempt::Attempt;
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use attempt::{Operation, StartAttempt};
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use call::Retrying;
pub use config::RetryConfig;
pub use event::{RetryEvent, RetryEventKind, StopReason};
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use flight::Flight;
pub use handle::Retry;
pub(crate) use handle::WeakRetry;
#[allow(unused_imports, reason = "for what composes policies")]
pub(crate) use machine::Machine;
pub use repeat::{ByClone, NeverRepeat, Repeat};
pub use service::{RetryFuture, RetryLayer, RetryService};
pub(crate) use totals::LastWords;
pub use totals::RetryTotals;
pub use when::{Decision, DefaultRetry, Hint, RetryWhen};
