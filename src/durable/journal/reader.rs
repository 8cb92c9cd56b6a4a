//! Reading records back, in their order.

use super::damage::{Damage, DamageKind};
use super::format::{RECORD_HEADER, RecordHeader, SEGMENT_HEADER, Seed};
use super::handle::Journal;
use super::tail::SegmentInfo;
use super::window::Window;
use crate::durable::storage::{Operation, Storage, StorageError};
use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A record of a journal, borrowed from its [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Its sequence.
    pub sequence: u64,
    /// What it was appended with.
    pub kind: u32,
    /// When it was appended, in nanoseconds since 1970; never less than that of the record before.
    pub wall_nanos: u64,
    /// What it was appended with.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// When it was appended, by the wall clock of then, and never before the record before it.
    pub fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.wall_nanos)
    }
}

/// Why a record was not read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The storage failed.
    Storage(StorageError),
    /// A record is damaged since the journal was opened.
    Damaged(Box<Damage>),
    /// The next records are not there any more: compaction has removed them, perhaps since the
    /// reader was made.
    Removed {
        /// The first sequence that may be there.
        first: u64,
    },
}

/// Reads the records of a journal that were written when it was made, and no later ones.
///
/// It lends each record until the next is asked for: nothing is copied, and nothing allocated, for a
/// record that fits its buffer of 256 KiB; for a longer one the buffer grows to its length. Every
/// record is verified before it is lent. Sequences rise by one, but for those that a repair has left
/// out ([`RecoveryMode::SkipDamaged`](super::RecoveryMode::SkipDamaged)).
pub struct Reader {
    storage: Arc<dyn Storage>,
    /// Those that are not entered yet.
    segments: VecDeque<SegmentInfo>,
    /// The first sequence that is wanted.
    from: u64,
    /// The last one.
    through: u64,
    here: Option<Here>,
    buffer: Vec<u8>,
}

/// A place in a segment.
struct Here {
    window: Window,
    seed: Seed,
    offset: u64,
    /// The sequence of the next record.
    next: u64,
    /// The last sequence that counts of this segment.
    last: u64,
    /// The trailing CRC of the record before; `None` if it was passed over.
    link: Option<u32>,
}

impl Journal {
    /// A reader of the records from sequence `from` (1 is the first) to the last one that can be read
    /// now: under `Always` that is durable, and under the buffered policies in a file, which what is
    /// still buffered is not. Reads run beside appends.
    ///
    /// ```
    /// # use backstop::durable::journal::{Journal, JournalConfig, OpenMode};
    /// # use backstop::durable::storage::MemoryStorage;
    /// # use std::sync::Arc;
    /// # let config = JournalConfig::default().open(OpenMode::CreateIfMissing);
    /// # let (journal, _) = Journal::open(Arc::new(MemoryStorage::new()), "ledger", config)?;
    /// journal.append(7, b"paid")?;
    /// let mut reader = journal.read(1)?;
    /// while let Some(record) = reader.next()? {
    ///     assert_eq!((record.sequence, record.kind, record.payload), (1, 7, &b"paid"[..]));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReadError::Removed`] if compaction has removed the first of them.
    pub fn read(&self, from: u64) -> Result<Reader, ReadError> {
        let core = self.core();
        let site = &core.site;
        // Before the segments, so that they hold all of it.
        let through = core.readable();
        let segments = site.segments.lock().iter().cloned().collect();
        Reader::new(Arc::clone(&site.storage), segments, from, through)
    }
}

impl Reader {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        mut segments: VecDeque<SegmentInfo>,
        from: u64,
        through: u64,
    ) -> Result<Self, ReadError> {
        let from = from.max(1);
        if let Some(first) = segments.front().map(|front| front.header.first_sequence) {
            if from < first && from <= through {
                return Err(ReadError::Removed { first });
            }
        }
        let starts_before = |segment: Option<&SegmentInfo>| {
            segment.is_some_and(|segment| segment.header.first_sequence <= from)
        };
        while starts_before(segments.get(1)) {
            segments.pop_front();
        }
        Ok(Self {
            storage,
            segments,
            from,
            through,
            here: None,
            buffer: Vec::new(),
        })
    }

    /// The last sequence that it reads.
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the next call tries the same record again.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it gives borrows from it, which an iterator's items cannot"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        let (at, header) = loop {
            let Some(here) = &mut self.here else {
                if self.segments.is_empty() || self.from > self.through {
                    return Ok(None);
                }
                self.enter()?;
                continue;
            };
            match here.take(self.from)? {
                Some(found) => break found,
                None => self.leave(),
            }
        };
        // The record is in the window whole; this finds it again without a read.
        let Some(here) = &mut self.here else {
            return Ok(None);
        };
        let bytes = here.window.at(at, RECORD_HEADER)?;
        let payload = bytes
            .get(RECORD_HEADER..RECORD_HEADER + header.length as usize)
            .unwrap_or_default();
        Ok(Some(Record {
            sequence: header.sequence,
            kind: header.kind,
            wall_nanos: header.wall_nanos,
            payload,
        }))
    }

    #[cold]
    fn enter(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.segments.front() else {
            return Ok(());
        };
        let path = &segment.path;
        let file = match self.storage.open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let first = segment.last_sequence.saturating_add(1);
                return Err(ReadError::Removed { first });
            }
            opened => opened.map_err(StorageError::at(Operation::Open, path))?,
        };
        let len = file
            .len()
            .map_err(StorageError::at(Operation::Read, path))?;
        // Only of the last segment it is not known: it is appended to.
        let is_last = self.segments.len() == 1;
        let last = if is_last {
            u64::MAX
        } else {
            segment.last_sequence
        };
        let buffer = std::mem::take(&mut self.buffer);
        self.here = Some(Here {
            window: Window::new(Arc::from(file), path.clone(), len, buffer),
            seed: Seed::of(segment.header.salt),
            offset: SEGMENT_HEADER as u64,
            next: segment.header.first_sequence,
            last: last.min(self.through),
            link: Some(segment.header.previous_crc),
        });
        self.segments.pop_front();
        Ok(())
    }

    #[cold]
    fn leave(&mut self) {
        if let Some(here) = self.here.take() {
            self.buffer = here.window.into_buffer();
        }
    }
}

impl Here {
    /// Takes the next record from `from` on: where it is, whole and verified, and its header. `None`
    /// at the end of the segment.
    #[inline]
    fn take(&mut self, from: u64) -> Result<Option<(u64, RecordHeader)>, ReadError> {
        loop {
            let at = self.offset;
            if self.next > self.last {
                return Ok(None);
            }
            if self.window.left(at) < RECORD_HEADER as u64 {
                return Err(self.damaged(DamageKind::Incomplete));
            }
            let bytes = self.window.at(at, RECORD_HEADER)?;
            let Some(header) = RecordHeader::decode(bytes, self.seed) else {
                return Err(self.damaged(DamageKind::RecordHeader));
            };
            let len = header.record_len();
            if header.sequence != self.next {
                return Err(self.damaged(DamageKind::Sequence));
            }
            if header.sequence < from {
                self.link = None;
            } else {
                let is_linked = self.link.is_none_or(|link| link == header.previous_crc);
                if !is_linked {
                    return Err(self.damaged(DamageKind::Link));
                }
                let crc = match header.verify(bytes) {
                    Some(crc) => crc,
                    // Either it is not all in the window, or it is damaged.
                    None => self.read_whole(&header)?,
                };
                self.link = Some(crc);
            }
            self.offset = at + len;
            // Behind the last possible sequence nothing follows.
            self.next = self.next.saturating_add(1);
            if header.sequence >= from {
                return Ok(Some((at, header)));
            }
        }
    }

    #[cold]
    fn read_whole(&mut self, header: &RecordHeader) -> Result<u32, ReadError> {
        let len = header.record_len();
        let whole = usize::try_from(len).ok();
        match whole.filter(|_| len <= self.window.left(self.offset)) {
            Some(whole) => {
                let bytes = self.window.at(self.offset, whole)?;
                let verified = header.verify(bytes);
                verified.ok_or_else(|| self.damaged(DamageKind::Payload))
            }
            None => Err(self.damaged(DamageKind::Incomplete)),
        }
    }

    #[cold]
    fn damaged(&self, kind: DamageKind) -> ReadError {
        ReadError::Damaged(Box::new(Damage {
            path: PathBuf::from(self.window.path()),
            offset: self.offset,
            end: self.offset,
            sequence: self.next,
            resumes_at: None,
            kind,
            is_torn: false,
        }))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("from", &self.from)
            .field("through", &self.through)
            .finish_non_exhaustive()
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Damaged(damage) => write!(
                f,
                "{damage}; it was sound when the journal was opened: open it again to have it repaired"
            ),
            Self::Removed { first } => write!(
                f,
                "records before {first} were removed by compaction; begin with a snapshot that holds them"
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            _ => None,
        }
    }
}
