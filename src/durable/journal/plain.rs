//! Files in memory for model checkers.

use crate::durable::storage::{DirEntry, LockError, Storage, StorageFile, StorageLock};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Files in memory whose locks a model checker does not see.
#[derive(Debug, Default)]
pub(super) struct Plain(Mutex<BTreeMap<PathBuf, Bytes>>);

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
struct PlainFile(Bytes);

impl Storage for Plain {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let files = self.0.lock().unwrap();
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(PlainFile(file.clone())))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = Bytes::default();
        let mut files = self.0.lock().unwrap();
        files.insert(path.to_owned(), file.clone());
        Ok(Box::new(PlainFile(file)))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let files = self.0.lock().unwrap();
        let entry = |(path, file): (&PathBuf, &Bytes)| {
            let name = path.strip_prefix(dir).ok()?.to_str()?.to_owned();
            Some(DirEntry::file(name, file.lock().unwrap().len() as u64))
        };
        Ok(files.iter().filter_map(entry).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path, _: &str) -> Result<Box<dyn StorageLock>, LockError> {
        Err(LockError::Io(io::ErrorKind::Unsupported.into()))
    }
}

impl StorageFile for PlainFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let rest = &bytes[from..];
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.0.lock().unwrap().truncate(len);
        Ok(())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
