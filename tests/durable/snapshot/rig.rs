//! Scripts of calls of a store, and what may be there after part of them.

use backstop::durable::snapshot::conformance::checkpoint;
use backstop::durable::snapshot::{
    CheckpointStore, DirectoryConfig, DirectoryError, DirectoryStore, Entry, Mark, Marks,
    StoreError,
};
use backstop::durable::storage::faulty::FaultyStorage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const KEY: &str = "ledger";
pub(super) const DIR: &str = "checkpoints";

/// One call of a store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Save(u64),
    SaveProvisional(u64),
    Mark(u64, Mark),
    Forget,
}

impl Call {
    pub(super) fn run(self, store: &dyn CheckpointStore) -> Result<(), StoreError> {
        match self {
            Self::Save(sequence) => store.save(KEY, &checkpoint(sequence)).map(drop),
            Self::SaveProvisional(sequence) => {
                let marks = Marks::none().with(Mark::Provisional);
                store
                    .save_marked(KEY, &checkpoint(sequence), marks)
                    .map(drop)
            }
            Self::Mark(sequence, mark) => store.mark(KEY, sequence, mark).map(drop),
            Self::Forget => store.forget(KEY),
        }
    }
}

pub(super) fn open(disk: &FaultyStorage) -> Result<DirectoryStore, DirectoryError> {
    let config = DirectoryConfig::default().keep(2).lock_wait(Duration::ZERO);
    DirectoryStore::open(Arc::new(disk.clone()), DIR, config)
}

/// The entries of a store by sequence.
pub(super) type Contents = BTreeMap<u64, Entry>;

pub(super) fn contents(store: &dyn CheckpointStore) -> Contents {
    let history = store.history(KEY).unwrap();
    history
        .into_iter()
        .map(|entry| (entry.sequence, entry))
        .collect()
}

/// Whether `found` is what stands between `before` and `after` a call: what both have is there (but for
/// a bad one that is being replaced), each entry is as before it or as after it, and nothing else is
/// there.
pub(super) fn is_between(found: &Contents, before: &Contents, after: &Contents) -> bool {
    // Only a save replaces; it leaves a good one where a bad one was.
    let is_replaced = |at: &u64| {
        let was_suspect = before[at].marks.suspect;
        was_suspect && !after[at].marks.suspect
    };
    let is_missing =
        |at: &u64| after.contains_key(at) && !found.contains_key(at) && !is_replaced(at);
    let is_known = |(sequence, entry): (&u64, &Entry)| {
        before.get(sequence) == Some(entry) || after.get(sequence) == Some(entry)
    };
    !before.keys().any(is_missing) && found.iter().all(is_known)
}
