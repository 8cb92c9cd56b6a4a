//! What users hold.

use super::append::{AppendFuture, SyncFuture};
use super::engine::{Core, Engine};
use super::refusal::AppendError;
use crate::kernel::shared::Shared;
use std::fmt;

/// An open journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    core: Core,
}

impl Journal {
    pub(super) fn of(engine: Engine) -> Self {
        Self {
            core: Core(Shared::new(engine)),
        }
    }

    pub(super) fn totals(&self) -> (u64, u64) {
        self.core.site.figures.totals()
    }
    /// Appends a record and blocks until it is acknowledged; answers its sequence.
    pub fn append(&self, kind: u32, payload: &[u8]) -> Result<u64, AppendError> {
        self.core.append(kind, payload)
    }

    /// The same from a task, without blocking it.
    pub fn append_async<'a>(&'a self, kind: u32, payload: &'a [u8]) -> AppendFuture<'a> {
        AppendFuture::new(&self.core, kind, payload)
    }

    /// Blocks until everything that was appended by now is durable; answers the last sequence of it.
    pub fn sync(&self) -> Result<u64, AppendError> {
        self.core.sync()
    }

    /// The same from a task, without blocking it.
    pub fn sync_async(&self) -> SyncFuture<'_> {
        SyncFuture::new(&self.core)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}
