use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};

use crate::log::{Log, Replay, Seen};
use crate::scenario::Work;
use crate::suite::Suite;

pub(super) fn rows(suite: &mut Suite<'_>) {
    match suite.scenario.work {
        Work::Commit { .. } => suite.writes("okaywal", |dir| {
            Okaywal(WriteAheadLog::recover(dir, Manager::default()).expect("a log"))
        }),
        Work::Append => {}
        Work::Replay { .. } => suite.replays("okaywal", Manager::default()),
    }
}

struct Okaywal(WriteAheadLog);

impl Log for Okaywal {
    fn write(&self, payload: &[u8]) {
        let mut entry = self.0.begin_entry().expect("an entry");
        entry.write_chunk(payload).expect("a chunk");
        entry.commit().expect("a commit");
    }
}

/// Notes what is recovered. What is to be stored elsewhere it takes for stored, which costs nothing.
#[derive(Clone, Debug, Default)]
struct Manager {
    seen: Arc<Mutex<Seen>>,
    payload: Vec<u8>,
}

impl Manager {
    /// One file holds all: of several, all but the last are given away at the first opening.
    fn open(&self, dir: &Path) -> WriteAheadLog {
        Configuration::default_for(dir)
            .preallocate_bytes(256 << 20)
            .checkpoint_after_bytes(256 << 20)
            .open(self.clone())
            .expect("a log")
    }
}

impl LogManager for Manager {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            self.payload.clear();
            chunk.read_to_end(&mut self.payload)?;
            assert!(chunk.check_crc()?, "a damaged record");
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.record(&self.payload);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: EntryId,
        _: &mut SegmentReader,
        _: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

impl Replay for Manager {
    fn fill(&mut self, dir: &Path, payload: &[u8], records: u64) {
        let log = self.open(dir);
        // One entry is one sync, so all go into few; each record is a chunk, as it is elsewhere.
        let mut left = records;
        while left > 0 {
            let mut entry = log.begin_entry().expect("an entry");
            for _ in 0..left.min(1_000) {
                entry.write_chunk(payload).expect("a chunk");
            }
            left -= left.min(1_000);
            entry.commit().expect("a commit");
        }
        log.shutdown().expect("an end");
    }

    fn replay(&mut self, dir: &Path) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
        drop(self.open(dir));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
