//! Retry: makes a call again that failed, as long as that is likely to help and does no harm.

mod attempt;
mod repeat;
mod when;

pub use attempt::Attempt;
pub use repeat::{ByClone, NeverRepeat, Repeat};
pub use when::{Decision, DefaultRetry, Hint, RetryWhen};
