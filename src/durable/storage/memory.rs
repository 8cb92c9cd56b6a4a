//! Files in memory.

use super::paths::{inside, named, parent};
use super::traits::{DirEntry, LockError, Storage, StorageFile, StorageLock};
use crate::kernel::sync::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files in memory, for tests and for what may be lost: everything is gone with the last clone.
///
/// Clones share their contents and their locks. A path is taken from one root, whether it begins
/// with `/` or not; the root is there from the beginning. A file that was removed lives on in those
/// who have it open. To test against crashes and failing disks use `FaultyStorage` (feature
/// `test-util`).
///
/// ```
/// use backstop::durable::storage::{MemoryStorage, Storage};
/// use std::path::Path;
///
/// # fn main() -> std::io::Result<()> {
/// let storage = MemoryStorage::new();
/// storage.create_new(Path::new("notes"))?.append(b"paid")?;
/// let mut found = [0; 8];
/// let len = storage.clone().open(Path::new("notes"))?.read_at(&mut found, 0)?;
/// assert_eq!(&found[..len], b"paid");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStorage(Arc<Mutex<Tree>>);

#[derive(Default)]
struct Tree {
    /// By path from the root, which itself is not in it.
    nodes: BTreeMap<PathBuf, Node>,
    locked: HashSet<PathBuf>,
}

#[derive(Clone)]
enum Node {
    Dir,
    File(Arc<Mutex<Vec<u8>>>),
}

impl MemoryStorage {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Tree::default())))
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = self.0.lock();
        f.debug_struct("MemoryStorage")
            .field("paths", &tree.nodes.keys())
            .finish()
    }
}

impl Tree {
    fn is_dir(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || matches!(self.nodes.get(path), Some(Node::Dir))
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Vec<u8>>>> {
        match self.nodes.get(path) {
            Some(Node::File(bytes)) => Ok(Arc::clone(bytes)),
            Some(Node::Dir) => Err(ErrorKind::IsADirectory.into()),
            None if self.is_dir(path) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Puts a node where there is none yet.
    fn put(&mut self, path: PathBuf, node: Node) -> io::Result<()> {
        if self.is_dir(&path) || self.nodes.contains_key(&path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.expect_parent(&path)?;
        self.nodes.insert(path, node);
        Ok(())
    }

    fn expect_parent(&self, path: &Path) -> io::Result<()> {
        self.expect_dir(parent(path))
    }

    fn expect_dir(&self, path: &Path) -> io::Result<()> {
        if self.is_dir(path) {
            Ok(())
        } else if self.nodes.contains_key(path) {
            Err(ErrorKind::NotADirectory.into())
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let bytes = self.0.lock().file(&named(path))?;
        Ok(Box::new(MemoryFile(bytes)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let node = Node::File(Arc::clone(&bytes));
        self.0.lock().put(named(path), node)?;
        Ok(Box::new(MemoryFile(bytes)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (named(from), named(to));
        let mut tree = self.0.lock();
        let bytes = tree.file(&from)?;
        if tree.is_dir(&to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        tree.expect_parent(&to)?;
        tree.nodes.remove(&from);
        let replaced = tree.nodes.insert(to, Node::File(bytes));
        drop(tree);
        drop(replaced);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = named(path);
        let mut tree = self.0.lock();
        let removed = tree.file(&path)?;
        tree.nodes.remove(&path);
        drop(tree);
        drop(removed);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = named(dir);
        let tree = self.0.lock();
        tree.expect_dir(&dir)?;
        let mut entries: Vec<DirEntry> = inside(&tree.nodes, &dir)
            .map(|(name, node)| match node {
                Node::Dir => DirEntry::dir(name),
                Node::File(bytes) => DirEntry::file(name, bytes.lock().len() as u64),
            })
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().put(named(dir), Node::Dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().expect_dir(&named(dir))
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn StorageLock>, LockError> {
        let path = named(path);
        let mut tree = self.0.lock();
        let bytes = match tree.file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let bytes = Arc::new(Mutex::new(Vec::new()));
                tree.put(path.clone(), Node::File(Arc::clone(&bytes)))
                    .map(|()| bytes)
            }
            found => found,
        }
        .map_err(LockError::Io)?;
        if !tree.locked.insert(path.clone()) {
            let holder = String::from_utf8_lossy(&bytes.lock()).into_owned();
            return Err(LockError::Held { holder });
        }
        *bytes.lock() = holder.as_bytes().to_vec();
        Ok(Box::new(MemoryLock {
            tree: Arc::clone(&self.0),
            path,
        }))
    }
}

struct MemoryFile(Arc<Mutex<Vec<u8>>>);

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.lock().len();
        f.debug_struct("MemoryFile").field("len", &len).finish()
    }
}

impl StorageFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let from = usize::try_from(offset).ok();
        let found = from.and_then(|from| bytes.get(from..)).unwrap_or_default();
        let len = found.len().min(into.len());
        into[..len].copy_from_slice(&found[..len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        if let Ok(len) = usize::try_from(len) {
            self.0.lock().truncate(len);
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let mut held = self.0.lock();
        let more = usize::try_from(bytes).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        let missing = more.saturating_sub(held.len());
        held.try_reserve(missing)
            .map_err(|_| io::Error::from(ErrorKind::OutOfMemory))
    }
}

struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl fmt::Debug for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLock")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().locked.remove(&self.path);
    }
}
