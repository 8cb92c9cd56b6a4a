//! The checkpoints, as they are measured.

use backstop::durable::snapshot::{Checkpoint, CheckpointStore, DirectoryConfig, DirectoryStore};
use backstop::durable::storage::FsStorage;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Checkpoints of one size, each newer than the one before.
pub(crate) struct Checkpoints {
    store: DirectoryStore,
    next: Checkpoint,
}

impl Checkpoints {
    const KEY: &str = "state";

    pub(crate) fn open(dir: &Path, state: Vec<u8>) -> Self {
        let storage = Arc::new(FsStorage);
        let store = DirectoryStore::open(storage, dir, DirectoryConfig::default());
        Self {
            store: store.expect("a store"),
            next: Checkpoint {
                sequence: 1,
                wall: SystemTime::UNIX_EPOCH,
                type_name: "state".into(),
                version: 1,
                codec: "none".into(),
                digest: None,
                payload: state,
            },
        }
    }

    pub(crate) fn save(&mut self) {
        self.store.save(Self::KEY, &self.next).expect("a save");
        self.next.sequence += 1;
    }

    pub(crate) fn load(&self) -> usize {
        let latest = self.store.latest(Self::KEY).expect("a look");
        let (checkpoint, _) = latest.checkpoint.expect("a checkpoint");
        checkpoint.payload.len()
    }
}
