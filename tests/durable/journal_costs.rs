//! What a journal costs in memory: appends allocate nothing in steady state.
//!
//! Allocations are counted per thread, so tests beside these do not disturb them.

use crate::image::DIR;
use backstop::durable::journal::{AppendFuture, Journal, JournalConfig, OpenMode, SyncPolicy};
use backstop::durable::storage::FsStorage;
use std::sync::Arc;

fn open(policy: SyncPolicy) -> (Journal, tempfile::TempDir) {
    let temp = tempfile::tempdir().unwrap();
    let config = JournalConfig::default()
        .open(OpenMode::CreateIfMissing)
        .sync(policy)
        .buffer_bytes(2 << 20);
    let dir = temp.path().join(DIR);
    let (journal, _) = Journal::open(Arc::new(FsStorage), dir, config).unwrap();
    (journal, temp)
}

#[track_caller]
fn allocates_nothing(what: &str, times: u32, mut act: impl FnMut()) {
    let info = allocation_counter::measure(|| (0..times).for_each(|_| act()));
    assert_eq!(
        (info.count_total, info.bytes_total),
        (0, 0),
        "allocations of {times} {what}"
    );
}

#[test]
fn jn2c_a_lone_commit_allocates_nothing() {
    let (journal, _temp) = open(SyncPolicy::Always);
    let commit = || assert!(journal.append(1, &[7; 256]).is_ok());
    // Once for each of the two buffers.
    (0..2).for_each(|_| commit());
    allocates_nothing("lone commits", 100, commit);
}

#[test]
fn jn2c_a_buffered_append_allocates_nothing() {
    let (journal, _temp) = open(SyncPolicy::Never);
    let append = || assert!(journal.append(1, &[7; 256]).is_ok());
    // Both buffers have been full.
    (0..10_000).for_each(|_| append());
    // The writes among them, too.
    allocates_nothing("buffered appends", 20_000, append);
    allocates_nothing("syncs", 10, || {
        append();
        assert!(journal.sync().is_ok());
    });
}

#[test]
fn handles_and_futures_keep_to_their_sizes() {
    assert_eq!(size_of::<Journal>(), 16);
    assert!(size_of::<AppendFuture<'_>>() <= 72);
}
