//! The state behind all clones of a `FaultyStorage` and its open files.

use super::SyncKind;
use super::disk::Disk;
use super::fault::Plan;
use super::trace::Call;
use crate::durable::storage::error::Operation;
use crate::kernel::rng::Rolls;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) disk: Disk,
    pub(super) ignored: Ignored,
    /// The locks that are held, and what their holders left.
    pub(super) locked: BTreeMap<PathBuf, String>,
    /// How often a file is open.
    pub(super) open: HashMap<usize, usize>,
    pub(super) calls: Vec<Call>,
    pub(super) stop: Stop,
    pub(super) random: Option<Random>,
}

/// Syncs that answer and do nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ignored(u8);

impl Ignored {
    pub(super) fn and(self, kind: SyncKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    fn has(self, kind: SyncKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// Whether, and at which call, the process ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    Never,
    /// At that call, of which so many bytes are written.
    At(u64, usize),
    Past,
}

#[derive(Debug)]
pub(super) struct Random {
    pub(super) rolls: Rolls,
    pub(super) chance: f64,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    pub(super) path: &'a Path,
    pub(super) to: Option<&'a Path>,
    pub(super) file: Option<usize>,
    pub(super) offset: u64,
}

impl<'a> Asked<'a> {
    pub(super) fn of(operation: Operation, path: &'a Path) -> Self {
        Self {
            operation,
            path,
            to: None,
            file: None,
            offset: 0,
        }
    }
}

/// The process is gone; no code that runs on is told so in a way that it could take for an answer.
fn gone() -> io::Error {
    io::Error::other("the process of this storage has ended")
}

impl Core {
    pub(super) fn new(disk: Disk, ignored: Ignored) -> Self {
        Self {
            disk,
            ignored,
            locked: BTreeMap::new(),
            open: HashMap::new(),
            calls: Vec::new(),
            stop: Stop::Never,
            random: None,
        }
    }

    /// Runs a call as planned and notes it.
    pub(super) fn call<T>(
        &mut self,
        asked: Asked<'_>,
        planned: Option<Plan>,
        act: impl FnOnce(&mut Self, &mut Call, Plan) -> io::Result<T>,
    ) -> io::Result<T> {
        let plan = self.enter(asked.operation, planned)?;
        let mut call = Call {
            operation: asked.operation,
            path: asked.path.to_owned(),
            to: asked.to.map(Path::to_owned),
            file: asked.file.map(|file| file as u64),
            offset: asked.offset,
            bytes: 0,
            result: Ok(()),
        };
        let acted = act(self, &mut call, plan);
        if matches!(self.stop, Stop::Past) {
            return Err(gone());
        }
        let result = match plan.fails {
            Some(error) => acted.and_then(|_| Err(error.into())),
            None => acted,
        };
        call.result = result.as_ref().map(|_| ()).map_err(io::Error::kind);
        self.calls.push(call);
        result
    }

    fn enter(&mut self, operation: Operation, planned: Option<Plan>) -> io::Result<Plan> {
        match self.stop {
            Stop::Past => return Err(gone()),
            Stop::At(at, bytes) if at <= self.calls.len() as u64 => {
                self.stop = Stop::Past;
                if operation != Operation::Append || bytes == 0 {
                    return Err(gone());
                }
                return Ok(Plan {
                    limit: bytes,
                    ..Plan::SOUND
                });
            }
            Stop::At(..) | Stop::Never => {}
        }
        if let Some(plan) = planned {
            return Ok(plan);
        }
        if let Some(random) = &mut self.random {
            if random.rolls.roll() < random.chance {
                return Ok(Plan::at_random(operation, random.rolls.roll()));
            }
        }
        Ok(Plan::SOUND)
    }

    pub(super) fn append(&mut self, file: usize, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.disk.free(&self.open)).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let written = bytes.len().min(room);
        if written > 0 {
            self.disk.file(file).append(&bytes[..written]);
        }
        Ok(written)
    }

    pub(super) fn reserve(&mut self, file: usize, bytes: u64) -> io::Result<()> {
        let more = bytes.saturating_sub(self.disk.files[file].len());
        if more > self.disk.free(&self.open) {
            return Err(ErrorKind::StorageFull.into());
        }
        if more > 0 {
            self.disk.file(file).grow(bytes);
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, file: usize, plan: Plan) {
        let found = self.disk.file(file);
        let kind = if found.was_synced {
            SyncKind::Data
        } else {
            SyncKind::NewFile
        };
        // An ignored one was asked for, too: what is missing is this call, not all that follow.
        found.was_synced = true;
        if !plan.acts {
            self.disk.file(file).fail_sync();
        } else if !self.ignored.has(kind) {
            self.disk.file(file).sync();
        }
    }

    pub(super) fn sync_dir(&mut self, path: &Path, plan: Plan) -> io::Result<()> {
        let dir = self.disk.find_dir(path)?;
        let kind = self.disk.dirs[dir].sync_kind();
        if !plan.acts {
            self.disk.fail_sync_dir(dir);
        } else if !kind.is_some_and(|kind| self.ignored.has(kind)) {
            self.disk.sync_dir(dir);
        }
        Ok(())
    }

    /// Creates the file of a lock, if need be, and leaves the holder in it. What is in it is never
    /// open after a power cut: nobody reads it but those who find the lock taken.
    pub(super) fn lock_file(&mut self, path: &Path, holder: &str) -> io::Result<usize> {
        let file = match self.disk.find_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.disk.create_file(path)?,
            found => found?,
        };
        let held = self.disk.file(file);
        held.truncate(0);
        held.append(holder.as_bytes());
        held.sync();
        Ok(file)
    }

    pub(super) fn opened(&mut self, file: usize) {
        *self.open.entry(file).or_default() += 1;
    }

    pub(super) fn closed(&mut self, file: usize) {
        if let Some(count) = self.open.get_mut(&file) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&file);
            }
        }
    }
}
