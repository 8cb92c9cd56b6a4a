//! Checkpoints among what is published.

use backstop::durable::codec::State;
use backstop::durable::snapshot::{Checkpoints, MemoryStore};
use backstop::observe::metrics::Exporter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Serialize, Deserialize)]
pub(super) struct Count(u8);

impl State for Count {
    const TYPE: &'static str = "count";
}

/// Checkpoints of which each metric is published.
pub(super) fn publish_checkpoints(exporter: &Exporter) -> Checkpoints<Count> {
    let store = Arc::new(MemoryStore::new());
    let checkpoints = Checkpoints::new(store, "all_checkpoints").unwrap();
    checkpoints.save(1, &Count(1)).unwrap();
    exporter.add(&checkpoints);
    checkpoints
}
