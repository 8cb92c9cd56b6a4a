//! Copies of what a repair is about to cut or remove.

use super::layout::QUARANTINE;
use super::open_error::OpenError;
use super::report::Stage;
use super::survey::{Meter, Tell};
use super::tail::write_whole;
use super::window::Window;
use crate::durable::storage::{Operation, Storage, StorageError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a copy's name ends with until it is whole.
const PARTIAL: &str = ".partial";

/// A file, and its length.
pub(super) type Subject = (PathBuf, u64);

/// Copies every file whole, and makes the copies durable; answers their paths.
pub(super) fn copy_all(
    storage: &dyn Storage,
    dir: &Path,
    files: &[Subject],
    tell: &mut Tell<'_>,
) -> Result<Vec<PathBuf>, OpenError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let quarantine = dir.join(QUARANTINE);
    let bytes = files.iter().map(|(_, len)| len).sum();
    let refused = |source| OpenError::Quarantine {
        dir: quarantine.clone(),
        bytes,
        source,
    };
    make_dir(storage, dir, &quarantine).map_err(refused)?;
    let mut meter = Meter::new(Stage::Quarantining, bytes, tell);
    let mut copies = Vec::new();
    for subject in files {
        copies.push(
            copy(storage, &quarantine, subject).map_err(|failed| match failed {
                Failed::Source(error) => error.into(),
                Failed::Copy(error) => refused(error),
            })?,
        );
        let done = meter.bytes() + subject.1;
        meter.reach(done);
    }
    meter.end();
    storage
        .sync_dir(&quarantine)
        .map_err(StorageError::at(Operation::SyncDir, &quarantine))
        .map_err(refused)?;
    Ok(copies)
}

enum Failed {
    Source(StorageError),
    Copy(StorageError),
}

fn make_dir(storage: &dyn Storage, dir: &Path, quarantine: &Path) -> Result<(), StorageError> {
    match storage.create_dir(quarantine) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(StorageError::new(Operation::CreateDir, quarantine, error));
        }
        // One that was there already may not be durable yet.
        Ok(()) | Err(_) => {}
    }
    storage
        .sync_dir(dir)
        .map_err(StorageError::at(Operation::SyncDir, dir))
}

fn copy(
    storage: &dyn Storage,
    quarantine: &Path,
    (from, len): &Subject,
) -> Result<PathBuf, Failed> {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let partial = quarantine.join(format!("{name}{PARTIAL}"));
    match storage.remove(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let error = StorageError::new(Operation::Remove, &partial, error);
            return Err(Failed::Copy(error));
        }
        Ok(()) | Err(_) => {}
    }
    let source = open(storage, from).map_err(Failed::Source)?;
    let mut source = Window::new(source, from.clone(), *len, Vec::new());
    // A crash between the copy and the repair leaves a copy that is as good as a new one.
    let mut number = 0_u64;
    let to = loop {
        let to = quarantine.join(format!("{name}.{number}"));
        match storage.open(&to) {
            Ok(file) => {
                let same = is_same(&mut source, Arc::from(file), &to).map_err(Failed::Source)?;
                if same {
                    return resync(storage, &to).map(|()| to).map_err(Failed::Copy);
                }
                number += 1;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => break to,
            Err(error) => {
                return Err(Failed::Copy(StorageError::new(Operation::Open, to, error)));
            }
        }
    };
    let copied = write(storage, &mut source, &partial);
    let copied = copied.and_then(|()| {
        storage
            .rename(&partial, &to)
            .map_err(StorageError::at(Operation::Rename, &to))
            .map_err(Failed::Copy)
    });
    if copied.is_err() {
        // A full disk is not to stay full of what is of no use.
        let _removed = storage.remove(&partial);
    }
    copied.map(|()| to)
}

fn open(
    storage: &dyn Storage,
    path: &Path,
) -> Result<Arc<dyn crate::durable::storage::StorageFile>, StorageError> {
    storage
        .open(path)
        .map(Arc::from)
        .map_err(StorageError::at(Operation::Open, path))
}

fn resync(storage: &dyn Storage, path: &Path) -> Result<(), StorageError> {
    open(storage, path)?
        .sync()
        .map_err(StorageError::at(Operation::Sync, path))
}

fn is_same(
    source: &mut Window,
    copy: Arc<dyn crate::durable::storage::StorageFile>,
    path: &Path,
) -> Result<bool, StorageError> {
    let len = copy
        .len()
        .map_err(StorageError::at(Operation::Read, path))?;
    if len != source.len() {
        return Ok(false);
    }
    let mut copy = Window::new(copy, path.to_owned(), len, Vec::new());
    let mut at = 0;
    while at < len {
        let (one, other) = (source.at(at, 1)?, copy.at(at, 1)?);
        let both = one.len().min(other.len());
        if both == 0 || one[..both] != other[..both] {
            return Ok(false);
        }
        at += both as u64;
    }
    Ok(true)
}

fn write(storage: &dyn Storage, source: &mut Window, partial: &Path) -> Result<(), Failed> {
    let copy = storage
        .create_new(partial)
        .map_err(StorageError::at(Operation::Create, partial))
        .map_err(Failed::Copy)?;
    let mut at = 0;
    while source.left(at) > 0 {
        let bytes = source.at(at, 1).map_err(Failed::Source)?;
        if bytes.is_empty() {
            break;
        }
        write_whole(&*copy, bytes)
            .map_err(StorageError::at(Operation::Append, partial))
            .map_err(Failed::Copy)?;
        at += bytes.len() as u64;
    }
    copy.sync()
        .map_err(StorageError::at(Operation::Sync, partial))
        .map_err(Failed::Copy)
}
