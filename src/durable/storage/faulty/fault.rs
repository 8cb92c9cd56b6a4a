//! Faults on purpose: which calls they hit, and what these come to.

use crate::durable::storage::error::Operation;
use crate::kernel::sync::{AtomicU64, Mutex, Ordering};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

/// A fault for a `FaultyStorage`: by default the next call of its operation, on whatever path, fails with
/// an I/O error and does nothing.
///
/// ```
/// use backstop::durable::storage::Operation;
/// use backstop::durable::storage::faulty::Fault;
/// use std::io::ErrorKind;
///
/// // The third and fourth append to a segment find the disk full, with 100 bytes written before.
/// let fault = Fault::on(Operation::Append)
///     .of(|path| path.extension().is_some_and(|end| end == "segment"))
///     .after(2)
///     .times(2)
///     .kind(ErrorKind::StorageFull)
///     .torn(100);
/// # let _ = fault;
/// ```
#[derive(Clone)]
pub struct Fault {
    operation: Operation,
    of: Option<Of>,
    after: u64,
    times: u64,
    error: Error,
    effect: Effect,
}

type Of = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Fail,
    Short(usize),
    Torn(usize),
    AlthoughDone,
}

/// The error that a fault gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// Of a disk that is broken.
    Disk,
    Kind(ErrorKind),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether it does anything.
    pub(super) acts: bool,
    /// The most bytes that it reads or writes.
    pub(super) limit: usize,
    /// Whether it fails, whatever it did.
    pub(super) fails: Option<Error>,
}

impl Plan {
    /// The call as it should be.
    pub(super) const SOUND: Self = Self {
        acts: true,
        limit: usize::MAX,
        fails: None,
    };

    pub(super) const fn failing(error: Error) -> Self {
        Self {
            acts: false,
            limit: 0,
            fails: Some(error),
        }
    }

    /// One that a roll from 0 to 1 picks.
    pub(super) fn at_random(operation: Operation, roll: f64) -> Self {
        let although_done = Self {
            acts: true,
            limit: usize::MAX,
            fails: Some(Error::Disk),
        };
        let short = Self {
            limit: 1 + usize::from(roll > 0.1) * 600,
            ..Self::SOUND
        };
        let torn = Self {
            fails: Some(Error::Disk),
            ..short
        };
        match operation {
            Operation::Append if roll < 0.2 => short,
            Operation::Append if roll < 0.4 => torn,
            Operation::Read if roll < 0.5 => short,
            Operation::Append | Operation::Reserve | Operation::Create if roll > 0.8 => {
                Self::failing(Error::Kind(ErrorKind::StorageFull))
            }
            Operation::Sync | Operation::SyncDir | Operation::Rename if roll < 0.3 => although_done,
            _ => Self::failing(Error::Disk),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Kind(kind) => kind.into(),
            // What Unix calls EIO, which has no kind of its own.
            Error::Disk if cfg!(unix) => Self::from_raw_os_error(5),
            Error::Disk => Self::other("the disk failed"),
        }
    }
}

impl Fault {
    /// A fault of this operation.
    pub fn on(operation: Operation) -> Self {
        Self {
            operation,
            of: None,
            after: 0,
            times: 1,
            error: Error::Disk,
            effect: Effect::Fail,
        }
    }

    /// Only of paths for which this holds: of an open file, that under which it was opened, and of a
    /// rename, the old one. By default all.
    pub fn of(mut self, of: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.of = Some(Arc::new(of));
        self
    }

    /// Lets so many calls pass first; by default none.
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    /// Hits so many calls; by default one.
    pub fn times(mut self, calls: u64) -> Self {
        self.times = calls;
        self
    }

    /// Hits every call from then on.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Fails with an error of this kind; by default it is what a broken disk gives (`EIO` on Unix).
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.error = Error::Kind(kind);
        self
    }

    /// An append or a read that does not fail, and comes to so many bytes at most.
    pub fn short(mut self, bytes: usize) -> Self {
        self.effect = Effect::Short(bytes);
        self
    }

    /// An append that writes so many bytes at most, and fails.
    pub fn torn(mut self, bytes: usize) -> Self {
        self.effect = Effect::Torn(bytes);
        self
    }

    /// The call does what it was asked, and fails all the same.
    pub fn although_done(mut self) -> Self {
        self.effect = Effect::AlthoughDone;
        self
    }

    fn plan(&self) -> Plan {
        let fails = Some(self.error);
        match self.effect {
            Effect::Fail => Plan::failing(self.error),
            Effect::Short(limit) => Plan {
                limit,
                ..Plan::SOUND
            },
            Effect::Torn(limit) => Plan {
                acts: self.operation == Operation::Append,
                limit,
                fails,
            },
            Effect::AlthoughDone => Plan {
                fails,
                ..Plan::SOUND
            },
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("operation", &self.operation)
            .field("after", &self.after)
            .field("times", &self.times)
            .field("error", &self.error)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

/// The faults of a storage. Users' predicates run here, under no lock.
#[derive(Debug)]
pub(super) struct Faults(Mutex<Arc<[Arc<Scripted>]>>);

#[derive(Debug)]
struct Scripted {
    fault: Fault,
    /// Calls that it was asked about and meant.
    met: AtomicU64,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self(Mutex::new(Arc::new([])))
    }

    pub(super) fn add(&self, fault: Fault) {
        let met = AtomicU64::new(0);
        let new = Arc::new(Scripted { fault, met });
        let mut faults = self.0.lock();
        let all = faults.iter().cloned().chain([new]);
        *faults = all.collect();
    }

    pub(super) fn clear(&self) {
        let gone = std::mem::replace(&mut *self.0.lock(), Arc::new([]));
        drop(gone);
    }

    /// What becomes of this call, if a fault hits it: the first that was added.
    pub(super) fn plan(&self, operation: Operation, path: &Path) -> Option<Plan> {
        let faults = Arc::clone(&self.0.lock());
        let mut plan = None;
        for Scripted { fault, met } in faults.iter().map(|scripted| &**scripted) {
            let is_meant =
                fault.operation == operation && fault.of.as_ref().is_none_or(|of| of(path));
            if is_meant {
                let nth = met.fetch_add(1, Ordering::Relaxed);
                if nth >= fault.after && nth - fault.after < fault.times {
                    plan = plan.or(Some(fault.plan()));
                }
            }
        }
        plan
    }
}
