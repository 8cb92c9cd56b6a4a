//! Records, gathered to incidents.

use super::observation::{Observation, between};
use crate::supervise::microreboot::{CallsSeen, RebootRecord, RecordOutcome, Trigger};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Who closed an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosedBy {
    Automation,
    /// A human, after automation had tried.
    Both,
    Human,
}

/// One episode of recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) started: SystemTime,
    /// When, and by whom.
    pub(super) closed: Option<(SystemTime, ClosedBy)>,
    /// When a human was told, if nobody has answered.
    pub(super) handed_over: Option<SystemTime>,
    /// Of the whole episode, as far as it was counted.
    pub(super) calls: Option<CallsSeen>,
}

impl Incident {
    /// The end of it, as seen at that time.
    fn end(&self, until: SystemTime) -> SystemTime {
        self.closed.map_or(until, |(at, _)| at)
    }
}

/// Whether it is an attempt of automation to cure something that failed.
pub(super) fn is_attempt(record: &RebootRecord) -> bool {
    record.trigger == Trigger::Report
        && matches!(
            record.outcome,
            RecordOutcome::Cured | RecordOutcome::Failed | RecordOutcome::Exited
        )
}

/// One per episode that ended in something, rejuvenations left out.
pub(super) fn gather<'a>(records: impl Iterator<Item = &'a RebootRecord>) -> Vec<Incident> {
    let mut episodes: BTreeMap<u64, Vec<&RebootRecord>> = BTreeMap::new();
    for record in records.filter(|record| record.trigger != Trigger::Rejuvenation) {
        episodes.entry(record.episode).or_default().push(record);
    }
    let gathered = episodes.into_values().map(|mut records| {
        records.sort_by_key(|record| record.sequence);
        incident(&records)
    });
    gathered.collect()
}

/// Of records of one episode, in their order; there is at least one.
fn incident(records: &[&RebootRecord]) -> Incident {
    let onset = records.iter().map(|record| record.onset).min();
    let mut incident = Incident {
        started: onset.unwrap_or(SystemTime::UNIX_EPOCH),
        closed: None,
        handed_over: None,
        calls: None,
    };
    let (mut was_tried, mut has_human) = (false, false);
    for record in records {
        was_tried |= is_attempt(record);
        has_human |= record.trigger == Trigger::ByHand;
        // Each one's calls are those since the onset.
        incident.calls = record.calls.or(incident.calls);
        match record.outcome {
            RecordOutcome::HandedOver => {
                has_human = true;
                incident.handed_over = Some(record.ended);
            }
            RecordOutcome::Acknowledged => has_human = true,
            _ => {}
        }
        if matches!(
            record.outcome,
            RecordOutcome::Cured | RecordOutcome::Acknowledged
        ) {
            incident.handed_over = None;
            let by = match (has_human, was_tried) {
                (false, _) => ClosedBy::Automation,
                (true, true) => ClosedBy::Both,
                (true, false) => ClosedBy::Human,
            };
            incident.closed = Some((record.ended, by));
        }
    }
    incident
}

/// The time within the window in which at least one of them was open.
pub(super) fn downtime(incidents: &[Incident], window: &Observation) -> Duration {
    let clip = |time: SystemTime| time.clamp(window.from, window.until);
    let mut open: Vec<_> = incidents
        .iter()
        .map(|incident| (clip(incident.started), clip(incident.end(window.until))))
        .collect();
    open.sort_unstable();
    let mut down = Duration::ZERO;
    let mut seen = window.from;
    for (from, until) in open {
        down += between(from.max(seen), until);
        seen = seen.max(until);
    }
    down
}
