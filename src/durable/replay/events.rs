//! Where a replay's events come from.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// One event of a stream, lent by its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Its place in the stream: 1 for the first event, then one more for each.
    pub sequence: u64,
    /// What kind of event it is, in the words of who wrote it.
    pub kind: u32,
    /// When it was written. Never before the event in front of it.
    pub wall: SystemTime,
    /// The event as it was written.
    pub payload: &'a [u8],
}

impl<'a> Event<'a> {
    /// An event, for stores of one's own.
    pub const fn new(sequence: u64, kind: u32, wall: SystemTime, payload: &'a [u8]) -> Self {
        Self {
            sequence,
            kind,
            wall,
            payload,
        }
    }
}

/// Which events of a stream a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// The first event that is still there, or, if none is, the one that comes next. Above 1 when
    /// older events were compacted away.
    pub first: u64,
    /// The last event; 0 if there never was one.
    pub last: u64,
}

impl Bounds {
    /// From `first` through `last`.
    pub const fn new(first: u64, last: u64) -> Self {
        Self { first, last }
    }
}

/// Streams of events, read in order.
///
/// [`MemoryEvents`](super::MemoryEvents) is one for tests; a journal is a store of one stream.
pub trait EventStore: fmt::Debug + Send + Sync {
    /// Which events of the stream there are.
    ///
    /// # Errors
    ///
    /// [`EventError::is_unknown_stream`] if there is no such stream: that is something else than a
    /// stream without events.
    fn bounds(&self, stream: &str) -> Result<Bounds, EventError>;

    /// Reads the events behind `after` in order, without holding more than one of them (and what is
    /// read ahead) in memory.
    ///
    /// # Errors
    ///
    /// As [`bounds`](Self::bounds), and where the events behind `after` are not there any more.
    fn read<'a>(
        &'a self,
        stream: &str,
        after: u64,
    ) -> Result<Box<dyn EventReader + 'a>, EventError>;
}

/// A place in a stream, from which events are read.
pub trait EventReader {
    /// The next event; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// What cannot be read is an error and never an end.
    fn next(&mut self) -> Result<Option<Event<'_>>, EventError>;
}

/// Events could not be read.
#[derive(Clone, Debug)]
pub struct EventError(Repr);

#[derive(Clone, Debug)]
enum Repr {
    UnknownStream(Arc<str>),
    Store(Arc<dyn Error + Send + Sync>),
}

impl EventError {
    /// The store failed in its own way.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Repr::Store(source.into().into()))
    }

    /// The store has no stream of that name.
    pub fn unknown_stream(stream: &str) -> Self {
        Self(Repr::UnknownStream(stream.into()))
    }

    /// Whether the store works, and has no such stream.
    pub const fn is_unknown_stream(&self) -> bool {
        matches!(self.0, Repr::UnknownStream(_))
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::UnknownStream(stream) => write!(f, "there is no stream {stream:?}"),
            Repr::Store(error) => write!(f, "events cannot be read: {error}"),
        }
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Repr::UnknownStream(_) => None,
            Repr::Store(error) => Some(&**error),
        }
    }
}
