//! The file system of the machine.

use super::traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
use fs4::{FileExt, TryLockError};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// The file system of the machine.
///
/// Files are created with mode 0600 and directories with 0700 on Unix. A sync is `fdatasync`
/// (`F_FULLFSYNC` on Apple's systems, `FlushFileBuffers` on Windows). A lock is `flock` on Unix and
/// `LockFileEx` on Windows; where the lock covers the bytes too (Windows), those that find it taken
/// cannot read who holds it. [`reserve`](StorageFile::reserve) is `fallocate` or its like; a file
/// system that has none gets zeros written.
///
/// Calls that a signal interrupted are made again.
///
/// ```
/// use backstop::durable::storage::{FsStorage, Storage};
///
/// # fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let file = FsStorage.create_new(&dir.join("notes"))?;
/// assert_eq!(file.append(b"paid")?, 4);
/// // The bytes are durable after the first sync, and the name after the second.
/// file.sync()?;
/// FsStorage.sync_dir(dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FsStorage;

/// More of a lock's file than this is not read: any process may have written it.
const LONGEST_HOLDER: u64 = 1_024;

impl Storage for FsStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(FsFile(appending().open(path)?)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = for_owner_only(appending().create_new(true)).open(path)?;
        Ok(Box::new(FsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(or_here(dir))? {
            entries.extend(look_at(&entry.map_err(in_listing)?)?);
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Windows has no such call, and its directories do not open as files.
        if cfg!(unix) {
            File::open(or_here(dir))?.sync_all()?;
        }
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError> {
        let mut options = OpenOptions::new();
        // Not truncated: what stands in it is the holder's until the lock is ours.
        options.read(true).write(true).create(true).truncate(false);
        let file = for_owner_only(&mut options)
            .open(path)
            .map_err(LockError::Io)?;
        match FileExt::try_lock(&file) {
            Ok(()) => {
                // The text is a courtesy: with a full disk, too, the lock is ours.
                let _told = file
                    .set_len(0)
                    .and_then(|()| (&file).write_all(holder.as_bytes()));
                Ok(Box::new(FsLock(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                let holder = match (&file).take(LONGEST_HOLDER).read_to_end(&mut text) {
                    Ok(_) => String::from_utf8_lossy(&text).into_owned(),
                    Err(_) => String::new(),
                };
                Err(LockError::Held { holder })
            }
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }
}

/// To read, and to write at the end only.
fn appending() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    if cfg!(unix) {
        options.append(true);
    } else {
        // On Windows a file that is open to append cannot be cut.
        options.write(true);
    }
    options
}

fn for_owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// The parent of a relative path of one part is the empty path, which means this directory.
fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    }
}

/// The entry as it is now; `None` if it went away since its directory was read.
fn look_at(entry: &fs::DirEntry) -> io::Result<Option<DirEntry>> {
    let name = entry.file_name().to_string_lossy().into_owned();
    let found = entry.metadata().and_then(|found| {
        if found.is_symlink() {
            fs::metadata(entry.path()).map_err(in_listing)
        } else {
            Ok(found)
        }
    });
    match found {
        Ok(found) if found.is_dir() => Ok(Some(DirEntry::dir(name))),
        Ok(found) => Ok(Some(DirEntry::file(name, found.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An entry that cannot be looked at does not mean that the directory is not there, nor the entry.
fn in_listing(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => io::Error::other(format!("an entry cannot be looked at: {error}")),
        _ => error,
    }
}

#[derive(Debug)]
struct FsFile(File);

impl StorageFile for FsFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        again(|| {
            #[cfg(not(windows))]
            let written = (&self.0).write(bytes);
            #[cfg(windows)]
            let written = {
                let end = self.0.metadata()?.len();
                std::os::windows::fs::FileExt::seek_write(&self.0, bytes, end)
            };
            written
        })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        again(|| {
            #[cfg(not(windows))]
            let read = std::os::unix::fs::FileExt::read_at(&self.0, into, offset);
            #[cfg(windows)]
            let read = std::os::windows::fs::FileExt::seek_read(&self.0, into, offset);
            read
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if len < self.0.metadata()?.len() {
            self.0.set_len(len)?;
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match FileExt::allocate(&self.0, bytes) {
            Err(error) if error.kind() == ErrorKind::Unsupported => self.fill(bytes),
            reserved => reserved,
        }
    }
}

impl FsFile {
    /// Writes zeros until the file is so long.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        const ZEROS: [u8; 16 * 1_024] = [0; 16 * 1_024];
        loop {
            let left = bytes.saturating_sub(self.len()?);
            let next = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            if next == 0 {
                return Ok(());
            }
            if self.append(&ZEROS[..next])? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
    }
}

/// Makes a call again that a signal interrupted before it did anything.
///
/// Not `fdatasync`: systems do not agree on what its failed attempt has left.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// The open file holds the lock: the system takes it back when the file is closed, or the process
/// gone.
#[derive(Debug)]
struct FsLock(#[expect(dead_code, reason = "held, not used")] File);

impl StorageLock for FsLock {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st1b_a_file_system_without_reservation_gets_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = FsFile(appending().create_new(true).open(&path).unwrap());
        file.append(b"before").unwrap();
        file.fill(40_000).unwrap();
        let mut expected = vec![0; 40_000];
        expected[..6].copy_from_slice(b"before");
        assert_eq!(fs::read(&path).unwrap(), expected);
        file.fill(100).unwrap();
        assert_eq!(file.len().unwrap(), 40_000);
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut calls = 0;
        let answer = again(|| {
            calls += 1;
            if calls < 3 {
                Err(ErrorKind::Interrupted.into())
            } else {
                Ok(calls)
            }
        });
        assert_eq!(answer.unwrap(), 3);
    }
}
