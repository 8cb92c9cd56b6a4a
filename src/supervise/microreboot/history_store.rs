//! The history in a store of checkpoints.

use super::history::{HistoryError, HistoryState, RebootHistory};
use crate::durable::codec::State;
use crate::durable::snapshot::{CheckpointStore, Checkpoints};
use crate::kernel::sync::Mutex;
use std::sync::Arc;

impl State for HistoryState {
    const TYPE: &'static str = "backstop.reboots";
}

/// Keeps the history as checkpoints under one key, so that a damaged one is passed over and the one
/// before it is used.
///
/// ```
/// use backstop::durable::snapshot::MemoryStore;
/// use backstop::supervise::microreboot::{CheckpointHistory, MicrorebootManager};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A `DirectoryStore` in a service: this one is gone with the process.
/// let store = Arc::new(MemoryStore::default());
/// let history = CheckpointHistory::new(store, "reboots")?;
/// let manager = MicrorebootManager::builder("auction").history(history).start().await?;
/// # let _ = manager;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CheckpointHistory {
    checkpoints: Checkpoints<HistoryState>,
    /// The next sequence, once it is known.
    next: Mutex<Option<u64>>,
}

impl CheckpointHistory {
    /// In that store under that key, which nothing else uses.
    ///
    /// # Errors
    ///
    /// A key that cannot be.
    pub fn new(store: Arc<dyn CheckpointStore>, key: &str) -> Result<Self, HistoryError> {
        let checkpoints = Checkpoints::new(store, key).map_err(HistoryError::new)?;
        Ok(Self {
            checkpoints,
            next: Mutex::new(None),
        })
    }
}

impl RebootHistory for CheckpointHistory {
    fn load(&self) -> Result<Option<HistoryState>, HistoryError> {
        let recovered = self.checkpoints.latest().map_err(HistoryError::new)?;
        Ok(recovered.restored.map(|restored| restored.state))
    }

    fn store(&self, state: &HistoryState) -> Result<(), HistoryError> {
        let known = *self.next.lock();
        let sequence = match known {
            Some(sequence) => sequence,
            None => self
                .checkpoints
                .next_sequence()
                .map_err(HistoryError::new)?,
        };
        // After an error it is not known whether it is there: asked again, then.
        *self.next.lock() = None;
        self.checkpoints
            .save(sequence, state)
            .map_err(HistoryError::new)?;
        *self.next.lock() = Some(sequence + 1);
        Ok(())
    }
}
