//! The handle, and the storage that it is.

use super::SyncKind;
use super::cut::PowerCut;
use super::disk::Disk;
use super::fault::{Error, Fault, Faults, Plan};
use super::open_file::{FaultyFile, FaultyLock};
use super::state::{Asked, Core, Ignored, Random, Stop};
use super::trace::Call;
use crate::durable::storage::error::Operation;
use crate::durable::storage::paths::named;
use crate::durable::storage::traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
use crate::kernel::rng::Rolls;
use crate::kernel::sync::Mutex;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A disk under a page cache, in memory, that fails on purpose and can be looked at after a crash.
///
/// Clones are the same disk. See the [module](super) for what it takes to be durable, and for an
/// example.
#[derive(Clone)]
pub struct FaultyStorage(Arc<Inner>);

struct Inner {
    core: Mutex<Core>,
    faults: Faults,
}

impl FaultyStorage {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::of(Disk::new(), Ignored::default())
    }

    pub(super) fn of(disk: Disk, ignored: Ignored) -> Self {
        Self(Arc::new(Inner {
            core: Mutex::new(Core::new(disk, ignored)),
            faults: Faults::none(),
        }))
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        act(&mut self.0.core.lock())
    }

    /// Makes one kind of sync answer `Ok` and do nothing, here and on all disks that crashes of this one
    /// leave: code that needs this sync must fail its crash tests then.
    pub fn ignoring(self, kind: SyncKind) -> Self {
        self.with(|core| core.ignored = core.ignored.and(kind));
        self
    }

    /// All files together take at most so many bytes, room that is set aside included. What is there
    /// already stays.
    ///
    /// An append that fits in part writes that part; one that does not fit at all fails with
    /// `StorageFull`. Names take no room.
    pub fn set_capacity(&self, bytes: u64) {
        self.with(|core| core.disk.capacity = bytes);
    }

    /// Adds a fault. Of several that hit one call the first that was added decides.
    pub fn fail(&self, fault: Fault) {
        self.0.faults.add(fault);
    }

    /// Each call fails with this chance from 0 to 1, in one of the ways in which it may: reads and
    /// writes that come to less, errors with and without an effect, a full disk. Scripted faults go
    /// before. Chance and seed may be given again.
    pub fn fail_at_random(&self, seed: u64, chance: f64) {
        let rolls = Rolls::seeded(seed);
        self.with(|core| core.random = Some(Random { rolls, chance }));
    }

    /// Takes all faults away. What they have done stays.
    pub fn stop_failing(&self) {
        self.0.faults.clear();
        self.with(|core| core.random = None);
    }

    /// Flips one bit of a file where it lies on the disk, counted from the file's start, the lowest of
    /// each byte first.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, `InvalidInput` if the bit is behind its end.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) -> io::Result<()> {
        self.with(|core| {
            let file = core.disk.find_file(path.as_ref())?;
            if core.disk.file(file).flip(bit) {
                Ok(())
            } else {
                Err(io::ErrorKind::InvalidInput.into())
            }
        })
    }

    /// What a reader finds in a file now; `None` if there is none. No call: it is neither counted nor
    /// failed.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.with(|core| {
            let file = core.disk.find_file(path.as_ref()).ok()?;
            Some(core.disk.files[file].contents())
        })
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.with(|core| core.calls.len() as u64)
    }

    /// All calls and their answers.
    pub fn trace(&self) -> Vec<Call> {
        self.with(|core| core.calls.clone())
    }

    /// Ends the process at its call of this number, counted from 0: neither this call nor one after it
    /// does anything, and all fail with an error that means nothing else.
    ///
    /// What is on the disk then say [`after_kill`](Self::after_kill) and
    /// [`after_power_cut`](Self::after_power_cut).
    pub fn stop_at(&self, call: u64) {
        self.with(|core| core.stop = Stop::At(call, 0));
    }

    /// The same, but if the call is an append, its first `bytes` are written.
    pub fn stop_within(&self, call: u64, bytes: usize) {
        self.with(|core| core.stop = Stop::At(call, bytes));
    }

    /// Whether the process has ended: the call was reached.
    pub fn is_stopped(&self) -> bool {
        self.with(|core| matches!(core.stop, Stop::Past))
    }

    /// The disk as it is if the process is killed now: all that was written is there, and what was not
    /// synced is still open.
    pub fn after_kill(&self) -> Self {
        let (disk, ignored) = self.with(|core| (core.disk.clone(), core.ignored));
        Self::of(disk, ignored)
    }

    /// The disks as they may be if the power fails now.
    pub fn after_power_cut(&self) -> PowerCut {
        let (disk, ignored) = self.with(|core| (core.disk.clone(), core.ignored));
        PowerCut::of(disk, ignored)
    }

    pub(super) fn call<T>(
        &self,
        asked: Asked<'_>,
        act: impl FnOnce(&mut Core, &mut Call, Plan) -> io::Result<T>,
    ) -> io::Result<T> {
        // Users' predicates run before the lock is taken.
        let planned = self.0.faults.plan(asked.operation, asked.path);
        self.with(|core| core.call(asked, planned, act))
    }

    /// A call that does all it was asked, or nothing.
    pub(super) fn plain<T: Default>(
        &self,
        asked: Asked<'_>,
        act: impl FnOnce(&mut Core, &mut Call) -> io::Result<T>,
    ) -> io::Result<T> {
        self.call(asked, |core, call, plan| {
            if plan.acts {
                act(core, call)
            } else {
                Ok(T::default())
            }
        })
    }

    fn file(
        &self,
        operation: Operation,
        path: &Path,
        find: impl FnOnce(&mut Disk) -> io::Result<usize>,
    ) -> io::Result<Box<dyn StorageFile>> {
        let file = self.plain(Asked::of(operation, path), |core, call| {
            let file = find(&mut core.disk)?;
            call.file = Some(file as u64);
            Ok(file)
        })?;
        self.with(|core| core.opened(file));
        Ok(Box::new(FaultyFile::new(self.clone(), file, path)))
    }
}

impl Default for FaultyStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FaultyStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.0.core.lock();
        f.debug_struct("FaultyStorage")
            .field("calls", &core.calls.len())
            .field("stop", &core.stop)
            .finish_non_exhaustive()
    }
}

impl Storage for FaultyStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.file(Operation::Open, path, |disk| disk.find_file(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.file(Operation::Create, path, |disk| disk.create_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let asked = Asked {
            to: Some(to),
            ..Asked::of(Operation::Rename, from)
        };
        self.plain(asked, |core, call| {
            call.file = Some(core.disk.rename(from, to)? as u64);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plain(Asked::of(Operation::Remove, path), |core, call| {
            call.file = Some(core.disk.remove(path)? as u64);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.plain(Asked::of(Operation::List, dir), |core, _| {
            core.disk.list(dir)
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.plain(Asked::of(Operation::CreateDir, dir), |core, _| {
            core.disk.create_dir(dir)
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(Asked::of(Operation::SyncDir, dir), |core, _, plan| {
            core.sync_dir(dir, plan)
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError> {
        let of = named(path);
        let mut is_taken = false;
        let held = self.plain(Asked::of(Operation::Lock, path), |core, call| {
            if let Some(holder) = core.locked.get(&of) {
                return Ok(Some(holder.clone()));
            }
            call.file = Some(core.lock_file(path, holder)? as u64);
            core.locked.insert(of.clone(), holder.to_owned());
            is_taken = true;
            Ok(None)
        });
        // Given back at once if the call fails although it was done.
        let lock = is_taken.then(|| FaultyLock::new(self.clone(), of));
        match (held, lock) {
            (Ok(Some(holder)), _) => Err(LockError::Held { holder }),
            (Ok(None), Some(lock)) => Ok(Box::new(lock)),
            // A call that does nothing fails, so this is not reached.
            (Ok(None), None) => Err(LockError::Io(Error::Disk.into())),
            (Err(error), _) => Err(LockError::Io(error)),
        }
    }
}
