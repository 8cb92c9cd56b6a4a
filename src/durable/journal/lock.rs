//! The lock that keeps a journal to one process.

use super::layout::LOCK;
use super::open_error::OpenError;
use crate::durable::storage::{LockError, Operation, Storage, StorageError, StorageLock};
use crate::kernel::clock::Clock;
use std::path::Path;
use std::time::Duration;

/// A lock tells nobody that it is given back, so it is asked for again this often.
const AGAIN: Duration = Duration::from_millis(10);

/// Takes the lock of the journal in `dir`, for which it waits up to `wait`.
pub(super) fn take(
    storage: &dyn Storage,
    dir: &Path,
    clock: &Clock,
    wait: Duration,
) -> Result<Box<dyn StorageLock>, OpenError> {
    let path = dir.join(LOCK);
    let us = format!("process {}", std::process::id());
    let start = clock.now();
    let deadline = start + wait;
    loop {
        match storage.lock(&path, &us) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Io(error)) => {
                return Err(StorageError::new(Operation::Lock, path, error).into());
            }
            Err(LockError::Held { holder }) => {
                let now = clock.now();
                if now >= deadline {
                    let waited = now.saturating_duration_since(start);
                    return Err(OpenError::Locked {
                        path,
                        holder,
                        waited,
                    });
                }
                clock.park_until(deadline.min(now + AGAIN));
            }
        }
    }
}
