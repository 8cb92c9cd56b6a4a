//! What is published of a manager of microreboots.

use super::exporter::Exported;
use super::exporter::sealed::{Sealed, Source};
use super::meters::Tally;
use crate::kernel::event::Subscriber;
use crate::observe::names::{MICROREBOOT_PHASE, MICROREBOOTS, MICROREBOOTS_REFUSED};
use crate::supervise::microreboot::{
    MicrorebootEvent, MicrorebootEventKind, MicrorebootManager, RebootRecord, WeakManager,
};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Events that are kept from one publish to the next; of more than these the oldest are not counted.
const KEPT: NonZeroUsize = NonZeroUsize::new(4_096).expect("above zero");

impl Exported for MicrorebootManager {}

impl Sealed for MicrorebootManager {
    fn sources(&self) -> Vec<Box<dyn Source>> {
        // Subscribed before they are read, so that no record falls between the two.
        let events = self.subscribe(KEPT);
        let records = self.records();
        vec![Box::new(Told {
            id: self.id(),
            manager: self.downgrade(),
            events,
            records,
            last: 0,
            counts: HashMap::new(),
            refused: HashMap::new(),
        })]
    }
}

struct Told {
    id: usize,
    manager: WeakManager,
    events: Subscriber<MicrorebootEvent>,
    /// Of before it was added; until the first publish.
    records: Vec<Arc<RebootRecord>>,
    /// The last record that is counted.
    last: u64,
    counts: HashMap<(String, &'static str, &'static str), (Tally, u64)>,
    refused: HashMap<&'static str, (Tally, u64)>,
}

impl Told {
    fn tell(&mut self) {
        for record in std::mem::take(&mut self.records) {
            self.count(&record);
        }
        while let Some(event) = self.events.try_recv() {
            match event.kind {
                MicrorebootEventKind::Ended(record) => self.count(&record),
                MicrorebootEventKind::Skipped { why, .. } => {
                    let reason = why.name();
                    let tally = || Tally::new(MICROREBOOTS_REFUSED.series([reason]));
                    let (_, count) = self.refused.entry(reason).or_insert_with(|| (tally(), 0));
                    *count += 1;
                }
                _ => {}
            }
        }
        let tallies = self.counts.values_mut().chain(self.refused.values_mut());
        for (tally, count) in tallies {
            tally.tell(*count);
        }
    }

    fn count(&mut self, record: &RebootRecord) {
        if record.sequence <= self.last {
            return;
        }
        self.last = record.sequence;
        let (rung, outcome) = (record.rung.name(), record.outcome.name());
        let tally = || Tally::new(MICROREBOOTS.series([&record.component, rung, outcome]));
        let key = (record.component.clone(), rung, outcome);
        let (_, count) = self.counts.entry(key).or_insert_with(|| (tally(), 0));
        *count += 1;
        for phase in &record.phases {
            // Rare enough to be looked up each time, so that an idle series may be dropped.
            MICROREBOOT_PHASE
                .series([&phase.component, phase.phase.name()])
                .histogram()
                .record(phase.took.as_secs_f64());
        }
    }
}

impl Source for Told {
    fn id(&self) -> usize {
        self.id
    }

    fn publish(&mut self) {
        self.tell();
    }

    fn bury(&mut self) -> bool {
        if self.manager.is_there() {
            return false;
        }
        self.tell();
        true
    }
}
