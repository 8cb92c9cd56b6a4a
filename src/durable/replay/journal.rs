//! A journal as a store of events.

use super::events::{Bounds, Event, EventError, EventReader, EventStore};
use crate::durable::journal::{Journal, ReadError, Reader};
use std::sync::Arc;

/// A [`Journal`] as a store of one stream: what is in its files. What a buffering journal has not
/// written yet is not there.
#[derive(Clone, Debug)]
pub struct JournalEvents {
    journal: Journal,
    stream: Arc<str>,
}

impl JournalEvents {
    /// The journal's records, as the stream of that name.
    pub fn new(journal: &Journal, stream: &str) -> Self {
        Self {
            journal: journal.clone(),
            stream: stream.into(),
        }
    }

    fn check(&self, stream: &str) -> Result<(), EventError> {
        if *self.stream == *stream {
            Ok(())
        } else {
            Err(EventError::unknown_stream(stream))
        }
    }
}

impl EventStore for JournalEvents {
    fn bounds(&self, stream: &str) -> Result<Bounds, EventError> {
        self.check(stream)?;
        match self.journal.read(1) {
            Ok(reader) => Ok(Bounds::new(1, reader.through())),
            Err(ReadError::Removed { first }) => {
                let last = self.journal.status().written_sequence;
                Ok(Bounds::new(first, last))
            }
            Err(error) => Err(EventError::new(error)),
        }
    }

    fn read<'a>(
        &'a self,
        stream: &str,
        after: u64,
    ) -> Result<Box<dyn EventReader + 'a>, EventError> {
        self.check(stream)?;
        let reader = self.journal.read(after.saturating_add(1));
        Ok(Box::new(Records(reader.map_err(EventError::new)?)))
    }
}

struct Records(Reader);

impl EventReader for Records {
    #[inline]
    fn next(&mut self) -> Result<Option<Event<'_>>, EventError> {
        match self.0.next() {
            Ok(Some(record)) => Ok(Some(Event::new(
                record.sequence,
                record.kind,
                record.wall(),
                record.payload,
            ))),
            Ok(None) => Ok(None),
            Err(error) => Err(EventError::new(error)),
        }
    }
}
