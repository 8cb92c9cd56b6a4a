//! What is published of a journal.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::{Level, Spread, Tally};
use crate::durable::journal::{Journal, Watched};
use crate::observe::names::{
    JOURNAL_APPEND_BYTES, JOURNAL_APPEND_RECORDS, JOURNAL_DURABLE_SEQUENCE, JOURNAL_POISONED,
    JOURNAL_SEGMENTS, JOURNAL_SYNC, JOURNAL_WRITTEN_SEQUENCE,
};

impl Exported for Journal {}

impl Sealed for Journal {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        let label = self.label();
        let name = &*label;
        vec![Box::new(Told {
            watched: self.watched(),
            bytes: Tally::new(JOURNAL_APPEND_BYTES.series([name])),
            records: Tally::new(JOURNAL_APPEND_RECORDS.series([name])),
            syncs: Spread::new(JOURNAL_SYNC.series([name])),
            levels: [
                JOURNAL_WRITTEN_SEQUENCE,
                JOURNAL_DURABLE_SEQUENCE,
                JOURNAL_SEGMENTS,
                JOURNAL_POISONED,
            ]
            .map(|metric| Level::new(metric.series([name]))),
        })]
    }
}

struct Told {
    watched: Watched,
    bytes: Tally,
    records: Tally,
    syncs: Spread,
    /// The last sequence in a file, the last durable one, segments, whether it is poisoned.
    levels: [Level; 4],
}

impl Told {
    fn tell(&mut self) {
        let totals = self.watched.totals();
        self.bytes.tell(totals.bytes);
        self.records.tell(totals.records);
        self.syncs.tell(&self.watched.sync_times());
    }
}

impl Source for Told {
    fn id(&self) -> usize {
        self.watched.id()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; sequences are exact up to 2^53"
    )]
    fn publish(&mut self) {
        let Some((is_poisoned, segments)) = self.watched.health() else {
            return;
        };
        let totals = self.watched.totals();
        self.tell();
        let values = [
            totals.written as f64,
            totals.durable as f64,
            segments as f64,
            f64::from(u8::from(is_poisoned)),
        ];
        for (level, value) in self.levels.iter_mut().zip(values) {
            level.set(value);
        }
    }

    fn bury(&mut self) -> bool {
        if !self.watched.is_gone() {
            return false;
        }
        self.tell();
        self.levels.iter().for_each(Level::clear);
        true
    }
}
