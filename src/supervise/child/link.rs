//! How children reach their supervisor: one queue, and one waker that is woken once.

use super::exit::ChildExit;
use crate::kernel::clock::{Clock, wake_apart};
use crate::kernel::sync::Mutex;
use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use tokio::runtime::Handle;

/// What a child's side tells its supervisor. `run` is the incarnation's number within the
/// supervisor: notes of what is over change nothing.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) key: u32,
    pub(crate) run: u64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// It called `ready()`.
    Ready,
    /// Its future has ended; if `drained`, nothing else of it runs.
    Exited { exit: ChildExit, drained: bool },
    /// The last piece of further work has ended, after the future.
    Drained,
}

/// The supervisor's end of all its children. It outlives the supervisor if a child does.
///
/// The queue is bounded by the children: an incarnation sends each of the three notes once.
pub(crate) struct Link {
    inbox: Mutex<Inbox>,
    pub(crate) clock: Clock,
    pub(crate) runtime: Handle,
    /// What the supervisor's handles lead to; its type belongs to a room above.
    owner: OnceLock<Weak<dyn Any + Send + Sync>>,
}

#[derive(Default)]
struct Inbox {
    notes: Vec<Note>,
    /// There is something elsewhere: a command.
    nudged: bool,
    /// There while the supervisor sleeps.
    waker: Option<Waker>,
}

impl Link {
    pub(crate) fn new(clock: Clock, runtime: Handle) -> Self {
        Self {
            inbox: Mutex::new(Inbox::default()),
            clock,
            runtime,
            owner: OnceLock::new(),
        }
    }

    /// Names the supervisor whose end this is.
    pub(crate) fn belongs_to(&self, owner: Weak<dyn Any + Send + Sync>) {
        let _ = self.owner.set(owner);
    }

    /// The supervisor, while anything holds it.
    pub(crate) fn owner(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.owner.get()?.upgrade()
    }

    pub(crate) fn send(&self, note: Note) {
        // The child goes on after `ready()`, and may block; after its end it does not.
        let is_mid_poll = matches!(note.what, What::Ready);
        let mut inbox = self.inbox.lock();
        inbox.notes.push(note);
        let waker = inbox.waker.take();
        drop(inbox);
        if is_mid_poll {
            self.wake_apart(waker);
        } else if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes the supervisor look for commands.
    pub(crate) fn nudge(&self) {
        let mut inbox = self.inbox.lock();
        inbox.nudged = true;
        let waker = inbox.waker.take();
        drop(inbox);
        self.wake_apart(waker);
    }

    fn wake_apart(&self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            wake_apart(waker, &self.runtime);
        }
    }

    /// Swaps the notes that are there into `notes`, which is empty. Whether there was anything; if
    /// not, `waker` is woken by what comes next.
    pub(crate) fn receive(&self, notes: &mut Vec<Note>, waker: &Waker) -> bool {
        let mut inbox = self.inbox.lock();
        let nudged = std::mem::take(&mut inbox.nudged);
        std::mem::swap(&mut inbox.notes, notes);
        let found = nudged || !notes.is_empty();
        if found {
            return true;
        }
        drop(inbox);
        // Wakers are the executor's code: cloned before the lock, dropped after it.
        let waker = waker.clone();
        let mut inbox = self.inbox.lock();
        if inbox.nudged || !inbox.notes.is_empty() {
            drop(inbox);
            drop(waker);
            return self.receive_now(notes);
        }
        let replaced = inbox.waker.replace(waker);
        drop(inbox);
        drop(replaced);
        false
    }

    /// Whether the runtime is shutting down: it then drops what is spawned at once.
    pub(crate) fn is_down(&self) -> bool {
        let probe = self.runtime.spawn(std::future::pending::<()>());
        // By itself it never finishes.
        let is_down = probe.is_finished();
        probe.abort();
        is_down
    }

    /// Nobody sleeps here any more.
    pub(crate) fn close(&self) {
        let waker = self.inbox.lock().waker.take();
        drop(waker);
    }

    fn receive_now(&self, notes: &mut Vec<Note>) -> bool {
        let mut inbox = self.inbox.lock();
        inbox.nudged = false;
        std::mem::swap(&mut inbox.notes, notes);
        true
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
