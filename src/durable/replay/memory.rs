//! Events in memory, for tests.

use super::events::{Bounds, Event, EventError, EventReader, EventStore};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// An [`EventStore`] in memory, for tests of what is replayed.
///
/// Clones are the same store. It keeps what it is given: to see what a replay makes of a gap or of a
/// clock that went back, put them in by [`insert`](Self::insert).
///
/// ```
/// use backstop::durable::replay::{EventStore, MemoryEvents};
/// use std::time::SystemTime;
///
/// let events = MemoryEvents::new();
/// assert_eq!(events.append("orders", 1, SystemTime::UNIX_EPOCH, b"ordered"), 1);
/// assert_eq!(events.append("orders", 2, SystemTime::UNIX_EPOCH, b"paid"), 2);
/// let mut reader = events.read("orders", 1)?;
/// assert_eq!(reader.next()?.map(|event| event.payload), Some(&b"paid"[..]));
/// assert_eq!(reader.next()?, None);
/// # Ok::<(), backstop::durable::replay::EventError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryEvents {
    streams: Arc<RwLock<BTreeMap<String, Stream>>>,
}

#[derive(Default)]
struct Stream {
    events: BTreeMap<u64, Arc<Stored>>,
    /// The last event that was ever there.
    last: u64,
    /// The last event that was compacted away.
    compacted: u64,
}

struct Stored {
    kind: u32,
    wall: SystemTime,
    payload: Box<[u8]>,
}

impl MemoryEvents {
    /// A store without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stream of that name, without events so far.
    pub fn create(&self, stream: &str) {
        self.change(stream, |_| ());
    }

    /// Adds an event at the end of a stream, which is created if need be; answers its sequence.
    pub fn append(&self, stream: &str, kind: u32, wall: SystemTime, payload: &[u8]) -> u64 {
        self.change(stream, |stream| {
            stream.insert(stream.last + 1, kind, wall, payload)
        })
    }

    /// Puts an event at a place of one's own choosing, in front of which a gap may be; one that is
    /// there is replaced.
    pub fn insert(&self, stream: &str, event: Event<'_>) {
        let Event {
            sequence,
            kind,
            wall,
            payload,
        } = event;
        self.change(stream, |stream| {
            stream.insert(sequence, kind, wall, payload);
        });
    }

    /// Removes the events of a stream up to that one, as a compaction does.
    pub fn compact(&self, stream: &str, through: u64) {
        self.change(stream, |stream| {
            stream.compacted = stream.compacted.max(through.min(stream.last));
            stream.events.retain(|sequence, _| *sequence > through);
        });
    }

    fn change<T>(&self, stream: &str, change: impl FnOnce(&mut Stream) -> T) -> T {
        change(self.streams.write().entry(stream.to_owned()).or_default())
    }

    fn look<T>(&self, stream: &str, look: impl FnOnce(&Stream) -> T) -> Result<T, EventError> {
        let streams = self.streams.read();
        let found = streams.get(stream);
        found
            .map(look)
            .ok_or_else(|| EventError::unknown_stream(stream))
    }
}

impl Stream {
    fn insert(&mut self, sequence: u64, kind: u32, wall: SystemTime, payload: &[u8]) -> u64 {
        let stored = Stored {
            kind,
            wall,
            payload: payload.into(),
        };
        self.events.insert(sequence, Arc::new(stored));
        self.last = self.last.max(sequence);
        sequence
    }
}

impl EventStore for MemoryEvents {
    fn bounds(&self, stream: &str) -> Result<Bounds, EventError> {
        self.look(stream, |stream| {
            Bounds::new(stream.compacted + 1, stream.last)
        })
    }

    fn read<'a>(
        &'a self,
        stream: &str,
        after: u64,
    ) -> Result<Box<dyn EventReader + 'a>, EventError> {
        let compacted = self.look(stream, |stream| stream.compacted)?;
        if after < compacted {
            let text = format!("events through {compacted} were compacted away");
            return Err(EventError::new(text));
        }
        Ok(Box::new(Reader {
            store: self,
            stream: stream.to_owned(),
            after,
            lent: None,
        }))
    }
}

/// Looks for the next event each time, so that it sees what is appended meanwhile.
struct Reader<'a> {
    store: &'a MemoryEvents,
    stream: String,
    after: u64,
    lent: Option<Arc<Stored>>,
}

impl EventReader for Reader<'_> {
    fn next(&mut self) -> Result<Option<Event<'_>>, EventError> {
        let Some(from) = self.after.checked_add(1) else {
            return Ok(None);
        };
        let found = self.store.look(&self.stream, |stream| {
            let next = stream.events.range(from..).next();
            next.map(|(sequence, stored)| (*sequence, stored.clone()))
        })?;
        let Some((sequence, stored)) = found else {
            return Ok(None);
        };
        self.after = sequence;
        let stored = self.lent.insert(stored);
        Ok(Some(Event::new(
            sequence,
            stored.kind,
            stored.wall,
            &stored.payload,
        )))
    }
}

impl fmt::Debug for MemoryEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.streams.read();
        f.debug_map()
            .entries(
                streams
                    .iter()
                    .map(|(name, stream)| (name, stream.events.len())),
            )
            .finish()
    }
}
