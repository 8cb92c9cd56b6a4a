//! What the manager tells the gate of a component.

use super::record::CallsSeen;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future, for what is done once in a reboot.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The manager's side of a gate, in this order: `begin`, `drain`, and then once `open` or `fail`, for
/// each reboot that takes the component along. `calls` may be asked at any time.
pub(crate) trait GateControl: fmt::Debug + Send + Sync {
    /// A reboot begins: no new call goes through.
    fn begin(&self);

    /// Resolves once the calls in flight have ended, or were dropped at the gate's own bound.
    fn drain(&self) -> Boxed<'_, ()>;

    /// The component is verified: calls go through. `took` is what the reboot took, since `begin`.
    fn open(&self, took: Duration);

    /// No rung helped: who waits is refused.
    fn fail(&self);

    /// The calls since the gate was made.
    fn calls(&self) -> CallsSeen;
}
