//! Checkpoints of a state, kept so that a damaged or suspect one can be passed over.

mod checkpoint;
mod directory;
mod error;
mod machine;
mod marks;
mod memory;
mod store;

pub use checkpoint::{About, Checkpoint, Entry, Latest, PassedOver, Reason};
pub use directory::{DirectoryConfig, DirectoryError, DirectoryStore};
pub use error::{LoadError, StoreError};
pub use marks::{Mark, Marks};
pub use memory::MemoryStore;
pub use store::{CheckpointStore, Saved};

use crate::kernel::config::ConfigError;

/// Good checkpoints of a key that are kept: the newest, the one before it for when it turns out to be
/// bad, and one more for damage that comes on top of that.
const DEFAULT_KEEP: usize = 3;

fn check_keep(keep: usize) -> Result<(), ConfigError> {
    if (1..=1_000).contains(&keep) {
        return Ok(());
    }
    Err(ConfigError::new("keep", keep, "1 to 1000"))
}
