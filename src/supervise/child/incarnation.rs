//! One start of a child: its signal, and what of it still runs.

use super::exit::ChildExit;
use super::link::{Link, Note, What};
use super::work::{Job, Piece, Tracked, Work};
use crate::kernel::instant::Instant;
use crate::kernel::name::Name;
use crate::kernel::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the clones of a child's context share.
pub(crate) struct Incarnation {
    pub(crate) id: Name,
    pub(crate) number: u64,
    pub(crate) link: Arc<Link>,
    key: u32,
    run: u64,
    /// Pieces of it that still run: its future, and its further work. It never rises from zero.
    running: AtomicUsize,
    stopping: AtomicBool,
    /// Whether the supervisor waits for `ready()`, and has not heard it.
    awaited: AtomicBool,
    watchdog: Option<Duration>,
    /// The last sign of life, in nanoseconds; 0 if there was none.
    beat: AtomicU64,
    /// Made when it is asked for: it is as large as the rest.
    token: OnceLock<CancellationToken>,
    work: OnceLock<Box<Work>>,
    /// The supervisor that runs in it, if one does.
    nested: OnceLock<Weak<dyn Any + Send + Sync>>,
}

/// What the supervisor is promised of an incarnation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promised {
    /// Its `ready()` is waited for.
    pub(crate) ready: bool,
    /// A heartbeat in each of these periods.
    pub(crate) heartbeat: Option<Duration>,
}

impl Incarnation {
    pub(crate) fn new(
        link: Arc<Link>,
        id: Name,
        (key, run): (u32, u64),
        number: u64,
        promised: Promised,
    ) -> Self {
        Self {
            id,
            number,
            link,
            key,
            run,
            running: AtomicUsize::new(1),
            stopping: AtomicBool::new(false),
            awaited: AtomicBool::new(promised.ready),
            watchdog: promised.heartbeat,
            beat: AtomicU64::new(0),
            token: OnceLock::new(),
            work: OnceLock::new(),
            nested: OnceLock::new(),
        }
    }

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        if let Some(token) = self.token.get() {
            return token;
        }
        let token = self.token.get_or_init(CancellationToken::new);
        // Either this sees the signal, or the signal sees the token.
        fence(Ordering::SeqCst);
        if self.stopping.load(Ordering::Relaxed) {
            token.cancel();
        }
        token
    }

    /// Tells it to stop. Wakes what waits for the token, which is the user's code.
    pub(crate) fn signal(&self) {
        self.stopping.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    /// Aborts its further work; the future is aborted by who holds its task.
    pub(crate) fn abort_work(&self) {
        // Made if it is not there, so that what comes later finds it closed.
        if self.running.load(Ordering::Acquire) > 0 {
            self.work().abort();
        }
    }

    pub(crate) fn ready(&self) {
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed) {
            self.tell(What::Ready);
        }
    }

    /// Notes a sign of life, and wakes nobody: the supervisor looks when its time has come.
    pub(crate) fn beat(&self) {
        let clock = &self.link.clock;
        // Never earlier than it was.
        let now = clock.coarse() + clock.grain();
        self.beat.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// How often it promised a sign of life.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    pub(crate) fn last_beat(&self) -> Instant {
        Instant::from_nanos(self.beat.load(Ordering::Relaxed))
    }

    fn tell(&self, what: What) {
        self.link.send(Note {
            key: self.key,
            run: self.run,
            what,
        });
    }

    /// Its future has ended.
    pub(crate) fn end(&self, exit: ChildExit) {
        let drained = self.is_done_with_it();
        self.tell(What::Exited { exit, drained });
        if !drained {
            self.release();
        }
    }

    /// One piece less, if it is the last one: then nothing of it runs any more. If not, its end is
    /// told before [`release`](Self::release), so that it is heard first.
    pub(crate) fn is_done_with_it(&self) -> bool {
        self.running
            .compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Counts one more piece, unless nothing of it runs any more.
    pub(crate) fn hold(&self) -> bool {
        let more = |running| (running > 0).then(|| running + 1);
        self.running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// One piece less.
    pub(crate) fn release(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell(What::Drained);
            if let Some(work) = self.work.get() {
                work.let_go();
            }
        }
    }

    /// Keeps `guard` until nothing of this incarnation runs.
    pub(crate) fn keep(&self, guard: Guard) {
        if self.hold() {
            self.work().keep(guard);
            self.release();
        }
    }

    pub(super) fn work(&self) -> &Work {
        self.work.get_or_init(Box::default)
    }

    pub(crate) fn spawn<F>(self: &Arc<Self>, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let Some(piece) = self.piece() else {
            return self.cancelled();
        };
        let place = piece.place();
        let handle = self.link.runtime.spawn(Tracked::new(work, piece));
        self.work().put(place, handle.abort_handle());
        handle
    }

    pub(crate) fn spawn_blocking<F, T>(self: &Arc<Self>, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(piece) = self.piece() else {
            return self.cancelled();
        };
        let place = piece.place();
        let job = Job::new(work, piece);
        let handle = self.link.runtime.spawn_blocking(move || job.run());
        self.work().put(place, handle.abort_handle());
        handle
    }

    fn piece(self: &Arc<Self>) -> Option<Piece> {
        let guard = self.guard()?;
        let place = self.work().reserve();
        Some(Piece::new(guard, place))
    }

    fn cancelled<T: Send + 'static>(&self) -> JoinHandle<T> {
        let never = self.link.runtime.spawn(std::future::pending());
        never.abort();
        never
    }

    pub(crate) fn guard(self: &Arc<Self>) -> Option<Guard> {
        self.hold().then(|| Guard(self.clone()))
    }

    pub(crate) fn nest(&self, supervisor: Weak<dyn Any + Send + Sync>) {
        let _ = self.nested.set(supervisor);
    }

    pub(crate) fn nested(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.nested.get()?.upgrade()
    }
}

/// One piece of an incarnation that runs.
pub(crate) struct Guard(Arc<Incarnation>);

impl Guard {
    pub(crate) fn incarnation(&self) -> &Arc<Incarnation> {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incarnation")
            .field("id", &self.id)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.0).finish()
    }
}
