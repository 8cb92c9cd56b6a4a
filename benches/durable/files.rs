//! What a checkpoint in a directory needs at least.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Writes a temporary file, syncs it, renames it, syncs the directory.
pub(crate) fn replace(dir: &Path, bytes: &[u8]) {
    let temporary = dir.join("temporary");
    let mut file = File::create(&temporary).expect("a file");
    file.write_all(bytes).expect("a write");
    file.sync_data().expect("a sync");
    fs::rename(temporary, dir.join("file")).expect("a rename");
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .expect("a directory");
}

/// What it wrote.
pub(crate) fn read_whole(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("file")).expect("a file")
}
