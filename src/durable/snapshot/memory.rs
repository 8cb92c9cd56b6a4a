//! Checkpoints in memory.

use super::checkpoint::{Checkpoint, Entry};
use super::error::{LoadError, StoreError, check_key};
use super::machine::{Soundness, Standing, removable};
use super::marks::{Mark, Marks};
use super::store::{CheckpointStore, Saved};
use crate::durable::codec::{Envelope, EnvelopeError};
use crate::kernel::config::ConfigError;
use crate::kernel::sync::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Checkpoints in memory, for tests and for state that may be lost with the process.
///
/// It keeps the bytes that a file would hold, and as many of them. Clones share what they keep.
///
/// ```
/// use backstop::durable::snapshot::{Checkpoint, CheckpointStore, MemoryStore};
/// use std::time::SystemTime;
///
/// # fn main() -> Result<(), backstop::durable::snapshot::StoreError> {
/// let store = MemoryStore::new();
/// assert!(store.latest("ledger")?.is_empty());
/// let checkpoint = Checkpoint {
///     sequence: 7,
///     wall: SystemTime::UNIX_EPOCH,
///     type_name: "ledger".into(),
///     version: 1,
///     codec: "postcard".into(),
///     digest: None,
///     payload: b"state".to_vec(),
/// };
/// store.save("ledger", &checkpoint)?;
/// assert_eq!(store.latest("ledger")?.checkpoint.unwrap().0, checkpoint);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    stocks: Arc<Mutex<BTreeMap<String, Stock>>>,
    keep: usize,
}

/// The checkpoints of a key.
type Stock = BTreeMap<u64, Kept>;

#[derive(Clone)]
struct Kept {
    bytes: Arc<Vec<u8>>,
    marks: Marks,
}

impl Kept {
    fn open(&self, sequence: u64) -> Result<Envelope<'_>, EnvelopeError> {
        Envelope::decode(&self.bytes).and_then(|envelope| envelope.expect_sequence(sequence))
    }

    fn standing(&self, sequence: u64) -> Standing {
        let soundness = match self.open(sequence) {
            Ok(_) => Soundness::Sound,
            Err(_) => Soundness::Damaged,
        };
        Standing {
            sequence,
            marks: self.marks,
            soundness,
        }
    }
}

impl MemoryStore {
    /// An empty one, which keeps as many checkpoints of a key as a directory does by default: three
    /// good ones.
    pub fn new() -> Self {
        Self {
            stocks: Arc::default(),
            keep: super::DEFAULT_KEEP,
        }
    }

    /// The same, which keeps another number of good checkpoints of a key: 1 to 1,000.
    ///
    /// # Errors
    ///
    /// A number outside that range.
    pub fn keeping(keep: usize) -> Result<Self, ConfigError> {
        super::check_keep(keep)?;
        Ok(Self {
            keep,
            ..Self::new()
        })
    }

    /// Damages a checkpoint by flipping a bit in the middle of it; `false` if there is none. For tests
    /// of what happens then.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn damage(&self, key: &str, sequence: u64) -> bool {
        let mut stocks = self.stocks.lock();
        let kept = stocks
            .get_mut(key)
            .and_then(|stock| stock.get_mut(&sequence));
        let Some(kept) = kept else {
            return false;
        };
        let mut bytes = kept.bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        kept.bytes = Arc::new(bytes);
        true
    }

    /// All of a key, oldest first.
    fn all(&self, key: &str) -> Result<Stock, StoreError> {
        check_key(key)?;
        Ok(self.stocks.lock().get(key).cloned().unwrap_or_default())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.stocks.lock().len())
            .field("keep", &self.keep)
            .finish()
    }
}

impl CheckpointStore for MemoryStore {
    fn save_marked(
        &self,
        key: &str,
        checkpoint: &Checkpoint,
        marks: Marks,
    ) -> Result<Saved, StoreError> {
        check_key(key)?;
        let bytes = checkpoint.envelope().encode().map_err(StoreError::Unfit)?;
        let sequence = checkpoint.sequence;
        let kept = Kept {
            bytes: Arc::new(bytes),
            marks,
        };
        let mut stocks = self.stocks.lock();
        let stock = stocks.entry(key.to_owned()).or_default();
        let mut newer = stock.range(sequence..).rev();
        if let Some((&newest, _)) = newer.find(|(at, kept)| kept.standing(**at).is_good()) {
            return Err(StoreError::NotNewer { sequence, newest });
        }
        stock.insert(sequence, kept);
        let standings: Vec<_> = stock
            .iter()
            .rev()
            .map(|(sequence, kept)| kept.standing(*sequence))
            .collect();
        let removed = removable(&standings, self.keep);
        for sequence in &removed {
            stock.remove(sequence);
        }
        Ok(Saved::new(removed, None))
    }

    fn history(&self, key: &str) -> Result<Vec<Entry>, StoreError> {
        let entry = |(sequence, kept): (&u64, &Kept)| {
            Entry::new(*sequence, kept.marks, kept.open(*sequence).map(Into::into))
        };
        Ok(self.all(key)?.iter().rev().map(entry).collect())
    }

    fn load(&self, key: &str, sequence: u64) -> Result<Option<Checkpoint>, LoadError> {
        match self.all(key)?.get(&sequence) {
            Some(kept) => Ok(Some(kept.open(sequence)?.into())),
            None => Ok(None),
        }
    }

    fn mark(&self, key: &str, sequence: u64, mark: Mark) -> Result<Marks, StoreError> {
        check_key(key)?;
        let mut stocks = self.stocks.lock();
        let kept = stocks
            .get_mut(key)
            .and_then(|stock| stock.get_mut(&sequence));
        let kept = kept.ok_or(StoreError::NoSuchCheckpoint { sequence })?;
        kept.marks = kept.marks.with(mark);
        Ok(kept.marks)
    }

    fn forget(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.stocks.lock().remove(key);
        Ok(())
    }
}
