//! The engine of a journal: appends in groups, each written and synced by one of those who wait.

use super::bell::Bell;
use super::event::{EventKind, JournalEvent};
use super::queue::{Aftermath, Before, Lead, News, Next, Queue, Refused, Ticket};
use super::refusal::{AppendError, Poisoned};
use super::reserve::Reserve;
use super::runtime::Runtime;
use super::site::Site;
use super::waiters::{Ending, Hand, Place, Waiter};
use super::writer::Failure;
use crate::kernel::clock::unparker;
use crate::kernel::event::{self, Events};
use crate::kernel::sync::{AtomicBool, Mutex, MutexGuard, park, wake_all};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the handles of a journal share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) site: Site,
    pub(super) queue: Mutex<Queue>,
    /// Bytes that a payload may have.
    pub(super) record_limit: u32,
    /// Records are acknowledged when they are buffered.
    pub(super) is_buffered: bool,
    /// Of the flusher, if there is one.
    pub(super) bell: Option<Arc<Bell>>,
    pub(super) events: Events<JournalEvent>,
    pub(super) reserve: Reserve,
    pub(super) is_compacting: AtomicBool,
}

/// A way to the engine that can be handed to another thread.
#[derive(Clone, Debug)]
pub(super) struct Core(pub(super) Arc<Engine>);

impl Deref for Core {
    type Target = Engine;

    #[inline]
    fn deref(&self) -> &Engine {
        &self.0
    }
}

/// A thread that was asked to lead does so for at most so many groups on end: then its runtime may
/// have it back, if it wants to shut down.
const ROUNDS: u32 = 64;

/// What came of a lead.
struct Led {
    durable: u64,
    error: Option<AppendError>,
    again: Option<Call>,
}

impl Engine {
    /// The length of a payload that is not too long.
    pub(super) fn length(&self, payload: &[u8]) -> Result<u32, AppendError> {
        u32::try_from(payload.len())
            .ok()
            .filter(|length| *length <= self.record_limit)
            .ok_or(AppendError::TooLarge {
                bytes: payload.len(),
                limit: self.record_limit,
            })
    }

    /// The time of day in nanoseconds since 1970.
    pub(super) fn wall_nanos(&self) -> u64 {
        self.site.clock.wall_nanos()
    }

    /// The last sequence, if all up to it are durable.
    pub(super) fn is_synced(&self, queue: &Queue) -> Result<Option<u64>, AppendError> {
        if let Some(refusal) = queue.refusal() {
            return Err(refusal.clone());
        }
        let last = queue.last();
        Ok((self.site.figures.durable() >= last).then_some(last))
    }

    /// The last sequence that readers see: nothing that was not acknowledged, and nothing that a
    /// failed write may take back.
    pub(super) fn readable(&self) -> u64 {
        let figures = &self.site.figures;
        if self.is_buffered {
            figures.written()
        } else {
            figures.durable()
        }
    }

    /// A record is in the buffer: whether the flusher is to hear of it.
    #[inline]
    pub(super) fn rings(&self, queue: &mut Queue) -> bool {
        self.bell.is_some() && queue.ring()
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// The flusher is about to flush.
    pub(super) fn expect_ring(&self) {
        self.queue.lock().expect_ring();
    }

    /// Tells subscribers, in the order of the lock that is held.
    pub(super) fn tell(
        &self,
        queue: &mut Queue,
        kinds: impl IntoIterator<Item = EventKind>,
    ) -> Option<event::Aftermath<JournalEvent>> {
        if !self.events.is_heard() {
            return None;
        }
        let at = self.site.clock.now();
        let mut events = Vec::new();
        for kind in kinds {
            let seq = queue.count_event();
            events.push(JournalEvent { seq, at, kind });
        }
        Some(self.events.enqueue(&events))
    }

    /// Does what `lead` is for. A panic of the storage's comes back as poison.
    fn work(&self, lead: &mut Lead) -> Result<(), Failure> {
        let Lead {
            writer,
            batch,
            order,
        } = lead;
        let worked = AssertUnwindSafe(|| writer.work(&self.site, batch, *order));
        catch_unwind(worked).unwrap_or_else(|panic| {
            let message = panic
                .downcast_ref::<&'static str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("with no message");
            Err(Failure::Poisoned(Poisoned::by_panic(message)))
        })
    }
}

impl Core {
    /// Appends a record; blocks until it is acknowledged.
    pub(super) fn append(&self, kind: u32, payload: &[u8]) -> Result<u64, AppendError> {
        let length = self.length(payload)?;
        let wall_nanos = self.wall_nanos();
        loop {
            let mut queue = self.queue.lock();
            match queue.push(length, kind, wall_nanos, payload) {
                Ok(sequence) if self.is_buffered => {
                    self.buffered(queue);
                    return Ok(sequence);
                }
                Ok(sequence) => return self.commit(queue, sequence).map(|()| sequence),
                Err(Refused::For(error)) => return Err(error),
                Err(Refused::NoRoom) => self.make_room(queue)?,
            }
        }
    }

    /// A record is in the buffer, and acknowledged by that.
    #[inline]
    fn buffered(&self, mut queue: MutexGuard<'_, Queue>) {
        let rings = self.rings(&mut queue);
        let lead = if queue.is_large() { queue.take() } else { None };
        drop(queue);
        if rings {
            self.ring();
        }
        if let Some(lead) = lead {
            // What cannot be written now stays in the buffer, and its error is told to those who
            // sync, or find no room.
            self.lead(lead, Before::Own);
        }
    }

    /// Leads, or waits for who does, until `target` is durable.
    fn commit(&self, mut queue: MutexGuard<'_, Queue>, target: u64) -> Ending {
        if let Some(lead) = queue.take() {
            drop(queue);
            let led = self.lead(lead, Before::Own);
            return match led.error {
                Some(error) if led.durable < target => Err(error),
                _ => Ok(()),
            };
        }
        let place = queue.wait(thread(target));
        drop(queue);
        self.park_for(place)
    }

    /// Leads, or waits for who does, until something was written.
    fn make_room(&self, mut queue: MutexGuard<'_, Queue>) -> Ending {
        if let Some(lead) = queue.take() {
            drop(queue);
            return self.lead(lead, Before::Own).error.map_or(Ok(()), Err);
        }
        let place = queue.wait_for_room(thread(0));
        drop(queue);
        self.park_for(place)
    }

    /// Everything that was appended by now is durable when this returns: the last sequence of it.
    pub(super) fn sync(&self) -> Result<u64, AppendError> {
        let mut queue = self.queue.lock();
        if let Some(durable) = self.is_synced(&queue)? {
            return Ok(durable);
        }
        let target = queue.last();
        queue.want_sync();
        self.commit(queue, target).map(|()| target)
    }

    /// The same for what the flusher was rung for.
    pub(super) fn flush(&self) -> Result<u64, AppendError> {
        self.expect_ring();
        self.sync()
    }

    /// Accepts nothing more, makes durable what was accepted, and gives the directory back. If that
    /// fails short of poison, the journal stays open.
    pub(super) fn close(&self) -> Result<(), AppendError> {
        let mut queue = self.queue.lock();
        loop {
            // Who closes beside another waits for the same end, and goes on if that one gives up.
            if !queue.close()? {
                return Ok(());
            }
            let target = queue.last();
            queue.want_sync();
            let ending = self.commit(queue, target);
            queue = self.queue.lock();
            if let Err(error) = ending {
                // Unless another has come to the end of it meanwhile: then nothing is left to do.
                return queue.reopen().then_some(error).map_or(Ok(()), Err);
            }
            if let Some(aftermath) = queue.retire() {
                let told = self.tell(&mut queue, [EventKind::Closed]);
                drop(queue);
                // Also if somebody's waker panics.
                let _told = told.map(Later::new);
                self.run(aftermath);
                break;
            }
        }
        if let Some(bell) = &self.bell {
            bell.close();
        }
        Ok(())
    }

    /// The last handle goes: what [`close`](Self::close) does, as far as it can be done.
    pub(super) fn abandon(&self) {
        if let Some(bell) = &self.bell {
            bell.close();
        }
        // There is nobody left to tell.
        if self.close().is_ok() {
            return;
        }
        let mut queue = self.queue.lock();
        let _ = queue.close();
        let lock = queue.unlock();
        drop(queue);
        drop(lock);
    }

    /// Waits on this thread, and leads if that is what it is woken for.
    fn park_for(&self, place: Place) -> Ending {
        loop {
            let mut queue = self.queue.lock();
            if let Some(ending) = queue.look(place) {
                return ending;
            }
            let lead = queue.take();
            drop(queue);
            match lead {
                Some(lead) => drop(self.lead(lead, Before::Own)),
                None => park(),
            }
        }
    }

    /// Leads: writes and syncs, tells who waited for that, and calls who leads next.
    fn lead(&self, mut lead: Lead, before: Before) -> Led {
        let before_it = lead.writer.written();
        let done = self.work(&mut lead);
        let has_written = lead.writer.written() != before_it;
        let (written, durable) = (lead.writer.written(), lead.writer.durable());
        self.site.figures.reached(written, durable);
        let error = done.as_ref().err().map(|failure| match failure {
            Failure::Write(error) => AppendError::Storage(error.clone()),
            Failure::Poisoned(poisoned) => AppendError::Poisoned(poisoned.clone()),
        });
        let mut queue = self.queue.lock();
        let news = queue.news(&mut lead, &done, has_written);
        let aftermath = queue.finish(lead, done, before);
        let told = self.tell(&mut queue, kinds(news));
        drop(queue);
        // Also if somebody's waker panics.
        let _told = told.map(Later::new);
        Led {
            durable,
            error,
            again: self.run(aftermath),
        }
    }

    /// Leads for tasks, on a thread that was asked for this.
    fn lead_for_tasks(&self, call: Call) {
        let mut called = Some(call);
        for round in 1..=ROUNDS {
            let Some(call) = called.take() else {
                return;
            };
            let Some(lead) = self.answer(call) else {
                return;
            };
            let before = if round < ROUNDS {
                Before::Borrowed
            } else {
                Before::Own
            };
            called = self.lead(lead, before).again;
        }
    }

    /// Takes the lead that was called for, unless another was faster or there is nothing to do.
    fn answer(&self, mut call: Call) -> Option<Lead> {
        let mut queue = self.queue.lock();
        let lead = queue.take_called();
        if lead.is_some() {
            call.ticket = None;
        }
        drop(queue);
        // A call that comes to nothing is over.
        drop(call);
        lead
    }

    /// What has waited for the unlock. The next one to lead comes first: it writes while the others
    /// wake up.
    fn run(&self, aftermath: Aftermath) -> Option<Call> {
        let Aftermath {
            next,
            ended,
            writer,
            lock,
        } = aftermath;
        // Also if the runtime that is called panics.
        let ended = Later::new(Ended(ended));
        // Others may open the directory before those who waited hear of it.
        drop(lock);
        let again = self.send(next);
        drop(ended);
        drop(writer);
        again
    }

    fn send(&self, next: Next) -> Option<Call> {
        match next {
            Next::Nobody => {}
            Next::Thread(waker) => waker.wake(),
            Next::Runtime(runtime, ticket) => self.call(&runtime, ticket),
            Next::Tasks(tasks) => wake_all(tasks),
            Next::Again(ticket) => return Some(self.called(ticket)),
        }
        None
    }

    fn called(&self, ticket: Ticket) -> Call {
        Call {
            core: self.clone(),
            ticket: Some(ticket),
        }
    }

    /// Calls a thread of `runtime` to lead.
    pub(super) fn call(&self, runtime: &Runtime, ticket: Ticket) {
        let call = self.called(ticket);
        runtime.spawn_blocking(move || {
            let core = call.core.clone();
            core.lead_for_tasks(call);
        });
    }
}

fn kinds(news: News) -> impl Iterator<Item = EventKind> {
    let rolled = news.rolled.into_iter();
    rolled
        .map(|first_sequence| EventKind::Rolled { first_sequence })
        .chain(news.writes_again.then_some(EventKind::WritesAgain))
        .chain(news.failed.map(|error| EventKind::WriteFailed { error }))
        .chain(
            news.poisoned
                .map(|poisoned| EventKind::Poisoned { poisoned }),
        )
}

/// A waiter that is this thread.
fn thread(target: u64) -> Waiter {
    Waiter {
        waker: Some(unparker()),
        target,
        hand: Hand::Thread,
    }
}

/// A call to lead, on its way to a thread. If it is dropped before it has come there, those who wait
/// hear of it.
struct Call {
    core: Core,
    ticket: Option<Ticket>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let next = self.core.queue.lock().unheard(ticket);
            self.core.send(next);
        }
    }
}

/// What runs code that is not ours, and must run also if such code panics before it.
trait Due {
    fn run(self);
}

struct Later<T: Due>(Option<T>);

impl<T: Due> Later<T> {
    const fn new(due: T) -> Self {
        Self(Some(due))
    }
}

impl<T: Due> Drop for Later<T> {
    fn drop(&mut self) {
        if let Some(due) = self.0.take() {
            due.run();
        }
    }
}

impl Due for event::Aftermath<JournalEvent> {
    fn run(self) {
        Self::run(self);
    }
}

/// Those whose wait has ended.
struct Ended(Vec<Waiter>);

impl Due for Ended {
    fn run(self) {
        if !self.0.is_empty() {
            let wakers = self.0.into_iter().filter_map(|ended| ended.waker);
            wake_all(wakers.collect());
        }
    }
}
