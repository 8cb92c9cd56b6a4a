//! Who appends, who leads and who waits: the state behind the one lock, and what it decides. No
//! input and output, no time and nobody else's code: what has to be woken or dropped is handed out.
//!
//! *To lead* is to have the [`Writer`], and the records that had come by then. Whoever finds the
//! writer here may take it. One who has finished puts it back and, if others wait, calls one of them;
//! a newcomer may be faster than who was called, and takes it.

use super::batch::Batch;
use super::format::record_len;
use super::refusal::{AppendError, Poisoned};
use super::runtime::Runtime;
use super::waiters::{Ending, Hand, Place, Waiter, Waiters};
use super::writer::{Failure, Order, Writer};
use crate::durable::storage::{StorageError, StorageLock};
use std::sync::Arc;
use std::task::Waker;

/// More than this at once makes no write cheaper.
const FLUSH: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Queue {
    /// What has come and nobody has taken yet.
    open: Batch,
    /// The other buffer, while nobody leads.
    spare: Option<Batch>,
    /// Bytes in the hands of who leads.
    led_bytes: usize,
    /// Bytes that the writer could not write and keeps.
    held_bytes: usize,
    /// The last sequence that was given.
    last: u64,
    /// Not here while somebody leads.
    writer: Option<Box<Writer>>,
    /// Somebody was called to lead and has not come yet.
    called: Option<Ticket>,
    calls: u64,
    waiters: Waiters,
    /// Who waits for room in the buffer.
    room: Vec<Place>,
    /// Why nothing is accepted any more.
    refusal: Option<AppendError>,
    /// It is closed, and nothing is to be done any more.
    is_retired: bool,
    /// Of the directory; a compaction that is running has it, too.
    lock: Option<Arc<dyn StorageLock>>,
    /// At most so many bytes are buffered.
    buffer_bytes: usize,
    /// From so many bytes on they are written, whether or not somebody waits.
    flush_bytes: usize,
    /// Records are acknowledged when they are buffered.
    is_buffered: bool,
    /// The flusher knows that there is something to flush.
    is_rung: bool,
    /// Why the last write failed, if it did.
    write_error: Option<StorageError>,
    events: u64,
}

/// A call to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Why a record does not get in.
#[derive(Debug)]
pub(super) enum Refused {
    NoRoom,
    For(AppendError),
}

/// Who had the lead before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// A thread of the user's, which has other things to do.
    Own,
    /// A thread that was asked for this, and may do it again.
    Borrowed,
    /// Nobody: a call was in vain.
    Unheard,
}

/// The right to write, and what to write.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) writer: Box<Writer>,
    pub(super) batch: Batch,
    pub(super) order: Order,
}

/// Who is to lead next.
#[derive(Debug, Default)]
pub(super) enum Next {
    /// Nobody waits, or somebody was called before.
    #[default]
    Nobody,
    /// This thread.
    Thread(Waker),
    /// A thread of that runtime.
    Runtime(Runtime, Ticket),
    /// Those of these tasks that still run: they come and see.
    Tasks(Vec<Waker>),
    /// Who has just led, once it has woken the others.
    Again(Ticket),
}

/// What a lead came to, for those who listen.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) rolled: Vec<u64>,
    pub(super) failed: Option<StorageError>,
    pub(super) writes_again: bool,
    pub(super) poisoned: Option<Poisoned>,
}

/// What must wait for the unlock.
#[derive(Debug, Default)]
#[must_use = "run it after the unlock"]
pub(super) struct Aftermath {
    pub(super) next: Next,
    /// Whose wait has ended.
    pub(super) ended: Vec<Waiter>,
    /// Of a poisoned or closed journal.
    pub(super) writer: Option<Box<Writer>>,
    pub(super) lock: Option<Arc<dyn StorageLock>>,
}

impl Queue {
    pub(super) fn new(
        writer: Writer,
        lock: Option<Box<dyn StorageLock>>,
        buffer_bytes: usize,
        is_buffered: bool,
    ) -> Self {
        // Half of it, so that records find room while the other half is written; and no more than
        // is well written at once.
        let flush_bytes = (buffer_bytes / 2).min(FLUSH);
        Self {
            open: Batch::default(),
            spare: Some(Batch::default()),
            led_bytes: 0,
            held_bytes: 0,
            last: writer.written(),
            writer: Some(Box::new(writer)),
            called: None,
            calls: 0,
            waiters: Waiters::new(),
            room: Vec::new(),
            refusal: None,
            is_retired: false,
            lock: lock.map(Arc::from),
            buffer_bytes,
            flush_bytes,
            is_buffered,
            is_rung: false,
            write_error: None,
            events: 0,
        }
    }

    /// Bytes that were accepted and are not in the files.
    pub(super) fn pending_bytes(&self) -> usize {
        self.open.len() + self.led_bytes + self.held_bytes
    }

    /// So much is buffered that it should be written.
    pub(super) fn is_large(&self) -> bool {
        self.open.len() >= self.flush_bytes
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn refusal(&self) -> Option<&AppendError> {
        self.refusal.as_ref()
    }

    /// Whether the flusher is to hear that there is something to flush.
    pub(super) fn ring(&mut self) -> bool {
        !std::mem::replace(&mut self.is_rung, true)
    }

    /// The flusher is about to flush: what comes from now on is for the next time.
    pub(super) fn expect_ring(&mut self) {
        self.is_rung = false;
    }

    pub(super) const fn write_error(&self) -> Option<&StorageError> {
        self.write_error.as_ref()
    }

    /// The number of the next event.
    pub(super) fn count_event(&mut self) -> u64 {
        self.events = self.events.saturating_add(1);
        self.events
    }

    /// Accepts nothing more, until [`reopen`](Self::reopen). `false` if all of the closing is done.
    pub(super) fn close(&mut self) -> Result<bool, AppendError> {
        match &self.refusal {
            Some(AppendError::Closed) => Ok(!self.is_retired),
            Some(refusal) => Err(refusal.clone()),
            None => {
                self.refusal = Some(AppendError::Closed);
                Ok(true)
            }
        }
    }

    /// Accepts records again, as far as that was ended by [`close`](Self::close) alone; `false` if all of
    /// the closing is done.
    pub(super) fn reopen(&mut self) -> bool {
        if self.is_retired {
            return false;
        }
        if matches!(self.refusal, Some(AppendError::Closed)) {
            self.refusal = None;
        }
        true
    }

    /// What a closed journal holds is given back; nothing while somebody leads or waits, and nothing
    /// of a journal that is open again.
    pub(super) fn retire(&mut self) -> Option<Aftermath> {
        if self.has_waiting() || !matches!(self.refusal, Some(AppendError::Closed)) {
            return None;
        }
        let writer = self.writer.take()?;
        self.is_retired = true;
        Some(Aftermath {
            writer: Some(writer),
            lock: self.lock.take(),
            ..Aftermath::default()
        })
    }

    /// Gives the lock of the directory back, whoever leads.
    pub(super) fn unlock(&mut self) -> Option<Arc<dyn StorageLock>> {
        self.lock.take()
    }

    /// Keeps the directory for as long as this is there, whatever becomes of the journal.
    pub(super) fn share_lock(&self) -> Option<Arc<dyn StorageLock>> {
        self.lock.clone()
    }

    /// What is to be told of a lead that comes to this, before it is finished.
    pub(super) fn news(
        &mut self,
        lead: &mut Lead,
        done: &Result<(), Failure>,
        has_written: bool,
    ) -> News {
        let mut news = News {
            rolled: lead.writer.take_rolled(),
            ..News::default()
        };
        match done {
            Err(Failure::Write(error)) => {
                if self.write_error.is_none() {
                    news.failed = Some(error.clone());
                }
                self.write_error = Some(error.clone());
            }
            Err(Failure::Poisoned(poisoned)) => news.poisoned = Some(poisoned.clone()),
            Ok(()) if has_written => news.writes_again = self.write_error.take().is_some(),
            Ok(()) => {}
        }
        news
    }

    /// Nobody leads, and nobody was called to.
    pub(super) fn is_uncalled(&self) -> bool {
        self.writer.is_some() && self.called.is_none()
    }

    /// Takes a record in; answers its sequence. `length` is that of `payload`.
    pub(super) fn push(
        &mut self,
        length: u32,
        kind: u32,
        wall_nanos: u64,
        payload: &[u8],
    ) -> Result<u64, Refused> {
        if let Some(refusal) = &self.refusal {
            return Err(Refused::For(refusal.clone()));
        }
        let Some(sequence) = self.last.checked_add(1) else {
            return Err(Refused::For(AppendError::Exhausted));
        };
        let pending = self.pending_bytes();
        let more = usize::try_from(record_len(length)).unwrap_or(usize::MAX);
        if pending > 0 && pending.saturating_add(more) > self.buffer_bytes {
            return Err(Refused::NoRoom);
        }
        self.open.push(length, kind, wall_nanos, payload);
        self.last = sequence;
        Ok(sequence)
    }

    /// Waits for what is buffered now.
    pub(super) fn wait(&mut self, waiter: Waiter) -> Place {
        let place = self.waiters.enter(waiter);
        self.open.waiters.push(place);
        place
    }

    /// Waits until a leader has made room.
    pub(super) fn wait_for_room(&mut self, waiter: Waiter) -> Place {
        let place = self.waiters.enter(waiter);
        self.room.push(place);
        place
    }

    /// Who leads next is to sync.
    pub(super) fn want_sync(&mut self) {
        self.open.is_sync_wanted = true;
    }

    pub(super) fn look(&mut self, place: Place) -> Option<Ending> {
        self.waiters.look(place)
    }

    pub(super) fn waiter(&mut self, place: Place) -> Option<&mut Waiter> {
        self.waiters.waiter(place)
    }

    /// The waiter at `place` goes. What it leaves is to be dropped outside of the lock.
    pub(super) fn leave(&mut self, place: Place) -> Option<Waiter> {
        self.waiters.leave(place)
    }

    /// Takes the lead, if nobody has it.
    pub(super) fn take(&mut self) -> Option<Lead> {
        let writer = self.writer.take()?;
        self.called = None;
        let spare = self.spare.take().unwrap_or_default();
        let batch = std::mem::replace(&mut self.open, spare);
        self.led_bytes = batch.len();
        let order = Order {
            keeps: self.is_buffered,
            syncs: !self.is_buffered || batch.is_sync_wanted,
        };
        Some(Lead {
            writer,
            batch,
            order,
        })
    }

    /// The same for one who was called, if there is something to do.
    pub(super) fn take_called(&mut self) -> Option<Lead> {
        if self.has_waiting() || self.is_large() {
            self.take()
        } else {
            None
        }
    }

    /// Gives the lead back.
    pub(super) fn finish(
        &mut self,
        lead: Lead,
        done: Result<(), Failure>,
        before: Before,
    ) -> Aftermath {
        let Lead {
            writer, mut batch, ..
        } = lead;
        let mut aftermath = Aftermath::default();
        self.led_bytes = 0;
        self.held_bytes = writer.held_bytes();
        let durable = writer.durable();
        let is_poisoned = matches!(done, Err(Failure::Poisoned(_)));
        let error = done.err().map(AppendError::from);
        let ending = |target: u64| match &error {
            Some(error) if target > durable => Err(error.clone()),
            _ => Ok(()),
        };
        let mut failing = std::mem::take(&mut batch.waiters);
        for place in failing.drain(..) {
            let ended = self.waiters.end(place, |waiter| ending(waiter.target));
            aftermath.ended.extend(ended);
        }
        batch.waiters = failing;
        for place in self.room.drain(..) {
            let ended = self.waiters.end(place, |_| ending(u64::MAX));
            aftermath.ended.extend(ended);
        }
        if error.is_some() && (is_poisoned || !self.is_buffered) {
            // Their sequences come after those that are not to be.
            for place in self.open.waiters.drain(..) {
                let ended = self.waiters.end(place, |_| ending(u64::MAX));
                aftermath.ended.extend(ended);
            }
            self.open.clear();
            self.last = writer.written();
        }
        batch.clear();
        self.spare = Some(batch);
        if is_poisoned {
            self.held_bytes = 0;
            self.refusal.clone_from(&error);
            aftermath.lock = self.lock.take();
            aftermath.writer = Some(writer);
        } else {
            self.writer = Some(writer);
            aftermath.next = self.next(before);
        }
        aftermath
    }

    /// A call that nobody will follow: the runtime is shut down.
    pub(super) fn unheard(&mut self, ticket: Ticket) -> Next {
        if self.called != Some(ticket) {
            return Next::Nobody;
        }
        self.called = None;
        // Other tasks may be of the same runtime, so none of them is called: they come and see.
        self.next(Before::Unheard)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.open.waiters.is_empty() || !self.room.is_empty()
    }

    fn call(&mut self) -> Ticket {
        self.calls += 1;
        let ticket = Ticket(self.calls);
        self.called = Some(ticket);
        ticket
    }

    /// Calls `runtime` for one of its tasks, unless somebody leads or was called.
    pub(super) fn call_runtime(&mut self) -> Option<Ticket> {
        self.is_uncalled().then(|| self.call())
    }

    /// Somebody who can lead: a thread that waits anyway before one that has to be found.
    fn next(&mut self, before: Before) -> Next {
        if self.writer.is_none() || self.called.is_some() || !self.has_waiting() {
            return Next::Nobody;
        }
        let mut thread = None;
        let mut task = None;
        for &place in self.open.waiters.iter().chain(&self.room) {
            match self.waiters.waiter(place).map(|waiter| &waiter.hand) {
                Some(Hand::Thread) => {
                    thread = Some(place);
                    break;
                }
                Some(Hand::Runtime(_)) => task = task.or(Some(place)),
                Some(Hand::Spent) | None => {}
            }
        }
        if let Some(waiter) = thread.and_then(|place| self.waiters.waiter(place)) {
            // A waker of ours: cloning it counts a reference.
            let waker = waiter.waker.clone();
            return match waker {
                Some(waker) => {
                    self.call();
                    Next::Thread(waker)
                }
                None => Next::Nobody,
            };
        }
        if before == Before::Borrowed {
            return Next::Again(self.call());
        }
        if before == Before::Unheard {
            task = None;
        }
        if let Some(waiter) = task.and_then(|place| self.waiters.waiter(place)) {
            if let Hand::Runtime(runtime) = std::mem::replace(&mut waiter.hand, Hand::Spent) {
                return Next::Runtime(runtime, self.call());
            }
        }
        let places = self.open.waiters.iter().chain(&self.room);
        let mut tasks = Vec::new();
        for &place in places {
            let waiter = self.waiters.waiter(place);
            tasks.extend(waiter.and_then(|waiter| waiter.waker.take()));
        }
        Next::Tasks(tasks)
    }
}
