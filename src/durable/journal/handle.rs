//! What users hold.

use super::append::{AppendFuture, SyncFuture};
use super::compact::{CompactError, Compaction};
use super::engine::{Core, Engine};
use super::event::JournalEvent;
use super::refusal::AppendError;
use super::status::{JournalState, JournalStatus};
use crate::durable::storage::offload;
use crate::kernel::event::Subscriber;
use crate::kernel::shared::Shared;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// An open journal: clones share it.
///
/// When the last clone is dropped, everything that was accepted is written and synced, and the
/// directory is given back; the drop blocks for that. What fails then is lost without a word, so
/// [`close`](Self::close) a journal that buffers, and look at the answer. A process that is killed
/// drops nothing: only what was durable (of a buffering journal: what was synced, and perhaps more)
/// is there afterwards.
#[derive(Clone)]
pub struct Journal {
    owner: Shared<Owner>,
}

/// What is there as long as there are handles. Threads that lead, and the flusher, have the engine
/// only.
#[derive(Debug)]
struct Owner {
    core: Core,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

impl Journal {
    pub(super) fn of(engine: Arc<Engine>) -> Self {
        Self {
            owner: Shared::new(Owner { core: Core(engine) }),
        }
    }

    pub(super) fn core(&self) -> &Core {
        &self.owner.core
    }

    /// Appends a record; blocks until it is acknowledged, and answers its sequence: one more than
    /// that of the record before.
    ///
    /// Under `Always` it is acknowledged when it is *durable*: the record, and all before it, are
    /// found by every later open, whatever happens to the process or the machine. Threads that append
    /// at the same time share a sync. Under `Interval` and `Never` it is acknowledged once it is
    /// *buffered*: a `kill -9` may lose it, until [`sync`](Self::sync) has returned.
    ///
    /// `kind` is yours, to tell records apart. The payload is copied once.
    ///
    /// It blocks the thread for the disk's time, also where that is a thread of an async runtime;
    /// there, use [`append_async`](Self::append_async). It does not need a runtime.
    ///
    /// # Errors
    ///
    /// [`AppendError`] says what is known of the record. After [`AppendError::Storage`] it is not in
    /// the journal, and the journal goes on.
    pub fn append(&self, kind: u32, payload: &[u8]) -> Result<u64, AppendError> {
        self.core().append(kind, payload)
    }

    /// The same from a task, which it does not block: the disk is waited for on a thread of the
    /// runtime's blocking pool, one for all tasks that append meanwhile.
    ///
    /// The record gets its sequence when the future is first polled, or when there is room in the
    /// buffer. A record that is only buffered is ready at once, and needs no runtime.
    ///
    /// # Errors
    ///
    /// As of [`append`](Self::append); and [`AppendError::NoRuntime`] outside of a tokio runtime.
    ///
    /// # Panics
    ///
    /// tokio panics if its blocking pool has no thread and the system gives it none. The record is then
    /// written when the pool next gets one, or by the next blocking append.
    ///
    /// # Cancel safety
    ///
    /// Before its first poll, dropping it appends nothing. Afterwards the record *may or may not* be
    /// in the journal; in either case no other record is held up, and none is missing.
    pub fn append_async<'a>(&'a self, kind: u32, payload: &'a [u8]) -> AppendFuture<'a> {
        AppendFuture::new(self.core(), kind, payload)
    }

    /// Blocks until everything that was appended by now is durable, by whomever; answers the last
    /// sequence of it.
    ///
    /// # Errors
    ///
    /// After [`AppendError::Storage`] what was acknowledged is still buffered, and the next sync
    /// tries again.
    pub fn sync(&self) -> Result<u64, AppendError> {
        self.core().sync()
    }

    /// The same from a task, which it does not block.
    ///
    /// # Errors
    ///
    /// As of [`sync`](Self::sync); and [`AppendError::NoRuntime`] outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it undoes nothing: the sync may still happen.
    pub fn sync_async(&self) -> SyncFuture<'_> {
        SyncFuture::new(self.core())
    }

    /// Makes durable what was accepted, and gives the directory back, to this or another process;
    /// blocks for that. Later appends, by any clone, are refused with [`AppendError::Closed`].
    /// Closing what is closed does nothing.
    ///
    /// # Errors
    ///
    /// After [`AppendError::Storage`] the journal is still open, with what it could not write in its
    /// buffer.
    pub fn close(&self) -> Result<(), AppendError> {
        self.core().close()
    }

    /// [`close`](Self::close) from a task, on a thread for blocking work.
    ///
    /// # Errors
    ///
    /// As of `close`; and [`AppendError::NoRuntime`] outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops nothing: it closes.
    pub async fn close_async(&self) -> Result<(), AppendError> {
        let journal = self.clone();
        let closed = offload(move || journal.close()).await;
        closed.unwrap_or(Err(AppendError::NoRuntime))
    }

    /// Removes old segments: those of which all records are at or before `through`. Blocks for that.
    ///
    /// `through` is what you can do without: the sequence of the *oldest snapshot that you keep*. Only
    /// whole segments go, and never the one that is appended to, so records up to `through` may well
    /// stay. Before anything is removed it is made durable that it may be missing. Appends go on
    /// meanwhile. A [`Reader`](super::Reader) that is in a segment which is removed reads it to its
    /// end (on Windows the removal fails instead), and one that was to enter it is told
    /// [`ReadError::Removed`](super::ReadError::Removed).
    ///
    /// On a full disk the configured reserve is given back first, and set aside again afterwards.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; the journal stays as good as it was.
    pub fn compact(&self, through: u64) -> Result<Compaction, CompactError> {
        self.core().compact(through)
    }

    /// The same from a task, on a thread for blocking work.
    ///
    /// # Errors
    ///
    /// As of [`compact`](Self::compact); and [`CompactError::NoRuntime`] outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops nothing: the compaction goes on.
    pub async fn compact_async(&self, through: u64) -> Result<Compaction, CompactError> {
        // With a handle: the directory is ours until it is done.
        let journal = self.clone();
        let compacted = offload(move || journal.compact(through)).await;
        compacted.unwrap_or(Err(CompactError::NoRuntime))
    }

    /// How it stands, in one look.
    pub fn status(&self) -> JournalStatus {
        let core = self.core();
        let (epoch, segments) = core.site.extent();
        let queue = core.queue.lock();
        JournalStatus {
            state: match queue.refusal() {
                Some(AppendError::Poisoned(poisoned)) => JournalState::Poisoned(poisoned.clone()),
                Some(AppendError::Closed) => JournalState::Closed,
                _ => JournalState::Open,
            },
            last_sequence: queue.last(),
            written_sequence: core.site.figures.written(),
            durable_sequence: core.site.figures.durable(),
            epoch,
            segments,
            buffered_bytes: queue.pending_bytes(),
            write_error: queue.write_error().cloned(),
            has_reserve: core.reserve.is_there(),
        }
    }

    /// What happens from now on; a subscriber that lags more than `capacity` events behind loses the
    /// oldest.
    pub fn subscribe(&self, capacity: NonZeroUsize) -> Subscriber<JournalEvent> {
        self.core().events.subscribe(capacity)
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &Core {
        self.core()
    }
}

/// Shares it without counting references.
impl From<&'static Journal> for Journal {
    fn from(journal: &'static Journal) -> Self {
        Self {
            owner: Shared::of_static(&journal.owner),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status();
        f.debug_struct("Journal")
            .field("dir", &self.core().site.dir)
            .field("state", &status.state)
            .field("last_sequence", &status.last_sequence)
            .field("durable_sequence", &status.durable_sequence)
            .finish_non_exhaustive()
    }
}
