//! A slot for one call.

use super::machine::Machine;
use crate::kernel::shared::Shared;
use std::fmt;
use std::ops::Deref;

/// A slot that is held: it goes back when this is dropped, once.
pub(super) struct Held<H: Deref<Target = Machine>>(H);

impl<H: Deref<Target = Machine>> Held<H> {
    /// Of a slot that was taken.
    #[inline]
    pub(super) fn new(handle: H) -> Self {
        Self(handle)
    }
}

impl<H: Deref<Target = Machine>> Drop for Held<H> {
    #[inline]
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A slot for one call. Dropping it gives the slot back: to the next waiter, if there is one.
#[must_use = "dropping it gives the slot back"]
pub struct Permit<'a>(#[expect(dead_code, reason = "held for its drop")] Held<&'a Machine>);

/// A [`Permit`] that owns its handle, so that it can move to where the work is: into a task, into
/// the body of a response, or into a blocking closure that runs on after its caller has timed out.
///
/// ```
/// use backstop::{Bulkhead, BulkheadConfig};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bulkhead = Bulkhead::new("files", BulkheadConfig::default())?;
/// let permit = bulkhead.try_acquire_owned()?;
/// let work = tokio::task::spawn_blocking(move || {
///     let _permit = permit; // the slot is taken for as long as the thread is
///     std::fs::read_dir(".").map(|entries| entries.count())
/// });
/// let _ = tokio::time::timeout(Duration::from_secs(1), work).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it gives the slot back"]
pub struct OwnedPermit(#[expect(dead_code, reason = "held for its drop")] Held<Shared<Machine>>);

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(held: Held<&'a Machine>) -> Self {
        Self(held)
    }
}

impl OwnedPermit {
    #[inline]
    pub(super) fn new(held: Held<Shared<Machine>>) -> Self {
        Self(held)
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
