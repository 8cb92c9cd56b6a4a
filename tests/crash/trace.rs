//! Looks for the syncs behind an acknowledgement in the trace of a storage's calls.

use backstop::durable::storage::faulty::{Call, FaultyStorage};
use backstop::durable::storage::{Operation, Storage};
use std::path::{Path, PathBuf};

/// Whether, by the call of that number, every byte of `bytes` was appended to one file, that file synced
/// behind it, and the name it has now made durable; `bytes` stand in one place only.
pub(crate) fn is_covered(disk: &FaultyStorage, bytes: &[u8], by: u64) -> Result<(), String> {
    let trace = disk.trace();
    let by = usize::try_from(by).unwrap_or(usize::MAX).min(trace.len());
    let (path, place) = find(disk, bytes).ok_or("the bytes are in no file")?;
    let file = file_of(&trace, &path).ok_or("the trace has no file of that name")?;
    let of_file = |operation: Operation| {
        let calls = trace[..by].iter().enumerate();
        calls.filter(move |(_, call)| {
            call.file == Some(file) && call.operation == operation && call.result.is_ok()
        })
    };
    let (start, end) = (place, place + bytes.len() as u64);
    let written = of_file(Operation::Append)
        .filter(|(_, call)| call.offset < end && call.offset + call.bytes > start)
        .map(|(at, _)| at)
        .max()
        .ok_or("it was not written before")?;
    if !of_file(Operation::Sync).any(|(at, _)| at > written) {
        return Err(format!("no sync of {} covers it", path.display()));
    }
    let named = named(&trace[..by], &path).ok_or("it had another name then")?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let is_durable = trace[..by].iter().enumerate().any(|(at, call)| {
        at > named
            && call.operation == Operation::SyncDir
            && call.path == dir
            && call.result.is_ok()
    });
    if is_durable {
        Ok(())
    } else {
        Err(format!(
            "no sync of its directory covers {}",
            path.display()
        ))
    }
}

/// The file that holds these bytes, and where in it.
fn find(disk: &FaultyStorage, bytes: &[u8]) -> Option<(PathBuf, u64)> {
    files(disk, Path::new("")).into_iter().find_map(|path| {
        let held = disk.contents(&path)?;
        let at = held.windows(bytes.len()).position(|part| part == bytes)?;
        Some((path, at as u64))
    })
}

/// All files from a directory on.
pub(crate) fn files(disk: &FaultyStorage, dir: &Path) -> Vec<PathBuf> {
    // A copy is asked, which has no faults and counts for itself.
    let entries = disk.after_kill().list(dir).unwrap_or_default();
    let each = entries.into_iter().flat_map(|entry| {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files(disk, &path)
        } else {
            vec![path]
        }
    });
    each.collect()
}

/// The number of the file that has this name at the end.
fn file_of(trace: &[Call], path: &Path) -> Option<u64> {
    let at = named(trace, path)?;
    trace[at].file
}

/// The call that gave this name last.
fn named(trace: &[Call], path: &Path) -> Option<usize> {
    trace.iter().rposition(|call| {
        let named = match call.operation {
            Operation::Create => Some(&call.path),
            Operation::Rename => call.to.as_ref(),
            _ => None,
        };
        named.is_some_and(|named| named == path) && call.result.is_ok()
    })
}
